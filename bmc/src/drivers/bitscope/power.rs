//! The way of a node to the power it shall have, step by step.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::{
    bus::{LOOK, Owner, Plan, Step},
    protocol::Error,
};

/// When a node that has to come on and does not is tried again.
const AGAIN: Duration = Duration::from_secs(30);

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
        if now.is_none_or(|now| (now.step, now.by) != (plan.step, plan.by)) {
            // Somebody wanted something else meanwhile.
            return;
        }
        match taken {
            Ok(Some(next)) => drop(state.plans.insert(address, next)),
            Ok(None) => {
                state.plans.remove(&address);
                state.lasting.remove(&address);
            }
            Err(reason) => {
                let on = plan.step.comes();
                if on && state.lasting.contains(&address) {
                    let next = Instant::now() + AGAIN;
                    let again = Plan { step: Step::Start, next, by: next };
                    state.plans.insert(address, again);
                } else {
                    state.plans.remove(&address);
                }
                let word = if on { "on" } else { "off" };
                let why =
                    format!("node {address:#04x} is not {word}: {reason}");
                if let Some(known) = state.known.get_mut(&address) {
                    if known.failed.is_none() {
                        warn!(address, reason, "power not confirmed");
                    }
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
            Step::Resume | Step::Start | Step::Starting if on => None,
            Step::Resume => {
                let until = now + self.shared.timing.dwell;
                Some(Plan::new(Step::Dwell { until }, until))
            }
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
