//! `LogEntry` and `LogEntryCollection`: what stands in the logs, the newest
//! first.

use std::collections::HashMap;

use chrono::SecondsFormat;
use onprem_redfish::{
    message::base,
    schema::{
        log_entry::{
            EventSeverity, Links, LogDiagnosticDataTypes, LogEntry as Body,
            LogEntryRequired, LogEntryType, OriginatorTypes,
        },
        log_entry_collection::LogEntryCollection,
    },
};
use serde_json::Value;

use super::{With as _, log_service::Owner};
use crate::{
    log::{Entry, Kind, Severity},
    redfish::{
        error::Error,
        exchange::canonical,
        resource::{Answer, Freshness, Pending, Resource, View, Write, answer},
        uri,
    },
};

/// How many entries an answer holds where nobody asks for a number.
const PAGE: usize = 100;

/// `…/LogServices/{LogServiceId}/Entries`
pub(crate) struct Entries(Owner);

/// The entries in the manager's logs.
pub(crate) static MANAGER_ENTRIES: Entries = Entries(Owner::Manager);
/// The entries in the system's logs.
pub(crate) static SYSTEM_ENTRIES: Entries = Entries(Owner::System);

impl Resource for Entries {
    fn uri(&self) -> &'static str {
        self.0.entries()
    }

    fn kind(&self) -> &'static str {
        "LogEntryCollection"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        self.page(view, ids, 0, None)
    }

    fn page(
        &self,
        view: &View<'_>,
        ids: &[&str],
        skip: usize,
        top: Option<usize>,
    ) -> Option<Answer> {
        let (kind, log) = self.0.log(view, ids)?;
        let total = log.len();
        let top = top.unwrap_or(PAGE);
        let here = uri::of(self.0.entries(), ids);
        let mut there = HashMap::new();
        let entries = log.page(skip, top).into_iter();
        let members: Vec<Value> = entries
            .map(|entry| {
                let path = format!("{here}/{}", entry.id);
                let mut answer = member(view, kind, entry, &mut there);
                answer.body.insert("@odata.id".to_owned(), path.into());
                Value::Object(answer.body)
            })
            .collect();
        // Members are whole, as the schema wants it.
        let none: [String; 0] = [];
        let body = LogEntryCollection::new("", "Log entries", none)
            .members_count(total as u64);
        let mut answer = answer(body);
        answer.body.insert("Members".to_owned(), members.into());
        let next = skip.saturating_add(top);
        if next < total && top > 0 {
            let link = format!("{here}?$skip={next}");
            let name = "Members@odata.nextLink".to_owned();
            answer.body.insert(name, link.into());
        }
        Some(answer)
    }
}

/// `…/LogServices/{LogServiceId}/Entries/{LogEntryId}`
pub(crate) struct LogEntry(Owner);

/// An entry in one of the manager's logs.
pub(crate) static MANAGER_ENTRY: LogEntry = LogEntry(Owner::Manager);
/// An entry in one of the system's logs.
pub(crate) static SYSTEM_ENTRY: LogEntry = LogEntry(Owner::System);

impl Resource for LogEntry {
    fn uri(&self) -> &'static str {
        self.0.entry()
    }

    fn kind(&self) -> &'static str {
        "LogEntry"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let (kind, log) = self.0.log(view, ids)?;
        let entry = log.entry(number(ids)?)?;
        Some(member(view, kind, entry, &mut HashMap::new()))
    }

    fn writable(&self) -> &'static [&'static str] {
        &["/Resolved"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let named = self.0.named(write.service, write.ids);
            let (kind, log) = named.ok_or_else(Error::internal)?;
            let id = number(write.ids).ok_or_else(Error::internal)?;
            let Some(resolved) = write.flag("/Resolved") else {
                return Ok(());
            };
            if !has_causes(kind) {
                let message = base::property_not_writable("Resolved");
                return Err(Error::bad(vec![message.about("/Resolved")]));
            }
            log.resolve(id, resolved);
            Ok(())
        })
    }
}

