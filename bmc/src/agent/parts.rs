//! What owns the parts of the board, and what reads them.

use std::{sync::Arc, time::Duration};

use onprem_link::task::Tasks as _;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{power::Kept, prepare::boot_id};
use crate::{
    boards::Board,
    bus::watchdog::Kennel,
    commands::{Commands, QUEUE},
    config::Config,
    drivers::{Driver, tree::Tree},
    model::Model,
    node_agent::NodeAgents,
    state::{StateDir, StateError},
    tasks::{self, poll::poll, pulse::Pulses, watchdog::Watch},
};

/// What all tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) model: Model,
    pub(super) tasks: TaskTracker,
    /// What shows that they make progress.
    pub(super) pulses: Pulses,
    /// Told when the agent is to start anew.
    pub(super) leaving: CancellationToken,
    pub(super) stop: CancellationToken,
}

impl Shared {
    pub(super) fn new(model: Model) -> Self {
        Self {
            model,
            tasks: TaskTracker::new(),
            pulses: Pulses::default(),
            leaving: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Starts the tasks that own power and settings.
    pub(super) fn own(
        &self,
        config: &Config,
        board: &dyn Board,
        state: &StateDir,
        kept: Kept,
    ) -> Result<Commands, StateError> {
        let last = state.switches()?;
        let (power, powers) = mpsc::channel(QUEUE);
        let (settings, changes) = mpsc::channel(QUEUE);
        let Kept { record, plans, cycles, lost } = kept;
        let owner = tasks::power::Owner {
            power: board.power(),
            model: self.model.clone(),
            cycles,
            plans,
        };
        self.tasks.start(owner.own(powers, self.stop.child_token()));
        let nodes = NodeAgents::start(
            board.agents(),
            state.path(),
            &self.model,
            lost,
            &power,
            &self.tasks,
            &self.stop,
        )?;
        let owner = tasks::settings::Owner::new(
            state.settings_file(),
            board.power(),
            self.model.clone(),
        );
        self.tasks.start(owner.own(changes, self.stop.child_token()));
        self.tasks.start(tasks::power_record::keep(
            state.power_file(),
            record,
            self.model.clone(),
            self.stop.child_token(),
        ));
        let (leave, leaves) = mpsc::channel(QUEUE);
        self.tasks.start(tasks::leave::own(
            state.path().to_owned(),
            leaves,
            self.leaving.clone(),
            self.stop.child_token(),
        ));
        let (control, controls) = mpsc::channel(QUEUE);
        self.tasks.start(tasks::control::own(
            board.controls(),
            controls,
            self.model.clone(),
            self.pulses.of("control loop"),
            self.stop.child_token(),
        ));
        let (switch, puts) = mpsc::channel(QUEUE);
        let owner = tasks::switch::Owner::new(
            board.switches(),
            self.model.clone(),
            state.switches_file(),
            last,
        );
        self.tasks.start(owner.own(puts, self.stop.child_token()));
        let (volumes, wishes) = mpsc::channel(QUEUE);
        self.tasks.start(tasks::volumes::own(
            board.volumes(),
            wishes,
            self.model.clone(),
            self.stop.child_token(),
        ));
        let (network, wishes) = mpsc::channel(QUEUE);
        let wiring = board.wiring();
        let owner = tasks::network::Owner::open(
            Arc::clone(&wiring),
            self.model.clone(),
            state.path(),
            Duration::from_secs(config.network.confirm_seconds),
        )?;
        self.tasks.start(owner.own(wishes, self.stop.child_token()));
        self.tasks.start(tasks::lldp::run(
            wiring,
            self.model.clone(),
            config.network.clone(),
            self.stop.child_token(),
        ));
        Ok(Commands {
            power,
            settings,
            leave,
            control,
            volumes,
            switch,
            network,
            nodes,
        })
    }

    /// Starts what reads the parts of `board`, and looks for new ones.
    pub(super) fn read(
        &self,
        board: Box<dyn Board>,
        drivers: Vec<Box<dyn Driver>>,
        commands: &Commands,
    ) {
        let pulse = self.pulses.of("readers of parts");
        for driver in drivers {
            let (model, commands) = (self.model.clone(), commands.clone());
            let stop = self.stop.child_token();
            self.tasks.start(poll(
                driver,
                model,
                commands,
                pulse.clone(),
                stop,
            ));
        }
        self.tasks.start(tasks::quality::watch(
            self.model.clone(),
            self.pulses.of("model"),
            self.stop.child_token(),
        ));
        self.tasks.start(tasks::scan::scan(
            board,
            self.model.clone(),
            commands.clone(),
            self.tasks.clone(),
            pulse,
            self.stop.child_token(),
        ));
    }

    /// Starts the last means against heat.
    pub(super) fn mind_heat(&self, config: &Config, commands: &Commands) {
        self.tasks.start(tasks::emergency::watch(
            config.thermal_emergency.clone(),
            self.model.clone(),
            commands.clone(),
            self.tasks.clone(),
            self.stop.child_token(),
        ));
    }
}

/// What the watchdog in `kennel` is to do.
pub(super) fn watch(
    config: &Config,
    state: &StateDir,
    kennel: Arc<dyn Kennel>,
) -> Watch {
    let device = config.watchdog.device.clone().unwrap_or_default();
    Watch {
        kennel,
        device: device.display().to_string(),
        timeout: Duration::from_secs(config.watchdog.timeout_seconds),
        file: state.path().join("watchdog.json"),
        boot: boot_id(&Tree::new(&config.root)),
    }
}
