//! The one who owns the bus: a thread that carries out power commands first,
//! asks one node after the other how it is, and serves a console in between.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{
    console::Consoles,
    protocol::{Error, Wire},
};
use crate::console::Line;
use crate::gather;

/// How often each node is asked.
pub(super) const SWEEP: Duration = Duration::from_secs(1);
/// The same while a console is open, which is closed for it.
const SHARED: Duration = Duration::from_secs(12);
/// How often a node is asked while its power changes.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// No console is opened for what is due within this time.
const SOON: Duration = Duration::from_millis(250);
/// How long a node may take to be what it was told to be.
const CONFIRM: Duration = Duration::from_secs(5);
/// How long a bus that does not answer is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a bus may hang until its nodes count as lost.
const LOST: Duration = Duration::from_secs(30);

/// How the bus is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// Between two nodes that are switched on.
    pub(super) stagger: Duration,
    /// For how long a node is off when it is started again.
    pub(super) dwell: Duration,
}

/// What a node shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    On,
    Off,
    Cycle,
}

/// Why a goal is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The node is on its way to another one.
    Busy,
    /// It is the node whose serial port the bus is on.
    Own,
}

/// What is known of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The last status: on, current, fan.
    pub(super) last: Option<(bool, u8, u8)>,
    /// When it was taken.
    pub(super) seen: Option<(Instant, DateTime<Utc>)>,
    /// Why there is no newer one.
    silent: Option<Arc<str>>,
    /// What the node did not become when it was told to, and why.
    pub(super) failed: Option<(bool, Arc<str>)>,
    /// Whether it was told to cut its power since it was last seen on.
    pub(super) told: bool,
    /// Whether it is the manager's own.
    pub(super) own: bool,
}

impl Known {
    /// What is wrong with the node, if something is.
    pub(super) fn trouble(&self) -> Option<&Arc<str>> {
        let failed = self.failed.as_ref().map(|(_, why)| why);
        self.silent.as_ref().or(failed)
    }
}

/// How far a change of power has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The power is to be cut; a cycle goes on afterwards.
    Cut { cycle: bool },
    /// It was, and the node has to say so.
    Cutting { cycle: bool },
    /// It stays off until then.
    Dwell { until: Instant },
    /// It may have been cut by an agent before this one.
    Resume,
    /// The node waits for its turn to be switched on.
    Start,
    /// It was switched on, and has to say so.
    Starting,
}

impl Step {
    /// Whether it is on its way on.
    pub(super) fn comes(self) -> bool {
        matches!(self, Self::Resume | Self::Start | Self::Starting)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) step: Step,
    /// When something is to be done next.
    pub(super) next: Instant,
    /// When it has failed.
    pub(super) by: Instant,
}

impl Plan {
    pub(super) fn new(step: Step, next: Instant) -> Self {
        Self { step, next, by: next + CONFIRM }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) known: BTreeMap<u8, Known>,
    pub(super) plans: BTreeMap<u8, Plan>,
    /// The nodes that are switched on again until they are on.
    pub(super) lasting: BTreeSet<u8>,
    /// When the last node was switched on.
    pub(super) started: Option<Instant>,
    /// Where the sweep goes on, and when it begins anew.
    sweep: VecDeque<u8>,
    again: Option<Instant>,
    /// Something was asked for since the thread last looked.
    woken: bool,
    /// Whether a console is open on the bus.
    shared: bool,
    /// Whether the bus has ever answered, and since when it does not.
    heard: bool,
    lost: Option<Instant>,
}

/// The bus as others see it. The thread ends with it.
#[derive(Debug)]
pub(super) struct Bus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) timing: Timing,
    state: Mutex<State>,
    changed: Condvar,
    ended: AtomicBool,
}

impl Shared {
    /// Whether the node at `address` shall still take this step, which cuts
    /// its power: who takes it back from now on is too late.
    pub(super) fn cuts(&self, address: u8, step: Step) -> bool {
        let mut state = self.lock();
        let plan = state.plans.get(&address);
        let wanted = plan.is_some_and(|plan| plan.step == step);
        if let Some(known) = state.known.get_mut(&address) {
            known.told |= wanted;
        }
        wanted
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.lock().woken = true;
        self.changed.notify_all();
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.shared.wake();
    }
}

