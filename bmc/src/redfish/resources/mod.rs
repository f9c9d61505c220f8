//! All resources, one file each; a line in [`RESOURCES`] serves one.

mod account;
mod account_service;
mod action_info;
mod automation_node;
mod battery;
pub(super) mod certificate;
mod certificate_request;
mod certificate_service;
mod chassis;
mod client_certificate;
mod collection;
mod control;
mod drive;
mod environment_metrics;
mod ethernet_interface;
mod event_certificate;
mod event_destination;
mod event_service;
mod event_wish;
mod fabric;
mod fan;
mod file;
mod graceful;
mod instrument;
mod log_entry;
mod log_service;
mod manager;
mod manager_diagnostic_data;
mod manager_i2c;
mod manager_reset;
mod manager_time;
mod memory;
mod metric_definition;
mod metric_report;
mod metric_report_definition;
mod modem;
pub(super) mod network_adapter;
mod network_protocol;
mod outbound_certificate;
mod outbound_connection;
mod port;
mod power;
mod power_mode;
mod power_subsystem;
mod power_supply;
mod privilege_map;
mod processor;
mod role;
mod sensor;
mod serial_interface;
mod service_root;
mod session;
mod session_service;
mod software_inventory;
mod storage;
mod storage_controller;
mod switch;
mod system;
mod system_boot;
mod task;
mod task_service;
mod telemetry_data;
mod telemetry_service;
mod thermal;
mod thermal_metrics;
mod thermal_subsystem;
mod triggers;
mod update_service;
mod volume;
mod why;

use onprem_link::id::Xid;
use onprem_redfish::{
    message::base,
    schema::{FiniteF64, resource as common},
};
use serde::Serialize;
use serde_json::{Map, Value};

pub(super) use self::action_info::ActionInfo;
pub(super) use self::graceful::follow as follow_graceful;
use self::outbound_certificate::Side;
use super::{
    error::Error,
    resource::{Answer, Resource, Write},
};
use crate::model::{Health, PowerState};

/// Everything the service has.
pub(crate) static RESOURCES: &[&dyn Resource] = &[
    &service_root::ServiceRoot,
    &collection::SYSTEMS,
    &system::System,
    &collection::SYSTEM_INTERFACES,
    &ethernet_interface::SystemInterface,
    &collection::PROCESSORS,
    &processor::Processor,
    &collection::MEMORY,
    &memory::Memory,
    &collection::STORAGE,
    &storage::Storage,
    &collection::STORAGE_CONTROLLERS,
    &storage_controller::StorageController,
    &volume::Volumes,
    &volume::Volume,
    &collection::SYSTEM_LOGS,
    &log_service::SYSTEM,
    &log_entry::SYSTEM_ENTRIES,
    &log_entry::SYSTEM_ENTRY,
    &collection::CHASSIS,
    &chassis::Chassis,
    &collection::DRIVES,
    &drive::Drive,
    &collection::SENSORS,
    &sensor::Sensor,
    &collection::ADAPTERS,
    &network_adapter::NetworkAdapter,
    &collection::ADAPTER_PORTS,
    &port::OfAdapter,
    &port::ADAPTER_METRICS,
    &collection::FABRICS,
    &fabric::Fabric,
    &collection::SWITCHES,
    &fabric::Switch,
    &collection::SWITCH_PORTS,
    &port::OfSwitch,
    &port::SWITCH_METRICS,
    &collection::ZONES,
    &fabric::Zone,
    &collection::ENDPOINTS,
    &fabric::Endpoint,
    &collection::CONTROLS,
    &control::Control,
    &collection::AUTOMATION_NODES,
    &automation_node::AutomationNode,
    &power::Power,
    &thermal::Thermal,
    &thermal_subsystem::ThermalSubsystem,
    &thermal_metrics::ThermalMetrics,
    &collection::FANS,
    &fan::Fan,
    &power_subsystem::PowerSubsystem,
    &collection::SUPPLIES,
    &power_supply::PowerSupply,
    &power_supply::PowerSupplyMetrics,
    &collection::BATTERIES,
    &battery::Battery,
    &battery::BatteryMetrics,
    &environment_metrics::EnvironmentMetrics,
    &collection::MANAGERS,
    &manager::Manager,
    &collection::MANAGER_INTERFACES,
    &ethernet_interface::ManagerInterface,
    &collection::MANAGER_LOGS,
    &log_service::MANAGER,
    &log_entry::MANAGER_ENTRIES,
    &log_entry::MANAGER_ENTRY,
    &manager_diagnostic_data::ManagerDiagnosticData,
    &collection::SERIAL_INTERFACES,
    &serial_interface::SerialInterface,
    &network_protocol::NetworkProtocol,
    &collection::CERTIFICATES,
    &certificate::Certificate,
    &certificate_service::CertificateService,
    &certificate_service::CertificateLocations,
    &account_service::AccountService,
    &client_certificate::ClientCertificates,
    &client_certificate::ClientCertificate,
    &account::Accounts,
    &account::Account,
    &privilege_map::PrivilegeMap,
    &role::Roles,
    &role::Role,
    &session_service::SessionService,
    &session::Sessions,
    &session::Session,
    &event_service::EventService,
    &event_destination::Subscriptions,
    &event_destination::Subscription,
    &update_service::UpdateService,
    &collection::FIRMWARES,
    &software_inventory::Firmware,
    &event_certificate::Certificates,
    &event_certificate::Certificate,
    &task_service::TaskService,
    &collection::TASKS,
    &task::Task,
    &telemetry_service::TelemetryService,
    &collection::METRIC_DEFINITIONS,
    &metric_definition::MetricDefinition,
    &metric_report_definition::MetricReportDefinitions,
    &metric_report_definition::MetricReportDefinition,
    &metric_report::MetricReports,
    &metric_report::MetricReport,
    &collection::TELEMETRY_DATA,
    &telemetry_data::TelemetryData,
    &triggers::Triggers,
    &triggers::Trigger,
    &outbound_connection::OutboundConnections,
    &outbound_connection::OutboundConnection,
    &outbound_certificate::Certificates(Side::Fleet),
    &outbound_certificate::Certificate(Side::Fleet),
    &outbound_certificate::Certificates(Side::Device),
    &outbound_certificate::Certificate(Side::Device),
    &collection::REGISTRIES,
    &file::Registry,
    &collection::SCHEMAS,
    &file::Schema,
];

