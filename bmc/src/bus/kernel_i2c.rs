//! The kernel's I²C buses, `/dev/i2c-*`.

use std::{
    io,
    path::{Path, PathBuf},
};

use i2cdev::{
    core::{I2CDevice as _, I2CMessage as _, I2CTransfer as _},
    linux::{LinuxI2CDevice, LinuxI2CMessage},
};

use super::i2c::{BLOCK, Call, SmBus};

/// A bus of the kernel. It is opened at the first call, and anew after the
/// adapter was unplugged.
#[derive(Debug)]
pub struct KernelI2c {
    path: PathBuf,
    open: Option<(u8, Device)>,
}

struct Device(LinuxI2CDevice);

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Device")
    }
}

impl KernelI2c {
    /// The bus whose device file is at `path`.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None }
    }

    fn device(&mut self, address: u8) -> io::Result<&mut LinuxI2CDevice> {
        let device = match self.open.take() {
            Some((at, device)) if at == address => device,
            Some((_, mut device)) => {
                device.0.set_slave_address(address.into())?;
                device
            }
            None => {
                Device(LinuxI2CDevice::new(&self.path, u16::from(address))?)
            }
        };
        Ok(&mut self.open.insert((address, device)).1.0)
    }

    fn carry_out(&mut self, address: u8, call: &Call) -> io::Result<Vec<u8>> {
        let part = self.device(address)?;
        let none = |()| Vec::new();
        let one = |byte: u8| vec![byte];
        Ok(match call {
            Call::Quick => part.smbus_write_quick(false).map(none)?,
            Call::ReceiveByte => part.smbus_read_byte().map(one)?,
            Call::SendByte(value) => part.smbus_write_byte(*value).map(none)?,
            Call::ReadByte(register) => {
                part.smbus_read_byte_data(*register).map(one)?
            }
            Call::WriteByte(register, value) => {
                part.smbus_write_byte_data(*register, *value).map(none)?
            }
            Call::ReadWord(register) => {
                let word = part.smbus_read_word_data(*register)?;
                word.to_le_bytes().to_vec()
            }
            Call::WriteWord(register, value) => {
                part.smbus_write_word_data(*register, *value).map(none)?
            }
            Call::ReadBlock(register, count) => {
                part.smbus_read_i2c_block_data(*register, *count)?
            }
            Call::WriteBlock(register, bytes) => {
                part.smbus_write_i2c_block_data(*register, bytes).map(none)?
            }
            Call::Read(count) => {
                let mut answer = vec![0; usize::from(*count)];
                part.read(&mut answer)?;
                answer
            }
            Call::Write(bytes) => part.write(bytes).map(none)?,
            Call::WriteRead(bytes, count) => {
                let mut answer = vec![0; usize::from(*count)];
                let mut messages = [
                    LinuxI2CMessage::write(bytes),
                    LinuxI2CMessage::read(&mut answer),
                ];
                part.transfer(&mut messages)?;
                answer
            }
        })
    }
}

impl SmBus for KernelI2c {
    fn call(&mut self, address: u8, call: &Call) -> io::Result<Vec<u8>> {
        if !(0x03..=0x77).contains(&address) {
            let reason = format!("{address:#04x} is no address of a part");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let long = match call {
            Call::ReadBlock(_, count) => usize::from(*count) > BLOCK,
            Call::WriteBlock(_, bytes) => bytes.len() > BLOCK,
            _ => false,
        };
        if long {
            let reason = format!("a block has at most {BLOCK} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let answer = self.carry_out(address, call);
        // A part that does not answer leaves the adapter as it was; whatever
        // else goes wrong may be the adapter itself.
        if let Err(error) = &answer
            && !matches!(error.raw_os_error(), Some(NXIO | REMOTE_IO))
        {
            self.open = None;
        }
        answer
    }
}

/// `ENXIO` and `EREMOTEIO`: what adapters say when nobody answers
/// (`Documentation/i2c/fault-codes.rst`).
const NXIO: i32 = 6;
const REMOTE_IO: i32 = 121;
