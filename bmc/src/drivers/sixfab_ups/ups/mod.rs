//! What asks the HAT, one question a time.

mod acts;
mod set_up;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    BROKEN, DISABLE, ENABLE, FAN_AUTO, FAN_HEALTH, FAN_MODE, FAN_ON, FAN_SPEED,
    FEED_WATCHDOG, LEVEL, LOOK, MODE_EVERY, ON_BATTERY, PACE, ROUND,
    SET_WATCHDOG, VALUES, Value, WORKING_MODE,
    frame::{Error, Hat, TRIES},
    id_of,
    policy::{Limits, Policy},
    schedule::{self, Event},
};
use crate::{
    drivers::{Batch, Driver, Farewell, Wish, good_for},
    model::{
        Id, Part, PowerRestorePolicy, PowerState, Quantity, Sample, Sensor,
        Snapshot,
    },
};

/// Between two times that the HAT's clock is set, and between two tries to
/// have what it wants done.
const CLOCK: Duration = Duration::from_hours(24);
const AGAIN: Duration = Duration::from_mins(1);

/// What a board file wants of the HAT.
pub(super) struct Plan {
    /// Minutes of its watchdog.
    pub(super) watchdog: Option<u8>,
    pub(super) limits: Limits,
    /// All that it shall do by its own clock, where the board file says so.
    pub(super) events: Option<Vec<Event>>,
    /// In how many seconds the HAT cuts the power of the agent's own machine.
    pub(super) cut_after: u32,
}

/// What the HAT wanted, when the system was asked for it, and whether it does.
#[derive(Clone, Debug)]
struct Asked {
    wish: Wish,
    at: Instant,
    granted: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct FanState {
    broken: bool,
    rpm: f64,
}

/// Whether the HAT is there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    New,
    There,
    LostUntil(Instant),
}

/// What asks the HAT.
pub(super) struct Ups {
    name: String,
    id: Id,
    chassis: Id,
    hat: Hat,
    sensors: Vec<Sensor>,
    firmware: Arc<Mutex<Option<String>>>,
    plan: Plan,
    policy: Policy,
    asked: Option<Asked>,
    /// The HAT's schedule is as this agent wrote it.
    scheduled: bool,
    /// The HAT was told to cut the power of this machine later.
    cut_comes: bool,
    clock_at: Option<Instant>,
    /// The system that it feeds, and whether that is on.
    system: Option<(Id, PowerState)>,
    /// What that does when the power is back.
    restores: PowerRestorePolicy,
    level: Option<f64>,
    fan: FanState,
    turn: usize,
    standing: Standing,
    feed_at: Option<Instant>,
    /// Whether the agent ends.
    leaving: Arc<AtomicBool>,
    /// Whether this agent has said how the fan is driven. Who says it has it
    /// locked.
    pub(super) fan_said: Arc<Mutex<bool>>,
}

impl Driver for Ups {
    fn name(&self) -> &str {
        &self.name
    }

    fn interval(&self) -> Duration {
        PACE
    }

    fn see(&mut self, known: &Snapshot) {
        let system = known.chassis(&self.chassis);
        let system = system.and_then(|chassis| chassis.systems.first());
        self.system = system.map(|id| (id.clone(), known.power_state(id)));
        if let Some(system) = system.and_then(|id| known.system(id)) {
            let part = Part::System(system.id.clone());
            self.restores = system.restore_policy(&known.settings.of(&part));
        }
    }

    fn heard(&mut self, wish: &Wish, granted: bool) {
        match &mut self.asked {
            Some(asked) if asked.wish == *wish => asked.granted = Some(granted),
            _ => self.policy.heard(granted),
        }
    }

    fn poll(&mut self) -> Batch {
        let (now, mut batch) = (Instant::now(), Batch::default());
        if matches!(self.standing, Standing::LostUntil(then) if now < then) {
            return batch;
        }
        if let Err(error) = self.step(now, &mut batch) {
            self.standing = Standing::LostUntil(now + LOOK);
            let reason = error.to_string();
            let failed = |sensor: &Sensor| Sample::failed(&sensor.id, &reason);
            batch.samples = self.sensors.iter().map(failed).collect();
        }
        batch
    }

    /// Nobody will feed the watchdog: it would cut the power.
    fn farewell(&self) -> Option<Farewell> {
        self.plan.watchdog?;
        let (hat, leaving) = (self.hat.clone(), Arc::clone(&self.leaving));
        let place = self.name.clone();
        Some(Box::new(move || {
            leaving.store(true, Ordering::Release);
            match hat.set(SET_WATCHDOG, &[DISABLE]) {
                Ok(()) => tracing::info!(place, "watchdog stopped"),
                Err(error) => {
                    tracing::error!(place, %error, "watchdog not stopped");
                }
            }
        }))
    }
}