impl Bus {
    /// Takes `wire`, to look after the nodes that `consoles` has lines for.
    pub(super) fn start(
        wire: Wire,
        consoles: Consoles,
        timing: Timing,
    ) -> Result<Self, String> {
        let lines: Vec<(u8, Line)> = consoles.lines();
        let known = lines.iter().map(|(it, _)| (*it, Known::default()));
        let state = State { known: gather::map(known), ..State::default() };
        let shared = Arc::new(Shared {
            timing,
            state: Mutex::new(state),
            changed: Condvar::new(),
            ended: AtomicBool::new(false),
        });
        for (_, line) in lines {
            let shared = Arc::downgrade(&shared);
            line.on_wake(move || {
                if let Some(shared) = shared.upgrade() {
                    shared.wake();
                }
            });
        }
        let owner = Owner { wire, shared: Arc::clone(&shared), consoles };
        let thread = thread::Builder::new().name("bitscope".into());
        let started = thread.spawn(move || owner.run());
        started.map_err(|error| format!("no thread for the bus: {error}"))?;
        Ok(Self { shared })
    }

    /// What is known of the node at `address`, and whether it is on its way
    /// on or off.
    pub(super) fn known(&self, address: u8) -> (Known, Option<bool>) {
        let state = self.shared.lock();
        let known = state.known.get(&address).cloned().unwrap_or_default();
        // What has failed so far moves no more, though it is tried again.
        let plan = state.plans.get(&address);
        let plan = plan.filter(|_| known.failed.is_none());
        let comes = plan.map(|plan| plan.step.comes());
        (known, comes)
    }

    /// Why nobody on the bus can be told anything, if that is so.
    pub(super) fn gone(&self, address: u8) -> Option<Arc<str>> {
        let state = self.shared.lock();
        state.lost?;
        state.known.get(&address)?.silent.clone()
    }

    /// How often a node is asked now, at the longest.
    pub(super) fn sweep(&self) -> Duration {
        if self.shared.lock().shared { SHARED } else { SWEEP }
    }

    /// Begins the way of a node to `goal`: whether it is on its way on.
    pub(super) fn reach(
        &self,
        address: u8,
        goal: Goal,
    ) -> Result<bool, Refusal> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let state = &mut *state;
        let Some(known) = state.known.get_mut(&address) else {
            return Err(Refusal::Busy);
        };
        if known.own {
            return if goal == Goal::On { Ok(true) } else { Err(Refusal::Own) };
        }
        let step = match goal {
            Goal::On => Step::Start,
            Goal::Off => Step::Cut { cycle: false },
            Goal::Cycle => Step::Cut { cycle: true },
        };
        let plan = state.plans.get(&address);
        if let Some(plan) = plan.filter(|_| known.failed.is_none()) {
            match goal {
                Goal::On if plan.step.comes() => return Ok(true),
                // To cut the power is never too late.
                Goal::Off => {}
                Goal::On | Goal::Cycle => return Err(Refusal::Busy),
            }
        }
        known.failed = None;
        state.lasting.remove(&address);
        state.plans.insert(address, Plan::new(step, now));
        state.woken = true;
        self.shared.changed.notify_all();
        Ok(goal == Goal::On)
    }

    /// Takes back a cut of the power: whether the node was on and not told.
    pub(super) fn withdraw(&self, address: u8) -> bool {
        let mut state = self.shared.lock();
        let plan = state.plans.get(&address);
        if plan.is_some_and(|it| it.step == Step::Cut { cycle: false }) {
            state.plans.remove(&address);
        }
        let known = state.known.get(&address);
        known.is_some_and(|it| !it.told && matches!(it.last, Some((true, ..))))
    }

    /// Goes on with what an agent before this one has begun. A node that is
    /// off is left so for as long as any that is started again: nobody knows
    /// since when it is.
    pub(super) fn resume(&self, address: u8, on: bool) {
        if !on {
            let _ = self.reach(address, Goal::Off);
            return;
        }
        let mut state = self.shared.lock();
        if state.known.contains_key(&address) {
            let plan = Plan::new(Step::Resume, Instant::now());
            state.plans.insert(address, plan);
            state.lasting.insert(address);
            state.woken = true;
            self.shared.changed.notify_all();
        }
    }

    /// Begins the way of a node to be on, and does not give up until somebody
    /// wants something else: after an outage a bus may take its time.
    pub(super) fn restore(&self, address: u8) {
        if self.reach(address, Goal::On).is_ok() {
            self.shared.lock().lasting.insert(address);
        }
    }
}

