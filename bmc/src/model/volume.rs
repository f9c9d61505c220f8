//! Volumes: what a controller, or the kernel, makes of drives.

use serde::{Deserialize, Serialize};

use super::{Drive, Health, Id, Storage};

/// How a volume lies on its drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RaidType {
    /// On one drive, as it is.
    None,
    /// In stripes.
    #[serde(rename = "RAID0")]
    Raid0,
    /// As often as there are drives.
    #[serde(rename = "RAID1")]
    Raid1,
    /// In stripes, one of them parity.
    #[serde(rename = "RAID5")]
    Raid5,
    /// In stripes, two of them parity.
    #[serde(rename = "RAID6")]
    Raid6,
    /// In stripes over pairs.
    #[serde(rename = "RAID10")]
    Raid10,
}

impl RaidType {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Raid0,
        Self::Raid1,
        Self::Raid5,
        Self::Raid6,
        Self::Raid10,
    ];

    /// The word for it, as Redfish writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Raid0 => "RAID0",
            Self::Raid1 => "RAID1",
            Self::Raid5 => "RAID5",
            Self::Raid6 => "RAID6",
            Self::Raid10 => "RAID10",
        }
    }

    /// The fewest and the most drives it takes, and what their number has to
    /// be a multiple of.
    #[must_use]
    pub fn drives(self) -> (usize, usize, usize) {
        match self {
            Self::None => (1, 1, 1),
            Self::Raid0 | Self::Raid1 => (2, MOST, 1),
            Self::Raid5 => (3, MOST, 1),
            Self::Raid6 => (4, MOST, 1),
            Self::Raid10 => (4, MOST, 2),
        }
    }

    /// How many of `drives` drives carry data of their own.
    #[must_use]
    pub fn data_drives(self, drives: usize) -> u64 {
        let drives = match self {
            Self::None | Self::Raid1 => 1,
            Self::Raid0 => drives,
            Self::Raid5 => drives.saturating_sub(1),
            Self::Raid6 => drives.saturating_sub(2),
            Self::Raid10 => drives / 2,
        };
        drives as u64
    }
}

/// The most drives of one volume.
const MOST: usize = 32;

/// The least volume, in bytes.
const LEAST: u64 = 1 << 20;

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Segment of its URI; the kernel's name on a Linux host.
    pub id: Id,
    /// What people call it.
    pub name: String,
    /// How it lies on its drives, where Redfish has a word for that.
    pub raid: Option<RaidType>,
    /// Size in bytes.
    pub capacity: u64,
    /// Bytes a block.
    pub block_size: u32,
    /// The drives it lies on, in the order of the array.
    pub drives: Vec<Id>,
    /// Its own UUID.
    pub uuid: Option<uuid::Uuid>,
    /// Whether it can be used now.
    pub enabled: bool,
    /// How well it does.
    #[serde(skip)]
    pub health: Health,
}

/// A volume that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeWish {
    /// What it is to be called.
    pub name: Option<String>,
    /// How it is to lie on its drives.
    pub raid: RaidType,
    /// On which drives.
    pub drives: Vec<Id>,
    /// How large it is to be, in bytes; as large as it can be where nothing is
    /// said.
    pub capacity: Option<u64>,
}

/// What cannot be about a wish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeFault {
    /// No volumes of this type can be made here.
    #[error("no {} can be made here", .0.as_str())]
    Type(RaidType),
    /// There is no such drive in this storage.
    #[error("no drive `{0}`")]
    UnknownDrive(Id),
    /// It is named twice.
    #[error("drive `{0}` is named twice")]
    Twice(Id),
    /// A volume lies on it.
    #[error("volume `{volume}` lies on drive `{drive}`")]
    Taken {
        /// The drive.
        drive: Id,
        /// The volume.
        volume: Id,
    },
    /// Something that is no volume of ours lies on it.
    #[error("drive `{drive}` is in use: {reason}")]
    InUse {
        /// The drive.
        drive: Id,
        /// By what.
        reason: String,
    },
    /// So many drives do not make such a volume.
    #[error("{} drives make no {}", .given, .raid.as_str())]
    Drives {
        /// The type.
        raid: RaidType,
        /// How many drives are named.
        given: usize,
    },
    /// It is too small, or larger than the drives allow.
    #[error("{asked} bytes are not {LEAST} to {most}")]
    Capacity {
        /// The bytes that are wanted.
        asked: u64,
        /// The least.
        least: u64,
        /// The most that can be.
        most: u64,
    },
}

