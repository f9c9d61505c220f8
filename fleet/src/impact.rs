//! What a reset would do, said before anybody is asked to go on.

use crate::{
    api::{Affected, DeviceNode, Impact, PowerState, ResetType},
    error::Error,
    live::Live,
    nodes::{Target, allows, named, node, reset_of},
};

impl Live {
    /// What a reset of `nodes` would touch: of all that can be reset, where
    /// none is named.
    ///
    /// # Errors
    /// The device cannot be asked; it has no such node.
    pub async fn impact(
        &self,
        kind: Option<ResetType>,
        nodes: &[String],
    ) -> Result<Impact, Error> {
        let systems = self.members("/redfish/v1/Systems").await?;
        let ids = named(&systems, nodes)?;
        let mut impact = Impact::default();
        let mut kinds: Vec<String> = Vec::new();
        let mut touched = Vec::new();
        let one = systems.len() == 1;
        for system in &systems {
            let it = node(system);
            if !nodes.is_empty() && !ids.contains(&it.id) {
                continue;
            }
            for kind in &it.reset_types {
                if !kinds.contains(kind) {
                    kinds.push(kind.clone());
                }
            }
            let able = match kind {
                None => !it.reset_types.is_empty(),
                Some(kind) => allows(system, kind),
            };
            let counts = counts(kind) && able;
            // Of many, only those are named that something is said of.
            let full = it.starts_left == it.starts_per_hour;
            let says = counts && (ids.len() == 1 || one || !full);
            let affected = affected(&it, able, says);
            if able {
                impact.affects.push(affected);
                touched.push(it);
            } else {
                impact.spares.push(affected);
            }
        }
        impact.warnings = warnings(kind, &touched);
        impact.choices.insert("resetType".to_owned(), kinds);
        let able = systems.iter().filter(|system| reset_of(system).is_some());
        let able = able.map(|system| node(system).id);
        impact.choices.insert("nodes".to_owned(), able.collect());
        Ok(impact)
    }

    /// How often a node may still be started after this reset, in words, where
    /// that has a limit and the device can be asked.
    pub(crate) async fn starts_left(
        &self,
        target: &Target,
        kind: ResetType,
    ) -> Option<String> {
        if !counts(Some(kind)) {
            return None;
        }
        starts(&node(&self.get(&target.path).await.ok()?))
    }
}

/// Whether a reset of this kind can be a start; any can where none is said.
fn counts(kind: Option<ResetType>) -> bool {
    use ResetType::{ForceRestart, On, PowerCycle, PushPowerButton};
    matches!(
        kind,
        None | Some(ForceRestart | On | PowerCycle | PushPowerButton)
    )
}

fn affected(it: &DeviceNode, able: bool, says: bool) -> Affected {
    let mut notes = Vec::new();
    if it.runs_agent {
        notes.push("the agent runs on it".to_owned());
    } else if !able {
        notes.push("it cannot do this".to_owned());
    }
    notes.extend(starts(it).filter(|_| says));
    let named = !it.name.is_empty() && !it.name.eq_ignore_ascii_case(&it.id);
    Affected {
        name: if named {
            format!("{} ({})", it.id, it.name)
        } else {
            it.id.clone()
        },
        state: it.power_state.map(|state| state.to_string()),
        note: (!notes.is_empty()).then(|| notes.join(", ")),
    }
}

/// `3 of 4 starts left this hour`.
fn starts(it: &DeviceNode) -> Option<String> {
    let (left, most) = (it.starts_left?, it.starts_per_hour?);
    Some(match left {
        0 => format!("none of {most} starts left this hour"),
        _ => format!("{left} of {most} starts left this hour"),
    })
}

/// What a person has to know before a reset of `nodes`.
fn warnings(kind: Option<ResetType>, nodes: &[DeviceNode]) -> Vec<String> {
    let mut said = Vec::new();
    // What is on stays on when it is switched on.
    if kind != Some(ResetType::On) {
        let runs = |it: &&DeviceNode| it.power_state != Some(PowerState::Off);
        let running: Vec<_> = nodes.iter().filter(runs).collect();
        match running[..] {
            [] => {}
            [one] => said
                .push(format!("This interrupts what {} is doing now.", one.id)),
            _ => said.push(format!(
                "This interrupts what {} nodes are doing now.",
                running.len()
            )),
        }
    }
    let starts = counts(kind);
    let worn = nodes.iter().filter(|it| starts && it.starts_left == Some(0));
    let worn: Vec<_> = worn.map(|it| it.id.as_str()).collect();
    if !worn.is_empty() {
        said.push(format!(
            "{} cannot be started now: as often as it may be within an hour, \
             it was.",
            worn.join(", ")
        ));
    }
    for own in nodes.iter().filter(|it| it.runs_agent) {
        said.push(format!(
            "The agent of this device runs on {}: without its power, nobody \
             reaches the device, nor can it be switched on from here.",
            own.id
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn node(id: &str, state: PowerState, agent: bool) -> DeviceNode {
        DeviceNode {
            id: id.to_owned(),
            name: id.to_uppercase(),
            power_state: Some(state),
            health: None,
            reasons: Vec::new(),
            chassis: None,
            place: None,
            manufacturer: None,
            model: None,
            reset_types: vec!["On".to_owned()],
            runs_agent: agent,
            console: None,
            starts_left: Some(3),
            starts_per_hour: Some(4),
            read_at: Utc::now(),
        }
    }

    #[test]
    fn one_is_warned_of_what_happens_and_of_nothing_else() {
        use PowerState::{Off, On};
        let off = node("c1", Off, false);
        assert_eq!(warnings(None, std::slice::from_ref(&off)), [""; 0]);
        let on = [node("c0", On, false), off.clone(), node("c2", On, false)];
        let said = warnings(Some(ResetType::ForceOff), &on);
        assert_eq!(said, ["This interrupts what 2 nodes are doing now."]);
        assert_eq!(warnings(Some(ResetType::On), &on), [""; 0]);
        let own = node("a0", On, true);
        let said = warnings(Some(ResetType::PowerCycle), &[own]);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[1].contains("nobody reaches the device"), "{said:?}");
        let worn = DeviceNode { starts_left: Some(0), ..off };
        let said = warnings(Some(ResetType::On), &[worn]);
        assert!(said[0].starts_with("c1 cannot be started now"), "{said:?}");
    }

    #[test]
    fn what_is_left_of_the_hour_is_said_with_the_node() {
        let said = affected(&node("c1", PowerState::On, false), true, true);
        assert_eq!(said.name, "c1");
        let note = said.note.unwrap();
        assert_eq!(note, "3 of 4 starts left this hour");
    }
}
