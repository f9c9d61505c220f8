//! `Volume`: what a controller, or the kernel, made of drives.

use onprem_redfish::{
    message::{Message, base},
    schema::{
        resource::{DurableNameFormat, Identifier, State},
        volume::{self, Links},
        volume_collection::VolumeCollection,
    },
};
use serde_json::{Value, json};

use super::{With as _, enabled};
use crate::{
    commands::{CommandError, VolumeChange},
    model::{Id, RaidType, System, VolumeFault, VolumeWish},
    redfish::{
        error::Error,
        resource::{Answer, Created, Pending, Resource, View, Write, answer},
        uri,
    },
};

const NAME: &str = "/Name";
const RAID: &str = "/RAIDType";
const CAPACITY: &str = "/CapacityBytes";
const DRIVES: &str = "/Links/Drives";
const ENCRYPTED: &str = "/Encrypted";
const TIME: &str = "/@Redfish.OperationApplyTime";
/// When volumes are made and removed.
const TIMES: [&str; 1] = ["Immediate"];

/// The most characters of a name: what the metadata of the kernel has room
/// for.
const LONGEST: usize = 32;

/// `…/Storage/{StorageId}/Volumes`
pub(crate) struct Volumes;

impl Resource for Volumes {
    fn uri(&self) -> &'static str {
        uri::VOLUMES
    }

    fn kind(&self) -> &'static str {
        "VolumeCollection"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [system, storage] = ids else { return None };
        let mut all = view.system(ids)?.storage.iter();
        let it = all.find(|it| &*it.id == *storage)?;
        let volumes = view.snapshot.volumes(system, storage).iter();
        let uris: Vec<_> =
            volumes.map(|it| at(system, storage, &it.id)).collect();
        let count = uris.len() as u64;
        let body = VolumeCollection::new("", "Volumes", uris);
        let mut answer = answer(body.members_count(count));
        if !it.raid_types.is_empty() {
            let support = json!({
                "@odata.type": "#Settings.v1_3_5.OperationApplyTimeSupport",
                "SupportedValues": TIMES,
            });
            let name = "@Redfish.OperationApplyTimeSupport".to_owned();
            answer.body.insert(name, support);
        }
        Some(answer)
    }

    fn creates(&self) -> Option<&'static [&'static str]> {
        Some(&[NAME, RAID, CAPACITY, DRIVES, ENCRYPTED, TIME])
    }

    fn closed(&self, view: &View<'_>, ids: &[&str]) -> Option<&'static str> {
        closed(view, ids)
    }

    fn create<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, Created> {
        Box::pin(async {
            let (system, storage) = (write.id(0), write.id(1));
            let wish = wanted(write)?;
            let name = wish.name.clone();
            let change = VolumeChange::Create(storage.into(), wish);
            let commands = &write.service.commands;
            let made = commands.volume(system, change).await;
            let id = made.map_err(|error| told(error, write))?;
            let snapshot = write.service.model.snapshot();
            let mut all = snapshot.volumes(system, storage).iter();
            let called = all.find(|it| it.id == id).map(|it| it.name.clone());
            let mut created = Created::from(at(system, storage, &id));
            if let (Some(name), Some(called)) = (name, called)
                && name != called
            {
                let message = base::property_value_modified("Name", called);
                created.message = Some(message.about(NAME));
            }
            Ok(created)
        })
    }
}

/// `…/Storage/{StorageId}/Volumes/{VolumeId}`
pub(crate) struct Volume;

