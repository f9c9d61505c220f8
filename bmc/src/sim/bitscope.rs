//! A simulated `BitScope` control bus: the BMC of the manager's node, and
//! behind it those of up to 128 nodes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{serial::SerialPart, terminal::Terminal};
use crate::gather;

/// Closes the pipe; the one byte that the master always takes.
const CLOSE: u8 = 0x07;
/// What a rack from the factory is unlocked with.
const UNLOCK: &[u8] = b"UnLockMe";
/// The console takes a byte in this time; what certainly came faster is lost.
const PACE: Duration = Duration::from_millis(2);
/// More than this is not kept for somebody who does not read.
const UNREAD: usize = 64 << 10;
/// How many commands are remembered.
const LOG: usize = 4096;
/// The most nodes that the bus has addresses for.
pub const NODES: u8 = 128;

/// How a node misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It says nothing at all.
    Silent,
    /// It repeats the command and says nothing else.
    EchoOnly,
    /// It says what makes no sense.
    Garbage,
    /// It answers with its neighbour's address.
    WrongAddress,
    /// It is in a state that nobody has heard of.
    UnknownState,
    /// It takes power commands and stays as it is.
    Stuck,
}

/// A power command that reached a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switched {
    /// When.
    pub at: Instant,
    /// Which node.
    pub address: u8,
    /// On, or off.
    pub on: bool,
}

/// The bus. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Rack {
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
struct World {
    nodes: BTreeMap<u8, Node>,
    /// The node whose serial port the bus is on.
    master: u8,
    unlock: Vec<u8>,
    locked: bool,
    hung: bool,
    /// The end of what came while locked.
    tail: VecDeque<u8>,
    /// `vmInput`.
    input: u8,
    pipe: Option<u8>,
    console: bool,
    /// When the console was sent a byte, at the earliest.
    typed: Option<Instant>,
    /// When the line was looked at, the last time first.
    looks: [Instant; 3],
    out: VecDeque<u8>,
    log: VecDeque<Switched>,
}

#[derive(Debug)]
struct Node {
    on: bool,
    terminal: Terminal,
    fault: Option<Fault>,
    /// For the next command only.
    once: Option<Fault>,
    /// What its console was sent.
    heard: Vec<u8>,
}

impl Node {
    fn new(address: u8) -> Self {
        Self {
            on: true,
            terminal: Terminal::new(&format!("node-{address:02x}")),
            fault: None,
            once: None,
            heard: Vec::new(),
        }
    }

    fn switch(&mut self, on: bool) {
        self.on = on;
        self.terminal.switch(on);
    }
}

impl Rack {
    /// A locked bus of nodes at the addresses from 0, all on. The manager's is
    /// the one at 0.
    #[must_use]
    pub fn new(nodes: u8) -> Self {
        let node = |address| (address, Node::new(address));
        let world = World {
            nodes: gather::map((0..nodes.min(NODES)).map(node)),
            master: 0,
            unlock: UNLOCK.to_vec(),
            locked: true,
            hung: false,
            tail: VecDeque::new(),
            input: 0,
            pipe: None,
            console: false,
            typed: None,
            looks: [Instant::now(); 3],
            out: VecDeque::new(),
            log: VecDeque::new(),
        };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self, address: u8, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.lock().nodes.get_mut(&address) {
            change(node);
        }
    }

    /// Gives the node power, or takes it, without any command.
    pub fn set(&self, address: u8, on: bool) {
        self.node(address, |node| node.switch(on));
    }

    /// Whether the node has power.
    #[must_use]
    pub fn is_on(&self, address: u8) -> bool {
        self.lock().nodes.get(&address).is_some_and(|node| node.on)
    }

    /// Lets the node misbehave from now on, or no more.
    pub fn fault(&self, address: u8, fault: Option<Fault>) {
        self.node(address, |node| node.fault = fault);
    }

    /// Lets the node misbehave for one command.
    pub fn fail_next(&self, address: u8, fault: Fault) {
        self.node(address, |node| node.once = Some(fault));
    }

