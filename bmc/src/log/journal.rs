//! From what the agent logs to the journal.

use std::sync::Arc;

use onprem_link::log::{self, Line};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;
use tracing::Level;

use super::{
    Kind, Logs,
    entry::{Entry, Severity},
    store::TARGET,
};

/// What is logged from now on.
pub(super) fn listen() -> Receiver<Arc<Line>> {
    log::lines()
}

/// Notes what the process logs, until `stop`.
pub(super) async fn follow(
    mut lines: Receiver<Arc<Line>>,
    logs: Arc<Logs>,
    stop: CancellationToken,
) {
    loop {
        let line = tokio::select! {
            () = stop.cancelled() => return,
            line = lines.recv() => line,
        };
        let entry = match line {
            // What the journal says of itself would not end.
            Ok(line) if line.target == TARGET => continue,
            Ok(line) => {
                let severity = match line.level {
                    Level::ERROR => Severity::Critical,
                    Level::WARN => Severity::Warning,
                    _ => Severity::Ok,
                };
                Entry::new(severity, &*line.text).source(&line.target)
            }
            Err(RecvError::Lagged(lines)) => {
                let text = format!("{lines} lines came too fast and are lost");
                Entry::new(Severity::Warning, text).source(TARGET)
            }
            Err(RecvError::Closed) => return,
        };
        logs.append(Kind::Journal, entry);
    }
}
