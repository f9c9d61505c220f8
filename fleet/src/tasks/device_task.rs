//! A task of a device's own, followed to its end.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    error::Error,
    live::{Live, text},
};

/// How often the device is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Waits until `end` for the device to be connected.
///
/// # Errors
/// It is not, or was deleted.
pub(super) async fn connected(live: &Live, end: Instant) -> Result<(), Error> {
    loop {
        live.exists()?;
        match live.check() {
            Err(_) if Instant::now() < end => sleep(ASK_EVERY).await,
            connected => return connected,
        }
    }
}

/// The task as it is when it has ended well.
///
/// A device that cannot be reached meanwhile is waited for, as the task goes
/// on without us: until `end`.
///
/// # Errors
/// It did not end well, in the device's own words; it does not end; the device
/// knows it no more, or was deleted.
pub(super) async fn follow(
    live: &Live,
    path: &str,
    end: Instant,
) -> Result<Value, Error> {
    let began = Instant::now();
    let conflict = |message| Error::Conflict { pointer: None, message };
    loop {
        live.exists()?;
        let late = Instant::now() >= end;
        match live.get(path).await {
            Ok(task) => match stands(&task) {
                Stands::Done => return Ok(task),
                Stands::Failed(why) => return Err(conflict(why)),
                Stands::Going(state) if late => {
                    return Err(conflict(format!(
                        "the device's task {path} is still `{state}` after \
                         {} s",
                        began.elapsed().as_secs()
                    )));
                }
                Stands::Going(_) => {}
                Stands::Unknown => {
                    return Err(live.strange("a task without a state"));
                }
            },
            Err(Error::Device { status: StatusCode::NOT_FOUND, .. }) => {
                return Err(conflict(format!(
                    "the device has forgotten its task {path}: look there \
                     what came of it"
                )));
            }
            Err(error) if late || !may_come_back(&error) => return Err(error),
            Err(_) => {}
        }
        sleep(ASK_EVERY).await;
    }
}

/// Whether it is worth to ask again.
fn may_come_back(error: &Error) -> bool {
    match error {
        Error::Tunnel { .. } => true,
        Error::Device { status, .. } => status.is_server_error(),
        _ => false,
    }
}

/// How a task stands.
#[derive(Debug, PartialEq, Eq)]
enum Stands {
    Done,
    /// Why.
    Failed(String),
    /// The word for it.
    Going(String),
    Unknown,
}

/// By `TaskState` of `Task` (DMTF DSP2046).
fn stands(task: &Value) -> Stands {
    let Some(state) = text(task, "/TaskState") else { return Stands::Unknown };
    match &*state {
        "Completed" => Stands::Done,
        "Exception" | "Killed" | "Cancelled" => {
            Stands::Failed(why(task).unwrap_or(state))
        }
        _ => Stands::Going(state),
    }
}

/// What the device says last of its task: what to do, before what it is.
fn why(task: &Value) -> Option<String> {
    let last = task.pointer("/Messages")?.as_array()?.last()?;
    let said = text(last, "/Resolution").or_else(|| text(last, "/Message"))?;
    Some(said.strip_prefix("Why: ").unwrap_or(&said).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_stands_as_the_device_says() {
        let of = |state: &str, messages: Value| {
            stands(&json!({ "TaskState": state, "Messages": messages }))
        };
        for state in ["New", "Running", "Suspended", "Stopping", "Cancelling"] {
            assert_eq!(of(state, json!([])), Stands::Going(state.to_owned()));
        }
        assert_eq!(of("Completed", json!([])), Stands::Done);
        assert_eq!(stands(&json!({})), Stands::Unknown);
        let failed = |why: &str| Stands::Failed(why.to_owned());
        assert_eq!(of("Cancelled", json!([])), failed("Cancelled"));
        let first = json!({"Message": "It began."});
        let last = json!({"Message": "It failed.", "Resolution": "Why: no."});
        assert_eq!(of("Exception", json!([first, last])), failed("no."));
        assert_eq!(of("Killed", json!([first])), failed("It began."));
    }
}
