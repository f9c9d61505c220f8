//! A fan on a PWM output, with or without a tachometer on a GPIO line: what
//! "4-Wire Pulse Width Modulation (PWM) Controlled Fans" (Intel, revision 1.3)
//! has, 25 kHz and two pulses a turn.
//!
//! It follows a sensor as the fan of an Argon case does. When the agent ends,
//! it is driven by all there is; so it is when the agent starts, as nobody
//! knows how long it stood still. An agent that is killed leaves the output as
//! it is: the kernel holds it.

use std::{
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Batch, Driver, INTERVAL, argon::curve::Loop, good_for, meter::sensor,
};
use crate::{
    boards::{
        Controls,
        names::Reference,
        part::{Fitting, Kind, Part, chassis_of},
    },
    bus::{
        gpio::{GpioLines, Input, LineName, Polarity},
        pwm::{KernelPwm, Pwm},
    },
    model::{
        Control, Fan, Id, Inventory, Percent, PhysicalContext, Quality,
        Reading, Rpm, Sample, Sensor, SensorKind, Snapshot,
    },
};

/// Pulses a second at the output.
const HERTZ: u32 = 25_000;
/// Pulses of the tachometer a turn.
const PULSES: u32 = 2;
/// How long pulses are counted, and how many at most.
const WINDOW: Duration = Duration::from_millis(300);
const MOST: usize = 24;
/// How long a fan may take to turn.
const SPIN_UP: Duration = Duration::from_secs(5);
/// Nothing turns faster: what seems to is a line that bounces.
const FASTEST: f64 = 30_000.0;

/// The fan, and what decides about it.
#[derive(Debug)]
struct Driven {
    pwm: Box<dyn Pwm>,
    wanted: Loop,
    /// °C of what it cools.
    celsius: Option<f64>,
    /// Since when it should turn.
    turning: Option<Instant>,
    /// Whether the agent has ended.
    ended: bool,
}

impl Driven {
    /// Drives it as it shall be, and says how that is in percent.
    fn step(&mut self, at: Instant) -> io::Result<u8> {
        let duty = if self.ended {
            100
        } else {
            self.wanted.next(self.celsius, at).min(100)
        };
        // Another program may have written to the output.
        if let Err(error) = self.pwm.drive(duty.into()) {
            self.wanted.lost();
            self.turning = None;
            return Err(error);
        }
        self.wanted.driven(duty);
        if duty == 0 {
            self.turning = None;
        } else if self.turning.is_none() {
            self.turning = Some(at);
        }
        Ok(duty)
    }
}

/// What counts its turns.
#[derive(Debug)]
struct Tachometer {
    lines: Arc<dyn GpioLines>,
    line: LineName,
    pulses: u32,
    input: Option<Box<dyn Input>>,
}

