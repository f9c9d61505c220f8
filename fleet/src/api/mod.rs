//! The fleet's one API: a file for each resource.

mod account;
mod api_token;
mod audit_record;
mod call;
mod capture;
mod console;
mod device;
mod device_action;
mod envelope;
mod event;
mod i2c;
mod join_token;
mod link;
mod live;
mod node;
mod page;
mod part;
mod port;
mod redfish;
mod session;
mod stream;
mod system;
mod task;

use dropshot::{
    ApiDescription, ApiDescriptionRegisterError, Body, EndpointTagPolicy,
    HttpError, RequestContext, TagConfig, TagDetails, endpoint,
    semver::Version,
};
use http::{HeaderValue, Response, header};

pub(crate) use self::call::source_of;
pub use self::{
    account::{Account, AccountCreate, AccountFilter, AccountUpdate},
    api_token::{ApiToken, ApiTokenCreate, ApiTokenCreated, ApiTokenFilter},
    audit_record::{AuditRecord, AuditRecordFilter},
    call::{Anyone, Call},
    capture::{
        CaptureCreate, DeviceCapture, DumpMode, GeneratorFunction, TriggerMode,
        TriggerSource, TriggerType,
    },
    console::{DeviceConsole, SerialConsole},
    device::{
        Device, DeviceAbility, DeviceFilter, DeviceState, DeviceUpdate, Health,
        PendingKey, PowerState, ResetType,
    },
    envelope::{CaptureEnvelope, EnvelopeSeries},
    event::{Event, EventFilter, EventKind, Severity},
    i2c::I2cGrid,
    join_token::{
        JoinToken, JoinTokenCreate, JoinTokenCreated, JoinTokenFilter,
    },
    link::{Link, LinkFilter, LinkSource},
    live::{
        DeviceFan, DeviceNetworkInterface, DevicePower, DeviceSensor,
        DeviceSystem, PowerSupply, SensorFilter,
    },
    node::{Affected, DeviceNode, Impact},
    page::{Key, Listed, Page},
    part::{By, Part},
    port::{ChangeState, DevicePort, PortKind, PortUpdate},
    session::{Credential, Identity, LoggedIn, Login},
    system::{Overview, ServerHealth, Version as ServerVersion},
    task::{Task, TaskFilter, TaskState, TaskStep},
};
use crate::Fleet;

/// The tags of the document, and what each holds.
const TAGS: &[(&str, &str)] = &[
    ("accounts", "People and programs that may come in."),
    ("api-tokens", "What programs prove themselves with."),
    ("audit-records", "Who did what, and what came of it."),
    ("device-captures", "What the instruments of one device recorded."),
    ("device-consoles", "The serial consoles of one device, live."),
    ("device-fans", "The fans of one device, live."),
    ("device-network-interfaces", "The network of one device, live."),
    ("device-nodes", "The computers that one device looks after, live."),
    ("device-ports", "The ports of one device, live."),
    ("device-power", "What one device draws, live."),
    ("device-sensors", "The readings of one device, live."),
    ("device-system", "The computer that a device is, live."),
    ("devices", "The machines that an agent runs on."),
    ("events", "What happened in the fleet."),
    ("join-tokens", "What lets a new device in."),
    ("links", "Which ports of the fleet are joined."),
    ("session", "Coming in, going out, and who one is."),
    ("system", "The fleet server itself."),
    ("tasks", "Work that takes its time."),
];

/// Every operation of the fleet.
///
/// # Errors
/// Two operations contradict each other.
pub fn description()
-> Result<ApiDescription<Fleet>, ApiDescriptionRegisterError> {
    let mut api = ApiDescription::new().tag_config(TagConfig {
        allow_other_tags: false,
        policy: EndpointTagPolicy::ExactlyOne,
        tags: TAGS
            .iter()
            .map(|(name, text)| {
                let details = TagDetails {
                    description: Some((*text).to_owned()),
                    external_docs: None,
                };
                ((*name).to_owned(), details)
            })
            .collect(),
    });
    for register in REGISTER {
        register(&mut api)?;
    }
    Ok(api)
}

/// Every operation with those that are not in the document: the devices' own
/// Redfish services, the stream of events, and the document itself.
///
/// # Errors
/// Two operations contradict each other.
pub fn served() -> Result<ApiDescription<Fleet>, ApiDescriptionRegisterError> {
    let mut api = description()?;
    redfish::register(&mut api)?;
    stream::register(&mut api)?;
    console::register_stream(&mut api)?;
    api.register(openapi)?;
    Ok(api)
}

/// View the document of this API
#[endpoint { method = GET, path = "/openapi.json", unpublished = true }]
async fn openapi(
    _: RequestContext<Fleet>,
) -> Result<Response<Body>, HttpError> {
    let text = onprem_description::document_text();
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

type Register =
    fn(&mut ApiDescription<Fleet>) -> Result<(), ApiDescriptionRegisterError>;

const REGISTER: &[Register] = &[
    account::register,
    api_token::register,
    audit_record::register,
    capture::register,
    console::register,
    device::register,
    device_action::register,
    envelope::register,
    event::register,
    i2c::register,
    join_token::register,
    link::register,
    live::register,
    node::register,
    port::register,
    session::register,
    system::register,
    task::register,
];

/// The OpenAPI document, as text.
///
/// # Errors
/// Two operations contradict each other, or the document cannot be written.
pub fn document() -> anyhow::Result<String> {
    let api = description()?;
    let version = Version::parse(env!("CARGO_PKG_VERSION"))?;
    let mut definition = api.openapi("on-prem fleet", version);
    definition
        .description("One API for every device of an on-prem fleet.")
        .contact_url("https://on-prem.net")
        .license("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0");
    let mut text = serde_json::to_string_pretty(&definition.json()?)?;
    text.push('\n');
    Ok(text)
}
