//! Power supplies and batteries that the kernel knows.

use super::{
    channel::{Channel, Group, Source},
    segment,
    tree::Tree,
};
use crate::model::{
    Battery, BoardIdentity, Id, PhysicalContext, PowerSupply, SensorKind,
    SupplyKind,
};

const FOLDER: &str = "/sys/class/power_supply";

/// The supplies and batteries of the machine itself.
#[must_use]
pub fn read(tree: &Tree) -> Vec<Group> {
    let entries = tree.entries(FOLDER);
    entries.iter().filter_map(|name| supply(tree, name)).collect()
}

fn supply(tree: &Tree, name: &str) -> Option<Group> {
    let folder = format!("{FOLDER}/{name}");
    let text = |file: &str| tree.text(&format!("{folder}/{file}"));
    // The battery of a mouse has the scope of a device.
    if text("scope").as_deref() == Some("Device") {
        return None;
    }
    let kind = text("type")?;
    let is_battery = matches!(kind.as_str(), "Battery" | "UPS");
    let mut group = Group { name: name.to_owned(), ..Group::default() };
    let mut add = |file: &str, word: &str, kind, factor| -> Option<Id> {
        text(file)?;
        let path = tree.path(&format!("{folder}/{file}"));
        let title = format!("{name} {word}");
        let source = Source::file(&path, factor);
        let mut channel = Channel::new(&title, kind, source);
        channel.sensor.context = if is_battery {
            PhysicalContext::Battery
        } else {
            PhysicalContext::PowerSupply
        };
        channel.sensor.source = format!("power supply {name} {file}").into();
        let id = channel.sensor.id.clone();
        group.channels.push(channel);
        Some(id)
    };
    let charge = add("capacity", "Charge", SensorKind::Percent, 1.0);
    let voltage = add("voltage_now", "Voltage", SensorKind::Voltage, 1e-6);
    let current = add("current_now", "Current", SensorKind::Current, 1e-6);
    let power = add("power_now", "Power", SensorKind::Power, 1e-6);
    let board = BoardIdentity {
        manufacturer: text("manufacturer"),
        model: text("model_name"),
        serial_number: text("serial_number"),
        ..BoardIdentity::default()
    };
    let id: Id = segment(name).into();
    let title = board.model.clone().unwrap_or_else(|| name.to_owned());
    if is_battery {
        let battery = Battery {
            id,
            name: title,
            board,
            charge,
            voltage,
            current,
            ..Battery::default()
        };
        group.batteries.push(battery);
    } else {
        group.power_supplies.push(PowerSupply {
            id,
            name: title,
            kind: match kind.as_str() {
                "Mains" => SupplyKind::Ac,
                _ => SupplyKind::Dc,
            },
            board,
            voltage,
            current,
            power,
            ..PowerSupply::default()
        });
    }
    Some(group)
}
