//! `Chassis`: a thing one can touch.

use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        chassis::{
            self, ChassisRequired, ChassisType, IntrusionSensor,
            IntrusionSensorReArm, Links, PhysicalSecurity,
        },
        resource::{self, Location, LocationType, PartLocation},
    },
};

use super::{
    With as _, allowable, enabled, instrument,
    modem::{self, RESTART},
    network_adapter, power_state, why,
};
use crate::{
    commands::{ResetType, Setting},
    model::{self, ChassisKind, Part, Quality, Reading, Snapshot},
    redfish::{
        capture::{CAPTURE, PARAMETERS, capture},
        error::Error,
        resource::{
            Acted, Action, Answer, Freshness, Pending, Resource, View, Write,
            answer,
        },
        uri,
    },
};

const RESET: &str = "Chassis.Reset";

/// What the power of a chassis can do; on first, as it harms nobody.
const KINDS: [ResetType; 3] =
    [ResetType::On, ResetType::ForceOff, ResetType::PowerCycle];

/// `/redfish/v1/Chassis/{ChassisId}`
pub(crate) struct Chassis;

impl Resource for Chassis {
    fn uri(&self) -> &'static str {
        uri::CHASSIS
    }

    fn kind(&self) -> &'static str {
        "Chassis"
    }

    fn freshness(&self) -> Freshness {
        // Its health follows the sensors.
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.chassis(ids)?;
        let snapshot = view.snapshot;
        let settings = snapshot.settings.of(&Part::Chassis(it.id.clone()));
        let below = |pattern| Reference::new(uri::of(pattern, ids));
        let power = it.systems.first().and_then(|id| snapshot.seen_power(id));
        let inside = snapshot
            .inventory
            .chassis
            .iter()
            .filter(|other| other.contained_by.as_ref() == Some(&it.id))
            .map(|other| uri::of(uri::CHASSIS, &[&other.id]));
        let manager = uri::of(uri::MANAGER, &[&snapshot.inventory.manager.id]);
        let holds_manager = it.contained_by.is_none();
        let links = Links::new()
            .computer_systems(
                it.systems.iter().map(|id| uri::of(uri::SYSTEM, &[id])),
            )
            .managed_by([manager.clone()])
            .contains(inside)
            .with(it.contained_by.as_ref(), |links, id| {
                links.contained_by(uri::of(uri::CHASSIS, &[id]))
            })
            .with(holds_manager.then_some(manager), |links, manager| {
                links.managers_in_chassis([manager])
            });
        let drives = view.drives(it).next().is_some();
        let adapters = !network_adapter::ids(snapshot, it).is_empty();
        let old = view.service.deprecated_power_thermal;
        let board = it.board.clone();
        let why = why::of_chassis(snapshot, it);
        let body = chassis::Chassis::new(ChassisRequired {
            odata_id: String::new(),
            id: it.id.to_string(),
            name: it.name.clone(),
            chassis_type: match it.kind {
                ChassisKind::Blade => ChassisType::Blade,
                ChassisKind::Module => ChassisType::Module,
                ChassisKind::Enclosure => ChassisType::Enclosure,
                ChassisKind::Rack => ChassisType::Rack,
                ChassisKind::RackMount => ChassisType::RackMount,
                ChassisKind::StandAlone => ChassisType::StandAlone,
            },
        })
        .with(board.manufacturer, chassis::Chassis::manufacturer)
        .with(board.model, chassis::Chassis::model)
        .with(board.sku, chassis::Chassis::sku)
        .with(board.serial_number, chassis::Chassis::serial_number)
        .with(board.part_number, chassis::Chassis::part_number)
        .asset_tag_null()
        .with(settings.asset_tag, chassis::Chassis::asset_tag)
        .location_indicator_active(settings.location_indicator_active)
        .with(power.map(power_state), chassis::Chassis::power_state)
        .status(enabled(snapshot.chassis_health(it)).with(
            (!why.is_empty()).then_some(why),
            resource::Status::conditions,
        ))
        .sensors(below(uri::SENSORS))
        .with(drives.then(|| below(uri::DRIVES)), chassis::Chassis::drives)
        .with(
            adapters.then(|| below(uri::ADAPTERS)),
            chassis::Chassis::network_adapters,
        )
        .controls(below(uri::CONTROLS))
        .with(old.then(|| below(uri::OLD_POWER)), chassis::Chassis::power)
        .with(old.then(|| below(uri::OLD_THERMAL)), chassis::Chassis::thermal)
        .thermal_subsystem(below(uri::THERMAL))
        .power_subsystem(below(uri::POWER))
        .environment_metrics(below(uri::ENVIRONMENT))
        .with(it.place.as_ref(), |body, (label, number)| {
            body.location(
                Location::new().part_location(
                    PartLocation::new()
                        .service_label(&**label)
                        .location_type(LocationType::Slot)
                        .location_ordinal_value(i64::from(*number)),
                ),
            )
        })
        .with(security(snapshot, it), chassis::Chassis::physical_security)
        .links(links);
        let mut answer = answer(body);
        if let Some(about) = instrument::about(it, snapshot) {
            answer.body.insert("Oem".to_owned(), about);
        }
        if !it.instruments.is_empty() {
            answer = answer.action(CAPTURE, instrument::parameters(it));
        }
        if !it.modems.is_empty() {
            answer = answer.action(RESTART, modem::parameters(it));
        }
        if switched(snapshot, it).is_empty() {
            return Some(answer);
        }
        let kinds = KINDS.map(ResetType::as_str);
        Some(answer.action(RESET, allowable("ResetType", &kinds)))
    }

    fn actions(&self) -> &'static [Action] {
        &[
            (RESET, &["/ResetType"]),
            (CAPTURE, PARAMETERS),
            (RESTART, modem::PARAMETERS),
        ]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        if action == CAPTURE {
            return Box::pin(async { capture(write) });
        }
        if action == RESTART {
            return Box::pin(async { modem::restart(write) });
        }
        Box::pin(reset(write, action))
    }

    fn writable(&self) -> &'static [&'static str] {
        &["/AssetTag", "/LocationIndicatorActive"]
    }

    fn clears(&self) -> &'static [&'static str] {
        &["/AssetTag"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(patch_part(
            write,
            Part::Chassis(write.id(0).into()),
            Vec::new(),
        ))
    }
}

