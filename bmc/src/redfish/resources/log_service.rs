//! `LogService`: the logs of the manager, and the hardware log of the system.

use std::sync::Arc;

use chrono::{Local, SecondsFormat};
use http::StatusCode;
use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        log_service::{self, LogEntryTypes, LogPurpose, OverWritePolicy},
    },
};
use serde_json::Map;

use super::{
    allowable, enabled,
    log_entry::{MANAGER_ENTRIES, SYSTEM_ENTRIES},
};
use crate::{
    log::{Kind, Log},
    model::Health,
    redfish::{
        Service,
        error::Error,
        resource::{
            Acted, Action, Answer, Freshness, Pending, Resource, View, Write,
            answer,
        },
        uri,
    },
};

const CLEAR: &str = "LogService.ClearLog";
const COLLECT: &str = "LogService.CollectDiagnosticData";
/// The one type of diagnostic data that is collected.
const TYPE: &str = "DiagnosticDataType";
const MANAGERS: &str = "Manager";

/// What a log belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Manager,
    System,
}

impl Owner {
    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Manager => {
                &[Kind::Audit, Kind::Event, Kind::Journal, Kind::Dump]
            }
            Self::System => &[Kind::Hardware],
        }
    }

    /// Whether what the first of `ids` names is there, and has logs.
    fn is_there(self, view: &View<'_>, ids: &[&str]) -> bool {
        match self {
            Self::Manager => view.manager(ids).is_some(),
            Self::System => view.system(ids).is_some(),
        }
    }

    /// The ids of the logs.
    pub(super) fn members(
        self,
        view: &View<'_>,
        ids: &[&str],
    ) -> Option<Vec<String>> {
        let kinds = self.kinds().iter();
        self.is_there(view, ids)
            .then(|| kinds.map(|kind| kind.id().to_owned()).collect())
    }

    /// The log that `ids` name, and of which kind it is.
    pub(super) fn log<'v>(
        self,
        view: &View<'v>,
        ids: &[&str],
    ) -> Option<(Kind, &'v Arc<Log>)> {
        self.is_there(view, ids).then(|| self.named(view.service, ids))?
    }

    /// The log that `ids` name, of somebody who is known to be there.
    pub(super) fn named<'s>(
        self,
        service: &'s Service,
        ids: &[&str],
    ) -> Option<(Kind, &'s Arc<Log>)> {
        let [owner, id, ..] = ids else { return None };
        let kind = *self.kinds().iter().find(|kind| kind.id() == *id)?;
        let log = match self {
            Self::Manager => service.logs.of(kind),
            Self::System => service.logs.of_system(owner),
        };
        Some((kind, log))
    }

    const fn pattern(self) -> &'static str {
        match self {
            Self::Manager => uri::MANAGER_LOG,
            Self::System => uri::SYSTEM_LOG,
        }
    }

    /// Where the entries of a log are.
    pub(super) const fn entries(self) -> &'static str {
        match self {
            Self::Manager => uri::MANAGER_LOG_ENTRIES,
            Self::System => uri::SYSTEM_LOG_ENTRIES,
        }
    }

    /// Where an entry is.
    pub(super) const fn entry(self) -> &'static str {
        match self {
            Self::Manager => uri::MANAGER_LOG_ENTRY,
            Self::System => uri::SYSTEM_LOG_ENTRY,
        }
    }
}

impl Kind {
    /// The segment of its URI.
    pub(in crate::redfish) fn id(self) -> &'static str {
        match self {
            Self::Audit => "AuditLog",
            Self::Event => "EventLog",
            Self::Journal => "Journal",
            Self::Hardware => "SEL",
            Self::Dump => "Dump",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Audit => "Audit log",
            Self::Event => "Event log",
            Self::Journal => "Journal",
            Self::Hardware => "System event log",
            Self::Dump => "Diagnostic data",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Audit => {
                "Each request that was to change something, with who asked \
                 and how it was answered. It cannot be cleared."
            }
            Self::Event => "The events that the service sent.",
            Self::Journal => "What the agent logs of its own work.",
            Self::Hardware => {
                "Changes of power, thresholds that were crossed, and sensors \
                 that failed, of the system and of the chassis that it is in."
            }
            Self::Dump => {
                "Diagnostic data that somebody had collected, for who looks \
                 into a fault of the agent."
            }
        }
    }

    fn purpose(self) -> LogPurpose {
        match self {
            Self::Audit => LogPurpose::Security,
            Self::Journal | Self::Dump => LogPurpose::Diagnostic,
            Self::Event | Self::Hardware => LogPurpose::Operations,
        }
    }

    fn entries(self) -> LogEntryTypes {
        match self {
            Self::Audit | Self::Event | Self::Dump => LogEntryTypes::Event,
            Self::Journal => LogEntryTypes::Oem,
            Self::Hardware => LogEntryTypes::Multiple,
        }
    }

    /// Whether people may stop, clear and tidy it.
    pub(super) fn is_changeable(self) -> bool {
        self != Self::Audit
    }
}