/// Sets what is known and leaves out what is not.
trait With: Sized {
    /// `set` with the value, if there is one.
    fn with<T>(
        self,
        value: Option<T>,
        set: impl FnOnce(Self, T) -> Self,
    ) -> Self {
        match value {
            Some(value) => set(self, value),
            None => self,
        }
    }
}

impl<T> With for T {}

/// A number as JSON can have it.
fn number(value: f64) -> Option<FiniteF64> {
    FiniteF64::try_from(value).ok()
}

fn health(health: Health) -> common::Health {
    match health {
        Health::Ok => common::Health::Ok,
        Health::Warning => common::Health::Warning,
        Health::Critical => common::Health::Critical,
    }
}

fn power_state(state: PowerState) -> common::PowerState {
    match state {
        PowerState::On => common::PowerState::On,
        PowerState::Off => common::PowerState::Off,
        PowerState::PoweringOn => common::PowerState::PoweringOn,
        PowerState::PoweringOff => common::PowerState::PoweringOff,
    }
}

/// In use, and doing this well.
fn enabled(of: Health) -> common::Status {
    common::Status::new().state(common::State::Enabled).health(health(of))
}

/// Whole mebibytes.
fn mebibytes(bytes: u64) -> i64 {
    i64::try_from(bytes >> 20).unwrap_or(i64::MAX)
}

/// The values that the parameter of an action can take.
fn allowable(parameter: &str, values: &[&str]) -> Map<String, Value> {
    let name = format!("{parameter}@Redfish.AllowableValues");
    [(name, values.into())].into_iter().collect()
}

/// Puts what `more` says into an answer, after what it begins with.
fn extend(mut answer: Answer, more: &impl Serialize) -> Answer {
    if let Ok(Value::Object(more)) = serde_json::to_value(more) {
        answer.body.extend(more);
    }
    answer
}

/// The id that a POST asks for, or a new one.
pub(super) fn new_id(write: &Write<'_>) -> Result<String, Error> {
    let Some(id) = write.text("/Id") else {
        return Ok(Xid::new().to_string());
    };
    let safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let first = id.chars().next();
    let fits = first.is_some_and(|c| c.is_ascii_alphanumeric())
        && id.len() <= 64
        && id.chars().all(safe);
    if fits {
        return Ok(id.to_owned());
    }
    let shown: String = id.chars().take(100).collect();
    let message = base::property_value_format_error(shown, "Id");
    let why = "Send up to 64 letters, digits, dots, hyphens and underscores.";
    Err(Error::bad(vec![message.resolved_by(why).about("/Id")]))
}
