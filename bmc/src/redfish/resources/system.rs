//! `ComputerSystem`: a computer, its power and what is in it.

use chrono::SecondsFormat;
use onprem_redfish::{
    message::base,
    schema::{
        Reference,
        computer_system::{
            ComputerSystem, HostSerialConsole, Links, MemorySummary,
            ProcessorSummary, SystemType, WebSocketConsole,
        },
        resource::{self, State},
    },
};
use serde_json::{Map, Value, json};

use super::{
    With as _, allowable, enabled, graceful, health, number, power_mode,
    power_state,
    sensor::{trouble, with_conditions},
    system_boot, why,
};
use crate::{
    commands::ResetType,
    console::SESSIONS,
    model::{self, Bay, Part, Quality, Snapshot, SystemKind},
    redfish::{
        error::Error,
        resource::{
            Acted, Action, Answer, Pending, Resource, View, Write, answer,
        },
        uri,
    },
};

const RESET: &str = "ComputerSystem.Reset";

/// `/redfish/v1/Systems/{ComputerSystemId}`
pub(crate) struct System;

impl Resource for System {
    fn uri(&self) -> &'static str {
        uri::SYSTEM
    }

    fn kind(&self) -> &'static str {
        "ComputerSystem"
    }

    fn freshness(&self) -> crate::redfish::resource::Freshness {
        // Its health follows the sensors.
        crate::redfish::resource::Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let system = view.system(ids)?;
        let snapshot = view.snapshot;
        let settings = snapshot.settings.of(&Part::System(system.id.clone()));
        let below = |pattern| Reference::new(uri::of(pattern, ids));
        let chassis = system.chassis.iter();
        let manager = &snapshot.inventory.manager.id;
        let links = Links::new()
            .chassis(chassis.map(|id| uri::of(uri::CHASSIS, &[id])))
            .managed_by([uri::of(uri::MANAGER, &[manager])]);
        let host_name = settings.host_name.clone();
        let host_name = host_name.or(system.host_name.clone());
        let body = ComputerSystem::new("", &*system.id, &*system.name)
            .system_type(match system.kind {
                SystemKind::Physical => SystemType::Physical,
                SystemKind::Virtual => SystemType::Virtual,
            })
            .with(
                system.board.manufacturer.clone(),
                ComputerSystem::manufacturer,
            )
            .with(system.board.model.clone(), ComputerSystem::model)
            .with(system.board.sku.clone(), ComputerSystem::sku)
            .with(
                system.board.serial_number.clone(),
                ComputerSystem::serial_number,
            )
            .with(system.board.part_number.clone(), ComputerSystem::part_number)
            .uuid(system.uuid)
            .asset_tag_null()
            .with(settings.asset_tag.clone(), ComputerSystem::asset_tag)
            .host_name_null()
            .with(host_name, ComputerSystem::host_name)
            .with(system.bios_version.clone(), ComputerSystem::bios_version)
            .location_indicator_active(settings.location_indicator_active)
            .power_state_null()
            .with(
                snapshot.seen_power(&system.id).map(power_state),
                ComputerSystem::power_state,
            )
            .with(system.sub_model.clone(), ComputerSystem::sub_model)
            .status(status(snapshot, system))
            .with(processors(system), ComputerSystem::processor_summary)
            .with(memory(system), ComputerSystem::memory_summary)
            .processors(below(uri::PROCESSORS))
            .memory(below(uri::MEMORIES))
            .storage(below(uri::STORAGES))
            .ethernet_interfaces(below(uri::SYSTEM_INTERFACES))
            .log_services(below(uri::SYSTEM_LOGS))
            .links(links)
            .with(serial_console(view, ids), ComputerSystem::serial_console);
        let body = system_boot::describe(body, system, &settings, snapshot);
        let body = power_mode::describe(body, &system.id, snapshot);
        let mut answer = answer(body);
        power_mode::annotate(&mut answer.body, &system.id, snapshot);
        system_boot::annotate(&mut answer, system);
        if let Some(about) = oem(system, view) {
            answer.body.insert("Oem".to_owned(), about);
        }
        let types = snapshot.reset_types(system);
        if types.is_empty() {
            return Some(answer);
        }
        let types: Vec<_> = types.iter().map(|kind| kind.as_str()).collect();
        Some(answer.action(RESET, allowable("ResetType", &types)))
    }

    fn writable(&self) -> &'static [&'static str] {
        system_boot::WRITABLE
    }

    fn clears(&self) -> &'static [&'static str] {
        &["/AssetTag", "/HostName"]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async move {
            let snapshot = write.service.model.snapshot();
            let system = snapshot.system(write.id(0));
            let system = system.ok_or_else(Error::internal)?;
            let settings = system_boot::settings(write, system)?;
            let wanted = power_mode::wanted(write, &system.id, &snapshot)?;
            if let Some(model) = wanted {
                power_mode::choose(write, &system.id, model).await?;
            }
            let part = Part::System(system.id.clone());
            super::chassis::patch_part(write, part, settings).await
        })
    }

    fn actions(&self) -> &'static [Action] {
        &[(RESET, &["/ResetType"])]
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(async move {
            let snapshot = write.service.model.snapshot();
            let system = snapshot.system(write.id(0));
            let system = system.ok_or_else(Error::internal)?;
            let types = snapshot.reset_types(system);
            let Some(first) = types.first() else {
                return Err(Error::bad(vec![base::action_not_supported(
                    action,
                )]));
            };
            let kind = match write.text("/ResetType") {
                None => *first,
                Some(wanted) => reset_type(&types, wanted, action)?,
            };
            let commands = &write.service.commands;
            if commands.is_graceful(&system.id, kind) {
                let work = graceful::work(commands, &system.id, kind);
                return Ok(Acted::Task(work));
            }
            commands.reset(&system.id, kind).await?;
            Ok(Acted::Done)
        })
    }
}

