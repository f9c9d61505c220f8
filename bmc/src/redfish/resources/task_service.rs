//! `TaskService`: how long tasks are kept.

use chrono::{SecondsFormat, Utc};
use onprem_redfish::schema::{
    Reference,
    task_service::{self, OverWritePolicy},
};
use serde_json::Map;

use super::enabled;
use crate::{
    model::Health,
    redfish::{
        resource::{
            Acted, Action, Answer, Freshness, Pending, Resource, View, Write,
            answer,
        },
        uri,
    },
};

const CLEAR: &str = "TaskService.DeleteAllCompletedTasks";

/// `/redfish/v1/TaskService`
pub(crate) struct TaskService;

impl Resource for TaskService {
    fn uri(&self) -> &'static str {
        uri::TASK_SERVICE
    }

    fn kind(&self) -> &'static str {
        "TaskService"
    }

    fn freshness(&self) -> Freshness {
        // It tells the time.
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let settings = view.service.task_book.settings();
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let body =
            task_service::TaskService::new("", "TaskService", "Task service")
                .service_enabled(true)
                .status(enabled(Health::Ok))
                .date_time(now)
                .completed_task_over_write_policy(OverWritePolicy::Oldest)
                .life_cycle_event_on_task_state_change(true)
                .task_auto_delete_timeout_minutes(settings.task_minutes.into())
                .task_monitor_auto_expiry_seconds(
                    settings.monitor_seconds.into(),
                )
                .tasks(Reference::new(uri::TASKS));
        let answer = answer(body).volatile(&["DateTime"]);
        Some(answer.action(CLEAR, Map::new()))
    }

    fn writable(&self) -> &'static [&'static str] {
        &["/TaskAutoDeleteTimeoutMinutes", "/TaskMonitorAutoExpirySeconds"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let book = &write.service.task_book;
            let mut settings = book.settings();
            if let Some(it) = write.number("/TaskAutoDeleteTimeoutMinutes")? {
                settings.task_minutes = it;
            }
            if let Some(it) = write.number("/TaskMonitorAutoExpirySeconds")? {
                settings.monitor_seconds = it;
            }
            book.set(settings).await
        })
    }

    fn actions(&self) -> &'static [Action] {
        &[(CLEAR, &[])]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        _: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(async {
            write.service.task_book.remove(|_| true).await?;
            Ok(Acted::Done)
        })
    }
}
