//! Work that takes its time, and the work that never ends.

mod capture;
mod device_task;
pub mod inventory;
pub mod presence;
mod progress;
mod reset;
mod rest;
pub mod tidy;

use std::sync::Arc;

use chrono::Utc;
use dropshot::ResultsPage;
use onprem_link::id::Xid;
use serde::{Deserialize, Serialize};
use tracing::info;

pub(crate) use self::{capture::capture, reset::reset, rest::Unfollowed};
use self::{
    progress::{Progress, end},
    rest::Rest,
};
use crate::{
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

/// A task as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    task: Task,
    /// What is left of it where a device does it, which goes on without us.
    #[serde(
        default,
        deserialize_with = "rest::if_known",
        skip_serializing_if = "Option::is_none"
    )]
    rest: Option<Rest>,
}

impl Record for Kept {
    const COLLECTION: Collection = Collection::Tasks;

    fn id(&self) -> String {
        self.task.id.to_string()
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
    table: Table<Kept>,
    events: Arc<Events>,
}

impl Tasks {
    /// Reads the tasks. Those that were under way when the server ended have
    /// failed, but for those that a device does: they wait to be resumed.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        events: Arc<Events>,
    ) -> Result<Self, StoreError> {
        let tasks = Self { table: Table::open(store).await?, events };
        for kept in tasks.table.all() {
            if kept.task.is_open() && kept.rest.is_none() {
                info!(task = %kept.task.id, "task was interrupted");
                tasks.change(kept.task.id, end_abandoned).await?;
            }
        }
        Ok(tasks)
    }

    /// Tasks that are under way although nobody follows them yet, with what is
    /// left of them.
    fn unfollowed(&self) -> Vec<(Task, Rest)> {
        let open = self.table.all().into_iter();
        let open = open.filter(|kept| kept.task.is_open());
        open.filter_map(|kept| Some((kept.task.clone(), kept.rest.clone()?)))
            .collect()
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
            .map(|kept| &kept.task)
            .filter(|task| filter.state.is_none_or(|s| task.state == s))
            .filter(|task| {
                filter.device.is_none()
                    || (device.is_some() && task.device == device)
                    || task.device_name == filter.device
            })
            .cloned()
            .collect();
        page.page(found)
    }

    /// How many are like this.
    pub(crate) fn count(&self, like: impl Fn(&Task) -> bool) -> u64 {
        let all = self.table.all();
        all.iter().map(|kept| u64::from(like(&kept.task))).sum()
    }

