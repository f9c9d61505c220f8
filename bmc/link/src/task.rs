//! Work beside what is under way, in one shape: whatever it does, the runtime
//! knows it as a boxed future or closure, and its own part of a task is
//! compiled once, not once for each.

use std::pin::Pin;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Work that answers nothing.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What has tasks.
pub trait Tasks {
    /// Starts `work` as one of them.
    fn start(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()>;
}

impl Tasks for TaskTracker {
    fn start(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let work: Task = Box::pin(work);
        self.spawn(work)
    }
}

/// Does `work`, which waits for a disk or computes for long, on a thread for
/// that. It is done even if nobody waits for it.
pub fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let work: Box<dyn FnOnce() -> T + Send> = Box::new(work);
    tokio::task::spawn_blocking(work)
}
