//! Why something is not well: the conditions of what is in it.

use chrono::{DateTime, SecondsFormat, Utc};
use onprem_redfish::{
    message::{Message, resource_event, sensor_event},
    schema::resource,
};

use super::{With as _, health, sensor};
use crate::{
    model::{
        Chassis, Health, Part, Quality, Reading, Sensor, Snapshot, System,
    },
    redfish::uri,
};

/// The most conditions that one resource shows; the worst come first.
const SHOWN: usize = 16;

/// So many systems with the same trouble are named; more are counted.
const NAMED: usize = 6;

/// A condition with how bad it is.
type Found = (Health, resource::Condition);

/// What is wrong with `chassis`, its sensors and inputs, and with the systems
/// in it that a control bus sees.
pub(super) fn of_chassis(
    snapshot: &Snapshot,
    chassis: &Chassis,
) -> Vec<resource::Condition> {
    let mut found = in_chassis(snapshot, chassis);
    found.extend(contacts(snapshot, chassis));
    worst(found)
}

/// What is wrong with `system`: as its control bus sees it, and with the
/// sensors in the chassis that hold it.
pub(super) fn of_system(
    snapshot: &Snapshot,
    system: &System,
) -> Vec<resource::Condition> {
    let mut found: Vec<Found> = contact(snapshot, system).into_iter().collect();
    let chassis = system.chassis.iter().filter_map(|id| snapshot.chassis(id));
    found.extend(chassis.flat_map(|it| in_chassis(snapshot, it)));
    worst(found)
}

fn worst(mut found: Vec<Found>) -> Vec<resource::Condition> {
    // Those that are as bad stay in their order.
    found.sort_by_key(|(how, _)| std::cmp::Reverse(*how));
    found.into_iter().take(SHOWN).map(|(_, condition)| condition).collect()
}

fn in_chassis(snapshot: &Snapshot, chassis: &Chassis) -> Vec<Found> {
    let sensors = chassis.sensors.iter();
    let sensors = sensors.filter_map(|it| of_sensor(snapshot, &chassis.id, it));
    let supplies = chassis.power_supplies.iter().filter_map(|supply| {
        let at = snapshot.outages.get(&supply.id)?;
        let message = resource_event::resource_errors_detected(
            &*supply.name,
            "its input is lost",
        );
        let uri = uri::of(uri::SUPPLY, &[&chassis.id, &supply.id]);
        let how = snapshot.input_health(&supply.id);
        Some((how, condition(&message, how, Some(*at), Some(uri))))
    });
    let part = Part::Chassis(chassis.id.clone());
    let troubles = snapshot
        .troubles(&part)
        .map(|known| (known.trouble.health, sensor::trouble(known)));
    troubles.chain(sensors).chain(supplies).collect()
}

/// Why `system` is not seen on its control bus, and since when.
fn unseen<'a>(
    snapshot: &'a Snapshot,
    system: &System,
) -> Option<(Health, &'a str, DateTime<Utc>)> {
    let contact = snapshot.contacts.get(&system.id)?;
    let (how, why) = match &contact.quality {
        Quality::Good => return None,
        Quality::Stale => (Health::Warning, "its control bus says nothing"),
        Quality::Failed(why) => (Health::Critical, &**why),
    };
    Some((how, why, contact.at))
}

fn contact(snapshot: &Snapshot, system: &System) -> Option<Found> {
    let (how, why, at) = unseen(snapshot, system)?;
    let message = resource_event::resource_errors_detected("PowerState", why);
    Some((how, condition(&message, how, Some(at), None)))
}

