//! The serial consoles of a device's systems.

use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, Body, HttpResponse,
    HttpResponseOk, Path, Query, RequestContext, ResultsPage, WebsocketUpgrade,
    endpoint,
};
use http::{Method, Response, StatusCode};
use onprem_link::log::Chain;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Answer, answer, device_of, source},
    device::{DevicePath, PowerState},
    page::Listing,
    part::{By, Part, list, named},
};
use crate::{
    Fleet,
    audit::Entry,
    auth::{Caller, Role},
    error::{Error, Failure},
    live::Live,
    serial_console::{Way, pass},
};

/// How much of what came is shown unless said.
const TAIL: u32 = 16 << 10;
/// The most.
const MOST: u32 = 1 << 20;

pub(super) fn register(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(device_console_list)?;
    api.register(device_console_view)
}

/// What is no operation of the document: the console itself.
pub(super) fn register_stream(
    api: &mut ApiDescription<Fleet>,
) -> Result<(), ApiDescriptionRegisterError> {
    api.register(device_console_stream)
}

/// A serial console.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceConsole {
    /// The id of its system in the device's Redfish service.
    pub id: String,
    /// The name of its system.
    pub name: String,
    /// Whether the system is powered.
    pub power_state: Option<PowerState>,
    /// How many people can look at it at the same time.
    pub sessions: Option<u32>,
}

/// A serial console, with what came on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SerialConsole {
    /// The id of its system in the device's Redfish service.
    pub id: String,
    /// The name of its system.
    pub name: String,
    /// Whether the system is powered.
    pub power_state: Option<PowerState>,
    /// How many people can look at it at the same time.
    pub sessions: Option<u32>,
    /// What came last on it, kept by the device; bytes that are no UTF-8 are
    /// replaced.
    pub output: Option<String>,
}

named! {
    DeviceConsole: |it| it.id.clone();
}

impl Part for DeviceConsole {
    async fn all(live: &Live) -> Result<Vec<Self>, Error> {
        live.consoles().await
    }
}

/// A console of a device.
#[derive(Debug, Deserialize, JsonSchema)]
struct ConsolePath {
    /// The id or the name of the device.
    device: String,
    /// The id of the console's system.
    console: String,
}

/// How much to show.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tail {
    /// How many bytes of what came last; 16,384 unless said, 1,048,576 at
    /// most.
    #[schemars(range(max = 1_048_576))]
    tail: Option<u32>,
}

/// List a device's serial consoles
///
/// Read from the device now; answers 503 with the code `device_offline` while
/// it is not connected.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/consoles",
    tags = ["device-consoles"],
}]
async fn device_console_list(
    rqctx: RequestContext<Fleet>,
    path: Path<DevicePath>,
    listing: Listing<By<DeviceConsole>>,
) -> Answer<HttpResponseOk<ResultsPage<DeviceConsole>>> {
    list(rqctx, path, listing).await
}

/// View a device's serial console
///
/// With what came on it last. To look on and to type, `GET` what follows
/// `/stream` below it as a WebSocket (RFC 6455): binary messages are what the
/// console says and what is typed. It takes the query parameters `history`
/// (bytes), `take`, `readOnly` and `control`.
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/consoles/{console}",
    tags = ["device-consoles"],
}]
async fn device_console_view(
    rqctx: RequestContext<Fleet>,
    path: Path<ConsolePath>,
    query: Query<Tail>,
) -> Answer<HttpResponseOk<SerialConsole>> {
    answer(rqctx, Role::Readonly, |call| async move {
        let ConsolePath { device, console } = path.into_inner();
        let tail = query.into_inner().tail.unwrap_or(TAIL).min(MOST);
        let live = call.live(&device)?;
        Ok(HttpResponseOk(live.console(&console, tail).await?))
    })
    .await
}

/// Look at a device's serial console, and type
#[endpoint {
    method = GET,
    path = "/v1/devices/{device}/consoles/{console}/stream",
    unpublished = true,
}]
async fn device_console_stream(
    rqctx: RequestContext<Fleet>,
    path: Path<ConsolePath>,
    socket: WebsocketUpgrade,
) -> Result<Response<Body>, Failure> {
    let ConsolePath { device, console } = path.into_inner();
    // Whatever it is, it can type: a cookie counts from our own pages only.
    let headers = rqctx.request.headers();
    let caller = rqctx.context().auth().caller(&Method::POST, headers).await;
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => return Ok(error.failure(&rqctx).into_response()),
    };
    let opened = open(&rqctx, &caller, &device, &console).await;
    let failure = opened.as_ref().err();
    let entry = Entry {
        account: Some(caller.account().to_owned()),
        source: source(&rqctx),
        operation: rqctx.endpoint.operation_id.clone(),
        method: rqctx.request.method().to_string(),
        path: rqctx.request.uri().path().to_owned(),
        device: device_of(&rqctx),
        status: failure
            .map_or(StatusCode::SWITCHING_PROTOCOLS, Error::status)
            .as_u16(),
        error_code: failure.map(|error| error.code().to_owned()),
        request_id: rqctx.request_id.clone(),
        detail: None,
    };
    let noted = rqctx.context().audit().append(entry).await;
    let way = match noted.and(opened) {
        Ok(way) => way,
        Err(error) => return Ok(error.failure(&rqctx).into_response()),
    };
    let fleet = rqctx.context().clone();
    let switching = socket.handle(move |client| async move {
        let client = client.into_inner();
        if let Err(error) = pass(fleet, caller, client, way).await {
            tracing::debug!(error = %Chain(&error), "console broke off");
        }
        Ok(())
    });
    let switching = switching.and_then(HttpResponse::to_result);
    Ok(match switching {
        Ok(response) => response,
        Err(error) => Error::from(error).failure(&rqctx).into_response(),
    })
}

async fn open(
    rqctx: &RequestContext<Fleet>,
    caller: &Caller,
    device: &str,
    console: &str,
) -> Result<Way, Error> {
    let live = rqctx.context().live(caller, device)?;
    let query = rqctx.request.uri().query().unwrap_or_default();
    live.console_way(console, query, &rqctx.request_id).await
}
