//! How a `ComputerSystem` starts: override, progress, watchdog, and what it
//! does when the power comes back.

use chrono::SecondsFormat;
use onprem_redfish::{
    message::base,
    schema::{
        computer_system::{
            self, Boot, BootProgress, BootProgressTypes, ComputerSystem,
            LastResetCauses, PowerRestorePolicyTypes, WatchdogTimeoutActions,
            WatchdogTimer,
        },
        resource::{State, Status},
    },
};
use serde_json::{Map, Value};

use super::With as _;
use crate::{
    boards::host,
    bus::watchdog::ResetCause,
    commands::Setting,
    model::{
        self, BootEnabled, BootMode, BootSource, BootStage, PartSettings,
        PowerRestorePolicy, Snapshot, TimeoutAction,
    },
    redfish::{
        error::Error,
        resource::{Answer, Write},
    },
};

const ENABLED: &str = "/Boot/BootSourceOverrideEnabled";
const TARGET: &str = "/Boot/BootSourceOverrideTarget";
const MODE: &str = "/Boot/BootSourceOverrideMode";
const POLICY: &str = "/PowerRestorePolicy";
const WATCHES: &str = "/HostWatchdogTimer/FunctionEnabled";
const ACTION: &str = "/HostWatchdogTimer/TimeoutAction";

/// What of this a PATCH may set, with what else it may.
pub(super) const WRITABLE: &[&str] = &[
    "/AssetTag",
    "/HostName",
    "/LocationIndicatorActive",
    ENABLED,
    TARGET,
    MODE,
    POLICY,
    WATCHES,
    ACTION,
    super::power_mode::WRITABLE[0],
    super::power_mode::WRITABLE[1],
];

/// Puts into `body` how `system` starts.
pub(super) fn describe(
    body: ComputerSystem,
    system: &model::System,
    settings: &PartSettings,
    snapshot: &Snapshot,
) -> ComputerSystem {
    let offers = !system.boot_sources.is_empty();
    let policy =
        system.restores_power.then(|| match system.restore_policy(settings) {
            PowerRestorePolicy::AlwaysOn => PowerRestorePolicyTypes::AlwaysOn,
            PowerRestorePolicy::AlwaysOff => PowerRestorePolicyTypes::AlwaysOff,
            PowerRestorePolicy::LastState => PowerRestorePolicyTypes::LastState,
        });
    let last_reset = snapshot.resets.get(&system.id).copied();
    let last_reset = last_reset.or(system.last_reset);
    // The watchdog is that of the machine the agent runs on.
    let own = *system.id == *host::SYSTEM;
    let state = snapshot.watchdog.as_ref().filter(|_| own);
    let cause = state.and_then(|it| it.cause).map(|cause| match cause {
        ResetCause::Watchdog => LastResetCauses::WatchdogExpiration,
        ResetCause::Heat => LastResetCauses::ThermalEvent,
        ResetCause::Power => LastResetCauses::PowerEvent,
    });
    body.with(offers.then(|| boot(system, settings)), ComputerSystem::boot)
        .with(policy, ComputerSystem::power_restore_policy)
        .with(
            snapshot.boots.get(&system.id).map(progress),
            ComputerSystem::boot_progress,
        )
        .with(
            system.watchdog.map(|_| watchdog(settings)),
            ComputerSystem::host_watchdog_timer,
        )
        .with(
            last_reset.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            ComputerSystem::last_reset_time,
        )
        .with(cause, ComputerSystem::last_reset_cause)
}

/// Says which values of `Boot` the system takes.
pub(super) fn annotate(answer: &mut Answer, system: &model::System) {
    if let Some(Value::Object(boot)) = answer.body.get_mut("Boot") {
        for pointer in [ENABLED, TARGET, MODE] {
            let values = allowed(system, pointer);
            if !values.is_empty() {
                put(boot, last(pointer), &values);
            }
        }
    }
    if system.restores_power {
        put(&mut answer.body, last(POLICY), &allowed(system, POLICY));
    }
    if let Some(Value::Object(timer)) = answer.body.get_mut("HostWatchdogTimer")
    {
        put(timer, last(ACTION), &allowed(system, ACTION));
    }
}

fn put(into: &mut Map<String, Value>, name: &str, values: &[&str]) {
    let name = format!("{name}@Redfish.AllowableValues");
    into.insert(name, values.into());
}

fn last(pointer: &str) -> &str {
    pointer.rsplit('/').next().unwrap_or(pointer)
}

/// The values that the system takes at `pointer`; none where it has no such
/// property.
fn allowed(system: &model::System, pointer: &str) -> Vec<&'static str> {
    let boots = !system.boot_sources.is_empty();
    match pointer {
        ENABLED if boots => words(BootEnabled::ALL, BootEnabled::as_str),
        TARGET if boots => {
            let sources = words(&system.boot_sources, BootSource::as_str);
            std::iter::once("None").chain(sources).collect()
        }
        MODE => system.boot_mode.iter().map(|mode| mode.as_str()).collect(),
        POLICY if system.restores_power => {
            words(PowerRestorePolicy::ALL, PowerRestorePolicy::as_str)
        }
        ACTION if system.watchdog.is_some() => {
            words(TimeoutAction::ALL, TimeoutAction::as_str)
        }
        _ => Vec::new(),
    }
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().copied().map(word).collect()
}

