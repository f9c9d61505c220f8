//! A capture as a sigrok session file, which `PulseView` and `sigrok-cli` open:
//! a ZIP archive of `version`, `metadata`, logic samples and analog ones
//! (sigrok wiki, "File format:Sigrok/v2"; ZIP: APPNOTE.TXT 6.3, stored files).

use std::fmt::Write as _;

use super::{line_name, lines};
use crate::model::Capture;

/// The bytes of the archive.
pub(super) fn session(capture: &Capture) -> Vec<u8> {
    let probes = 8 * capture.logic.len();
    let mut metadata = format!(
        "[global]\nsigrok version=0.5.2\n\n[device 1]\nsamplerate={:.0} Hz\n\
         total analog={}\n",
        capture.rate.max(1.0),
        capture.analog.len(),
    );
    if probes > 0 {
        // Writing into a text cannot fail.
        let _ = write!(
            metadata,
            "capturefile=logic-1\ntotal probes={probes}\nunitsize={}\n",
            capture.logic.len(),
        );
        for (at, series) in capture.logic.iter().enumerate() {
            for line in lines(capture) {
                let number = 8 * at + usize::from(line) + 1;
                let name = line_name(line, &series.name);
                let _ = writeln!(metadata, "probe{number}={name}");
            }
        }
    }
    for (at, series) in capture.analog.iter().enumerate() {
        let number = probes + at + 1;
        let _ = writeln!(metadata, "analog{number}={}", series.name);
    }
    let mut archive = Archive::default();
    archive.add("version", b"2");
    archive.add("metadata", metadata.as_bytes());
    if probes > 0 {
        let bytes: Vec<u8> = (0..capture.values())
            .flat_map(|at| {
                let of = move |bits: &Vec<u8>| bits.get(at).copied();
                let all = capture.logic.iter();
                all.map(move |series| of(&series.bits).unwrap_or_default())
            })
            .collect();
        archive.add("logic-1-1", &bytes);
    }
    for (at, series) in capture.analog.iter().enumerate() {
        let bytes: Vec<u8> =
            series.volts.iter().flat_map(|it| it.to_le_bytes()).collect();
        archive.add(&format!("analog-1-{}-1", probes + at + 1), &bytes);
    }
    archive.finish()
}

/// A ZIP archive of files that are stored as they are.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

/// Version 2.0, no flags, stored, on the first day that ZIP knows.
const HOW: [u8; 10] = [20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];

impl Archive {
    fn add(&mut self, name: &str, content: &[u8]) {
        let at = number(self.bytes.len());
        let mut about = HOW.to_vec();
        about.extend(crc32(content).to_le_bytes());
        about.extend(number(content.len()));
        about.extend(number(content.len()));
        let [low, high, ..] = number(name.len());
        about.extend([low, high, 0, 0]);
        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(&about);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(content);
        self.directory.extend(b"PK\x01\x02\x14\x00");
        self.directory.extend(&about);
        // No comment, first disk, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(at);
        self.directory.extend(name.as_bytes());
        self.count += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let (at, length) = (self.bytes.len(), self.directory.len());
        self.bytes.append(&mut self.directory);
        self.bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(number(length));
        self.bytes.extend(number(at));
        self.bytes.extend([0, 0]);
        self.bytes
    }
}

fn number(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

/// CRC-32 as ZIP has it (polynomial 0xedb88320, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let mask = (crc & 1).wrapping_neg();
            (crc >> 1) ^ (0xedb8_8320 & mask)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_as_the_standard_has_it() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
