//! The task that looks after one node's own agent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::Utc;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    Ended, Going, Order,
    client::{Client, Error, Offer, is_unsure},
    kept::{Kept, Plan},
    target::Target,
};
use crate::{
    commands::{self, Command, CommandError, ResetType},
    model::{Id, Model, NodeAgent, Part, PowerState},
};

/// How often it is looked whether it is there.
const LOOK: Duration = Duration::from_secs(5);
/// How long one is left alone that does not take the password: it locks
/// accounts that try too often.
const REFUSED: Duration = Duration::from_mins(5);
/// How often it is looked while the node goes or comes.
const CLOSELY: Duration = Duration::from_millis(500);
/// One that does not answer so often in a row is gone.
const MISSED: u32 = 3;
/// How long the bus may take to say that the power is off.
const OFF: Duration = Duration::from_secs(20);

/// What looks after one.
#[derive(Debug)]
pub(super) struct Watch {
    system: Id,
    /// Whether something is under way.
    busy: Arc<AtomicBool>,
    target: Arc<Target>,
    client: Client,
    kept: Kept,
    model: Model,
    power: mpsc::Sender<Command<ResetType>>,
    /// When it is looked next.
    next: Instant,
}

type Outcome = oneshot::Sender<Ended>;

impl Watch {
    pub(super) fn new(
        system: Id,
        busy: Arc<AtomicBool>,
        target: Target,
        kept: Kept,
        model: Model,
        power: mpsc::Sender<Command<ResetType>>,
        tasks: TaskTracker,
    ) -> Result<Self, rustls::Error> {
        let target = Arc::new(target);
        let client = Client::new(Arc::clone(&target), tasks)?;
        let next = Instant::now();
        Ok(Self { system, busy, target, client, kept, model, power, next })
    }

