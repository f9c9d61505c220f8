//! Who may type: one at a time.

use std::time::Duration;

use tokio::time::Instant;

/// Who has not typed for so long can be followed by whoever types next.
const IDLE: Duration = Duration::from_mins(5);

/// Who may type. Sessions are told apart by their numbers.
#[derive(Debug, Default)]
pub(super) struct Lease(Option<Held>);

#[derive(Debug)]
struct Held {
    session: u64,
    who: String,
    until: Instant,
}

impl Lease {
    /// The session that holds it, and who that is.
    pub(super) fn holder(&self, now: Instant) -> Option<(u64, &str)> {
        let held = self.0.as_ref().filter(|held| now < held.until)?;
        Some((held.session, &held.who))
    }

    /// The same, to be kept.
    pub(super) fn writer(&self, now: Instant) -> Option<(u64, String)> {
        self.holder(now).map(|(session, who)| (session, who.to_owned()))
    }

    /// Whether `session` may type, which keeps the lease; else who may.
    pub(super) fn ask(
        &mut self,
        session: u64,
        who: &str,
        now: Instant,
    ) -> Result<Typing, String> {
        match self.holder(now) {
            Some((holder, _)) if holder == session => {
                self.take(session, who, now);
                Ok(Typing::Still)
            }
            Some((_, other)) => Err(other.to_owned()),
            None => {
                // Whose time has run out and who comes back is not new.
                let again =
                    self.0.as_ref().is_some_and(|held| held.session == session);
                self.take(session, who, now);
                Ok(if again { Typing::Still } else { Typing::New })
            }
        }
    }

    /// Gives it to `session`, whoever held it.
    pub(super) fn take(&mut self, session: u64, who: &str, now: Instant) {
        let until = now + IDLE;
        self.0 = Some(Held { session, who: who.to_owned(), until });
    }

    /// `session` does not want it any more.
    pub(super) fn leave(&mut self, session: u64) -> bool {
        self.0.take_if(|held| held.session == session).is_some()
    }
}

/// How somebody comes to type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typing {
    /// As before.
    Still,
    /// From now on.
    New,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_types_until_another_takes_it_or_time_runs_out() {
        let (mut lease, now) = (Lease::default(), Instant::now());
        assert_eq!(lease.ask(1, "ada", now), Ok(Typing::New));
        assert_eq!(lease.ask(1, "ada", now), Ok(Typing::Still));
        assert_eq!(lease.ask(2, "bob", now), Err("ada".to_owned()));
        lease.take(2, "bob", now);
        assert_eq!(lease.ask(1, "ada", now), Err("bob".to_owned()));
        let later = now + IDLE;
        assert_eq!(lease.holder(later), None);
        assert_eq!(lease.ask(1, "ada", later), Ok(Typing::New));
        assert!(!lease.leave(2));
        assert!(lease.leave(1));
        assert_eq!(lease.holder(later), None);
    }
}
