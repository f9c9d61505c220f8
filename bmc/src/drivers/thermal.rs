//! Thermal zones, and fans that are only known as cooling devices.

use super::{
    channel::{Channel, Group, Source},
    hwmon, jetson, segment,
    tree::Tree,
};
use crate::model::{Fan, PhysicalContext, SensorKind, Thresholds};

const FOLDER: &str = "/sys/class/thermal";

/// The zones that no hwmon chip shows already, and fans without a chip.
#[must_use]
pub fn read(tree: &Tree) -> Group {
    let chips = hwmon::names(tree);
    let mut group = Group { name: "thermal".into(), ..Group::default() };
    for entry in tree.entries(FOLDER) {
        let folder = format!("{FOLDER}/{entry}");
        let Some(kind) = tree.text(&format!("{folder}/type")) else {
            continue;
        };
        if entry.starts_with("thermal_zone") {
            group.channels.extend(zone(tree, &folder, &kind, &chips));
        } else if entry.starts_with("cooling_device") {
            add_fan(tree, &folder, &kind, &chips, &mut group);
        }
    }
    group
}

fn zone(
    tree: &Tree,
    folder: &str,
    kind: &str,
    chips: &[String],
) -> Option<Channel> {
    let chip = kind.replace('-', "_");
    let lower = kind.to_lowercase();
    // A PMIC says 50 or 100 °C whatever it has; coretemp has the package.
    let doubled = chips.contains(&chip)
        || (lower == "x86_pkg_temp" && chips.iter().any(|c| c == "coretemp"));
    let file = format!("{folder}/temp");
    // Zones of parts that are switched off say nothing.
    let silent = tree.number::<i32>(&file).is_none();
    if doubled || lower.starts_with("pmic") || silent {
        return None;
    }
    let stem = ["-thermal", "_thermal", "-therm"]
        .iter()
        .find_map(|end| kind.strip_suffix(end))
        .unwrap_or(kind);
    let shown = match stem.to_lowercase().as_str() {
        "cpu" | "gpu" => stem.to_uppercase(),
        _ => stem.to_owned(),
    };
    let source = Source::file(&tree.path(&file), 1e-3);
    let name = format!("{shown} Temperature");
    let mut channel = Channel::new(&name, SensorKind::Temperature, source);
    channel.sensor.context = match shown.to_lowercase().as_str() {
        name if name.starts_with("cpu") => PhysicalContext::Cpu,
        name if name.starts_with("gpu") => PhysicalContext::Gpu,
        name if name.starts_with("soc") || name == "tj" => {
            PhysicalContext::Asic
        }
        _ => PhysicalContext::SystemBoard,
    };
    channel.sensor.thresholds = trips(tree, folder);
    channel.sensor.source = format!("thermal zone {kind}").into();
    Some(channel)
}

fn trips(tree: &Tree, folder: &str) -> Thresholds {
    let mut thresholds = Thresholds::default();
    for number in 0..12 {
        let trip = format!("{folder}/trip_point_{number}");
        let kind = tree.text(&format!("{trip}_type"));
        let milli = tree.number::<f64>(&format!("{trip}_temp"));
        let (Some(kind), Some(milli)) = (kind, milli) else { break };
        if milli <= 0.0 || milli >= 200_000.0 {
            continue;
        }
        let limit = Some(milli / 1000.0);
        match kind.as_str() {
            "critical" => thresholds.upper_critical = limit,
            "hot" => thresholds.upper_caution = limit,
            "passive" if thresholds.upper_caution.is_none() => {
                thresholds.upper_caution = limit;
            }
            _ => {}
        }
    }
    thresholds
}

fn add_fan(
    tree: &Tree,
    folder: &str,
    kind: &str,
    chips: &[String],
    group: &mut Group,
) {
    let is_fan = kind.to_lowercase().contains("fan");
    let has_chip =
        chips.iter().any(|chip| chip == "pwmfan") || jetson::fan::exists(tree);
    let most = tree.number::<f64>(&format!("{folder}/max_state"));
    let (true, false, Some(most)) = (is_fan, has_chip, most) else {
        return;
    };
    if most <= 0.0 {
        return;
    }
    let path = tree.path(&format!("{folder}/cur_state"));
    let source = Source::file(&path, 100.0 / most);
    let name = format!("{kind} Duty");
    let mut channel = Channel::new(&name, SensorKind::Percent, source);
    channel.sensor.context = PhysicalContext::Fan;
    channel.sensor.source = format!("cooling device {kind}").into();
    group.fans.push(Fan {
        id: segment(kind).into(),
        name: kind.to_owned(),
        speed: None,
        duty: Some(channel.sensor.id.clone()),
    });
    group.channels.push(channel);
}
