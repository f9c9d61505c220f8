//! SSD1306: a display of 128 by 64 or 128 by 32 points on I²C (Solomon Systech
//! SSD1306, revision 1.1), which says how the device is doing.
//!
//! Only pages that changed are written, two a second, so that the display
//! takes a small share of a bus that others need. What another master writes
//! into its memory, and how he sets it up, cannot be seen; a page and how it
//! is set up are written anew from time to time.

pub(crate) mod font;
mod status;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use super::{
    Batch, Driver, Farewell, INTERVAL, good_for,
    meter::{Fitted, sensor},
};
use crate::{
    boards::{
        names::Reference,
        part::{Fitting, Kind, Part},
    },
    bus::{Chip, I2cError},
    model::{Id, Percent, Sample, SensorKind, Snapshot},
    sim,
};

/// What follows are commands, or points (section 8.1.5.2).
const COMMANDS: u8 = 0x00;
const POINTS: u8 = 0x40;
/// Of what is read: it is dark (table 9-2).
const DARK: u8 = 0x40;
/// Commands (table 9-1).
const OFF: u8 = 0xae;
const ON: u8 = 0xaf;
/// Points go to this page, and there to column 0 and on.
const PAGE: u8 = 0xb0;

/// How many columns it has.
const WIDTH: usize = 128;
/// How many points go with one exchange: as many as a block of `SMBus` has.
const PIECE: usize = 32;
/// How many pages are written in one go.
const AT_ONCE: usize = 2;
/// Every so many times, a page is written anew.
const ANEW: u32 = 10;
/// Where it is, if its address pin is low.
const ADDRESS: u8 = 0x3c;

/// Eight lines of points, a byte for each column.
type Page = [u8; WIDTH];

/// What goes wrong with one.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Bus(#[from] I2cError),
    #[error(
        "{place} says {found:#04x}: it stays dark, though it was told not to"
    )]
    Dark { place: String, found: u8 },
}

/// The display on its bus.
#[derive(Debug)]
struct Panel {
    chip: Chip,
    /// What is in its memory, as far as that is known.
    shown: Vec<Option<Page>>,
    /// Whether it is set up.
    known: bool,
    /// Whether the agent has ended.
    ended: bool,
    turn: u32,
}

impl Panel {
    fn new(chip: Chip, pages: usize) -> Self {
        let shown = vec![None; pages];
        Self { chip, shown, known: false, ended: false, turn: 0 }
    }

