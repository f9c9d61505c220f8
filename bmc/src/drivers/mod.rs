//! Drivers: where readings and inventory come from, one file a source.

pub mod ads1115;
pub mod argon;
#[cfg(test)]
mod bad_bus;
pub mod bitscope;
pub mod bitscope_capture;
pub mod channel;
pub mod device_tree;
pub mod dmi;
pub mod efi;
pub mod gpio_input;
pub mod gpio_output;
pub mod hwmon;
pub mod identity;
mod ina;
pub mod ina219;
pub mod ina226;
pub mod ina3221;
pub mod ina3221_direct;
pub mod jetson;
pub mod lm75;
pub mod load;
pub(crate) mod md;
pub mod memory;
mod meter;
pub mod modem;
pub mod network;
pub mod os;
pub mod own;
pub mod pcf8563;
pub mod power_supply;
pub mod processor;
pub mod pwm_fan;
mod rail;
pub mod rpi;
pub mod serial;
pub mod serial_console;
pub mod sixfab_ups;
pub mod software;
pub mod ssd1306;
pub mod storage;
pub mod thermal;
pub mod tmp117;
pub mod tree;
pub mod virtual_machine;

use std::time::Duration;

use crate::{
    commands::ResetType,
    model::{
        Cellular, Contact, Id, Part, PowerModels, PowerState, Sample, Snapshot,
        Started, Trouble, Vitals,
    },
};

/// How often a sensor is read unless there is a reason for another rate.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// What a driver found out in one go.
#[derive(Debug, Default)]
pub struct Batch {
    /// What the sensors said.
    pub samples: Vec<Sample>,
    /// What the operating system of a system said.
    pub vitals: Vec<(Id, Vitals)>,
    /// The power states of systems.
    pub power: Vec<(Id, PowerState)>,
    /// What a control bus said of systems on it.
    pub contacts: Vec<(Id, Contact)>,
    /// How systems started.
    pub boots: Vec<(Id, Started)>,
    /// What modems said.
    pub modems: Vec<(Id, Cellular)>,
    /// The power models that systems can run in.
    pub power_models: Vec<(Id, PowerModels)>,
    /// Whether power supplies have their input: chassis, supply, and that.
    pub supplies: Vec<(Id, Id, bool)>,
    /// What is wrong with a part as this driver, named by its id, sees it: all
    /// of it.
    pub troubles: Vec<(Part, Id, Vec<Trouble>)>,
    /// Inputs that became active or inactive, in their order: sensors.
    pub inputs: Vec<(Id, bool)>,
    /// What shall be done to systems.
    pub wishes: Vec<Wish>,
}

/// What a part wants to be done: its button was pressed, its battery is low.
/// It goes the way of all commands, which may refuse it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The system.
    pub system: Id,
    /// What shall be done to it.
    pub kind: ResetType,
    /// Why.
    pub reason: String,
}

/// What is done with a part when the agent ends.
pub type Farewell = Box<dyn FnOnce() + Send>;

/// Something that can be asked again and again. It owns its part.
pub trait Driver: Send + 'static {
    /// What the log calls it.
    fn name(&self) -> &str;

    /// How often it is asked.
    fn interval(&self) -> Duration {
        INTERVAL
    }

    /// What the agent knows, before each poll: for parts that follow others.
    fn see(&mut self, known: &Snapshot) {
        let _ = known;
    }

    /// What is done with the part when the agent ends, once, whatever the
    /// part is being asked then. It is given a moment.
    fn farewell(&self) -> Option<Farewell> {
        None
    }

    /// What became of a wish.
    fn heard(&mut self, wish: &Wish, granted: bool) {
        let _ = (wish, granted);
    }

    /// Asks the part. May block; runs on a thread where that hurts nobody.
    fn poll(&mut self) -> Batch;
}

/// How long a reading is good for when its sensor is read every `interval`.
#[must_use]
pub fn good_for(interval: Duration) -> Duration {
    interval * 3 + Duration::from_secs(1)
}

/// `text` as a segment of a URI: what is neither letter, digit, `-`, `_` nor
/// `.` becomes one `_`.
#[must_use]
pub fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') {
            segment.push(c);
        } else if !segment.ends_with('_') {
            segment.push('_');
        }
    }
    segment.trim_matches('_').to_owned()
}