/// Why systems in `chassis` are not seen on their control bus. Where that is
/// the same for several, as when the bus itself is gone, it is said once.
fn contacts(snapshot: &Snapshot, chassis: &Chassis) -> Vec<Found> {
    type Unseen<'a> = (Health, &'a str, DateTime<Utc>, Vec<&'a str>);
    let mut all: Vec<Unseen<'_>> = Vec::new();
    let systems = chassis.systems.iter().filter_map(|id| snapshot.system(id));
    for system in systems {
        let Some((how, why, at)) = unseen(snapshot, system) else { continue };
        let same = |it: &&mut Unseen<'_>| (it.0, it.1) == (how, why);
        match all.iter_mut().find(same) {
            Some((.., ids)) => ids.push(&system.id),
            None => all.push((how, why, at, vec![&system.id])),
        }
    }
    let found = all.into_iter().map(|(how, why, at, ids)| {
        let (name, uri) = match &ids[..] {
            [one] => {
                let uri = uri::of(uri::SYSTEM, &[one]);
                (format!("PowerState of {one}"), Some(uri))
            }
            [first, .., last] if ids.len() > NAMED => {
                let count = ids.len();
                let name = format!(
                    "PowerState of {count} systems ({first} to {last})"
                );
                (name, None)
            }
            several => (format!("PowerState of {}", several.join(", ")), None),
        };
        let message = resource_event::resource_errors_detected(name, why);
        (how, condition(&message, how, Some(at), uri))
    });
    found.collect()
}

fn of_sensor(snapshot: &Snapshot, chassis: &str, it: &Sensor) -> Option<Found> {
    let how = snapshot.sensor_health(it);
    if how == Health::Ok {
        return None;
    }
    let reading = snapshot.reading(&it.id)?;
    let uri = Some(sensor::at(chassis, &it.id));
    let failed = |why: &str| {
        let what = &*it.name;
        let message = resource_event::resource_errors_detected(what, why);
        condition(&message, how, Some(reading.at), uri.clone())
    };
    let found = match &reading.quality {
        Quality::Failed(why) => failed(why),
        Quality::Stale => failed("its last reading is old"),
        // Without a time: it would be another each second, and its resource
        // with it.
        Quality::Good => condition(&crossed(it, reading)?, how, None, uri),
    };
    Some((how, found))
}

/// The worst of the thresholds that the reading has crossed, with the reading
/// in whole units.
fn crossed(it: &Sensor, reading: &Reading) -> Option<Message> {
    type Say = fn(&str, f64, &str, f64) -> Message;
    let value = reading.number()?;
    let limits = &it.thresholds;
    let above: [(Option<f64>, Say); 3] = [
        (limits.upper_fatal, |name, value, unit, limit| {
            sensor_event::reading_above_upper_fatal_threshold(
                name, value, unit, limit,
            )
        }),
        (limits.upper_critical, |name, value, unit, limit| {
            sensor_event::reading_above_upper_critical_threshold(
                name, value, unit, limit,
            )
        }),
        (limits.upper_caution, |name, value, unit, limit| {
            sensor_event::reading_above_upper_caution_threshold(
                name, value, unit, limit,
            )
        }),
    ];
    let below: [(Option<f64>, Say); 2] = [
        (limits.lower_critical, |name, value, unit, limit| {
            sensor_event::reading_below_lower_critical_threshold(
                name, value, unit, limit,
            )
        }),
        (limits.lower_caution, |name, value, unit, limit| {
            sensor_event::reading_below_lower_caution_threshold(
                name, value, unit, limit,
            )
        }),
    ];
    let name = &it.name;
    let unit = it.kind.unit();
    let above = above.into_iter().filter_map(|(limit, say)| {
        let limit = limit.filter(|limit| value >= *limit)?;
        Some(say(name, value.round(), unit, limit))
    });
    let below = below.into_iter().filter_map(|(limit, say)| {
        let limit = limit.filter(|limit| value <= *limit)?;
        Some(say(name, value.round(), unit, limit))
    });
    let mut both = above.chain(below);
    both.next()
}

fn condition(
    message: &Message,
    how: Health,
    at: Option<DateTime<Utc>>,
    origin: Option<String>,
) -> resource::Condition {
    let at = at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    resource::Condition::new(message.id())
        .message(message.text())
        .message_args(message.arguments().to_vec())
        .resolution(message.resolution())
        .severity(health(how))
        .with(origin, resource::Condition::origin_of_condition)
        .with(at, resource::Condition::timestamp)
}
