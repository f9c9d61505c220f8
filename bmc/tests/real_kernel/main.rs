//! A real kernel, as the virtual machine of `conformance/hil/run` has one; the
//! tests are ignored elsewhere. It has `i2c-stub` with chips (its device file
//! in `HIL_I2C`), `gpio-sim` with lines `GPIO0`… (its folder in sysfs in
//! `HIL_GPIO_SYS`), `uhid`, and the modules that `conformance/test.sh` names.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod buses;
mod cp2112;
mod fabric;
mod fan;
mod hats;
mod shipped;
#[path = "../support/mod.rs"]
mod support;
mod watchdog;

use std::{env, thread, time::Duration};

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

#[expect(clippy::disallowed_methods, reason = "the kernel does not pause")]
fn pause(length: Duration) {
    thread::sleep(length);
}
