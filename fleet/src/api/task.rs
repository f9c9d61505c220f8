//! Tasks: work that takes its time.

use chrono::{DateTime, Utc};
use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseOk, Path,
    RequestContext, ResultsPage, endpoint,
};
use onprem_link::id::Xid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, answer},
    page::{Key, Listed, Listing, sorted, sorts},
};
use crate::{Fleet, auth::Role};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(task_list)?;
    api.register(task_view)
}

/// Work that takes its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its id.
    pub id: Xid,
    /// The operation that it does, such as `device_reset`.
    pub operation: String,
    /// What it does, in words.
    pub description: String,
    /// The device that it works on.
    pub device: Option<Xid>,
    /// The name of that device when the task was made.
    pub device_name: Option<String>,
    /// How far it is.
    pub state: TaskState,
    /// How much of it is done, in percent.
    #[schemars(range(max = 100))]
    pub progress: u8,
    /// What it consists of.
    pub steps: Vec<TaskStep>,
    /// What came of it.
    pub result: Option<String>,
    /// The account that asked for it.
    pub created_by: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// How far a task or a step is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum TaskState {
    /// It is not begun.
    Pending,
    /// It is under way.
    Running,
    /// It is done.
    Completed,
    /// It could not be done.
    Failed,
}

/// A part of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskStep {
    /// What is done.
    pub name: String,
    /// How far it is.
    pub state: TaskState,
    /// What came of it.
    pub message: Option<String>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// What to list.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct TaskFilter {
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Only tasks on this device, by its id or its name.
    pub device: Option<String>,
    /// What to sort by; with `-` before it, downwards. By `-createdAt` unless said.
    #[schemars(schema_with = "sorts::<Task>")]
    pub sort: Option<String>,
}
sorted!(TaskFilter);

impl Listed for Task {
    const DEFAULT_SORT: &'static str = "-createdAt";
    const SORTS: &'static [&'static str] =
        &["createdAt", "id", "operation", "state", "finishedAt"];

    fn key(&self, sort: &str) -> Key {
        match sort {
            "id" => Key::text(self.id),
            "operation" => Key::text(&self.operation),
            "state" => Key::Number(f64::from(self.state as u8)),
            "finishedAt" => Key::time(self.finished_at),
            _ => Key::time(Some(self.created_at)),
        }
    }

    fn id(&self) -> String {
        self.id.to_string()
    }
}

/// A task.
#[derive(Debug, Deserialize, JsonSchema)]
struct TaskPath {
    /// Its id.
    task: String,
}

/// List tasks
#[endpoint { method = GET, path = "/v1/tasks", tags = ["tasks"] }]
async fn task_list(
    rqctx: RequestContext<Fleet>,
    listing: Listing<TaskFilter>,
) -> Answer<HttpResponseOk<ResultsPage<Task>>> {
    answer(rqctx, Role::Readonly, |call| async move {
        Ok(HttpResponseOk(call.fleet.tasks_list(&listing.get()?)?))
    })
    .await
}

/// View a task
#[endpoint { method = GET, path = "/v1/tasks/{task}", tags = ["tasks"] }]
async fn task_view(
    rqctx: RequestContext<Fleet>,
    path: Path<TaskPath>,
) -> Answer<HttpResponseOk<Task>> {
    answer(rqctx, Role::Readonly, |call| async move {
        Ok(HttpResponseOk(call.fleet.tasks().get(&path.into_inner().task)?))
    })
    .await
}
