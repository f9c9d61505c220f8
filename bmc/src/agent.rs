//! The agent: builds the parts, starts their tasks, and ends them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response, header::CONTENT_TYPE};
use onprem_link::{
    enrol::Facts,
    grant::Grant,
    log::Chain,
    task::{Tasks as _, blocking},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinError,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    accounts::{self, Accounts},
    boards::{
        Board, Naming, Scan, Shelves,
        assembly::Assembly,
        file::BoardError,
        hand::Hand,
        host::{self, Host},
        next_boot::NextBoot,
        part::SimulatedBuses,
    },
    bus::{
        record::Recorder,
        watchdog::{Kennel, KernelKennel},
    },
    clock::Clock,
    collectors::{self, Exporter},
    commands::{Commands, QUEUE},
    config::{Config, Unusable},
    console::Consoles,
    drivers::{
        Driver,
        software::{self, Software},
        tree::Tree,
    },
    fabric::Look,
    model::{Inventory, Model, Part, PowerRestorePolicy, Settings},
    phone_home::{self, Line},
    redfish::{self, Body, Origin, Service},
    server::{self, Bound, ServerConfig, ServerError},
    sim::Simulation,
    state::{StateDir, StateError},
    tasks::{
        self,
        cycles::Cycles,
        poll::poll,
        power_record::PowerRecord,
        pulse::Pulses,
        watchdog::{Keeper, Watch},
    },
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
    model: Model,
    commands: Commands,
    exporter: Exporter,
    service: Arc<Service>,
    simulation: Option<Simulation>,
    buses: SimulatedBuses,
    initial_password: Option<String>,
    bound: Bound,
    grace: Duration,
    tasks: TaskTracker,
    /// What shows that its tasks make progress.
    pulses: Pulses,
    /// Told when the agent is to start anew.
    leaving: CancellationToken,
    stop: CancellationToken,
}

/// What is read before anything runs.
struct Prepared {
    state: StateDir,
    board: Box<dyn Board>,
    simulation: Option<Simulation>,
    buses: SimulatedBuses,
    scan: Scan,
    volumes: Shelves,
    look: Look,
    accounts: Accounts,
    initial_password: Option<String>,
    software: Vec<Software>,
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
        config.check()?;
        let own = config.clone();
        let prepared = blocking(move || prepare(&own));
        let Prepared {
            state,
            board,
            simulation,
            buses,
            scan: Scan { inventory, drivers },
            volumes,
            look,
            accounts,
            initial_password,
            software,
        } = prepared.await??;
        let settings = state.settings()?;
        let boot = Tree::new(&config.root).text(BOOT_ID);
        let kept = restore_power(&*board, &state, boot, &inventory, &settings)?;
        let model = known(inventory, settings, volumes, look, &kept.record);
        let exporter = Exporter::new(model.clone());
        let (instruments, modems, wires) =
            (board.instruments(), board.modems(), board.wires());
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        // What ends early takes along what was started before it.
        let guard = stop.clone().drop_guard();

