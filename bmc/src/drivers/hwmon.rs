//! hwmon: the kernel's own drivers for temperatures, fans, voltages, currents
//! and powers.
//!
//! Chips and channels are known by name and label; the number of a chip
//! changes with the order in which drivers load.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use super::{
    channel::{Actuator, Channel, Group, Output, Place, Source},
    jetson, segment,
    tree::Tree,
};
use crate::model::{
    Fan, Id, PhysicalContext, PowerSupply, SensorKind, Thresholds,
};

const FOLDER: &str = "/sys/class/hwmon";

/// What people call the chips that sit in many machines, and what they look
/// at.
const CHIPS: &[(&str, &str, PhysicalContext)] = &[
    ("cpu_thermal", "CPU", PhysicalContext::Cpu),
    ("coretemp", "CPU", PhysicalContext::Cpu),
    ("k10temp", "CPU", PhysicalContext::Cpu),
    ("zenpower", "CPU", PhysicalContext::Cpu),
    ("gpu_thermal", "GPU", PhysicalContext::Gpu),
    ("amdgpu", "GPU", PhysicalContext::Gpu),
    ("nvme", "NVMe", PhysicalContext::StorageDevice),
    ("drivetemp", "Drive", PhysicalContext::StorageDevice),
    ("rp1_adc", "RP1", PhysicalContext::Asic),
    ("acpitz", "Board", PhysicalContext::SystemBoard),
    ("pwmfan", "", PhysicalContext::Fan),
    ("pwm_tach", "", PhysicalContext::Fan),
    ("generic_pwm_tachometer", "", PhysicalContext::Fan),
    ("ina3221", "", PhysicalContext::VoltageRegulator),
];

/// How a channel's files begin, what it measures, the factor to our unit, how
/// its value's file ends, and the word for it.
const KINDS: &[(&str, SensorKind, f64, &str, &str)] = &[
    ("temp", SensorKind::Temperature, 1e-3, "_input", "Temperature"),
    ("fan", SensorKind::Rotation, 1.0, "_input", "Speed"),
    ("pwm", SensorKind::Percent, 100.0 / 255.0, "", "Duty"),
    ("in", SensorKind::Voltage, 1e-3, "_input", "Voltage"),
    ("curr", SensorKind::Current, 1e-3, "_input", "Current"),
    ("power", SensorKind::Power, 1e-6, "_input", "Power"),
    ("power", SensorKind::Power, 1e-6, "_average", "Power"),
    ("freq", SensorKind::Frequency, 1.0, "_input", "Clock"),
];

/// Chips of Jetsons that only count the turns of a fan.
const TACHOMETERS: [&str; 2] = ["pwm_tach", "generic_pwm_tachometer"];

/// The rail through which a Jetson gets all its power.
const INPUT_RAILS: [&str; 3] = ["VDD_IN", "POM_5V_IN", "VIN_SYS_5V0"];

/// The chips with their channels.
#[must_use]
pub fn read(tree: &Tree) -> Vec<Group> {
    let mut groups: Vec<Group> = tree
        .entries(FOLDER)
        .iter()
        .filter_map(|entry| chip(tree, &format!("{FOLDER}/{entry}")))
        .collect();
    tell_apart(&mut groups);
    pair_fans(&mut groups);
    groups
}

/// The names of the chips, as the kernel writes them.
#[must_use]
pub fn names(tree: &Tree) -> Vec<String> {
    let entries = tree.entries(FOLDER);
    let names =
        entries.iter().map(|e| tree.text(&format!("{FOLDER}/{e}/name")));
    names.flatten().collect()
}

/// What drives `output`, wherever its chip is now.
#[must_use]
pub fn actuator(tree: &Tree, output: Output) -> Actuator {
    if let Some(folder) = jetson::fan::place(tree, &output) {
        return Actuator::new(Arc::new(folder), output);
    }
    let place = Socket {
        tree: tree.clone(),
        folder: output.folder.clone(),
        name: output.chip.clone(),
        device: output.device.clone(),
    };
    Actuator::new(Arc::new(place), output)
}

