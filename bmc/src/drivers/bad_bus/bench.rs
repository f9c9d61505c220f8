//! A part on its bus, as the agent asks it.

use std::{collections::BTreeMap, fmt::Write as _, thread};

use super::{Row, Wire};
use crate::{
    boards::{Board as _, Naming, Scan, assembly::Assembly, buses::Tapes},
    bus::Call,
    drivers::{Driver, tree::Tree},
    model::{Id, Quality},
    sim::{i2c::SimulatedI2c, serial::LineFaults},
};

/// The far side of the part's bus.
#[derive(Debug)]
pub(super) enum Far {
    I2c(SimulatedI2c, u8),
    Serial(LineFaults),
    Recorded,
}

impl Far {
    /// Writes down what was said.
    pub(super) fn tell(&self, text: &mut String) {
        let mut say = |line: &str| writeln!(text, "  {line}").unwrap();
        match self {
            Self::Recorded => {}
            Self::Serial(line) => {
                let sent = line.sent().escape_ascii().to_string();
                sent.replace("\\r", "\n").lines().for_each(say);
            }
            Self::I2c(bus, _) => {
                let mut before: (String, usize) = Default::default();
                let calls = bus.calls().into_iter().map(|it| spelt(&it.1));
                for call in calls.chain([String::new()]) {
                    if call == before.0 {
                        before.1 += 1;
                        continue;
                    }
                    match &before {
                        (_, 0) => {}
                        (call, 1) => say(call),
                        (call, times) => say(&format!("{call} ×{times}")),
                    }
                    before = (call, 1);
                }
            }
        }
    }
}

/// A call, with its bytes.
fn spelt(call: &Call) -> String {
    match call {
        // The clock of a UPS is set to what it is.
        Call::WriteBlock(1, bytes) if bytes.get(1) == Some(&33) => {
            "write to 0x01: a frame with the time".to_owned()
        }
        Call::WriteBlock(register, bytes) => {
            format!("write to {register:#04x}: {bytes:02x?}")
        }
        call => call.to_string(),
    }
}

/// A part on its bus, as the agent asks it.
pub(super) struct Bench {
    pub(super) row: Row,
    drivers: Vec<Box<dyn Driver>>,
    sensors: Vec<Id>,
    pub(super) far: Far,
    /// What its sensors say when all is well.
    pub(super) well: BTreeMap<Id, f64>,
    _folder: tempfile::TempDir,
}

/// What sensors said: a value, or why there is none.
pub(super) type Said = Vec<(Id, Result<f64, String>)>;

impl Bench {
    pub(super) fn new(row: Row) -> Self {
        Self::with(row, Tapes::default())
    }

