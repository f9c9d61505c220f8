//! The agent of a node's own: where a rack's agent switches the power of nodes,
//! a node may run an agent of its own as well. As long as that can be reached,
//! the node is shut down through it before its power is cut.

mod client;
mod cut;
mod kept;
mod target;
mod watch;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use onprem_link::task::Tasks as _;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::target::{Options, Target};
use self::{
    kept::{Kept, Plan},
    watch::Watch,
};
use crate::{
    commands::{Command, CommandError, ResetType, Switching},
    model::{Id, Model, Part},
    state::StateError,
};

/// How a node went, or why it did not.
pub(crate) type Ended = Result<(), String>;

/// A graceful change of power that somebody waits for. It goes on as long as
/// somebody does.
#[derive(Debug)]
pub(crate) struct Going(oneshot::Receiver<Ended>);

impl Going {
    /// What became of it; nothing if the agent stops before that is known.
    pub(crate) async fn outcome(self) -> Option<Ended> {
        self.0.await.ok()
    }
}

/// What is asked of the task that looks after a node's own agent.
struct Order {
    kind: ResetType,
    /// The task of the service that it belongs to.
    task: Option<String>,
    /// It goes on whether or not somebody waits for it.
    alone: bool,
    /// Told when it has begun.
    begun: oneshot::Sender<Result<Going, CommandError>>,
}

/// Where orders about one node go, one after the other.
#[derive(Debug)]
struct Orders {
    send: mpsc::Sender<Order>,
    /// Whether one is under way.
    busy: Arc<AtomicBool>,
}

/// The nodes with an agent of their own. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct NodeAgents {
    orders: Arc<BTreeMap<Id, Orders>>,
    /// What was under way when the agent ended: tasks, and how they go on.
    resumed: Arc<Mutex<Vec<(String, Going)>>>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl NodeAgents {
    /// Looks after `targets` until `stop`, and takes up again what is kept in
    /// `folder`, unless the power was `lost`; `power` switches the nodes.
    ///
    /// # Errors
    /// What is kept cannot be read.
    pub(crate) fn start(
        targets: Vec<(Id, Target)>,
        folder: &Path,
        model: &Model,
        lost: bool,
        power: &mpsc::Sender<Command<Switching>>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, StateError> {
        let kept = Kept::open(folder, &targets, lost)?;
        let mut orders = BTreeMap::new();
        let mut resumed = Vec::new();
        for (system, target) in targets {
            let (send, receive) = mpsc::channel(1);
            let resume = kept.plan(&system).map(|plan: Plan| {
                let (outcome, told) = oneshot::channel();
                if let Some(task) = plan.task.clone() {
                    resumed.push((task, Going(told)));
                }
                (plan, outcome)
            });
            let busy = Arc::new(AtomicBool::new(resume.is_some()));
            let watch = Watch::new(
                system.clone(),
                Arc::clone(&busy),
                target,
                kept.clone(),
                model.clone(),
                power.clone(),
                tasks.clone(),
            );
            tasks.start(watch.run(receive, resume, stop.child_token()));
            orders.insert(system, Orders { send, busy });
        }
        let resumed = Arc::new(Mutex::new(resumed));
        Ok(Self { orders: Arc::new(orders), resumed })
    }

    /// The tasks that go on, with what becomes of them. They are asked for
    /// once.
    pub(crate) fn resumed(&self) -> Vec<(String, Going)> {
        let mut all =
            self.resumed.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *all)
    }

    /// The tasks of which that is so.
    pub(crate) fn tasks(&self) -> Vec<String> {
        let all = self.resumed.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(task, _)| task.clone()).collect()
    }

    /// Whether `system` has one.
    pub(crate) fn has(&self, system: &str) -> bool {
        self.orders.contains_key(system)
    }

    /// Those of `systems`, which take an order and never answer.
    #[cfg(test)]
    pub(crate) fn test(systems: &[Id]) -> Self {
        let orders = systems.iter().map(|system| {
            let (send, receive) = mpsc::channel(1);
            std::mem::forget(receive);
            (system.clone(), Orders { send, busy: Arc::default() })
        });
        Self { orders: Arc::new(orders.collect()), resumed: Arc::default() }
    }

    /// Whether something is under way with `system`.
    pub(crate) fn is_busy(&self, system: &str) -> bool {
        let orders = self.orders.get(system);
        orders.is_some_and(|it| it.busy.load(Ordering::Acquire))
    }

    /// Begins a graceful change of power. It belongs to `task`, or goes on
    /// whether or not somebody waits.
    ///
    /// # Errors
    /// Another one is under way, or it cannot be kept.
    pub(crate) async fn ask(
        &self,
        system: &str,
        kind: ResetType,
        task: Option<String>,
    ) -> Result<Going, CommandError> {
        let part = || Part::System(system.into());
        let Some(orders) = self.orders.get(system) else {
            return Err(CommandError::Unknown { part: part() });
        };
        let busy = || CommandError::Busy { part: part() };
        if orders.busy.swap(true, Ordering::AcqRel) {
            return Err(busy());
        }
        let (begun, answer) = oneshot::channel();
        let alone = task.is_none();
        let order = Order { kind, task, alone, begun };
        orders.send.try_send(order).map_err(|_| busy())?;
        answer.await.unwrap_or_else(|_| {
            let reason = "the agent is stopping".to_owned();
            Err(CommandError::Failed { part: part(), reason })
        })
    }
}
