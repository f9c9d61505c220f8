//! What comes of what the HAT says: of what it wants itself, and of the mains,
//! or their absence.

use tokio::time::Instant;

use super::{
    super::{
        ENABLE, HARD_OFF, REQUEST, SOFT_OFF, SOFT_REBOOT, WANTS_OFF,
        WANTS_REBOOT, frame::Error, policy::Act, schedule,
    },
    AGAIN, Asked, Ups, forgive,
};
use crate::{
    commands::ResetType,
    drivers::{Batch, Wish},
    model::PowerState,
};

impl Ups {
    /// Does what the HAT itself wants: its schedule, its button, its battery.
    /// It cuts the power when it was told that the system goes down.
    pub(super) fn obey(
        &mut self,
        now: Instant,
        tries: u32,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let wanted = match self.hat.number(REQUEST, tries) {
            Err(error) if error.is_bus() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "nobody knows what the UPS wants");
                return Ok(());
            }
            Ok(wanted) => wanted,
        };
        let (kind, confirm) = match wanted {
            WANTS_OFF => (ResetType::GracefulShutdown, SOFT_OFF),
            WANTS_REBOOT => (ResetType::GracefulRestart, SOFT_REBOOT),
            _ => {
                self.asked = None;
                return Ok(());
            }
        };
        let Some((system, power)) = self.system.clone() else { return Ok(()) };
        let asked = self.asked.as_ref().filter(|it| it.wish.kind == kind);
        let granted = asked.is_some_and(|it| it.granted == Some(true));
        // It cuts the power some time after it was told that the system goes
        // down. Nobody says how long: another system has to be down.
        let soon = self.plan.limits.own || wanted == WANTS_REBOOT;
        if power == PowerState::Off || (granted && soon) {
            let told = self.hat.set(confirm, &[ENABLE]);
            forgive(told, "what it wanted")?;
            // Where it still wants it later, all begins again.
            if let Some(asked) = &mut self.asked {
                (asked.at, asked.granted) = (now, None);
            }
            return Ok(());
        }
        if asked.is_none_or(|it| now >= it.at + AGAIN) {
            let reason = format!(
                "command {REQUEST} at {} said {wanted}: the button, the \
                 schedule or the battery of the UPS",
                self.hat.chip.place()
            );
            let wish = Wish { system, kind, reason };
            batch.wishes.push(wish.clone());
            self.asked = Some(Asked { wish, at: now, granted: None });
        }
        Ok(())
    }

    /// Does what the mains, or their absence, ask for.
    pub(super) fn act(
        &mut self,
        now: Instant,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let Some((system, power)) = self.system.clone() else { return Ok(()) };
        match self.policy.next(now, self.level, power) {
            None => {}
            Some(Act::Shutdown(reason)) => {
                let kind = ResetType::GracefulShutdown;
                batch.wishes.push(Wish { system, kind, reason });
            }
            Some(Act::Restore { was_on }) => {
                let kind = ResetType::On;
                let reason = "the mains are back".to_owned();
                let back = self.restores.leads_to(was_on);
                let wish = back.then_some(Wish { system, kind, reason });
                batch.wishes.extend(wish);
            }
            Some(Act::Cut) => {
                let own = self.plan.limits.own;
                let told = if own {
                    schedule::cut_later(&self.hat, self.plan.cut_after)
                } else {
                    self.hat.set(HARD_OFF, &[])
                };
                if told.is_err() {
                    self.policy.not_cut(now);
                }
                if forgive(told, "the cut")? {
                    tracing::warn!(%system, "the UPS cuts the power");
                    self.cut_comes = own;
                }
            }
        }
        Ok(())
    }
}
