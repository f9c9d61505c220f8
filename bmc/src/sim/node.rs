//! A simulated computer: its power, its load, and the heat it makes.

use std::{collections::VecDeque, time::Duration};

use super::{fan::along, plant::Plant};
use crate::{
    commands::ResetType,
    model::{
        BootEnabled, BootOverride, BootSource, BootStage, PowerState, Started,
        TimeoutAction, Vitals, Watchdog,
    },
};

/// What a computer takes while it is off.
const STANDBY_WATTS: f64 = 0.3;

/// Above this temperature a processor slows down, in °C.
const THROTTLE: f64 = 80.0;

/// How long a restart leaves the power off.
const OFF: Duration = Duration::from_secs(1);

/// How long a power cycle leaves the power off.
const CYCLE: Duration = Duration::from_secs(4);

/// What a start goes through, one as long as the other.
const STAGES: [BootStage; 5] = [
    BootStage::Processor,
    BootStage::Memory,
    BootStage::Buses,
    BootStage::Hardware,
    BootStage::OsStarted,
];

/// How long changes of power take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From power to a running operating system.
    pub boot: Duration,
    /// From asking the operating system to power off.
    pub shutdown: Duration,
}

/// A simulated computer.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its heat.
    pub plant: Plant,
    /// Watts when idle.
    pub idle_watts: f64,
    /// Watts at full load.
    pub busy_watts: f64,
    /// Load in percent by seconds, again and again.
    pub load: Vec<(f64, f64)>,
    /// The slowest and the fastest clock, in Hz.
    pub clock: (f64, f64),
    /// Voltage without load, and what the cable loses a watt.
    pub volts: f64,
    /// Memory in bytes.
    pub memory: u64,
    /// How long changes of power take.
    pub timing: Timing,
    /// Where it usually starts from.
    pub usual: Option<BootSource>,
    /// How long its watchdog waits, where it has one.
    pub patience: Option<Duration>,
    boot: BootOverride,
    watchdog: Watchdog,
    /// Its operating system does not answer.
    hung: bool,
    /// The fault that hangs it lasts.
    hanging: bool,
    /// Since when nobody has calmed the watchdog.
    silent: Duration,
    /// Starts so far, where the last was from, and how long it takes.
    count: u64,
    from: Option<BootSource>,
    starting: Duration,
    took: Option<Duration>,
    state: PowerState,
    /// How long the state lasts still, and what comes then.
    plan: VecDeque<(Duration, PowerState)>,
    /// Time in the trace of load.
    clock_time: Duration,
    running: Duration,
    watts: f64,
    averages: [f64; 3],
}

impl Node {
    /// A computer that is on.
    #[must_use]
    pub fn new(plant: Plant, timing: Timing) -> Self {
        Self {
            plant,
            idle_watts: 2.0,
            busy_watts: 6.0,
            load: vec![(0.0, 20.0)],
            clock: (600e6, 1500e6),
            volts: 5.1,
            memory: 0,
            timing,
            usual: None,
            patience: None,
            boot: BootOverride::default(),
            watchdog: Watchdog::default(),
            hung: false,
            hanging: false,
            silent: Duration::ZERO,
            count: 0,
            from: None,
            starting: Duration::ZERO,
            took: None,
            state: PowerState::On,
            plan: VecDeque::new(),
            clock_time: Duration::ZERO,
            running: Duration::ZERO,
            watts: 0.0,
            averages: [0.0; 3],
        }
    }

    /// Begins a change of power; false while another is under way and this
    /// one is not forced.
    pub(super) fn reset(&mut self, kind: ResetType) -> bool {
        use PowerState::{Off, On, PoweringOff, PoweringOn};
        let Timing { boot, shutdown } = self.timing;
        let now = Duration::ZERO;
        let up = [(now, PoweringOn), (boot, On)];
        let down = [(now, PoweringOff), (shutdown, Off)];
        let on = self.state == On;
        let mut plan: Vec<(Duration, PowerState)> = Vec::new();
        match kind {
            ResetType::ForceOff => plan.push((now, Off)),
            ResetType::ForceRestart | ResetType::PowerCycle => {
                let cycle = kind == ResetType::PowerCycle;
                plan.push((now, Off));
                plan.push((if cycle { CYCLE } else { OFF }, PoweringOn));
                plan.push((boot, On));
            }
            _ if !self.plan.is_empty() => return false,
            ResetType::On | ResetType::ForceOn => {
                plan.extend(up.into_iter().filter(|_| !on));
            }
            ResetType::GracefulShutdown => {
                plan.extend(down.into_iter().filter(|_| on));
            }
            ResetType::PushPowerButton => {
                plan.extend(if on { down } else { up });
            }
            ResetType::GracefulRestart => {
                if on {
                    plan.extend(down);
                }
                plan.push((OFF, PoweringOn));
                plan.push((boot, On));
            }
        }
        self.plan = plan.into();
        self.follow(Duration::ZERO);
        true
    }

