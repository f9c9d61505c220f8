//! What is left of a task once a device does it, and how it goes on after the
//! server was restarted.

use std::time::Duration;

use chrono::Utc;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tracing::{info, warn};

use super::{Progress, capture, reset};
use crate::{
    Fleet,
    api::{Task, TaskState},
    auth::Role,
    error::Error,
};

/// How long a device may take to be back after the server was restarted, even
/// if the time of its task is up: what came of that is there to be read. A
/// device waits up to five minutes between two tries to connect.
const RETURN: Duration = Duration::from_mins(10);

/// What is left of a task that a device goes on with by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Rest {
    /// Nodes that are being reset.
    Reset(reset::Sent),
    /// Signals that are being recorded.
    Capture(capture::Begun),
}

/// Reads what is left of a task; nothing where another version of the server
/// wrote what this one does not know.
pub(super) fn if_known<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<Rest>, D::Error> {
    let Some(value) = Option::<Value>::deserialize(source)? else {
        return Ok(None);
    };
    let rest = Rest::deserialize(&value);
    Ok(rest
        .inspect_err(|error| {
            warn!(%error, "what is left of a task cannot be read");
        })
        .ok())
}

/// Tasks that devices were doing when the server ended.
pub(crate) struct Unfollowed(Vec<(Task, Rest)>);

impl Unfollowed {
    /// To be taken before anybody can ask for more.
    pub(crate) fn of(fleet: &Fleet) -> Self {
        Self(fleet.tasks().unfollowed())
    }

    /// Goes on with them.
    pub(crate) async fn resume(self, fleet: &Fleet) {
        for (task, rest) in self.0 {
            let progress = Progress::new(fleet.clone(), &task);
            // All that is left is to look; that is asked for in the name of
            // who began it, who may have lost the right to more.
            let (by, role) = (&task.created_by, Role::Readonly);
            let live = task.device.and_then(|it| fleet.live_as(by, role, it));
            let Some(live) = live else {
                progress.end(Err(Error::device_deleted())).await;
                continue;
            };
            info!(task = %task.id, device = ?task.device_name, "task goes on");
            match rest {
                Rest::Reset(sent) => {
                    let patience = time_left(&task, reset::TASK_PATIENCE);
                    let fleet = fleet.clone();
                    let work =
                        reset::Work { live, fleet: fleet.clone(), patience };
                    fleet.spawn(work.go_on(task, sent, progress));
                }
                Rest::Capture(begun) => {
                    let patience = time_left(&task, capture::PATIENCE);
                    let going = capture::go_on(live, begun, patience, progress);
                    fleet.spawn(going);
                }
            }
        }
    }
}

/// How much is left of `patience`, counted from when the step began that is
/// under way.
fn time_left(task: &Task, patience: Duration) -> Duration {
    let running = |state| matches!(state, TaskState::Running);
    let step = task.steps.iter().find(|step| running(step.state));
    let since = step.and_then(|step| step.started_at);
    let passed = Utc::now() - since.unwrap_or(task.created_at);
    let passed = passed.to_std().unwrap_or_default();
    patience.saturating_sub(passed).max(RETURN)
}
