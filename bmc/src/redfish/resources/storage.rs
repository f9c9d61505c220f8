//! `Storage`: a controller with its drives.

use onprem_redfish::schema::{Reference, storage};

use super::enabled;
use crate::{
    model::Health,
    redfish::{
        resource::{Answer, Resource, View, answer},
        uri,
    },
};

/// `…/Storage/{StorageId}`
pub(crate) struct Storage;

impl Resource for Storage {
    fn uri(&self) -> &'static str {
        uri::STORAGE
    }

    fn kind(&self) -> &'static str {
        "Storage"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, id] = ids else { return None };
        let system = view.system(ids)?;
        let mut all = system.storage.iter();
        let it = all.find(|storage| &*storage.id == *id)?;
        let drives: Vec<_> = it
            .drives
            .iter()
            .zip(std::iter::repeat(system.chassis.first()))
            .filter_map(|(drive, at)| Some([at?, &drive.id]))
            .map(|ids| uri::of(uri::DRIVE, &ids))
            .collect();
        let count = drives.len() as u64;
        let body = storage::Storage::new("", *id, &*it.name)
            .drives(drives)
            .drives_count(count)
            .controllers(Reference::new(uri::of(uri::STORAGE_CONTROLLERS, ids)))
            .volumes(Reference::new(uri::of(uri::VOLUMES, ids)))
            .status(enabled(Health::Ok));
        Some(answer(body))
    }
}