    /// Goes on by `step`, while fans cool and take `fan_watts`.
    pub(super) fn step(
        &mut self,
        step: Duration,
        cooling: f64,
        fan_watts: f64,
    ) {
        self.follow(step);
        self.clock_time += step;
        match self.state {
            PowerState::On => self.running += step,
            _ => self.running = Duration::ZERO,
        }
        if self.state == PowerState::PoweringOn {
            self.starting += step;
        }
        self.watch(step);
        let own = if self.has_power() {
            let span = self.busy_watts - self.idle_watts;
            self.idle_watts + span * self.busy()
        } else {
            STANDBY_WATTS
        };
        self.watts = own + fan_watts;
        self.plant.step(step, own, cooling);
        // Four busy cores have four runnable tasks.
        let runnable = self.load_percent() / 25.0;
        for (average, minutes) in self.averages.iter_mut().zip([1, 5, 15]) {
            let seconds = 60.0 * f64::from(minutes);
            let decay = (-step.as_secs_f64() / seconds).exp();
            *average = runnable + (*average - runnable) * decay;
        }
    }

    fn follow(&mut self, step: Duration) {
        let mut left = step;
        while let Some((after, state)) = self.plan.front_mut() {
            if *after > left {
                *after -= left;
                return;
            }
            left -= *after;
            let state = *state;
            self.plan.pop_front();
            self.enter(state);
        }
    }

    fn enter(&mut self, state: PowerState) {
        let before = std::mem::replace(&mut self.state, state);
        self.silent = Duration::ZERO;
        match state {
            PowerState::PoweringOn => {
                self.count += 1;
                self.from = self.boot.source().or(self.usual);
                // The firmware takes what counts once.
                if self.boot.enabled == BootEnabled::Once {
                    self.boot = BootOverride::default();
                }
                self.starting = Duration::ZERO;
            }
            PowerState::On if before == PowerState::PoweringOn => {
                self.took = Some(self.starting);
            }
            PowerState::On | PowerState::Off | PowerState::PoweringOff => {}
        }
        if state != PowerState::On {
            self.hung = false;
        }
    }

    /// Takes what people set; how often it has started.
    pub(super) fn configure(
        &mut self,
        boot: BootOverride,
        watchdog: Watchdog,
    ) -> u64 {
        self.boot = boot;
        if self.watchdog != watchdog {
            self.silent = Duration::ZERO;
        }
        self.watchdog = watchdog;
        self.count
    }

    /// Lets the operating system hang from when `hanging` begins.
    pub(super) fn hang(&mut self, hanging: bool) {
        if hanging && !self.hanging && self.state == PowerState::On {
            self.hung = true;
        }
        self.hanging = hanging;
    }

    /// An operating system that answers calms the watchdog all the time.
    fn watch(&mut self, step: Duration) {
        let waits = self.patience.filter(|_| self.watchdog.enabled);
        let Some(patience) = waits.filter(|_| self.hung) else {
            self.silent = Duration::ZERO;
            return;
        };
        self.silent += step;
        if self.silent < patience {
            return;
        }
        self.silent = Duration::ZERO;
        match self.watchdog.action {
            TimeoutAction::None => {}
            TimeoutAction::ResetSystem => {
                self.reset(ResetType::ForceRestart);
            }
            TimeoutAction::PowerCycle => {
                self.reset(ResetType::PowerCycle);
            }
            TimeoutAction::PowerDown => {
                self.reset(ResetType::ForceOff);
            }
        }
    }

    /// How far it has come, and from where.
    pub(super) fn started(&self) -> Started {
        let stage = match self.state {
            PowerState::On => BootStage::OsRunning,
            PowerState::PoweringOn => self.stage(),
            PowerState::Off | PowerState::PoweringOff => BootStage::None,
        };
        let Self { count, from, took, .. } = *self;
        Started { count, stage, from, took }
    }

