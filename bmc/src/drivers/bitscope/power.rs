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
            Step::Cut { .. } if !self.shared.cuts(address, step) => None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::pause,
        drivers::bitscope::{
            bus::{Bus, Goal, Timing},
            console::Consoles,
            protocol::{Secret, Wire},
        },
        sim::{
            bitscope::Rack,
            serial::{LineFaults, SimulatedSerial},
        },
    };

    /// A bus that has seen its four nodes, and what can happen to its line.
    fn bus() -> (Rack, Bus, LineFaults) {
        let rack = Rack::new(4);
        let link = SimulatedSerial::new(Box::new(rack.clone()));
        let faults = link.faults();
        let link = Box::new(link);
        let timing = Timing { stagger: Duration::ZERO, dwell: Duration::ZERO };
        let consoles = Consoles::new(&[0, 1, 2, 3], None, 0);
        let wire = Wire::new(link, Secret::default());
        let bus = Bus::start(wire, consoles, timing).unwrap();
        wait(|| bus.known(3).0.last.is_some());
        (rack, bus, faults)
    }

    fn wait(done: impl Fn() -> bool) {
        let begin = Instant::now();
        while !done() {
            assert!(begin.elapsed() < Duration::from_secs(20), "it lasts");
            pause(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_cut_that_waits_for_the_bus_can_be_taken_back() {
        let (rack, bus, _) = bus();
        rack.hang(true);
        assert_eq!(bus.reach(2, Goal::Off).ok(), Some(false));
        // It is asked before it is told, and cannot answer.
        pause(Duration::from_millis(50));
        assert!(bus.withdraw(2));
        rack.hang(false);
        // What is asked for later is done: so the bus is there again.
        assert_eq!(bus.reach(3, Goal::Off).ok(), Some(false));
        wait(|| !rack.is_on(3));
        let switched = rack.log().into_iter().map(|it| it.address);
        assert_eq!(switched.collect::<Vec<_>>(), [3]);
        assert_eq!(bus.known(2).1, None, "nothing is under way");
    }

    #[test]
    fn a_line_that_is_gone_is_told_and_found_again() {
        let (_rack, bus, faults) = bus();
        assert_eq!(bus.gone(2), None);
        faults.unplug(true);
        // The next look at a node finds out.
        wait(|| bus.gone(2).is_some());
        faults.unplug(false);
        wait(|| bus.gone(2).is_none());
    }

    #[test]
    fn a_cut_that_was_told_cannot_be_taken_back() {
        let (rack, bus, _) = bus();
        assert_eq!(bus.reach(2, Goal::Off).ok(), Some(false));
        wait(|| !rack.is_on(2));
        assert!(!bus.withdraw(2));
        wait(|| bus.known(2).1.is_none());
        assert!(!bus.withdraw(2), "it is off");
        assert_eq!(bus.reach(2, Goal::On).ok(), Some(true));
        wait(|| matches!(bus.known(2).0.last, Some((true, ..))));
        assert!(bus.withdraw(2), "it is on again");
    }
}