    /// Lets the bus take everything and say nothing, or no more.
    pub fn hang(&self, hung: bool) {
        self.lock().hung = hung;
    }

    /// Locks the bus, as after a loss of power.
    pub fn lock_up(&self) {
        let mut world = self.lock();
        world.locked = true;
        world.pipe = None;
    }

    /// Leaves a pipe to the node open, and its console, as a program that
    /// was killed does.
    pub fn leave_open(&self, address: u8, console: bool) {
        let mut world = self.lock();
        world.pipe = Some(address);
        world.console = console;
    }

    /// Changes what the bus is unlocked with.
    pub fn unlock_with(&self, secret: &[u8]) {
        self.lock().unlock = secret.to_vec();
    }

    /// The power commands that reached nodes, the oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<Switched> {
        self.lock().log.iter().copied().collect()
    }

    /// What the console of the node was sent.
    #[must_use]
    pub fn heard(&self, address: u8) -> Vec<u8> {
        let world = self.lock();
        world.nodes.get(&address).map(|n| n.heard.clone()).unwrap_or_default()
    }
}

impl SerialPart for Rack {
    fn receive(&mut self, bytes: &[u8]) {
        let mut world = self.lock();
        let since = world.look();
        for byte in bytes {
            world.take(*byte, since);
        }
    }

    fn send(&mut self) -> Vec<u8> {
        let mut world = self.lock();
        world.look();
        world.overhear();
        world.out.drain(..).collect()
    }
}

impl World {
    /// Notes that the line is looked at, and says since when what comes now
    /// may have been there: one who is not given the processor for a while
    /// finds together what was sent one after the other.
    fn look(&mut self) -> Instant {
        let [last, before, since] = self.looks;
        self.looks = [Instant::now(), last, before];
        since
    }

