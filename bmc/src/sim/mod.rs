//! Simulated machines: what lies below the drivers when there is no hardware.
//!
//! Drivers read a simulated part through the same [`Attribute`] as a real
//! one, and poll it with the same code. A part can be told to misbehave: by a
//! test through [`Simulation::part`], from outside by `[[fault]]` in the
//! board file.
//!
//! [`Attribute`]: crate::drivers::channel::Attribute

pub mod ads1115;
pub mod argon;
pub mod bitscope;
pub mod bitscope_capture;
mod bus;
mod fan;
mod fault;
pub mod gpio;
pub mod i2c;
pub mod ina219;
pub mod ina226;
pub mod ina3221;
pub mod jetson;
pub mod lm75;
pub mod modem;
mod node;
pub mod pcf8563;
mod plant;
pub mod pwm_fan;
pub mod registers;
pub mod rpi;
pub mod serial;
pub mod sixfab_ups;
pub mod ssd1306;
pub mod switch;
pub mod terminal;
pub mod tmp117;
pub mod volumes;
pub mod watchdog;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use self::fault::Faults;
pub use self::{
    bus::{Measure, SimulatedAttribute, SimulatedNode},
    fan::Fan,
    fault::{Fault, Scheduled},
    node::{Node, Timing},
    plant::Plant,
};
use crate::{
    boards::{Controls, Power},
    commands::{CommandError, ResetType},
    model::{Id, Part as ModelPart, PartSettings, PowerState},
};

/// The largest step of the simulation; what happens in between is smooth.
const STEP: Duration = Duration::from_millis(100);

/// More than this is not caught up with step by step after a pause.
const LONGEST: Duration = Duration::from_mins(10);

/// How often a stalled part looks whether it still is.
const STALL_LOOK: Duration = Duration::from_millis(20);

/// A simulated board. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Simulation {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    /// Told when a fault ends, so that a stalled part goes on.
    changed: Condvar,
}

#[derive(Debug)]
struct World {
    nodes: BTreeMap<Id, Node>,
    fans: BTreeMap<Id, Fan>,
    faults: Faults,
    now: Instant,
    /// Nobody waits any more.
    closed: bool,
}