fn chip(tree: &Tree, folder: &str) -> Option<Group> {
    let name = tree.text(&format!("{folder}/name"))?;
    let known = CHIPS.iter().find(|(chip, ..)| *chip == name);
    let (nice, context) = match known {
        Some((_, nice, context)) => (*nice, *context),
        None => (name.as_str(), PhysicalContext::SystemBoard),
    };
    let device = device(tree, folder);
    let mut group = Group {
        name: device.clone().unwrap_or_else(|| name.clone()),
        node: tree.canonical(&format!("{folder}/device/of_node")),
        ..Group::default()
    };
    let place: Arc<dyn Place> = Arc::new(Socket {
        tree: tree.clone(),
        folder: folder.to_owned(),
        name: name.clone(),
        device,
    });
    let chip = Chip { tree, folder, place, name: &name, nice, context };
    for file in tree.entries(folder) {
        group.channels.extend(chip.channel(&file));
    }
    chip.add_powers(&mut group);
    Chip::add_fans(&mut group);
    Chip::add_supply(&mut group);
    (!group.channels.is_empty()).then_some(group)
}

/// The device that the first chip called `name` belongs to.
#[must_use]
pub fn device_of(tree: &Tree, name: &str) -> Option<String> {
    let entries = tree.entries(FOLDER).into_iter();
    let mut folders = entries.map(|entry| format!("{FOLDER}/{entry}"));
    let folder = folders.find(|folder| {
        tree.text(&format!("{folder}/name")).as_deref() == Some(name)
    });
    device(tree, &folder?)
}

/// The device that the chip at `folder` belongs to.
fn device(tree: &Tree, folder: &str) -> Option<String> {
    tree.link_name(&format!("{folder}/device"))
}

/// Where a chip was found, and what it is found again by when its driver was
/// loaded anew and it has another number.
#[derive(Debug)]
struct Socket {
    tree: Tree,
    folder: String,
    name: String,
    device: Option<String>,
}

impl Socket {
    fn holds(&self, folder: &str) -> bool {
        self.tree.text(&format!("{folder}/name")).as_ref() == Some(&self.name)
            && device(&self.tree, folder) == self.device
    }
}

impl Place for Socket {
    fn folder(&self) -> io::Result<PathBuf> {
        let entries = self.tree.entries(FOLDER).into_iter();
        let others = entries.map(|entry| format!("{FOLDER}/{entry}"));
        let folder = std::iter::once(self.folder.clone())
            .chain(others)
            .find(|folder| self.holds(folder));
        let folder = folder.ok_or_else(|| {
            let text = format!("there is no chip `{}`", self.name);
            io::Error::new(io::ErrorKind::NotFound, text)
        })?;
        Ok(self.tree.path(&folder))
    }
}

struct Chip<'a> {
    tree: &'a Tree,
    folder: &'a str,
    place: Arc<dyn Place>,
    name: &'a str,
    nice: &'a str,
    context: PhysicalContext,
}

