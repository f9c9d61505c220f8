//! `Drive`: what keeps data.

use onprem_redfish::schema::{
    drive::{self, Links},
    protocol,
};

use super::{With as _, enabled, volume};
use crate::{
    model::{Health, MediaType, Protocol},
    redfish::{
        resource::{Answer, Resource, View, answer},
        uri,
    },
};

/// `/redfish/v1/Chassis/{ChassisId}/Drives/{DriveId}`
pub(crate) struct Drive;

impl Resource for Drive {
    fn uri(&self) -> &'static str {
        uri::DRIVE
    }

    fn kind(&self) -> &'static str {
        "Drive"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, id] = ids else { return None };
        let mut all = view.drives(view.chassis(ids)?);
        let (system, storage, it) = all.find(|(_, _, it)| &*it.id == *id)?;
        let protocol = it.protocol.map(protocol);
        let media = it.media.map(|media| match media {
            MediaType::Hdd => drive::MediaType::Hdd,
            MediaType::Ssd => drive::MediaType::Ssd,
        });
        let board = it.board.clone();
        let volumes = view.snapshot.volumes(&system.id, &storage.id).iter();
        let volumes = volumes.filter(|volume| volume.drives.contains(&it.id));
        let volumes: Vec<_> = volumes
            .map(|volume| volume::at(&system.id, &storage.id, &volume.id))
            .collect();
        let count = volumes.len() as u64;
        let body = drive::Drive::new("", *id, &*it.name)
            .capacity_bytes(i64::try_from(it.capacity).unwrap_or(i64::MAX))
            .block_size_bytes(it.block_size.into())
            .with(media, drive::Drive::media_type)
            .with(protocol, drive::Drive::protocol)
            .with(it.revision.clone(), drive::Drive::revision)
            .with(board.manufacturer, drive::Drive::manufacturer)
            .with(board.model, drive::Drive::model)
            .with(board.serial_number, drive::Drive::serial_number)
            .with(board.part_number, drive::Drive::part_number)
            .links(
                Links::new()
                    .storage(uri::of(uri::STORAGE, &[&system.id, &storage.id]))
                    .volumes(volumes)
                    .volumes_count(count),
            )
            .status(enabled(Health::Ok));
        Some(answer(body))
    }
}

/// The word for a protocol; one for those that Redfish has none for.
pub(super) fn protocol(protocol: Protocol) -> protocol::Protocol {
    match protocol {
        Protocol::Nvme => protocol::Protocol::Nvme,
        Protocol::Sata => protocol::Protocol::Sata,
        Protocol::Usb => protocol::Protocol::Usb,
        Protocol::Emmc => protocol::Protocol::Emmc,
        Protocol::Scsi | Protocol::Sd | Protocol::Virtio => {
            protocol::Protocol::Oem
        }
    }
}
