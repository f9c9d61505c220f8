//! A CP2112, Silicon Labs' bridge from USB to I²C, that is none: made up
//! through `/dev/uhid`. The kernel's own driver takes it for one, and offers a
//! bus whose far side is in this process.
//!
//! What its reports hold is from AN495, "CP2112 Interface Specification"; what
//! goes through the file, from `linux/uhid.h`.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use onprem_bmc::sim::i2c::I2cPart;
use tokio::time::Instant;

use crate::pause;

/// The parts on a bus by their addresses.
pub(crate) type Parts = BTreeMap<u8, Box<dyn I2cPart>>;

/// A bridge that is plugged in, until it is dropped.
pub(crate) struct Bridge {
    file: Option<File>,
    serving: Option<JoinHandle<()>>,
}

/// How many there were.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// How long the kernel may take to find it.
const FOUND: Duration = Duration::from_secs(20);

impl Bridge {
    /// Plugs one in, with `parts` on its bus. `bus` leads to it then, whatever
    /// number the kernel gives it: that of one before it may be another's.
    pub(crate) fn plug_in(bus: &Path, parts: Parts) -> Self {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/uhid")
            .unwrap();
        let serial_number = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
        file.write_all(&create(&serial_number)).unwrap();
        let mut far = Far {
            file: file.try_clone().unwrap(),
            parts,
            config: CONFIG.to_vec(),
            fetched: Vec::new(),
            status: IDLE,
            length: 0,
        };
        let serving = Some(thread::spawn(move || far.serve()));
        let asked = Instant::now();
        let device = loop {
            if let Some(device) = device(&serial_number) {
                break device;
            }
            assert!(asked.elapsed() < FOUND, "no kernel driver for a CP2112");
            pause(Duration::from_millis(20));
        };
        let _ = fs::remove_file(bus);
        symlink(device, bus).unwrap();
        Self { file: Some(file), serving }
    }

    /// Unplugs it. The kernel waits until nobody has its bus open.
    pub(crate) async fn unplug(mut self) {
        let file = self.file.take().unwrap();
        let serving = self.serving.take().unwrap();
        let gone = move || {
            leave(file);
            serving.join().unwrap();
        };
        tokio::task::spawn_blocking(gone).await.unwrap();
    }
}

fn leave(mut file: File) {
    let _ = file.write_all(&DESTROY.to_le_bytes());
}

impl Drop for Bridge {
    /// Unplugs it, whoever still has its bus open.
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            thread::spawn(|| leave(file));
        }
    }
}

/// The device file of the kernel's bus behind the CP2112 with that number.
fn device(serial_number: &str) -> Option<PathBuf> {
    let mut adapters = fs::read_dir("/sys/class/i2c-adapter").ok()?.flatten();
    adapters.find_map(|adapter| {
        let of = adapter.path().canonicalize().ok()?;
        let of = fs::read_to_string(of.parent()?.join("uevent")).ok()?;
        let ours = of
            .lines()
            .any(|line| line.strip_prefix("HID_UNIQ=") == Some(serial_number));
        let file = PathBuf::from("/dev").join(adapter.file_name());
        (ours && file.exists()).then_some(file)
    })
}

/// `enum uhid_event_type`.
const DESTROY: u32 = 1;
const STOP: u32 = 3;
const OUTPUT: u32 = 6;
const GET_REPORT: u32 = 9;
const GET_REPORT_REPLY: u32 = 10;
const CREATE2: u32 = 11;
const INPUT2: u32 = 12;
const SET_REPORT: u32 = 13;
const SET_REPORT_REPLY: u32 = 14;

/// The size of `struct uhid_event`: its type, and the largest of what it is of
/// (`struct uhid_create2_req`).
const EVENT: usize = 4 + 128 + 64 + 64 + 2 + 2 + 16 + 4096;

/// The items of a HID report: what goes in, what goes out, and what is asked
/// for (HID 1.11, 6.2.2.4).
const INPUT_ITEM: u8 = 0x81;
const OUTPUT_ITEM: u8 = 0x91;
const FEATURE_ITEM: u8 = 0xb1;

/// Each report of a CP2112 with its item and its bytes (AN495, table 2).
const REPORTS: [(u8, u8, u8); 15] = [
    (0x01, FEATURE_ITEM, 1),
    (0x02, FEATURE_ITEM, 4),
    (0x03, FEATURE_ITEM, 1),
    (0x04, FEATURE_ITEM, 2),
    (0x05, FEATURE_ITEM, 2),
    (0x06, FEATURE_ITEM, 13),
    (0x10, OUTPUT_ITEM, 3),
    (0x11, OUTPUT_ITEM, 20),
    (0x12, OUTPUT_ITEM, 2),
    (0x13, INPUT_ITEM, 62),
    (0x14, OUTPUT_ITEM, 62),
    (0x15, OUTPUT_ITEM, 1),
    (0x16, INPUT_ITEM, 6),
    (0x17, OUTPUT_ITEM, 1),
    (0x20, FEATURE_ITEM, 1),
];

/// Its configuration of the bus as it comes (AN495, 5.2): 100 kHz.
const CONFIG: [u8; 14] = [0x06, 0, 1, 0x86, 0xa0, 2, 0, 0, 0, 0, 0, 0, 0, 0];

/// How many bytes a read response holds.
const RESPONSE: usize = 61;

/// How a transfer went (AN495, 5.7): no transfer, done, failed.
const IDLE: u8 = 0;
const DONE: u8 = 2;
const FAILED: u8 = 3;

