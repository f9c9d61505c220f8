//! What is read before anything runs.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use tracing::{info, warn};

use super::StartError;
use crate::{
    accounts::Accounts,
    boards::{
        self, Board, Naming, Scan, Shelves,
        assembly::Assembly,
        buses::{SimulatedBuses, Tapes},
        hand::Hand,
        host::{self, Host},
        next_boot::NextBoot,
    },
    bus::{record::Recorder, replay::Recording},
    config::Config,
    drivers::{
        software::{self, Software},
        tree::Tree,
    },
    fabric::Look,
    sim::Simulation,
    state::StateDir,
};

/// The most recordings of one name.
const RECORDINGS: usize = 16;

/// What is read before anything runs.
pub(super) struct Prepared {
    pub(super) state: StateDir,
    pub(super) board: Box<dyn Board>,
    pub(super) simulation: Option<Simulation>,
    pub(super) buses: SimulatedBuses,
    pub(super) scan: Scan,
    pub(super) volumes: Shelves,
    pub(super) look: Look,
    pub(super) accounts: Accounts,
    pub(super) initial_password: Option<String>,
    pub(super) software: Vec<Software>,
}

/// Reads what is kept, and looks at the machine and at its board, on whose
/// buses `recording` is played back, if there is one.
pub(super) fn prepare(
    config: &Config,
    recording: Option<Recording>,
) -> Result<Prepared, StartError> {
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
    let hand = Hand::open(state.path(), &tree, boot_id(&tree))?;
    let host = |naming| machine(config, &tree, &state, naming, hand);
    let mut board: Box<dyn Board> = if let Some(file) = &config.board {
        let recorder = recorder(config)?;
        let recording = match recording {
            None => recorded(config)?,
            some => some,
        };
        let tapes = Tapes { recorder, recording };
        let board = Assembly::load(file, &naming, &tree, tapes, host)?;
        simulation = board.simulation().cloned();
        buses = board.buses().clone();
        Box::new(board)
    } else {
        if let Some(record) = &config.record {
            let record = record.display();
            warn!(%record, "no board file, and so no bus to record");
        }
        if let Some(replay) = &config.replay {
            let replay = replay.display();
            warn!(%replay, "no board file, and so no bus to play it back on");
        }
        Box::new(host(naming))
    };
    let scan = boards::look(&mut *board);
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

/// The machine that the agent runs on.
fn machine(
    config: &Config,
    tree: &Tree,
    state: &StateDir,
    naming: Naming,
    hand: Hand,
) -> Host {
    let next = NextBoot::new(state.path(), tree.clone(), boot_id(tree));
    let host = Host::new(tree.clone(), naming, config.allow_host_power, hand)
        .starting(next)
        .allow_volumes(config.allow_volumes);
    // A fixture shows no kernel that could be asked.
    if config.root != Path::new("/") {
        return host;
    }
    let network = &config.network;
    let heard = network.lldp_receive || network.lldp_transmit;
    host.wired(config.allow_network_changes, heard)
}

/// What records the buses, where that is wanted. No recording is written over:
/// each start makes one of its own, `FILE`, `FILE.1` and so on. A machine with
/// too many is looked after without.
fn recorder(config: &Config) -> Result<Option<Recorder>, StartError> {
    let Some(file) = &config.record else { return Ok(None) };
    let beside = (1..RECORDINGS).map(|number| {
        let mut path = file.clone().into_os_string();
        path.push(format!(".{number}"));
        PathBuf::from(path)
    });
    for path in std::iter::once(file.clone()).chain(beside) {
        match Recorder::create(&path) {
            Ok(recorder) => {
                info!(file = %path.display(), "the buses are recorded");
                return Ok(Some(recorder));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(StartError::Record { path, source }),
        }
    }
    let file = file.display();
    warn!(%file, "nothing is recorded: there are {RECORDINGS} recordings");
    Ok(None)
}

/// What is played back on the buses, where that is wanted.
fn recorded(config: &Config) -> Result<Option<Recording>, StartError> {
    let Some(path) = &config.replay else { return Ok(None) };
    let recording = Recording::read(path);
    recording
        .map(Some)
        .map_err(|source| StartError::Replay { path: path.clone(), source })
}

/// What the kernel calls this start of the machine (`random(4)`): the same for
/// as long as the machine has its power.
pub(super) fn boot_id(tree: &Tree) -> Option<String> {
    tree.text("/proc/sys/kernel/random/boot_id")
}
