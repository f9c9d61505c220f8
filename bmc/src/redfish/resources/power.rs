//! `Power`: what `PowerSubsystem` and `Sensor` replaced, for clients that
//! still ask for it. Only where the configuration says so.

use onprem_redfish::{
    IntoJson as _,
    schema::{power, resource::Status},
};
use serde_json::{Map, Value, json};

use super::{enabled, sensor};
use crate::{
    model::{Chassis, Sensor, SensorKind, SupplyKind},
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `/redfish/v1/Chassis/{ChassisId}/Power`
pub(crate) struct Power;

impl Resource for Power {
    fn uri(&self) -> &'static str {
        uri::OLD_POWER
    }

    fn kind(&self) -> &'static str {
        "Power"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.chassis(ids)?;
        if !view.service.deprecated_power_thermal {
            return None;
        }
        let here = uri::of(uri::OLD_POWER, ids);
        let of = |kind: SensorKind| {
            let sensors = it.sensors.iter();
            sensors.filter(move |sensor| sensor.kind == kind)
        };
        let voltages = of(SensorKind::Voltage).map(|sensor| {
            let mut shown = limits(view, sensor);
            put(&mut shown, "ReadingVolts", value(view, &sensor.id));
            let range = ["MinReadingRange", "MaxReadingRange"];
            ranges(&mut shown, sensor, range);
            (sensor.name.clone(), shown)
        });
        let capacity: f64 =
            it.power_supplies.iter().filter_map(|it| it.capacity_watts).sum();
        let inputs = it.power_supplies.iter().filter_map(|supply| {
            let power = supply.power.as_ref()?;
            value(view, power)
        });
        let watts: Vec<f64> = inputs.collect();
        let mut control = Map::new();
        if !watts.is_empty() {
            let sum = watts.iter().sum();
            put(&mut control, "PowerConsumedWatts", Some(sum));
        }
        if capacity > 0.0 {
            put(&mut control, "PowerCapacityWatts", Some(capacity));
        }
        let control = (!control.is_empty())
            .then(|| ("Chassis power".to_owned(), control));
        let supplies = it.power_supplies.iter().map(|supply| {
            let mut shown = Map::new();
            let kind = match supply.kind {
                SupplyKind::Ac => "AC",
                SupplyKind::Dc => "DC",
            };
            shown.insert("PowerSupplyType".to_owned(), kind.into());
            let read = |id: &Option<crate::model::Id>| {
                id.as_ref().and_then(|id| value(view, id))
            };
            put(&mut shown, "LineInputVoltage", read(&supply.voltage));
            put(&mut shown, "PowerInputWatts", read(&supply.power));
            put(&mut shown, "PowerCapacityWatts", supply.capacity_watts);
            for (name, text) in [
                ("Manufacturer", &supply.board.manufacturer),
                ("Model", &supply.board.model),
                ("SerialNumber", &supply.board.serial_number),
            ] {
                if let Some(text) = text {
                    shown.insert(name.to_owned(), text.as_str().into());
                }
            }
            let health = view.worst(it, &[SensorKind::Voltage]);
            status(&mut shown, enabled(health));
            (supply.name.clone(), shown)
        });
        let mut answer = answer(power::Power::new("", "Power", "Power"));
        for (name, members) in [
            ("PowerControl", control.into_iter().collect::<Vec<_>>()),
            ("PowerSupplies", supplies.collect()),
            ("Voltages", voltages.collect()),
        ] {
            let members = embed(&here, name, members);
            answer.body.insert(format!("{name}@odata.count"), members.0);
            answer.body.insert(name.to_owned(), members.1);
        }
        Some(answer)
    }
}

/// Members that lie within a resource, as this one had them: each with a URI
/// that ends in a JSON pointer.
pub(super) fn embed(
    here: &str,
    array: &str,
    members: Vec<(String, Map<String, Value>)>,
) -> (Value, Value) {
    let count = members.len();
    let members = members.into_iter().enumerate();
    let members = members.map(|(index, (name, mut body))| {
        let at = format!("{here}#/{array}/{index}");
        body.insert("@odata.id".to_owned(), at.into());
        body.insert("MemberId".to_owned(), index.to_string().into());
        body.insert("Name".to_owned(), name.into());
        Value::Object(body)
    });
    (json!(count), members.collect())
}

/// The thresholds and the status of a sensor, in the words of then.
pub(super) fn limits(view: &View<'_>, of: &Sensor) -> Map<String, Value> {
    let mut shown = Map::new();
    let limits = &of.thresholds;
    for (name, limit) in [
        ("UpperThresholdNonCritical", limits.upper_caution),
        ("UpperThresholdCritical", limits.upper_critical),
        ("LowerThresholdNonCritical", limits.lower_caution),
        ("LowerThresholdCritical", limits.lower_critical),
    ] {
        put(&mut shown, name, limit);
    }
    status(&mut shown, enabled(view.snapshot.sensor_health(of)));
    shown
}

/// The range of a sensor under these names.
pub(super) fn ranges(
    into: &mut Map<String, Value>,
    of: &Sensor,
    [low, high]: [&str; 2],
) {
    put(into, low, of.range.map(|(low, _)| low));
    put(into, high, of.range.map(|(_, high)| high));
}

/// The last value of a sensor.
pub(super) fn value(view: &View<'_>, id: &str) -> Option<f64> {
    view.snapshot.reading(id)?.number()
}

/// A number, where there is one.
pub(super) fn put(
    into: &mut Map<String, Value>,
    name: &str,
    value: Option<f64>,
) {
    if let Some(value) = value {
        into.insert(name.to_owned(), json!(value));
    }
}

fn status(into: &mut Map<String, Value>, status: Status) {
    into.insert("Status".to_owned(), status.into_json());
}

/// The sensors that a client of today reads instead.
pub(super) fn related(chassis: &Chassis, sensor: &Sensor) -> Value {
    json!([{"@odata.id": sensor::at(&chassis.id, &sensor.id)}])
}