    /// Shows `frame`, a page for each of its own.
    fn show(&mut self, frame: &[Page]) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        let done = self.write(frame);
        if done.is_err() {
            // Whoever comes back shows nothing.
            self.known = false;
        }
        done
    }

    fn write(&mut self, frame: &[Page]) -> Result<(), Error> {
        let dark = self.chip.receive_byte()? & DARK != 0;
        if dark || !self.known {
            if self.known {
                let place = self.chip.place();
                tracing::warn!(%place, "somebody switched the display off");
            }
            self.set_up()?;
            let found = self.chip.receive_byte()?;
            if found & DARK != 0 {
                return Err(Error::Dark { place: self.chip.place(), found });
            }
            self.known = true;
            self.shown.fill(None);
        }
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(ANEW) {
            // Without a flash: it stays on meanwhile.
            self.chip.write_block(COMMANDS, &self.settings())?;
            let count = self.shown.len().max(1);
            let page = usize::try_from(self.turn / ANEW).unwrap_or(0) % count;
            if let Some(page) = self.shown.get_mut(page) {
                *page = None;
            }
        }
        let numbered = (PAGE..).zip(self.shown.iter_mut()).zip(frame);
        let changed =
            numbered.filter(|((_, shown), page)| shown.as_ref() != Some(page));
        for ((number, shown), page) in changed.take(AT_ONCE) {
            // Half a page may have come through.
            *shown = None;
            self.chip.write_block(COMMANDS, &[number, 0x00, 0x10])?;
            for piece in page.chunks(PIECE) {
                self.chip.write_block(POINTS, piece)?;
            }
            *shown = Some(*page);
        }
        Ok(())
    }

    /// Switches it on, as it shall be.
    fn set_up(&self) -> Result<(), I2cError> {
        let settings = self.settings();
        let all = [&[OFF], settings.as_slice(), &[ON]].concat();
        self.chip.write_block(COMMANDS, &all)
    }

    /// As the maker says (sections 8.9 and 10; the charge pump's appendix),
    /// for a panel with this many lines.
    fn settings(&self) -> [u8; 23] {
        let tall = self.shown.len() > 4;
        let (lines, pins) = if tall { (0x3f, 0x12) } else { (0x1f, 0x02) };
        [
            0xd5, 0x80, 0xa8, lines, 0xd3, 0x00, 0x40, 0x8d, 0x14, 0x20, 0x02,
            0xa1, 0xc8, 0xda, pins, 0x81, 0x7f, 0xd9, 0xf1, 0xdb, 0x40, 0xa4,
            0xa6,
        ]
    }

    /// Leaves it dark.
    fn end(&mut self) {
        self.ended = true;
        if let Err(error) = self.chip.write_block(COMMANDS, &[OFF]) {
            tracing::warn!(%error, "display left as it is");
        }
    }
}

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call it.
    name: Option<String>,
    /// How many lines of points it has: 64 or 32.
    lines: Option<usize>,
    /// The temperature and the power that it shows: sensors.
    temperature: Option<Id>,
    power: Option<Id>,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "ssd1306", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    let lines = options.lines.unwrap_or(64);
    if !matches!(lines, 64 | 32) {
        return Err(format!("`lines` is {lines}, not 64 or 32"));
    }
    let chip = fitting.i2c(ADDRESS, sim::ssd1306::Ssd1306::default)?;
    let place = format!("ssd1306 {}", chip.place());
    let name = options.name.unwrap_or_else(|| fitting.id.to_string());
    let kind = SensorKind::Percent;
    let mut it = sensor(&fitting.id, &name, "Lit", kind, &place);
    it.range = Some((0.0, 100.0));
    let chassis = fitting.chassis.clone();
    let pages = lines / 8;
    let shown =
        [("temperature", &options.temperature), ("power", &options.power)];
    let refers = shown
        .into_iter()
        .filter_map(|(key, id)| Some(Reference::sensor(key, id.as_ref()?)))
        .collect();
    let status = status::Status {
        chassis: chassis.clone(),
        temperature: options.temperature,
        power: options.power,
    };
    let display = Display {
        place,
        sensor: it.id.clone(),
        panel: Arc::new(Mutex::new(Panel::new(chip, pages))),
        status,
        frame: vec![[0; WIDTH]; pages],
    };
    let fitted = Fitted::driven(chassis, vec![it], display);
    Ok(Box::new(fitted.referring(refers)))
}

fn lock(panel: &Mutex<Panel>) -> MutexGuard<'_, Panel> {
    panel.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What keeps the display as the device is.
#[derive(Debug)]
struct Display {
    place: String,
    sensor: Id,
    panel: Arc<Mutex<Panel>>,
    status: status::Status,
    frame: Vec<Page>,
}

impl Driver for Display {
    fn name(&self) -> &str {
        &self.place
    }

    fn see(&mut self, known: &Snapshot) {
        let lines = self.status.lines(known, self.frame.len());
        for (page, line) in self.frame.iter_mut().zip(lines) {
            *page = font::page(&line);
        }
    }

    fn poll(&mut self) -> Batch {
        let shown = lock(&self.panel).show(&self.frame);
        let sample = match shown {
            Ok(()) => {
                let lit = Percent(100.0).into();
                Sample::good(&self.sensor, lit, good_for(INTERVAL))
            }
            Err(error) => Sample::failed(&self.sensor, &error.to_string()),
        };
        Batch { samples: vec![sample], ..Batch::default() }
    }

