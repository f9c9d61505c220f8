//! Buses: what drivers speak through. Behind each stands the kernel, a
//! simulation, or a recording; a driver cannot tell which.
//!
//! A bus has one owner at a time: whoever holds it speaks, the others wait.
//! Nothing here is called from a request; drivers run on blocking threads.

pub mod gpio;
pub mod i2c;
pub mod ioctl;
pub mod pwm;
pub mod record;
pub mod replay;
pub mod scan;
pub mod serial;
pub mod wake;
pub mod watchdog;

mod kernel_i2c;

pub use self::{
    i2c::{Call, Chip, I2cBus, I2cError, SmBus},
    kernel_i2c::KernelI2c,
};

/// Waits on the thread of a bus, where nothing else runs.
#[expect(
    clippy::disallowed_methods,
    reason = "buses are spoken to on threads of their own"
)]
pub(crate) fn pause(length: std::time::Duration) {
    std::thread::sleep(length);
}