impl Ups {
    /// The HAT whose id and chassis are given, with its sensors.
    pub(super) fn new(
        name: String,
        [id, chassis]: [Id; 2],
        hat: Hat,
        sensors: Vec<Sensor>,
        firmware: Arc<Mutex<Option<String>>>,
        plan: Plan,
    ) -> Self {
        Self {
            name,
            id,
            chassis,
            hat,
            sensors,
            firmware,
            policy: Policy::new(plan.limits),
            plan,
            asked: None,
            scheduled: false,
            cut_comes: false,
            clock_at: None,
            system: None,
            restores: PowerRestorePolicy::default(),
            level: None,
            fan: FanState::default(),
            turn: 0,
            standing: Standing::New,
            feed_at: None,
            leaving: Arc::default(),
            fan_said: Arc::default(),
        }
    }

    /// Asks what is next.
    ///
    /// # Errors
    /// The HAT does not answer. What it answers wrongly is the failure of one
    /// sensor.
    fn step(&mut self, now: Instant, batch: &mut Batch) -> Result<(), Error> {
        // Who was lost is not waited for long.
        let tries = if self.standing == Standing::There { TRIES } else { 1 };
        if self.standing != Standing::There {
            self.set_up(batch)?;
            self.standing = Standing::There;
        }
        self.set_clock(now)?;
        if let Some(minutes) = self.plan.watchdog
            && self.feed_at.is_none_or(|at| now >= at)
        {
            self.hat.ask(FEED_WATCHDOG, &[ENABLE], tries)?;
            self.keep_watched(minutes, tries)?;
            // Four times in its patience.
            self.feed_at = Some(now + Duration::from_secs(15) * minutes.into());
        }
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(MODE_EVERY) {
            let mode = self.hat.number(WORKING_MODE, tries);
            if let Some(mode) = passing(mode)? {
                let on_battery = mode == ON_BATTERY;
                self.policy.on_battery(on_battery, now);
                if self.cut_comes && !on_battery {
                    forgive(schedule::keep_on(&self.hat), "the cut")?;
                    self.cut_comes = false;
                }
                let supply = id_of(&self.id, "Input");
                let chassis = self.chassis.clone();
                batch.supplies.push((chassis, supply, !on_battery));
            }
            self.obey(now, tries, batch)?;
        } else {
            let at = self.turn - self.turn / MODE_EVERY;
            if let Some(value) = VALUES.get(at % VALUES.len()) {
                self.value(value, tries, batch)?;
            }
        }
        self.act(now, batch)
    }

    fn value(
        &mut self,
        value: &Value,
        tries: u32,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let (command, word, kind, factor, _) = *value;
        let id = id_of(&self.id, word);
        let said = self.hat.number(command, tries);
        let sample = match said {
            Err(error) if error.is_bus() => return Err(error),
            Err(error) if word.is_empty() => {
                tracing::debug!(%error, "nobody knows how the fan is");
                return Ok(());
            }
            Err(error) => Sample::failed(&id, &error.to_string()),
            Ok(raw) => {
                let number = match command {
                    FAN_HEALTH => {
                        self.fan.broken = raw == BROKEN;
                        return Ok(());
                    }
                    FAN_MODE => self.duty(raw),
                    // Thousandths, as the HAT has them.
                    _ => (f64::from(raw) * factor * 1e3).round() / 1e3,
                };
                match command {
                    LEVEL => self.level = Some(number),
                    FAN_SPEED => self.fan.rpm = number,
                    _ => {}
                }
                if command == FAN_SPEED && self.fan.broken {
                    let place = self.hat.chip.place();
                    let reason = format!(
                        "command {FAN_HEALTH} at {place}: the fan is broken"
                    );
                    Sample::failed(&id, &reason)
                } else {
                    let value = Quantity::new(kind, number);
                    Sample::good(&id, value, good_for(ROUND))
                }
            }
        };
        batch.samples.push(sample);
        Ok(())
    }

    /// How hard the fan is driven in `mode`, in percent.
    fn duty(&self, mode: i32) -> f64 {
        let turns = mode == i32::from(FAN_ON)
            || (mode == i32::from(FAN_AUTO) && self.fan.rpm > 0.0);
        if turns { 100.0 } else { 0.0 }
    }
}

/// What the HAT refuses is no reason to ask it nothing more: whether it took
/// it, and `note` hears why not.
fn refused(
    said: Result<(), Error>,
    note: impl FnOnce(String),
) -> Result<bool, Error> {
    match said {
        Err(error) if error.is_bus() => Err(error),
        Err(error) => {
            note(error.to_string());
            Ok(false)
        }
        Ok(()) => Ok(true),
    }
}

/// The same where nobody but the log is told of `what`.
fn forgive(said: Result<(), Error>, what: &str) -> Result<bool, Error> {
    let warn = |error| tracing::warn!(error, what, "the UPS does not take it");
    refused(said, warn)
}

/// What is no failure of the bus is forgotten.
fn passing(said: Result<i32, Error>) -> Result<Option<i32>, Error> {
    match said {
        Ok(number) => Ok(Some(number)),
        Err(error) if error.is_bus() => Err(error),
        Err(error) => {
            tracing::warn!(%error, "nobody knows whether there are mains");
            Ok(None)
        }
    }
}
