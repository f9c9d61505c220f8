//! A task that is under way: its steps, one after the other.

use chrono::Utc;
use onprem_link::{id::Xid, log::Chain};
use tracing::warn;

use super::{Kept, Rest};
use crate::{
    Fleet,
    api::{Task, TaskState, TaskStep},
    error::Error,
    store::StoreError,
};

/// What came of a step, and what is told of it.
pub(super) type Done<T> = Result<(T, Option<String>), Error>;

/// A task that is under way.
pub(super) struct Progress {
    fleet: Fleet,
    id: Xid,
    step: usize,
}

impl Progress {
    /// At its first step that is not done.
    pub(super) fn new(fleet: Fleet, task: &Task) -> Self {
        let ahead =
            |step: &TaskStep| !matches!(step.state, TaskState::Completed);
        let step = task.steps.iter().position(ahead);
        Self { fleet, id: task.id, step: step.unwrap_or(task.steps.len()) }
    }

    /// Does the next step.
    pub(super) async fn step<T>(
        &mut self,
        work: impl Future<Output = Done<T>>,
    ) -> Result<T, Error> {
        self.work(work, |_| None).await
    }

    /// How many steps are ahead.
    pub(super) fn ahead(&self, task: &Task) -> usize {
        task.steps.len().saturating_sub(self.step)
    }

    /// Does the next step, by which the device begins to do the rest itself:
    /// what is left is kept with the task, which goes on after a restart.
    pub(super) async fn hand_over<T: Clone + Into<Rest>>(
        &mut self,
        work: impl Future<Output = Done<T>>,
    ) -> Result<T, Error> {
        self.work(work, |rest| Some(rest.clone().into())).await
    }

    async fn work<T>(
        &mut self,
        work: impl Future<Output = Done<T>>,
        rest: impl Fn(&T) -> Option<Rest>,
    ) -> Result<T, Error> {
        let step = self.step;
        self.step += 1;
        self.note(|kept| {
            kept.task.state = TaskState::Running;
            if let Some(step) = kept.task.steps.get_mut(step) {
                step.state = TaskState::Running;
                step.message = None;
                step.started_at.get_or_insert_with(Utc::now);
                step.finished_at = None;
            }
        })
        .await;
        let result = work.await;
        let (state, message) = match &result {
            Ok((_, message)) => (TaskState::Completed, message.clone()),
            Err(error) => (TaskState::Failed, Some(told(error))),
        };
        let rest = result.as_ref().ok().and_then(|(value, _)| rest(value));
        let done = state == TaskState::Completed;
        self.note(|kept| {
            // What is left is there until the task has ended.
            if let Some(rest) = &rest {
                kept.rest = Some(rest.clone());
            }
            let task = &mut kept.task;
            let steps = task.steps.len().max(1);
            if done {
                let percent = ((step + 1) * 100 / steps).min(100);
                task.progress = u8::try_from(percent).unwrap_or(100);
            }
            if let Some(step) = task.steps.get_mut(step) {
                step.state = state;
                step.message.clone_from(&message);
                step.finished_at = Some(Utc::now());
            }
        })
        .await;
        result.map(|(value, _)| value)
    }

    /// What keeps how far a step is that hands over bit by bit.
    pub(super) fn keeper(&self) -> Keeper {
        Keeper { fleet: self.fleet.clone(), id: self.id }
    }

    /// Notes what came of the task.
    pub(super) async fn end(self, result: Result<String, Error>) {
        if let Err(error) = &result {
            warn!(error = %Chain(error), task = %self.id, "task failed");
        }
        let result = result.map_err(|error| told(&error));
        self.note(|kept| {
            kept.rest = None;
            match &result {
                Ok(message) => end(&mut kept.task, Ok(message)),
                Err(message) => end(&mut kept.task, Err(message)),
            }
        })
        .await;
    }

    async fn note(&self, change: impl Fn(&mut Kept)) {
        let noted = self.fleet.tasks().change(self.id, change).await;
        noted_or_told(self.id, noted);
    }
}

/// Keeps what is left of a task, while a step of it is under way.
pub(super) struct Keeper {
    fleet: Fleet,
    id: Xid,
}

impl Keeper {
    pub(super) async fn keep(&self, rest: Rest) {
        let change = |kept: &mut Kept| kept.rest = Some(rest.clone());
        let noted = self.fleet.tasks().note(self.id, change).await;
        noted_or_told(self.id, noted.map(drop));
    }
}

fn noted_or_told(task: Xid, noted: Result<(), StoreError>) {
    if let Err(error) = noted {
        warn!(error = %Chain(&error), %task, "task not noted");
    }
}

/// An error as the person who asked for the task is told of it.
fn told(error: &Error) -> String {
    match error {
        Error::Internal(_) | Error::Store(_) => error.to_string(),
        _ => Chain(error).to_string(),
    }
}

/// Notes in `task` what came of it.
pub(super) fn end(task: &mut Task, result: Result<&str, &str>) {
    let now = Utc::now();
    task.finished_at = Some(now);
    match result {
        Ok(message) => {
            task.state = TaskState::Completed;
            task.progress = 100;
            task.result = Some(message.to_owned());
        }
        Err(message) => {
            task.state = TaskState::Failed;
            task.result = Some(message.to_owned());
            for step in &mut task.steps {
                if step.state == TaskState::Running {
                    step.state = TaskState::Failed;
                    step.message = Some(message.to_owned());
                    step.finished_at = Some(now);
                }
            }
        }
    }
}
