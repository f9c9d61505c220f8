//! Operations that go on after their request was answered with 202.

mod book;
mod monitor;
mod record;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use onprem_redfish::message::Message;

pub(crate) use self::{
    book::Book,
    record::{Ended, Owner, Payload, Record},
};
use super::error::Error;

type Running =
    Pin<Box<dyn Future<Output = Result<Ended, Error>> + Send + 'static>>;

/// What is to run as a task.
pub(crate) struct Work {
    name: &'static str,
    /// What is said before anything else.
    first: Option<Message>,
    run: Box<dyn FnOnce(Progress) -> Running + Send>,
}

impl Work {
    /// Work that people know by `name`. It ends where its future is dropped,
    /// which happens when somebody cancels the task.
    pub(crate) fn new<F>(
        name: &'static str,
        run: impl FnOnce(Progress) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Ended, Error>> + Send + 'static,
    {
        let run = Box::new(|progress| {
            let running: Running = Box::pin(run(progress));
            running
        });
        Self { name, first: None, run }
    }

    /// The same, which begins with a message.
    pub(crate) fn saying(self, first: Message) -> Self {
        Self { first: Some(first), ..self }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a task tells what it does.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    book: Arc<Book>,
    id: String,
}

impl Progress {
    /// The id of the task.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// It is `percent` done.
    pub(crate) fn percent(&self, percent: u8) {
        self.book.percent(&self.id, percent);
    }

    /// Puts a message into the task.
    pub(crate) fn say(&self, message: &Message) {
        self.book.change(&self.id, |it| it.say(message));
    }

    /// From here on the task cannot be cancelled.
    ///
    /// # Errors
    /// It was cancelled.
    pub(crate) fn no_way_back(&self) -> Result<(), Error> {
        if self.book.keep(&self.id) { Ok(()) } else { Err(Error::internal()) }
    }

    /// From here on the end of the process is not the end of the task. What
    /// it said so far is on disk when this returns, if the disk takes it.
    pub(crate) async fn hand_over(&self) {
        self.book.hand_over(&self.id).await;
    }

    /// Ends a task that was left to [`Ended::Later`].
    pub(crate) async fn finish(&self, outcome: Result<Ended, Error>) {
        self.book.finish(&self.id, outcome).await;
    }
}
