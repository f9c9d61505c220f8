//! `BitScope` BS05 and BS10: two analog inputs, eight logic inputs and a
//! waveform generator behind a virtual machine on a serial line.
//!
//! Commands and registers are those of the vendor's "VM Specification VM01B";
//! what that leaves open follows what others drive a BS05 with. Nothing here
//! was checked on a real instrument. Taken for so, and not written anywhere:
//! half of a range is below 0 V; `DumpSend` samples make a value where they
//! are reduced; a BS10's comparator is a BS05's.

mod generator;
mod mode;
mod plan;
mod register;
mod scope;
#[cfg(test)]
mod tests;
mod vm;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError, atomic::AtomicBool,
    },
    time::Duration,
};

use serde::Deserialize;

use self::{mode::MODES, scope::Scope, vm::Vm};
use super::{Batch, Driver, good_for};
use crate::{
    boards::{
        Instruments,
        part::{Fitting, Kind, Part, chassis_of},
    },
    model::{
        Capture, CaptureAsked, CaptureError, CaptureRequest, Id, Input,
        Instrument, Inventory, PhysicalContext, Quantity, Sample, Sensor,
        SensorKind, Thresholds,
    },
    sim::bitscope_capture::{Inputs, Scope as Simulated},
};

/// How often the inputs are looked at while nobody records.
const INTERVAL: Duration = Duration::from_secs(5);
/// The range for that, in volts: the largest.
const RANGE: f64 = 11.0;

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call it.
    name: Option<String>,
    /// What is on its inputs, where it is simulated.
    inputs: Option<Inputs>,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "bitscope-capture", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    if options.inputs.is_some() && !fitting.is_simulated() {
        return Err("`inputs` are of a simulated bus".to_owned());
    }
    let inputs = options.inputs.unwrap_or_default();
    let simulated = Arc::new(Mutex::new(Simulated::new(inputs)));
    if fitting.is_simulated() {
        fitting.keep(Arc::clone(&simulated));
    }
    let link = fitting.serial(|| simulated)?;
    let id = fitting.id.clone();
    let name = options.name.unwrap_or_else(|| id.to_string());
    let place = format!("bitscope-capture {id}");
    let sensors = ["A", "B"].map(|input| Sensor {
        id: super::segment(&format!("{id} {input}")).into(),
        name: format!("{name} {input}"),
        kind: SensorKind::Voltage,
        context: PhysicalContext::SystemBoard,
        range: Some((-RANGE / 2.0, RANGE / 2.0)),
        thresholds: Thresholds::default(),
        interval: INTERVAL,
        source: place.as_str().into(),
        required: true,
    });
    let shared = Arc::new(Shared {
        turn: Mutex::default(),
        scope: Mutex::new(Scope::new(Vm::new(link))),
        model: Mutex::default(),
    });
    let driver = Look {
        name: place,
        shared: Arc::clone(&shared),
        sensors: sensors.iter().map(|sensor| sensor.id.clone()).collect(),
    };
    Ok(Box::new(Fitted {
        id,
        name,
        chassis: fitting.chassis.clone(),
        sensors,
        shared,
        driver: Some(driver),
    }))
}

/// The instrument, between who looks at its inputs and who records.
#[derive(Debug)]
struct Shared {
    /// Who records.
    turn: Mutex<()>,
    scope: Mutex<Scope>,
    /// What it said it is.
    model: Mutex<Option<String>>,
}