        let leaving = CancellationToken::new();
        let lines = board.consoles();
        let consoles = Consoles::open(state.path(), lines, &tasks, &stop);
        let pulses = Pulses::default();
        let commands = own_parts(
            &config, &*board, &state, kept, &model, &tasks, &leaving, &pulses,
            &stop,
        )?;
        mind_heat(&config, &model, &commands, &tasks, &stop);
        let known = (&model, &commands, &pulses);
        read_parts(board, drivers, known, &tasks, &stop);
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
                wires,
            },
            &tasks,
            &stop,
        )?;
        let snapshot = model.snapshot();
        let line = line(&config, &snapshot.inventory)?.map(Arc::new);
        let server = server_config(&config, &snapshot.inventory);
        let serving = Arc::clone(&service);
        let bound =
            server::start(server, serving, &tasks, &pulses, &stop).await?;
        tell_where(&state, bound);
        service.announce(bound.address, &stop);
        if let Some(line) = line {
            exporter.metrics().tunnel.follow(line.states());
            let handler = tunnelled(Arc::clone(&service), exporter.clone());
            line.start(handler, &tasks, stop.child_token());
            service.show_fleet(line, stop.child_token());
        }
        let watch = kennel.map(|kennel| watch(&config, &state, kennel));
        if let Some(watch) = watch {
            let (model, service) = (model.clone(), Arc::clone(&service));
            let (pulses, leaving) = (pulses.clone(), leaving.clone());
            let keeper = Keeper { watch, model, service, pulses, leaving };
            tasks.start(keeper.keep(stop.child_token()));
        }
        guard.disarm();
        Ok(Self {
            state,
            model,
            commands,
            exporter,
            service,
            simulation,
            buses,
            initial_password,
            bound,
            grace: Duration::from_secs(config.grace_seconds),
            tasks,
            pulses,
            leaving,
            stop,
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
        &self.model
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
        let stop = self.stop.child_token();
        // What is below TLS here has no port.
        let peer = SocketAddr::new(peer, 0);
        let origin = Origin::Tls { peer, certificates: None };
        server::converse(stream, service, origin, stop).await
    }

    /// What shows that the agent's tasks make progress.
    #[must_use]
    pub fn pulses(&self) -> &Pulses {
        &self.pulses
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
        self.leaving.cancelled().await;
    }

    /// Ends all tasks; whether they ended within the grace period.
    pub async fn stop(self) -> bool {
        self.stop.cancel();
        self.tasks.close();
        if let Some(simulation) = &self.simulation {
            simulation.close();
        }
        let ended = timeout(self.grace, self.tasks.wait()).await.is_ok();
        if !ended {
            warn!(left = self.tasks.len(), "stopped with work under way");
        }
        ended
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(simulation) = &self.simulation {
            simulation.close();
        }
    }
}

