//! Owns what can be driven by hand: a person has it for a while, its own loop
//! else, and heat has the last word.
//!
//! What a person sets lasts as long as the lease and the agent do. When a
//! temperature is critical, or one that has to be known is not, every fan
//! that could help runs as hard as it can, whoever had it before. That needs
//! the readings and the fan, and nothing else: no fleet, no clock, no disk.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{Instant, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    drives::{Drives, PATIENCE},
    pulse::{BEAT, Pulse},
};
use crate::{
    boards::Controls,
    commands::{Command, CommandError, ControlChange},
    model::{
        Change, Chassis, Control, ControlMode, ControlState, Health, Id, Model,
        Part, Quality, Reading, Sensor, SensorKind, Snapshot,
    },
};

/// How long a person has a control who does not say so.
pub(crate) const LEASE: Duration = Duration::from_mins(15);
/// So many °C below what is critical, a fan need not run as hard as it can.
const COOLER: f64 = 5.0;
/// How often what did not work is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Carries out changes one after the other until `stop`, then lets go of all.
pub(crate) async fn own(
    controls: Arc<dyn Controls>,
    mut commands: mpsc::Receiver<Command<ControlChange>>,
    model: Model,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let mut beats = interval(BEAT);
    let drives = Drives::new(controls, PATIENCE);
    let mut changes = model.changes();
    let (leases, failing) = (BTreeMap::new(), BTreeMap::new());
    let mut owner = Owner { drives, model, leases, failing };
    loop {
        let ends = owner.leases.values().min().copied();
        let lease = async {
            match ends {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = beats.tick() => pulse.beat(),
            change = changes.recv() => match change {
                Ok(Change::Readings(_) | Change::Quality(_))
                | Err(RecvError::Lagged(_)) => owner.mind_the_heat().await,
                Ok(_) => {}
                Err(RecvError::Closed) => break,
            },
            () = lease => owner.end_leases().await,
            command = commands.recv() => {
                let Some(Command { part, what, answer }) = command else {
                    break;
                };
                let result = owner.change(&part, what).await;
                // The one who asked may have given up.
                let _ = answer.send(result);
            }
        }
    }
    owner.let_go().await;
}

/// Why the agent has its hand on a control.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Alarm {
    /// This sensor says that it is too hot, or had to say how hot it is and
    /// does not.
    Heat(Id),
    /// This sensor, which need not be there, says nothing that can be
    /// believed, or that it is too cold: nobody may drive by hand what cools.
    Doubt(Id),
}

impl Alarm {
    fn sensor(self) -> Id {
        let (Self::Heat(sensor) | Self::Doubt(sensor)) = self;
        sensor
    }
}

struct Owner {
    drives: Drives,
    model: Model,
    /// When people have to give controls back.
    leases: BTreeMap<Id, Instant>,
    /// When those that could not be taken or given back are tried again.
    failing: BTreeMap<Id, Instant>,
}

