//! The way of a node to the power it shall have, step by step.

use tokio::time::Instant;
use tracing::{debug, warn};

use super::{
    bus::{LOOK, Owner, Plan, Step},
    protocol::Error,
};

impl Owner {
    /// Takes one step on the way of a node.
    pub(super) fn power(&mut self, address: u8, plan: Plan) {
        let now = Instant::now();
        let taken = match self.step(address, plan.step) {
            Err(error) if now < plan.by => {
                debug!(address, %error, "power not confirmed yet");
                Ok(Some(Plan { next: now + LOOK, ..plan }))
            }
            Ok(Some(next)) if next.step != plan.step => Ok(Some(next)),
            // It waits for its turn, which is no failure.
            Ok(Some(next)) if next.step == Step::Start => Ok(Some(next)),
            Ok(Some(_)) if now >= plan.by => Err("it is as it was".to_owned()),
            Ok(Some(next)) => Ok(Some(Plan { by: plan.by, ..next })),
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        let mut state = self.shared.lock();
        let state = &mut *state;
        let now = state.plans.get(&address);
        if now.is_none_or(|now| now.step != plan.step) {
            // Somebody wanted something else meanwhile.
            return;
        }
        match taken {
            Ok(Some(next)) => drop(state.plans.insert(address, next)),
            Ok(None) => drop(state.plans.remove(&address)),
            Err(reason) => {
                state.plans.remove(&address);
                let on = plan.step.comes();
                let word = if on { "on" } else { "off" };
                let why =
                    format!("node {address:#04x} is not {word}: {reason}");
                warn!(address, reason, "power not confirmed");
                if let Some(known) = state.known.get_mut(&address) {
                    known.failed = Some((on, why.into()));
                }
            }
        }
    }

    /// What follows `step`; nothing where the goal is reached. A node is
    /// asked before each command: one that is so already is left alone.
    fn step(&mut self, address: u8, step: Step) -> Result<Option<Plan>, Error> {
        if let Step::Dwell { .. } = step {
            return Ok(Some(Plan::new(Step::Start, Instant::now())));
        }
        let on = self.status(address)?;
        let now = Instant::now();
        Ok(match step {
            Step::Cut { cycle } | Step::Cutting { cycle } if !on => {
                let until = now + self.shared.timing.dwell;
                cycle.then(|| Plan::new(Step::Dwell { until }, until))
            }
            Step::Start | Step::Starting if on => None,
            Step::Cut { cycle } => {
                self.wire.switch(address, false)?;
                Some(Plan::new(Step::Cutting { cycle }, now))
            }
            Step::Start => {
                let before = self.shared.lock().started;
                let turn = before.map(|at| at + self.shared.timing.stagger);
                if let Some(turn) = turn.filter(|turn| *turn > now) {
                    return Ok(Some(Plan::new(Step::Start, turn)));
                }
                self.shared.lock().started = Some(now);
                self.wire.switch(address, true)?;
                Some(Plan::new(Step::Starting, now))
            }
            waits => Some(Plan::new(waits, now + LOOK)),
        })
    }
}
