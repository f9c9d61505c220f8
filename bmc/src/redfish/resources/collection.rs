//! Collections that list what the model, or the service itself, is made of.

use onprem_redfish::{document, schema};

use super::{automation_node, log_service::Owner, network_adapter};
use crate::{
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
    telemetry,
};

/// A collection that only lists.
pub(crate) struct Collection {
    uri: &'static str,
    kind: &'static str,
    freshness: Freshness,
    /// The typed answer, from the members' URIs.
    typed: fn(Vec<String>) -> Answer,
    /// The ids of the members; `None` where what they belong to is not there.
    members: fn(&View<'_>, &[&str]) -> Option<Vec<String>>,
}

impl Resource for Collection {
    fn uri(&self) -> &'static str {
        self.uri
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn freshness(&self) -> Freshness {
        self.freshness
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let here = uri::of(self.uri, ids);
        let members = (self.members)(view, ids)?;
        let uris = members.iter().map(|id| format!("{here}/{id}")).collect();
        Some((self.typed)(uris))
    }
}

/// The typed answer of a collection.
macro_rules! typed {
    ($module:ident::$kind:ident, $name:literal) => {
        |members: Vec<String>| {
            let count = members.len() as u64;
            let collection = schema::$module::$kind::new("", $name, members);
            answer(collection.members_count(count))
        }
    };
}
macro_rules! collections {
    ($($(#[$freshness:ident])? $id:ident = $module:ident::$kind:ident,
        $name:literal, $uri:ident, $members:expr;)*) => {
        $(pub(crate) static $id: Collection = Collection {
            uri: uri::$uri,
            kind: stringify!($kind),
            freshness: collections!(@ $($freshness)?),
            typed: typed!($module::$kind, $name),
            members: $members,
        };)*
    };
    (@) => { Freshness::Fixed };
    (@ $freshness:ident) => { Freshness::$freshness };
}

collections! {
    SYSTEMS = computer_system_collection::ComputerSystemCollection,
        "Systems", SYSTEMS, |view, _| {
            let systems = &view.snapshot.inventory.systems;
            Some(names(systems, |system| &system.id))
        };
    SYSTEM_INTERFACES =
        ethernet_interface_collection::EthernetInterfaceCollection,
        "Network interfaces", SYSTEM_INTERFACES, |view, ids| {
            let system = view.system(ids)?;
            Some(names(&system.interfaces, |interface| &interface.id))
        };
    PROCESSORS = processor_collection::ProcessorCollection,
        "Processors", PROCESSORS, |view, ids| {
            Some(names(&view.system(ids)?.processors, |processor| &processor.id))
        };
    MEMORY = memory_collection::MemoryCollection,
        "Memory", MEMORIES, |view, ids| {
            Some(names(&view.system(ids)?.memory, |module| &module.id))
        };
    STORAGE = storage_collection::StorageCollection,
        "Storage", STORAGES, |view, ids| {
            Some(names(&view.system(ids)?.storage, |storage| &storage.id))
        };
    SYSTEM_LOGS = log_service_collection::LogServiceCollection,
        "Logs", SYSTEM_LOGS, |view, ids| Owner::System.members(view, ids);
    STORAGE_CONTROLLERS =
        storage_controller_collection::StorageControllerCollection,
        "Storage controllers", STORAGE_CONTROLLERS, |view, ids| {
            let [_, storage] = ids else { return None };
            let mut all = view.system(ids)?.storage.iter();
            Some(vec![all.find(|it| &*it.id == *storage)?.id.to_string()])
        };
    SERIAL_INTERFACES = serial_interface_collection::SerialInterfaceCollection,
        "Serial interfaces", SERIAL_INTERFACES, |view, ids| {
            Some(names(&view.manager(ids)?.serial, |port| &port.id))
        };
    CHASSIS = chassis_collection::ChassisCollection,
        "Chassis", CHASSIS_ALL, |view, _| {
            let chassis = &view.snapshot.inventory.chassis;
            Some(names(chassis, |chassis| &chassis.id))
        };
    DRIVES = drive_collection::DriveCollection,
        "Drives", DRIVES, |view, ids| {
            let drives = view.drives(view.chassis(ids)?);
            Some(drives.map(|(_, _, drive)| drive.id.to_string()).collect())
        };
    SENSORS = sensor_collection::SensorCollection,
        "Sensors", SENSORS, |view, ids| {
            Some(names(&view.chassis(ids)?.sensors, |sensor| &sensor.id))
        };
    ADAPTERS = network_adapter_collection::NetworkAdapterCollection,
        "Network adapters", ADAPTERS, |view, ids| {
            Some(network_adapter::ids(view.snapshot, view.chassis(ids)?))
        };
    ADAPTER_PORTS = port_collection::PortCollection,
        "Ports", ADAPTER_PORTS, |view, ids| {
            let [_, id] = ids else { return None };
            let chassis = view.chassis(ids)?;
            let found = network_adapter::find(view.snapshot, chassis, id)?;
            Some(vec![found.2.id.to_string()])
        };
    FABRICS = fabric_collection::FabricCollection,
        "Fabrics", FABRICS, |view, _| {
            let fabrics = view.snapshot.network.fabrics();
            Some(fabrics.into_iter().map(ToString::to_string).collect())
        };
    SWITCHES = switch_collection::SwitchCollection,
        "Switches", SWITCHES, |view, ids| {
            let network = &view.snapshot.network;
            let all = network.of(ids.first()?).map(|it| it.id.to_string());
            Some(all.collect::<Vec<_>>()).filter(|all| !all.is_empty())
        };
    SWITCH_PORTS = port_collection::PortCollection,
        "Ports", SWITCH_PORTS, |view, ids| {
            let [fabric, switch] = ids else { return None };
            let switch = view.snapshot.network.switch(fabric, switch)?;
            Some(names(&switch.ports, |port| &port.id))
        };
    ZONES = zone_collection::ZoneCollection,
        "Zones", ZONES, |view, ids| {
            let network = &view.snapshot.network;
            network.of(ids.first()?).next()?;
            let vlans = network.vlans(ids.first()?).into_iter();
            Some(vlans.map(|vlan| vlan.number().to_string()).collect())
        };
    ENDPOINTS = endpoint_collection::EndpointCollection,
        "Endpoints", ENDPOINTS, |view, ids| {
            let fabric = ids.first()?;
            view.snapshot.network.of(fabric).next()?;
            Some(super::fabric::end_ids(view.snapshot, fabric))
        };
    CONTROLS = control_collection::ControlCollection,
        "Controls", CONTROLS, |view, ids| {
            let chassis = view.chassis(ids)?;
            let mut ids = names(&chassis.controls, |control| &control.id);
            ids.extend(names(&chassis.switches, |switch| &switch.id));
            Some(ids)
        };
    AUTOMATION_NODES = automation_node_collection::AutomationNodeCollection,
        "Automation nodes", AUTOMATION_NODES, |view, _| {
            let loops = automation_node::loops(view);
            Some(loops.map(|(_, control)| control.id.to_string()).collect())
        };
    FANS = fan_collection::FanCollection,
        "Fans", FANS, |view, ids| {
            Some(names(&view.chassis(ids)?.fans, |fan| &fan.id))
        };
    SUPPLIES = power_supply_collection::PowerSupplyCollection,
        "Power supplies", SUPPLIES, |view, ids| {
            let supplies = &view.chassis(ids)?.power_supplies;
            Some(names(supplies, |supply| &supply.id))
        };
    BATTERIES = battery_collection::BatteryCollection,
        "Batteries", BATTERIES, |view, ids| {
            Some(names(&view.chassis(ids)?.batteries, |battery| &battery.id))
        };
    MANAGERS = manager_collection::ManagerCollection,
        "Managers", MANAGERS, |view, _| {
            Some(vec![view.snapshot.inventory.manager.id.to_string()])
        };
    MANAGER_INTERFACES =
        ethernet_interface_collection::EthernetInterfaceCollection,
        "Network interfaces", MANAGER_INTERFACES, |view, ids| {
            let manager = view.manager(ids)?;
            Some(names(&manager.interfaces, |interface| &interface.id))
        };
    MANAGER_LOGS = log_service_collection::LogServiceCollection,
        "Logs", MANAGER_LOGS, |view, ids| Owner::Manager.members(view, ids);
    CERTIFICATES = certificate_collection::CertificateCollection,
        "Certificates", CERTIFICATES, |view, ids| {
            view.manager(ids)?;
            Some(vec!["1".to_owned()])
        };
    #[Now]
    FIRMWARES = software_inventory_collection::SoftwareInventoryCollection,
        "Firmware", FIRMWARES, |view, _| {
            Some(super::software_inventory::ids(view))
        };
    #[Now]
    TASKS = task_collection::TaskCollection,
        "Tasks", TASKS, |view, _| Some(view.service.task_book.ids());
    #[Now]
    TELEMETRY_DATA = telemetry_data_collection::TelemetryDataCollection,
        "Telemetry data", TELEMETRY_DATA, |view, _| {
            let all = view.service.captures.all().into_iter();
            Some(all.map(|capture| capture.id).collect())
        };
    METRIC_DEFINITIONS =
        metric_definition_collection::MetricDefinitionCollection,
        "Metric definitions", METRIC_DEFINITIONS, |view, _| {
            Some(telemetry::metric_ids(view.snapshot))
        };
    #[Static]
    REGISTRIES = message_registry_file_collection::MessageRegistryFileCollection,
        "Message registries", REGISTRIES, |_, _| {
            let registries = document::registries().into_iter();
            Some(registries.map(|registry| registry.id).collect())
        };
    #[Static]
    SCHEMAS = json_schema_file_collection::JsonSchemaFileCollection,
        "Schemas", SCHEMAS, |_, _| {
            let schemas = document::schemas().into_iter();
            Some(schemas.map(|schema| schema.id).collect())
        };
}

fn names<T>(items: &[T], id: impl Fn(&T) -> &crate::model::Id) -> Vec<String> {
    items.iter().map(|item| id(item).to_string()).collect()
}