    /// One task.
    pub(crate) fn get(&self, id: &str) -> Result<Task, Error> {
        let kept = self.table.get(id);
        kept.map(|kept| kept.task.clone())
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
        if all.iter().filter(|kept| kept.task.is_open()).count() >= AT_ONCE {
            return Err(Error::Busy("too many tasks are under way"));
        }
        let done = all.iter().filter(|kept| !kept.task.is_open());
        for kept in done.rev().skip(KEPT) {
            self.table.remove(&kept.task.id.to_string()).await?;
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
        let kept = self.table.insert(Kept { task, rest: None }).await?;
        self.tell(&kept.task).await;
        Ok(kept.task.clone())
    }

    /// Changes a task and tells it.
    async fn change(
        &self,
        id: Xid,
        change: impl Fn(&mut Kept),
    ) -> Result<(), StoreError> {
        if let Some(kept) = self.note(id, change).await? {
            self.tell(&kept.task).await;
        }
        Ok(())
    }

    /// Changes a task in what nobody is told of.
    async fn note(
        &self,
        id: Xid,
        change: impl Fn(&mut Kept),
    ) -> Result<Option<Arc<Kept>>, StoreError> {
        self.table
            .update(&id.to_string(), |kept| {
                change(kept);
                Ok::<_, StoreError>(())
            })
            .await
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

/// Ends a task that nobody goes on with: as its last step did, or in its midst.
fn end_abandoned(kept: &mut Kept) {
    let done = |step: &TaskStep| matches!(step.state, TaskState::Completed);
    let steps = &kept.task.steps;
    let last = steps.last().filter(|_| steps.iter().all(done));
    match last.map(|step| step.message.clone()) {
        Some(said) => {
            let said = said.unwrap_or_else(|| "done".to_owned());
            end(&mut kept.task, Ok(&said));
        }
        None => end(&mut kept.task, Err("the fleet server was restarted")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::{Change, Embedded, Expect, Write};

    fn step(name: &str, state: TaskState) -> TaskStep {
        TaskStep {
            name: name.to_owned(),
            state,
            message: None,
            started_at: None,
            finished_at: None,
        }
    }

    fn reset(steps: Vec<TaskStep>) -> Task {
        Task {
            id: Xid::new(),
            operation: "device_reset".to_owned(),
            description: "Restart blade".to_owned(),
            device: None,
            device_name: None,
            state: TaskState::Running,
            progress: 33,
            steps,
            result: None,
            created_by: "admin".to_owned(),
            created_at: Utc::now(),
            finished_at: None,
        }
    }

    /// The tasks of a server that finds this one when it starts.
    async fn found(task: &Task, rest: Option<Value>) -> Tasks {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store: Arc<dyn Store> = Arc::new(Embedded::open(&path).unwrap());
        let mut body = serde_json::to_value(task).unwrap();
        if let Some(rest) = rest {
            body["rest"] = rest;
        }
        let write = Write {
            collection: Collection::Tasks,
            id: task.id.to_string(),
            expect: Expect::Absent,
            change: Change::Put { body, unique: Vec::new() },
        };
        store.apply(vec![write]).await.unwrap();
        let events = Events::open(Arc::clone(&store)).await.unwrap();
        Tasks::open(store, Arc::new(events)).await.unwrap()
    }

    #[tokio::test]
    async fn a_task_that_a_restart_interrupted_has_failed_and_says_why() {
        let task = reset(vec![
            step("Check the device", TaskState::Completed),
            step("Send the reset", TaskState::Running),
        ]);
        // As it was kept before there was anything to go on with.
        let tasks = found(&task, None).await;
        let found = tasks.get(&task.id.to_string()).unwrap();
        assert_eq!(found.state, TaskState::Failed);
        let why = "the fleet server was restarted";
        assert_eq!(found.result.as_deref(), Some(why));
        assert_eq!(found.steps[0].state, TaskState::Completed);
        assert_eq!(found.steps[1].state, TaskState::Failed);
        assert_eq!(found.steps[1].message.as_deref(), Some(why));
        let told = tasks.events.before(None, 10).await.unwrap();
        assert_eq!(told[0].message, format!("Restart blade failed: {why}"));
    }

    #[tokio::test]
    async fn what_was_left_of_a_task_in_other_words_is_not_gone_on_with() {
        let waiting = step("Wait for the power state", TaskState::Running);
        let task = reset(vec![waiting]);
        for rest in [json!({"other": {}}), json!(7), json!({"reset": {}})] {
            let tasks = found(&task, Some(rest)).await;
            assert!(tasks.unfollowed().is_empty());
            let found = tasks.get(&task.id.to_string()).unwrap();
            assert_eq!(found.state, TaskState::Failed);
            let why = "the fleet server was restarted";
            assert_eq!(found.result.as_deref(), Some(why));
        }
    }

    #[tokio::test]
    async fn a_task_whose_last_step_is_done_is_done() {
        let mut last = step("Wait for the power state", TaskState::Completed);
        last.message = Some("it is off".to_owned());
        let task = reset(vec![step("Send", TaskState::Completed), last]);
        // The server ended between the end of the step and that of the task.
        let tasks = found(&task, None).await;
        let ended = tasks.get(&task.id.to_string()).unwrap();
        assert_eq!(ended.state, TaskState::Completed);
        assert_eq!(ended.progress, 100);
        assert_eq!(ended.result.as_deref(), Some("it is off"));
        // Where it is known what there was to wait for, that is looked at.
        let rest = json!({"capture": {"task": "/redfish/v1/Tasks/1"}});
        let tasks = found(&task, Some(rest)).await;
        assert!(tasks.get(&task.id.to_string()).unwrap().is_open());
        assert_eq!(tasks.unfollowed().len(), 1);
    }
}