impl Chip<'_> {
    fn channel(&self, file: &str) -> Option<Channel> {
        let counts = TACHOMETERS.contains(&self.name);
        if counts && matches!(file, "rpm" | "rpm_measured") {
            let source = self.source(file, 1.0);
            let mut channel =
                Channel::new("Fan Speed", SensorKind::Rotation, source);
            channel.sensor.context = PhysicalContext::Fan;
            channel.sensor.source =
                format!("hwmon {} {file}", self.name).into();
            return Some(channel);
        }
        let (stem, kind, factor, word) =
            KINDS.iter().find_map(|(start, kind, factor, end, word)| {
                let number = file.strip_prefix(start)?.strip_suffix(end)?;
                number.parse::<u8>().ok()?;
                Some((format!("{start}{number}"), *kind, *factor, *word))
            })?;
        let number = stem.trim_start_matches(char::is_alphabetic);
        let label = self.label(&stem, number);
        if self.is_unconnected(&stem, number, label.as_deref()) {
            return None;
        }
        let name = self.name_of(number, label.as_deref(), kind, word);
        let mut channel = Channel::new(&name, kind, self.source(file, factor));
        channel.sensor.context = match kind {
            SensorKind::Rotation | SensorKind::Percent => PhysicalContext::Fan,
            SensorKind::Voltage
            | SensorKind::Current
            | SensorKind::Power
            | SensorKind::Frequency
            | SensorKind::Temperature
            | SensorKind::Offset
            | SensorKind::Signal => self.context,
        };
        channel.sensor.thresholds = self.thresholds(&stem, kind, factor);
        channel.sensor.source = format!("hwmon {} {stem}", self.name).into();
        channel.actuator = self.actuator(&stem);
        Some(channel)
    }

    /// What drives the output `stem`, if the chip does so by itself now and
    /// can leave it to us.
    fn actuator(&self, stem: &str) -> Option<Actuator> {
        let enable = format!("{}/{stem}_enable", self.folder);
        let automatic = self.tree.number::<u8>(&enable);
        let automatic = automatic.filter(|it| *it >= 2)?;
        let output = Output {
            folder: self.folder.to_owned(),
            chip: self.name.to_owned(),
            device: device(self.tree, self.folder),
            stem: stem.to_owned(),
            automatic,
        };
        stem.starts_with("pwm")
            .then(|| Actuator::new(Arc::clone(&self.place), output))
    }

    fn source(&self, file: &str, factor: f64) -> Source {
        Source::of(&self.place, file, factor)
    }

    fn is_rail(&self) -> bool {
        self.name.starts_with("ina3221")
    }

    /// An INA3221 labels a rail once, on its voltage.
    fn label(&self, stem: &str, number: &str) -> Option<String> {
        let file = |stem: &str| format!("{}/{stem}_label", self.folder);
        let own = self.tree.text(&file(stem));
        own.or_else(|| {
            let rail = self.is_rail().then(|| file(&format!("in{number}")))?;
            self.tree.text(&rail)
        })
    }

    fn is_unconnected(
        &self,
        stem: &str,
        number: &str,
        label: Option<&str>,
    ) -> bool {
        let enabled = format!("{}/{stem}_enable", self.folder);
        let off = stem.starts_with("in")
            && self.tree.number::<u8>(&enabled) == Some(0);
        // Inputs 4 to 7 of an INA3221 are its shunts and their sum.
        let shunt = self.is_rail() && number.parse::<u8>().is_ok_and(|n| n > 3);
        off || shunt || label == Some("NC")
    }

    fn name_of(
        &self,
        number: &str,
        label: Option<&str>,
        kind: SensorKind,
        word: &str,
    ) -> String {
        let numbered = (number != "1").then_some(number);
        let fan = matches!(kind, SensorKind::Rotation | SensorKind::Percent)
            .then_some("Fan");
        let words =
            [fan.unwrap_or(self.nice), label.or(numbered).unwrap_or("")];
        let mut name = String::new();
        for part in words {
            if !part.is_empty() {
                name.push_str(part);
                name.push(' ');
            }
        }
        name + word
    }

    /// Limits the chip has for a channel, as far as they can be meant.
    fn thresholds(
        &self,
        stem: &str,
        kind: SensorKind,
        factor: f64,
    ) -> Thresholds {
        let limit = |end: &str| {
            let file = format!("{}/{stem}_{end}", self.folder);
            let value = self.tree.number::<f64>(&file)? * factor;
            // Unset limits are 0, absolute zero or the most the field holds.
            let limit_is_meant = match kind {
                SensorKind::Temperature => value > 0.0 && value < 200.0,
                _ => value > 0.0 && value < 1000.0,
            };
            limit_is_meant.then_some((value * 1000.0).round() / 1000.0)
        };
        match kind {
            SensorKind::Temperature | SensorKind::Current => {
                let critical = limit("crit");
                // A caution above what is critical was never set.
                let most = critical.unwrap_or(f64::MAX);
                Thresholds {
                    upper_caution: limit("max").filter(|max| *max <= most),
                    upper_critical: critical,
                    upper_fatal: limit("emergency")
                        .filter(|fatal| critical.is_none_or(|it| it < *fatal)),
                    ..Thresholds::default()
                }
            }
            SensorKind::Voltage => Thresholds {
                upper_critical: limit("crit"),
                lower_critical: limit("lcrit"),
                ..Thresholds::default()
            },
            _ => Thresholds::default(),
        }
    }

    /// The power of a rail is its voltage times its current.
    fn add_powers(&self, group: &mut Group) {
        if !self.is_rail() {
            return;
        }
        for number in 1..=3 {
            let volts = format!("in{number}_input");
            let amperes = format!("curr{number}_input");
            let exists = |file: &str| {
                self.tree.exists(&format!("{}/{file}", self.folder))
            };
            let label = self.label("", &number.to_string());
            let label = label.filter(|l| l != "NC");
            if let Some(label) = label
                && exists(&volts)
                && exists(&amperes)
            {
                let source =
                    Source::product(&self.place, [&volts, &amperes], 1e-6);
                let name = format!("{label} Power");
                let mut channel =
                    Channel::new(&name, SensorKind::Power, source);
                channel.sensor.context = self.context;
                channel.sensor.source =
                    format!("hwmon {} in{number} curr{number}", self.name)
                        .into();
                group.channels.push(channel);
            }
        }
    }

    fn add_fans(group: &mut Group) {
        let mut fans: BTreeMap<String, Fan> = BTreeMap::new();
        for channel in &group.channels {
            let sensor = &channel.sensor;
            let name = sensor.name.rsplit_once(' ').map(|(name, _)| name);
            let name = name.unwrap_or(&sensor.name).to_owned();
            let fan = fans.entry(name.clone()).or_insert_with(|| Fan {
                id: segment(&name).into(),
                name,
                ..Fan::default()
            });
            match sensor.kind {
                SensorKind::Rotation => fan.speed = Some(sensor.id.clone()),
                SensorKind::Percent => fan.duty = Some(sensor.id.clone()),
                _ => {}
            }
        }
        // A free output of a monitoring chip is no fan.
        let counts = fans.values().any(|fan| fan.speed.is_some());
        group.fans = fans
            .into_values()
            .filter(|f| f.speed.is_some() || (f.duty.is_some() && !counts))
            .collect();
    }

    fn add_supply(group: &mut Group) {
        for rail in INPUT_RAILS {
            let id = |word: &str| {
                let id = segment(&format!("{rail} {word}"));
                let mut channels = group.channels.iter();
                let found = channels.find(|c| *c.sensor.id == *id)?;
                Some(found.sensor.id.clone())
            };
            if let Some(voltage) = id("Voltage") {
                let supply = PowerSupply {
                    id: "Input".into(),
                    name: "Power Input".into(),
                    voltage: Some(voltage),
                    current: id("Current"),
                    power: id("Power"),
                    ..PowerSupply::default()
                };
                group.power_supplies.push(supply);
                return;
            }
        }
    }
}

