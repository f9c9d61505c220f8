//! A GPIO line that is driven: a relay, a valve, an LED. A person switches it,
//! or it shows something of the chassis it is in.
//!
//! When the agent ends, the kernel gets the line back. Most chips hold its
//! level (`Documentation/userspace-api/gpio`: that is not promised); whoever
//! needs it off says so.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;

use super::{Batch, Driver, Farewell, INTERVAL, good_for, meter::sensor};
use crate::{
    boards::{
        Switches,
        names::{Reference, Referred},
        part::{Fitting, Kind, Part, chassis_of},
    },
    bus::gpio::{GpioLines, LineName, Output, Polarity},
    model::{
        self, FirstState, Health, Id, Inventory, Percent, PowerState, Sample,
        Sensor, SensorKind, Snapshot, Switch,
    },
};

/// The longest that a switch can be held as it is.
const LONGEST: u64 = 86_400;

/// The line, and what it shall be.
#[derive(Debug)]
struct Line {
    lines: Arc<dyn GpioLines>,
    name: LineName,
    polarity: Polarity,
    /// Nothing as long as nobody has said.
    wanted: Option<bool>,
    output: Option<Box<dyn Output>>,
}

impl Line {
    fn put(&mut self, on: bool) -> io::Result<()> {
        // What is tried again later is off, or what was there before: whoever
        // was refused an on looks anew at what forbids it.
        if !on || self.wanted.is_none() {
            self.wanted = Some(false);
        }
        let mut output = match self.output.take() {
            Some(output) => output,
            // The first level it has is the one that is wanted.
            None => self.lines.output(&self.name, self.polarity, on)?,
        };
        // A chip on USB may have gone, and come back.
        output.set(on)?;
        self.output = Some(output);
        self.wanted = Some(on);
        Ok(())
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a line can show by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shows {
    /// That somebody wants to find the chassis.
    Locator,
    /// That something in it is critical or deserves a look.
    Fault,
    /// That the first system in it is on.
    Power,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum First {
    #[default]
    Off,
    On,
    Last,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AtEnd {
    #[default]
    Hold,
    Off,
}

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call it.
    name: Option<String>,
    line: LineName,
    /// Whether the low voltage means on.
    #[serde(default)]
    active_low: bool,
    /// What it shows; nothing where a person switches it.
    shows: Option<Shows>,
    /// What it is when the agent starts.
    initial: Option<First>,
    /// What it is when the agent ends.
    #[serde(default)]
    at_end: AtEnd,
    /// Sensors that have to be active while it is on.
    #[serde(default)]
    needs: Vec<Id>,
    /// Other outputs that are never on when it is.
    #[serde(default)]
    never_with: Vec<Id>,
    /// How long it stays on at least, and off.
    #[serde(default)]
    least_on_seconds: u64,
    #[serde(default)]
    least_off_seconds: u64,
}

impl Options {
    fn check(&self) -> Result<(), String> {
        let locked = !self.needs.is_empty() || !self.never_with.is_empty();
        if self.shows.is_some() && (self.initial.is_some() || locked) {
            return Err("what `shows` something is switched by nobody: no \
                        `initial`, `needs` or `never_with`"
                .to_owned());
        }
        for (word, seconds) in [
            ("least_on_seconds", self.least_on_seconds),
            ("least_off_seconds", self.least_off_seconds),
        ] {
            if seconds > LONGEST {
                return Err(format!(
                    "`{word}` is {seconds}, not 0 to {LONGEST}"
                ));
            }
        }
        Ok(())
    }
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "gpio-output", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    options.check()?;
    let polarity = if options.active_low {
        Polarity::ActiveLow
    } else {
        Polarity::ActiveHigh
    };
    let (id, chassis) = (fitting.id.clone(), fitting.chassis.clone());
    let place = format!("gpio line {}", options.line);
    let name = options.name.clone().unwrap_or_else(|| id.to_string());
    let mut it = sensor(&id, &name, "", SensorKind::Percent, &place);
    it.range = Some((0.0, 100.0));
    let line = Line {
        lines: fitting.lines(Some(&options.line))?,
        name: options.line.clone(),
        polarity,
        wanted: None,
        output: None,
    };
    let line = Arc::new(Mutex::new(line));
    let watch = Watch {
        place,
        sensor: it.id.clone(),
        chassis: chassis.clone(),
        shows: options.shows,
        at_end: options.at_end,
        line: Arc::clone(&line),
    };
    let switch = options.shows.is_none().then(|| Switch {
        id: id.clone(),
        name,
        sensor: it.id.clone(),
        first: match options.initial.unwrap_or_default() {
            First::Off => FirstState::Off,
            First::On => FirstState::On,
            First::Last => FirstState::Last,
        },
        needs: options.needs,
        never_with: options.never_with,
        least: [options.least_on_seconds, options.least_off_seconds]
            .map(Duration::from_secs),
    });
    let driver = Some(Box::new(watch) as Box<dyn Driver>);
    Ok(Box::new(Fitted { chassis, sensor: it, switch, line, driver }))
}

/// The part on a board.
struct Fitted {
    chassis: Id,
    sensor: Sensor,
    switch: Option<Switch>,
    line: Arc<Mutex<Line>>,
    driver: Option<Box<dyn Driver>>,
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        if let Some(chassis) = chassis_of(inventory, &self.chassis) {
            chassis.sensors.push(self.sensor.clone());
            chassis.switches.extend(self.switch.clone());
        }
    }

    fn refers(&self) -> Vec<Reference> {
        let Some(switch) = &self.switch else { return Vec::new() };
        let needs = switch.needs.iter();
        let needs = needs.map(|id| Reference::sensor("needs", id));
        let never = switch.never_with.iter().map(|id| Reference {
            key: "never_with",
            to: Referred::Output,
            name: id.clone(),
        });
        needs.chain(never).collect()
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        self.driver.take().into_iter().collect()
    }

    fn switches(&self) -> Option<(Vec<Id>, Arc<dyn Switches>)> {
        let ids = self.switch.iter().map(|it| it.id.clone()).collect();
        Some((ids, Arc::new(Puts(Arc::clone(&self.line)))))
    }
}

/// Switches the line.
struct Puts(Arc<Mutex<Line>>);

impl Switches for Puts {
    fn put(&self, _: &Id, on: bool) -> io::Result<()> {
        lock(&self.0).put(on)
    }
}

/// What sees to it that the line is what it shall be.
#[derive(Debug)]
struct Watch {
    place: String,
    sensor: Id,
    chassis: Id,
    shows: Option<Shows>,
    at_end: AtEnd,
    line: Arc<Mutex<Line>>,
}

impl Driver for Watch {
    fn name(&self) -> &str {
        &self.place
    }

    fn see(&mut self, known: &Snapshot) {
        let Some(shows) = self.shows else { return };
        let chassis = known.chassis(&self.chassis);
        let on = match shows {
            Shows::Locator => {
                let part = model::Part::Chassis(self.chassis.clone());
                known.settings.of(&part).location_indicator_active
            }
            Shows::Fault => {
                chassis.is_some_and(|it| known.chassis_health(it) != Health::Ok)
            }
            Shows::Power => chassis
                .and_then(|it| it.systems.first())
                .and_then(|id| known.seen_power(id))
                .is_some_and(|power| power == PowerState::On),
        };
        lock(&self.line).wanted = Some(on);
    }

    fn poll(&mut self) -> Batch {
        let mut line = lock(&self.line);
        let Some(on) = line.wanted else { return Batch::default() };
        let sample = match line.put(on) {
            Ok(()) => {
                let percent = Percent(if on { 100.0 } else { 0.0 });
                let good_for = good_for(INTERVAL);
                Sample::good(&self.sensor, percent.into(), good_for)
            }
            Err(error) => Sample::failed(&self.sensor, &error.to_string()),
        };
        Batch { samples: vec![sample], ..Batch::default() }
    }

    fn farewell(&self) -> Option<Farewell> {
        if self.at_end == AtEnd::Hold {
            return None;
        }
        let line = Arc::clone(&self.line);
        Some(Box::new(move || {
            let mut line = lock(&line);
            if let Err(error) = line.put(false) {
                tracing::warn!(%error, "line left as it is");
            }
            // Nobody switches it any more.
            line.wanted = None;
        }))
    }
}
