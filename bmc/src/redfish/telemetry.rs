//! Telemetry as a part of the service: what it reads, and whom it tells.

use http::StatusCode;
use onprem_redfish::message::{Message, base};
use serde_json::{Map, Value};

use super::{
    Service,
    error::Error,
    resource::{Created, Write},
    resources::new_id,
    uri,
};
use crate::{
    log::Entry,
    telemetry::{Defined, Host, Refused, Report, Resolver},
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

/// Makes what a POST defines, at a URI like `pattern`.
pub(super) async fn create<T: Defined>(
    write: &Write<'_>,
    pattern: &str,
) -> Result<Created, Error> {
    let service = write.service;
    let snapshot = service.model.snapshot();
    let resolver = service.resolver(&snapshot);
    let id = new_id(write)?;
    let made = service.telemetry.define::<T>(&resolver, &id, write.values);
    made.await.map_err(|it| refused(it, T::KIND, &id))?;
    Ok(uri::of(pattern, &[id]).into())
}

/// Changes what the first id of the URI names as a PATCH says.
pub(super) async fn change<T: Defined>(write: &Write<'_>) -> Result<(), Error> {
    let service = write.service;
    let snapshot = service.model.snapshot();
    let resolver = service.resolver(&snapshot);
    let id = write.id(0);
    let changed = service.telemetry.redefine::<T>(&resolver, id, write.values);
    changed.await.map_err(|it| refused(it, T::KIND, id))
}

/// Removes what the first id of the URI names.
pub(super) async fn remove<T: Defined>(write: &Write<'_>) -> Result<(), Error> {
    let id = write.id(0);
    let gone = write.service.telemetry.undefine::<T>(id).await;
    gone.map_err(|it| refused(it, T::KIND, id))
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
        Refused::Unstored(error) => Error::unstored(&error),
        Refused::Failed => Error::internal(),
    }
}
