//! Which systems are on when the agent starts.

use onprem_link::log::Chain;
use tracing::warn;

use crate::{
    boards::Board,
    model::{Inventory, Part, PowerRestorePolicy, Settings},
    state::{StateDir, StateError},
    tasks::{cycles::Cycles, power_record::PowerRecord},
};

/// What is known of the power from before.
pub(super) struct Kept {
    pub(super) record: PowerRecord,
    pub(super) cycles: Cycles,
}

/// Switches the systems on or off as people want it after the power was gone,
/// in the start `boot` of the machine. Where only the agent was gone, however
/// it ended, each is as it was.
pub(super) fn restore(
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
