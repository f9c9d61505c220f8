//! The modems of a `Chassis`, beyond the standard: what they say, and how they
//! are started anew.

use std::sync::Arc;

use http::StatusCode;
use onprem_link::task::blocking;
use onprem_redfish::message::base;
use serde_json::{Map, Value, json};

use super::{allowable, instrument::health};
use crate::{
    model::{Chassis, Id, Modem, Snapshot},
    redfish::{
        error::Error,
        resource::{Acted, Write},
        task::{Ended, Work},
    },
};

/// The action of a chassis with a modem.
pub(super) const RESTART: &str = "Oem/OnPremChassis.RestartModem";
/// Its parameters.
pub(super) const PARAMETERS: &[&str] = &["/Modem", "/ResetType"];
const NAME: &str = "OnPremChassis.RestartModem";
/// What cuts the power.
const CUT: &str = "PowerCycle";

/// What the modems of a chassis say.
pub(super) fn about(chassis: &Chassis, snapshot: &Snapshot) -> Value {
    let modems = chassis.modems.iter().map(|it| one(it, chassis, snapshot));
    modems.collect()
}

fn one(it: &Modem, chassis: &Chassis, snapshot: &Snapshot) -> Value {
    let now = snapshot.modems.get(&it.id).cloned().unwrap_or_default();
    let mut about = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            about.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<Arc<str>>| text.as_deref().map(Value::from);
    put("Id", Some((&*it.id).into()));
    put("Name", Some((&*it.name).into()));
    put("Manufacturer", now.manufacturer.map(Value::from));
    put("Model", text(&now.model));
    put("FirmwareVersion", text(&now.firmware));
    put("IMEI", text(&now.imei));
    put("ICCID", text(&now.iccid));
    put("SIMState", Some(now.sim.as_str().into()));
    put("Registration", Some(now.registration.as_str().into()));
    put("Operator", text(&now.operator));
    put("SignalStrengthDBm", now.dbm.map(Value::from));
    put("AccessPoints", Some(json!(now.access_points)));
    put("DataMode", now.data_mode.map(Value::from));
    put("Health", Some(health(&it.sensors, chassis, snapshot).into()));
    about.into()
}

/// What the parameters of `RestartModem` can be.
pub(super) fn parameters(chassis: &Chassis) -> Map<String, Value> {
    let ids: Vec<&str> = chassis.modems.iter().map(|it| &*it.id).collect();
    let mut about = allowable("Modem", &ids);
    let cut = chassis.modems.iter().any(|it| it.has_power_line);
    let kinds = ["ForceRestart", CUT];
    let kinds = if cut { &kinds[..] } else { &kinds[..1] };
    about.extend(allowable("ResetType", kinds));
    about
}

/// Starts a modem anew.
pub(super) fn restart(write: &Write<'_>) -> Result<Acted, Error> {
    let service = write.service;
    let snapshot = service.model.snapshot();
    let chassis = snapshot.chassis(write.id(0)).ok_or_else(Error::internal)?;
    let modem = modem(write, &chassis.modems)?;
    let cut = write.text("/ResetType") == Some(CUT);
    if cut && !modem.has_power_line {
        let message = base::action_parameter_not_supported("ResetType", NAME);
        let advice = "The board file names no `power_line` of the modem.";
        return Err(Error::bad(vec![message.resolved_by(advice)]));
    }
    let (by, id): (_, Id) = (Arc::clone(&service.modems), modem.id.clone());
    Ok(Acted::Task(Work::new("Restart of a modem", move |_| async move {
        let done = blocking(move || by.restart(&id, cut)).await;
        match done.map_err(|_| Error::internal())? {
            Ok(()) => Ok(Ended::Done),
            Err(error) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                let message = base::operation_failed();
                let message = message.resolved_by(format!("{error}."));
                Err(Error::new(status, message))
            }
        }
    })))
}

fn modem<'a>(
    write: &Write<'_>,
    there: &'a [Modem],
) -> Result<&'a Modem, Error> {
    let Some(wanted) = write.text("/Modem") else {
        return match there {
            [] => Err(Error::bad(vec![base::action_not_supported(NAME)])),
            [only] => Ok(only),
            _ => {
                let message = base::action_parameter_missing(NAME, "Modem");
                Err(Error::bad(vec![message]))
            }
        };
    };
    let found = there.iter().find(|it| &*it.id == wanted);
    found.ok_or_else(|| {
        let message =
            base::action_parameter_value_not_in_list(wanted, "Modem", NAME);
        let all: Vec<&str> = there.iter().map(|it| &*it.id).collect();
        let advice = format!("Send one of these: {}.", all.join(", "));
        Error::bad(vec![message.resolved_by(advice)])
    })
}
