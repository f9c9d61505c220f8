//! The consoles of the nodes. A bus carries one at a time, and nothing else
//! while it is open: a power command or a look at the nodes closes it, and it
//! is opened again afterwards.
//!
//! What a node says while its console is closed is lost, as far as is known.
//! So the nodes are asked seldom while somebody looks at one: when it is
//! quiet, and after a while in any case.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;
use tracing::debug;

use super::protocol::Wire;
use crate::{
    bus::pause,
    console::{Attached, Line, Want},
    gather,
};

/// What closes the console, and must therefore not be typed.
const FORBIDDEN: &[u8] = b"\x07";
/// How long the line is listened to before something else is looked at.
const PATIENCE: Duration = Duration::from_millis(20);
/// What is typed at a time, between two looks at what comes.
const AT_ONCE: usize = 16;
/// A console that said nothing for so long is quiet.
const QUIET: Duration = Duration::from_millis(250);
/// Between two looks at nodes while the console is quiet, and while not.
const BREAK: Duration = Duration::from_secs(2);
const BUSY_BREAK: Duration = Duration::from_secs(10);
/// How many nodes are asked in a break.
const IN_A_BREAK: u8 = 2;
/// How long a console that cannot be opened is left alone.
const AGAIN: Duration = Duration::from_secs(1);
/// What is under way when a console is closed comes within this time.
const UNDER_WAY: Duration = Duration::from_millis(3);

/// The consoles of a bus.
#[derive(Debug)]
pub(super) struct Consoles {
    lines: BTreeMap<u8, (Line, Want)>,
    /// The node whose console is kept open while nobody looks at another.
    resident: Option<u8>,
    /// How fast the nodes speak, in the code of the bus.
    speed: u8,
    /// The node whose console is to be open, and the one whose is.
    active: Option<u8>,
    open: Option<u8>,
    /// When it last said something, and when it was last closed for a look.
    heard: Instant,
    paused: Instant,
    asked: u8,
    /// When it may be tried again.
    again: Option<Instant>,
}

/// The code of the bus for a speed in bits a second.
pub(super) fn speed(baud: u32) -> Option<u8> {
    match baud {
        115_200 => Some(0),
        9600 => Some(1),
        19_200 => Some(2),
        57_600 => Some(3),
        _ => None,
    }
}

impl Consoles {
    pub(super) fn new(
        addresses: &[u8],
        resident: Option<u8>,
        speed: u8,
    ) -> Self {
        let line = || Line::new(FORBIDDEN, Attached::OnDemand);
        let lines = addresses.iter().map(|it| (*it, (line(), Want::default())));
        let now = Instant::now();
        Self {
            lines: gather::map(lines),
            resident,
            speed,
            active: None,
            open: None,
            heard: now,
            paused: now,
            asked: 0,
            again: None,
        }
    }

    /// The lines, by the addresses of their nodes.
    pub(super) fn lines(&self) -> Vec<(u8, Line)> {
        self.lines.iter().map(|(at, (line, _))| (*at, line.clone())).collect()
    }

    /// Which console is to be open: the one that somebody insisted on last,
    /// or the one that is, as long as somebody is there who may type. Who only
    /// looks gets what is left: he takes the line from nobody, nor from the
    /// resident console. The console of `master` is the bus itself, and is not
    /// there.
    pub(super) fn choose(&mut self, master: Option<u8>) -> Option<u8> {
        let mut insisted = None;
        // Of those who may type, and of those who only look.
        let mut there = [None; 2];
        let mut still = [None; 2];
        for (address, (line, known)) in &mut self.lines {
            if Some(*address) == master {
                let why = "the bus is on this node's own serial port";
                line.attach(Attached::No(why.into()));
                continue;
            }
            let want = line.want();
            let taken = want.taken > known.taken;
            *known = want;
            let is_open = self.active == Some(*address);
            let counts = [want.typists, want.viewers];
            for (at, count) in counts.into_iter().enumerate() {
                let (Some(there), Some(still)) =
                    (there.get_mut(at), still.get_mut(at))
                else {
                    continue;
                };
                if count > 0 {
                    *there = there.or(Some(*address));
                    *still = still.or(is_open.then_some(*address));
                }
            }
            if want.typists > 0 {
                insisted = insisted.or(taken.then_some(*address));
            }
        }
        let resident = self.resident.filter(|it| Some(*it) != master);
        let [typed, looked_at] = there;
        let [still_typed, still_looked_at] = still;
        let active = insisted
            .or(still_typed)
            .or(typed)
            .or(resident)
            .or(still_looked_at)
            .or(looked_at);
        if active != self.active {
            self.active = active;
            self.again = None;
        }
        for (address, (line, want)) in &self.lines {
            if Some(*address) == active || Some(*address) == master {
                continue;
            }
            line.attach(match active {
                Some(active) if want.viewers > 0 => {
                    let why = format!(
                        "the one console of the bus is open on node \
                         {active:#04x}; who may type and takes this one closes \
                         that"
                    );
                    Attached::No(why.into())
                }
                _ => Attached::OnDemand,
            });
        }
        active
    }

