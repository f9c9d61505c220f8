//! The last means against heat: what goes on being too hot although the fans
//! do what they can is shut down, and switched off if it does not.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::control::is_in;
use crate::{
    commands::{Commands, ResetType},
    config::{Emergency, LastMeans},
    gather,
    model::{
        Chassis, Id, Model, PowerState, Quality, Sensor, SensorKind, Snapshot,
    },
};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);
/// How long until what was refused is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// A sensor above its fatal threshold.
#[derive(Clone, Copy, Debug)]
struct Heat {
    since: Instant,
    /// When the systems were told to shut down.
    asked: Option<Instant>,
    /// Not before this.
    next: Instant,
}

/// Looks after what is too hot until `stop`. It needs the readings and the
/// switches, and nothing else.
pub(crate) async fn watch(
    policy: Emergency,
    model: Model,
    commands: Commands,
    stop: CancellationToken,
) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch { policy, commands, hot: BTreeMap::new() };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let snapshot = model.snapshot();
        let look = watch.look(&snapshot);
        tokio::select! {
            () = stop.cancelled() => return,
            () = look => {}
        }
    }
}

struct Watch {
    policy: Emergency,
    commands: Commands,
    hot: BTreeMap<Id, Heat>,
}

impl Watch {
    async fn look(&mut self, snapshot: &Snapshot) {
        let chassis = snapshot.inventory.chassis.iter();
        let fatal: Vec<(&Chassis, &Sensor)> = chassis
            .flat_map(|chassis| {
                let sensors = chassis.sensors.iter();
                sensors.map(move |sensor| (chassis, sensor))
            })
            .filter(|(_, sensor)| is_fatal(snapshot, sensor))
            .collect();
        // A sensor that is lost while it burns has not cooled down.
        self.hot.retain(|id, _| {
            let quality = snapshot.reading(id).map(|it| &it.quality);
            let known = quality == Some(&Quality::Good);
            !known || fatal.iter().any(|(_, sensor)| sensor.id == *id)
        });
        let now = Instant::now();
        for (_, sensor) in &fatal {
            self.hot.entry(sensor.id.clone()).or_insert_with(|| {
                warn!(sensor = %sensor.id, "above its fatal threshold");
                Heat { since: now, asked: None, next: now }
            });
        }
        let wait = Duration::from_secs(self.policy.after_seconds);
        let due: Vec<Id> = self
            .hot
            .iter()
            .filter(|(_, heat)| now >= heat.since + wait && now >= heat.next)
            .map(|(id, _)| id.clone())
            .collect();
        for sensor in due {
            self.act(snapshot, &sensor).await;
        }
    }

    /// Does the next thing about the systems beside `sensor`, and in what is
    /// beside it.
    async fn act(&mut self, snapshot: &Snapshot, sensor: &Id) {
        let all = snapshot.inventory.chassis.iter();
        let mut holders = all.filter(|it| it.sensor(sensor).is_some());
        let Some(chassis) = holders.next() else {
            self.hot.remove(sensor);
            return;
        };
        let now = Instant::now();
        let patience = Duration::from_secs(self.policy.force_after_seconds);
        let Some(heat) = self.hot.get_mut(sensor) else { return };
        heat.next = now + AGAIN.min(patience);
        let late = heat.asked.is_some_and(|asked| now >= asked + patience);
        let force = late || self.policy.action == LastMeans::ForceOff;
        heat.asked.get_or_insert(now);
        let all = snapshot.inventory.chassis.iter();
        let inside = all.filter(|it| is_in(snapshot, it, &chassis.id));
        let systems = gather::set(inside.flat_map(|it| &it.systems));
        let mut any = false;
        for id in systems {
            let Some(system) = snapshot.system(id) else { continue };
            let state = snapshot.seen_power(id);
            let goes = state == Some(PowerState::PoweringOff);
            if state == Some(PowerState::Off) || goes && !force {
                any = true;
                continue;
            }
            let can = |kind: &ResetType| system.reset_types.contains(kind);
            let kinds = [ResetType::GracefulShutdown, ResetType::ForceOff];
            let kind = kinds.into_iter().skip(usize::from(force)).find(can);
            let Some(kind) = kind else { continue };
            any = true;
            let word = kind.as_str();
            match self.policy.action {
                LastMeans::None => {
                    warn!(%sensor, system = %id, "too hot, and left on");
                    continue;
                }
                LastMeans::Shutdown | LastMeans::ForceOff => {
                    warn!(%sensor, system = %id, kind = word, "too hot");
                }
            }
            if let Err(reason) = self.commands.reset(id, kind).await {
                error!(%sensor, system = %id, kind = word, %reason,
                    "too hot, and still on");
            }
        }
        if !any {
            error!(%sensor, "too hot, and nothing here can be shut down");
        }
    }
}

fn is_fatal(snapshot: &Snapshot, sensor: &Sensor) -> bool {
    if sensor.kind != SensorKind::Temperature {
        return false;
    }
    let Some(limit) = sensor.thresholds.upper_fatal else { return false };
    let reading = snapshot.reading(&sensor.id);
    let good = reading.filter(|it| it.quality == Quality::Good);
    let celsius = good.and_then(crate::model::Reading::number);
    celsius.is_some_and(|celsius| celsius >= limit)
}
