//! What a Jetson has beyond other machines: the power model that it runs in.
//!
//! The rest is read on any host: rails in [`super::hwmon`] and
//! [`super::ina3221`], the fan of the old layout in [`fan`], the module's part
//! number in [`super::device_tree`], the release in [`super::software`]. Who may
//! take the fan from [`nvfancontrol`] is said in the board file.

pub mod fan;
pub mod nvfancontrol;
pub mod nvpmodel;

use std::{
    io,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Deserialize;

use self::{
    nvfancontrol::Service,
    nvpmodel::{Nvpmodel, choose, look},
};
use super::{Batch, Driver, device_tree, tree::Tree};
use crate::{
    boards::{
        Controls, PowerModes,
        part::{Fitting, Kind, Part, chassis_of},
        volumes,
    },
    commands::CommandError,
    model::{
        BoardIdentity, Health, Id, Inventory, Part as Whose, PowerModels,
        Snapshot, Trouble,
    },
};

/// How often one looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// The option that allows to set a model.
const KEY: &str = "allow_power_model";

/// Modules by how their part numbers begin, the longest first.
const MODULES: [(&str, &str); 14] = [
    ("p3448-0000", "Jetson Nano 4 GB"),
    ("p3448-0002", "Jetson Nano 4 GB eMMC"),
    ("p3448-0003", "Jetson Nano 2 GB"),
    ("p3668-0000", "Jetson Xavier NX 8 GB"),
    ("p3668-0001", "Jetson Xavier NX 8 GB eMMC"),
    ("p3668-0003", "Jetson Xavier NX 16 GB eMMC"),
    ("p3668-", "Jetson Xavier NX"),
    ("p3767-0000", "Jetson Orin NX 16 GB"),
    ("p3767-0001", "Jetson Orin NX 8 GB"),
    ("p3767-0003", "Jetson Orin Nano 8 GB"),
    ("p3767-0004", "Jetson Orin Nano 4 GB"),
    ("p3767-0005", "Jetson Orin Nano 8 GB"),
    ("p3767-", "Jetson Orin"),
    ("p3701-", "Jetson AGX Orin"),
];

/// What NVIDIA sells the module as that a board is made of; nothing where it
/// is another's, or newer than the table.
#[must_use]
pub fn sold_as(board: &BoardIdentity) -> Option<String> {
    let number = board.part_number.as_deref()?;
    let mut known = MODULES.iter();
    let found = known.find(|(begin, _)| number.starts_with(begin));
    found.map(|(_, name)| (*name).to_owned())
}

/// Runs `program` of the machine that `tree` shows, which has nobody to ask:
/// whether it went well, and what it said. Blocks for some seconds.
///
/// # Errors
/// It cannot be run, or does not end.
fn run(
    tree: &Tree,
    program: &str,
    arguments: &[&str],
) -> io::Result<(bool, String)> {
    let mut command = Command::new(tree.path(program));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = volumes::start(&mut command)?;
    let Some(well) = volumes::wait(&mut child)? else {
        let text = format!("no end in {:?}", volumes::PATIENCE);
        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
    };
    Ok((well, volumes::said(&mut child)?))
}

/// What a board file can say of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Whether another power model may be chosen from afar.
    #[serde(default)]
    allow_power_model: bool,
    /// Whether the fan may be driven by hand that `nvfancontrol` drives, which
    /// is stopped for as long.
    #[serde(default)]
    allow_fan: bool,
    /// Whether it is simulated.
    #[serde(default)]
    simulated: bool,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "jetson", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    fitting.without_bus()?;
    if options.allow_fan && (options.simulated || !fitting.is_on_host()) {
        let text = "`allow_fan` is for the host: no other has nvfancontrol";
        return Err(text.to_owned());
    }
    let tree = fitting.tree().clone();
    let fan = options.allow_fan.then(|| Arc::new(Service::new(tree.clone())));
    let (way, tree): (Arc<dyn Nvpmodel>, _) = if options.simulated {
        (Arc::new(fitting.simulated_jetson()), None)
    } else {
        (Arc::new(tree.clone()), Some(tree))
    };
    let settable = options.allow_power_model;
    let driver = Jetson {
        id: fitting.id.clone(),
        chassis: fitting.chassis.clone(),
        way: Arc::clone(&way),
        settable,
        to_check: tree,
        fan: fan.clone(),
        system: None,
    };
    Ok(Box::new(Fitted {
        chassis: fitting.chassis.clone(),
        system: None,
        fan: fan.map(|it| (it, None)),
        modes: Arc::new(Modes { way: Mutex::new(way), settable }),
        driver: Some(driver),
    }))
}

/// A Jetson, as a board file names it.
struct Fitted {
    chassis: Id,
    /// The one that it is.
    system: Option<Id>,
    /// What drives the fan where that is allowed, and its control once known.
    fan: Option<(Arc<Service>, Option<Id>)>,
    modes: Arc<Modes>,
    driver: Option<Jetson>,
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        let Some(chassis) = chassis_of(inventory, &self.chassis) else {
            return;
        };
        if let Some(first) = chassis.systems.first() {
            self.system = Some(first.clone());
        }
        if let Some((_, known)) = &mut self.fan
            && let Some(control) = nvfancontrol::control(chassis)
        {
            *known = Some(control.id.clone());
            chassis.controls.push(control);
        }
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        let driver = self.driver.take();
        driver.into_iter().map(|it| Box::new(it) as Box<dyn Driver>).collect()
    }

    fn controls(&self) -> Option<(Vec<Id>, Arc<dyn Controls>)> {
        let (service, control) = self.fan.as_ref()?;
        let control = control.clone()?;
        Some((vec![control], Arc::clone(service) as Arc<dyn Controls>))
    }

    fn power_modes(&self) -> Option<(Vec<Id>, Arc<dyn PowerModes>)> {
        let system = self.system.clone()?;
        Some((vec![system], Arc::clone(&self.modes) as Arc<dyn PowerModes>))
    }
}

