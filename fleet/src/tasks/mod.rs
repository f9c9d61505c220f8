//! Work that takes its time, and the work that never ends.

mod capture;
mod device_task;
pub mod inventory;
pub mod presence;
mod reset;
pub mod tidy;

use std::sync::Arc;

use chrono::Utc;
use dropshot::ResultsPage;
use onprem_link::{id::Xid, log::Chain};
use tracing::{info, warn};

pub(crate) use self::{capture::capture, reset::reset};
use crate::{
    Fleet,
    api::{
        Device, Event, EventKind, Page, Severity, Task, TaskFilter, TaskState,
        TaskStep,
    },
    auth::Caller,
    error::Error,
    events::Events,
    store::{Collection, Record, Store, StoreError, Table},
};

/// Tasks that are kept once they are done.
const KEPT: usize = 1000;

/// Tasks that may be under way.
const AT_ONCE: usize = 1000;

impl Record for Task {
    const COLLECTION: Collection = Collection::Tasks;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

impl Task {
    /// Whether it is not done yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, TaskState::Pending | TaskState::Running)
    }
}

/// The tasks that were asked for.
#[derive(Debug)]
pub struct Tasks {
    table: Table<Task>,
    events: Arc<Events>,
}

impl Tasks {
    /// Reads the tasks. Those that were under way when the server ended have
    /// failed.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        events: Arc<Events>,
    ) -> Result<Self, StoreError> {
        let tasks = Self { table: Table::open(store).await?, events };
        for task in tasks.table.all() {
            if task.is_open() {
                info!(task = %task.id, "task was interrupted");
                tasks
                    .change(task.id, |task| {
                        end(task, Err("the fleet server was restarted"));
                    })
                    .await?;
            }
        }
        Ok(tasks)
    }

    /// A page of tasks; `device` is the one that the filter names.
    pub(crate) fn list(
        &self,
        page: &Page<TaskFilter>,
        device: Option<Xid>,
    ) -> Result<ResultsPage<Task>, Error> {
        let filter = &page.filter;
        let found = self
            .table
            .all()
            .iter()
            .filter(|task| filter.state.is_none_or(|s| task.state == s))
            .filter(|task| {
                filter.device.is_none()
                    || (device.is_some() && task.device == device)
                    || task.device_name == filter.device
            })
            .map(|task| Task::clone(task))
            .collect();
        page.page(found)
    }

    /// All tasks.
    pub(crate) fn all(&self) -> Vec<Arc<Task>> {
        self.table.all()
    }

    /// One task.
    pub(crate) fn get(&self, id: &str) -> Result<Task, Error> {
        let task = self.table.get(id);
        task.map(|task| Task::clone(&task))
            .ok_or_else(|| Error::not_found("task", id))
    }

    /// Notes a task about a device that consists of `steps`.
    pub(crate) async fn begin(
        &self,
        caller: &Caller,
        operation: &str,
        description: String,
        device: &Device,
        steps: &[&str],
    ) -> Result<Task, Error> {
        let all = self.table.all();
        if all.iter().filter(|task| task.is_open()).count() >= AT_ONCE {
            return Err(Error::Busy("too many tasks are under way"));
        }
        let done = all.iter().filter(|task| !task.is_open());
        for task in done.rev().skip(KEPT) {
            self.table.remove(&task.id.to_string()).await?;
        }
        let task = Task {
            id: Xid::new(),
            operation: operation.to_owned(),
            description,
            device: Some(device.id),
            device_name: Some(device.name.to_string()),
            state: TaskState::Pending,
            progress: 0,
            steps: steps
                .iter()
                .map(|name| TaskStep {
                    name: (*name).to_owned(),
                    state: TaskState::Pending,
                    message: None,
                    started_at: None,
                    finished_at: None,
                })
                .collect(),
            result: None,
            created_by: caller.account().to_owned(),
            created_at: Utc::now(),
            finished_at: None,
        };
        let task = self.table.insert(task).await?;
        self.tell(&task).await;
        Ok(Task::clone(&task))
    }

    /// Changes a task and tells it.
    async fn change(
        &self,
        id: Xid,
        change: impl Fn(&mut Task),
    ) -> Result<(), StoreError> {
        let changed = self
            .table
            .update(&id.to_string(), |task| {
                change(task);
                Ok::<_, StoreError>(())
            })
            .await?;
        if let Some(task) = changed {
            self.tell(&task).await;
        }
        Ok(())
    }

    async fn tell(&self, task: &Task) {
        let (severity, what) = match task.state {
            TaskState::Pending => (Severity::Info, "is to begin".to_owned()),
            TaskState::Running => {
                (Severity::Info, format!("is at {} %", task.progress))
            }
            TaskState::Completed => (Severity::Info, "is done".to_owned()),
            TaskState::Failed => {
                let why = task.result.as_deref().unwrap_or("no reason known");
                (Severity::Warning, format!("failed: {why}"))
            }
        };
        let event = Event {
            id: Xid::new(),
            time: Utc::now(),
            kind: EventKind::TaskChanged,
            severity,
            message: format!("{} {what}", task.description),
            device: task.device,
            device_name: task.device_name.clone(),
            task: Some(task.id),
        };
        // How far it is, is of interest to those who look on only.
        if task.is_open() {
            self.events.mention(event);
        } else {
            self.events.tell(event).await;
        }
    }
}

