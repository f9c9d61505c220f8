//! The audit log: who wrote what, with which result.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use onprem_redfish::message::{Message, base, resource_event};
use tokio::time::Instant;

use crate::log::{By, Entry, Kind, Logs, Severity};

/// In this time …
const WINDOW: Duration = Duration::from_mins(1);
/// … strangers get so many entries; what is more is counted.
const STRANGERS: u32 = 60;

/// Adds to the audit log.
#[derive(Debug)]
pub(crate) struct Audit {
    logs: Arc<Logs>,
    strangers: Mutex<Strangers>,
}

/// What strangers did since a window began.
#[derive(Debug, Default)]
struct Strangers {
    since: Option<Instant>,
    seen: u32,
}

impl Strangers {
    /// Whether one more gets an entry, and how many did not get one in the
    /// window that has just ended.
    fn one_more(&mut self, now: Instant) -> (bool, u32) {
        let over = |since| now.duration_since(since) >= WINDOW;
        let mut left_out = 0;
        if self.since.is_none_or(over) {
            left_out = self.seen.saturating_sub(STRANGERS);
            *self = Self { since: Some(now), seen: 0 };
        }
        self.seen = self.seen.saturating_add(1);
        (self.seen <= STRANGERS, left_out)
    }
}

impl Audit {
    pub(crate) fn new(logs: Arc<Logs>) -> Self {
        Self { logs, strangers: Mutex::default() }
    }

    /// Notes what somebody does who has been let in.
    pub(crate) fn note(&self, by: By, text: String) {
        let entry = Entry::new(Severity::Ok, text);
        let entry = entry.message(&base::success()).by(by);
        self.logs.append(Kind::Audit, entry);
    }

    /// Returns when the entry is in the file, and on the disk if it is known
    /// who asked.
    pub(crate) async fn write(&self, by: By) {
        let log = self.logs.of(Kind::Audit);
        let known = !by.who.is_empty();
        if !known {
            // Strangers must neither wear the disk out nor push out what
            // others did.
            let mut strangers =
                self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
            let (entry, left_out) = strangers.one_more(Instant::now());
            drop(strangers);
            if left_out > 0 {
                let text = format!("{left_out} more requests of strangers");
                let entry = Entry::new(Severity::Warning, text);
                log.append(entry.message(&base::no_valid_session()));
            }
            if !entry {
                return;
            }
        }
        let who = if known { &by.who } else { "a stranger" };
        let kind = by.reset.as_ref().map(|kind| format!(" ({kind})"));
        let mut text = format!(
            "{who}: {} {}{} was answered with {}",
            by.method,
            by.uri,
            kind.unwrap_or_default(),
            by.status
        );
        if let Some(request) = &by.request {
            let _ = write!(text, " (the fleet's request {request})");
        }
        let severity = match by.status {
            400.. => Severity::Warning,
            _ => Severity::Ok,
        };
        let message = what(&by);
        let entry = Entry::new(severity, text).message(&message).by(by);
        // The log itself says why, where it cannot be written.
        let _ = log.append_and_wait(entry, known).await;
    }
}

/// The message of a registry that comes nearest to what was done.
fn what(by: &By) -> Message {
    match (by.status, &*by.method) {
        (401, _) => base::no_valid_session(),
        (403, _) => base::insufficient_privilege(),
        (400.., _) => base::general_error(),
        (_, "PATCH" | "PUT") => resource_event::resource_changed(),
        (_, "DELETE") => resource_event::resource_removed(),
        (201, _) => resource_event::resource_created(),
        _ => base::success(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_fill_the_log() {
        let mut strangers = Strangers::default();
        let now = Instant::now();
        let noted = (0..1000).filter(|_| strangers.one_more(now).0).count();
        assert_eq!(noted, 60);
        let later = now + WINDOW;
        assert_eq!(strangers.one_more(later), (true, 940));
        assert_eq!(strangers.one_more(later), (true, 0));
    }
}
