//! What the HAT is told when it is there again: its watchdog, its schedule, its
//! limits, its clock, its fan.

use std::sync::{PoisonError, atomic::Ordering};

use tokio::time::Instant;

use super::{
    super::{
        DISABLE, ENABLE, FAN_AUTO, FIRMWARE, SET_FAN_MODE, SET_SAFE,
        SET_SAFE_LEVEL, SET_WATCHDOG, SET_WATCHDOG_MINUTES, WATCHDOG,
        frame::Error, schedule,
    },
    CLOCK, Ups, forgive, refused,
};
use crate::{
    drivers::Batch,
    model::{Health, Part, Trouble},
};

impl Ups {
    /// What a HAT has to be told and asked once.
    pub(super) fn set_up(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let said = self.hat.ask(FIRMWARE, &[], 1)?;
        let text = String::from_utf8_lossy(&said);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        let firmware = (!text.is_empty()).then(|| text.to_owned());
        *self.firmware.lock().unwrap_or_else(PoisonError::into_inner) =
            firmware;
        (self.feed_at, self.clock_at) = (None, None);
        self.let_go()?;
        let troubles = self.set_schedule()?;
        let chassis = Part::Chassis(self.chassis.clone());
        batch.troubles.push((chassis, self.id.clone(), troubles));
        match self.plan.watchdog {
            Some(minutes) => self.watch(minutes),
            None => Ok(()),
        }
    }

    /// Sets the HAT's watchdog going, unless the agent ends.
    fn watch(&self, minutes: u8) -> Result<(), Error> {
        if self.leaving.load(Ordering::Acquire) {
            return Ok(());
        }
        self.hat.set(SET_WATCHDOG_MINUTES, &[minutes])?;
        self.hat.set(SET_WATCHDOG, &[ENABLE])
    }

    /// Sets it going again where somebody else has stopped it.
    pub(super) fn keep_watched(
        &self,
        minutes: u8,
        tries: u32,
    ) -> Result<(), Error> {
        let watches = match self.hat.number(WATCHDOG, tries) {
            Err(error) if error.is_bus() => return Err(error),
            // Who does not say it may well do.
            Err(_) => return Ok(()),
            Ok(said) => said != i32::from(DISABLE),
        };
        if watches || self.leaving.load(Ordering::Acquire) {
            return Ok(());
        }
        let place = &self.name;
        tracing::warn!(%place, "somebody else stopped the watchdog");
        forgive(self.watch(minutes), "its watchdog").map(drop)
    }

    /// Gives the HAT its schedule and the limit of the battery, which it then
    /// keeps even where the agent is dead; says what it does not take.
    fn set_schedule(&mut self) -> Result<Vec<Trouble>, Error> {
        let mut troubles = Vec::new();
        let mut note = |word, text: String| {
            troubles.push(Trouble {
                word,
                text: text.into(),
                health: Health::Warning,
                slows: None,
                over: false,
            });
        };
        if !self.scheduled && !self.cut_comes {
            // Left by an agent that ended with its machine.
            forgive(schedule::keep_on(&self.hat), "an old cut")?;
        }
        let known = match schedule::known(&self.hat) {
            Err(error) if error.is_bus() => return Err(error),
            known => known.unwrap_or_default(),
        };
        match &self.plan.events {
            // Not at each glitch of the bus: intervals would begin anew.
            Some(events)
                if !self.scheduled || known != schedule::wanted(events) =>
            {
                let written = schedule::write(&self.hat, events);
                refused(written, |why| note("Schedule", why))?;
            }
            None if known != 0 => note(
                "Schedule",
                format!(
                    "the UPS keeps events that no board file names, {known:#b}: \
                     `schedule = []` removes them"
                ),
            ),
            _ => {}
        }
        self.scheduled = true;
        if let Some(below) = self.plan.limits.below {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it was checked to be 0 to 100"
            )]
            let level = below.round() as u8;
            let set = self.hat.set(SET_SAFE_LEVEL, &[level]);
            let set = set.and_then(|()| self.hat.set(SET_SAFE, &[ENABLE]));
            refused(set, |why| note("SafeShutdown", why))?;
        }
        Ok(troubles)
    }

    /// The HAT's clock runs on when everything else is off, and runs away.
    pub(super) fn set_clock(&mut self, now: Instant) -> Result<(), Error> {
        if self.clock_at.is_some_and(|at| now < at) {
            return Ok(());
        }
        forgive(schedule::set_clock(&self.hat), "its clock")?;
        self.clock_at = Some(now + CLOCK);
        Ok(())
    }

    /// Leaves the fan to the HAT: an agent that was killed may have driven it
    /// by hand.
    fn let_go(&self) -> Result<(), Error> {
        let said = self.fan_said.lock();
        let mut said = said.unwrap_or_else(PoisonError::into_inner);
        if *said {
            return Ok(());
        }
        forgive(self.hat.set(SET_FAN_MODE, &[FAN_AUTO]), "its fan")?;
        *said = true;
        Ok(())
    }
}
