//! `Memory`: a module, or all there is where modules cannot be told apart.

use onprem_redfish::schema::{
    memory::{self, MemoryDeviceType, MemoryType},
    resource::{Location, LocationType, PartLocation},
};

use super::{With as _, enabled, mebibytes};
use crate::{
    model::{Health, MemoryKind},
    redfish::{
        resource::{Answer, Resource, View, answer},
        uri,
    },
};

/// `…/Memory/{MemoryId}`
pub(crate) struct Memory;

impl Resource for Memory {
    fn uri(&self) -> &'static str {
        uri::MEMORY
    }

    fn kind(&self) -> &'static str {
        "Memory"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, id] = ids else { return None };
        let mut all = view.system(ids)?.memory.iter();
        let it = all.find(|module| &*module.id == *id)?;
        let kind = it.kind.and_then(|kind| {
            Some(match kind {
                MemoryKind::Ddr3 => MemoryDeviceType::Ddr3,
                MemoryKind::Ddr4 => MemoryDeviceType::Ddr4,
                MemoryKind::Ddr5 => MemoryDeviceType::Ddr5,
                MemoryKind::Lpddr4 => MemoryDeviceType::Lpddr4Sdram,
                MemoryKind::Lpddr5 => MemoryDeviceType::Lpddr5Sdram,
                // The schema has no word for it.
                MemoryKind::Lpddr2 => return None,
            })
        });
        let board = it.board.clone();
        let body = memory::Memory::new("", *id, &*it.name)
            .memory_type(MemoryType::Dram)
            .with(kind, memory::Memory::memory_device_type)
            .capacity_mi_b(mebibytes(it.capacity))
            .with(
                it.speed_mts.map(i64::from),
                memory::Memory::operating_speed_mhz,
            )
            .with(it.locator.clone(), |memory, slot| {
                let part = PartLocation::new()
                    .service_label(slot)
                    .location_type(LocationType::Slot);
                memory.location(Location::new().part_location(part))
            })
            .with(board.manufacturer, memory::Memory::manufacturer)
            .with(board.model, memory::Memory::model)
            .with(board.serial_number, memory::Memory::serial_number)
            .with(board.part_number, memory::Memory::part_number)
            .status(enabled(Health::Ok));
        Some(answer(body))
    }
}