/// The number of the entry, if it is written as it is in its URI.
fn number(ids: &[&str]) -> Option<u64> {
    let [_, _, id] = ids else { return None };
    let number: u64 = id.parse().ok()?;
    (number.to_string() == *id).then_some(number)
}

/// Whether what stands in the log is something that can be seen to.
fn has_causes(kind: Kind) -> bool {
    matches!(kind, Kind::Event | Kind::Hardware)
}

/// An entry; `there` remembers which resources are still there.
fn member(
    view: &View<'_>,
    kind: Kind,
    entry: Entry,
    there: &mut HashMap<String, Option<bool>>,
) -> Answer {
    let at = entry.at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let severity = match entry.severity {
        Severity::Ok => EventSeverity::Ok,
        Severity::Warning => EventSeverity::Warning,
        Severity::Critical => EventSeverity::Critical,
    };
    let entry_type = match (kind, &entry.condition) {
        (Kind::Journal, _) => LogEntryType::Oem,
        (_, Some(_)) => LogEntryType::Sel,
        (_, None) => LogEntryType::Event,
    };
    let mut body = Body::new(LogEntryRequired {
        odata_id: String::new(),
        id: entry.id.to_string(),
        name: format!("Log entry {}", entry.id),
        entry_type,
    })
    .created(at.clone())
    .severity(severity)
    .message(entry.text)
    .with(entry.message, Body::message_id)
    .with(entry.source, Body::message_id)
    .persistency(true);
    if !entry.arguments.is_empty() {
        body = body.message_args(entry.arguments);
    }
    if kind == Kind::Journal {
        body = body.oem_record_format("on-prem log line");
    }
    if let Some(attachment) = entry.attachment {
        let bytes = i64::try_from(attachment.bytes).unwrap_or(i64::MAX);
        let id = entry.id.to_string();
        let manager = &*view.snapshot.inventory.manager.id;
        let ids = [manager, kind.id(), &id];
        body = body
            .diagnostic_data_type(LogDiagnosticDataTypes::Manager)
            .additional_data_uri(uri::of(uri::MANAGER_LOG_ATTACHMENT, &ids))
            .additional_data_size_bytes(bytes);
    }
    if has_causes(kind) {
        body = body.resolved(entry.resolved);
    }
    if let Some(id) = entry.event {
        body = body.event_id(id.to_string()).event_timestamp(at);
    }
    if let Some(condition) = entry.condition {
        body = body
            .entry_code(condition.code)
            .sensor_type(condition.sensor)
            .with(condition.number.map(i64::from), Body::sensor_number);
    }
    let mut origin = entry.origin;
    if let Some(by) = entry.by {
        let local = matches!(&*by.via, "basic" | "session");
        if !by.who.is_empty() {
            body = body
                .originator(by.who.clone())
                .originator_type(OriginatorTypes::Client)
                .username(by.who);
        }
        if local {
            body = body.user_authentication_source(uri::ACCOUNT_SERVICE);
        }
        body = body.with(
            by.from.map(|ip| format!("https://{}", host(&ip))),
            Body::origin_address,
        );
        origin = Some(by.uri);
    }
    if let Some(origin) = origin {
        let resource = origin.split("/Actions/").next().unwrap_or(&origin);
        let resource = resource.strip_suffix('/').unwrap_or(resource);
        let is_there = *there
            .entry(resource.to_owned())
            .or_insert_with(|| view.service.has(view, resource));
        body = match is_there {
            Some(true) => {
                let origin = canonical(resource).to_owned();
                body.links(Links::new().origin_of_condition(origin))
            }
            Some(false) => body.origin_of_condition_unavailable(true),
            None => body,
        };
    }
    answer(body)
}

/// An address as it stands in a URI.
fn host(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}