    /// The same where what is said is noted, or played back.
    pub(super) fn with(row: Row, tapes: Tapes) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("board.toml");
        let bus = if row.wire == Wire::Serial { "serial" } else { "i2c" };
        let board = format!(
            "[[system]]\nid = 'node'\nname = 'node'\nboard = {{}}\n\
             power = {{ volts = 5, idle_watts = 3, busy_watts = 6, \
             boot_seconds = 1, shutdown_seconds = 1 }}\n\
             thermal = {{ ambient = 20, capacity = 9, \
             resistance_still = 9, resistance_full = 4, load = [[0, 8]] }}\n\
             [[chassis]]\nid = 'box'\nname = 'box'\nkind = 'blade'\n\
             board = {{}}\nsystems = ['node']\n\
             sensor = [{{ id = 'cpu', name = 'CPU', of = 'node', \
             measures = 'processor_temperature' }}]\n\
             [[bus]]\nid = 'bus'\nsimulated = true\n{bus} = '/dev/bus'\n\
             [[part]]\nid = 'part'\nkind = '{}'\nbus = 'bus'\n\
             chassis = 'box'\n[part.options]\n{}\n",
            row.kind, row.options,
        );
        std::fs::write(&file, board).unwrap();
        let (naming, tree) = (Naming::default(), Tree::new(folder.path()));
        let none = |_| unreachable!("the machine is simulated");
        let replayed = tapes.recording.is_some();
        let board = Assembly::load(&file, &naming, &tree, tapes, none);
        let mut board = board.unwrap();
        let far = match row.wire {
            _ if replayed => Far::Recorded,
            Wire::I2c(address) => {
                Far::I2c(board.buses().i2c("bus").unwrap().clone(), address)
            }
            Wire::Serial => {
                Far::Serial(board.buses().line("bus").unwrap().clone())
            }
        };
        let Scan { inventory, drivers, .. } = board.scan();
        // The machine beside it has a driver as well.
        let of_part = |it: &dyn Driver| {
            it.name().starts_with(row.kind) || it.name().ends_with(" on bus")
        };
        let drivers: Vec<_> =
            drivers.into_iter().filter(|it| of_part(&**it)).collect();
        assert_eq!(drivers.len(), 1, "{row:?}");
        let sensors = inventory.chassis.iter().flat_map(|it| &it.sensors);
        // That of the machine is read by the machine.
        let sensors = sensors.filter(|it| &*it.id != "cpu");
        let sensors = sensors.map(|it| it.id.clone()).collect();
        let well = BTreeMap::new();
        Self { row, drivers, sensors, far, well, _folder: folder }
    }

    /// Asks the part once more, when it is time to.
    pub(super) async fn poll(&mut self) -> Said {
        let mut said = Vec::new();
        for driver in &mut self.drivers {
            // A serial line is waited for by the clock: where time is paused,
            // for ever.
            let batch = match self.row.wire {
                Wire::I2c(_) => driver.poll(),
                Wire::Serial => thread::scope(|scope| {
                    scope.spawn(|| driver.poll()).join().unwrap()
                }),
            };
            for sample in batch.samples {
                let reading = sample.reading;
                let value = match reading.quality {
                    Quality::Failed(why) => Err(why.to_string()),
                    _ => Ok(reading.number().unwrap()),
                };
                said.push((sample.id, value));
            }
            tokio::time::advance(driver.interval()).await;
        }
        for (id, value) in &said {
            if let (Ok(value), Some(well)) = (value, self.well.get(id)) {
                let wrong = (value - well).abs() > self.row.within;
                assert!(!wrong, "{id} is {value}, not {well}");
            }
        }
        said
    }

    /// Waits until all sensors say something, for the first time.
    pub(super) async fn settle(&mut self) {
        for _ in 0..80 {
            for (id, value) in self.poll().await {
                self.well.insert(id, value.unwrap());
            }
            if self.sensors.iter().all(|id| self.well.contains_key(id)) {
                return;
            }
        }
        panic!("{:?} say nothing but {:?}", self.sensors, self.well);
    }

    /// Waits until it says something, all of it right.
    pub(super) async fn recover(&mut self) {
        let mut said = Vec::new();
        for _ in 0..40 {
            said = self.poll().await;
            if !said.is_empty() && said.iter().all(|(_, it)| it.is_ok()) {
                return;
            }
        }
        panic!("it does not come back: {said:?}");
    }

    /// Checks that nothing is said but why, from the first time on.
    pub(super) async fn is_lost(&mut self, why: &str) {
        for first in [true, false] {
            let said = self.poll().await;
            assert!(!said.is_empty() || !first, "nobody says `{why}`");
            for (id, value) in &said {
                let error = value.as_ref().expect_err("nobody is there");
                assert!(error.contains(why), "{id}: {error}");
                self.names(error);
            }
        }
    }

    /// Checks that an error says where it happened, and at what.
    pub(super) fn names(&self, error: &str) {
        let (place, words) = match self.far {
            Far::I2c(_, address) => (
                format!("{address:#04x} on bus"),
                &["register", "byte", "command", "quick", "says"][..],
            ),
            Far::Serial(_) | Far::Recorded => {
                (String::new(), &["the line is not there", "`"][..])
            }
        };
        assert!(error.contains(&place), "{error}");
        assert!(words.iter().any(|it| error.contains(it)), "{error}");
    }
}