impl VolumeWish {
    /// The capacity in bytes that the volume gets in `storage`, beside the
    /// volumes that are there.
    ///
    /// # Errors
    /// What cannot be.
    pub fn check(
        &self,
        storage: &Storage,
        there: &[Volume],
    ) -> Result<u64, VolumeFault> {
        if !storage.raid_types.contains(&self.raid) {
            return Err(VolumeFault::Type(self.raid));
        }
        let mut drives: Vec<&Drive> = Vec::new();
        for id in &self.drives {
            let mut all = storage.drives.iter();
            let drive = all.find(|drive| drive.id == *id);
            let drive =
                drive.ok_or_else(|| VolumeFault::UnknownDrive(id.clone()))?;
            if drives.iter().any(|other| other.id == *id) {
                return Err(VolumeFault::Twice(id.clone()));
            }
            let on = there.iter().find(|volume| volume.drives.contains(id));
            if let Some(volume) = on {
                let (drive, volume) = (id.clone(), volume.id.clone());
                return Err(VolumeFault::Taken { drive, volume });
            }
            drives.push(drive);
        }
        let given = drives.len();
        let (least, most, step) = self.raid.drives();
        if !(least..=most).contains(&given) || !given.is_multiple_of(step) {
            return Err(VolumeFault::Drives { raid: self.raid, given });
        }
        let smallest = drives.iter().map(|drive| drive.capacity).min();
        let each =
            smallest.unwrap_or_default().saturating_sub(storage.overhead);
        let each = each >> 20 << 20;
        let most = each * self.raid.data_drives(given);
        match self.capacity {
            Some(asked) if !(LEAST..=most).contains(&asked) => {
                Err(VolumeFault::Capacity { asked, least: LEAST, most })
            }
            Some(asked) => Ok(asked),
            None => Ok(most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(sizes: &[u64]) -> Storage {
        let drive = |(index, size): (usize, &u64)| Drive {
            id: format!("d{index}").into(),
            capacity: *size,
            ..Drive::default()
        };
        Storage {
            drives: sizes.iter().enumerate().map(drive).collect(),
            raid_types: RaidType::ALL.to_vec(),
            ..Storage::default()
        }
    }

    fn wish(raid: RaidType, drives: usize) -> VolumeWish {
        let drives = (0..drives).map(|at| format!("d{at}").into()).collect();
        VolumeWish { name: None, raid, drives, capacity: None }
    }

    #[test]
    fn the_smallest_drive_says_how_large_a_volume_can_be() {
        const GIB: u64 = 1 << 30;
        let storage = storage(&[4 * GIB, 3 * GIB, 5 * GIB, 3 * GIB]);
        for (raid, drives, gibibytes) in [
            (RaidType::None, 1, 4),
            (RaidType::Raid0, 2, 6),
            (RaidType::Raid1, 3, 3),
            (RaidType::Raid5, 3, 6),
            (RaidType::Raid6, 4, 6),
            (RaidType::Raid10, 4, 6),
        ] {
            let most = wish(raid, drives).check(&storage, &[]);
            assert_eq!(most, Ok(gibibytes * GIB), "{raid:?}");
            let more = VolumeWish {
                capacity: Some(gibibytes * GIB + 1),
                ..wish(raid, drives)
            };
            let fault = more.check(&storage, &[]).unwrap_err();
            assert!(matches!(fault, VolumeFault::Capacity { .. }), "{fault}");
        }
        for (raid, drives) in [
            (RaidType::None, 2),
            (RaidType::Raid0, 1),
            (RaidType::Raid1, 1),
            (RaidType::Raid5, 2),
            (RaidType::Raid6, 3),
            (RaidType::Raid10, 3),
        ] {
            let fault = wish(raid, drives).check(&storage, &[]).unwrap_err();
            assert!(matches!(fault, VolumeFault::Drives { .. }), "{fault}");
        }
    }
}
