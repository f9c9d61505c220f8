//! Exact transactions with both firmwares, and what breaks.

use super::*;
use crate::{
    bus::{Call, I2cBus},
    sim::{argon::Argon, i2c::SimulatedI2c},
};

fn case(firmware: Firmware, part: Argon) -> (SimulatedI2c, Case) {
    let sim = SimulatedI2c::default();
    sim.attach(ADDRESS, part);
    let bus = I2cBus::new("i2c-1", Box::new(sim.clone()));
    let (chip, wanted) = (bus.chip(ADDRESS), Loop::default());
    let (celsius, written) = (Some(56.0), None);
    (sim, Case { chip, firmware, wanted, celsius, written })
}

fn step(case: &mut Case) -> Result<Option<u8>, String> {
    case.step(Instant::now()).map_err(|error| error.to_string())
}

fn calls(sim: &SimulatedI2c) -> Vec<Call> {
    sim.calls().into_iter().map(|(_, call)| call).collect()
}

#[test]
fn the_old_firmware_gets_percents_and_nothing_else() {
    let (sim, mut case) = case(Firmware::Legacy, Argon::new(false));
    for duty in [100, 30, 30] {
        assert_eq!(step(&mut case), Ok(Some(duty)));
    }
    let quick = Call::Quick;
    let [full, some] = [Call::SendByte(100), Call::SendByte(30)];
    let whole = [quick.clone(), full, quick.clone(), some, quick];
    assert_eq!(calls(&sim), whole);
    case.cut().unwrap();
    assert_eq!(calls(&sim), [Call::SendByte(0xff)]);
}

#[test]
fn the_new_firmware_is_driven_by_its_register() {
    let (sim, mut case) = case(Firmware::Registers, Argon::new(true));
    for duty in [100, 30, 30] {
        assert_eq!(step(&mut case), Ok(Some(duty)));
    }
    let (read, write) = (Call::ReadByte(0x80), Call::WriteByte);
    let whole =
        [read.clone(), write(0x80, 100), read.clone(), write(0x80, 30), read];
    assert_eq!(calls(&sim), whole);
    case.cut().unwrap();
    assert_eq!(calls(&sim), [write(0x86, 1)]);
}

#[test]
fn detection_writes_once_looks_and_restores() {
    let (sim, mut case) = case(Firmware::Unknown, Argon::new(true));
    assert_eq!(step(&mut case), Ok(None));
    case.cut().unwrap();
    assert_eq!(step(&mut case), Ok(None));
    assert_eq!(case.firmware, Firmware::Registers);
    let (read, write) = (Call::ReadByte(0x80), Call::WriteByte);
    let whole = [read.clone(), write(0x80, 1), read, write(0x80, 0)];
    assert_eq!(calls(&sim), whole);

    let (sim, mut old) = self::case(Firmware::Unknown, Argon::new(false));
    step(&mut old).unwrap();
    step(&mut old).unwrap();
    assert_eq!(old.firmware, Firmware::Legacy);
    let orders = |call: &Call| matches!(call, Call::SendByte(0xff));
    assert!(!calls(&sim).iter().any(orders));
}

#[test]
fn a_part_that_comes_back_is_driven_anew() {
    let (sim, mut case) = case(Firmware::Registers, Argon::new(true));
    step(&mut case).unwrap();
    sim.unplug(ADDRESS);
    let error = step(&mut case).unwrap_err();
    let begin = "read register 0x80 at 0x1a on i2c-1: ";
    assert!(error.starts_with(begin), "{error}");
    sim.plug(ADDRESS);
    sim.attach(ADDRESS, Argon::new(true));
    let _ = sim.calls();
    assert_eq!(step(&mut case), Ok(Some(100)));
    assert_eq!(calls(&sim).last(), Some(&Call::WriteByte(0x80, 100)));
    sim.stick(true);
    let error = step(&mut case).unwrap_err();
    assert!(error.contains("0x80 at 0x1a"), "{error}");
    sim.stick(false);
    case.celsius = None;
    assert_eq!(step(&mut case), Ok(Some(100)));
}
