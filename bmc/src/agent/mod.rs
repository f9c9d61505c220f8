//! The agent: builds the parts, starts their tasks, and ends them.

mod doors;
mod parts;
mod power;
mod prepare;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use onprem_link::task::{Tasks as _, blocking};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinError,
    time::timeout,
};
use tracing::warn;

use self::{
    parts::Shared,
    prepare::{Prepared, boot_id, prepare},
};
use crate::{
    accounts,
    boards::{Scan, Shelves, buses::SimulatedBuses, file::BoardError},
    bus::{
        replay::Recording,
        watchdog::{Kennel, KernelKennel},
    },
    clock::Clock,
    collectors::Exporter,
    commands::Commands,
    config::{Config, Unusable},
    console::Consoles,
    drivers::tree::Tree,
    fabric::Look,
    model::{Inventory, Model, Settings},
    redfish::{self, Origin, Service},
    server::{self, Bound, ServerError},
    sim::Simulation,
    state::{StateDir, StateError},
    tasks::{power_record::PowerRecord, pulse::Pulses, watchdog::Keeper},
};

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has a value that cannot be.
    #[error("the configuration cannot be used")]
    Config(#[from] Unusable),
    /// The state directory cannot be used.
    #[error("the agent's state cannot be used")]
    State(#[from] StateError),
    /// The board file cannot be used.
    #[error("the board cannot be built")]
    Board(#[from] BoardError),
    /// The recording cannot be made.
    #[error("the buses cannot be recorded in {path}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The recording cannot be played back.
    #[error("{path} cannot be played back")]
    Replay {
        /// The file.
        path: PathBuf,
        /// What the file system said, or which line is wrong.
        source: io::Error,
    },
    /// The accounts cannot be used.
    #[error("the accounts cannot be used")]
    Accounts(#[from] accounts::OpenError),
    /// The ports cannot be opened.
    #[error("the service cannot be opened")]
    Server(#[from] ServerError),
    /// A reader of the host's parts broke.
    #[error("the host cannot be looked at")]
    Scan(#[from] JoinError),
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    state: StateDir,
    shared: Shared,
    commands: Commands,
    exporter: Exporter,
    service: Arc<Service>,
    simulation: Option<Simulation>,
    buses: SimulatedBuses,
    initial_password: Option<String>,
    bound: Bound,
    grace: Duration,
}

impl Agent {
    /// Starts an agent, and returns when it listens.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let clock = Clock::of_machine(config.allow_set_clock);
        let device = config.watchdog.device.as_ref();
        let kennel = device.map(|device| {
            let tree = Tree::new(&config.root);
            Arc::new(KernelKennel::new(tree, device)) as Arc<dyn Kennel>
        });
        Self::start_with(config, clock, kennel).await
    }

    /// Starts one of many agents in this process, on whose buses `recording`
    /// is played back, if there is one. It sets no clock and feeds no
    /// watchdog: the machine is not its.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn one_of_many(
        config: Config,
        recording: Option<Recording>,
    ) -> Result<Self, StartError> {
        let clock = Clock::of_machine(false);
        Self::build(config, clock, None, recording).await
    }

    /// Starts an agent that sets `clock` where it sets one, and feeds the
    /// watchdog in `kennel` as long as it is well.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_with(
        config: Config,
        clock: Clock,
        kennel: Option<Arc<dyn Kennel>>,
    ) -> Result<Self, StartError> {
        Self::build(config, clock, kennel, None).await
    }

    async fn build(
        config: Config,
        clock: Clock,
        kennel: Option<Arc<dyn Kennel>>,
        recording: Option<Recording>,
    ) -> Result<Self, StartError> {
        config.check()?;
        let own = config.clone();
        let prepared = blocking(move || prepare(&own, recording));
        let Prepared {
            state,
            board,
            simulation,
            buses,
            scan: Scan { inventory, drivers, troubles },
            volumes,
            look,
            accounts,
            initial_password,
            software,
        } = prepared.await??;
        let settings = state.settings()?;
        let boot = boot_id(&Tree::new(&config.root));
        let kept =
            power::restore(&*board, &state, boot, &inventory, &settings)?;
        let model = known(inventory, settings, volumes, look, &kept.record);
        Scan::tell_troubles(troubles, &model);
        let exporter = Exporter::new(model.clone());
        let (instruments, modems, wires) =
            (board.instruments(), board.modems(), board.wires());
        let power_modes = board.power_modes();
        let shared = Shared::new(model);
        let Shared { model, tasks, pulses, leaving, stop } = &shared;
        // What ends early takes along what was started before it.
        let guard = stop.clone().drop_guard();

        let lines = board.consoles();
        let consoles = Consoles::open(state.path(), lines, tasks, stop);
        let commands = shared.own(&config, &*board, &state, kept)?;
        shared.mind_heat(&config, &commands);
        shared.read(board, drivers, &commands);
        let service = Service::start(
            redfish::Parts {
                model: model.clone(),
                commands: commands.clone(),
                accounts: Arc::new(accounts),
                exporter: exporter.clone(),
                deprecated_power_thermal: config.deprecated_power_thermal,
                update: config.update.clone(),
                software,
                state_dir: state.path().to_owned(),
                consoles,
                allow_http_events: config.allow_http_events,
                clock,
                configuration: serde_json::to_value(&config)
                    .unwrap_or_default(),
                instruments,
                modems,
                power_modes,
                wires,
            },
            tasks,
            stop,
        )?;
        let snapshot = model.snapshot();
        let line = doors::line(&config, &snapshot.inventory)?.map(Arc::new);
        let ports = doors::ports(&config, &snapshot.inventory);
        let serving = Arc::clone(&service);
        let bound = server::start(ports, serving, tasks, pulses, stop).await?;
        doors::tell_where(&state, bound);
        service.take_up_tasks();
        service.announce(bound.address, stop);
        if let Some(line) = line {
            exporter.metrics().tunnel.follow(line.states());
            let handler =
                doors::tunnelled(Arc::clone(&service), exporter.clone());
            line.start(handler, tasks, stop.child_token());
            service.show_fleet(line, stop.child_token());
        }
        if let Some(kennel) = kennel {
            let keeper = Keeper {
                watch: parts::watch(&config, &state, kennel),
                model: model.clone(),
                service: Arc::clone(&service),
                pulses: pulses.clone(),
                leaving: leaving.clone(),
            };
            tasks.start(keeper.keep(stop.child_token()));
        }
        guard.disarm();
        Ok(Self {
            state,
            shared,
            commands,
            exporter,
            service,
            simulation,
            buses,
            initial_password,
            bound,
            grace: Duration::from_secs(config.grace_seconds),
        })
    }

    /// Where Redfish is served.
    #[must_use]
    pub fn redfish_address(&self) -> SocketAddr {
        self.bound.address
    }

    /// Where `/metrics` is served without TLS.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.bound.metrics
    }

    /// The administrator's password, if this was the first start.
    #[must_use]
    pub fn initial_password(&self) -> Option<&str> {
        self.initial_password.as_deref()
    }

    /// The file that keeps the password of the first start.
    #[must_use]
    pub fn initial_password_file(&self) -> PathBuf {
        self.state.path().join("initial-password")
    }

    /// What the agent knows.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.shared.model
    }

    /// Where commands to the parts go.
    #[must_use]
    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    /// What answers scrapes.
    #[must_use]
    pub fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// Serves `stream` as the Redfish port does below TLS, to a client at
    /// `peer`, until the connection ends.
    ///
    /// # Errors
    /// The stream broke, or carried no HTTP.
    pub async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: IpAddr,
    ) -> io::Result<()> {
        let service = Arc::clone(&self.service);
        let stop = self.shared.stop.child_token();
        // What is below TLS here has no port.
        let peer = SocketAddr::new(peer, 0);
        let origin = Origin::Tls { peer, certificates: None };
        server::converse(Box::new(stream), service, origin, stop).await
    }

    /// What shows that the agent's tasks make progress.
    #[must_use]
    pub fn pulses(&self) -> &Pulses {
        &self.shared.pulses
    }

    /// The simulated board, where there is one.
    #[must_use]
    pub fn simulation(&self) -> Option<&Simulation> {
        self.simulation.as_ref()
    }

    /// The far sides of the board's simulated buses.
    #[must_use]
    pub fn buses(&self) -> &SimulatedBuses {
        &self.buses
    }

    /// Waits until somebody wants the agent to start anew: it is then to be
    /// stopped, and started.
    pub async fn leaving(&self) {
        self.shared.leaving.cancelled().await;
    }

    /// Ends all tasks; whether they ended within the grace period.
    pub async fn stop(self) -> bool {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if let Some(simulation) = &self.simulation {
            simulation.close();
        }
        let ended = timeout(self.grace, self.shared.tasks.wait()).await.is_ok();
        if !ended {
            warn!(
                left = self.shared.tasks.len(),
                "stopped with work under way"
            );
        }
        ended
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        if let Some(simulation) = &self.simulation {
            simulation.close();
        }
    }
}

/// What is known before anything runs.
fn known(
    inventory: Inventory,
    settings: Settings,
    volumes: Shelves,
    look: Look,
    record: &PowerRecord,
) -> Model {
    let model = Model::new(inventory, settings);
    model.post_volumes(volumes);
    model.post_network(look.network, look.counters);
    record.resets().for_each(|(system, at)| model.post_reset(system, at));
    model
}
