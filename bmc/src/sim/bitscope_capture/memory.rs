//! The sample memory of a simulated instrument: 12 KiB that are shared out as
//! the buffer mode says.

use super::number;

const SIZE: usize = 12 << 10;
/// Where the logic samples begin when the memory is shared out.
const HALF: u32 = 6 << 10;

/// The ranges that the converter's references can be set to: low, high, and
/// the volts between bottom and top.
const RANGES: [(u32, u32, f64); 4] = [
    (0x65d6, 0x69bc, 1.1),
    (0x5262, 0x7d3f, 3.5),
    (0x4468, 0x8aff, 5.2),
    (0x126a, 0xba8c, 11.0),
];

/// How samples lie in the memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    buffer: u32,
    /// Whether it is the logic inputs that have all of it.
    logic: bool,
    /// Which analog inputs are on.
    enabled: u32,
    volts: f64,
}

impl Format {
    /// What the registers say; nothing where they make no sense.
    pub(super) fn of(
        buffer: u32,
        mode: u32,
        config: &[u8; 256],
    ) -> Option<Self> {
        // Which buffer each trace mode needs.
        let needed = match mode {
            0 | 4 | 11 | 13..=15 => 0,
            2 | 6 | 16 => 1,
            1 | 5 | 12 => 2,
            3 | 7 | 17 => 3,
            18 => 4,
            19 => 5,
            _ => return None,
        };
        let (low, high) = (number(config, 0x64, 2), number(config, 0x66, 2));
        let range =
            RANGES.iter().find(|range| (range.0, range.1) == (low, high));
        let format = Self {
            buffer,
            logic: (13..=15).contains(&mode),
            enabled: number(config, 0x37, 1),
            volts: range?.2,
        };
        (buffer == needed).then_some(format)
    }

    /// How many addresses there are.
    pub(super) fn size(&self) -> u32 {
        if self.buffer < 2 { 2 * HALF } else { HALF }
    }

    fn chops(&self) -> bool {
        matches!(self.buffer, 1 | 3 | 5)
    }

    fn is_wide(&self) -> bool {
        self.buffer >= 4
    }

    /// A level as the converter sees it, of 16 bits.
    fn converted(&self, volts: f64) -> u16 {
        let part = volts / self.volts + 0.5;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is clamped"
        )]
        let level = (part * 65536.0).clamp(0.0, 65535.0) as u16;
        level
    }
}

/// The memory.
#[derive(Debug)]
pub(super) struct Memory(Vec<u8>);

impl Default for Memory {
    fn default() -> Self {
        Self(vec![0; SIZE])
    }
}

impl Memory {
    fn put(&mut self, at: u32, value: u8) {
        if let Some(byte) = self.0.get_mut(at as usize) {
            *byte = value;
        }
    }

    fn get(&self, at: u32) -> u8 {
        self.0.get(at as usize).copied().unwrap_or_default()
    }

    /// Puts the sample at `address` into its place.
    pub(super) fn write(
        &mut self,
        format: &Format,
        address: u32,
        a: f64,
        b: f64,
        logic: u8,
    ) {
        if format.logic {
            return self.put(address, logic);
        }
        let second =
            if format.chops() { address % 2 == 1 } else { format.enabled == 2 };
        let [high, low] =
            format.converted(if second { b } else { a }).to_be_bytes();
        if format.is_wide() {
            self.put(2 * address, high);
            // The converter has 12 bits.
            self.put(2 * address + 1, low & 0xf0);
        } else {
            self.put(address, high);
        }
        if matches!(format.buffer, 2 | 3) {
            self.put(HALF + address, logic);
        }
    }

    /// A sample of `channel`, `at` samples after `start`.
    fn sample(
        &self,
        format: &Format,
        channel: u32,
        start: u32,
        at: u32,
    ) -> u16 {
        let size = format.size();
        if channel >= 128 {
            let base = if format.buffer < 2 { 0 } else { HALF };
            return self.get(base + (start + at) % size).into();
        }
        let address = if format.chops() {
            (start - start % 2 + 2 * at + channel) % size
        } else {
            (start + at) % size
        };
        if format.is_wide() {
            let pair = [self.get(2 * address), self.get(2 * address + 1)];
            return u16::from_be_bytes(pair);
        }
        u16::from(self.get(address)) << 8
    }

    /// What is sent of `channel` from the address `start`: so many values,
    /// each of so many samples, after which so many are left out.
    pub(super) fn dump(
        &self,
        format: &Format,
        channel: u32,
        mode: u32,
        start: u32,
        [count, send, skip]: [u32; 3],
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in 0..count {
            let first = value * (send + skip);
            let block: Vec<u16> = (first..first + send)
                .map(|at| self.sample(format, channel, start, at))
                .collect();
            let digital = channel >= 128;
            let byte = |sample: u16| {
                let [high, low] = sample.to_be_bytes();
                if digital { low } else { high }
            };
            let all = || block.iter().map(|sample| byte(*sample));
            let (least, most) =
                (all().min().unwrap_or(0), all().max().unwrap_or(0));
            let sum: u32 = all().map(u32::from).sum();
            let mean =
                block.iter().map(|sample| u32::from(*sample)).sum::<u32>()
                    / send.max(1);
            #[expect(clippy::cast_possible_truncation, reason = "16 bits")]
            let words = (sum as u16, (mean as u16) ^ 0x8000);
            match mode {
                0 => bytes.push(all().next().unwrap_or_default()),
                2 => bytes.extend(words.0.to_be_bytes()),
                3 => bytes.extend([least, most]),
                4 => bytes.extend([
                    all().fold(0xff, |and, it| and & it),
                    all().fold(0, |or, it| or | it),
                ]),
                5 | 6 => bytes.extend(words.1.to_be_bytes()),
                7 => bytes.push(most - least),
                _ => {}
            }
        }
        bytes
    }
}
