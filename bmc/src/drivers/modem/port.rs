//! The port of a modem on USB: that of its interfaces which answers. Their
//! names move with what else is plugged in.

use std::{fs, io, path::Path, time::Duration};

use super::{at::At, vendor::VENDORS};
use crate::{
    bus::serial::{KernelSerial, SerialLink},
    drivers::tree::Tree,
};

/// Any rate will do on USB.
const BAUD: u32 = 115_200;
/// The most ports that are tried.
const MOST: usize = 16;

/// The port of the modem on USB, looked for at the first use, and anew after
/// a failure.
#[derive(Debug)]
pub(crate) struct UsbPort {
    tree: Tree,
    found: Option<KernelSerial>,
}

impl UsbPort {
    /// Looks below the root of `tree`.
    pub(crate) fn new(tree: Tree) -> Self {
        Self { tree, found: None }
    }

    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut KernelSerial) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut port = match self.found.take() {
            Some(port) => port,
            None => self.look()?,
        };
        let done = work(&mut port)?;
        self.found = Some(port);
        Ok(done)
    }

    fn look(&self) -> io::Result<KernelSerial> {
        let names = ports(&self.tree.path("/sys/bus/usb/devices"));
        for name in names.iter().take(MOST) {
            let path = self.tree.path(&format!("/dev/{name}"));
            let far = Box::new(KernelSerial::new(&path, BAUD));
            if At::new(far).greet().is_ok() {
                return Ok(KernelSerial::new(&path, BAUD));
            }
        }
        let reason = if names.is_empty() {
            "no modem of a known maker is on USB".to_owned()
        } else {
            format!("none of {} answers `AT`", names.join(", "))
        };
        Err(io::Error::new(io::ErrorKind::NotFound, reason))
    }
}

/// The serial ports of the interfaces of known makers' devices.
fn ports(devices: &Path) -> Vec<String> {
    let children = |path: &Path| {
        let read = fs::read_dir(path).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            read.map(|it| it.file_name().to_string_lossy().into()).collect();
        names.sort();
        names
    };
    let mut ports = Vec::new();
    let all = children(devices);
    for device in &all {
        let maker = fs::read_to_string(devices.join(device).join("idVendor"));
        let maker = maker.unwrap_or_default();
        if !VENDORS.iter().any(|vendor| vendor.usb == maker.trim()) {
            continue;
        }
        // `1-1.2:1.3` is an interface of `1-1.2`.
        let of = format!("{device}:");
        for interface in all.iter().filter(|it| it.starts_with(&of)) {
            let folder = devices.join(interface);
            for name in
                children(&folder).iter().chain(&children(&folder.join("tty")))
            {
                if name.starts_with("ttyUSB") || name.starts_with("ttyACM") {
                    ports.push(name.clone());
                }
            }
        }
    }
    ports
}

impl SerialLink for UsbPort {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|port| port.write(bytes))
    }

    fn read(
        &mut self,
        buffer: &mut [u8],
        patience: Duration,
    ) -> io::Result<usize> {
        self.with(|port| port.read(buffer, patience))
    }

    fn clear(&mut self) -> io::Result<()> {
        self.with(KernelSerial::clear)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sim::{
        modem::{Maker, Modem},
        serial::{Pty, SerialPart},
    };

    #[derive(Debug)]
    struct Deaf;

    impl SerialPart for Deaf {
        fn receive(&mut self, _: &[u8]) {}

        fn send(&mut self) -> Vec<u8> {
            Vec::new()
        }
    }

    #[test]
    fn the_interface_that_answers_is_the_port() {
        let root = tempfile::tempdir().unwrap();
        let devices = root.path().join("sys/bus/usb/devices");
        let make = |path: &str| {
            fs::create_dir_all(devices.join(path)).unwrap();
        };
        for path in ["1-1:1.0/ttyUSB0", "1-2:1.0/ttyUSB1", "1-2:1.3/ttyUSB2"] {
            make(path);
        }
        make("1-1");
        make("1-2");
        fs::write(devices.join("1-1/idVendor"), "0403\n").unwrap();
        fs::write(devices.join("1-2/idVendor"), "2c7c\n").unwrap();
        assert_eq!(ports(&devices), ["ttyUSB1", "ttyUSB2"]);
        let mut port = UsbPort::new(Tree::new(root.path()));
        let error = port.write(b"AT\r").unwrap_err().to_string();
        assert_eq!(error, "none of ttyUSB1, ttyUSB2 answers `AT`");
        fs::create_dir(root.path().join("dev")).unwrap();
        let deaf = Pty::serve(Box::new(Deaf)).unwrap();
        let modem = Modem::new(Maker::Quectel);
        let modem = Pty::serve(Box::new(modem)).unwrap();
        for (name, pty) in [("ttyUSB1", &deaf), ("ttyUSB2", &modem)] {
            symlink(pty.path(), root.path().join("dev").join(name)).unwrap();
        }
        let mut at = At::new(Box::new(port));
        assert_eq!(at.ask("AT+GMM").unwrap(), ["EC25"]);
    }
}