impl Tachometer {
    /// Turns a minute, from the time between pulses: the middle of them, as
    /// some are lost while nobody fetches them.
    fn speed(&mut self) -> io::Result<f64> {
        let mut input = match self.input.take() {
            Some(input) => input,
            None => self.lines.input(&self.line, Polarity::ActiveHigh)?,
        };
        let mut rises: Vec<Duration> = Vec::with_capacity(MOST);
        let began = Instant::now();
        while rises.len() < MOST && began.elapsed() < WINDOW {
            let left = WINDOW.saturating_sub(began.elapsed());
            let Some(edge) = input.edge(left)? else { break };
            if edge.active {
                rises.push(edge.at);
            }
        }
        self.input = Some(input);
        let pairs = rises.iter().zip(rises.iter().skip(1));
        let mut speeds: Vec<f64> = pairs
            .map(|(a, b)| b.saturating_sub(*a).as_secs_f64())
            .map(|seconds| 60.0 / (seconds * f64::from(self.pulses)))
            .filter(|turns| *turns < FASTEST)
            .collect();
        speeds.sort_by(f64::total_cmp);
        Ok(speeds.get(speeds.len() / 2).copied().unwrap_or_default())
    }
}

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call it.
    name: Option<String>,
    /// The PWM chip: the device it belongs to, as `fe20c000.pwm`.
    chip: String,
    channel: u32,
    hertz: Option<u32>,
    /// Whether the low voltage drives it.
    #[serde(default)]
    inverted: bool,
    /// The sensor that says how warm it is.
    follows: Id,
    /// The line of its tachometer, and the pulses of a turn.
    tachometer: Option<LineName>,
    pulses: Option<u32>,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "pwm-fan", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    let hertz = options.hertz.unwrap_or(HERTZ);
    if !(1..=1_000_000).contains(&hertz) {
        return Err(format!("`hertz` is {hertz}, not 1 to 1000000"));
    }
    let pulses = options.pulses.unwrap_or(PULSES);
    if !(1..=16).contains(&pulses) {
        return Err(format!("`pulses` is {pulses}, not 1 to 16"));
    }
    let line = options.tachometer;
    let counted = line.as_ref().map(|line| (line.to_string(), pulses));
    let pwm: Box<dyn Pwm> = match fitting.simulated_fan(counted) {
        Some(fan) => Box::new(fan),
        None => Box::new(KernelPwm::new(
            fitting.tree().clone(),
            &options.chip,
            options.channel,
            hertz,
            options.inverted,
        )),
    };
    let (id, chassis) = (fitting.id.clone(), fitting.chassis.clone());
    let name = options.name.unwrap_or_else(|| id.to_string());
    let place = format!("pwm {} {}", options.chip, options.channel);
    let fan = |word, kind| {
        let mut it = sensor(&id, &name, word, kind, &place);
        it.context = PhysicalContext::Fan;
        it
    };
    let mut duty = fan("Duty", SensorKind::Percent);
    duty.range = Some((0.0, 100.0));
    let lines = fitting.lines(line.as_ref())?;
    let tachometer =
        line.map(|line| Tachometer { lines, line, pulses, input: None });
    let speed =
        tachometer.is_some().then(|| fan("Speed", SensorKind::Rotation));
    let driven = Arc::new(Mutex::new(Driven {
        pwm,
        wanted: Loop::default(),
        celsius: None,
        turning: None,
        ended: false,
    }));
    let watch = Watch {
        place,
        follows: options.follows.clone(),
        duty: duty.id.clone(),
        speed: speed.as_ref().map(|it| it.id.clone()),
        driven: Arc::clone(&driven),
        tachometer,
    };
    Ok(Box::new(Fitted {
        id,
        name,
        chassis,
        follows: options.follows,
        duty,
        speed,
        driven,
        watch: Some(Box::new(watch)),
    }))
}

fn lock(driven: &Mutex<Driven>) -> MutexGuard<'_, Driven> {
    driven.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The part on a board.
struct Fitted {
    id: Id,
    name: String,
    chassis: Id,
    follows: Id,
    duty: Sensor,
    speed: Option<Sensor>,
    driven: Arc<Mutex<Driven>>,
    watch: Option<Box<Watch>>,
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        let Some(chassis) = chassis_of(inventory, &self.chassis) else {
            return;
        };
        let speed = self.speed.as_ref().map(|it| it.id.clone());
        chassis.sensors.push(self.duty.clone());
        chassis.sensors.extend(self.speed.clone());
        chassis.fans.push(Fan {
            id: self.id.clone(),
            name: self.name.clone(),
            speed,
            duty: Some(self.duty.id.clone()),
        });
        chassis.controls.push(Control {
            id: self.id.clone(),
            name: self.name.clone(),
            fan: self.id.clone(),
            sensor: self.duty.id.clone(),
            watched: Some(self.follows.clone()),
        });
    }

    fn refers(&self) -> Vec<Reference> {
        vec![Reference::sensor("follows", &self.follows)]
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        let watch = self.watch.take();
        watch.into_iter().map(|it| it as Box<dyn Driver>).collect()
    }

    fn controls(&self) -> Option<(Vec<Id>, Arc<dyn Controls>)> {
        let drives = Drives(Arc::clone(&self.driven));
        Some((vec![self.id.clone()], Arc::new(drives)))
    }
}

