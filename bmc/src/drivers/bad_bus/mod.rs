//! Every part that is spoken to, on buses that misbehave. A new part gets all
//! of it by a line in `parts!`.
//!
//! What holds for all: a value that is said to be good is the right one; what
//! failed is named, with the part, what was said to it, and why it failed; a
//! bus that hangs is asked once a poll; and whatever happened, all is well
//! again once the bus is.

mod bench;

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use self::bench::{Bench, Far};
use crate::{
    boards::{buses::Tapes, part::KINDS},
    bus::{record::Recorder, replay::Recording},
    sim::{i2c::SimulatedI2c, serial::LineFaults},
};

/// A part.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// What board files call it, and what they say of it.
    kind: &'static str,
    options: &'static str,
    wire: Wire,
    /// What another master says between all that the driver says.
    between: &'static [u8],
    /// What he sets otherwise, and what the driver says of it; nothing where
    /// it puts that right without a word.
    theirs: &'static [u8],
    said: &'static str,
    /// What sets it back where the driver is not to do so.
    back: Option<&'static [u8]>,
    /// Whether it is seen that all bytes are 0, that all are 255.
    sees: [bool; 2],
    /// How far a right value may be from what it was at first.
    within: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wire {
    I2c(u8),
    Serial,
}

const fn i2c(
    kind: &'static str,
    address: u8,
    options: &'static str,
    theirs: &'static [u8],
    said: &'static str,
) -> Row {
    Row {
        kind,
        options,
        wire: Wire::I2c(address),
        between: &[0x02],
        theirs,
        said,
        back: None,
        sees: [true, true],
        within: 1e-9,
    }
}

const fn serial(
    kind: &'static str,
    options: &'static str,
    between: &'static [u8],
    theirs: &'static [u8],
) -> Row {
    let wire = Wire::Serial;
    let row = i2c(kind, 0, options, theirs, "");
    Row { wire, between, ..row }
}

/// What an INA says of itself, and where it is told to be off.
const RAIL: &str = "shunt_ohms = 0.1";
const OFF: &[u8] = &[0x00, 0x00, 0x00];
const MENDED: &str = "somebody else set it, it is mended";
/// A request for a number of the UPS, by another program.
const NUMBER_2: &[u8] = &[0x01, 0xcd, 2, 1, 0, 0, 0xc8, 0x9a];

macro_rules! parts {
    ($($name:ident: $row:expr;)*) => {
        /// All of them, with the names of their tests.
        const PARTS: &[(&str, Row)] = &[$((stringify!($name), $row)),*];

        $(#[tokio::test(start_paused = true)]
        async fn $name() {
            misbehave($row).await;
        })*
    };
}