    fn farewell(&self) -> Option<Farewell> {
        let panel = Arc::clone(&self.panel);
        Some(Box::new(move || lock(&panel).end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::{Call, I2cBus},
        sim::i2c::SimulatedI2c,
    };

    type Simulated = Arc<Mutex<sim::ssd1306::Ssd1306>>;

    fn panel() -> (SimulatedI2c, Simulated, Panel) {
        let sim = SimulatedI2c::default();
        let part = Simulated::default();
        sim.attach(ADDRESS, Arc::clone(&part));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        (sim, part, Panel::new(bus.chip(ADDRESS), 4))
    }

    #[test]
    fn writes_what_changed_and_a_little_at_a_time() {
        let (sim, part, mut panel) = panel();
        let mut frame: Vec<Page> =
            ["blade", "10.0.0.7", "OK", "48.3 C"].map(font::page).into();
        panel.show(&frame).unwrap();
        let pages = |sim: &SimulatedI2c| {
            let calls =
                sim.calls().into_iter().filter_map(|(_, call)| match call {
                    Call::WriteBlock(COMMANDS, bytes) => bytes.first().copied(),
                    _ => None,
                });
            calls.filter(|byte| byte & 0xf0 == PAGE).collect::<Vec<_>>()
        };
        assert_eq!(pages(&sim), [0xb0, 0xb1]);
        panel.show(&frame).unwrap();
        assert_eq!(pages(&sim), [0xb2, 0xb3]);
        let text = part.lock().unwrap().text();
        assert_eq!(text[..4], ["blade", "10.0.0.7", "OK", "48.3 C"]);
        frame[3] = font::page("48.4 C");
        panel.show(&frame).unwrap();
        assert_eq!(pages(&sim), [0xb3]);
        panel.show(&frame).unwrap();
        let quiet: Vec<Call> = sim.calls().into_iter().map(|c| c.1).collect();
        assert_eq!(quiet, [Call::ReceiveByte]);
    }

    #[test]
    fn one_that_was_without_power_is_written_anew_and_dark_at_the_end() {
        let (sim, part, mut panel) = panel();
        let frame = ["a", "b", "c", "d"].map(font::page);
        for _ in 0..2 {
            panel.show(&frame).unwrap();
        }
        *part.lock().unwrap() = sim::ssd1306::Ssd1306::default();
        for _ in 0..2 {
            panel.show(&frame).unwrap();
        }
        assert_eq!(part.lock().unwrap().text()[..4], ["a", "b", "c", "d"]);
        sim.unplug(ADDRESS);
        let error = panel.show(&frame).unwrap_err().to_string();
        let begin = "receive byte at 0x3c on i2c-1";
        assert!(error.starts_with(begin), "{error}");
        sim.plug(ADDRESS);
        panel.show(&frame).unwrap();
        assert!(part.lock().unwrap().lit);
        panel.end();
        panel.show(&frame).unwrap();
        assert!(!part.lock().unwrap().lit);
    }

    #[test]
    fn what_another_master_has_set_otherwise_is_set_back_in_time() {
        let (sim, part, mut panel) = panel();
        let mut frame: Vec<Page> =
            ["one", "two", "three", "four"].map(font::page).into();
        for _ in 0..2 {
            panel.show(&frame).unwrap();
        }
        // Pages flow into each other, and none can be chosen.
        sim.meddle(ADDRESS, &[COMMANDS, 0x20, 0x00]);
        frame[0] = font::page("ONE");
        panel.show(&frame).unwrap();
        assert_ne!(part.lock().unwrap().text()[..4], panel_text());
        for _ in 0..ANEW * 5 {
            panel.show(&frame).unwrap();
        }
        assert_eq!(part.lock().unwrap().text()[..4], panel_text());
        // And one that he switches off lights up at once.
        sim.meddle(ADDRESS, &[COMMANDS, OFF]);
        panel.show(&frame).unwrap();
        assert!(part.lock().unwrap().lit);
        sim.meddle_between(ADDRESS, &[COMMANDS, OFF]);
        panel.show(&frame).unwrap();
        let error = panel.show(&frame).unwrap_err().to_string();
        assert_eq!(
            error,
            "0x3c on i2c-1 says 0x43: it stays dark, though it was told not to",
        );
    }

    fn panel_text() -> [&'static str; 4] {
        ["ONE", "two", "three", "four"]
    }
}