/// Drives the fan by hand.
struct Drives(Arc<Mutex<Driven>>);

impl Controls for Drives {
    fn drive(&self, _: &Id, percent: Option<f64>) -> io::Result<()> {
        let mut driven = lock(&self.0);
        let before = mem::replace(&mut driven.wanted.manual, percent);
        let stepped = driven.step(Instant::now());
        // What was refused is not in force later; what cools harms nobody.
        if stepped.is_err() && percent.is_some_and(|it| it < 100.0) {
            driven.wanted.manual = before;
        }
        stepped.map(drop)
    }

    fn leave(&self, _: &Id) -> io::Result<()> {
        let mut driven = lock(&self.0);
        driven.ended = true;
        driven.step(Instant::now()).map(drop)
    }
}

/// What drives the fan by the temperature, and counts its turns.
#[derive(Debug)]
struct Watch {
    place: String,
    follows: Id,
    duty: Id,
    speed: Option<Id>,
    driven: Arc<Mutex<Driven>>,
    tachometer: Option<Tachometer>,
}

impl Watch {
    fn speed(&mut self, duty: u8) -> Option<Sample> {
        let id = self.speed.as_ref()?;
        let turning = lock(&self.driven).turning;
        let spun_up = turning.is_some_and(|at| at.elapsed() >= SPIN_UP);
        Some(match self.tachometer.as_mut()?.speed() {
            Ok(turns) if turns < 1.0 && spun_up => {
                let why = format!(
                    "it does not turn, though it is driven by {duty} percent"
                );
                Sample::failed(id, &why)
            }
            Ok(turns) => {
                Sample::good(id, Rpm(turns.round()).into(), good_for(INTERVAL))
            }
            Err(error) => Sample::failed(id, &error.to_string()),
        })
    }
}

impl Driver for Watch {
    fn name(&self) -> &str {
        &self.place
    }

    fn see(&mut self, known: &Snapshot) {
        let reading = known.reading(&self.follows);
        let good = reading.filter(|it| it.quality == Quality::Good);
        lock(&self.driven).celsius = good.and_then(Reading::number);
    }

    fn poll(&mut self) -> Batch {
        let stepped = lock(&self.driven).step(Instant::now());
        let (duty, sample) = match stepped {
            Ok(duty) => {
                let percent = Percent(duty.into()).into();
                let good_for = good_for(INTERVAL);
                (duty, Sample::good(&self.duty, percent, good_for))
            }
            Err(error) => (0, Sample::failed(&self.duty, &error.to_string())),
        };
        let mut samples = vec![sample];
        samples.extend(self.speed(duty));
        Batch { samples, ..Batch::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output that can only be driven by all there is.
    #[derive(Debug)]
    struct Refusing;

    impl Pwm for Refusing {
        fn drive(&mut self, percent: f64) -> io::Result<()> {
            if percent < 100.0 {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            Ok(())
        }
    }

    #[test]
    fn a_set_point_that_was_refused_is_not_in_force_later() {
        let driven = Driven {
            pwm: Box::new(Refusing),
            wanted: Loop::default(),
            celsius: None,
            turning: None,
            ended: false,
        };
        let controls = Drives(Arc::new(Mutex::new(driven)));
        let fan = Id::from("Fan");
        assert!(controls.drive(&fan, Some(0.0)).is_err());
        assert!(lock(&controls.0).wanted.manual.is_none());
        controls.drive(&fan, Some(100.0)).unwrap();
        assert!(controls.drive(&fan, Some(30.0)).is_err());
        let kept = lock(&controls.0).wanted.manual;
        assert!(kept.is_some_and(|it| it >= 100.0), "as before: {kept:?}");
    }
}