/// What makes the kernel see it.
fn create(serial_number: &str) -> Vec<u8> {
    let mut descriptor = vec![0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01];
    for (report, item, bytes) in REPORTS {
        descriptor.extend([0x85, report, 0x15, 0x00, 0x26, 0xff, 0x00]);
        descriptor.extend([0x75, 8, 0x95, bytes, 0x09, report, item, 0x02]);
    }
    descriptor.push(0xc0);
    let mut event = CREATE2.to_le_bytes().to_vec();
    event.extend(b"CP2112");
    event.resize(4 + 128 + 64, 0);
    event.extend(serial_number.bytes());
    event.resize(4 + 128 + 64 + 64, 0);
    event.extend(u16::try_from(descriptor.len()).unwrap().to_le_bytes());
    event.extend(3_u16.to_le_bytes()); // BUS_USB
    for number in [0x10c4_u32, 0xea90, 0, 0] {
        event.extend(number.to_le_bytes()); // vendor, product
    }
    event.extend(descriptor);
    event
}

/// What is behind the bridge.
struct Far {
    file: File,
    parts: Parts,
    config: Vec<u8>,
    /// What was read of a part and not yet fetched.
    fetched: Vec<u8>,
    status: u8,
    length: u16,
}

impl Far {
    fn serve(&mut self) {
        let mut event = vec![0; EVENT];
        while self.file.read(&mut event).is_ok_and(|count| count >= 4) {
            let (kind, body) = event.split_first_chunk::<4>().unwrap();
            match u32::from_le_bytes(*kind) {
                STOP => return,
                GET_REPORT => self.get(body),
                SET_REPORT => self.set(body),
                OUTPUT => {
                    let size = word(body.get(4096..).unwrap());
                    let report = body.get(..size).unwrap().to_vec();
                    self.take(&report);
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, kind: u32, parts: &[&[u8]]) {
        let mut event = kind.to_le_bytes().to_vec();
        event.extend(parts.concat());
        // A bridge that is gone has nothing to say.
        let _ = self.file.write_all(&event);
    }

    fn get(&mut self, asked: &[u8]) {
        let [a, b, c, d, report, ..] = *asked else { return };
        let answer = match report {
            0x02 => vec![report, 0, 0xff, 0, 0],
            0x05 => vec![report, 0x0c, 0x02],
            0x06 => self.config.clone(),
            _ => vec![report, 0],
        };
        let length = u16::try_from(answer.len()).unwrap().to_le_bytes();
        self.send(
            GET_REPORT_REPLY,
            &[&[a, b, c, d], &[0, 0], &length, &answer],
        );
    }

    fn set(&mut self, asked: &[u8]) {
        let size = word(asked.get(6..).unwrap());
        let report = asked.get(8..8 + size).unwrap();
        if report.first() == Some(&0x06) {
            self.config = report.to_vec();
        }
        self.send(SET_REPORT_REPLY, &[asked.get(..4).unwrap(), &[0, 0]]);
    }

    /// Takes a report that the kernel writes.
    fn take(&mut self, report: &[u8]) {
        match *report {
            // Read, write and then read, write.
            [0x10, address, high, low, ..] => {
                self.transfer(address, None, u16::from_be_bytes([high, low]));
            }
            [0x11, address, high, low, count, ref bytes @ ..] => {
                let bytes = bytes.get(..count.into());
                self.transfer(address, bytes, u16::from_be_bytes([high, low]));
            }
            [0x14, address, count, ref bytes @ ..] => {
                self.transfer(address, bytes.get(..count.into()), 0);
            }
            // Fetch, ask how it went, forget it.
            [0x12, high, low, ..] => {
                let most = usize::from(u16::from_be_bytes([high, low]));
                let count = most.min(RESPONSE).min(self.fetched.len());
                let length = u8::try_from(count).unwrap();
                let mut answer = vec![0x13, self.status, length];
                answer.extend(self.fetched.drain(..count));
                answer.resize(3 + RESPONSE, 0);
                self.input(&answer);
            }
            [0x15, ..] => {
                let [high, low] = self.length.to_be_bytes();
                // 5 is "succeeded", 0 is "nobody acknowledges".
                let how = if self.status == FAILED { 0 } else { 5 };
                self.input(&[0x16, self.status, how, 0, 0, high, low]);
            }
            [0x17, ..] => {
                self.fetched.clear();
                self.status = IDLE;
            }
            _ => {}
        }
    }

    fn transfer(&mut self, address: u8, write: Option<&[u8]>, read: u16) {
        self.fetched.clear();
        (self.status, self.length) = (FAILED, 0);
        let Some(part) = self.parts.get_mut(&(address >> 1)) else { return };
        if write.is_some_and(|bytes| !part.write(bytes)) {
            return;
        }
        if read > 0 {
            self.fetched = part.read(read.into());
        }
        let written = write.map_or(0, <[u8]>::len);
        let length = if read > 0 { read.into() } else { written };
        (self.status, self.length) = (DONE, u16::try_from(length).unwrap());
    }

    fn input(&mut self, report: &[u8]) {
        let length = u16::try_from(report.len()).unwrap().to_le_bytes();
        self.send(INPUT2, &[&length, report]);
    }
}

fn word(bytes: &[u8]) -> usize {
    let bytes = bytes.first_chunk::<2>().unwrap();
    u16::from_le_bytes(*bytes).into()
}
