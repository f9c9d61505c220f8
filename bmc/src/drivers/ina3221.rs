//! The INA3221 as `JetPack` 4 shows it: three rails below an IIO device. Later
//! kernels show it as a hwmon chip.

use super::{
    channel::{Channel, Group, Source},
    segment,
    tree::Tree,
};
use crate::model::{PhysicalContext, PowerSupply, SensorKind};

const FOLDER: &str = "/sys/bus/i2c/devices";

/// What is measured on a rail: file, kind, factor, word.
const QUANTITIES: [(&str, SensorKind, f64, &str); 3] = [
    ("voltage", SensorKind::Voltage, 1e-3, "Voltage"),
    ("current", SensorKind::Current, 1e-3, "Current"),
    ("power", SensorKind::Power, 1e-3, "Power"),
];

/// The chips with their rails.
#[must_use]
pub fn read(tree: &Tree) -> Vec<Group> {
    let mut groups = Vec::new();
    for device in tree.entries(FOLDER) {
        let folder = format!("{FOLDER}/{device}");
        let name = tree.text(&format!("{folder}/name")).unwrap_or_default();
        if !name.starts_with("ina3221") {
            continue;
        }
        for entry in tree.entries(&folder) {
            if entry.starts_with("iio:device") {
                let folder = format!("{folder}/{entry}");
                groups.push(chip(tree, &folder, &device));
            }
        }
    }
    groups
}

fn chip(tree: &Tree, folder: &str, device: &str) -> Group {
    let mut group = Group { name: device.to_owned(), ..Group::default() };
    for number in 0..3 {
        let rail = tree.text(&format!("{folder}/rail_name_{number}"));
        let Some(rail) = rail.filter(|rail| rail != "NC") else { continue };
        for (file, kind, factor, word) in QUANTITIES {
            let path = tree.path(&format!("{folder}/in_{file}{number}_input"));
            if !path.exists() {
                continue;
            }
            let name = format!("{rail} {word}");
            let source = Source::file(&path, factor);
            let mut channel = Channel::new(&name, kind, source);
            channel.sensor.context = PhysicalContext::VoltageRegulator;
            channel.sensor.source =
                format!("ina3221 {device} rail {number}").into();
            group.channels.push(channel);
        }
        if rail.ends_with("_IN") {
            let id =
                |word: &str| Some(segment(&format!("{rail} {word}")).into());
            group.power_supplies.push(PowerSupply {
                id: "Input".into(),
                name: "Power Input".into(),
                voltage: id("Voltage"),
                current: id("Current"),
                power: id("Power"),
                ..PowerSupply::default()
            });
        }
    }
    group
}