impl Owner {
    /// Drives as hard as it can be what could cool what is too hot, and gives
    /// back what is not.
    async fn mind_the_heat(&mut self) {
        let snapshot = self.model.snapshot();
        for (chassis, control) in all(&snapshot) {
            let now = snapshot.controls.get(&control.id);
            let now = now.cloned().unwrap_or_default();
            let alarm = alarm(&snapshot, chassis, &now);
            let next = match (alarm, now.mode) {
                (Some(Alarm::Heat(_)), ControlMode::Override) => continue,
                (Some(Alarm::Heat(sensor)), _) => ControlState {
                    mode: ControlMode::Override,
                    set_point: Some(100.0),
                    taken_back_for: Some(sensor),
                    ..ControlState::default()
                },
                (Some(Alarm::Doubt(sensor)), ControlMode::Manual) => {
                    let taken_back_for = Some(sensor);
                    ControlState { taken_back_for, ..ControlState::default() }
                }
                (_, ControlMode::Override) => ControlState::default(),
                (None | Some(_), _) => continue,
            };
            let again = self.failing.get(&control.id);
            if again.is_some_and(|again| *again > Instant::now()) {
                continue;
            }
            let part = Part::Chassis(chassis.id.clone());
            let driven =
                self.drives.drive(&part, &control.id, next.set_point).await;
            if let Err(error) = driven {
                let next = Instant::now() + AGAIN;
                if self.failing.insert(control.id.clone(), next).is_none() {
                    warn!(%error, control = %control.id, "not taken");
                }
                continue;
            }
            self.failing.remove(&control.id);
            self.leases.remove(&control.id);
            if let Some(sensor) = &next.taken_back_for {
                let percent = next.set_point;
                warn!(control = %control.id, %sensor, ?percent, "taken");
            } else {
                info!(control = %control.id, "given back");
            }
            let since = Some(Utc::now());
            let next = ControlState { since, ..next };
            self.model.post_control(&chassis.id, &control.id, next);
        }
    }

    /// Gives back to their loops what people had for as long as they may.
    async fn end_leases(&mut self) {
        let snapshot = self.model.snapshot();
        let now = Instant::now();
        for (chassis, control) in all(&snapshot) {
            if self.leases.get(&control.id).is_none_or(|ends| *ends > now) {
                continue;
            }
            let part = Part::Chassis(chassis.id.clone());
            match self.drives.drive(&part, &control.id, None).await {
                Ok(()) => {
                    self.leases.remove(&control.id);
                    info!(control = %control.id, "lease over");
                    let state = ControlState {
                        since: Some(Utc::now()),
                        ..ControlState::default()
                    };
                    self.model.post_control(&chassis.id, &control.id, state);
                }
                Err(error) => {
                    warn!(%error, control = %control.id, "not given back");
                    self.leases.insert(control.id.clone(), now + AGAIN);
                }
            }
        }
        // What went with its part has no lease either.
        self.leases.retain(|_, ends| *ends > now);
    }

    async fn change(
        &mut self,
        part: &Part,
        change: ControlChange,
    ) -> Result<(), CommandError> {
        let snapshot = self.model.snapshot();
        let unknown = || CommandError::Unknown { part: part.clone() };
        let Part::Chassis(chassis) = part else { return Err(unknown()) };
        let chassis = snapshot.chassis(chassis).ok_or_else(unknown)?;
        let mut all = chassis.controls.iter();
        let control = all.find(|it| it.id == change.control);
        let control = control.ok_or_else(unknown)?;
        let now = snapshot.controls.get(&control.id);
        let now = now.cloned().unwrap_or_default();
        let alarm = alarm(&snapshot, chassis, &now);
        let lease = change.lease.unwrap_or(LEASE);
        let state = match (change.mode.unwrap_or(now.mode), alarm) {
            // What is as it is: heat keeps what it has.
            (ControlMode::Automatic, Some(Alarm::Heat(_)))
                if now.mode == ControlMode::Override =>
            {
                return Ok(());
            }
            (ControlMode::Automatic, _) => ControlState::default(),
            (ControlMode::Manual | ControlMode::Override, Some(alarm)) => {
                let (part, sensor) = (part.clone(), alarm.sensor());
                return Err(CommandError::Alarm { part, sensor });
            }
            (ControlMode::Manual | ControlMode::Override, None) => {
                let reading = snapshot.reading(&control.sensor);
                let driven = reading.and_then(Reading::number);
                // Who says nothing gets what is so now, or what is safe.
                let wanted = change.set_point.or(now.set_point).or(driven);
                let lease = TimeDelta::from_std(lease).unwrap_or_default();
                ControlState {
                    mode: ControlMode::Manual,
                    set_point: Some(wanted.unwrap_or(100.0).clamp(0.0, 100.0)),
                    until: Some(Utc::now() + lease),
                    ..ControlState::default()
                }
            }
        };
        self.drives.drive(part, &control.id, state.set_point).await?;
        if state.mode == ControlMode::Manual {
            self.leases.insert(control.id.clone(), Instant::now() + lease);
        } else {
            self.leases.remove(&control.id);
        }
        info!(control = %control.id, percent = ?state.set_point, "control set");
        let state = ControlState { since: Some(Utc::now()), ..state };
        self.model.post_control(&chassis.id, &control.id, state);
        Ok(())
    }

