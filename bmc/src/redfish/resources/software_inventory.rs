//! `SoftwareInventory`: what runs here, from the agent to the drivers.

use chrono::{DateTime, SecondsFormat, Utc};
use onprem_redfish::schema::{
    Reference, resource as common,
    software_inventory::{self, ReleaseType, VersionScheme},
};

use super::With as _;
use crate::{
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        update::AGENT,
        uri,
    },
    update::{PRODUCT, VERSION, launch, slots::Slot},
};

/// `/redfish/v1/UpdateService/FirmwareInventory/{SoftwareInventoryId}`
pub(crate) struct Firmware;

impl Resource for Firmware {
    fn uri(&self) -> &'static str {
        uri::FIRMWARE
    }

    fn kind(&self) -> &'static str {
        "SoftwareInventory"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Now
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let id = ids.first()?;
        let item = list(view).into_iter().find(|it| it.id == *id)?;
        let status =
            common::Status::new().state(item.state).health(item.health);
        let related = item.related.iter().map(|uri| Reference::new(&**uri));
        let body = software_inventory::SoftwareInventory::new(
            "",
            &*item.id,
            &*item.name,
        )
        .status(status)
        .software_id(&*item.software_id)
        .version(&*item.version)
        .updateable(item.updateable)
        .related_item(related)
        .related_item_count(item.related.len() as u64)
        .with(item.manufacturer, |it, by: String| it.manufacturer(by))
        .with(item.active, software_inventory::SoftwareInventory::active)
        .with(item.scheme, |it, scheme| {
            let type_ = if item.version.contains('-') {
                ReleaseType::Prototype
            } else {
                ReleaseType::Production
            };
            it.version_scheme(scheme).release_type(type_)
        })
        .with(item.released, |it, at: DateTime<Utc>| {
            it.release_date(at.to_rfc3339_opts(SecondsFormat::Secs, true))
        });
        Some(answer(body))
    }
}

/// One program.
struct Item {
    id: String,
    name: String,
    manufacturer: Option<String>,
    version: String,
    software_id: String,
    updateable: bool,
    active: Option<bool>,
    state: common::State,
    health: common::Health,
    scheme: Option<VersionScheme>,
    released: Option<DateTime<Utc>>,
    related: Vec<String>,
}

impl Item {
    fn new(id: impl Into<String>, name: &str, version: &str) -> Self {
        let id = id.into();
        Self {
            software_id: id.clone(),
            id,
            name: name.to_owned(),
            manufacturer: None,
            version: version.to_owned(),
            updateable: false,
            active: None,
            state: common::State::Enabled,
            health: common::Health::Ok,
            scheme: None,
            released: None,
            related: Vec::new(),
        }
    }
}

/// The ids of all of it.
pub(super) fn ids(view: &View<'_>) -> Vec<String> {
    list(view).into_iter().map(|item| item.id).collect()
}

fn list(view: &View<'_>) -> Vec<Item> {
    let inventory = &view.snapshot.inventory;
    let mut items = agent(view);
    for system in &inventory.systems {
        let id = &system.id;
        let related = vec![uri::of(uri::SYSTEM, &[id])];
        if let Some(version) = &system.bios_version {
            items.push(Item {
                manufacturer: system.board.manufacturer.clone(),
                software_id: "firmware".to_owned(),
                related: related.clone(),
                ..Item::new(
                    format!("{id}-firmware"),
                    "System firmware",
                    version,
                )
            });
        }
        let Some(os) = &system.os else { continue };
        if let Some(version) = &os.version {
            items.push(Item {
                manufacturer: Some(os.name.clone()),
                software_id: "os".to_owned(),
                related: related.clone(),
                ..Item::new(format!("{id}-os"), &os.name, version)
            });
        }
        if let Some(version) = &os.kernel {
            items.push(Item {
                manufacturer: Some(os.name.clone()),
                software_id: "linux".to_owned(),
                related,
                ..Item::new(format!("{id}-kernel"), "Linux kernel", version)
            });
        }
    }
    let host = inventory.systems.first();
    for found in &view.service.software {
        let related = host.map(|it| uri::of(uri::SYSTEM, &[&it.id]));
        let os = host.and_then(|it| it.os.as_ref());
        items.push(Item {
            // A driver comes with the system it is for, unless it says more.
            manufacturer: found
                .manufacturer
                .clone()
                .or_else(|| os.map(|os| os.name.clone())),
            released: found.released,
            related: related.into_iter().collect(),
            ..Item::new(&*found.id, &found.name, &found.version)
        });
    }
    items
}

/// What runs as the agent, and what its slots hold.
fn agent(view: &View<'_>) -> Vec<Item> {
    let manager = &view.snapshot.inventory.manager;
    let related = vec![uri::of(uri::MANAGER, &[&manager.id])];
    let item = |id: String, name: &str, version: &str| Item {
        manufacturer: Some("on-prem".to_owned()),
        software_id: PRODUCT.to_owned(),
        scheme: Some(VersionScheme::SemVer),
        related: related.clone(),
        ..Item::new(id, name, version)
    };
    let mut items = vec![Item {
        updateable: view.service.updater.is_enabled(),
        active: Some(true),
        ..item(AGENT.to_owned(), "Agent", VERSION)
    }];
    let record = view.service.slots();
    for slot in Slot::ALL {
        let Some(installed) = record.slot(slot) else { continue };
        let tried =
            record.trial.as_ref().is_some_and(|trial| trial.slot == slot);
        let runs = launch::slot() == Some(slot);
        let (state, health) = match (installed.failed, tried, runs) {
            (true, ..) => (common::State::Disabled, common::Health::Critical),
            (_, true, _) => (common::State::InTest, common::Health::Ok),
            (_, _, true) => (common::State::Enabled, common::Health::Ok),
            _ => (common::State::StandbySpare, common::Health::Ok),
        };
        let name = format!("Agent in slot {}", slot.name());
        items.push(Item {
            active: Some(runs),
            state,
            health,
            ..item(
                format!("{AGENT}-{}", slot.name()),
                &name,
                &installed.version,
            )
        });
    }
    items
}
