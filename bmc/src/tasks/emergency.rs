//! The last means against heat: what goes on being too hot although the fans
//! do what they can is shut down, and switched off if it does not.

use std::{collections::BTreeMap, time::Duration};

use onprem_link::task::Tasks as _;
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

use super::control::is_in;
use crate::{
    commands::{Commands, ResetType, send_patiently},
    config::{Emergency, LastMeans},
    gather,
    model::{
        Chassis, Id, Model, Part, PowerState, Quality, Sensor, SensorKind,
        Snapshot,
    },
};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);
/// How long until what was refused is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// How long a command may wait for its turn: many systems may be too hot.
const TURN: Duration = Duration::from_mins(1);

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
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch {
        policy,
        commands,
        hot: BTreeMap::new(),
        asks: BTreeMap::new(),
        tasks,
        stop: stop.clone(),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let snapshot = model.snapshot();
        watch.look(&snapshot);
    }
}

struct Watch {
    policy: Emergency,
    commands: Commands,
    hot: BTreeMap<Id, Heat>,
    /// What is asked of each system: nobody waits for another one.
    asks: BTreeMap<Id, (ResetType, JoinHandle<()>)>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Watch {
    fn look(&mut self, snapshot: &Snapshot) {
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
            self.act(snapshot, &sensor);
        }
    }

    /// Does the next thing about the systems beside `sensor`, and in what is
    /// beside it.
    fn act(&mut self, snapshot: &Snapshot, sensor: &Id) {
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
            let nodes = &self.commands.nodes;
            let asked = self.asks.get(id).is_some_and(|(kind, asking)| {
                let cuts = *kind == ResetType::ForceOff;
                !asking.is_finished() && (cuts || !force)
            });
            if asked || nodes.is_busy(id) && !force {
                // It is on its way.
                any = true;
                continue;
            }
            let possible = snapshot.reset_types(system);
            // One that goes by its own agent, or cannot be asked for now, has
            // its time until it is cut.
            let can = |kind: &ResetType| {
                let waits = nodes.has(id) && !force;
                let cuts = *kind == ResetType::ForceOff;
                possible.contains(kind) && !(cuts && waits)
            };
            let kinds = [ResetType::GracefulShutdown, ResetType::ForceOff];
            let kind = kinds.into_iter().skip(usize::from(force)).find(can);
            any |= kind.is_some() || nodes.has(id);
            let Some(kind) = kind else { continue };
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
            self.ask(sensor, id, kind);
        }
        if !any {
            error!(%sensor, "too hot, and nothing here can be shut down");
        }
    }

    /// Asks for `kind` of `system`, and waits for nothing.
    fn ask(&mut self, sensor: &Id, system: &Id, kind: ResetType) {
        let (sensor, id) = (sensor.clone(), system.clone());
        let (commands, stop) = (self.commands.clone(), self.stop.clone());
        let asking = self.tasks.start(async move {
            let asking = async {
                if commands.is_graceful(&id, kind) {
                    return commands.reset(&id, kind).await;
                }
                let part = Part::System(id.clone());
                let what = kind.into();
                send_patiently(&commands.power, part, what, TURN).await
            };
            let asked = stop.run_until_cancelled(asking).await;
            if let Some(Err(reason)) = asked {
                error!(%sensor, system = %id, kind = kind.as_str(), %reason,
                    "too hot, and still on");
            }
        });
        self.asks.insert(system.clone(), (kind, asking));
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

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use tokio::time::timeout;

    use super::*;
    use crate::{
        commands::tests::commands,
        gather,
        model::{
            Celsius, Inventory, NodeAgent, PhysicalContext, Sample, Settings,
            System, Thresholds,
        },
        node_agent::NodeAgents,
    };

    const B1: &str = "b1";
    const B2: &str = "b2";

    fn rack(sensor: &Id) -> Model {
        let upper_fatal = Some(90.0);
        let sensor = Sensor {
            id: sensor.clone(),
            name: "Air".into(),
            kind: SensorKind::Temperature,
            context: PhysicalContext::Intake,
            range: None,
            thresholds: Thresholds { upper_fatal, ..Thresholds::default() },
            interval: LOOK,
            source: "test".into(),
            required: false,
        };
        let systems = [B1, B2].map(|id| System {
            id: id.into(),
            reset_types: vec![ResetType::On, ResetType::ForceOff],
            ..System::default()
        });
        let chassis = Chassis {
            id: "rack".into(),
            systems: vec![B1.into(), B2.into()],
            sensors: vec![sensor],
            ..Chassis::default()
        };
        let inventory = Inventory {
            systems: systems.into(),
            chassis: vec![chassis],
            ..Inventory::default()
        };
        Model::new(inventory, Settings::default())
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_go_side_by_side_by_their_own_agents_and_are_cut_later() {
        let air = Id::from("air");
        let model = rack(&air);
        let hot = Sample::good(&air, Celsius(99.0).into(), LOOK * 10_000);
        model.post(vec![hot]);
        for id in [B1, B2] {
            model.post_agent(
                &id.into(),
                NodeAgent {
                    url: "https://b".into(),
                    kinds: vec![ResetType::GracefulShutdown],
                    why: None,
                    at: Utc::now(),
                },
            );
        }
        let (mut all, mut powers) = commands();
        all.nodes = NodeAgents::test(&[B1.into(), B2.into()]);
        let nodes = all.nodes.clone();
        let policy = Emergency {
            action: LastMeans::Shutdown,
            after_seconds: 0,
            force_after_seconds: 60,
        };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let began = Instant::now();
        let watching =
            watch(policy, model.clone(), all, tasks.clone(), stop.clone());
        let watching = tasks.start(watching);
        // The first one answers as little as the second.
        while !(nodes.is_busy(B1) && nodes.is_busy(B2)) {
            tokio::time::sleep(LOOK / 5).await;
            assert!(began.elapsed() < AGAIN);
        }
        // The queue has one place: each has its turn.
        let mut cut = Vec::new();
        for _ in 0..2 {
            let command = timeout(AGAIN * 60, powers.recv()).await;
            let command = command.unwrap().unwrap();
            assert_eq!(command.what.as_str(), "ForceOff");
            assert!(began.elapsed() >= Duration::from_mins(1));
            cut.push(command.part);
            let _ = command.answer.send(Ok(()));
        }
        let both = [B1, B2].map(|id| Part::System(id.into()));
        assert_eq!(gather::set(&cut), gather::set(&both));
        stop.cancel();
        watching.await.unwrap();
    }
}