parts! {
    ads1015: i2c("ads1015", 0x48, "channels.0 = {}", &[1, 0xf3, 0x83], "");
    ads1115: i2c(
        "ads1115", 0x48, "channels = { 0 = {}, '2-3' = {} }",
        &[1, 0xf3, 0x83], "",
    );
    // It says nothing of itself, so that nobody sees what it does.
    argon_of_old: Row {
        between: &[55],
        sees: [false, false],
        ..i2c(
            "argon", 0x1a,
            "firmware = 'legacy'\nfollows = 'cpu'\nbutton = 'none'",
            &[10], "",
        )
    };
    argon_with_registers: Row {
        between: &[0x81],
        ..i2c(
            "argon", 0x1a,
            "firmware = 'registers'\nfollows = 'cpu'\nbutton = 'none'",
            &[0x80, 10], "",
        )
    };
    ina219: i2c("ina219", 0x40, RAIL, OFF, MENDED);
    ina226: i2c("ina226", 0x40, RAIL, OFF, MENDED);
    ina3221: i2c(
        "ina3221", 0x40,
        "rails.1 = { shunt_ohms = 0.1 }\nrails.3 = { shunt_ohms = 0.1 }",
        OFF, MENDED,
    );
    lm75: i2c("lm75", 0x48, "", &[1, 1], MENDED);
    lm75b: i2c("lm75", 0x48, "variant = 'lm75b'", &[1, 1], MENDED);
    tmp75: i2c("lm75", 0x48, "variant = 'tmp75'", &[1, 1], MENDED);
    tmp102: i2c("lm75", 0x48, "variant = 'tmp102'", &[1, 1, 0], MENDED);
    // Only a person knows whether it was meant to stand.
    pcf8563: Row {
        back: Some(&[0, 0]),
        // Its second is not the machine's.
        within: 1.5,
        ..i2c("pcf8563", 0x51, "", &[0, 0x20], "is 0x20: it stands")
    };
    sixfab_ups: Row {
        between: NUMBER_2,
        ..i2c("sixfab-ups", 0x41, "", NUMBER_2, "")
    };
    // Nothing that it says of itself is 0 for sure.
    ssd1306: Row {
        between: &[0x00, 0xb5],
        sees: [false, true],
        ..i2c("ssd1306", 0x3c, "", &[0x00, 0xae], "")
    };
    tmp117: i2c("tmp117", 0x48, "", &[1, 0x06, 0x20], MENDED);

    bitscope_capture: Row {
        within: 0.05,
        ..serial(
            "bitscope-capture",
            "inputs = { a = { level = 1.2 }, b = { level = 3.3 } }",
            b"\x00!", b"[21]@[07]s",
        )
    };
    cellular: serial(
        "cellular", "", b"\r\n+CREG: 5\r\n\r\nRING\r\n", b"ATE1\rAT+COPS=2\r",
    );
}

/// Kinds that are not spoken to as these are.
const OTHERS: [&str; 7] = [
    // A thread of its own has the bus: see the tests of its protocol.
    "bitscope",
    // Lines, files and programs of the kernel.
    "gpio-input",
    "gpio-output",
    "jetson",
    "pwm-fan",
    "raspberry-pi",
    // Nobody asks it anything.
    "serial-console",
];

#[test]
fn no_kind_of_part_is_forgotten() {
    let mut listed: Vec<&str> = PARTS.iter().map(|(_, row)| row.kind).collect();
    listed.extend(OTHERS);
    listed.sort_unstable();
    listed.dedup();
    let mut known: Vec<&str> = KINDS.iter().map(|kind| kind.word).collect();
    known.sort_unstable();
    assert_eq!(listed, known);
}

/// What is said to each part, byte by byte, until all that it says is known.
#[tokio::test(start_paused = true)]
async fn exactly_this_is_said_to_them() {
    let mut text = String::new();
    for (name, row) in PARTS {
        let mut bench = Bench::new(*row);
        bench.settle().await;
        writeln!(text, "{name}").unwrap();
        bench.far.tell(&mut text);
    }
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/drivers/bad_bus/said.txt");
    expectorate::assert_contents(file, &text);
}

/// All that can go wrong, one after the other.
async fn misbehave(row: Row) {
    let mut bench = Bench::new(row);
    bench.settle().await;
    match &bench.far {
        Far::I2c(bus, address) => {
            let (bus, address) = (bus.clone(), *address);
            on_i2c(&mut bench, &bus, address).await;
        }
        Far::Serial(line) => {
            let line = line.clone();
            on_serial(&mut bench, &line).await;
        }
        Far::Recorded => {}
    }
}

/// A recording of each part stands for the part, for longer than it is.
#[tokio::test(start_paused = true)]
async fn what_they_said_is_played_back() {
    let folder = tempfile::tempdir().unwrap();
    for (name, row) in PARTS {
        let path = folder.path().join(name);
        let recorder = Some(Recorder::create(&path).unwrap());
        let mut bench = Bench::with(*row, Tapes { recorder, recording: None });
        bench.settle().await;
        for _ in 0..3 {
            bench.poll().await;
        }
        let noted = std::fs::read_to_string(&path).unwrap();
        assert!(!noted.is_empty(), "{name}: nothing is recorded");
        let recording = Some(Recording::read(&path).unwrap());
        let tapes = Tapes { recorder: None, recording };
        let mut replayed = Bench::with(*row, tapes);
        replayed.well = std::mem::take(&mut bench.well);
        let mut heard = BTreeSet::new();
        for _ in 0..40 {
            for (id, said) in replayed.poll().await {
                assert!(said.is_ok(), "{name}: {id}: {said:?}");
                heard.insert(id);
            }
        }
        assert!(!heard.is_empty(), "{name} says nothing");
        assert!(heard.iter().eq(replayed.well.keys()), "{name}: {heard:?}");
    }
}

