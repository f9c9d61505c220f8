//! The I²C buses of one device, looked at from afar.

use std::collections::BTreeMap;

use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, HttpResponseOk, Path,
    RequestContext, endpoint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    call::{Answer, Json, answer},
    device::DevicePath,
    node::{Affected, Impact},
};
use crate::{Fleet, auth::Role, error::Error, live::text};

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(device_i2cdetect)?;
    api.register(device_i2cdetect_impact)
}

/// Which bus.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct I2cBus {
    /// The number that the device's kernel has for it: 1 for `i2c-1`.
    pub bus: u32,
}

/// Who is on a bus.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct I2cGrid {
    /// The number of the bus.
    pub bus: u32,
    /// The addresses that somebody answers at or has, as `0x48`.
    pub addresses: Vec<String>,
    /// The whole as `i2cdetect` shows it; `UU` is in use and was not asked,
    /// `??` was left alone.
    pub grid: String,
}

/// Look who is on an I²C bus of a device
///
/// Each address is asked in the way that harms least; those in use, and those
/// of parts that could take it ill, are not asked at all. Nothing is written.
#[endpoint {
    method = POST,
    path = "/v1/devices/{device}/i2cdetect",
    tags = ["devices"],
}]
async fn device_i2cdetect(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    body: Json<I2cBus>,
) -> Answer<HttpResponseOk<I2cGrid>> {
    answer(rqctx, Role::Admin, |call| async move {
        let device = path.into_inner().device;
        let bus = body.get()?.bus;
        let live = call.fleet.live(&call.caller, &device)?;
        let said = live.i2cdetect(&json!({ "Bus": bus })).await?;
        let strange = || live.strange("a grid of another form");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let grid = said.get("Grid").and_then(text).ok_or_else(strange)?;
        let all = said.get("Addresses").and_then(Value::as_array);
        let addresses = all.map(|all| all.iter().filter_map(text).collect());
        let addresses: Option<Vec<String>> = addresses;
        let addresses = addresses.ok_or_else(strange)?;
        Ok::<_, Error>(HttpResponseOk(I2cGrid { bus, addresses, grid }))
    })
    .await
}

/// View the I²C buses of a device
///
/// The numbers that can be asked for, and what is known to be on each: nobody
/// is asked. There is no choice where the device does not say which it has.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/i2cdetect",
    tags = ["devices"],
}]
async fn device_i2cdetect_impact(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
) -> Answer<HttpResponseOk<Impact>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let buses = call.live(&path.into_inner().device)?.i2c_buses().await?;
        let number = |bus: &Value| Some(bus.get("Bus")?.as_u64()?.to_string());
        let numbers: Vec<String> = buses.iter().filter_map(number).collect();
        let mut choices = BTreeMap::new();
        if !numbers.is_empty() {
            choices.insert("bus".to_owned(), numbers);
        }
        let affects = buses.iter().filter_map(|bus| {
            Some(Affected {
                name: number(bus)?,
                state: text(bus, "/Name"),
                note: used(bus),
            })
        });
        let affects = affects.collect();
        Ok(HttpResponseOk(Impact { affects, choices, ..Impact::default() }))
    })
    .await
}

/// What is known to be on a bus.
fn used(bus: &Value) -> Option<String> {
    let used = bus.get("InUse").and_then(Value::as_array);
    let used = used.into_iter().flatten().filter_map(|it| {
        let (address, by) = (text(it, "/Address")?, text(it, "/UsedBy")?);
        Some(format!("{address} {by}"))
    });
    let used: Vec<String> = used.collect();
    (!used.is_empty()).then(|| used.join(", "))
}
