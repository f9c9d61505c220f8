//! Runs what hyper spawns as tasks with an owner.

use crate::task::Tasks as _;
use hyper::rt::Executor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// An executor for one connection: its tasks belong to a tracker and end with
/// the connection's token.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// Owns the tasks.
    pub tasks: TaskTracker,
    /// Ends them.
    pub stop: CancellationToken,
}

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let stop = self.stop.clone();
        self.tasks.start(async move {
            stop.run_until_cancelled(task).await;
        });
    }
}