impl Resource for Volume {
    fn uri(&self) -> &'static str {
        uri::VOLUME
    }

    fn kind(&self) -> &'static str {
        "Volume"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [system, storage, id] = ids else { return None };
        let mut all = view.snapshot.volumes(system, storage).iter();
        let it = all.find(|it| &*it.id == *id)?;
        let drives: Vec<_> = it
            .drives
            .iter()
            .filter_map(|drive| drive_at(view.system(ids)?, drive))
            .collect();
        let count = drives.len() as u64;
        let names = it.uuid.map(|uuid| {
            [Identifier::new()
                .durable_name(uuid.to_string())
                .durable_name_format(DurableNameFormat::Uuid)]
        });
        let status = enabled(it.health);
        let status = if it.enabled {
            status
        } else {
            status.state(State::UnavailableOffline)
        };
        let body = volume::Volume::new("", *id, &*it.name)
            .capacity_bytes(i64::try_from(it.capacity).unwrap_or(i64::MAX))
            .block_size_bytes(i64::from(it.block_size))
            .with(it.raid.map(raid_type), volume::Volume::raid_type)
            .with(names, volume::Volume::identifiers)
            .encrypted(false)
            .links(Links::new().drives(drives).drives_count(count))
            .status(status);
        Some(answer(body))
    }

    fn closed(&self, view: &View<'_>, ids: &[&str]) -> Option<&'static str> {
        closed(view, ids)
    }

    fn deletes(&self) -> bool {
        true
    }

    fn delete<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async {
            let (storage, id) = (write.id(1).into(), write.id(2).into());
            let change = VolumeChange::Delete(storage, id);
            let commands = &write.service.commands;
            let deleted = commands.volume(write.id(0), change).await;
            deleted.map(drop).map_err(|error| told(error, write))
        })
    }
}

