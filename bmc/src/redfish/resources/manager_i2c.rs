//! `OnPremManager.DetectI2C`: who is on an I²C bus of the machine.

use std::{io, sync::Arc, time::Duration};

use http::StatusCode;
use onprem_link::task::blocking;
use onprem_redfish::message::base;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::{
    bus::scan::{Found, Grid},
    model::I2cBus,
    redfish::{
        error::Error,
        resource::{Acted, Action, Answer, View, Write},
    },
};

/// The action.
pub(super) const DETECT: &str = "Oem/OnPremManager.DetectI2C";
/// The action with its parameter.
pub(super) const ACTION: Action = (DETECT, &["/Bus"]);
const NAME: &str = "OnPremManager.DetectI2C";

/// How long all of it may take: the bus may be in use, and what is asked on it
/// has a bound of its own. A fleet waits for ten seconds.
const PATIENCE: Duration = Duration::from_secs(9);

/// Names the action where there may be a bus: which there are is looked up
/// when somebody asks.
pub(super) fn offer(answer: Answer, view: &View<'_>) -> Answer {
    if !view.service.wires.is_possible() {
        return answer;
    }
    answer.action(DETECT, Map::new())
}

/// `I2CBuses` of the schema `OnPremManager`.
pub(super) fn shown_buses(buses: &[I2cBus]) -> Value {
    let used = |(address, by): (&u8, &String)| json!({"Address": format!("{address:#04x}"), "UsedBy": by});
    let bus = |bus: &I2cBus| {
        let used: Vec<Value> = bus.used.iter().map(used).collect();
        json!({"Bus": bus.number, "Name": bus.name, "InUse": used})
    };
    buses.iter().map(bus).collect()
}

/// Looks who is on a bus. One at a time: it takes a bus from the drivers.
pub(super) async fn act(write: &Write<'_>) -> Result<Acted, Error> {
    let service = write.service;
    if !service.wires.is_possible() {
        return Err(Error::bad(vec![base::action_not_supported(NAME)]));
    }
    let wanted = write.values.get("/Bus").cloned().unwrap_or_default();
    let number = wanted.as_u64().and_then(|it| u32::try_from(it).ok());
    // It is held until the bus is let go of, which may be after the answer.
    let turn = Arc::clone(&service.looking).try_lock_owned();
    let turn = turn.map_err(|_| Error::busy(1))?;
    let wires = Arc::clone(&service.wires);
    let looking = blocking(move || {
        let _turn = turn;
        match number.map(|it| wires.scan(it)).transpose()?.flatten() {
            Some(grid) => Ok::<_, io::Error>(Ok(grid)),
            None => Ok(Err(wires.numbers())),
        }
    });
    let found = timeout(PATIENCE, looking).await.map_err(|_| slow())?;
    match found.map_err(|_| Error::internal())? {
        Ok(Ok(grid)) => Ok(Acted::Answer(shown(&wanted, &grid))),
        Ok(Err(there)) => Err(unknown(&wanted, &there)),
        Err(error) => {
            let message = base::operation_failed();
            let message = message.resolved_by(format!(
                "Look at the bus, and at what is on it: {error}."
            ));
            Err(Error::new(StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}

fn shown(bus: &Value, grid: &Grid) -> Map<String, Value> {
    let there = grid
        .0
        .iter()
        .filter(|(_, found)| matches!(found, Found::Somebody | Found::Used(_)));
    let addresses: Vec<String> =
        there.map(|(address, _)| format!("{address:#04x}")).collect();
    let grid = grid.to_string();
    let shown = json!({"Bus": bus, "Addresses": addresses, "Grid": grid});
    match shown {
        Value::Object(shown) => shown,
        _ => Map::new(),
    }
}

fn unknown(bus: &Value, there: &[u32]) -> Error {
    let message =
        base::action_parameter_value_not_in_list(bus.to_string(), "Bus", NAME);
    let there: Vec<String> = there.iter().map(u32::to_string).collect();
    let advice = match there.as_slice() {
        [] => "The machine has no I²C bus now.".to_owned(),
        there => format!("Send one of these: {}.", there.join(", ")),
    };
    Error::bad(vec![message.resolved_by(advice)])
}

fn slow() -> Error {
    let seconds = PATIENCE.as_secs();
    let message = base::operation_timeout().resolved_by(format!(
        "The bus was not free, or not done, within {seconds} s: look at what \
         is on it, and ask again."
    ));
    Error::new(StatusCode::GATEWAY_TIMEOUT, message)
}