/// Whether it is open, where something watches that.
fn security(
    snapshot: &Snapshot,
    chassis: &model::Chassis,
) -> Option<PhysicalSecurity> {
    let watched = chassis.intrusion.iter();
    let said: Vec<f64> = watched
        .filter_map(|id| snapshot.reading(id))
        .filter(|reading| reading.quality == Quality::Good)
        .filter_map(Reading::number)
        .collect();
    if chassis.intrusion.is_empty() {
        return None;
    }
    let security = PhysicalSecurity::new()
        .intrusion_sensor_re_arm(IntrusionSensorReArm::Automatic);
    if said.iter().any(|value| *value >= 50.0) {
        return Some(
            security.intrusion_sensor(IntrusionSensor::HardwareIntrusion),
        );
    }
    // One that says nothing may be open.
    if said.len() < chassis.intrusion.len() {
        return Some(security.intrusion_sensor_null());
    }
    Some(security.intrusion_sensor(IntrusionSensor::Normal))
}

/// The systems in it, and in what it holds, whose power the agent switches.
/// The one that the agent runs on is none of them.
fn switched<'a>(
    snapshot: &'a Snapshot,
    chassis: &'a model::Chassis,
) -> Vec<&'a model::System> {
    let mut inside = vec![chassis];
    let mut at = 0;
    // A chassis is in one other at most, but a board file could say a circle.
    while let Some(holder) = inside.get(at).copied()
        && at < snapshot.inventory.chassis.len()
    {
        let all = snapshot.inventory.chassis.iter();
        let held =
            all.filter(|it| it.contained_by.as_ref() == Some(&holder.id));
        inside.extend(held.collect::<Vec<_>>());
        at += 1;
    }
    let ids = inside.into_iter().flat_map(|chassis| &chassis.systems);
    let systems = ids.filter_map(|id| snapshot.system(id));
    systems.filter(|system| system.restores_power).collect()
}

/// Switches all that is in it: those that can be, although others cannot.
async fn reset(write: &Write<'_>, action: &str) -> Result<Acted, Error> {
    let snapshot = write.service.model.snapshot();
    let chassis = snapshot.chassis(write.id(0)).ok_or_else(Error::internal)?;
    let systems = switched(&snapshot, chassis);
    if systems.is_empty() {
        let message = base::action_not_supported(action);
        return Err(Error::bad(vec![message]));
    }
    let wanted = write.text("/ResetType").unwrap_or(KINDS[0].as_str());
    let mut kinds = KINDS.iter();
    let kind = kinds.find(|it| it.as_str() == wanted).ok_or_else(|| {
        let message = base::action_parameter_value_not_in_list(
            wanted,
            "ResetType",
            action,
        );
        let all = KINDS.map(ResetType::as_str).join(", ");
        let advice = format!("Send one of these: {all}.");
        Error::bad(vec![message.resolved_by(advice)])
    })?;
    let mut refused = Vec::new();
    for system in systems {
        if let Err(error) =
            write.service.commands.reset(&system.id, *kind).await
        {
            refused.push((&system.id, error));
        }
    }
    let said = refused.iter().map(|(id, why)| format!("{id}: {why}"));
    let said = said.collect::<Vec<_>>().join("; ");
    let Some((_, first)) = refused.into_iter().next() else {
        return Ok(Acted::Done);
    };
    let error = Error::from(first);
    Err(error.resolved_by(&format!("These were not switched: {said}.")))
}

/// Sets asset tag, host name and indicator of `part`, and `more`: all, or
/// nothing.
pub(super) async fn patch_part(
    write: &Write<'_>,
    part: Part,
    more: Vec<Setting>,
) -> Result<(), Error> {
    let mut settings = more;
    if write.values.contains_key("/AssetTag") {
        let tag = write.text("/AssetTag").unwrap_or_default();
        settings.push(Setting::AssetTag(tag.to_owned()));
    }
    if write.values.contains_key("/HostName") {
        let name = write.text("/HostName").map(str::to_owned);
        settings.push(Setting::HostName(name));
    }
    if let Some(active) = write.flag("/LocationIndicatorActive") {
        settings.push(Setting::LocationIndicator(active));
    }
    Ok(write.service.commands.set(part, settings).await?)
}