/// Why volumes are only shown there.
fn closed(view: &View<'_>, ids: &[&str]) -> Option<&'static str> {
    let [_, storage, ..] = ids else { return None };
    let mut all = view.system(ids)?.storage.iter();
    let it = all.find(|it| &*it.id == *storage)?;
    it.raid_types.is_empty().then_some(
        "Set `allow_volumes = true` in the configuration of the agent of a \
         host that has `mdadm`, or name `volumes` in the board file of a \
         simulated one.",
    )
}

/// Where a volume is.
pub(super) fn at(system: &str, storage: &str, volume: &str) -> String {
    uri::of(uri::VOLUME, &[system, storage, volume])
}

/// Where a drive of `system` is.
fn drive_at(system: &System, drive: &Id) -> Option<String> {
    Some(uri::of(uri::DRIVE, &[system.chassis.first()?, drive]))
}

/// The word of the schema for it.
pub(super) fn raid_type(raid: RaidType) -> volume::RaidType {
    match raid {
        RaidType::None => volume::RaidType::None,
        RaidType::Raid0 => volume::RaidType::Raid0,
        RaidType::Raid1 => volume::RaidType::Raid1,
        RaidType::Raid5 => volume::RaidType::Raid5,
        RaidType::Raid6 => volume::RaidType::Raid6,
        RaidType::Raid10 => volume::RaidType::Raid10,
    }
}

/// What a POST asks for.
fn wanted(write: &Write<'_>) -> Result<VolumeWish, Error> {
    let mut wrong = Vec::new();
    let snapshot = write.service.model.snapshot();
    let system = snapshot.system(write.id(0));
    let mut storage = system.into_iter().flat_map(|it| &it.storage);
    let storage = storage.find(|it| &*it.id == write.id(1));
    let possible = storage.map_or(&[][..], |it| &it.raid_types);
    let name = write.text(NAME);
    if let Some(name) = name {
        let fits = (1..=LONGEST).contains(&name.chars().count());
        let clean = |c: char| !c.is_control() && !"/\\'\"".contains(c);
        if !fits || !name.chars().all(clean) || name.trim() != name {
            let shown: String = name.chars().take(100).collect();
            let message = base::property_value_format_error(shown, "Name");
            let why = format!("Send 1 to {LONGEST} characters of a name.");
            wrong.push(message.about(NAME).resolved_by(why));
        }
    }
    let raid = match write.text(RAID) {
        None => {
            wrong.push(base::property_missing("RAIDType").about(RAID));
            None
        }
        Some(word) => {
            let raid = possible.iter().find(|it| it.as_str() == word);
            if raid.is_none() {
                let words: Vec<_> =
                    possible.iter().map(|it| it.as_str()).collect();
                wrong.push(not_in_list(word, RAID, &words));
            }
            raid.copied()
        }
    };
    let capacity = write.values.get(CAPACITY).map(|value| {
        value.as_u64().ok_or_else(|| {
            let text = value.to_string();
            let message =
                base::property_value_out_of_range(text, "CapacityBytes");
            wrong.push(message.about(CAPACITY));
        })
    });
    if write.flag(ENCRYPTED) == Some(true) {
        wrong.push(not_in_list("true", ENCRYPTED, &["false"]));
    }
    if let Some(time) = write.values.get(TIME) {
        let word = time.as_str().map_or_else(|| time.to_string(), Into::into);
        if !TIMES.contains(&&*word) {
            wrong.push(not_in_list(&word, TIME, &TIMES));
        }
    }
    let mut drives = Vec::new();
    let named = write.values.get(DRIVES).and_then(Value::as_array);
    if named.is_none() {
        wrong.push(base::property_missing("Drives").about(DRIVES));
    }
    for (index, link) in named.into_iter().flatten().enumerate() {
        let link = link["@odata.id"].as_str().unwrap_or_default();
        let all = storage.into_iter().flat_map(|it| &it.drives);
        let found = all.map(|it| &it.id).find(|id| {
            let here = system.and_then(|system| drive_at(system, id));
            here.as_deref() == Some(link)
        });
        match found {
            Some(id) => drives.push(id.clone()),
            None if wrong.len() < 16 => {
                let pointer = format!("{DRIVES}/{index}");
                let shown: String = link.chars().take(200).collect();
                wrong.push(
                    base::property_value_incorrect("Drives", shown)
                        .about(pointer)
                        .resolved_by("Send links to drives of this storage."),
                );
            }
            None => {}
        }
    }
    let (Some(raid), true) = (raid, wrong.is_empty()) else {
        return Err(Error::bad(wrong));
    };
    let name = name.map(str::to_owned);
    let capacity = capacity.and_then(Result::ok);
    Ok(VolumeWish { name, raid, drives, capacity })
}

fn not_in_list(word: &str, pointer: &str, words: &[&str]) -> Message {
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let message = base::property_value_not_in_list(word, name).about(pointer);
    message.resolved_by(format!("Send one of these: {}.", words.join(", ")))
}

/// What the caller is told of an error.
fn told(error: CommandError, write: &Write<'_>) -> Error {
    let CommandError::Volume { fault } = error else { return error.into() };
    tracing::warn!(%fault, "volumes not changed");
    let snapshot = write.service.model.snapshot();
    let system = snapshot.system(write.id(0));
    let link = |drive: &Id| {
        let at = system.and_then(|system| drive_at(system, drive));
        at.unwrap_or_else(|| drive.to_string())
    };
    let why = fault.to_string();
    let message = match fault {
        VolumeFault::Type(raid) => not_in_list(raid.as_str(), RAID, &[]),
        VolumeFault::UnknownDrive(drive) | VolumeFault::Twice(drive) => {
            base::property_value_incorrect("Drives", link(&drive)).about(DRIVES)
        }
        VolumeFault::Drives { raid, .. } => {
            let (least, most, step) = raid.drives();
            base::property_value_conflict("Drives", "RAIDType")
                .about(DRIVES)
                .resolved_by(format!(
                    "Send {least} to {most} drives for {}{}.",
                    raid.as_str(),
                    if step == 2 { ", an even number" } else { "" },
                ))
        }
        VolumeFault::Capacity { asked, least, most } => {
            base::property_value_out_of_range(
                asked.to_string(),
                "CapacityBytes",
            )
            .about(CAPACITY)
            .resolved_by(format!("Send a number from {least} to {most}."))
        }
        VolumeFault::Taken { drive, volume } => {
            let by = at(write.id(0), write.id(1), &volume);
            let drive = link(&drive);
            let message =
                base::property_value_resource_conflict("Drives", drive, by);
            let message = message.about(DRIVES);
            return Error::new(http::StatusCode::CONFLICT, message);
        }
        VolumeFault::InUse { .. } => {
            let message = base::resource_in_use();
            let message = message.resolved_by(format!("Free it first: {why}."));
            return Error::new(http::StatusCode::CONFLICT, message);
        }
    };
    Error::bad(vec![message])
}
