//! Owns what can be driven by hand, and takes it back when heat says so.
//!
//! What a person sets lasts as long as the agent does: at its end, and when a
//! temperature is critical or unknown, a control goes back to its own loop.

use std::sync::Arc;

use chrono::Utc;
use onprem_link::task::blocking;
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    boards::Controls,
    commands::{Command, CommandError, ControlChange},
    model::{
        Change, Chassis, Control, ControlMode, ControlState, Health, Id, Model,
        Part, Quality, Reading, SensorKind, Snapshot,
    },
};

/// Carries out changes one after the other until `stop`, then lets go of all.
pub(crate) async fn own(
    controls: Arc<dyn Controls>,
    mut commands: mpsc::Receiver<Command<ControlChange>>,
    model: Model,
    stop: CancellationToken,
) {
    let mut changes = model.changes();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            change = changes.recv() => match change {
                Ok(Change::Readings(_) | Change::Quality(_))
                | Err(RecvError::Lagged(_)) => {
                    take_back(&controls, &model).await;
                }
                Ok(_) => {}
                Err(RecvError::Closed) => break,
            },
            command = commands.recv() => {
                let Some(Command { part, what, answer }) = command else {
                    break;
                };
                let result = change(&controls, &model, &part, what).await;
                // The one who asked may have given up.
                let _ = answer.send(result);
            }
        }
    }
    for (chassis, control) in manual(&model.snapshot()) {
        let part = Part::Chassis(chassis.id.clone());
        if let Err(error) = drive(&controls, &part, &control.id, None).await {
            warn!(%error, control = %control.id, "control left as it is");
        }
    }
}

/// The controls that a person has, with their chassis.
fn manual(snapshot: &Snapshot) -> Vec<(&Chassis, &Control)> {
    let chassis = snapshot.inventory.chassis.iter();
    let all = chassis.flat_map(|chassis| {
        chassis.controls.iter().map(move |control| (chassis, control))
    });
    let is_manual = |id: &str| {
        let state = snapshot.controls.get(id);
        state.is_some_and(|state| state.mode == ControlMode::Manual)
    };
    all.filter(|(_, control)| is_manual(&control.id)).collect()
}

/// The sensor because of which nobody may drive what cools `chassis`: it is
/// critical, or says nothing that can be believed.
fn alarm(snapshot: &Snapshot, chassis: &Chassis) -> Option<Id> {
    let mut sensors = chassis.sensors.iter();
    let found = sensors.find(|sensor| {
        if sensor.kind != SensorKind::Temperature {
            return false;
        }
        let quality = snapshot.reading(&sensor.id).map(|it| &it.quality);
        quality != Some(&Quality::Good)
            || snapshot.sensor_health(sensor) == Health::Critical
    });
    found.map(|sensor| sensor.id.clone())
}

async fn take_back(controls: &Arc<dyn Controls>, model: &Model) {
    let snapshot = model.snapshot();
    for (chassis, control) in manual(&snapshot) {
        let Some(sensor) = alarm(&snapshot, chassis) else { continue };
        let part = Part::Chassis(chassis.id.clone());
        match drive(controls, &part, &control.id, None).await {
            Ok(()) => {
                warn!(control = %control.id, %sensor, "control taken back");
                let state = ControlState {
                    since: Some(Utc::now()),
                    taken_back_for: Some(sensor),
                    ..ControlState::default()
                };
                model.post_control(&chassis.id, &control.id, state);
            }
            // The next reading brings the next try.
            Err(error) => {
                warn!(%error, control = %control.id, "not taken back");
            }
        }
    }
}

async fn change(
    controls: &Arc<dyn Controls>,
    model: &Model,
    part: &Part,
    change: ControlChange,
) -> Result<(), CommandError> {
    let snapshot = model.snapshot();
    let unknown = || CommandError::Unknown { part: part.clone() };
    let Part::Chassis(chassis) = part else { return Err(unknown()) };
    let chassis = snapshot.chassis(chassis).ok_or_else(unknown)?;
    let mut all = chassis.controls.iter();
    let control = all.find(|it| it.id == change.control);
    let control = control.ok_or_else(unknown)?;
    let now = snapshot.controls.get(&control.id).cloned().unwrap_or_default();
    let mode = change.mode.unwrap_or(now.mode);
    let state = match mode {
        ControlMode::Automatic => {
            ControlState { since: Some(Utc::now()), ..ControlState::default() }
        }
        ControlMode::Manual => {
            if let Some(sensor) = alarm(&snapshot, chassis) {
                return Err(CommandError::Alarm { part: part.clone(), sensor });
            }
            let reading = snapshot.reading(&control.sensor);
            let driven = reading.and_then(Reading::number);
            // Who says nothing gets what is so now, or what is safe.
            let wanted = change.set_point.or(now.set_point).or(driven);
            ControlState {
                mode,
                set_point: Some(wanted.unwrap_or(100.0).clamp(0.0, 100.0)),
                since: Some(Utc::now()),
                taken_back_for: None,
            }
        }
    };
    drive(controls, part, &control.id, state.set_point).await?;
    info!(control = %control.id, percent = ?state.set_point, "control set");
    model.post_control(&chassis.id, &control.id, state);
    Ok(())
}

async fn drive(
    controls: &Arc<dyn Controls>,
    part: &Part,
    control: &Id,
    percent: Option<f64>,
) -> Result<(), CommandError> {
    let (controls, id) = (Arc::clone(controls), control.clone());
    let driven = blocking(move || controls.drive(&id, percent)).await;
    let driven = driven.unwrap_or_else(|error| Err(error.into()));
    driven.map_err(|error| CommandError::Failed {
        part: part.clone(),
        reason: error.to_string(),
    })
}