    /// Looks and obeys until `stop`, after what it has to `resume`.
    pub(super) async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        resume: Option<(Plan, Outcome)>,
        stop: CancellationToken,
    ) {
        if let Some((plan, outcome)) = resume {
            let going = self.take_up(plan, outcome);
            if stop.run_until_cancelled(going).await.is_none() {
                return;
            }
            self.busy.store(false, Ordering::Release);
        }
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                order = orders.recv() => {
                    let Some(order) = order else { break };
                    let obeying = self.obey(order, &stop);
                    // What is under way is taken up by the next agent.
                    if stop.run_until_cancelled(obeying).await.is_none() {
                        break;
                    }
                    self.busy.store(false, Ordering::Release);
                }
                () = sleep_until(self.next) => {
                    let looking = self.look();
                    if stop.run_until_cancelled(looking).await.is_none() {
                        break;
                    }
                }
            }
        }
        self.client.leave().await;
    }

    /// Looks whether it is there, and what it offers.
    async fn look(&mut self) -> Option<Offer> {
        let found = self.client.look().await;
        let rest = match &found {
            Err(Error::Password { .. }) => REFUSED,
            _ => LOOK,
        };
        self.next = Instant::now() + rest;
        match found {
            Ok(offer) => {
                self.post(Ok(offer.kinds.clone()));
                Some(offer)
            }
            Err(error) => {
                self.post(Err(error.to_string()));
                None
            }
        }
    }

    fn post(&self, found: Result<Vec<ResetType>, String>) {
        let before = self.model.snapshot();
        let before = before.agents.get(&self.system);
        let (kinds, why) = match found {
            Ok(kinds) => (kinds, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let was = before.is_some_and(|it| it.why.is_none());
        let (system, url) = (&self.system, &self.target.url);
        match &why {
            None if !was => info!(%system, url, "the node's agent answers"),
            Some(why) if was || before.is_none() => {
                info!(%system, url, why, "the node's agent is of no use");
            }
            _ => {}
        }
        let url = url.as_str().into();
        let why = why.map(Into::into);
        let now = NodeAgent { url, kinds, why, at: Utc::now() };
        self.model.post_agent(system, now);
    }

    /// Carries out `order`, if it can be kept.
    async fn obey(&mut self, order: Order, stop: &CancellationToken) {
        let Order { kind, task, alone, begun } = order;
        let plan = Plan { kind, task, heard: false };
        let kept = self.kept.put(&self.system, Some(plan.clone())).await;
        if let Err(error) = kept {
            let part = Part::System(self.system.clone());
            let error = CommandError::unkept(&part, &error);
            // Whoever asked may have given up.
            let _ = begun.send(Err(error));
            return;
        }
        let (mut outcome, told) = oneshot::channel();
        let begun = begun.send(Ok(Going(told))).is_ok();
        let system = self.system.clone();
        info!(%system, kind = kind.as_str(), "the node's agent is asked");
        let ended = if alone {
            Some(self.go(plan).await)
        } else if begun {
            tokio::select! {
                ended = self.go(plan) => Some(ended),
                () = outcome.closed() => None,
            }
        } else {
            None
        };
        // Who waits goes with the agent: that is no wish to let it be.
        if ended.is_some() || !stop.is_cancelled() {
            self.end(ended, outcome).await;
        }
    }

    /// Goes on with what was under way when the agent before ended.
    async fn take_up(&mut self, plan: Plan, outcome: Outcome) {
        let (system, kind) = (&self.system, plan.kind.as_str());
        info!(%system, kind, "what was under way goes on");
        let ended = if plan.heard {
            self.follow(plan.kind).await
        } else {
            Err("the agent ended before the node's own agent was asked for \
                 certain; the node is left as it is"
                .to_owned())
        };
        self.end(Some(ended), outcome).await;
    }

    async fn end(&mut self, ended: Option<Ended>, outcome: Outcome) {
        let system = &self.system;
        match &ended {
            None => info!(%system, "nobody waits for it any more: let be"),
            Some(Ok(())) => info!(%system, "as it was asked for"),
            Some(Err(reason)) => warn!(%system, reason, "not done"),
        }
        if let Err(error) = self.kept.put(system, None).await {
            // The next agent finds the node as it is, which harms nobody.
            warn!(%system, %error, "it is not kept that it has ended");
        }
        if let Some(ended) = ended {
            // Somebody who asked without waiting is not there.
            let _ = outcome.send(ended);
        }
        self.next = Instant::now();
    }

    /// Asks the node's own agent, and sees to the rest.
    async fn go(&mut self, plan: Plan) -> Ended {
        let kind = plan.kind;
        let offer = self.client.look().await;
        let offer = offer.map_err(|error| {
            self.post(Err(error.to_string()));
            format!("the node's own agent is of no use: {error}")
        })?;
        if !offer.kinds.contains(&kind) {
            let kind = kind.as_str();
            return Err(format!("the node's own agent offers no {kind}"));
        }
        match self.client.reset(&offer, kind).await {
            Ok(()) => {}
            // It may have gone over it.
            Err(error) if is_unsure(&error) => {
                warn!(system = %self.system, %error, "not known to be heard");
            }
            Err(error) => {
                return Err(format!("the node's own agent did not: {error}"));
            }
        }
        let heard = Plan { heard: true, ..plan };
        if let Err(error) = self.kept.put(&self.system, Some(heard)).await {
            warn!(system = %self.system, %error, "it is not kept");
        }
        self.follow(kind).await
    }

    /// Sees to it that the node, which was asked, goes.
    async fn follow(&mut self, kind: ResetType) -> Ended {
        self.client.hang_up();
        if kind == ResetType::GracefulRestart {
            return self.comes_back().await;
        }
        if !self.goes().await? {
            return Ok(());
        }
        self.post(Err("the node was shut down".to_owned()));
        self.cut().await
    }

    /// Whether the power of the node is off, as far as the bus says so.
    fn is_off(&self) -> bool {
        let snapshot = self.model.snapshot();
        let state = snapshot.seen_power(&self.system);
        matches!(state, Some(PowerState::Off | PowerState::PoweringOff))
    }

    /// Waits until the agent of the node is gone, and stays so for as long as
    /// it is to be left alone: whether its power is to be cut then.
    async fn goes(&self) -> Result<bool, String> {
        let by = Instant::now() + self.target.shutdown;
        let settle = self.target.settle;
        let (mut missed, mut since) = (0_u32, Instant::now());
        loop {
            if self.is_off() {
                // Its power went without us, or somebody cut it.
                return Ok(false);
            }
            if self.client.is_there().await {
                missed = 0;
                since = Instant::now();
                if since >= by {
                    let waited = self.target.shutdown.as_secs_f64();
                    return Err(format!(
                        "the node's own agent took the shutdown and still \
                         answers after {waited} s; its power is left on: \
                         ForceOff cuts it"
                    ));
                }
            } else {
                missed = missed.saturating_add(1);
                if missed >= MISSED && since.elapsed() >= settle {
                    return Ok(true);
                }
            }
            sleep(CLOSELY).await;
        }
    }

    /// Cuts the power, and waits until the bus says that it is off.
    async fn cut(&self) -> Ended {
        let part = Part::System(self.system.clone());
        let off = ResetType::ForceOff;
        let mut changes = self.model.changes();
        let cut = commands::send(&self.power, part, off).await;
        cut.map_err(|error| {
            format!("the node is down; its power is not cut: {error}")
        })?;
        let off = async {
            loop {
                let snapshot = self.model.snapshot();
                let state = snapshot.seen_power(&self.system);
                if state == Some(PowerState::Off) {
                    return;
                }
                let _ = changes.recv().await;
            }
        };
        timeout(OFF, off).await.map_err(|_| {
            "the node is down; its power was cut, and is not off".to_owned()
        })
    }

    /// Waits until the node's own agent has gone, and is back.
    async fn comes_back(&self) -> Ended {
        let began = Instant::now();
        let mut missed = 0;
        let mut gone = false;
        loop {
            if self.is_off() {
                return Err("its power went off meanwhile".to_owned());
            }
            let there = self.client.is_there().await;
            missed = if there { 0 } else { missed + 1 };
            gone |= missed >= MISSED;
            if gone && there {
                return Ok(());
            }
            let waited = began.elapsed();
            if !gone && there && waited >= self.target.shutdown {
                return Err(format!(
                    "the node's own agent took the restart and still answers \
                     after {} s; ForceRestart cuts the node's power",
                    self.target.shutdown.as_secs_f64()
                ));
            }
            if waited >= self.target.shutdown + self.target.restart {
                return Err(format!(
                    "the node's own agent went and is not back after {} s; \
                     ForceRestart cuts the node's power",
                    waited.as_secs()
                ));
            }
            sleep(CLOSELY).await;
        }
    }
}