    /// Whether the console can be closed now for a look at a node.
    pub(super) fn may_pause(&mut self, now: Instant) -> bool {
        let Some(open) = self.open else {
            // It was closed for a look a moment ago, or cannot be opened.
            self.asked = self.asked.saturating_add(1);
            return self.asked < IN_A_BREAK || self.again.is_some();
        };
        let quiet = now - self.heard >= QUIET
            && self.lines.get(&open).is_some_and(|(line, _)| line.is_quiet());
        let since = now - self.paused;
        let may = since >= BUSY_BREAK || (quiet && since >= BREAK);
        if may {
            self.asked = 0;
        }
        may
    }

    /// Serves the active console for a moment, `length` at most.
    pub(super) fn serve(&mut self, wire: &mut Wire, length: Duration) {
        let Some(active) = self.active else { return };
        if self.open != Some(active) {
            self.pause(wire);
            self.open(active, wire, length);
        }
        let Some((line, _)) = self.lines.get(&active) else { return };
        if self.open.is_none() {
            return;
        }
        let mut buffer = [0; 1024];
        let heard = wire.type_in(&line.typed(AT_ONCE));
        let heard = heard.and_then(|()| {
            let patience =
                if line.is_quiet() { PATIENCE } else { Duration::ZERO };
            wire.hear(&mut buffer, patience.min(length))
        });
        match heard {
            Ok(0) => {}
            Ok(count) => {
                self.heard = Instant::now();
                line.feed(buffer.get(..count).unwrap_or_default());
            }
            Err(error) => {
                let why = format!("the bus failed: {error}");
                line.attach(Attached::No(why.into()));
                self.open = None;
                self.again = Some(Instant::now() + AGAIN);
            }
        }
    }

    fn open(&mut self, address: u8, wire: &mut Wire, length: Duration) {
        let now = Instant::now();
        if let Some(again) = self.again.filter(|again| *again > now) {
            pause((again - now).min(PATIENCE).min(length));
            return;
        }
        let Some((line, _)) = self.lines.get(&address) else { return };
        match wire.open_console(address, self.speed) {
            Ok(came) => {
                self.again = None;
                self.open = Some(address);
                line.attach(Attached::Yes);
                line.feed(&came);
                if !came.is_empty() {
                    self.heard = now;
                }
            }
            Err(error) => {
                debug!(address, %error, "console not opened");
                self.again = Some(Instant::now() + AGAIN);
                let why = format!("the console cannot be opened: {error}");
                line.attach(Attached::No(why.into()));
            }
        }
    }

    /// Closes the console for a moment, of which those who look hear nothing.
    pub(super) fn pause(&mut self, wire: &mut Wire) {
        let Some(open) = self.open.take() else { return };
        if let Some((line, _)) = self.lines.get(&open) {
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = wire.hear(&mut buffer, UNDER_WAY) {
                line.feed(buffer.get(..count).unwrap_or_default());
                if count < buffer.len() {
                    break;
                }
            }
        }
        wire.hang_up();
        self.paused = Instant::now();
    }

    /// Closes the console for a power command: what was typed is not sent.
    pub(super) fn suspend(&mut self, wire: &mut Wire) {
        self.pause(wire);
        let line = self.active.and_then(|active| self.lines.get(&active));
        if let Some((line, _)) = line
            && line.attached() == Attached::Yes
        {
            let why = "the console is closed for a power command";
            line.attach(Attached::No(why.into()));
        }
    }
}
