//! A simulated Sixfab Power Management & UPS HAT.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::PathBuf,
};

use super::i2c::I2cPart;
use crate::drivers::sixfab_ups::frame::{
    HEADER, REGISTER, STARTS, TYPES, checksum, frame,
};

/// The HAT.
#[derive(Clone, Debug, PartialEq)]
pub struct SixfabUps {
    /// Whether the adapter gives power.
    pub mains: bool,
    /// A file that says whether it does, `on` or `off`; one that is not there
    /// says nothing.
    pub mains_file: Option<PathBuf>,
    /// °C, volts, amperes and watts of the input.
    pub input: [f64; 4],
    /// Volts, amperes and watts that the system gets.
    pub system: [f64; 3],
    /// °C, volts, amperes and watts of the battery.
    pub battery: [f64; 4],
    /// Charge and health of the battery, in percent.
    pub level: f64,
    /// What it can still hold, in percent.
    pub health: f64,
    /// Speed of the fan while it turns.
    pub full_rpm: f64,
    /// Whether the fan is broken.
    pub fan_broken: bool,
    /// 1 on, 2 off, 3 as the HAT thinks.
    pub fan_mode: u8,
    /// Minutes of its watchdog, where it watches.
    pub watchdog: Option<u8>,
    /// How often the watchdog was fed.
    pub fed: u32,
    /// Whether it was told to cut the power; the system gets none until the
    /// adapter gives power again, or it is told to. Nobody has written down
    /// what a real one does then.
    pub off: bool,
    /// What it wants: 13 that the system goes down, 14 that it starts anew.
    pub wants: Option<u8>,
    /// What it wanted and was told will be done.
    pub confirmed: Vec<u8>,
    /// Its clock, in seconds since 1970.
    pub clock: Option<u32>,
    /// Its schedule, by the events' ids: the nine bytes after that.
    pub schedule: BTreeMap<u8, [u8; 9]>,
    /// The charge at which it wants the system to go down, where it does.
    pub safe_level: Option<u8>,
    /// How many of the next answers are garbled.
    pub garble: u32,
    /// Whether the adapter gave power when it was last spoken to, where it
    /// was.
    had_mains: Option<bool>,
    minutes: u8,
    limit: u8,
    answer: VecDeque<u8>,
}

impl Default for SixfabUps {
    fn default() -> Self {
        Self {
            mains: true,
            mains_file: None,
            input: [33.2, 5.1, 1.1, 5.61],
            system: [5.08, 0.74, 3.76],
            battery: [28.4, 4.1, 0.25, 1.02],
            level: 90.0,
            health: 97.0,
            full_rpm: 6200.0,
            fan_broken: false,
            fan_mode: 3,
            watchdog: None,
            fed: 0,
            off: false,
            wants: None,
            confirmed: Vec::new(),
            clock: None,
            schedule: BTreeMap::new(),
            safe_level: None,
            garble: 0,
            had_mains: None,
            minutes: 4,
            limit: 10,
            answer: VecDeque::new(),
        }
    }
}

/// What the system takes from the battery while there are no mains.
const DISCHARGE: [f64; 2] = [-0.95, -3.9];

impl SixfabUps {
    /// One whose mains are as `mains_file` says, where there is one.
    #[must_use]
    pub fn fed_by(mains_file: Option<PathBuf>) -> Self {
        Self { mains_file, ..Self::default() }
    }

    /// Takes what the file says of the mains, if there is one.
    fn look(&mut self) {
        let said = self.mains_file.as_ref().map(fs::read_to_string);
        match said.as_ref().and_then(|said| said.as_ref().ok()) {
            Some(said) if said.trim() == "off" => self.mains = false,
            Some(said) if said.trim() == "on" => self.mains = true,
            _ => {}
        }
        if self.mains && self.had_mains == Some(false) {
            self.off = false;
        }
        self.had_mains = Some(self.mains);
    }

    fn number(&self, command: u8) -> Option<f64> {
        let [celsius, volts, amperes, watts] = if self.mains {
            self.input
        } else {
            [self.input[0], 0.0, 0.0, 0.0]
        };
        let [gets_volts, gets_amperes, gets_watts] =
            if self.off { [0.0; 3] } else { self.system };
        let [cell, cell_volts, charge, charge_watts] = self.battery;
        let [charge, charge_watts] = match (self.mains, self.off) {
            (true, _) => [charge, charge_watts],
            (false, false) => DISCHARGE,
            (false, true) => [0.0; 2],
        };
        let turns = self.fan_mode != 2 && !self.fan_broken;
        Some(match command {
            1 => celsius * 100.0,
            2 => volts * 1000.0,
            3 => amperes * 1000.0,
            4 => watts * 1000.0,
            6 => gets_volts * 1000.0,
            7 => gets_amperes * 1000.0,
            8 => gets_watts * 1000.0,
            9 => cell * 100.0,
            10 => cell_volts * 1000.0,
            11 => charge * 1000.0,
            12 => charge_watts * 1000.0,
            13 => self.level,
            14 => self.health,
            15 => f64::from(u8::from(turns)) * self.full_rpm,
            _ => return None,
        })
    }