fn tell_where(state: &StateDir, bound: Bound) {
    let told = state.write_addresses(bound.address, bound.metrics);
    if let Err(error) = told {
        // A full disk is no reason not to serve.
        warn!(error = %Chain(&error), "scripts cannot be told where");
    }
    info!(address = %bound.address, "listening");
    if let Some(address) = bound.metrics {
        info!(%address, "listening for scrapes");
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

fn prepare(config: &Config) -> Result<Prepared, StartError> {
    let state = StateDir::open(&config.state_dir)?;
    let naming = Naming {
        name: config.name.clone(),
        serial_number: config.serial_number.clone(),
        fallback_identity: state.identity()?,
    };
    let mut simulation = None;
    let mut buses = SimulatedBuses::default();
    let tree = Tree::new(&config.root);
    // Before the scan: what a chip drives is known by looking at it.
    let hand = Hand::open(state.path(), &tree, tree.text(BOOT_ID))?;
    let host = |naming| {
        let boot = tree.text(BOOT_ID);
        let next = NextBoot::new(state.path(), tree.clone(), boot);
        let host =
            Host::new(tree.clone(), naming, config.allow_host_power, hand)
                .starting(next)
                .allow_volumes(config.allow_volumes);
        // A fixture shows no kernel that could be asked.
        if config.root == Path::new("/") {
            let network = &config.network;
            let heard = network.lldp_receive || network.lldp_transmit;
            host.wired(config.allow_network_changes, heard)
        } else {
            host
        }
    };
    if let (Some(record), None) = (&config.record, &config.board) {
        let record = record.display();
        warn!(%record, "no board file, and so no bus to record");
    }
    let mut board: Box<dyn Board> = if let Some(file) = &config.board {
        let record = config.record.as_deref().map(|path| {
            let path_of = || path.to_owned();
            Recorder::create(path).map_err(|source| StartError::Record {
                path: path_of(),
                source,
            })
        });
        let recorder = record.transpose()?;
        let board = Assembly::load(file, &naming, &tree, recorder, host)?;
        simulation = board.simulation().cloned();
        buses = board.buses().clone();
        Box::new(board)
    } else {
        Box::new(host(naming))
    };
    let scan = board.scan();
    let mut systems = scan.inventory.systems.iter();
    // What is no part of this machine is not its.
    let own = systems.any(|it| *it.id == *host::SYSTEM);
    let software = if own && simulation.is_none() {
        software::read(&tree)
    } else {
        Vec::new()
    };
    let volumes = board.volumes();
    volumes.open(state.path())?;
    let wiring = board.wiring();
    wiring.open(state.path())?;
    // Whoever asks first sees what is there; why it is not is told later.
    let look = wiring.look().unwrap_or_default();
    let volumes = volumes.list(&scan.inventory);
    let (accounts, initial_password) = Accounts::open(state.path())?;
    Ok(Prepared {
        state,
        board,
        simulation,
        buses,
        scan,
        volumes,
        look,
        accounts,
        initial_password,
        software,
    })
}

/// What the kernel calls this start of the machine (`random(4)`): the same for
/// as long as the machine has its power.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Switches the systems on or off as people want it after the power was gone,
/// in the start `boot` of the machine. Where only the agent was gone, however
/// it ended, each is as it was.
fn restore_power(
    board: &dyn Board,
    state: &StateDir,
    boot: Option<String>,
    inventory: &Inventory,
    settings: &Settings,
) -> Result<Kept, StateError> {
    let mut record = state.power()?;
    let lost = record.enter(boot);
    let power = board.power();
    for system in inventory.systems.iter().filter(|it| it.restores_power) {
        let settings = settings.of(&Part::System(system.id.clone()));
        let was_on = record.was_on(&system.id);
        let on = match settings.power_restore_policy.unwrap_or_default() {
            _ if !lost => was_on,
            PowerRestorePolicy::AlwaysOn => true,
            PowerRestorePolicy::AlwaysOff => false,
            PowerRestorePolicy::LastState => was_on,
        };
        power.restore(&system.id, on, lost);
        record.put(&system.id, on);
    }
    if let Err(error) = record.write(&state.power_file()) {
        // A full disk is no reason not to serve.
        warn!(error = %Chain(&error), "it is not kept which systems are on");
    }
    Ok(Kept { record, cycles: state.cycles()? })
}

/// Starts the last means against heat.
fn mind_heat(
    config: &Config,
    model: &Model,
    commands: &Commands,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    tasks.start(tasks::emergency::watch(
        config.thermal_emergency.clone(),
        model.clone(),
        commands.clone(),
        stop.child_token(),
    ));
}

/// What is known of the power from before.
struct Kept {
    record: PowerRecord,
    cycles: Cycles,
}

/// Starts the tasks that own power and settings.
#[expect(clippy::too_many_arguments, reason = "all of what tasks share")]
fn own_parts(
    config: &Config,
    board: &dyn Board,
    state: &StateDir,
    kept: Kept,
    model: &Model,
    tasks: &TaskTracker,
    leaving: &CancellationToken,
    pulses: &Pulses,
    stop: &CancellationToken,
) -> Result<Commands, StateError> {
    let last = state.switches()?;
    let (power, powers) = mpsc::channel(QUEUE);
    let (settings, changes) = mpsc::channel(QUEUE);
    let Kept { record, cycles } = kept;
    let owner = tasks::power::Owner {
        power: board.power(),
        model: model.clone(),
        cycles,
    };
    tasks.start(owner.own(powers, stop.child_token()));
    let owner = tasks::settings::Owner::new(
        state.settings_file(),
        board.power(),
        model.clone(),
    );
    tasks.start(owner.own(changes, stop.child_token()));
    tasks.start(tasks::power_record::keep(
        state.power_file(),
        record,
        model.clone(),
        stop.child_token(),
    ));
    let (leave, leaves) = mpsc::channel(QUEUE);
    tasks.start(tasks::leave::own(
        state.path().to_owned(),
        leaves,
        leaving.clone(),
        stop.child_token(),
    ));
    let (control, controls) = mpsc::channel(QUEUE);
    tasks.start(tasks::control::own(
        board.controls(),
        controls,
        model.clone(),
        pulses.of("control loop"),
        stop.child_token(),
    ));
    let (switch, puts) = mpsc::channel(QUEUE);
    let owner = tasks::switch::Owner::new(
        board.switches(),
        model.clone(),
        state.switches_file(),
        last,
    );
    tasks.start(owner.own(puts, stop.child_token()));
    let (volumes, wishes) = mpsc::channel(QUEUE);
    tasks.start(tasks::volumes::own(
        board.volumes(),
        wishes,
        model.clone(),
        stop.child_token(),
    ));
    let (network, wishes) = mpsc::channel(QUEUE);
    let wiring = board.wiring();
    let owner = tasks::network::Owner::open(
        Arc::clone(&wiring),
        model.clone(),
        state.path(),
        Duration::from_secs(config.network.confirm_seconds),
    )?;
    tasks.start(owner.own(wishes, stop.child_token()));
    tasks.start(tasks::lldp::run(
        wiring,
        model.clone(),
        config.network.clone(),
        stop.child_token(),
    ));
    Ok(Commands { power, settings, leave, control, volumes, switch, network })
}

/// Starts what reads the parts of `board`, and looks for new ones.
fn read_parts(
    board: Box<dyn Board>,
    drivers: Vec<Box<dyn Driver>>,
    (model, commands, pulses): (&Model, &Commands, &Pulses),
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let pulse = pulses.of("readers of parts");
    for driver in drivers {
        let (model, commands) = (model.clone(), commands.clone());
        let stop = stop.child_token();
        tasks.start(poll(driver, model, commands, pulse.clone(), stop));
    }
    tasks.start(tasks::quality::watch(
        model.clone(),
        pulses.of("model"),
        stop.child_token(),
    ));
    tasks.start(tasks::scan::scan(
        board,
        model.clone(),
        commands.clone(),
        tasks.clone(),
        pulse,
        stop.child_token(),
    ));
}

/// What the watchdog is to do.
fn watch(config: &Config, state: &StateDir, kennel: Arc<dyn Kennel>) -> Watch {
    let device = config.watchdog.device.clone().unwrap_or_default();
    Watch {
        kennel,
        device: device.display().to_string(),
        timeout: Duration::from_secs(config.watchdog.timeout_seconds),
        file: state.path().join("watchdog.json"),
        boot: Tree::new(&config.root).text(BOOT_ID),
    }
}

fn server_config(config: &Config, inventory: &Inventory) -> ServerConfig {
    let interfaces = &inventory.manager.interfaces;
    let ipv4 = interfaces.iter().flat_map(|i| &i.ipv4);
    let ipv6 = interfaces.iter().flat_map(|i| &i.ipv6);
    let addresses = ipv4
        .map(|address| address.address.into())
        .chain(ipv6.map(|address| address.address.into()));
    ServerConfig {
        listen: config.listen,
        metrics_listen: Some(config.metrics_listen),
        tls_dir: config.state_dir.join("tls"),
        names: inventory.manager.host_name.iter().cloned().collect(),
        addresses: addresses.collect(),
    }
}

/// The way to a fleet, whether or not there is one now.
fn line(
    config: &Config,
    inventory: &Inventory,
) -> Result<Option<Line>, StateError> {
    let Some(system) = inventory.systems.first() else { return Ok(None) };
    let url = config.fleet_url.clone();
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let folder = config.state_dir.join("fleet");
    let mut options = phone_home::Options::new(
        url.clone().unwrap_or_default(),
        folder,
        system.uuid,
    );
    options.join_token_file.clone_from(&config.join_token_file);
    options.facts = Facts {
        hostname: system.name.clone(),
        manufacturer: word(&system.board.manufacturer),
        model: word(&system.board.model),
        serial_number: word(&system.board.serial_number),
        agent_version: inventory.manager.version.clone(),
    };
    let path = options.folder.clone();
    let opened = Line::open(options, url);
    opened.map(Some).map_err(|source| StateError::File { path, source })
}

/// What the fleet gets through the tunnel: Redfish and the metrics.
fn tunnelled(
    service: Arc<Service>,
    exporter: Exporter,
) -> impl phone_home::Handler<Body = Body> {
    move |request: Request<hyper::body::Incoming>, grant: Grant| {
        let (service, exporter) = (Arc::clone(&service), exporter.clone());
        async move {
            if request.uri().path() != "/metrics" {
                let origin = Origin::Tunnel(Box::new(grant));
                return service.handle(request, origin).await;
            }
            let mut response = Response::new(Body::from(exporter.render()));
            let kind = http::HeaderValue::from_static(collectors::CONTENT_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
    }
}
