//! What drivers see of a simulated board: attributes in the kernel's units,
//! and nodes that say whether they are on.

use std::io;

use serde::Deserialize;

use super::Simulation;
use crate::{
    drivers::{Batch, Driver, channel::Attribute},
    model::{Id, PhysicalContext, SensorKind},
};

/// What a simulated sensor measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The processor's temperature.
    ProcessorTemperature,
    /// The board's temperature.
    BoardTemperature,
    /// The temperature of the air that comes in.
    IntakeTemperature,
    /// Voltage at the input.
    InputVoltage,
    /// Current at the input.
    InputCurrent,
    /// Power at the input.
    InputPower,
    /// The processor's clock.
    ProcessorClock,
    /// The processor's load.
    ProcessorLoad,
    /// A fan's speed.
    FanSpeed,
    /// How hard a fan is driven.
    FanDuty,
}

impl Measure {
    /// What kind of sensor measures it, the factor from the kernel's unit to
    /// ours, and what it looks at.
    #[must_use]
    pub fn facts(self) -> (SensorKind, f64, PhysicalContext) {
        match self {
            Self::ProcessorTemperature => {
                (SensorKind::Temperature, 1e-3, PhysicalContext::Cpu)
            }
            Self::BoardTemperature => {
                (SensorKind::Temperature, 1e-3, PhysicalContext::SystemBoard)
            }
            Self::IntakeTemperature => {
                (SensorKind::Temperature, 1e-3, PhysicalContext::Intake)
            }
            Self::InputVoltage => {
                (SensorKind::Voltage, 1e-3, PhysicalContext::PowerSupply)
            }
            Self::InputCurrent => {
                (SensorKind::Current, 1e-3, PhysicalContext::PowerSupply)
            }
            Self::InputPower => {
                (SensorKind::Power, 1e-6, PhysicalContext::PowerSupply)
            }
            Self::ProcessorClock => {
                (SensorKind::Frequency, 1e3, PhysicalContext::Cpu)
            }
            Self::ProcessorLoad => {
                (SensorKind::Percent, 1.0, PhysicalContext::Cpu)
            }
            Self::FanSpeed => (SensorKind::Rotation, 1.0, PhysicalContext::Fan),
            Self::FanDuty => {
                (SensorKind::Percent, 100.0 / 255.0, PhysicalContext::Fan)
            }
        }
    }
}

/// A number of a simulated part, as the kernel would show it.
#[derive(Debug)]
pub struct SimulatedAttribute {
    simulation: Simulation,
    sensor: Id,
    /// The system, or the fan.
    of: Id,
    measure: Measure,
}

impl SimulatedAttribute {
    /// What `sensor` measures of the system or fan `of`.
    #[must_use]
    pub fn new(
        simulation: Simulation,
        sensor: Id,
        of: Id,
        measure: Measure,
    ) -> Self {
        Self { simulation, sensor, of, measure }
    }
}

impl Attribute for SimulatedAttribute {
    fn read(&mut self) -> io::Result<f64> {
        let (_, factor, _) = self.measure.facts();
        let measured = self.simulation.ask(&self.sensor, |world| {
            if let Some(fan) = world.fans.get(&self.of) {
                return match self.measure {
                    Measure::FanSpeed => Some(fan.speed),
                    Measure::FanDuty => Some(fan.duty),
                    _ => None,
                };
            }
            let node = world.nodes.get(&self.of)?;
            let plant = &node.plant;
            Some(match self.measure {
                Measure::ProcessorTemperature => plant.temperature,
                // The board is as far from the air as from the processor.
                Measure::BoardTemperature => {
                    plant.ambient.midpoint(plant.temperature)
                }
                Measure::IntakeTemperature => plant.ambient,
                Measure::InputVoltage => node.input_volts(),
                Measure::InputCurrent => node.watts() / node.input_volts(),
                Measure::InputPower => node.watts(),
                Measure::ProcessorClock => node.clock_hertz(),
                Measure::ProcessorLoad => node.load_percent(),
                Measure::FanSpeed | Measure::FanDuty => return None,
            })
        })?;
        // The kernel shows whole numbers.
        measured.map(|value| (value / factor).round()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "no such part")
        })
    }
}

/// The driver of a simulated computer's power state and vitals.
#[derive(Debug)]
pub struct SimulatedNode {
    simulation: Simulation,
    system: Id,
}

impl SimulatedNode {
    /// The node of `system`.
    #[must_use]
    pub fn new(simulation: Simulation, system: Id) -> Self {
        Self { simulation, system }
    }
}

impl Driver for SimulatedNode {
    fn name(&self) -> &str {
        &self.system
    }

    fn interval(&self) -> std::time::Duration {
        // People watch this one change.
        crate::drivers::INTERVAL / 4
    }

    fn poll(&mut self) -> Batch {
        let id = &self.system;
        let asked = self.simulation.ask(id, |world| {
            let node = world.nodes.get(id)?;
            Some((node.state(), node.started(), node.vitals()))
        });
        let mut batch = Batch::default();
        if let Ok(Some((state, started, vitals))) = asked {
            batch.boots.push((id.clone(), started));
            batch.power.push((id.clone(), state));
            batch.vitals.push((id.clone(), vitals.unwrap_or_default()));
        }
        batch
    }
}