    fn byte(&self, command: u8) -> Option<u8> {
        Some(match command {
            16 => 2 - u8::from(self.watchdog.is_some()),
            23 => 1 + u8::from(self.fan_broken),
            30 if !self.mains => 3,
            30 => 1 + u8::from(self.level >= 100.0),
            44 => self.wants.unwrap_or(2),
            50 => self.fan_mode,
            51 => self.minutes,
            _ => return None,
        })
    }

    /// Whether it takes `value` for `command`; nothing where it knows no such
    /// command.
    fn set(&mut self, command: u8, data: &[u8]) -> Option<bool> {
        let value = data.first().copied();
        let taken = match (command, value) {
            (26, Some(level @ 0..=100)) => {
                self.limit = level;
                true
            }
            (28, Some(status @ 1..=2)) => {
                self.safe_level = (status == 1).then_some(self.limit);
                true
            }
            (33, _) => {
                let seconds = <[u8; 4]>::try_from(data).ok();
                self.clock = seconds.map(u32::from_be_bytes);
                self.clock.is_some()
            }
            (36, Some(1)) if self.wants == Some(13) => self.confirm(),
            (38, Some(1)) if self.wants == Some(14) => self.confirm(),
            (100, Some(id @ 1..=10)) => {
                let event = data.get(1..).and_then(|it| it.try_into().ok());
                event.is_some_and(|event| {
                    self.schedule.insert(id, event);
                    true
                })
            }
            (101, Some(id)) => self.schedule.remove(&id).is_some(),
            (102, _) => {
                self.schedule.clear();
                true
            }
            (17, Some(1)) => {
                self.watchdog = Some(self.minutes);
                true
            }
            (17, Some(2)) => {
                self.watchdog = None;
                true
            }
            (35, _) => {
                self.off = true;
                true
            }
            (42 | 43, _) => {
                self.off = false;
                true
            }
            // Without a value, these ask whether it wants that.
            (36, None) => self.wants == Some(13),
            (38, None) => self.wants == Some(14),
            (39, Some(1)) => {
                self.fed += 1;
                true
            }
            (49, Some(mode @ 1..=3)) => {
                self.fan_mode = mode;
                true
            }
            (52, Some(minutes @ 4..=180)) => {
                self.minutes = minutes;
                true
            }
            (17 | 26 | 28 | 36 | 38 | 39 | 49 | 52 | 100 | 101, _) => false,
            _ => return None,
        };
        Some(taken)
    }

    fn confirm(&mut self) -> bool {
        self.confirmed.extend(self.wants.take());
        true
    }

    fn answer_to(&mut self, command: u8, data: &[u8]) -> Option<Vec<u8>> {
        if command == 200 {
            return Some(b"v1.02.03".to_vec());
        }
        if command == 103 {
            let ids = self.schedule.keys();
            let mask = ids.fold(0_u16, |mask, id| mask | 1 << (id - 1));
            return Some(mask.to_be_bytes().to_vec());
        }
        if let Some(number) = self.number(command) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the HAT has no more bits"
            )]
            let number = number.round() as i32;
            return Some(number.to_be_bytes().to_vec());
        }
        if let Some(byte) = self.byte(command) {
            return Some(vec![byte]);
        }
        let taken = self.set(command, data)?;
        Some(vec![2 - u8::from(taken)])
    }
}

impl I2cPart for SixfabUps {
    fn write(&mut self, bytes: &[u8]) -> bool {
        self.look();
        let Some((&REGISTER, request)) = bytes.split_first() else {
            return true;
        };
        self.answer.clear();
        let Some((body, sum)) = request.split_last_chunk::<2>() else {
            return true;
        };
        let [start, command, kind, ..] = *body else { return true };
        let good = checksum(body) == u16::from_be_bytes(*sum);
        if !good || start != STARTS[0] || kind != TYPES[0] {
            return true;
        }
        let data = body.get(HEADER..).unwrap_or_default();
        if let Some(data) = self.answer_to(command, data) {
            let mut answer = frame(STARTS[1], TYPES[1], command, &data);
            if self.garble > 0
                && let Some(last) = answer.last_mut()
            {
                self.garble -= 1;
                *last ^= 0x55;
            }
            self.answer = answer.into();
        }
        true
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        // Who has nothing to say leaves the line high.
        (0..count).map(|_| self.answer.pop_front().unwrap_or(0xff)).collect()
    }

    fn restart(&mut self) {
        *self = Self::fed_by(self.mains_file.take());
    }
}
