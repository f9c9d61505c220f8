//! Volumes of simulated drives. What is on drives outlives the agent: it is
//! kept in the state directory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use onprem_link::file::replace;
use serde::{Deserialize, Serialize};
use tracing::warn;
use uuid::Uuid;

use crate::{
    boards::{Shelves, Volumes},
    commands::CommandError,
    model::{Health, Id, Inventory, Part, Volume, VolumeWish},
    state::{StateError, load_or_put_aside},
};

/// What simulated controllers wrote on their drives.
#[derive(Debug, Default)]
pub struct SimulatedVolumes {
    drives: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    file: Option<PathBuf>,
    kept: Kept,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// By system, then by storage.
    systems: BTreeMap<Id, BTreeMap<Id, Vec<Volume>>>,
}

impl Kept {
    fn shelf(&mut self, system: &Id, storage: &Id) -> &mut Vec<Volume> {
        let system = self.systems.entry(system.clone()).or_default();
        system.entry(storage.clone()).or_default()
    }
}

impl SimulatedVolumes {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.drives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is so after `change`, or leaves all as it was.
    fn change(
        &self,
        part: Part,
        change: impl FnOnce(&mut Kept),
    ) -> Result<(), CommandError> {
        let mut written = self.lock();
        let mut next = written.kept.clone();
        change(&mut next);
        if let Some(file) = &written.file {
            let text = serde_json::to_vec(&next).unwrap_or_default();
            replace(file, &text).map_err(|error| {
                warn!(%error, "volumes not kept");
                CommandError::Full { part }
            })?;
        }
        written.kept = next;
        drop(written);
        Ok(())
    }
}

impl Volumes for SimulatedVolumes {
    fn open(&self, folder: &Path) -> Result<(), StateError> {
        let file = folder.join("volumes.json");
        let kept = load_or_put_aside(&file)?;
        *self.lock() = Written { file: Some(file), kept };
        Ok(())
    }

    fn list(&self, inventory: &Inventory) -> Shelves {
        let mut kept = self.lock().kept.clone();
        let mut shelves = Shelves::new();
        for system in &inventory.systems {
            for storage in &system.storage {
                let mut volumes =
                    std::mem::take(kept.shelf(&system.id, &storage.id));
                let has = |id: &Id| storage.drives.iter().any(|d| d.id == *id);
                for volume in &mut volumes {
                    // The board file may have lost a drive since.
                    let whole = volume.drives.iter().all(has);
                    volume.enabled = whole;
                    volume.health =
                        if whole { Health::Ok } else { Health::Critical };
                    volume.drives.retain(|id| has(id));
                }
                let key = (system.id.clone(), storage.id.clone());
                shelves.insert(key, volumes);
            }
        }
        shelves
    }

    fn create(
        &self,
        system: &Id,
        storage: &Id,
        wish: &VolumeWish,
        capacity: u64,
    ) -> Result<Id, CommandError> {
        let taken = self.lock().kept.shelf(system, storage).clone();
        let mut numbers = (1_u32..).map(|n| Id::from(n.to_string()));
        let id = numbers.find(|id| taken.iter().all(|it| it.id != *id));
        let id = id.unwrap_or_default();
        let name = wish.name.clone();
        let volume = Volume {
            name: name.unwrap_or_else(|| format!("Volume {id}")),
            id: id.clone(),
            raid: Some(wish.raid),
            capacity,
            block_size: 512,
            drives: wish.drives.clone(),
            uuid: Some(Uuid::new_v4()),
            enabled: true,
            health: Health::Ok,
        };
        let part = Part::System(system.clone());
        self.change(part, |kept| kept.shelf(system, storage).push(volume))?;
        Ok(id)
    }

    fn delete(
        &self,
        system: &Id,
        storage: &Id,
        volume: &Volume,
    ) -> Result<(), CommandError> {
        self.change(Part::System(system.clone()), |kept| {
            kept.shelf(system, storage).retain(|it| it.id != volume.id);
        })
    }
}