impl Shared {
    fn note(&self, identity: &str) {
        *lock(&self.model) = Some(identity.to_owned());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Instruments for Shared {
    fn capture(
        &self,
        _: &Id,
        request: &CaptureRequest,
        asked: &CaptureAsked<'_>,
    ) -> Result<Capture, CaptureError> {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(CaptureError::Busy),
        };
        let capture = lock(&self.scope).capture(request, asked)?;
        self.note(&capture.model);
        Ok(capture)
    }

    fn check(
        &self,
        _: &Id,
        request: &CaptureRequest,
    ) -> Result<(), CaptureError> {
        let model = lock(&self.model).clone();
        // Until it has said which it is, it is taken for a BS05.
        let model = model.as_deref().unwrap_or("BS000501");
        plan::Plan::new(request, model)?;
        if let Some(wanted) = &request.generator {
            generator::Tone::new(wanted)?;
        }
        Ok(())
    }
}

/// The part on a board.
struct Fitted {
    id: Id,
    name: String,
    chassis: Id,
    sensors: [Sensor; 2],
    shared: Arc<Shared>,
    driver: Option<Look>,
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        let Some(chassis) = chassis_of(inventory, &self.chassis) else {
            return;
        };
        chassis.sensors.extend(self.sensors.iter().cloned());
        let model = lock(&self.shared.model).clone();
        let known = model.as_deref().unwrap_or("BS000501");
        let ranges = mode::ranges(known).unwrap_or_default();
        chassis.instruments.push(Instrument {
            id: self.id.clone(),
            name: self.name.clone(),
            ranges: ranges.iter().map(|range| range.0).collect(),
            sensors: self.sensors.iter().map(|it| it.id.clone()).collect(),
            modes: MODES.iter().map(|mode| mode.name).collect(),
            rates: plan::rates(),
            depth: mode::MEMORY,
            model,
        });
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        let driver = self.driver.take();
        driver.into_iter().map(|it| Box::new(it) as Box<dyn Driver>).collect()
    }

    fn instruments(&self) -> Option<(Vec<Id>, Arc<dyn Instruments>)> {
        let shared = Arc::clone(&self.shared);
        Some((vec![self.id.clone()], shared))
    }
}

/// What looks at the inputs while nobody records.
struct Look {
    name: String,
    shared: Arc<Shared>,
    sensors: Vec<Id>,
}

impl Look {
    /// The mean of each input, over some milliseconds.
    fn means(&self, scope: &mut Scope) -> Result<Vec<f64>, CaptureError> {
        let request = CaptureRequest {
            inputs: vec![Input::A, Input::B],
            rate: 50e3,
            samples: 250,
            before: 0,
            range: RANGE,
            mode: None,
            reduction: None,
            block: None,
            trigger: None,
            patience: Duration::ZERO,
            generator: None,
        };
        let asked = CaptureAsked {
            cancelled: &AtomicBool::new(false),
            progress: &|_| {},
        };
        let capture = scope.capture(&request, &asked)?;
        self.shared.note(&capture.model);
        let mean = |volts: &[f32]| {
            let sum: f64 = volts.iter().copied().map(f64::from).sum();
            #[expect(clippy::cast_precision_loss, reason = "250 at most")]
            let count = volts.len().max(1) as f64;
            (sum / count * 1000.0).round() / 1000.0
        };
        Ok(capture.analog.iter().map(|series| mean(&series.volts)).collect())
    }
}

impl Driver for Look {
    fn name(&self) -> &str {
        &self.name
    }

    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn poll(&mut self) -> Batch {
        let mut scope = match self.shared.scope.try_lock() {
            Ok(scope) => scope,
            Err(TryLockError::Poisoned(scope)) => scope.into_inner(),
            // Who records has it for himself.
            Err(TryLockError::WouldBlock) => return Batch::default(),
        };
        let good_for = good_for(INTERVAL);
        let samples = match self.means(&mut scope) {
            Ok(means) => {
                let both = self.sensors.iter().zip(means);
                both.map(|(id, volts)| {
                    let volts = Quantity::new(SensorKind::Voltage, volts);
                    Sample::good(id, volts, good_for)
                })
                .collect()
            }
            Err(error) => {
                let reason = error.to_string();
                let failed = |id| Sample::failed(id, &reason);
                self.sensors.iter().map(failed).collect()
            }
        };
        Batch { samples, ..Batch::default() }
    }
}
