//! The cut at the end of a shutdown. It waits for its turn among those of other
//! nodes, and is not done where the node is back meanwhile.

use std::{future::Future, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use super::Ended;
use crate::{
    commands::{Command, ResetType, Switching, send_patiently},
    model::{Id, Model, Part, PowerState},
};

/// How long the bus may take to say that the power is off.
const OFF: Duration = Duration::from_secs(20);
/// How long the cut may wait for its turn: all nodes of a rack may go at once.
const TURN: Duration = Duration::from_mins(1);

/// Cuts the power of `system`, if nobody switched it since the model counted
/// `turns` changes of its power, and waits until the bus says that it is off.
/// That the node is `back` takes it back, for as long as the node was not told.
pub(super) async fn cut(
    system: &Id,
    model: &Model,
    power: &mpsc::Sender<Command<Switching>>,
    turns: u64,
    back: impl Future<Output = ()>,
) -> Ended {
    let part = Part::System(system.clone());
    let kind = ResetType::ForceOff;
    let off = Switching::Reset { kind, only_at: Some(turns) };
    let mut changes = model.changes();
    let cut = async {
        let sent = send_patiently(power, part.clone(), off, TURN).await;
        sent.map_err(|error| {
            format!("the node is down; its power is not cut: {error}")
        })?;
        let off = async {
            loop {
                let snapshot = model.snapshot();
                if snapshot.seen_power(system) == Some(PowerState::Off) {
                    return;
                }
                let _ = changes.recv().await;
            }
        };
        timeout(OFF, off).await.map_err(|_| {
            "the node is down; its power was cut, and is not off".to_owned()
        })
    };
    tokio::select! {
        biased;
        ended = cut => return ended,
        () = back => {}
    }
    // Somebody has switched it on, or it was never off.
    let kept = send_patiently(power, part, Switching::Withdraw, TURN).await;
    Err(match kept {
        Ok(()) => {
            "its agent is back before the cut: its power is left on".to_owned()
        }
        Err(error) => format!(
            "its agent is back, and nobody knows whether its power is cut: \
             {error}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
    };

    use tokio::sync::oneshot;
    use tokio_util::{sync::CancellationToken, task::TaskTracker};

    use super::*;
    use crate::{
        boards::Power,
        commands::CommandError,
        model::{Inventory, Settings, System},
        tasks::{cycles::Cycles, power::Owner, power_plans::Plans},
    };

    /// Counts how often something was switched.
    #[derive(Debug, Default)]
    struct Counter(AtomicU32);

    impl Power for Counter {
        fn reset(
            &self,
            _: &Id,
            kind: ResetType,
        ) -> Result<Option<PowerState>, CommandError> {
            assert_eq!(kind, ResetType::ForceOff);
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Some(PowerState::Off))
        }

        fn withdraw(&self, _: &Id) -> bool {
            self.0.load(Ordering::Relaxed) == 0
        }
    }

    /// A node that is about to be cut, once its turn comes.
    struct Bench {
        system: Id,
        model: Model,
        switched: Arc<Counter>,
        power: mpsc::Sender<Command<Switching>>,
        queue: mpsc::Receiver<Command<Switching>>,
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let system = System {
                id: "b1".into(),
                reset_types: vec![ResetType::ForceOff],
                ..System::default()
            };
            let inventory =
                Inventory { systems: vec![system], ..Inventory::default() };
            let model = Model::new(inventory, Settings::default());
            let (power, queue) = mpsc::channel(4);
            let switched = Arc::default();
            let folder = tempfile::tempdir().unwrap();
            Self { system: "b1".into(), model, switched, power, queue, folder }
        }

        /// What becomes of the cut, if this happens while it waits.
        async fn after(
            self,
            meanwhile: impl FnOnce(&Model, &Id, oneshot::Sender<()>),
        ) -> (Ended, u32) {
            let file = |name| self.folder.path().join(name);
            let owner = Owner {
                power: Arc::clone(&self.switched) as Arc<dyn Power>,
                model: self.model.clone(),
                cycles: Cycles::open(file("cycles.json")).unwrap(),
                plans: Plans::open(file("plans.json")).unwrap(),
            };
            let (is_back, back) = oneshot::channel();
            let back = async {
                if back.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let (system, model) = (&self.system, &self.model);
            let turns = model.snapshot().turns(system);
            let mut ends = pin!(cut(system, model, &self.power, turns, back));
            // It is in the queue, and another's turn.
            let soon = Duration::ZERO;
            assert!(timeout(soon, &mut ends).await.is_err());
            meanwhile(model, system, is_back);
            assert!(timeout(soon, &mut ends).await.is_err());
            let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
            tasks.spawn(owner.own(self.queue, stop.clone()));
            let ended = ends.await;
            stop.cancel();
            tasks.close();
            tasks.wait().await;
            (ended, self.switched.0.load(Ordering::Relaxed))
        }
    }

    #[tokio::test]
    async fn a_node_that_stays_away_is_cut_once() {
        let (ended, switched) = Bench::new().after(|_, _, _| {}).await;
        assert_eq!((ended, switched), (Ok(()), 1));
    }

    #[tokio::test]
    async fn a_node_that_is_back_before_its_cut_is_not_cut() {
        let meanwhile = |_: &Model, _: &Id, is_back: oneshot::Sender<()>| {
            is_back.send(()).unwrap();
        };
        let (ended, switched) = Bench::new().after(meanwhile).await;
        let why = ended.unwrap_err();
        assert!(why.contains("is back before the cut"), "{why}");
        assert_eq!(switched, 0);
    }

    #[tokio::test]
    async fn a_node_that_somebody_switched_before_its_cut_is_not_cut() {
        let (ended, switched) = Bench::new()
            .after(|model, system, _| model.post_switched(system))
            .await;
        let why = ended.unwrap_err();
        assert!(why.contains("somebody switched it meanwhile"), "{why}");
        assert_eq!(switched, 0);
    }
}
