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
    let case = Case::new(bus.chip(ADDRESS), firmware);
    (sim, Case { celsius: Some(56.0), ..case })
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

#[test]
fn what_another_master_wrote_is_written_over_and_said_where_it_stays() {
    let (sim, mut case) = case(Firmware::Registers, Argon::new(true));
    for duty in [100, 30, 30] {
        assert_eq!(step(&mut case), Ok(Some(duty)));
    }
    sim.meddle(ADDRESS, &[0x80, 10]);
    let _ = sim.calls();
    assert_eq!(step(&mut case), Ok(Some(100)));
    let written = [Call::ReadByte(0x80), Call::WriteByte(0x80, 100)];
    assert_eq!(calls(&sim), written);
    assert_eq!(step(&mut case), Ok(Some(30)));
    // A bus on which all is 0 takes everything and keeps nothing.
    sim.hold(Some(0));
    step(&mut case).unwrap();
    for _ in 0..2 {
        let error = step(&mut case).unwrap_err();
        let begin = "register 0x80 at 0x1a on i2c-1 is 0, though 100 was \
                     written: ";
        assert!(error.starts_with(begin), "{error}");
    }
    sim.hold(None);
    step(&mut case).unwrap_err();
    for _ in 0..2 {
        assert_eq!(step(&mut case), Ok(Some(30)));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_is_told_again() {
    let (sim, mut case) = case(Firmware::Legacy, Argon::new(false));
    for _ in 0..3 {
        step(&mut case).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let _ = sim.calls();
    sim.meddle(ADDRESS, &[0]);
    for _ in 0..10 {
        step(&mut case).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let mut said = calls(&sim);
    said.retain(|call| *call != Call::Quick);
    assert_eq!(said, [Call::SendByte(30)]);
}
