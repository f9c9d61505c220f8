//! Which systems are on when the agent starts.

use onprem_link::log::Chain;
use tracing::warn;

use crate::{
    boards::Board,
    model::{Inventory, Part, Settings},
    state::{StateDir, StateError},
    tasks::{cycles::Cycles, power_plans::Plans, power_record::PowerRecord},
};

/// What is known of the power from before.
pub(super) struct Kept {
    pub(super) record: PowerRecord,
    pub(super) plans: Plans,
    pub(super) cycles: Cycles,
    /// Whether the machine was without power meanwhile.
    pub(super) lost: bool,
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
    let mut plans = state.plans()?;
    let lost = record.enter(boot);
    let power = board.power();
    for system in inventory.systems.iter().filter(|it| it.restores_power) {
        let settings = settings.of(&Part::System(system.id.clone()));
        // What was under way counts as what it was to lead to.
        let plan = plans.get(&system.id);
        let was_on = record.was_on(&system.id);
        let was_on = plan.map_or(was_on, |plan| plan.on);
        let policy = system.restore_policy(&settings);
        let on = if lost { policy.leads_to(was_on) } else { was_on };
        power.restore(&system.id, on, lost);
        if let Some(plan) = plan.filter(|_| !lost) {
            power.resume(&system.id, plan.on);
        }
        record.put(&system.id, on);
    }
    if lost {
        plans.forget();
    }
    if let Err(error) = record.write(&state.power_file()) {
        // A full disk is no reason not to serve.
        warn!(error = %Chain(&error), "it is not kept which systems are on");
    }
    Ok(Kept { record, plans, cycles: state.cycles()?, lost })
}
