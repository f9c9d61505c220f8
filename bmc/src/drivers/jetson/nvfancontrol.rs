//! The fan of a Jetson since `JetPack` 5: the kernel only has its output, and
//! the service `nvfancontrol` follows the temperature. By hand it is driven
//! while that service is stopped; to start it again gives the fan back.
//!
//! Nothing here was checked on a real board.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tracing::warn;

use super::run;
use crate::{
    boards::Controls,
    drivers::{
        channel::{Actuator, Output},
        hwmon,
        tree::Tree,
    },
    model::{Chassis, Control, Id},
};

/// What starts and stops services.
const SYSTEMCTL: &str = "/usr/bin/systemctl";
/// The service.
const SERVICE: &str = "nvfancontrol";
/// Where the output that it drives is said to come from.
const SOURCE: &str = "hwmon pwmfan pwm1";

/// The control of the fan that the service drives in `chassis`.
#[must_use]
pub fn control(chassis: &Chassis) -> Option<Control> {
    let mut sensors = chassis.sensors.iter();
    let duty = sensors.find(|it| &*it.source == SOURCE)?;
    let mut fans = chassis.fans.iter();
    let fan = fans.find(|it| it.duty.as_ref() == Some(&duty.id))?;
    // One that the kernel drives by itself needs nothing here.
    let is_known = chassis.controls.iter().any(|it| it.fan == fan.id);
    (!is_known).then(|| Control {
        id: fan.id.clone(),
        name: fan.name.clone(),
        fan: fan.id.clone(),
        sensor: duty.id.clone(),
        watched: None,
    })
}

/// The fan in hand, or with its service.
#[derive(Debug)]
pub struct Service {
    tree: Tree,
    stands: Mutex<Stands>,
}

/// How the fan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// Its service may have been stopped, and nobody drives it.
    Lost,
    /// Its service was started.
    Served,
    /// The service was stopped for somebody's hand.
    Held,
}

impl Service {
    /// That of the machine that `tree` shows.
    #[must_use]
    pub fn new(tree: Tree) -> Self {
        // An agent that was killed may have left its service stopped.
        Self { tree, stands: Mutex::new(Stands::Lost) }
    }

    /// Starts the service, unless that was done, or the fan is in hand.
    ///
    /// # Errors
    /// It cannot be started: nothing drives the fan.
    pub fn ensure(&self) -> io::Result<()> {
        let mut stands = self.stands();
        if *stands == Stands::Lost {
            self.say("start")?;
            *stands = Stands::Served;
        }
        Ok(())
    }

    fn stands(&self) -> MutexGuard<'_, Stands> {
        self.stands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, word: &str) -> io::Result<()> {
        let (well, said) = run(&self.tree, SYSTEMCTL, &[word, SERVICE])
            .map_err(|error| {
                let text = format!("{SYSTEMCTL} {word} {SERVICE}: {error}");
                io::Error::new(error.kind(), text)
            })?;
        if well {
            return Ok(());
        }
        let words: Vec<&str> = said.split_whitespace().collect();
        let text = format!("{SYSTEMCTL} {word} {SERVICE}: {}", words.join(" "));
        Err(io::Error::other(text))
    }

    /// The output, wherever its chip is now.
    fn output(&self) -> Actuator {
        let output = Output {
            folder: String::new(),
            chip: "pwmfan".to_owned(),
            device: hwmon::device_of(&self.tree, "pwmfan"),
            stem: "pwm1".to_owned(),
            automatic: 1,
        };
        hwmon::actuator(&self.tree, output)
    }
}

impl Controls for Service {
    fn drive(&self, _: &Id, percent: Option<f64>) -> io::Result<()> {
        let mut stands = self.stands();
        if percent.is_none() {
            self.say("start")?;
            *stands = Stands::Served;
            return Ok(());
        }
        if *stands != Stands::Held {
            self.say("stop")?;
            *stands = Stands::Held;
        }
        let driven = self.output().drive(percent);
        if driven.is_err() {
            // What cannot be driven is better left to its service.
            *stands = match self.say("start") {
                Ok(()) => Stands::Served,
                Err(error) => {
                    warn!(%error, "the fan has no {SERVICE}");
                    Stands::Lost
                }
            };
        }
        driven
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn the_service_is_stopped_for_as_long_as_somebody_drives_the_fan() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let chip = at("sys/class/hwmon/hwmon4");
        fs::create_dir_all(&chip).unwrap();
        let put = |name: &str, text: &str| {
            fs::write(chip.join(name), text).unwrap();
        };
        put("name", "pwmfan\n");
        put("pwm1", "66\n");
        put("pwm1_enable", "1\n");
        fs::create_dir_all(at("usr/bin")).unwrap();
        let said = at("said");
        let script = |end: &str| {
            let text = format!("#!/bin/sh\necho \"$@\" >> {said:?}\n{end}\n");
            fs::write(at("usr/bin/systemctl"), text).unwrap();
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(at("usr/bin/systemctl"), mode).unwrap();
        };
        script("");
        let heard = || {
            let text = fs::read_to_string(&said).unwrap_or_default();
            let _ = fs::remove_file(&said);
            text.replace(" nvfancontrol\n", " ")
        };
        let fan = Id::from("Fan");
        let service = Service::new(Tree::new(root.path()));
        service.ensure().unwrap();
        service.ensure().unwrap();
        assert_eq!(heard(), "start ", "once");
        service.drive(&fan, Some(60.0)).unwrap();
        service.drive(&fan, Some(100.0)).unwrap();
        service.ensure().unwrap();
        assert_eq!(heard(), "stop ", "once, and not started in between");
        assert_eq!(fs::read_to_string(chip.join("pwm1")).unwrap(), "255");
        service.drive(&fan, None).unwrap();
        assert_eq!(heard(), "start ");

        // Without its chip, the service has it.
        fs::remove_dir_all(&chip).unwrap();
        let first = service.drive(&fan, Some(30.0)).unwrap_err().to_string();
        assert_eq!(heard(), "stop start ");
        // One that cannot be started either is tried again.
        script("[ \"$1\" = stop ] || exit 1");
        let error = service.drive(&fan, Some(30.0)).unwrap_err().to_string();
        assert_eq!(error, first, "what went wrong first");
        service.ensure().unwrap_err();
        assert_eq!(heard(), "stop start start ");
        script("");
        service.ensure().unwrap();
        assert_eq!(heard(), "start ");
        script("echo Unit not found >&2; exit 5");
        let error = service.drive(&fan, Some(30.0)).unwrap_err().to_string();
        let expected = "/usr/bin/systemctl stop nvfancontrol: Unit not found";
        assert_eq!(error, expected);
    }
}
