//! Serial lines.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    os::fd::{AsRawFd as _, BorrowedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use serialport::{ClearBuffer, SerialPort as _, TTYPort};

use super::wake::Wake;

/// A line of bytes to a part: a UART, a USB converter, or a simulated one.
pub trait SerialLink: fmt::Debug + Send {
    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// What the line said; after an error it is opened anew.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Takes what has come, waiting for the first byte at most `patience`;
    /// says how many bytes, 0 for silence.
    ///
    /// # Errors
    /// What the line said; after an error it is opened anew.
    fn read(
        &mut self,
        buffer: &mut [u8],
        patience: Duration,
    ) -> io::Result<usize>;

    /// Forgets what came and was not taken.
    ///
    /// # Errors
    /// What the line said.
    fn clear(&mut self) -> io::Result<()>;

    /// Waits until somebody is woken, or for `patience`; on a line of the
    /// kernel until something came, too.
    ///
    /// # Errors
    /// What the line said; after an error it is opened anew.
    fn wait(&mut self, wake: &Wake, patience: Duration) -> io::Result<()> {
        wake.wait(None, patience)
    }
}

/// How long a write may take; no line here is that slow.
const WRITING: Duration = Duration::from_secs(2);

/// A serial port of the kernel: 8 data bits, no parity, 1 stop bit, no flow
/// control. It is opened at the first use, exclusively, and anew after it was
/// unplugged.
#[derive(Debug)]
pub struct KernelSerial {
    path: PathBuf,
    baud: u32,
    port: Option<TTYPort>,
}

impl KernelSerial {
    /// The port at `path` with `baud` bits a second.
    #[must_use]
    pub fn new(path: &Path, baud: u32) -> Self {
        Self { path: path.to_owned(), baud, port: None }
    }

    fn open(&self) -> io::Result<TTYPort> {
        let path = self.path.to_string_lossy();
        let opened = serialport::new(path, self.baud).open_native();
        opened.map_err(|error| {
            let error = io::Error::from(error);
            let text = format!("{}: {error}", self.path.display());
            io::Error::new(error.kind(), text)
        })
    }

    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut TTYPort) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut port = match self.port.take() {
            Some(port) => port,
            None => self.open()?,
        };
        let done = work(&mut port)?;
        self.port = Some(port);
        Ok(done)
    }
}

impl SerialLink for KernelSerial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|port| {
            port.set_timeout(WRITING)?;
            port.write_all(bytes)
        })
    }

    fn read(
        &mut self,
        buffer: &mut [u8],
        patience: Duration,
    ) -> io::Result<usize> {
        self.with(|port| {
            port.set_timeout(patience)?;
            match port.read(buffer) {
                Ok(0) => Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(0),
                other => other,
            }
        })
    }

    fn clear(&mut self) -> io::Result<()> {
        self.with(|port| Ok(port.clear(ClearBuffer::Input)?))
    }

    #[expect(unsafe_code, reason = "a `TTYPort` lends no `BorrowedFd`")]
    fn wait(&mut self, wake: &Wake, patience: Duration) -> io::Result<()> {
        self.with(|port| {
            // SAFETY: the port is open, and stays so during the call.
            let line = unsafe { BorrowedFd::borrow_raw(port.as_raw_fd()) };
            wake.wait(Some(line), patience)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_through_a_tty_and_sees_it_go_and_come_back() {
        let (mut far, near) = TTYPort::pair().unwrap();
        let path = PathBuf::from(near.name().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ttyUSB0");
        std::os::unix::fs::symlink(&path, &file).unwrap();
        drop(near);
        let mut line = KernelSerial::new(&file, 115_200);
        let mut buffer = [0; 16];
        let patience = Duration::from_millis(20);
        assert_eq!(line.read(&mut buffer, patience).unwrap(), 0);
        line.write(b"=").unwrap();
        let mut got = [0; 1];
        far.set_timeout(WRITING).unwrap();
        far.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"=");
        assert_eq!(far.baud_rate().unwrap(), 115_200);
        far.write_all(b"04").unwrap();
        assert_eq!(line.read(&mut buffer, WRITING).unwrap(), 2);
        // The converter is unplugged, and plugged in again as another.
        drop(far);
        assert!(line.read(&mut buffer, patience).is_err());
        let (mut far, near) = TTYPort::pair().unwrap();
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(near.name().unwrap(), &file).unwrap();
        drop(near);
        line.write(b"/").unwrap();
        far.set_timeout(WRITING).unwrap();
        far.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"/");
    }
}
