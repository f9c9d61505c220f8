//! What the kernel only does by `ioctl`: properties of the firmware of a
//! Raspberry Pi, and hardware watchdogs. The one place of the agent that is
//! not checked by the compiler.

#![expect(
    unsafe_code,
    reason = "an ioctl is as safe as its number and the shape of its argument"
)]

use std::{fs::File, io};

use rustix::ioctl::{Getter, Opcode, Updater, ioctl, opcode};

/// 32-bit words of a message to the firmware.
pub const WORDS: usize = 32;

/// `IOCTL_MBOX_PROPERTY`: `_IOWR(100, 0, char *)` in the kernel's
/// `drivers/char/broadcom/vcio.c`.
const PROPERTY: Opcode = opcode::read_write::<*mut u8>(100, 0);

/// `struct watchdog_info` of `linux/watchdog.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Support {
    /// `WDIOF_…`: what it can do.
    pub options: u32,
    /// Of its firmware.
    pub version: u32,
    /// What it is called, ended by zeros.
    pub identity: [u8; 32],
}

// `WDIOC_…` of `linux/watchdog.h`; the kernel takes the size of `int` for all
// numbers.
const SUPPORT: Opcode = opcode::read::<Support>(b'W', 0);
const BOOT_STATUS: Opcode = opcode::read::<i32>(b'W', 2);
const SET_TIMEOUT: Opcode = opcode::read_write::<i32>(b'W', 6);
const TIMEOUT: Opcode = opcode::read::<i32>(b'W', 7);
const TIME_LEFT: Opcode = opcode::read::<i32>(b'W', 10);

/// Has the firmware of a Raspberry Pi answer `message`, whose first word is its
/// length in bytes, in its place.
///
/// # Errors
/// The message says that it is longer than it is, or what the kernel said.
pub fn property(file: &File, message: &mut [u32; WORDS]) -> io::Result<()> {
    let [length, ..] = *message;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > size_of_val(message) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the kernel copies as many bytes as the first word says in and
    // out, and that many there are.
    let done = unsafe { ioctl(file, Updater::<PROPERTY, _>::new(message)) };
    Ok(done?)
}

fn get<const OPCODE: Opcode, T>(file: &File) -> io::Result<T> {
    // SAFETY: private, and called with numbers above and what the kernel
    // writes for them.
    let got = unsafe { ioctl(file, Getter::<OPCODE, T>::new()) };
    Ok(got?)
}

/// What a watchdog is, and can do.
///
/// # Errors
/// What the kernel said.
pub fn support(file: &File) -> io::Result<Support> {
    get::<SUPPORT, _>(file)
}

/// Why a watchdog says that the machine was started: `WDIOF_…`.
///
/// # Errors
/// What the kernel said.
pub fn boot_status(file: &File) -> io::Result<i32> {
    get::<BOOT_STATUS, _>(file)
}

/// Seconds that a watchdog waits.
///
/// # Errors
/// What the kernel said.
pub fn timeout(file: &File) -> io::Result<i32> {
    get::<TIMEOUT, _>(file)
}

/// Seconds that are left of them.
///
/// # Errors
/// What the kernel said; many watchdogs cannot say it.
pub fn time_left(file: &File) -> io::Result<i32> {
    get::<TIME_LEFT, _>(file)
}

/// Has a watchdog wait for `seconds`, and says how long it will.
///
/// # Errors
/// What the kernel said.
pub fn set_timeout(file: &File, seconds: i32) -> io::Result<i32> {
    let mut value = seconds;
    // SAFETY: the kernel reads and writes an `int`.
    unsafe { ioctl(file, Updater::<SET_TIMEOUT, _>::new(&mut value))? };
    Ok(value)
}
