//! `Manager.Reset` and `Manager.ResetToDefaults`: the agent starts anew.

use onprem_redfish::message::base;

use super::allowable;
use crate::{
    leave::{Defaults, Leave},
    redfish::{
        error::Error,
        resource::{Acted, Action, Answer, Write},
    },
};

const RESET: &str = "Manager.Reset";
const DEFAULTS: &str = "Manager.ResetToDefaults";

/// The agent is given a moment to end what it does, or is not: it always is,
/// within the bound it has anyway.
const KINDS: [&str; 2] = ["GracefulRestart", "ForceRestart"];

/// The actions with their parameters.
pub(super) const ACTIONS: [Action; 2] =
    [(RESET, &["/ResetType"]), (DEFAULTS, &["/ResetType"])];

/// Names the actions in `answer`.
pub(super) fn offer(answer: Answer) -> Answer {
    let defaults = Defaults::ALL.map(Defaults::as_str);
    answer
        .action(RESET, allowable("ResetType", &KINDS))
        .action(DEFAULTS, allowable("ResetType", &defaults))
}

/// Carries out `action`.
pub(super) async fn act(
    write: &Write<'_>,
    action: &str,
) -> Result<Acted, Error> {
    let asked = write.text("/ResetType");
    let defaults = match (action, asked) {
        (RESET, None) => None,
        (RESET, Some(kind)) if KINDS.contains(&kind) => None,
        (DEFAULTS, Some(kind)) => {
            let mut all = Defaults::ALL.into_iter();
            let found = all.find(|it| it.as_str() == kind);
            Some(found.ok_or_else(|| not_in_list(kind, action))?)
        }
        (_, kind) => return Err(not_in_list(kind.unwrap_or(""), action)),
    };
    let manager = write.id(0);
    write.service.commands.leave(manager, Leave { defaults }).await?;
    Ok(Acted::Done)
}

fn not_in_list(value: &str, action: &str) -> Error {
    let message =
        base::action_parameter_value_not_in_list(value, "ResetType", action);
    let all = match action {
        RESET => KINDS.to_vec(),
        _ => Defaults::ALL.map(Defaults::as_str).to_vec(),
    };
    let advice = format!("Send one of these: {}.", all.join(", "));
    Error::bad(vec![message.resolved_by(advice)])
}
