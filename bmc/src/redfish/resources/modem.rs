//! Cellular modems: each a `NetworkAdapter`, and started anew by an action of
//! its `Chassis`.

use std::sync::Arc;

use http::StatusCode;
use onprem_link::task::blocking;
use onprem_redfish::{
    message::base,
    schema::{
        network_adapter::{Controllers, NetworkAdapter},
        resource::{State, Status},
    },
};
use serde_json::{Map, Value, json};

use super::{With as _, allowable, instrument::health, network_adapter};
use crate::{
    model::{Cellular, Chassis, Id, Modem, Snapshot},
    redfish::{
        error::Error,
        resource::{Acted, Answer, Write, answer},
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

/// The modems of a chassis that are network adapters of their own: all but
/// those that go by the id of another.
pub(super) fn all<'a>(
    snapshot: &'a Snapshot,
    chassis: &'a Chassis,
) -> impl Iterator<Item = &'a Modem> {
    let others = network_adapter::all(snapshot, chassis);
    let is_own =
        move |it: &&Modem| others.iter().all(|other| *other.0 != *it.id);
    chassis.modems.iter().filter(is_own)
}

/// A modem as a network adapter. It has no ports: the standard knows none
/// whose network is cellular.
pub(super) fn adapter(
    it: &Modem,
    chassis: &Chassis,
    snapshot: &Snapshot,
) -> Answer {
    let now = snapshot.modems.get(&it.id).cloned().unwrap_or_default();
    let controller = Controllers::new()
        .with(now.firmware.as_deref(), Controllers::firmware_package_version);
    let there = now.model.is_some();
    let state = if there { State::Enabled } else { State::UnavailableOffline };
    let well = health(&it.sensors, chassis, snapshot);
    let status = Status::new().state(state).health(super::health(well));
    let body = NetworkAdapter::new("", &*it.id, &*it.name)
        .with(now.manufacturer, NetworkAdapter::manufacturer)
        .with(now.model.as_deref(), NetworkAdapter::model)
        .controllers([controller])
        .status(status);
    let mut answer = answer(body);
    let oem = json!({ "OnPrem": about(&now) });
    answer.body.insert("Oem".to_owned(), oem);
    answer
}

/// What the standard has no words for.
fn about(now: &Cellular) -> Value {
    let mut about = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            about.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<Arc<str>>| text.as_deref().map(Value::from);
    let kind = "#OnPremNetworkAdapter.v1_0_0.OnPrem";
    put("@odata.type", Some(kind.into()));
    put("IMEI", text(&now.imei));
    put("ICCID", text(&now.iccid));
    put("SIMState", Some(now.sim.as_str().into()));
    put("Registration", Some(now.registration.as_str().into()));
    put("Operator", text(&now.operator));
    put("SignalStrengthDBm", now.dbm.map(Value::from));
    put("AccessPoints", Some(json!(now.access_points)));
    put("DataMode", now.data_mode.map(Value::from));
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
