//! A GPIO line that is watched: a contact, a switch, a button. The kernel says
//! when its level changed; what bounces back sooner than it may is no change:
//! the kernel leaves it out, or we do where it cannot.

use std::{io, sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::time::Instant;

use super::{Batch, Driver, INTERVAL, Wish, good_for, meter::sensor};
use crate::{
    boards::part::{Fitting, Kind, Part, chassis_of},
    bus::gpio::{Edge, GpioLines, Input, LineName, Polarity},
    commands::ResetType,
    model::{
        Id, Inventory, Percent, Sample, Sensor, SensorKind, Snapshot,
        Thresholds,
    },
};

/// How often edges are looked for; the kernel keeps them with their times.
const LOOK: Duration = Duration::from_millis(100);
/// How many edges are taken in one go: the kernel keeps 16 a line.
const EDGES: usize = 64;
/// The longest that a line can bounce.
const LONGEST: u64 = 5000;

/// What is made of edges: levels that lasted.
#[derive(Debug)]
struct Debounced {
    least: Duration,
    /// The level that lasted, once it is known.
    level: Option<bool>,
    /// An edge that may yet bounce back, and when it was seen.
    pending: Option<(Edge, Instant)>,
}

impl Debounced {
    /// Takes the next edge, and says what lasted until then, if it is new.
    fn edge(&mut self, edge: Edge) -> Option<bool> {
        let before = self.pending.replace((edge, Instant::now()));
        let (before, _) = before?;
        let lasted = edge.at.saturating_sub(before.at) >= self.least;
        lasted.then(|| self.settle(before.active)).flatten()
    }

    /// What has lasted by now, if it is new.
    fn now(&mut self) -> Option<bool> {
        let (edge, seen) = self.pending?;
        if seen.elapsed() < self.least {
            return None;
        }
        self.pending = None;
        self.settle(edge.active)
    }

    fn settle(&mut self, level: bool) -> Option<bool> {
        (self.level.replace(level) != Some(level)).then_some(level)
    }
}

/// What pressing it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Press {
    Shutdown,
    Restart,
    PowerButton,
}

impl From<Press> for ResetType {
    fn from(press: Press) -> Self {
        match press {
            Press::Shutdown => Self::GracefulShutdown,
            Press::Restart => Self::GracefulRestart,
            Press::PowerButton => Self::PushPowerButton,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Active,
    Inactive,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    #[default]
    Caution,
    Critical,
}

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call it.
    name: Option<String>,
    line: LineName,
    /// Whether the low voltage means active.
    #[serde(default)]
    active_low: bool,
    /// What does not last so long is no change.
    debounce_ms: Option<u64>,
    /// The level that somebody should look at, and how much.
    alarm: Option<Level>,
    #[serde(default)]
    severity: Severity,
    /// Whether it says that the chassis is open.
    #[serde(default)]
    intrusion: bool,
    /// What becoming active does to the first system in the chassis.
    press: Option<Press>,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "gpio-input", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    let debounce = options.debounce_ms.unwrap_or(20);
    if debounce > LONGEST {
        return Err(format!("`debounce_ms` is {debounce}, not 0 to {LONGEST}"));
    }
    let polarity = if options.active_low {
        Polarity::ActiveLow
    } else {
        Polarity::ActiveHigh
    };
    let (id, chassis) = (fitting.id.clone(), fitting.chassis.clone());
    let place = format!("gpio line {}", options.line);
    let name = options.name.unwrap_or_else(|| id.to_string());
    let mut it = sensor(&id, &name, "", SensorKind::Percent, &place);
    it.range = Some((0.0, 100.0));
    let alarm = options.alarm.or(options.intrusion.then_some(Level::Active));
    it.thresholds = alarm.map_or_else(Thresholds::default, |level| {
        limits(level, options.severity)
    });
    let watch = Watch {
        place,
        sensor: it.id.clone(),
        chassis: chassis.clone(),
        lines: fitting.lines(Some(&options.line))?,
        line: options.line,
        polarity,
        least: Duration::from_millis(debounce),
        press: options.press,
        input: None,
        debounced: Debounced {
            least: Duration::from_millis(debounce),
            level: None,
            pending: None,
        },
        told: None,
        system: None,
    };
    let (intrusion, driver) = (options.intrusion, Some(Box::new(watch)));
    Ok(Box::new(Fitted { chassis, sensor: it, intrusion, driver }))
}

fn limits(level: Level, severity: Severity) -> Thresholds {
    let half = Some(50.0);
    let mut thresholds = Thresholds::default();
    match (level, severity) {
        (Level::Active, Severity::Caution) => thresholds.upper_caution = half,
        (Level::Active, Severity::Critical) => {
            thresholds.upper_critical = half;
        }
        (Level::Inactive, Severity::Caution) => thresholds.lower_caution = half,
        (Level::Inactive, Severity::Critical) => {
            thresholds.lower_critical = half;
        }
    }
    thresholds
}

/// The part on a board.
struct Fitted {
    chassis: Id,
    sensor: Sensor,
    intrusion: bool,
    driver: Option<Box<Watch>>,
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        if let Some(chassis) = chassis_of(inventory, &self.chassis) {
            chassis.sensors.push(self.sensor.clone());
            if self.intrusion {
                chassis.intrusion.push(self.sensor.id.clone());
            }
        }
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        let driver = self.driver.take();
        driver.into_iter().map(|it| it as Box<dyn Driver>).collect()
    }
}

