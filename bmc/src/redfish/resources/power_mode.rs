//! The power model of a `ComputerSystem`: a budget that it runs within, by a
//! word of the schema where there is one, and by the maker's own.

use std::sync::Arc;

use http::StatusCode;
use onprem_link::task::blocking;
use onprem_redfish::{
    message::base,
    schema::computer_system::{self, ComputerSystem},
};
use serde_json::{Map, Value};

use super::With as _;
use crate::{
    commands::CommandError,
    model::{Id, PowerMode, PowerModels, Snapshot},
    redfish::{error::Error, resource::Write},
};

const MODE: &str = "/PowerMode";
const MODEL: &str = "/Oem/OnPrem/PowerModel";
/// What of this a PATCH may set.
pub(super) const WRITABLE: [&str; 2] = [MODE, MODEL];

/// The modes that stand for a model.
const MODES: [PowerMode; 2] =
    [PowerMode::MaximumPerformance, PowerMode::PowerSaving];

fn word(mode: PowerMode) -> &'static str {
    match mode {
        PowerMode::MaximumPerformance => "MaximumPerformance",
        PowerMode::PowerSaving => "PowerSaving",
        PowerMode::Oem => "OEM",
    }
}

/// Puts into `body` which mode the system `id` runs in.
pub(super) fn describe(
    body: ComputerSystem,
    id: &Id,
    snapshot: &Snapshot,
) -> ComputerSystem {
    use computer_system::PowerMode as Word;
    let models = snapshot.power_models.get(id);
    let mode = models.and_then(PowerModels::mode).map(|mode| match mode {
        PowerMode::MaximumPerformance => Word::MaximumPerformance,
        PowerMode::PowerSaving => Word::PowerSaving,
        PowerMode::Oem => Word::Oem,
    });
    body.with(mode, ComputerSystem::power_mode)
}

/// Says which modes the system `id` takes.
pub(super) fn annotate(
    body: &mut Map<String, Value>,
    id: &Id,
    snapshot: &Snapshot,
) {
    let models = snapshot.power_models.get(id);
    if let Some(models) = models.filter(|it| it.settable)
        && models.now.is_some()
    {
        let name = "PowerMode@Redfish.AllowableValues".to_owned();
        body.insert(name, words(models).into());
    }
}

/// Adds to `about`, which is beyond the standard, what the maker calls it.
pub(super) fn about(
    about: &mut Map<String, Value>,
    id: &Id,
    snapshot: &Snapshot,
) {
    let Some(models) = snapshot.power_models.get(id) else { return };
    let Some(now) = &models.now else { return };
    about.insert("PowerModel".to_owned(), (&**now).into());
    if models.settable {
        let all: Vec<&str> = models.all.iter().map(|it| &**it).collect();
        let name = "PowerModel@Redfish.AllowableValues".to_owned();
        about.insert(name, all.into());
    }
}

fn words(models: &PowerModels) -> Vec<&'static str> {
    let known = MODES.into_iter().filter(|it| models.of(*it).is_some());
    known.map(word).collect()
}

/// The model that a PATCH asks for, if it asks for one.
pub(super) fn wanted(
    write: &Write<'_>,
    id: &Id,
    snapshot: &Snapshot,
) -> Result<Option<Arc<str>>, Error> {
    let asked = |pointer| write.values.get(pointer);
    let (pointer, value) = match (asked(MODE), asked(MODEL)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let message =
                base::property_value_conflict("PowerMode", "PowerModel");
            let advice = "Send one of the two.";
            return Err(Error::bad(vec![
                message.about(MODE).resolved_by(advice),
            ]));
        }
        (Some(value), None) => (MODE, value),
        (None, Some(value)) => (MODEL, value),
    };
    let name = pointer.rsplit('/').next().unwrap_or(pointer);
    let models = snapshot.power_models.get(id);
    let Some(models) = models.filter(|it| it.now.is_some()) else {
        let message = base::property_not_writable(name);
        return Err(Error::bad(vec![message.about(pointer)]));
    };
    let text = value.as_str().unwrap_or("null");
    let found = if pointer == MODE {
        let mut known = MODES.into_iter();
        known.find(|it| word(*it) == text).and_then(|it| models.of(it))
    } else {
        models.all.iter().find(|it| ***it == *text)
    };
    let found = found.cloned().ok_or_else(|| {
        let all = if pointer == MODE {
            words(models).join(", ")
        } else {
            models.all.join(", ")
        };
        let message = base::property_value_not_in_list(text, name);
        let advice = format!("Send one of these: {all}.");
        Error::bad(vec![message.about(pointer).resolved_by(advice)])
    });
    found.map(Some)
}

/// Has the system `id` run in the power model `name`.
pub(super) async fn choose(
    write: &Write<'_>,
    id: &Id,
    name: Arc<str>,
) -> Result<(), Error> {
    let service = write.service;
    let (by, system) = (Arc::clone(&service.power_modes), id.clone());
    let chosen = blocking(move || by.choose(&system, &name)).await;
    match chosen.map_err(|_| Error::internal())? {
        Ok(models) => {
            service.model.post_power_models(id, models);
            Ok(())
        }
        Err(CommandError::Failed { reason, .. }) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            let message = base::operation_failed();
            let message = message.resolved_by(format!("{reason}."));
            Err(Error::new(status, message))
        }
        Err(error) => Err(error.into()),
    }
}
