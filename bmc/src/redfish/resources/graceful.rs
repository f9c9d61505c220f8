//! Graceful resets of a node by the agent that it has of its own: tasks, as
//! they take their time.

use std::sync::Arc;

use chrono::SecondsFormat;
use http::StatusCode;
use onprem_link::task::Tasks as _;
use onprem_redfish::message::base;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::{
    commands::{Commands, ResetType},
    model::{Id, NodeAgent},
    node_agent::Ended as Outcome,
    redfish::{
        error::Error,
        task::{Book, Ended, Progress, Work},
    },
};

/// The task that shuts `system` down, or starts it again.
pub(super) fn work(commands: &Commands, system: &Id, kind: ResetType) -> Work {
    let (commands, system) = (commands.clone(), system.clone());
    Work::new(name(kind), move |progress: Progress| async move {
        let task = Some(progress.id().to_owned());
        let going = commands.nodes.ask(&system, kind, task).await?;
        // An agent that ends over it leaves it to the next.
        progress.hand_over().await;
        match going.outcome().await {
            Some(ended) => outcome(ended),
            None => Ok(Ended::Later),
        }
    })
}

fn name(kind: ResetType) -> &'static str {
    match kind {
        ResetType::GracefulRestart => "Graceful restart of a node",
        _ => "Graceful shutdown of a node",
    }
}

fn outcome(ended: Outcome) -> Result<Ended, Error> {
    ended.map(|()| Ended::Done).map_err(|reason| {
        let message =
            base::operation_failed().resolved_by(format!("Why: {reason}."));
        Error::new(StatusCode::CONFLICT, message)
    })
}

/// Ends in `book` the tasks that were under way when the agent ended before.
pub(crate) fn follow(
    commands: &Commands,
    book: &Arc<Book>,
    tasks: &TaskTracker,
) {
    for (task, going) in commands.nodes.resumed() {
        let book = Arc::clone(book);
        tasks.start(async move {
            let Some(progress) = book.take_up(&task) else { return };
            // Who cancels it now would not be heard.
            if progress.no_way_back().is_err() {
                return;
            }
            if let Some(ended) = going.outcome().await {
                progress.finish(outcome(ended)).await;
            }
        });
    }
}

/// How the agent stands that a node has of its own.
pub(super) fn describe(agent: &NodeAgent) -> Value {
    let at = agent.at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let reachable = agent.why.is_none();
    let mut about = json!({
        "URI": &*agent.url, "Reachable": reachable, "Since": at,
    });
    if let (Some(why), Some(about)) = (&agent.why, about.as_object_mut()) {
        about.insert("Reason".to_owned(), (&**why).into());
    }
    about
}
