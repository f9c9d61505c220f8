//! The buses as drivers speak through them.

use std::{fs, io::ErrorKind, thread, time::Duration};

use onprem_bmc::{
    bus::{
        Call, I2cBus, KernelI2c, SmBus as _,
        gpio::{GpioLines as _, KernelGpio, LineName, Polarity},
    },
    model::Quality,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    pause,
    support::rig::{Rig, board},
    variable,
};

#[test]
#[ignore = "needs i2c-stub"]
fn i2c_calls_reach_the_chip_and_errors_are_the_kernels() {
    let path = variable("HIL_I2C");
    let bus = I2cBus::new("stub", Box::new(KernelI2c::new(path.as_ref())));
    let chip = bus.chip(0x41);
    chip.quick().unwrap();
    chip.write_byte(0x80, 0x37).unwrap();
    assert_eq!(chip.read_byte(0x80).unwrap(), 0x37);
    chip.write_word_swapped(0x10, 0x1234).unwrap();
    assert_eq!(chip.read_word_swapped(0x10).unwrap(), 0x1234);
    assert_eq!(chip.read_word(0x10).unwrap(), 0x3412);
    chip.write_block(0x20, &[1, 2, 3, 4]).unwrap();
    assert_eq!(chip.read_block(0x21, 3).unwrap(), [2, 3, 4]);
    chip.send_byte(0x80).unwrap();
    assert_eq!(chip.receive_byte().unwrap(), 0x37);

    let error = bus.chip(0x33).read_byte(0x01).unwrap_err();
    let text = error.to_string();
    let begin = "read register 0x01 at 0x33 on stub: ";
    assert!(text.starts_with(begin), "{text}");
    let code = error.source.raw_os_error();
    assert!(matches!(code, Some(6 | 19 | 121)), "{text}");
    // The bus is none the worse for it.
    assert_eq!(chip.read_byte(0x80).unwrap(), 0x37);
    // This adapter knows no plain I²C, and says so.
    let mut bus = KernelI2c::new(path.as_ref());
    let error = bus.call(0x41, &Call::WriteRead(vec![0], 1)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(95), "{error}");
    let error = bus.call(0x02, &Call::Quick).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
#[ignore = "needs i2c-stub"]
async fn a_part_on_a_kernel_bus_is_read_over_redfish() {
    let path = variable("HIL_I2C");
    let chip = I2cBus::new("stub", Box::new(KernelI2c::new(path.as_ref())));
    let chip = chip.chip(0x48);
    chip.write_word_swapped(0x0f, 0x0117).unwrap();
    // It measures each second, and has done so: 40.5 °C in steps of 1/128 °C.
    chip.write_word_swapped(0x01, 0x2220).unwrap();
    chip.write_word_swapped(0x00, 5184).unwrap();
    let part = |id: &str, address: u8| {
        format!(
            "\n[[part]]\nid = \"{id}\"\nkind = \"tmp117\"\nbus = \"i2c\"\n\
             address = {address}\n"
        )
    };
    let bus = format!("\n[[bus]]\nid = \"i2c\"\ni2c = \"{path}\"\n");
    let parts = part("exhaust", 0x48) + &part("absent", 0x49);
    let rig = Rig::with_board(&(board() + &bus + &parts)).await;
    rig.quality("exhaust", |it| *it == Quality::Good).await;
    rig.quality("absent", |it| matches!(it, Quality::Failed(_))).await;
    let sensor = rig.get("/Chassis/blade/Sensors/exhaust").await;
    assert_eq!(sensor["Reading"].as_f64(), Some(40.5));
    let absent = rig.get("/Chassis/blade/Sensors/absent").await;
    assert_eq!(absent["Reading"], Value::Null);
    assert_eq!(absent["Status"]["Health"], "Critical");
    let why = absent["Status"]["Conditions"].to_string();
    assert!(why.contains("0x49 on i2c"), "{why}");
}

#[test]
#[ignore = "needs gpio-sim"]
fn edges_carry_the_kernels_time_and_a_line_has_one_owner() {
    let far = variable("HIL_GPIO_SYS");
    let line = |name: &str| LineName::Named(name.to_owned());
    let high = Polarity::ActiveHigh;
    let mut input = KernelGpio.input(&line("GPIO6"), high).unwrap();
    assert!(!input.level().unwrap());
    let pull = format!("{far}/sim_gpio6/pull");
    let held = Duration::from_millis(45);
    let pressing = thread::spawn(move || {
        let began = Instant::now();
        fs::write(&pull, "pull-up").unwrap();
        pause(held);
        fs::write(&pull, "pull-down").unwrap();
        began.elapsed()
    });
    let soon = Duration::from_secs(5);
    let [begin, end] = [(); 2].map(|()| input.edge(soon).unwrap().unwrap());
    // However late they were read.
    let longest = pressing.join().unwrap();
    assert!(begin.active && !end.active);
    let width = end.at.checked_sub(begin.at).unwrap();
    assert!((held..=longest).contains(&width), "{width:?} of {longest:?}");
    assert_eq!(input.edge(Duration::from_millis(10)).unwrap(), None);

    let low = Polarity::ActiveLow;
    let value = || fs::read_to_string(format!("{far}/sim_gpio17/value"));
    let mut output = KernelGpio.output(&line("GPIO17"), low, false).unwrap();
    assert_eq!(value().unwrap().trim(), "1");
    output.set(true).unwrap();
    assert_eq!(value().unwrap().trim(), "0");
    let error = KernelGpio.input(&line("GPIO17"), high).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{error}");
    drop(output);
    KernelGpio.input(&line("GPIO17"), high).unwrap();
    let error = KernelGpio.input(&line("GPIO99"), high).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let numbered = LineName::Numbered { chip: "hil-gpio".into(), line: 5 };
    KernelGpio.output(&numbered, high, true).unwrap();
}