/// The settings that a PATCH asks for.
pub(super) fn settings(
    write: &Write<'_>,
    system: &model::System,
) -> Result<Vec<Setting>, Error> {
    let mut settings = Vec::new();
    let mut wrong = Vec::new();
    for pointer in [ENABLED, TARGET, MODE, POLICY, ACTION] {
        let Some(value) = write.values.get(pointer) else { continue };
        let allowed = allowed(system, pointer);
        // Nothing, where the schema lets it be nothing, is `None`.
        let word = value.as_str().unwrap_or("None");
        if allowed.is_empty() {
            let message = base::property_unknown(last(pointer));
            wrong.push(message.about(pointer));
        } else if !allowed.contains(&word) {
            let message = base::property_value_not_in_list(word, last(pointer));
            let advice = format!("Send one of these: {}.", allowed.join(", "));
            wrong.push(message.about(pointer).resolved_by(advice));
        } else {
            settings.extend(setting(pointer, word));
        }
    }
    if let Some(enabled) = write.flag(WATCHES) {
        if system.watchdog.is_some() {
            settings.push(Setting::WatchdogEnabled(enabled));
        } else {
            let message = base::property_unknown("HostWatchdogTimer");
            wrong.push(message.about("/HostWatchdogTimer"));
        }
    }
    if wrong.is_empty() { Ok(settings) } else { Err(Error::bad(wrong)) }
}

fn setting(pointer: &str, word: &str) -> Option<Setting> {
    match pointer {
        ENABLED => BootEnabled::named(word).map(Setting::BootEnabled),
        TARGET => Some(Setting::BootTarget(BootSource::named(word))),
        POLICY => {
            PowerRestorePolicy::named(word).map(Setting::PowerRestorePolicy)
        }
        ACTION => TimeoutAction::named(word).map(Setting::WatchdogAction),
        // There is one mode, and it is that.
        _ => None,
    }
}

fn boot(system: &model::System, settings: &PartSettings) -> Boot {
    use computer_system::{
        BootSource as Source, BootSourceOverrideEnabled as Enabled,
        BootSourceOverrideMode as Mode,
    };
    let target = match settings.boot.target {
        None => Source::None,
        Some(BootSource::Pxe) => Source::Pxe,
        Some(BootSource::Hdd) => Source::Hdd,
        Some(BootSource::Cd) => Source::Cd,
        Some(BootSource::Usb) => Source::Usb,
        Some(BootSource::SdCard) => Source::SdCard,
        Some(BootSource::BiosSetup) => Source::BiosSetup,
        Some(BootSource::UefiHttp) => Source::UefiHttp,
    };
    let mode = system.boot_mode.map(|mode| match mode {
        BootMode::Legacy => Mode::Legacy,
        BootMode::Uefi => Mode::Uefi,
    });
    Boot::new()
        .boot_source_override_enabled(match settings.boot.enabled {
            BootEnabled::Disabled => Enabled::Disabled,
            BootEnabled::Once => Enabled::Once,
            BootEnabled::Continuous => Enabled::Continuous,
        })
        .boot_source_override_target(target)
        .with(mode, Boot::boot_source_override_mode)
}

fn progress(boot: &model::Boot) -> BootProgress {
    let since = boot.since;
    let took = boot.started.took.map(|took| took.as_secs_f64());
    BootProgress::new()
        .last_state(match boot.started.stage {
            BootStage::None => BootProgressTypes::None,
            BootStage::Processor => {
                BootProgressTypes::PrimaryProcessorInitializationStarted
            }
            BootStage::Memory => BootProgressTypes::MemoryInitializationStarted,
            BootStage::Buses => BootProgressTypes::BusInitializationStarted,
            BootStage::Hardware => {
                BootProgressTypes::SystemHardwareInitializationComplete
            }
            BootStage::Setup => BootProgressTypes::SetupEntered,
            BootStage::OsStarted => BootProgressTypes::OsBootStarted,
            BootStage::OsRunning => BootProgressTypes::OsRunning,
        })
        .with(
            since.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            BootProgress::last_state_time,
        )
        .with(
            took.and_then(super::number),
            BootProgress::last_boot_time_seconds,
        )
}

fn watchdog(settings: &PartSettings) -> WatchdogTimer {
    let state = if settings.watchdog.enabled {
        State::Enabled
    } else {
        State::Disabled
    };
    let action = match settings.watchdog.action {
        TimeoutAction::None => WatchdogTimeoutActions::None,
        TimeoutAction::ResetSystem => WatchdogTimeoutActions::ResetSystem,
        TimeoutAction::PowerCycle => WatchdogTimeoutActions::PowerCycle,
        TimeoutAction::PowerDown => WatchdogTimeoutActions::PowerDown,
    };
    WatchdogTimer::new(Some(settings.watchdog.enabled), Some(action))
        .status(Status::new().state(state))
}
