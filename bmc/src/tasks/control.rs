//! Owns what can be driven by hand, and takes it back when heat says so.
//!
//! What a person sets lasts as long as the agent does: at its end, and when a
//! temperature is critical or unknown, a control goes back to its own loop.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::Utc;
use onprem_link::task::blocking;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::timeout,
};
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

/// How long a part may take with one step.
const PATIENCE: Duration = Duration::from_secs(5);

/// Carries out changes one after the other until `stop`, then lets go of all.
pub(crate) async fn own(
    controls: Arc<dyn Controls>,
    mut commands: mpsc::Receiver<Command<ControlChange>>,
    model: Model,
    stop: CancellationToken,
) {
    let controls = Drives::new(controls, PATIENCE);
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
        if let Err(error) = controls.drive(&part, &control.id, None).await {
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

async fn take_back(controls: &Drives, model: &Model) {
    let snapshot = model.snapshot();
    for (chassis, control) in manual(&snapshot) {
        let Some(sensor) = alarm(&snapshot, chassis) else { continue };
        let part = Part::Chassis(chassis.id.clone());
        match controls.drive(&part, &control.id, None).await {
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
    controls: &Drives,
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
    controls.drive(part, &control.id, state.set_point).await?;
    info!(control = %control.id, percent = ?state.set_point, "control set");
    model.post_control(&chassis.id, &control.id, state);
    Ok(())
}

/// What drives controls, each of them one step after the other.
#[derive(Clone)]
struct Drives {
    controls: Arc<dyn Controls>,
    /// Steps that were given up, and have not ended. A part that hangs holds
    /// up itself, and one thread.
    stuck: Arc<Mutex<BTreeSet<Id>>>,
    /// How long one step may take.
    patience: Duration,
}

impl Drives {
    fn new(controls: Arc<dyn Controls>, patience: Duration) -> Self {
        Self { controls, stuck: Arc::default(), patience }
    }

    /// Drives `control` by `percent`, or leaves it to its own loop.
    async fn drive(
        &self,
        part: &Part,
        control: &Id,
        percent: Option<f64>,
    ) -> Result<(), CommandError> {
        if !self.stuck().insert(control.clone()) {
            return Err(CommandError::Busy { part: part.clone() });
        }
        let failed = |reason| {
            let part = part.clone();
            CommandError::Failed { part, reason }
        };
        // Set by who is first: the step that ends, or we who give it up.
        let settled = Arc::new(AtomicBool::new(false));
        let step = Step { of: self.clone(), id: control.clone() };
        let ended = Arc::clone(&settled);
        let mut driving = blocking(move || {
            let drive = |percent| step.of.controls.drive(&step.id, percent);
            let mut driven = drive(percent);
            if ended.swap(true, Ordering::AcqRel) && percent.is_some() {
                // Nobody knows of it any more.
                driven = drive(None);
            }
            driven
        });
        let driven = match timeout(self.patience, &mut driving).await {
            Ok(driven) => driven,
            Err(_) if settled.swap(true, Ordering::AcqRel) => driving.await,
            Err(_) => {
                let patience = self.patience;
                return Err(failed(format!("no answer in {patience:?}")));
            }
        };
        let driven = driven.unwrap_or_else(|error| Err(error.into()));
        driven.map_err(|error| CommandError::unkept(part, &error))
    }

    fn stuck(&self) -> MutexGuard<'_, BTreeSet<Id>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step under way; however it ends, the control can be driven again.
struct Step {
    of: Drives,
    id: Id,
}

impl Drop for Step {
    fn drop(&mut self) {
        self.of.stuck().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::mpsc::{Receiver, Sender, channel},
    };

    use super::*;

    /// A part that answers when it is let.
    struct Hanging {
        let_go: Mutex<Receiver<()>>,
        driven: Sender<Option<f64>>,
    }

    impl Controls for Hanging {
        fn drive(&self, _: &Id, percent: Option<f64>) -> io::Result<()> {
            self.let_go.lock().unwrap().recv().unwrap();
            self.driven.send(percent).unwrap();
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_part_that_hangs_is_given_up_and_let_go_when_it_comes_back() {
        let (let_go, wait) = channel();
        let (reports, was) = channel();
        let part = Hanging { let_go: Mutex::new(wait), driven: reports };
        let drives = Drives::new(Arc::new(part), Duration::from_millis(50));
        let (part, fan) = (Part::Chassis("c".into()), Id::from("Fan"));
        let first = drives.drive(&part, &fan, Some(40.0)).await;
        assert!(matches!(first, Err(CommandError::Failed { .. })), "{first:?}");
        let second = drives.drive(&part, &fan, None).await;
        assert!(matches!(second, Err(CommandError::Busy { .. })), "{second:?}");
        for _ in 0..3 {
            let_go.send(()).unwrap();
        }
        assert_eq!(was.recv().unwrap(), Some(40.0));
        assert_eq!(was.recv().unwrap(), None, "nobody knows of 40 percent");
        while drives.stuck().contains(&fan) {
            tokio::task::yield_now().await;
        }
        drives.drive(&part, &fan, None).await.unwrap();
    }

    /// A part whose driver is wrong.
    struct Broken;

    impl Controls for Broken {
        fn drive(&self, _: &Id, percent: Option<f64>) -> io::Result<()> {
            assert!(percent.is_none(), "a mistake in a driver");
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_driver_that_panics_can_be_asked_again() {
        let drives = Drives::new(Arc::new(Broken), PATIENCE);
        let (part, fan) = (Part::Chassis("c".into()), Id::from("Fan"));
        let first = drives.drive(&part, &fan, Some(40.0)).await;
        assert!(matches!(first, Err(CommandError::Failed { .. })), "{first:?}");
        drives.drive(&part, &fan, None).await.unwrap();
    }
}
