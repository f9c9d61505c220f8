//! Where resources live.

use crate::model::Part;

macro_rules! uris {
    ($($name:ident = $($part:literal)+;)*) => {
        $(pub(crate) const $name: &str = concat!("/redfish/v1", $($part),+);)*
    };
}

uris! {
    ROOT = "";
    SYSTEMS = "/Systems";
    SYSTEM = "/Systems/{ComputerSystemId}";
    SYSTEM_INTERFACES = "/Systems/{ComputerSystemId}/EthernetInterfaces";
    SYSTEM_INTERFACE =
        "/Systems/{ComputerSystemId}/EthernetInterfaces/{EthernetInterfaceId}";
    CONSOLE = "/Systems/{ComputerSystemId}/SerialConsole";
    CONSOLE_HISTORY = "/Systems/{ComputerSystemId}/SerialConsole/History";
    PROCESSORS = "/Systems/{ComputerSystemId}/Processors";
    PROCESSOR = "/Systems/{ComputerSystemId}/Processors/{ProcessorId}";
    MEMORIES = "/Systems/{ComputerSystemId}/Memory";
    MEMORY = "/Systems/{ComputerSystemId}/Memory/{MemoryId}";
    STORAGES = "/Systems/{ComputerSystemId}/Storage";
    STORAGE = "/Systems/{ComputerSystemId}/Storage/{StorageId}";
    SYSTEM_LOGS = "/Systems/{ComputerSystemId}/LogServices";
    SYSTEM_LOG = "/Systems/{ComputerSystemId}/LogServices/{LogServiceId}";
    SYSTEM_LOG_ENTRIES =
        "/Systems/{ComputerSystemId}/LogServices/{LogServiceId}/Entries";
    SYSTEM_LOG_ENTRY = "/Systems/{ComputerSystemId}/LogServices/"
        "{LogServiceId}/Entries/{LogEntryId}";
    STORAGE_CONTROLLERS =
        "/Systems/{ComputerSystemId}/Storage/{StorageId}/Controllers";
    STORAGE_CONTROLLER = "/Systems/{ComputerSystemId}/Storage/{StorageId}/"
        "Controllers/{StorageControllerId}";
    VOLUMES = "/Systems/{ComputerSystemId}/Storage/{StorageId}/Volumes";
    VOLUME = "/Systems/{ComputerSystemId}/Storage/{StorageId}/Volumes/"
        "{VolumeId}";
    CHASSIS_ALL = "/Chassis";
    CHASSIS = "/Chassis/{ChassisId}";
    DRIVES = "/Chassis/{ChassisId}/Drives";
    DRIVE = "/Chassis/{ChassisId}/Drives/{DriveId}";
    SENSORS = "/Chassis/{ChassisId}/Sensors";
    SENSOR = "/Chassis/{ChassisId}/Sensors/{SensorId}";
    ADAPTERS = "/Chassis/{ChassisId}/NetworkAdapters";
    ADAPTER = "/Chassis/{ChassisId}/NetworkAdapters/{NetworkAdapterId}";
    ADAPTER_PORTS =
        "/Chassis/{ChassisId}/NetworkAdapters/{NetworkAdapterId}/Ports";
    ADAPTER_PORT = "/Chassis/{ChassisId}/NetworkAdapters/{NetworkAdapterId}/"
        "Ports/{PortId}";
    ADAPTER_PORT_METRICS = "/Chassis/{ChassisId}/NetworkAdapters/"
        "{NetworkAdapterId}/Ports/{PortId}/Metrics";
    FABRICS = "/Fabrics";
    FABRIC = "/Fabrics/{FabricId}";
    SWITCHES = "/Fabrics/{FabricId}/Switches";
    SWITCH = "/Fabrics/{FabricId}/Switches/{SwitchId}";
    SWITCH_PORTS = "/Fabrics/{FabricId}/Switches/{SwitchId}/Ports";
    SWITCH_PORT = "/Fabrics/{FabricId}/Switches/{SwitchId}/Ports/{PortId}";
    SWITCH_PORT_METRICS =
        "/Fabrics/{FabricId}/Switches/{SwitchId}/Ports/{PortId}/Metrics";
    ZONES = "/Fabrics/{FabricId}/Zones";
    ZONE = "/Fabrics/{FabricId}/Zones/{ZoneId}";
    ENDPOINTS = "/Fabrics/{FabricId}/Endpoints";
    ENDPOINT = "/Fabrics/{FabricId}/Endpoints/{EndpointId}";
    CONTROLS = "/Chassis/{ChassisId}/Controls";
    CONTROL = "/Chassis/{ChassisId}/Controls/{ControlId}";
    OLD_POWER = "/Chassis/{ChassisId}/Power";
    OLD_THERMAL = "/Chassis/{ChassisId}/Thermal";
    THERMAL = "/Chassis/{ChassisId}/ThermalSubsystem";
    THERMAL_METRICS = "/Chassis/{ChassisId}/ThermalSubsystem/ThermalMetrics";
    FANS = "/Chassis/{ChassisId}/ThermalSubsystem/Fans";
    FAN = "/Chassis/{ChassisId}/ThermalSubsystem/Fans/{FanId}";
    POWER = "/Chassis/{ChassisId}/PowerSubsystem";
    SUPPLIES = "/Chassis/{ChassisId}/PowerSubsystem/PowerSupplies";
    SUPPLY =
        "/Chassis/{ChassisId}/PowerSubsystem/PowerSupplies/{PowerSupplyId}";
    SUPPLY_METRICS = "/Chassis/{ChassisId}/PowerSubsystem/PowerSupplies/"
        "{PowerSupplyId}/Metrics";
    BATTERIES = "/Chassis/{ChassisId}/PowerSubsystem/Batteries";
    BATTERY = "/Chassis/{ChassisId}/PowerSubsystem/Batteries/{BatteryId}";
    BATTERY_METRICS =
        "/Chassis/{ChassisId}/PowerSubsystem/Batteries/{BatteryId}/Metrics";
    ENVIRONMENT = "/Chassis/{ChassisId}/EnvironmentMetrics";
    AUTOMATION_NODES = "/AutomationNodes";
    AUTOMATION_NODE = "/AutomationNodes/{AutomationNodeId}";
    MANAGERS = "/Managers";
    MANAGER = "/Managers/{ManagerId}";
    MANAGER_INTERFACES = "/Managers/{ManagerId}/EthernetInterfaces";
    MANAGER_INTERFACE =
        "/Managers/{ManagerId}/EthernetInterfaces/{EthernetInterfaceId}";
    MANAGER_LOGS = "/Managers/{ManagerId}/LogServices";
    MANAGER_LOG = "/Managers/{ManagerId}/LogServices/{LogServiceId}";
    MANAGER_LOG_ENTRIES =
        "/Managers/{ManagerId}/LogServices/{LogServiceId}/Entries";
    MANAGER_LOG_ENTRY = "/Managers/{ManagerId}/LogServices/{LogServiceId}/"
        "Entries/{LogEntryId}";
    MANAGER_LOG_ATTACHMENT = "/Managers/{ManagerId}/LogServices/"
        "{LogServiceId}/Entries/{LogEntryId}/attachment";
    MANAGER_DIAGNOSTIC_DATA = "/Managers/{ManagerId}/ManagerDiagnosticData";
    SERIAL_INTERFACES = "/Managers/{ManagerId}/SerialInterfaces";
    SERIAL_INTERFACE =
        "/Managers/{ManagerId}/SerialInterfaces/{SerialInterfaceId}";
    NETWORK_PROTOCOL = "/Managers/{ManagerId}/NetworkProtocol";
    CERTIFICATES = "/Managers/{ManagerId}/NetworkProtocol/HTTPS/Certificates";
    CERTIFICATE = "/Managers/{ManagerId}/NetworkProtocol/HTTPS/Certificates/"
        "{CertificateId}";
    CERTIFICATE_SERVICE = "/CertificateService";
    CERTIFICATE_LOCATIONS = "/CertificateService/CertificateLocations";
    ACCOUNT_SERVICE = "/AccountService";
    ACCOUNTS = "/AccountService/Accounts";
    ACCOUNT = "/AccountService/Accounts/{ManagerAccountId}";
    ROLES = "/AccountService/Roles";
    ROLE = "/AccountService/Roles/{RoleId}";
    PRIVILEGE_MAP = "/AccountService/PrivilegeMap";
    CLIENT_CERTIFICATES =
        "/AccountService/MultiFactorAuth/ClientCertificate/Certificates";
    CLIENT_CERTIFICATE = "/AccountService/MultiFactorAuth/ClientCertificate/"
        "Certificates/{CertificateId}";
    SESSION_SERVICE = "/SessionService";
    SESSIONS = "/SessionService/Sessions";
    SESSION = "/SessionService/Sessions/{SessionId}";
    EVENT_SERVICE = "/EventService";
    SUBSCRIPTIONS = "/EventService/Subscriptions";
    SUBSCRIPTION = "/EventService/Subscriptions/{EventDestinationId}";
    EVENT_CERTIFICATES =
        "/EventService/Subscriptions/{EventDestinationId}/Certificates";
    EVENT_CERTIFICATE = "/EventService/Subscriptions/{EventDestinationId}/"
        "Certificates/{CertificateId}";
    SSE = "/EventService/SSE";
    UPDATE_SERVICE = "/UpdateService";
    UPDATE_PUSH = "/UpdateService/Multipart";
    FIRMWARES = "/UpdateService/FirmwareInventory";
    FIRMWARE = "/UpdateService/FirmwareInventory/{SoftwareInventoryId}";
    TASK_SERVICE = "/TaskService";
    TASKS = "/TaskService/Tasks";
    TASK = "/TaskService/Tasks/{TaskId}";
    TASK_MONITOR = "/TaskService/TaskMonitors/{TaskId}";
    TELEMETRY = "/TelemetryService";
    METRIC_DEFINITIONS = "/TelemetryService/MetricDefinitions";
    METRIC_DEFINITION =
        "/TelemetryService/MetricDefinitions/{MetricDefinitionId}";
    METRIC_REPORT_DEFINITIONS = "/TelemetryService/MetricReportDefinitions";
    METRIC_REPORT_DEFINITION = "/TelemetryService/MetricReportDefinitions/"
        "{MetricReportDefinitionId}";
    METRIC_REPORTS = "/TelemetryService/MetricReports";
    METRIC_REPORT = "/TelemetryService/MetricReports/{MetricReportId}";
    TELEMETRY_DATA = "/TelemetryService/TelemetryData";
    TELEMETRY_DATUM = "/TelemetryService/TelemetryData/{TelemetryDataId}";
    CAPTURE_SESSION =
        "/TelemetryService/TelemetryData/{TelemetryDataId}/capture.sr";
    CAPTURE_CSV =
        "/TelemetryService/TelemetryData/{TelemetryDataId}/capture.csv";
    TRIGGERS = "/TelemetryService/Triggers";
    TRIGGER = "/TelemetryService/Triggers/{TriggersId}";
    OUTBOUND_CONNECTIONS = "/AccountService/OutboundConnections";
    OUTBOUND_CONNECTION =
        "/AccountService/OutboundConnections/{OutboundConnectionId}";
    FLEET_CERTIFICATES = "/AccountService/OutboundConnections/"
        "{OutboundConnectionId}/Certificates";
    FLEET_CERTIFICATE = "/AccountService/OutboundConnections/"
        "{OutboundConnectionId}/Certificates/{CertificateId}";
    FLEET_CLIENT_CERTIFICATES = "/AccountService/OutboundConnections/"
        "{OutboundConnectionId}/ClientCertificates";
    FLEET_CLIENT_CERTIFICATE = "/AccountService/OutboundConnections/"
        "{OutboundConnectionId}/ClientCertificates/{CertificateId}";
    REGISTRIES = "/Registries";
    REGISTRY = "/Registries/{MessageRegistryFileId}";
    SCHEMAS = "/JsonSchemas";
    SCHEMA = "/JsonSchemas/{JsonSchemaFileId}";
}

/// Where `part` is.
pub(crate) fn of_part(part: &Part) -> String {
    match part {
        Part::System(id) => of(SYSTEM, &[id]),
        Part::Chassis(id) => of(CHASSIS, &[id]),
        Part::Manager(id) => of(MANAGER, &[id]),
    }
}

/// The URI that `pattern` gives with `ids` in the places of its braces.
pub(crate) fn of<I: AsRef<str>>(pattern: &str, ids: &[I]) -> String {
    let mut ids = ids.iter();
    let mut uri = String::with_capacity(pattern.len());
    for (index, segment) in pattern.split('/').enumerate() {
        if index > 0 {
            uri.push('/');
        }
        if segment.starts_with('{') {
            uri.push_str(ids.next().map_or("", AsRef::as_ref));
        } else {
            uri.push_str(segment);
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_the_places_of_braces() {
        assert_eq!(of(SYSTEM, &["node"]), "/redfish/v1/Systems/node");
        assert_eq!(of::<&str>(ROOT, &[]), ROOT);
    }
}
