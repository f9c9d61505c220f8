//! What asks the HAT, one question a time, and acts on what it says.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    BROKEN, DISABLE, ENABLE, FAN_AUTO, FAN_HEALTH, FAN_MODE, FAN_ON, FAN_SPEED,
    FEED_WATCHDOG, FIRMWARE, LEVEL, LOOK, MODE_EVERY, ON_BATTERY, PACE, ROUND,
    SET_FAN_MODE, SET_WATCHDOG, SET_WATCHDOG_MINUTES, SOFT_OFF, VALUES, Value,
    WORKING_MODE,
    frame::{Error, Hat, TRIES},
    id_of,
    policy::{Act, Limits, Policy},
};
use crate::{
    commands::ResetType,
    drivers::{Batch, Driver, Farewell, Wish, good_for},
    model::{Id, PowerState, Quantity, Sample, Sensor, Snapshot},
};

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
    watchdog: Option<u8>,
    policy: Policy,
    /// The system that it feeds, and whether that is on.
    system: Option<(Id, PowerState)>,
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
    }

    fn heard(&mut self, _: &Wish, granted: bool) {
        self.policy.heard(granted);
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
        self.watchdog?;
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
        watchdog: Option<u8>,
        limits: Limits,
    ) -> Self {
        Self {
            name,
            id,
            chassis,
            hat,
            sensors,
            firmware,
            watchdog,
            policy: Policy::new(limits),
            system: None,
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
            self.set_up()?;
            self.standing = Standing::There;
        }
        if let Some(minutes) = self.watchdog
            && self.feed_at.is_none_or(|at| now >= at)
        {
            self.hat.ask(FEED_WATCHDOG, &[], tries)?;
            // Four times in its patience.
            self.feed_at = Some(now + Duration::from_secs(15) * minutes.into());
        }
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(MODE_EVERY) {
            let mode = self.hat.number(WORKING_MODE, tries);
            if let Some(mode) = passing(mode)? {
                let on_battery = mode == ON_BATTERY;
                self.policy.on_battery(on_battery, now);
                let supply = id_of(&self.id, "Input");
                let chassis = self.chassis.clone();
                batch.supplies.push((chassis, supply, !on_battery));
            }
        } else {
            let at = self.turn - self.turn / MODE_EVERY;
            if let Some(value) = VALUES.get(at % VALUES.len()) {
                self.value(value, tries, batch)?;
            }
        }
        self.act(now, batch)
    }

    /// What a HAT has to be told and asked once.
    fn set_up(&mut self) -> Result<(), Error> {
        let said = self.hat.ask(FIRMWARE, &[], 1)?;
        let text = String::from_utf8_lossy(&said);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        let firmware = (!text.is_empty()).then(|| text.to_owned());
        *self.firmware.lock().unwrap_or_else(PoisonError::into_inner) =
            firmware;
        self.feed_at = None;
        self.let_go()?;
        let Some(minutes) = self.watchdog else { return Ok(()) };
        if self.leaving.load(Ordering::Acquire) {
            return Ok(());
        }
        self.hat.set(SET_WATCHDOG_MINUTES, &[minutes])?;
        self.hat.set(SET_WATCHDOG, &[ENABLE])
    }

    /// Leaves the fan to the HAT: an agent that was killed may have driven it
    /// by hand.
    fn let_go(&self) -> Result<(), Error> {
        let said = self.fan_said.lock();
        let mut said = said.unwrap_or_else(PoisonError::into_inner);
        if *said {
            return Ok(());
        }
        match self.hat.set(SET_FAN_MODE, &[FAN_AUTO]) {
            Err(error) if error.is_bus() => return Err(error),
            Err(error) => tracing::warn!(%error, "the fan is left as it is"),
            Ok(()) => {}
        }
        *said = true;
        Ok(())
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

    /// Does what the mains, or their absence, ask for.
    fn act(&mut self, now: Instant, batch: &mut Batch) -> Result<(), Error> {
        let Some((system, power)) = self.system.clone() else { return Ok(()) };
        match self.policy.next(now, self.level, power) {
            None => {}
            Some(Act::Shutdown(reason)) => {
                let kind = ResetType::GracefulShutdown;
                batch.wishes.push(Wish { system, kind, reason });
            }
            Some(Act::Cut) => match self.hat.set(SOFT_OFF, &[]) {
                Ok(()) => tracing::warn!(%system, "the UPS cuts the power"),
                Err(error) => {
                    self.policy.not_cut(now);
                    return Err(error);
                }
            },
        }
        Ok(())
    }
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
