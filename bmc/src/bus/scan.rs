//! Who answers on an I²C bus: what `i2cdetect` shows.
//!
//! An address is asked in the way that harms least: read where memories are,
//! as a quick write sets their write protection for good; by a quick write, of
//! which nothing but the address is sent, elsewhere. What is known to take even
//! that ill is not asked at all.

use std::{
    collections::BTreeMap, fmt, io, ops::RangeInclusive, time::Duration,
};

use tokio::time::Instant;

use super::{Call, I2cBus, I2cError};

/// The addresses that a part can have; those below and above are for the bus
/// itself (UM10204, section 3.1.12).
pub const ADDRESSES: RangeInclusive<u8> = 0x08..=0x77;

/// Addresses that are left alone, and why.
pub const SPARED: [(u8, &str); 1] = [(
    0x1a,
    "an Argon case may be there: the old firmware of one takes any byte as an \
     order, and 0xff cuts the power",
)];

/// Where a quick write may harm: memories, and what protects them.
const READ: [RangeInclusive<u8>; 2] = [0x30..=0x37, 0x50..=0x5f];

/// How long a bus may take for all addresses. One that works takes less than a
/// tenth of a second; an adapter may wait long at each where nobody is.
const PATIENCE: Duration = Duration::from_secs(8);

/// What is at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nobody answers.
    Nobody,
    /// Somebody answers.
    Somebody,
    /// It is in use, and was not asked: by whom.
    Used(String),
    /// It was left alone: why.
    Spared(&'static str),
}

impl Found {
    /// What the grid shows of it at `address`.
    fn cell(&self, address: u8) -> String {
        match self {
            Self::Nobody => "--".to_owned(),
            Self::Somebody => format!("{address:02x}"),
            Self::Used(_) => "UU".to_owned(),
            Self::Spared(_) => "??".to_owned(),
        }
    }
}

/// What was found on a bus, by address. Its text is the grid of `i2cdetect`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grid(pub BTreeMap<u8, Found>);

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    ")?;
        (0..16).try_for_each(|column| write!(f, " {column:2x}"))?;
        for row in 0..8_u8 {
            write!(f, "\n{row:x}0:")?;
            for column in 0..16 {
                let address = row << 4 | column;
                match self.0.get(&address) {
                    Some(found) => write!(f, " {}", found.cell(address))?,
                    None if address < 0x78 => write!(f, "   ")?,
                    None => {}
                }
            }
        }
        for (address, found) in &self.0 {
            match found {
                Found::Used(by) => write!(f, "\n{address:#04x}: used by {by}")?,
                Found::Spared(why) => {
                    write!(f, "\n{address:#04x}: left alone: {why}")?;
                }
                Found::Nobody | Found::Somebody => {}
            }
        }
        Ok(())
    }
}

/// What the kernel says where nobody answers: `ENXIO`, `EREMOTEIO`, and `EIO`
/// from adapters that know no better.
const NOBODY: [i32; 3] = [6, 121, 5];
/// A driver of the kernel has the address (`EBUSY`).
const BUSY: i32 = 16;
/// The adapter cannot do that (`EOPNOTSUPP`).
const UNABLE: i32 = 95;

/// Looks who is on `bus`; who has an address of `used` is not asked.
///
/// # Errors
/// The bus does not work: it is stuck, there is none, or it took more than
/// eight seconds. Nothing more was asked then.
pub fn scan(
    bus: &I2cBus,
    used: &BTreeMap<u8, String>,
) -> Result<Grid, I2cError> {
    let mut grid = Grid::default();
    let until = Instant::now() + PATIENCE;
    for address in ADDRESSES {
        let spared = SPARED.iter().find(|(spared, _)| *spared == address);
        let found = if let Some(by) = used.get(&address) {
            Found::Used(by.clone())
        } else if let Some((_, why)) = spared {
            Found::Spared(why)
        } else if Instant::now() > until {
            return Err(late(bus, address));
        } else {
            ask(bus, address)?
        };
        grid.0.insert(address, found);
    }
    Ok(grid)
}

fn late(bus: &I2cBus, address: u8) -> I2cError {
    let reason = format!(
        "not asked: the addresses before it took {} s",
        PATIENCE.as_secs()
    );
    I2cError {
        bus: bus.name().clone(),
        address,
        call: Call::Quick,
        source: io::Error::new(io::ErrorKind::TimedOut, reason),
    }
}

fn ask(bus: &I2cBus, address: u8) -> Result<Found, I2cError> {
    let chip = bus.chip(address);
    let reads = READ.iter().any(|range| range.contains(&address));
    let asked = if reads {
        chip.receive_byte().map(drop)
    } else {
        match chip.quick() {
            Err(error) if is(&error.source, &[UNABLE]) => {
                chip.receive_byte().map(drop)
            }
            asked => asked,
        }
    };
    match asked {
        Ok(()) => Ok(Found::Somebody),
        Err(error) if is(&error.source, &NOBODY) => Ok(Found::Nobody),
        Err(error) if is(&error.source, &[BUSY]) => {
            Ok(Found::Used("a driver of the kernel".to_owned()))
        }
        Err(error) => Err(error),
    }
}

fn is(error: &io::Error, codes: &[i32]) -> bool {
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{
        argon::Argon, i2c::SimulatedI2c, ina219::ina219, lm75::Lm75,
    };

    #[test]
    fn asks_each_as_it_can_bear_it_and_leaves_alone_who_cannot() {
        let sim = SimulatedI2c::default();
        sim.attach(0x1a, Argon::new(false));
        sim.attach(0x40, ina219());
        sim.attach(0x48, Lm75::new(false));
        sim.attach(0x50, Lm75::new(false));
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let used = BTreeMap::from([(0x48, "part `cpu`".to_owned())]);
        let grid = scan(&bus, &used).unwrap();
        let calls = sim.calls();
        assert!(calls.iter().all(|(at, _)| !matches!(at, 0x1a | 0x48)));
        assert_eq!(calls.len(), 112 - 2);
        for (at, call) in calls {
            let memory = matches!(at, 0x30..=0x37 | 0x50..=0x5f);
            let wanted = if memory { Call::ReceiveByte } else { Call::Quick };
            assert_eq!(call, wanted, "{at:#04x}");
        }
        let shown = grid.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines.first(),
            Some(&"      0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f",)
        );
        let row = |n: usize| *lines.get(n).unwrap();
        assert!(row(2).starts_with("10: -- -- -- -- -- -- -- -- -- -- ?? --"));
        let forties = "40: 40 -- -- -- -- -- -- -- UU -- -- -- -- -- -- --";
        assert_eq!(row(5), forties);
        assert!(row(1).starts_with("00:                         -- --"));
        assert_eq!(row(8), "70: -- -- -- -- -- -- -- --");
        assert!(row(9).starts_with("0x1a: left alone: an Argon case"));
        assert_eq!(row(10), "0x48: used by part `cpu`");
    }

    #[test]
    fn a_bus_that_is_stuck_is_asked_once() {
        let sim = SimulatedI2c::default();
        sim.stick(true);
        let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
        let error = scan(&bus, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.starts_with("quick write at 0x08 on i2c-1"), "{error}");
        assert_eq!(sim.calls().len(), 1);
    }
}