    fn stage(&self) -> BootStage {
        let part = self.timing.boot / 5;
        let passed = (1..5).filter(|n| self.starting >= part * *n).count();
        STAGES.get(passed).copied().unwrap_or(BootStage::OsStarted)
    }

    /// The power state now.
    pub(super) fn state(&self) -> PowerState {
        self.state
    }

    /// Whether anything in it is live.
    pub(super) fn has_power(&self) -> bool {
        self.state != PowerState::Off
    }

    /// Temperature of the processor, in °C.
    pub(super) fn temperature(&self) -> f64 {
        self.plant.temperature
    }

    /// Power it takes, in watts.
    pub(super) fn watts(&self) -> f64 {
        self.watts
    }

    /// Voltage at its input; the cable loses some under load.
    pub(super) fn input_volts(&self) -> f64 {
        self.volts - 0.02 * self.watts
    }

    /// Load of the processor, in percent.
    pub(super) fn load_percent(&self) -> f64 {
        match self.state {
            PowerState::On => {
                let period = self.load.last().map_or(0.0, |(at, _)| *at);
                let now = self.clock_time.as_secs_f64();
                let now = if period > 0.0 { now % period } else { 0.0 };
                along(&self.load, now)
            }
            PowerState::PoweringOn | PowerState::PoweringOff => 60.0,
            PowerState::Off => 0.0,
        }
    }

    fn busy(&self) -> f64 {
        self.load_percent() / 100.0
    }

    /// The processor's clock, in Hz.
    pub(super) fn clock_hertz(&self) -> f64 {
        let (slow, fast) = self.clock;
        match (self.has_power(), self.temperature() >= THROTTLE) {
            (false, _) => 0.0,
            (true, true) => slow.midpoint(fast),
            (true, false) if self.load_percent() < 15.0 => slow,
            (true, false) => fast,
        }
    }

    /// What its operating system says; nothing while none runs.
    pub(super) fn vitals(&self) -> Option<Vitals> {
        (self.state == PowerState::On && !self.hung).then(|| Vitals {
            uptime: self.running,
            load: self.averages.map(|load| (load * 100.0).round() / 100.0),
            memory_total: self.memory,
            memory_available: self.memory - self.memory / 4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let plant = Plant {
            ambient: 20.0,
            capacity: 10.0,
            resistance_still: 10.0,
            resistance_full: 4.0,
            temperature: 40.0,
        };
        let boot = Duration::from_secs(5);
        Node::new(plant, Timing { boot, shutdown: Duration::from_secs(3) })
    }

    fn after(node: &mut Node, seconds: u64) -> PowerState {
        let steps = seconds * 10;
        (0..steps)
            .for_each(|_| node.step(Duration::from_millis(100), 0.0, 0.0));
        node.state()
    }

    #[test]
    fn a_shutdown_takes_its_time_and_a_forced_one_does_not() {
        let mut node = node();
        assert!(node.reset(ResetType::GracefulShutdown));
        assert_eq!(node.state(), PowerState::PoweringOff);
        assert!(!node.reset(ResetType::On), "one change at a time");
        assert_eq!(after(&mut node, 4), PowerState::Off);
        assert_eq!(node.vitals(), None);
        assert!(node.reset(ResetType::On));
        assert_eq!(after(&mut node, 4), PowerState::PoweringOn);
        assert!(node.reset(ResetType::ForceOff));
        assert_eq!(node.state(), PowerState::Off);
    }

    #[test]
    fn a_restart_ends_where_it_began() {
        for kind in [
            ResetType::ForceRestart,
            ResetType::GracefulRestart,
            ResetType::PowerCycle,
        ] {
            let mut node = node();
            after(&mut node, 1);
            assert!(node.reset(kind));
            assert_ne!(node.state(), PowerState::On, "{kind:?}");
            assert_eq!(after(&mut node, 10), PowerState::On, "{kind:?}");
            let uptime = node.vitals().unwrap().uptime;
            assert!(uptime < Duration::from_secs(6), "{kind:?}");
        }
    }

    #[test]
    fn what_is_off_cools_down() {
        let mut node = node();
        node.reset(ResetType::ForceOff);
        after(&mut node, 600);
        assert!(node.temperature() < 24.0);
        assert!(node.clock_hertz().abs() < 1e-9);
    }
}