/// What chooses a model, one at a time.
#[derive(Debug)]
struct Modes {
    way: Mutex<Arc<dyn Nvpmodel>>,
    settable: bool,
}

impl PowerModes for Modes {
    fn choose(
        &self,
        system: &Id,
        name: &str,
    ) -> Result<PowerModels, CommandError> {
        let part = Whose::System(system.clone());
        if !self.settable {
            let what = "PowerModel";
            return Err(CommandError::Refused { part, what, key: KEY });
        }
        let Ok(way) = self.way.try_lock() else {
            return Err(CommandError::Busy { part });
        };
        choose(&**way, name).map_err(|error| CommandError::Failed {
            part,
            reason: error.to_string(),
        })
    }
}

/// What looks which one it is.
struct Jetson {
    id: Id,
    chassis: Id,
    way: Arc<dyn Nvpmodel>,
    settable: bool,
    /// The tree of a machine of which nobody knows whether it is one.
    to_check: Option<Tree>,
    /// What drives the fan, where that is allowed.
    fan: Option<Arc<Service>>,
    system: Option<Id>,
}

impl Driver for Jetson {
    fn name(&self) -> &'static str {
        "jetson"
    }

    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn see(&mut self, known: &Snapshot) {
        let chassis = known.chassis(&self.chassis);
        self.system = chassis.and_then(|it| it.systems.first().cloned());
    }

    fn poll(&mut self) -> Batch {
        let mut batch = Batch::default();
        let Some(system) = self.system.clone() else { return batch };
        let trouble = |word, text: String, health| Trouble {
            word,
            text: text.into(),
            health,
            slows: None,
            over: false,
        };
        let mut troubles = Vec::new();
        let mut models = PowerModels::default();
        if let Err(text) = self.check() {
            troubles.push(trouble("Board", text, Health::Critical));
        } else {
            // An agent before may have left it stopped.
            let ensured = self.fan.as_ref().map(|fan| fan.ensure());
            if let Some(Err(error)) = ensured {
                let text = format!("nothing drives the fan: {error}");
                troubles.push(trouble("Fan", text, Health::Critical));
            }
            match look(&*self.way, self.settable) {
                Ok(found) => models = found,
                // Not every system on a Jetson is NVIDIA's.
                Err(error) if error.is_absent() && !self.settable => {}
                Err(error) => {
                    let text = format!("the power model is not known: {error}");
                    troubles.push(trouble("PowerModel", text, Health::Warning));
                }
            }
        }
        batch.power_models.push((system.clone(), models));
        batch.troubles.push((Whose::System(system), self.id.clone(), troubles));
        batch
    }
}

impl Jetson {
    /// Checks that the machine is one.
    fn check(&mut self) -> Result<(), String> {
        let Some(tree) = &self.to_check else { return Ok(()) };
        if device_tree::is_jetson(tree) {
            self.to_check = None;
            return Ok(());
        }
        Err(match device_tree::model(tree) {
            Some(model) => format!("this machine is no Jetson: {model}"),
            None => "this machine is no Jetson: it has no device tree".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;

    fn program(root: &Path, script: &str) {
        let path = root.join("usr/bin/systemctl");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_fan_without_its_service_is_a_trouble_until_it_has_one() {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::new(root.path());
        let mut driver = Jetson {
            id: "jetson".into(),
            chassis: "board".into(),
            way: Arc::new(tree.clone()),
            settable: false,
            to_check: None,
            fan: Some(Arc::new(Service::new(tree))),
            system: Some("host".into()),
        };
        let mut troubles = || {
            let batch = driver.poll();
            let (_, _, troubles) = &batch.troubles[0];
            let said = troubles.iter();
            said.map(|it| (it.word, it.text.to_string())).collect::<Vec<_>>()
        };
        program(root.path(), "echo Failed to connect to bus >&2; exit 1");
        for _ in 0..2 {
            let said = troubles();
            let [("Fan", why)] = &said[..] else { panic!("{said:?}") };
            assert!(why.contains("Failed to connect to bus"), "{why}");
        }
        program(root.path(), "echo \"$@\" >> \"$0.asked\"");
        for _ in 0..3 {
            assert_eq!(troubles(), []);
        }
        let asked = root.path().join("usr/bin/systemctl.asked");
        let asked = fs::read_to_string(asked).unwrap();
        assert_eq!(asked, "start nvfancontrol\n", "once it runs, no more");
    }

    #[test]
    fn a_module_is_known_by_its_part_number() {
        let module = |number: Option<&str>| {
            let part_number = number.map(str::to_owned);
            sold_as(&BoardIdentity { part_number, ..BoardIdentity::default() })
        };
        let known = [
            ("p3767-0005-super", "Jetson Orin Nano 8 GB"),
            ("p3668-0002", "Jetson Xavier NX"),
        ];
        for (number, name) in known {
            assert_eq!(module(Some(number)).as_deref(), Some(name));
        }
        assert_eq!(module(Some("p9999-0000")), None);
        assert_eq!(module(None), None);
    }
}