/// How it is; where it is on a control bus, whether it answers there.
fn status(snapshot: &Snapshot, system: &model::System) -> resource::Status {
    let well = snapshot.system_health(system);
    let part = Part::System(system.id.clone());
    let mut conditions: Vec<_> =
        snapshot.troubles(&part).map(trouble).collect();
    conditions.extend(why::of_system(snapshot, system));
    if system.bay.is_none() {
        return with_conditions(enabled(well), conditions);
    }
    let contact = snapshot.contacts.get(&system.id);
    let state = match contact.map(|contact| &contact.quality) {
        Some(Quality::Good) => State::Enabled,
        Some(Quality::Stale) => State::Degraded,
        Some(Quality::Failed(_)) => State::UnavailableOffline,
        None => State::Starting,
    };
    let status = resource::Status::new().state(state).health(health(well));
    with_conditions(status, conditions)
}

/// Its serial console, if it has one.
fn serial_console(view: &View<'_>, ids: &[&str]) -> Option<HostSerialConsole> {
    view.service.consoles.of(ids.first()?)?;
    let socket = WebSocketConsole::new()
        .service_enabled(true)
        .console_uri(uri::of(uri::CONSOLE, ids))
        .interactive(true);
    let most = i64::try_from(SESSIONS).unwrap_or_default();
    Some(
        HostSerialConsole::new()
            .max_concurrent_sessions(most)
            .web_socket(socket),
    )
}

