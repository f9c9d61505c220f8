//! `StorageController`: what the drives of a storage subsystem hang on.

use onprem_redfish::schema::storage_controller;

use super::{With as _, drive::protocol, enabled, volume::raid_type};
use crate::{
    model::{Health, Protocol},
    redfish::{
        resource::{Answer, Resource, View, answer},
        uri,
    },
};

/// `…/Storage/{StorageId}/Controllers/{StorageControllerId}`; it has the id of
/// its storage subsystem, as there is one each.
pub(crate) struct StorageController;

impl Resource for StorageController {
    fn uri(&self) -> &'static str {
        uri::STORAGE_CONTROLLER
    }

    fn kind(&self) -> &'static str {
        "StorageController"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, storage, id] = ids else { return None };
        let mut all = view.system(ids)?.storage.iter();
        let it = all.find(|it| &*it.id == *storage && it.id == (*id).into())?;
        let mut spoken: Vec<Protocol> =
            it.drives.iter().filter_map(|drive| drive.protocol).collect();
        spoken.dedup();
        let words = spoken.into_iter().map(protocol);
        let raid = it.raid_types.iter().copied().map(raid_type);
        let raid: Vec<_> = raid.collect();
        let body =
            storage_controller::StorageController::new("", *id, &*it.name)
                .supported_device_protocols(words)
                .with(
                    (!raid.is_empty()).then_some(raid),
                    storage_controller::StorageController::supported_raid_types,
                )
                .status(enabled(Health::Ok));
        Some(answer(body))
    }
}
