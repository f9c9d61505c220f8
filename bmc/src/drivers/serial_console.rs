//! A serial port that another machine's console is on: always open, so that
//! what the machine says is kept while nobody looks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use onprem_link::id::device_uuid;
use serde::Deserialize;

use super::{Driver, segment};
use crate::{
    boards::{
        names::{Reference, Referred},
        part::{Fitting, Kind, Part},
    },
    bus::{pause, serial::SerialLink, wake::Wake},
    console::{Attached, Line},
    model::{Id, Inventory, System},
    sim::terminal::Terminal,
};

/// How late what came is seen on a line that cannot wake who waits for it, as a
/// simulated one: while somebody looks at the console, and while nobody does.
const WATCHED: Duration = Duration::from_millis(20);
const ALONE: Duration = Duration::from_millis(200);
/// How long a line that failed is left alone.
const AGAIN: Duration = Duration::from_secs(1);
/// What is typed at a time.
const AT_ONCE: usize = 256;

/// The part for board files.
pub const KIND: Kind = Kind { word: "serial-console", fit };

/// What a board file can say of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Whose console it is.
    system: Id,
    /// The name of a machine of which nothing but its console is known: a
    /// system of its own.
    name: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
    serial_number: Option<String>,
}

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    let id = options.system;
    if id.is_empty() || segment(&id) != *id {
        return Err(format!("`system`: `{id}` cannot be the id of a system"));
    }
    let own = options.name.map(|name| {
        let mut system = System {
            id: id.clone(),
            uuid: device_uuid(&format!("{} {id}", fitting.identity)),
            name,
            ..System::default()
        };
        system.board.manufacturer = options.manufacturer;
        system.board.model = options.model;
        system.board.serial_number = options.serial_number;
        system
    });
    let mut terminal = Terminal::new(&id);
    if let (None, Some(machine)) = (&own, fitting.simulation()) {
        let (machine, id) = (machine.clone(), id.clone());
        terminal = terminal.powered_by(move || machine.has_power(&id));
    }
    let port = fitting.serial(|| terminal)?;
    let why = "the serial port is not open yet";
    let line = Line::new(&[], Attached::No(why.into()));
    let ended = Arc::new(AtomicBool::new(false));
    let wake = Wake::new().map_err(|error| format!("no waker: {error}"))?;
    let waker = wake.clone();
    line.on_wake(move || waker.wake());
    let work = {
        let (line, wake) = (line.clone(), wake.clone());
        let ended = Arc::clone(&ended);
        move || serve(port, &line, &wake, &ended)
    };
    let started = thread::Builder::new().name("console".into()).spawn(work);
    started.map_err(|error| format!("no thread for the console: {error}"))?;
    Ok(Box::new(Fitted { id, own, line, ended, wake }))
}

/// The port on a board.
struct Fitted {
    id: Id,
    /// The system that has nothing else.
    own: Option<System>,
    line: Line,
    ended: Arc<AtomicBool>,
    wake: Wake,
}

impl Drop for Fitted {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.wake.wake();
    }
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        inventory.systems.extend(self.own.clone());
    }

    fn refers(&self) -> Vec<Reference> {
        let name = self.id.clone();
        vec![Reference { key: "system", to: Referred::System, name }]
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        Vec::new()
    }

    fn consoles(&self) -> Vec<(Id, Line)> {
        vec![(self.id.clone(), self.line.clone())]
    }
}

fn serve(
    mut port: Box<dyn SerialLink>,
    line: &Line,
    wake: &Wake,
    ended: &AtomicBool,
) {
    let mut buffer = [0; 4096];
    while !ended.load(Ordering::Relaxed) {
        let typed = line.typed(AT_ONCE);
        let sent = if typed.is_empty() { Ok(()) } else { port.write(&typed) };
        let turn = sent.and_then(|()| {
            let count = port.read(&mut buffer, Duration::ZERO)?;
            line.attach(Attached::Yes);
            line.feed(buffer.get(..count).unwrap_or_default());
            if count > 0 || !line.is_quiet() {
                return Ok(());
            }
            let watched = line.want().viewers > 0;
            port.wait(wake, if watched { WATCHED } else { ALONE })
        });
        if let Err(error) = turn {
            let why = format!("the serial port failed: {error}");
            line.attach(Attached::No(why.into()));
            pause(AGAIN);
        }
    }
}
