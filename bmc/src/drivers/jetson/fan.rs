//! The fan of a Jetson with `JetPack` 4: a driver of NVIDIA's own, beside
//! hwmon.
//!
//! `target_pwm` (0 to 255) is what the fan shall have, `cur_pwm` what it has,
//! `temp_control` is 1 while the kernel follows the temperature and 0 while it
//! does not; `rpm_measured` is there where turns are counted. Nothing here was
//! checked on a real board.

use std::{path::PathBuf, sync::Arc};

use crate::{
    drivers::{
        channel::{Actuator, Channel, Group, LEGACY, Output, Place, Source},
        segment,
        tree::Tree,
    },
    model::{Fan, PhysicalContext, SensorKind},
};

/// Where the driver has its files.
pub const FOLDER: &str = "/sys/devices/pwm-fan";
/// What it is called as a chip.
const CHIP: &str = "pwm-fan";

/// Whether the machine has one.
#[must_use]
pub fn exists(tree: &Tree) -> bool {
    tree.exists(&format!("{FOLDER}/{LEGACY}"))
}

/// The fan with its duty, and its speed where that is counted.
#[must_use]
pub fn read(tree: &Tree) -> Option<Group> {
    if !exists(tree) {
        return None;
    }
    let place: Arc<dyn Place> = Arc::new(tree.path(FOLDER));
    let has = |name: &str| tree.exists(&format!("{FOLDER}/{name}"));
    let channel = |word: &str, kind, file: &str, factor| {
        let source = Source::of(&place, file, factor);
        let mut it = Channel::new(&format!("Fan {word}"), kind, source);
        it.sensor.context = PhysicalContext::Fan;
        it.sensor.source = format!("pwm-fan {file}").into();
        it
    };
    let file = if has("cur_pwm") { "cur_pwm" } else { LEGACY };
    let factor = 100.0 / 255.0;
    let mut duty = channel("Duty", SensorKind::Percent, file, factor);
    if has("temp_control") {
        let place: Arc<dyn Place> = Arc::new(tree.path(FOLDER));
        duty.actuator = Some(Actuator::new(place, output()));
    }
    let speed = has("rpm_measured")
        .then(|| channel("Speed", SensorKind::Rotation, "rpm_measured", 1.0));
    let fan = Fan {
        id: segment("Fan").into(),
        name: "Fan".to_owned(),
        speed: speed.as_ref().map(|it| it.sensor.id.clone()),
        duty: Some(duty.sensor.id.clone()),
    };
    Some(Group {
        name: CHIP.to_owned(),
        channels: std::iter::once(duty).chain(speed).collect(),
        fans: vec![fan],
        ..Group::default()
    })
}

fn output() -> Output {
    Output {
        folder: FOLDER.to_owned(),
        chip: CHIP.to_owned(),
        device: None,
        stem: LEGACY.to_owned(),
        automatic: 1,
    }
}

/// The place of `output`, if it is this fan's.
#[must_use]
pub fn place(tree: &Tree, output: &Output) -> Option<PathBuf> {
    (output.stem == LEGACY).then(|| tree.path(FOLDER))
}