impl Simulation {
    /// A board with these computers and fans, on which `faults` will happen.
    #[must_use]
    pub fn new(
        nodes: BTreeMap<Id, Node>,
        fans: BTreeMap<Id, Fan>,
        faults: Vec<Scheduled>,
    ) -> Self {
        let now = Instant::now();
        let faults = Faults::new(now, faults);
        let world = World { nodes, fans, faults, now, closed: false };
        let shared =
            Shared { world: Mutex::new(world), changed: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// The part `id`: a sensor, a fan or a system.
    #[must_use]
    pub fn part(&self, id: &str) -> SimulatedPart {
        SimulatedPart { simulation: self.clone(), id: id.into() }
    }

    /// Whether the computer `system` has power.
    #[must_use]
    pub fn has_power(&self, system: &str) -> bool {
        let mut world = self.lock();
        world.advance();
        world.nodes.get(system).is_some_and(Node::has_power)
    }

    /// Lets go of everything that waits for a stalled part.
    pub fn close(&self) {
        self.lock().closed = true;
        self.shared.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the world now through the part `id`, as a bus does: what is
    /// unplugged or fails answers with an error, what is stalled not at all.
    fn ask<T>(
        &self,
        id: &str,
        look: impl FnOnce(&mut World) -> T,
    ) -> io::Result<T> {
        let mut world = self.lock();
        loop {
            world.advance();
            if world.closed || !world.faults.is_stalled(id) {
                break;
            }
            let waited = self.shared.changed.wait_timeout(world, STALL_LOOK);
            (world, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        world.faults.check(id)?;
        Ok(look(&mut world))
    }
}

impl World {
    fn advance(&mut self) {
        let now = Instant::now();
        self.faults.advance(now);
        let mut behind = now.duration_since(self.now).min(LONGEST);
        while !behind.is_zero() {
            let step = behind.min(STEP);
            behind -= step;
            self.step(step);
        }
        self.now = now;
    }

    fn step(&mut self, step: Duration) {
        for (id, node) in &mut self.nodes {
            let mut fans: Vec<&mut Fan> =
                self.fans.values_mut().filter(|fan| fan.cools == *id).collect();
            let mut cooling = 0.0_f64;
            for fan in &mut fans {
                fan.step(step, node.temperature(), node.has_power());
                cooling = cooling.max(fan.cooling());
            }
            let watts: f64 = fans.iter().map(|fan| fan.watts()).sum();
            node.step(step, cooling, watts);
        }
        for (id, node) in &mut self.nodes {
            node.hang(self.faults.hangs(id));
        }
        for (id, fan) in &mut self.fans {
            fan.stuck = self.faults.is_stuck(id);
        }
    }
}

impl Power for Simulation {
    fn reset(
        &self,
        system: &Id,
        kind: ResetType,
    ) -> Result<Option<PowerState>, CommandError> {
        let part = ModelPart::System(system.clone());
        let asked = self.ask(system, |world| {
            let node = world.nodes.get_mut(system)?;
            Some(node.reset(kind).then(|| node.state()))
        });
        match asked {
            Ok(Some(Some(state))) => Ok(Some(state)),
            Ok(Some(None)) => Err(CommandError::Busy { part }),
            Ok(None) => Err(CommandError::Unknown { part }),
            Err(error) => {
                let reason = error.to_string();
                Err(CommandError::Failed { part, reason })
            }
        }
    }

    fn configure(
        &self,
        system: &Id,
        settings: &PartSettings,
    ) -> Result<u64, CommandError> {
        let part = ModelPart::System(system.clone());
        let asked = self.ask(system, |world| {
            let node = world.nodes.get_mut(system)?;
            Some(node.configure(settings.boot, settings.watchdog))
        });
        match asked {
            Ok(Some(count)) => Ok(count),
            Ok(None) => Err(CommandError::Unknown { part }),
            Err(error) => {
                let reason = error.to_string();
                Err(CommandError::Failed { part, reason })
            }
        }
    }

    fn restore(&self, system: &Id, on: bool, _lost: bool) {
        if let Some(node) = self.lock().nodes.get_mut(system)
            && !on
        {
            node.reset(ResetType::ForceOff);
        }
    }
}

impl Controls for Simulation {
    fn drive(&self, control: &Id, percent: Option<f64>) -> io::Result<()> {
        self.ask(control, |world| {
            let fan = world.fans.get_mut(control).ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "no such fan")
            })?;
            fan.manual = percent.map(|percent| percent.clamp(0.0, 100.0));
            Ok(())
        })?
    }
}

/// A part that can be told to misbehave.
#[derive(Clone, Debug)]
pub struct SimulatedPart {
    simulation: Simulation,
    id: Id,
}

impl SimulatedPart {
    /// Takes the part off its bus.
    pub fn unplug(&self) {
        self.fault(Fault::Unplug);
    }

    /// Lets the part hold its bus until [`Self::mend`].
    pub fn stall(&self) {
        self.fault(Fault::Stall);
    }

    /// Stops a fan, whatever drives it.
    pub fn stick(&self) {
        self.fault(Fault::Stick);
    }

    /// Stops the operating system of a system; a new start helps.
    pub fn hang(&self) {
        self.fault(Fault::Hang);
    }

    /// Waits while the part is stalled.
    ///
    /// # Errors
    /// What its bus says where it is unplugged, or fails.
    pub(super) fn answers(&self) -> io::Result<()> {
        self.simulation.ask(&self.id, |_| ())
    }

    /// Lets the next read or command fail.
    pub fn fail_next(&self) {
        self.simulation.lock().faults.fail_next(&self.id);
    }

    /// Makes the part good again.
    pub fn mend(&self) {
        self.simulation.lock().faults.mend(&self.id);
        self.simulation.shared.changed.notify_all();
    }

    fn fault(&self, fault: Fault) {
        self.simulation.lock().faults.set(&self.id, fault);
    }
}