/// What is to be done.
enum Turn {
    Power(u8, Plan),
    Sweep(u8),
    Serve(Duration),
    Rest(Duration),
}

pub(super) struct Owner {
    pub(super) wire: Wire,
    pub(super) shared: Arc<Shared>,
    consoles: Consoles,
}

impl Owner {
    fn run(mut self) {
        while !self.shared.ended.load(Ordering::Relaxed) {
            let active = self.consoles.choose(self.wire.master());
            match self.turn(active.is_some()) {
                Turn::Power(address, plan) => {
                    self.consoles.suspend(&mut self.wire);
                    self.power(address, plan);
                }
                Turn::Sweep(address) => {
                    self.consoles.pause(&mut self.wire);
                    let status = self.status(address);
                    if status.is_err_and(|error| error.is_of_bus()) {
                        // Nobody else answers either.
                        let mut state = self.shared.lock();
                        state.sweep.clear();
                        state.again = Some(Instant::now() + PAUSE);
                    }
                }
                Turn::Serve(length) => {
                    self.consoles.serve(&mut self.wire, length);
                }
                Turn::Rest(length) => {
                    self.consoles.pause(&mut self.wire);
                    let mut state = self.shared.lock();
                    if !std::mem::take(&mut state.woken) {
                        // A command, the end, or the time: all are looked at.
                        let _ = self.shared.changed.wait_timeout(state, length);
                    }
                }
            }
        }
        self.consoles.pause(&mut self.wire);
    }

    /// Power goes first; nodes are asked in between, and seldom while a console
    /// is open: what its node says meanwhile is lost.
    fn turn(&mut self, console: bool) -> Turn {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let state = &mut *state;
        state.shared = console;
        let due = state.plans.iter().filter(|(_, plan)| plan.next <= now);
        if let Some((address, plan)) = due.min_by_key(|(_, plan)| plan.next) {
            return Turn::Power(*address, *plan);
        }
        let again = state.again.unwrap_or(now);
        if state.sweep.is_empty() && again <= now {
            state.sweep = state.known.keys().copied().collect();
            state.again = Some(now + SWEEP);
        }
        let may = !console || self.consoles.may_pause(now);
        if let Some(address) = state.sweep.pop_front_if(|_| may) {
            return Turn::Sweep(address);
        }
        let next = state.plans.values().map(|plan| plan.next).min();
        let again = if state.sweep.is_empty() { again } else { now + LOOK };
        if let Some(next) = next.filter(|next| *next < now + SOON) {
            return Turn::Rest(next.duration_since(now));
        }
        let next = next.map_or(again, |next| next.min(again));
        let length = next.duration_since(now);
        if console { Turn::Serve(length) } else { Turn::Rest(length) }
    }

    /// Asks a node whether it is on, and notes what it says.
    pub(super) fn status(&mut self, address: u8) -> Result<bool, Error> {
        let status = self.wire.status(address);
        let own = self.wire.master() == Some(address);
        let now = Instant::now();
        let mut state = self.shared.lock();
        let state = &mut *state;
        match &status {
            Err(error) if error.is_of_bus() => {
                let lost = *state.lost.get_or_insert(now);
                let is_line = matches!(error, Error::Line { .. });
                // What hangs for a moment leaves nodes as they were seen.
                if is_line || !state.heard || now - lost > LOST {
                    let why: Arc<str> = error.to_string().into();
                    for known in state.known.values_mut() {
                        known.silent = Some(Arc::clone(&why));
                    }
                }
            }
            _ => {
                state.heard = true;
                state.lost = None;
            }
        }
        if let Some(known) = state.known.get_mut(&address) {
            known.own = own;
            match &status {
                Ok(status) => {
                    known.last = Some((status.on, status.current, status.fan));
                    known.told &= !status.on;
                    known.seen = Some((now, Utc::now()));
                    known.silent = None;
                    known.failed.take_if(|(on, _)| *on == status.on);
                }
                Err(error) if !error.is_of_bus() => {
                    known.silent = Some(error.to_string().into());
                }
                Err(_) => {}
            }
        }
        status.map(|status| status.on)
    }
}