    /// Gives everything back, and leaves it so that it harms nobody.
    async fn let_go(&self) {
        let snapshot = self.model.snapshot();
        for (chassis, control) in all(&snapshot) {
            let id = &control.id;
            let mode = snapshot.controls.get(id).map(|state| state.mode);
            if mode.unwrap_or_default() != ControlMode::Automatic {
                let part = Part::Chassis(chassis.id.clone());
                if let Err(error) = self.drives.drive(&part, id, None).await {
                    warn!(%error, control = %id, "control left as it is");
                }
            }
            if let Err(error) = self.drives.leave(id).await {
                warn!(%error, control = %id, "control left as it is");
            }
        }
    }
}

/// All controls, with their chassis.
fn all(snapshot: &Snapshot) -> Vec<(&Chassis, &Control)> {
    let chassis = snapshot.inventory.chassis.iter();
    let all = chassis.flat_map(|chassis| {
        chassis.controls.iter().map(move |control| (chassis, control))
    });
    all.collect()
}

/// Whether `chassis` is in the one called `outer`, or is that one.
pub(super) fn is_in(
    snapshot: &Snapshot,
    chassis: &Chassis,
    outer: &Id,
) -> bool {
    let mut at = Some(chassis);
    // So many steps lead out of any of them.
    for _ in 0..=snapshot.inventory.chassis.len() {
        let Some(here) = at else { return false };
        if here.id == *outer {
            return true;
        }
        let holder = here.contained_by.as_deref();
        at = holder.and_then(|id| snapshot.chassis(id));
    }
    false
}

/// What the sensors in `chassis`, and in what it holds, say to the one who
/// drives by `state` what cools them; heat before doubt.
fn alarm(
    snapshot: &Snapshot,
    chassis: &Chassis,
    state: &ControlState,
) -> Option<Alarm> {
    let all = snapshot.inventory.chassis.iter();
    let inside = all.filter(|it| is_in(snapshot, it, &chassis.id));
    let sensors = inside.flat_map(|chassis| &chassis.sensors);
    let mut doubt = None;
    for sensor in sensors.filter(|it| it.kind == SensorKind::Temperature) {
        if is_heat(snapshot, sensor, state) {
            return Some(Alarm::Heat(sensor.id.clone()));
        }
        let quality = snapshot.reading(&sensor.id).map(|it| &it.quality);
        let doubtful = quality != Some(&Quality::Good)
            || snapshot.sensor_health(sensor) == Health::Critical;
        if doubtful {
            doubt.get_or_insert(Alarm::Doubt(sensor.id.clone()));
        }
    }
    doubt
}

fn is_heat(snapshot: &Snapshot, sensor: &Sensor, state: &ControlState) -> bool {
    let Some(reading) = snapshot.reading(&sensor.id) else { return false };
    let (Quality::Good, Some(celsius)) = (&reading.quality, reading.number())
    else {
        return sensor.required;
    };
    let limits = &sensor.thresholds;
    let limit = [limits.upper_critical, limits.upper_fatal];
    let limit = limit.into_iter().flatten().reduce(f64::min);
    // What is taken for this sensor is not given back at the first degree.
    let taken = state.mode == ControlMode::Override
        && state.taken_back_for.as_ref() == Some(&sensor.id);
    let margin = if taken { COOLER } else { 0.0 };
    limit.is_some_and(|limit| celsius >= limit - margin)
}