/// What the kernel says (`Documentation/i2c/fault-codes.rst`).
const AGAIN: i32 = 11;
const BUSY: i32 = 16;
const TIMED_OUT: i32 = 110;
const REMOTE_IO: i32 = 121;

async fn on_i2c(bench: &mut Bench, bus: &SimulatedI2c, address: u8) {
    // It is taken away, and comes back without what it was told.
    bus.unplug(address);
    bench.is_lost(&format!("os error {REMOTE_IO}")).await;
    bus.restart(address);
    bus.plug(address);
    bench.recover().await;

    // It does not answer in time; the kernel has its address; another master
    // wins the bus again and again.
    for errno in [TIMED_OUT, BUSY, AGAIN] {
        bus.fail(address, u32::MAX, errno);
        bench.is_lost(&format!("os error {errno}")).await;
        bus.fail(address, 0, 0);
        bench.recover().await;
    }
    // Once or twice is nothing.
    bus.fail(address, 2, AGAIN);
    let said = bench.poll().await;
    assert!(said.iter().all(|(_, it)| it.is_ok()), "{said:?}");

    // The clock is low: each call costs a second.
    bus.set_patience(Duration::from_millis(1));
    bus.stick(true);
    let _ = bus.calls();
    bench.is_lost(&format!("os error {TIMED_OUT}")).await;
    assert!(bus.calls().len() <= 2, "one for each time it was asked");
    bus.stick(false);
    bench.recover().await;

    // The data line does not move, and the adapter takes that for bytes.
    for (byte, sees) in [0x00, 0xff].into_iter().zip(bench.row.sees) {
        bus.hold(Some(byte));
        let mut seen = false;
        for _ in 0..3 {
            for (_, value) in bench.poll().await {
                if let Err(error) = value {
                    bench.names(&error);
                    seen = true;
                }
            }
            if seen {
                break;
            }
        }
        assert_eq!(seen, sees, "all bytes are {byte:#04x}");
        bus.hold(None);
        bench.recover().await;
    }

    // Another master speaks with it all the time.
    bus.meddle_between(address, bench.row.between);
    for _ in 0..2 {
        bench.poll().await;
    }
    bus.meddle_between(address, &[]);
    bench.recover().await;

    // He sets it otherwise.
    bus.meddle(address, bench.row.theirs);
    let mut errors = String::new();
    for _ in 0..3 {
        for (_, value) in bench.poll().await {
            errors.extend(value.err());
        }
    }
    let said = bench.row.said;
    assert!(errors.contains(said), "`{said}` in {errors}");
    if let Some(back) = bench.row.back {
        bus.meddle(address, back);
    }
    bench.recover().await;
}

async fn on_serial(bench: &mut Bench, line: &LineFaults) {
    // The converter is pulled out; the wire is cut.
    line.unplug(true);
    bench.is_lost("the line is not there").await;
    line.unplug(false);
    bench.recover().await;
    line.silence(true);
    bench.is_lost(" ms").await;
    line.silence(false);
    bench.recover().await;

    // Others' bytes come between, and others speak with it.
    line.disturb(bench.row.between);
    for _ in 0..2 {
        for (_, value) in bench.poll().await {
            if let Err(error) = value {
                bench.names(&error);
            }
        }
    }
    line.disturb(&[]);
    bench.recover().await;
    line.meddle(bench.row.theirs);
    bench.poll().await;
    bench.recover().await;
}