/// Gives what has one name on several chips the name of its device as well.
pub(super) fn tell_apart(groups: &mut [Group]) {
    let mut counts: BTreeMap<Id, usize> = BTreeMap::new();
    let ids = |group: &Group| {
        let sensors = group.channels.iter().map(|c| c.sensor.id.clone());
        let fans = group.fans.iter().map(|f| f.id.clone());
        sensors.chain(fans).collect::<Vec<_>>()
    };
    for id in groups.iter().flat_map(ids) {
        *counts.entry(id).or_default() += 1;
    }
    for group in groups {
        let device = group.name.clone();
        let rename = |id: &mut Id| {
            if counts.get(id).is_some_and(|count| *count > 1) {
                *id = segment(&format!("{id}_{device}")).into();
                return true;
            }
            false
        };
        for channel in &mut group.channels {
            if rename(&mut channel.sensor.id) {
                let name = format!("{} ({device})", channel.sensor.name);
                channel.sensor.name = name;
            }
        }
        for fan in &mut group.fans {
            rename(&mut fan.id);
            fan.speed.as_mut().map(rename);
            fan.duty.as_mut().map(rename);
        }
    }
}

/// A Jetson drives its fan with one chip and counts its turns with another:
/// those belong together that the device tree has at one node, and those that
/// are the only ones left.
fn pair_fans(groups: &mut [Group]) {
    let mut pairs = Vec::new();
    let alone = |group: &Group, driven: bool| {
        let mut fans = group.fans.iter();
        let fan = fans.find(|it| {
            if driven { it.speed.is_none() } else { it.duty.is_none() }
        });
        fan.map(|it| it.id.clone())
    };
    let of = |driven: bool| -> Vec<(usize, Id)> {
        let all = groups.iter().enumerate();
        all.filter_map(|(at, it)| Some((at, alone(it, driven)?))).collect()
    };
    let (mut driven, mut counted) = (of(true), of(false));
    driven.retain(|(at, fan)| {
        let node = |at: usize| groups.get(at).and_then(|it| it.node.as_ref());
        let Some(own) = node(*at) else { return true };
        let same = counted.iter().position(|(at, _)| node(*at) == Some(own));
        let Some(same) = same else { return true };
        pairs.push(((*at, fan.clone()), counted.remove(same)));
        false
    });
    if let ([fan], [tachometer]) = (&driven[..], &counted[..]) {
        pairs.push((fan.clone(), tachometer.clone()));
    }
    let is_only_one = pairs.len() == 1;
    for ((at, fan), (from, tachometer)) in pairs {
        let Some(group) = groups.get_mut(from) else { continue };
        let found = group.fans.iter().position(|it| it.id == tachometer);
        let Some(found) = found else { continue };
        let speed = group.fans.remove(found).speed;
        let Some(group) = groups.get_mut(at) else { continue };
        let found = group.fans.iter_mut().find(|it| it.id == fan);
        let Some(fan) = found else { continue };
        fan.speed = speed;
        if is_only_one {
            fan.id = "Fan".into();
            fan.name = "Fan".into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chip(node: Option<&str>, fan: Fan) -> Group {
        let node = node.map(str::to_owned);
        Group { node, fans: vec![fan], ..Group::default() }
    }

    fn driven(id: &str) -> Fan {
        let duty = Some(format!("{id}_Duty").into());
        Fan { id: id.into(), name: id.into(), duty, speed: None }
    }

    fn counted(id: &str) -> Fan {
        let speed = Some(format!("{id}_Speed").into());
        Fan { id: id.into(), name: id.into(), duty: None, speed }
    }

    fn fans(mut groups: Vec<Group>) -> Vec<String> {
        pair_fans(&mut groups);
        let all = groups.into_iter().flat_map(|it| it.fans);
        all.map(|it| {
            let ends = [it.duty, it.speed];
            let ends =
                ends.map(|it| it.map_or("-".into(), |it| it.to_string()));
            format!("{}: {}", it.id, ends.join(" "))
        })
        .collect()
    }

    #[test]
    fn a_tachometer_belongs_to_the_fan_at_its_node_of_the_device_tree() {
        let two = vec![
            chip(Some("/fan@0"), driven("A")),
            chip(Some("/fan@1"), driven("B")),
            chip(Some("/fan@1"), counted("C")),
            chip(Some("/fan@0"), counted("D")),
        ];
        assert_eq!(fans(two), ["A: A_Duty D_Speed", "B: B_Duty C_Speed"]);
        let left = vec![
            chip(Some("/fan@1"), driven("A")),
            chip(Some("/tachometer"), counted("C")),
            chip(Some("/fan@1"), counted("D")),
            chip(Some("/other"), driven("B")),
        ];
        assert_eq!(fans(left), ["A: A_Duty D_Speed", "B: B_Duty C_Speed"]);
        let only = vec![
            chip(None, driven("A")),
            chip(Some("/tachometer"), counted("C")),
        ];
        assert_eq!(fans(only), ["Fan: A_Duty C_Speed"]);
        // Nobody knows which of two it is.
        let unknown = vec![
            chip(None, driven("A")),
            chip(None, driven("B")),
            chip(Some("/tachometer"), counted("C")),
        ];
        let said = ["A: A_Duty -", "B: B_Duty -", "C: - C_Speed"];
        assert_eq!(fans(unknown), said);
    }
}
