//! Telemetry as a part of the service: what it reads, and whom it tells.

use http::StatusCode;
use onprem_redfish::message::{Message, base};
use serde_json::{Map, Value};

use super::{Service, error::Error, uri};
use crate::{
    log::Entry,
    telemetry::{Host, Refused, Report, Resolver},
};

impl Host for Service {
    fn resource(&self, uri: &str) -> Option<Map<String, Value>> {
        // A report on reports would have no end.
        let own = uri.strip_prefix(uri::TELEMETRY);
        if own.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        self.open_to_all(uri)
    }

    fn report(&self, report: &Report) {
        let definition = report.definition.as_ref().map_or_else(
            || uri::METRIC_REPORT_DEFINITIONS.to_owned(),
            |id| uri::of(uri::METRIC_REPORT_DEFINITION, &[id]),
        );
        self.events.send_report(&definition, report.sent());
    }

    fn event(&self, message: &Message, origin: &str) {
        self.events.send(message, origin);
    }

    fn log(&self, message: &Message, origin: &str) {
        self.logs.hardware(Entry::of(message).origin(origin));
    }

    fn created(&self, uri: &str) {
        self.events.resource_created(uri);
    }

    fn removed(&self, uri: &str) {
        self.events.resource_removed(uri);
    }
}

impl Service {
    /// What checks metrics against what is served now.
    pub(super) fn resolver<'a>(
        &'a self,
        snapshot: &'a crate::model::Snapshot,
    ) -> Resolver<'a> {
        Resolver { host: self, snapshot }
    }
}

/// The answer to what telemetry refused of the resource of `kind` with `id`.
pub(super) fn refused(refused: Refused, kind: &str, id: &str) -> Error {
    match refused {
        Refused::Wrong(messages) => Error::bad(messages),
        Refused::Unknown => Error::new(
            StatusCode::NOT_FOUND,
            base::resource_not_found(kind, id),
        ),
        Refused::Known => {
            let message = base::resource_already_exists(kind, "Id", id);
            Error::new(StatusCode::CONFLICT, message.about("/Id"))
        }
        Refused::Full => Error::new(
            StatusCode::SERVICE_UNAVAILABLE,
            base::create_limit_reached_for_resource(),
        ),
        Refused::Failed => Error::internal(),
    }
}
