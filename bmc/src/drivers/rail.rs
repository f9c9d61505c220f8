//! A rail that a chip watches through a resistor: its voltage, its current,
//! and their product. No chip here is asked for a current or a power of its
//! own: those need a calibration register that another master can change.

use serde::Deserialize;

use super::meter::{Error, Limits, Value, sensor};
use crate::model::{Id, PhysicalContext, PowerSupply, Sensor, SensorKind};

/// What a board file can say of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rail {
    /// What people call it.
    pub(super) name: Option<String>,
    /// The resistor, in ohms.
    pub(super) shunt_ohms: f64,
    /// Whether it is what the chassis is fed by, so that it is a power supply
    /// as well, and its power that of the chassis.
    #[serde(default)]
    pub(super) feeds: bool,
    #[serde(default)]
    volts: Limits,
    #[serde(default)]
    amperes: Limits,
    #[serde(default)]
    watts: Limits,
}

/// What a rail brings to a board.
pub(super) struct Brought {
    pub(super) sensors: [Sensor; 3],
    pub(super) supply: Option<PowerSupply>,
}

impl Rail {
    /// Checks what a board file says.
    pub(super) fn check(&self) -> Result<(), String> {
        let ohms = self.shunt_ohms;
        // What is wired to such chips is between a milliohm and a few ohms.
        if ohms.is_finite() && (1e-5..=10.0).contains(&ohms) {
            return Ok(());
        }
        Err(format!("`shunt_ohms` is {ohms}, not 0.00001 to 10"))
    }

    /// The sensors of the rail `id`, and the supply that it is. The chip's
    /// voltage can be 0 to `volts`; through the resistor, `drop` volts can
    /// fall.
    pub(super) fn describe(
        &self,
        id: &str,
        source: &str,
        volts: f64,
        drop: f64,
    ) -> Brought {
        let name = self.name.clone().unwrap_or_else(|| id.to_owned());
        let amperes = (drop / self.shunt_ohms * 1e3).round() / 1e3;
        let watts = (volts * amperes * 1e3).round() / 1e3;
        let context = if self.feeds {
            PhysicalContext::PowerSupply
        } else {
            PhysicalContext::VoltageRegulator
        };
        let sensors = [
            ("Voltage", SensorKind::Voltage, self.volts, (0.0, volts)),
            ("Current", SensorKind::Current, self.amperes, (-amperes, amperes)),
            ("Power", SensorKind::Power, self.watts, (-watts, watts)),
        ]
        .map(|(word, kind, limits, range)| {
            let mut it = sensor(id, &name, word, kind, source);
            it.context = context;
            it.thresholds = limits.into();
            it.range = Some(range);
            it
        });
        let [voltage, current, power] = &sensors;
        let supply = self.feeds.then(|| PowerSupply {
            id: Id::from(super::segment(id)),
            name: name.clone(),
            voltage: Some(voltage.id.clone()),
            current: Some(current.id.clone()),
            power: Some(power.id.clone()),
            ..PowerSupply::default()
        });
        Brought { sensors, supply }
    }

    /// The values of the three sensors: of the voltage, and of what falls
    /// through the resistor, in volts; where that is too much for the chip,
    /// it is `over`.
    pub(super) fn values(
        &self,
        volts: f64,
        drop: Option<f64>,
        over: impl Fn() -> Error,
    ) -> [Value; 3] {
        let Some(drop) = drop else {
            return [Ok(volts), Err(over()), Err(over())];
        };
        let amperes = drop / self.shunt_ohms;
        [Ok(volts), Ok(amperes), Ok(volts * amperes)]
    }
}