/// A task that is under way.
pub(crate) struct Progress {
    fleet: Fleet,
    id: Xid,
    step: usize,
}

impl Progress {
    pub(crate) fn new(fleet: Fleet, task: &Task) -> Self {
        Self { fleet, id: task.id, step: 0 }
    }

    /// Does the next step.
    pub(crate) async fn step<T>(
        &mut self,
        work: impl Future<Output = Result<(T, Option<String>), Error>>,
    ) -> Result<T, Error> {
        let step = self.step;
        self.step += 1;
        self.note(|task| {
            task.state = TaskState::Running;
            if let Some(step) = task.steps.get_mut(step) {
                step.state = TaskState::Running;
                step.started_at = Some(Utc::now());
            }
        })
        .await;
        let result = work.await;
        let (state, message) = match &result {
            Ok((_, message)) => (TaskState::Completed, message.clone()),
            Err(error) => (TaskState::Failed, Some(told(error))),
        };
        let done = state == TaskState::Completed;
        self.note(|task| {
            let steps = task.steps.len().max(1);
            if done {
                let percent = (step + 1) * 100 / steps;
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

    /// Notes what came of the task.
    pub(crate) async fn end(self, result: Result<String, Error>) {
        if let Err(error) = &result {
            warn!(error = %Chain(error), task = %self.id, "task failed");
        }
        let result = result.map_err(|error| told(&error));
        self.note(|task| match &result {
            Ok(message) => end(task, Ok(message)),
            Err(message) => end(task, Err(message)),
        })
        .await;
    }

    async fn note(&self, change: impl Fn(&mut Task)) {
        if let Err(error) = self.fleet.tasks().change(self.id, change).await {
            warn!(error = %Chain(&error), task = %self.id, "task not noted");
        }
    }
}

/// An error as the person who asked for the task is told of it.
fn told(error: &Error) -> String {
    match error {
        Error::Internal(_) | Error::Store(_) => error.to_string(),
        _ => Chain(error).to_string(),
    }
}

fn end(task: &mut Task, result: Result<&str, &str>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Embedded;

    #[tokio::test]
    async fn a_task_that_a_restart_interrupted_has_failed_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store: Arc<dyn Store> = Arc::new(Embedded::open(&path).unwrap());
        let step = |name: &str, state| TaskStep {
            name: name.to_owned(),
            state,
            message: None,
            started_at: None,
            finished_at: None,
        };
        let task = Task {
            id: Xid::new(),
            operation: "device_reset".to_owned(),
            description: "Restart blade".to_owned(),
            device: None,
            device_name: None,
            state: TaskState::Running,
            progress: 33,
            steps: vec![
                step("Check the device", TaskState::Completed),
                step("Send the reset", TaskState::Running),
            ],
            result: None,
            created_by: "admin".to_owned(),
            created_at: Utc::now(),
            finished_at: None,
        };
        let table = Table::open(Arc::clone(&store)).await.unwrap();
        table.insert(task.clone()).await.unwrap();

        let events = Events::open(Arc::clone(&store)).await.unwrap();
        let events = Arc::new(events);
        let tasks = Tasks::open(store, Arc::clone(&events)).await.unwrap();
        let found = tasks.get(&task.id.to_string()).unwrap();
        assert_eq!(found.state, TaskState::Failed);
        let why = "the fleet server was restarted";
        assert_eq!(found.result.as_deref(), Some(why));
        assert_eq!(found.steps[0].state, TaskState::Completed);
        assert_eq!(found.steps[1].state, TaskState::Failed);
        assert_eq!(found.steps[1].message.as_deref(), Some(why));
        let told = events.before(None, 10).await.unwrap();
        assert_eq!(told[0].message, format!("Restart blade failed: {why}"));
    }
}