    fn take(&mut self, byte: u8, since: Instant) {
        if self.hung {
            return;
        }
        if byte == CLOSE {
            self.pipe = None;
            self.console = false;
            return;
        }
        if self.locked {
            self.tail.push_back(byte);
            if self.tail.len() > self.unlock.len() {
                self.tail.pop_front();
            }
            if self.tail.iter().eq(&self.unlock) {
                self.locked = false;
                self.tail.clear();
            }
            return;
        }
        match self.pipe {
            Some(address) if self.console => {
                self.console_takes(address, byte, since);
            }
            Some(address) => self.slave_takes(address, byte),
            None => self.master_takes(byte),
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        let room = UNREAD.saturating_sub(self.out.len());
        self.out.extend(bytes.iter().take(room));
    }

    /// Data entry; whether `byte` was a part of it.
    fn enter(&mut self, byte: u8) -> bool {
        match byte {
            b'[' => self.input = 0,
            b']' => {}
            _ => {
                let digit = char::from(byte).to_digit(16);
                let digit = digit.and_then(|digit| u8::try_from(digit).ok());
                let Some(digit) = digit else { return false };
                self.input = (self.input << 4) | digit;
                self.say(&[byte]);
            }
        }
        true
    }

    fn master_takes(&mut self, byte: u8) {
        if self.enter(byte) {
            return;
        }
        self.say(&[byte]);
        let master = self.master;
        match byte {
            b'|' => self.pipe = Some(self.input),
            b'=' => {
                let line = self.status(master, "00", master);
                self.say(line.as_bytes());
            }
            b'/' => self.switch(master, true),
            b'\\' => self.switch(master, false),
            _ => {}
        }
    }

    fn slave_takes(&mut self, address: u8, byte: u8) {
        let Some(node) = self.nodes.get_mut(&address) else { return };
        let command = matches!(byte, b'=' | b'/' | b'\\' | b'~');
        let once = if command { node.once.take() } else { None };
        let fault = once.or(node.fault);
        if fault == Some(Fault::Silent) || self.enter(byte) {
            return;
        }
        self.say(&[byte]);
        match (byte, fault) {
            (b'=', Some(Fault::EchoOnly))
            | (b'/' | b'\\', Some(Fault::Stuck)) => {}
            (b'=', Some(Fault::Garbage)) => self.say(b"\n\xff\x00zz 0!\n"),
            (b'=', Some(Fault::WrongAddress)) => {
                let line = self.status(address, "ff", address ^ 1);
                self.say(line.as_bytes());
            }
            (b'=', Some(Fault::UnknownState)) => {
                let line = format!("\n{address:02x} ff 7 26 98\n");
                self.say(line.as_bytes());
            }
            (b'=', _) => {
                let line = self.status(address, "ff", address);
                self.say(line.as_bytes());
            }
            (b'/', _) => self.switch(address, true),
            (b'\\', _) => self.switch(address, false),
            (b'~', _) => {
                self.console = true;
                if let Some(node) = self.nodes.get_mut(&address) {
                    // What was said to nobody is lost.
                    node.terminal.send();
                }
            }
            _ => {}
        }
    }

    /// The line of status of a node, as `master` or `ff` for a slave, under
    /// the address `says`.
    fn status(&self, address: u8, role: &str, says: u8) -> String {
        let on = self.nodes.get(&address).is_some_and(|node| node.on);
        // Who asks runs on it.
        let on = on || address == self.master;
        // Counts that differ from node to node, and are none without power.
        let (state, current, fan) =
            if on { (1, 0x20 + address % 16, 0x98) } else { (0, 0, 0) };
        format!("\n{says:02x} {role} {state} {current:02x} {fan:02x}\n")
    }

    fn switch(&mut self, address: u8, on: bool) {
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(Switched { at: Instant::now(), address, on });
        if let Some(node) = self.nodes.get_mut(&address) {
            node.switch(on);
        }
    }

    fn console_takes(&mut self, address: u8, byte: u8, since: Instant) {
        let earliest = self.typed.map_or(since, |at| since.max(at + PACE));
        if earliest > Instant::now() {
            return;
        }
        self.typed = Some(earliest);
        let Some(node) = self.nodes.get_mut(&address) else { return };
        if node.on && node.heard.len() < UNREAD {
            node.heard.push(byte);
            node.terminal.receive(&[byte]);
        }
    }

    /// What the open console says.
    fn overhear(&mut self) {
        let open = self.pipe.filter(|_| self.console && !self.hung);
        let node = open.and_then(|open| self.nodes.get_mut(&open));
        if let Some(node) = node {
            let said = node.terminal.send();
            self.say(&said);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rack: &mut Rack, bytes: &[u8]) -> String {
        rack.receive(bytes);
        String::from_utf8_lossy(&rack.send()).into_owned()
    }

    #[test]
    fn answers_as_the_captured_rack_did() {
        let mut rack = Rack::new(24);
        assert_eq!(told(&mut rack, b"[04]|="), "", "it is locked");
        rack.receive(b"\x07UnLockMe");
        assert_eq!(told(&mut rack, b"="), "=\n00 00 1 20 98\n");
        assert_eq!(told(&mut rack, b"[04]|="), "04|=\n04 ff 1 24 98\n");
        // All that follows goes to the node, until the pipe is closed.
        assert_eq!(told(&mut rack, b"\\="), "\\=\n04 ff 0 00 00\n");
        assert!(!rack.is_on(4));
        assert_eq!(told(&mut rack, b"\x07="), "=\n00 00 1 20 98\n");
        assert_eq!(told(&mut rack, b"[30]|="), "30|", "nobody is there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_console_loses_what_comes_too_fast() {
        let mut rack = Rack::new(4);
        rack.receive(b"UnLockMe[02]|[00]~");
        assert_eq!(told(&mut rack, b""), "02|00~", "nobody had asked");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(told(&mut rack, b"").ends_with("login: "));
        for _ in 0..3 {
            told(&mut rack, b"");
        }
        rack.receive(b"ab");
        tokio::time::advance(PACE).await;
        rack.receive(b"\\");
        assert_eq!(rack.heard(2), b"a\\");
        // What may have waited is not too fast.
        tokio::time::advance(PACE * 3).await;
        rack.receive(b"cde");
        assert_eq!(rack.heard(2), b"a\\cde");
        assert!(rack.is_on(2), "a console takes no commands");
    }
}
