//! The time in `Manager`: told, and set where that is allowed.

use chrono::{DateTime, Utc};
use http::StatusCode;
use onprem_redfish::message::base;

use crate::{
    clock::ClockError,
    redfish::{error::Error, resource::Write, uri},
};

/// The time, by JSON pointer.
pub(super) const DATE_TIME: &str = "/DateTime";
const NOT_ALLOWED: &str = "Set `allow_set_clock = true` in the configuration \
                           of the agent, if it may set the clock.";
const REFUSED: &str = "Give the agent the capability CAP_SYS_TIME.";

/// Sets the clock to what is in `write`, if anything is.
pub(super) fn set(write: &Write<'_>) -> Result<(), Error> {
    let Some(text) = write.text(DATE_TIME) else { return Ok(()) };
    let wrong = || {
        let message = base::property_value_format_error(text, "DateTime");
        Error::bad(vec![message.about(DATE_TIME)])
    };
    let to = DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?;
    let to = to.with_timezone(&Utc);
    // Before there was this program, or beyond what certificates can say.
    let (first, last) = (1_704_067_200, 4_102_444_800);
    if !(first..last).contains(&to.timestamp()) {
        let message = base::property_value_out_of_range(text, "DateTime");
        return Err(Error::bad(vec![message.about(DATE_TIME)]));
    }
    let service = write.service;
    if service.networks.now().ntp && service.clock.may_be_set() {
        let message =
            base::property_value_conflict("DateTime", "NTP/ProtocolEnabled");
        let message = message.about(DATE_TIME);
        return Err(Error::new(StatusCode::CONFLICT, message));
    }
    service.clock.set(to).map_err(|error| {
        let manager = uri::of(uri::MANAGER, write.ids);
        refused(&error, &format!("{manager}#/DateTime"))
    })?;
    let caller = write.caller.map_or("", |caller| &caller.name);
    tracing::info!(%to, by = caller, "clock set");
    service.model.confirm_clock();
    Ok(())
}

/// What is answered where the clock at `uri` may not be set.
pub(super) fn refused(error: &ClockError, uri: &str) -> Error {
    let advice = match error {
        ClockError::NotAllowed => NOT_ALLOWED,
        ClockError::Refused(_) => REFUSED,
    };
    let message = base::service_disabled(uri).resolved_by(advice);
    Error::new(StatusCode::FORBIDDEN, message)
}
