//! What happens when the mains are gone for too long: the system is shut down,
//! and then the HAT cuts its power. When they are back, so is the system.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::PowerState;

/// How long a system that was asked may take before it is asked again.
const AGAIN: Duration = Duration::from_mins(1);
/// How long a HAT that did not take the cut is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// When a system is shut down.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// With less charge than this, in percent.
    pub(super) below: Option<f64>,
    /// After so long on the battery.
    pub(super) after: Option<Duration>,
    /// Whether the agent runs on that system, and ends with it.
    pub(super) own: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stage {
    #[default]
    Watching,
    /// The system was asked to shut down then, and whether it does.
    Asked(Instant, bool),
    Cut,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// Ask the system to shut down, and why.
    Shutdown(String),
    /// Tell the HAT to cut.
    Cut,
    /// Do with the system as it shall be after an outage, before which it was
    /// on, or off.
    Restore { was_on: bool },
}

/// A system that was shut down, or cut, for lack of mains.
#[derive(Clone, Copy, Debug)]
struct Gone {
    was_on: bool,
    /// It was seen to go.
    seen: bool,
}

#[derive(Debug, Default)]
pub(super) struct Policy {
    pub(super) limits: Limits,
    stage: Stage,
    since: Option<Instant>,
    gone: Option<Gone>,
}

