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
    sync::{broadcast::error::RecvError, mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    Ended, Going, Order,
    client::{Client, Error, Offer, Presence},
    cut::cut,
    kept::{Kept, Plan},
    target::Target,
};
use crate::{
    commands::{Command, CommandError, ResetType, Switching},
    model::{Health, Id, Model, NodeAgent, Part, PowerState, Trouble},
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
/// How long the bus may take to say that the power is on.
const ON: Duration = Duration::from_secs(20);
/// Who says that a node's own agent is away.
const SOURCE: &str = "node agent";
/// What ends an order.
const MEANWHILE: &str = "somebody switched it meanwhile: that counts";
/// What is said of a node that may run.
const LEFT_ON: &str = "its power is left on: ForceOff cuts it";

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
    power: mpsc::Sender<Command<Switching>>,
    /// When it is looked next.
    next: Instant,
    /// Since when it is of no use although the node has power.
    away: Option<Instant>,
}

type Outcome = oneshot::Sender<Ended>;

impl Watch {
    pub(super) fn new(
        system: Id,
        busy: Arc<AtomicBool>,
        target: Target,
        kept: Kept,
        model: Model,
        power: mpsc::Sender<Command<Switching>>,
        tasks: TaskTracker,
    ) -> Self {
        let target = Arc::new(target);
        let client = Client::new(Arc::clone(&target), tasks);
        let next = Instant::now();
        Self {
            system,
            busy,
            target,
            client,
            kept,
            model,
            power,
            next,
            away: None,
        }
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
        self.tell(found.as_ref().err());
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

    /// Tells that it is of no use for longer than the node takes to start.
    fn tell(&mut self, why: Option<&Error>) {
        let why = why.filter(|_| self.has_power());
        let since = why.map(|_| self.away.unwrap_or_else(Instant::now));
        self.away = since;
        let patience = self.target.restart;
        let long = since.filter(|since| since.elapsed() >= patience);
        let trouble = long.zip(why).map(|(_, why)| Trouble {
            word: "NodeAgentUnreachable",
            text: format!(
                "the agent of the node at {} is of no use, and the node is \
                 not shut down before its power is cut: {why}",
                self.target.url
            )
            .into(),
            health: Health::Warning,
            slows: None,
            over: false,
        });
        let part = Part::System(self.system.clone());
        let troubles = trouble.into_iter().collect();
        self.model.post_troubles(&part, &SOURCE.into(), troubles);
    }

    fn has_power(&self) -> bool {
        let state = self.model.snapshot().seen_power(&self.system);
        state == Some(PowerState::On)
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
        let turns = self.model.snapshot().turns(&self.system);
        let plan = Plan { kind, task, heard: false, since: Utc::now() };
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
            Some(self.carry_out(plan, turns).await)
        } else if begun {
            tokio::select! {
                ended = self.carry_out(plan, turns) => Some(ended),
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
            self.go_on(plan).await
        } else {
            Err(format!(
                "the agent ended before the node's own agent was known to \
                 have heard of it; {LEFT_ON}"
            ))
        };
        self.end(Some(ended), outcome).await;
    }

    /// Goes on with what was heard of before. The node is cut only if its own
    /// agent is seen there and seen to go once more: who is not there now may
    /// start just now.
    async fn go_on(&mut self, plan: Plan) -> Ended {
        let mut changes = self.model.changes();
        let on = async {
            while !self.has_power() {
                let _ = changes.recv().await;
            }
        };
        if timeout(ON, on).await.is_err() {
            return Err("it is not known to have power".to_owned());
        }
        let turns = self.model.snapshot().turns(&self.system);
        let is_there = self.look().await.is_some();
        if plan.kind == ResetType::GracefulShutdown && !is_there {
            return Err(format!(
                "the agent ended over it, and the node's own agent is not \
                 there now: it is not known whether the node went down; \
                 {LEFT_ON}"
            ));
        }
        self.carry_out(plan, turns).await
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

    /// Does what is planned, unless the node was switched since it counted so
    /// many `turns`.
    async fn carry_out(&mut self, plan: Plan, turns: u64) -> Ended {
        let switched = switched(self.model.clone(), self.system.clone(), turns);
        let goes = async {
            let kind = plan.kind;
            if !plan.heard {
                self.ask(plan).await?;
            }
            if kind == ResetType::GracefulRestart {
                self.comes_back().await?;
                return Ok(false);
            }
            self.goes().await.map(|()| true)
        };
        let cut = tokio::select! {
            biased;
            () = switched => Err(MEANWHILE.to_owned()),
            goes = goes => goes,
        };
        if !cut? {
            return Ok(());
        }
        self.post(Err("the node was shut down".to_owned()));
        self.cut(turns).await
    }

    /// Asks the node's own agent; it is known to have heard where this is no
    /// error.
    async fn ask(&mut self, plan: Plan) -> Result<(), String> {
        let kind = plan.kind;
        if !self.has_power() {
            return Err("it is not known to have power".to_owned());
        }
        let offer = self.client.look().await;
        let offer = offer.map_err(|error| {
            self.post(Err(error.to_string()));
            format!("the node's own agent is of no use: {error}; {LEFT_ON}")
        })?;
        if !offer.kinds.contains(&kind) {
            let kind = kind.as_str();
            return Err(format!("the node's own agent offers no {kind}"));
        }
        let asked = self.client.reset(&offer, kind).await;
        asked.map_err(|error| match error {
            Error::Status { .. } | Error::Password { .. } => {
                format!("the node's own agent did not: {error}")
            }
            Error::Away { .. } | Error::Refused(_) | Error::Odd(_) => format!(
                "the node's own agent is not known to have heard of it: \
                 {error}; {LEFT_ON}"
            ),
        })?;
        let heard = Plan { heard: true, ..plan };
        if let Err(error) = self.kept.put(&self.system, Some(heard)).await {
            warn!(system = %self.system, %error, "it is not kept");
        }
        Ok(())
    }

    /// Waits until the agent of the node is seen to end, and stays away for as
    /// long as the node is to be left alone.
    async fn goes(&mut self) -> Result<(), String> {
        let Target { shutdown, settle, .. } = *self.target;
        let began = Instant::now();
        let (mut missed, mut ended) = (0_u32, None);
        loop {
            let presence = self.client.presence().await;
            if presence == Presence::There {
                (missed, ended) = (0, None);
            } else {
                missed = missed.saturating_add(1);
            }
            if presence == Presence::Ended {
                ended.get_or_insert_with(Instant::now);
            }
            let waited = began.elapsed();
            if let Some(ended) = ended {
                if missed >= MISSED && ended.elapsed() >= settle {
                    return Ok(());
                }
            } else if missed == 0 && waited >= shutdown {
                return Err(format!(
                    "the node's own agent took the shutdown and still \
                     answers after {} s; {LEFT_ON}",
                    shutdown.as_secs_f64()
                ));
            } else if missed >= MISSED && waited >= shutdown + settle {
                return Err(format!(
                    "the node's own agent took the shutdown and is silent, \
                     and was not seen to end: the network may be lost; \
                     {LEFT_ON}"
                ));
            }
            sleep(CLOSELY).await;
        }
    }

    /// Cuts the power, unless the node is seen to be back before.
    async fn cut(&mut self, turns: u64) -> Ended {
        let Self { system, model, power, client, .. } = self;
        let back = async {
            while client.presence().await != Presence::There {
                sleep(CLOSELY).await;
            }
        };
        cut(system, model, power, turns, back).await
    }

    /// Waits until the node's own agent has gone, and is back.
    async fn comes_back(&mut self) -> Ended {
        let began = Instant::now();
        let mut missed = 0;
        let mut gone = false;
        loop {
            let there = self.client.presence().await == Presence::There;
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

/// Ends when the power of `system` was switched after so many `turns`,
/// whoever did it.
async fn switched(model: Model, system: Id, turns: u64) {
    let mut changes = model.changes();
    while model.snapshot().turns(&system) == turns {
        if let Err(RecvError::Closed) = changes.recv().await {
            return std::future::pending().await;
        }
    }
}