/// What watches the line.
#[derive(Debug)]
struct Watch {
    place: String,
    sensor: Id,
    chassis: Id,
    lines: Arc<dyn GpioLines>,
    line: LineName,
    polarity: Polarity,
    /// What does not last so long is no change.
    least: Duration,
    press: Option<Press>,
    input: Option<Box<dyn Input>>,
    debounced: Debounced,
    /// When its level was last told.
    told: Option<Instant>,
    system: Option<Id>,
}

impl Watch {
    /// The levels that are new, in their order.
    fn levels(&mut self) -> io::Result<Vec<bool>> {
        let mut input = if let Some(input) = self.input.take() {
            input
        } else {
            let (mut input, by_kernel) =
                self.lines.debounced(&self.line, self.polarity, self.least)?;
            // What the kernel lets pass has lasted.
            let least = if by_kernel { Duration::ZERO } else { self.least };
            self.debounced.least = least;
            // What it was while nobody looked is no press.
            self.debounced.pending = None;
            self.debounced.level = Some(input.level()?);
            input
        };
        let mut new = Vec::new();
        for _ in 0..EDGES {
            let Some(edge) = input.edge(Duration::ZERO)? else { break };
            new.extend(self.debounced.edge(edge));
        }
        new.extend(self.debounced.now());
        if self.debounced.pending.is_none() {
            // The kernel forgets edges that nobody fetched.
            let level = input.level()?;
            if self.debounced.level != Some(level) {
                let edge = Edge { active: level, at: Duration::ZERO };
                self.debounced.pending = Some((edge, Instant::now()));
            }
        }
        self.input = Some(input);
        Ok(new)
    }

    fn wish(&self) -> Option<Wish> {
        let (kind, system) = (self.press?.into(), self.system.clone()?);
        let reason = format!("{} became active", self.place);
        Some(Wish { system, kind, reason })
    }
}

impl Driver for Watch {
    fn name(&self) -> &str {
        &self.place
    }

    fn interval(&self) -> Duration {
        LOOK
    }

    fn see(&mut self, known: &Snapshot) {
        let chassis = known.chassis(&self.chassis);
        let system = chassis.and_then(|it| it.systems.first());
        if self.system.as_ref() != system {
            self.system = system.cloned();
        }
    }

    fn poll(&mut self) -> Batch {
        let mut batch = Batch::default();
        let due = self.told.is_none_or(|at| at.elapsed() >= INTERVAL);
        match self.levels() {
            Ok(new) => {
                let pressed = new.iter().any(|level| *level);
                batch.wishes.extend(pressed.then(|| self.wish()).flatten());
                let moved = !new.is_empty();
                let input = |active| (self.sensor.clone(), active);
                batch.inputs.extend(new.into_iter().map(input));
                if let Some(active) = self.debounced.level
                    && (due || moved)
                {
                    let percent = Percent(if active { 100.0 } else { 0.0 });
                    let good_for = good_for(INTERVAL);
                    let sample =
                        Sample::good(&self.sensor, percent.into(), good_for);
                    batch.samples.push(sample);
                    self.told = Some(Instant::now());
                }
            }
            Err(error) if due => {
                let why = error.to_string();
                batch.samples.push(Sample::failed(&self.sensor, &why));
                self.told = Some(Instant::now());
            }
            Err(_) => {}
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(active: bool, ms: u64) -> Edge {
        Edge { active, at: Duration::from_millis(ms) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_bounces_is_one_change_and_a_short_press_is_two() {
        let least = Duration::from_millis(20);
        let mut it = Debounced { least, level: Some(false), pending: None };
        // A contact that bounces for 6 ms, is closed for 40, and opens.
        let edges = [(true, 0), (false, 2), (true, 6), (false, 46)];
        let edges = edges.map(|(active, ms)| it.edge(edge(active, ms)));
        assert_eq!(edges, [None, None, None, Some(true)]);
        assert_eq!(it.now(), None, "it may yet bounce back");
        tokio::time::advance(least).await;
        assert_eq!(it.now(), Some(false));
        assert_eq!(it.now(), None);
        // What bounced back to where it was did not change.
        assert_eq!(it.edge(edge(true, 90)), None);
        assert_eq!(it.edge(edge(false, 95)), None);
        tokio::time::advance(least).await;
        assert_eq!(it.now(), None);
    }
}