/// `…/LogServices/{LogServiceId}`
pub(crate) struct LogService(Owner);

/// The logs of the manager.
pub(crate) static MANAGER: LogService = LogService(Owner::Manager);
/// The logs of the system.
pub(crate) static SYSTEM: LogService = LogService(Owner::System);

impl Resource for LogService {
    fn uri(&self) -> &'static str {
        self.0.pattern()
    }

    fn kind(&self) -> &'static str {
        "LogService"
    }

    fn freshness(&self) -> Freshness {
        // It tells the time.
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let (kind, log) = self.0.log(view, ids)?;
        let now = Local::now();
        let well = if log.is_well() { Health::Ok } else { Health::Critical };
        let most = i64::try_from(kind.limit()).unwrap_or(i64::MAX);
        let body = log_service::LogService::new("", kind.id(), kind.name())
            .description(kind.description())
            .service_enabled(log.enabled())
            .max_number_of_records(most)
            .over_write_policy(OverWritePolicy::WrapsWhenFull)
            .date_time(now.to_rfc3339_opts(SecondsFormat::Secs, true))
            .date_time_local_offset(now.format("%:z").to_string())
            .log_entry_type(kind.entries())
            .log_purposes([kind.purpose()])
            .persistency(true)
            .entries(Reference::new(uri::of(self.0.entries(), ids)))
            .status(enabled(well));
        let answer = answer(body).volatile(&["DateTime"]);
        if !kind.is_changeable() {
            return Some(answer);
        }
        let answer = answer.action(CLEAR, Map::new());
        Some(match kind {
            Kind::Dump => answer.action(COLLECT, allowable(TYPE, &[MANAGERS])),
            _ => answer,
        })
    }

    fn writable(&self) -> &'static [&'static str] {
        &["/ServiceEnabled"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let named = self.0.named(write.service, write.ids);
            let (kind, log) = named.ok_or_else(Error::internal)?;
            let Some(enabled) = write.flag("/ServiceEnabled") else {
                return Ok(());
            };
            if !kind.is_changeable() {
                let message = base::property_not_writable("ServiceEnabled");
                let message = message.about("/ServiceEnabled");
                return Err(Error::bad(vec![message]));
            }
            log.enable(enabled);
            Ok(())
        })
    }

    fn actions(&self) -> &'static [Action] {
        const CLEARS: Action = (CLEAR, &["/LogEntriesETag"]);
        match self.0 {
            Owner::Manager => &[CLEARS, (COLLECT, &["/DiagnosticDataType"])],
            Owner::System => &[CLEARS],
        }
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(async move {
            let named = self.0.named(write.service, write.ids);
            let (kind, log) = named.ok_or_else(Error::internal)?;
            let collects = action == COLLECT;
            if !kind.is_changeable() || collects && kind != Kind::Dump {
                let message = base::action_not_supported(action);
                return Err(Error::bad(vec![message]));
            }
            if collects {
                return collect(write);
            }
            if let Some(wanted) = write.text("/LogEntriesETag") {
                let entries: &dyn Resource = match self.0 {
                    Owner::Manager => &MANAGER_ENTRIES,
                    Owner::System => &SYSTEM_ENTRIES,
                };
                let path = uri::of(self.0.entries(), write.ids);
                let now = write.service.render(entries, &path, write.ids);
                if now.is_none_or(|now| now.etag != wanted) {
                    let status = StatusCode::PRECONDITION_REQUIRED;
                    let message = base::precondition_required();
                    return Err(Error::new(status, message));
                }
            }
            log.clear();
            if kind == Kind::Dump {
                write.service.dumps.cleared().await;
            }
            Ok(Acted::Done)
        })
    }
}

fn collect(write: &Write<'_>) -> Result<Acted, Error> {
    let wanted = write.text("/DiagnosticDataType").unwrap_or_default();
    if wanted != MANAGERS {
        let message =
            base::action_parameter_value_not_in_list(wanted, TYPE, COLLECT);
        return Err(Error::bad(vec![message]));
    }
    let (service, log) = (write.service, uri::of(uri::MANAGER_LOG, write.ids));
    let turn = service.dumps.begin(&log)?;
    let itself = service.itself.clone();
    Ok(Acted::Task(service.dumps.work(itself, log, turn)))
}