impl Policy {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes whether the system is fed by the battery.
    pub(super) fn on_battery(&mut self, on_battery: bool, now: Instant) {
        if !on_battery {
            // Who is on the way down goes down first, and keeps its power.
            (self.since, self.stage) = (None, Stage::Watching);
        } else if self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// Takes whether the system shuts down as it was asked.
    pub(super) fn heard(&mut self, accepted: bool) {
        if let Stage::Asked(_, agreed) = &mut self.stage {
            *agreed = accepted;
            if accepted {
                self.gone = Some(Gone { was_on: true, seen: false });
            }
        }
    }

    /// What has to be done now, with `level` percent left and a system that is
    /// `power`.
    pub(super) fn next(
        &mut self,
        now: Instant,
        level: Option<f64>,
        power: PowerState,
    ) -> Option<Act> {
        if let Some(gone) = &mut self.gone {
            gone.seen |= power != PowerState::On;
        }
        let Some(since) = self.since else { return self.back(power) };
        let on_battery = now.duration_since(since);
        let down = power == PowerState::Off;
        match self.stage {
            // The HAT did not take it a moment ago.
            Stage::Asked(at, _) if now < at => None,
            Stage::Asked(_, true) if down || self.limits.own => self.cut(),
            Stage::Asked(..) if down => self.cut(),
            Stage::Watching | Stage::Asked(..) => {
                let why = self.due(on_battery, level)?;
                if down {
                    return self.cut();
                }
                let asked = matches!(self.stage, Stage::Asked(at, _)
                    if now.duration_since(at) < AGAIN);
                if asked {
                    return None;
                }
                self.stage = Stage::Asked(now, false);
                Some(Act::Shutdown(why))
            }
            Stage::Cut => None,
        }
    }

    /// The HAT did not take it: it is told again.
    pub(super) fn not_cut(&mut self, now: Instant) {
        self.stage = Stage::Asked(now + RETRY, true);
    }

    /// The mains are there: what went for lack of them comes back.
    fn back(&mut self, power: PowerState) -> Option<Act> {
        let Gone { was_on, seen } = self.gone?;
        let down = power == PowerState::Off;
        if down || (seen && power == PowerState::On) {
            self.gone = None;
        }
        // The agent's own machine is brought back by the HAT.
        (down && !self.limits.own).then_some(Act::Restore { was_on })
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is the answer of `next`")]
    fn cut(&mut self) -> Option<Act> {
        self.stage = Stage::Cut;
        self.gone.get_or_insert(Gone { was_on: false, seen: true });
        Some(Act::Cut)
    }

    fn due(&self, on_battery: Duration, level: Option<f64>) -> Option<String> {
        let Limits { below, after, .. } = self.limits;
        if let (Some(below), Some(level)) = (below, level)
            && level < below
        {
            return Some(format!("on battery with {level} %, below {below} %"));
        }
        let after = after.filter(|after| on_battery >= *after)?;
        Some(format!("on battery for {} s", after.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(own: bool) -> Policy {
        let (below, after) = (Some(20.0), Some(SECOND * 300));
        Policy::new(Limits { below, after, own })
    }

    #[test]
    fn shuts_down_first_and_cuts_last() {
        let (mut policy, now) = (policy(false), Instant::now());
        let (on, off) = (PowerState::On, PowerState::Off);
        assert_eq!(policy.next(now, Some(5.0), on), None, "on the mains");
        policy.on_battery(true, now);
        assert_eq!(policy.next(now, Some(50.0), on), None);
        assert_eq!(policy.next(now, None, on), None, "nobody knows the level");
        let act = policy.next(now, Some(19.0), on);
        let why = "on battery with 19 %, below 20 %".to_owned();
        assert_eq!(act, Some(Act::Shutdown(why)));
        policy.heard(true);
        let going = PowerState::PoweringOff;
        assert_eq!(policy.next(now + SECOND, Some(19.0), going), None);
        let later = now + SECOND * 9;
        assert_eq!(policy.next(later, Some(19.0), off), Some(Act::Cut));
        assert_eq!(policy.next(later, Some(19.0), off), None, "once");
    }

    #[test]
    fn time_counts_as_well_and_a_refusal_is_not_the_end() {
        let (mut policy, now) = (policy(false), Instant::now());
        let on = PowerState::On;
        policy.on_battery(true, now);
        assert_eq!(policy.next(now + SECOND * 299, Some(90.0), on), None);
        let due = now + SECOND * 300;
        let asked = Some(Act::Shutdown("on battery for 300 s".to_owned()));
        assert_eq!(policy.next(due, Some(90.0), on), asked);
        policy.heard(false);
        assert_eq!(policy.next(due + SECOND, Some(90.0), on), None);
        assert_eq!(policy.next(due + AGAIN, Some(90.0), on), asked);
    }

    #[test]
    fn mains_that_come_back_bring_back_what_went() {
        let (mut policy, now) = (policy(false), Instant::now());
        policy.on_battery(true, now);
        policy.next(now, Some(1.0), PowerState::On).unwrap();
        policy.heard(true);
        policy.on_battery(false, now);
        let (on, off) = (PowerState::On, PowerState::Off);
        let mut next = |power| policy.next(now, Some(1.0), power);
        assert_eq!(next(on), None, "it has not begun to go");
        assert_eq!(next(PowerState::PoweringOff), None);
        assert_eq!(next(off), Some(Act::Restore { was_on: true }));
        assert_eq!(next(off), None, "once");
    }

    #[test]
    fn who_was_off_or_is_on_again_is_known_to_be() {
        let (mut policy, now) = (policy(false), Instant::now());
        let (on, off) = (PowerState::On, PowerState::Off);
        policy.on_battery(true, now);
        assert_eq!(policy.next(now, Some(1.0), off), Some(Act::Cut));
        policy.on_battery(false, now);
        let back = Some(Act::Restore { was_on: false });
        assert_eq!(policy.next(now, Some(1.0), off), back);
        policy.on_battery(true, now);
        policy.next(now, Some(1.0), on).unwrap();
        policy.heard(true);
        policy.next(now, Some(1.0), off).unwrap();
        policy.on_battery(false, now);
        assert_eq!(policy.next(now, Some(1.0), on), None);
        assert_eq!(policy.next(now, Some(1.0), off), None, "it went by itself");
    }

    #[test]
    fn on_the_machine_of_the_agent_the_hat_is_told_before_the_agent_ends() {
        let (mut policy, now) = (policy(true), Instant::now());
        let on = PowerState::On;
        policy.on_battery(true, now);
        policy.next(now, Some(1.0), on).unwrap();
        assert_eq!(policy.next(now, Some(1.0), on), None, "not yet accepted");
        policy.heard(true);
        assert_eq!(policy.next(now, Some(1.0), on), Some(Act::Cut));
    }
}