/// What we know of it beyond the standard.
fn oem(system: &model::System, view: &View<'_>) -> Option<Value> {
    let (mut about, snapshot) = (Map::new(), view.snapshot);
    if view.service.consoles.of(&system.id).is_some() {
        let history = uri::of(uri::CONSOLE_HISTORY, &[&system.id]);
        about.insert("SerialConsoleHistoryURI".to_owned(), history.into());
    }
    let boot = snapshot.boots.get(&system.id);
    if let Some(source) = boot.and_then(|boot| boot.started.from) {
        about.insert("LastBootSource".to_owned(), source.as_str().into());
    }
    if let Some(Bay { address, label }) = &system.bay {
        let mut bus = Map::new();
        bus.insert("Address".to_owned(), format!("{address:#04x}").into());
        bus.insert("ServiceLabel".to_owned(), (&**label).into());
        let contact = snapshot.contacts.get(&system.id);
        if let Some((contact, (current, fan))) =
            contact.and_then(|contact| Some((contact, contact.counts?)))
        {
            let at = contact.at.to_rfc3339_opts(SecondsFormat::Millis, true);
            bus.insert("CurrentCount".to_owned(), current.into());
            bus.insert("FanCount".to_owned(), fan.into());
            bus.insert("ReadingTime".to_owned(), at.into());
        }
        about.insert("ControlBus".to_owned(), bus.into());
    }
    if let Some(agent) = snapshot.agents.get(&system.id) {
        about.insert("NodeAgent".to_owned(), graceful::describe(agent));
    }
    power_mode::about(&mut about, &system.id, snapshot);
    let part = Part::System(system.id.clone());
    let known = snapshot.troubles.get(&part).into_iter().flatten();
    let earlier: Vec<_> = known
        .filter(|known| known.trouble.over)
        .map(|known| known.trouble.word)
        .collect();
    if !earlier.is_empty() {
        about.insert("PastConditions".to_owned(), earlier.into());
    }
    let left = snapshot.starts_left.get(&system.id);
    if let (Some(limit), Some(left)) = (system.cycles_per_hour, left) {
        about.insert("StartsPerHour".to_owned(), limit.into());
        about.insert("StartsLeft".to_owned(), (*left).into());
    }
    if system.hosts_manager {
        about.insert("HostsManager".to_owned(), true.into());
    }
    if about.is_empty() {
        return None;
    }
    let of = "#OnPremComputerSystem.v1_0_0.OnPrem";
    about.insert("@odata.type".to_owned(), of.into());
    Some(json!({ "OnPrem": about }))
}

fn reset_type(
    types: &[ResetType],
    wanted: &str,
    action: &str,
) -> Result<ResetType, Error> {
    let found = types.iter().find(|it| it.as_str() == wanted);
    found.copied().ok_or_else(|| {
        let all: Vec<_> = types.iter().map(|it| it.as_str()).collect();
        let message = base::action_parameter_value_not_in_list(
            wanted,
            "ResetType",
            action,
        );
        let advice = format!("Send one of these: {}.", all.join(", "));
        Error::bad(vec![message.resolved_by(advice)])
    })
}

/// What is not known is left open: a node on a control bus does not tell what
/// it is made of.
fn processors(system: &model::System) -> Option<ProcessorSummary> {
    let all = &system.processors;
    let first = all.first()?;
    let total = |count: fn(&model::Processor) -> u32| {
        all.iter().map(|it| i64::from(count(it))).sum()
    };
    let summary = ProcessorSummary::new()
        .count(i64::try_from(all.len()).unwrap_or_default())
        .core_count(total(|it| it.cores))
        .logical_processor_count(total(|it| it.threads))
        .with(first.model.clone(), ProcessorSummary::model);
    Some(summary)
}

fn memory(system: &model::System) -> Option<MemorySummary> {
    if system.memory_total == 0 {
        return None;
    }
    // Two decimals are what people compare with.
    #[expect(
        clippy::cast_precision_loss,
        reason = "memory is counted in less than 2^52 mebibytes"
    )]
    let gibibytes = (system.memory_total >> 20) as f64 / 1024.0;
    let gibibytes = (gibibytes * 100.0).round() / 100.0;
    let all = number(gibibytes);
    let summary =
        MemorySummary::new().with(all, MemorySummary::total_system_memory_gi_b);
    Some(summary)
}
