//! The computers that a device looks after, and how they are.

use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::{Affected, DeviceNode, Health, Impact, PowerState, ResetType},
    error::Error,
    live::{CAPTURE, Live, health, text, word},
};

/// The most reasons that are kept of a device, and of a node.
const REASONS: usize = 16;

/// How a device is as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// The worst health of its parts.
    pub health: Option<Health>,
    /// Why it is not well.
    pub reasons: Vec<String>,
    /// Whether any of its nodes is powered.
    pub power_state: Option<PowerState>,
    /// Whether it has an instrument that records signals.
    pub captures: bool,
}

/// A node that can be reset.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    /// Its id, for people.
    pub(crate) id: String,
    /// Where it is.
    path: String,
    /// Where its reset is asked for.
    reset: String,
    /// How it was.
    pub(crate) before: Option<PowerState>,
}

impl Live {
    /// The nodes, by their ids.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn nodes(&self) -> Result<Vec<DeviceNode>, Error> {
        let systems = self.members("/redfish/v1/Systems").await?;
        Ok(systems.iter().map(node).collect())
    }

    /// How the device is as a whole.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn condition(&self) -> Result<Condition, Error> {
        let systems = self.members("/redfish/v1/Systems").await?;
        let chassis = self.members("/redfish/v1/Chassis").await?;
        let mut found = Condition::default();
        for part in systems.iter().chain(&chassis) {
            found.health = found.health.max(health(part));
            for reason in reasons(part) {
                let room = found.reasons.len() < REASONS;
                if room && !found.reasons.contains(&reason) {
                    found.reasons.push(reason);
                }
            }
        }
        let states = systems.iter().map(|it| word(it, "/PowerState"));
        found.power_state = overall(states);
        let captures = |it: &Value| text(it, CAPTURE).is_some();
        found.captures = chassis.iter().any(captures);
        Ok(found)
    }

    /// Whether any of the nodes is powered.
    pub(crate) async fn power_state(
        &self,
    ) -> Result<Option<PowerState>, Error> {
        let systems = self.members("/redfish/v1/Systems").await?;
        Ok(overall(systems.iter().map(|it| word(it, "/PowerState"))))
    }

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
            let runs_agent = it.runs_agent.then_some("the agent runs on it");
            let note = match (able, runs_agent) {
                (_, Some(note)) => Some(note),
                (true, None) => None,
                (false, None) => Some("it cannot do this"),
            };
            let named = it.name != it.id && !it.name.is_empty();
            let affected = Affected {
                name: if named {
                    format!("{} ({})", it.id, it.name)
                } else {
                    it.id
                },
                state: it.power_state.map(|state| state.to_string()),
                note: note.map(str::to_owned),
            };
            if able {
                impact.affects.push(affected);
            } else {
                impact.spares.push(affected);
            }
        }
        impact.choices.insert("resetType".to_owned(), kinds);
        let can = |it: &&Value| reset_of(it).is_some();
        let able = systems.iter().filter(can);
        let able = able.filter_map(|system| text(system, "/Id"));
        impact.choices.insert("nodes".to_owned(), able.collect());
        Ok(impact)
    }

    /// The nodes that a reset is for: those named, or all that can do it.
    ///
    /// # Errors
    /// The device cannot be asked; it has no such node, or one that cannot.
    pub(crate) async fn targets(
        &self,
        kind: ResetType,
        nodes: &[String],
    ) -> Result<Vec<Target>, Error> {
        let systems = self.members("/redfish/v1/Systems").await?;
        let ids = named(&systems, nodes)?;
        let one = systems.len() == 1;
        let mut targets = Vec::new();
        for system in &systems {
            let id = text(system, "/Id").unwrap_or_default();
            let named = !nodes.is_empty();
            if named && !ids.contains(&id) {
                continue;
            }
            if !allows(system, kind) {
                if !named && !one {
                    continue;
                }
                let types = reset_types(system).join(", ");
                let node =
                    if one { "it".into() } else { format!("node `{id}`") };
                let message = if types.is_empty() {
                    format!("{node} cannot be reset")
                } else {
                    format!("{node} can only be reset by {types}")
                };
                let place = if named { "/nodes" } else { "/resetType" };
                return Err(Error::conflict(place, message));
            }
            let Some(reset) = reset_of(system) else {
                let message = format!("`{id}` cannot be reset");
                return Err(Error::Conflict { pointer: None, message });
            };
            let path = text(system, "/@odata.id");
            let path =
                path.ok_or_else(|| self.strange("a resource without a path"))?;
            let before = word(system, "/PowerState");
            targets.push(Target { id, path, reset, before });
        }
        if targets.is_empty() {
            let message = "it has no node that can do this".to_owned();
            return Err(Error::Conflict { pointer: None, message });
        }
        Ok(targets)
    }

    /// Resets a node; the answer comes when the device begins. Where that takes
    /// its time, it is a task of the device, at this path.
    pub(crate) async fn reset(
        &self,
        target: &Target,
        kind: ResetType,
    ) -> Result<Option<String>, Error> {
        self.begin(&target.reset, &json!({ "ResetType": kind })).await
    }

    /// Whether a node is powered.
    pub(crate) async fn power_of(
        &self,
        target: &Target,
    ) -> Result<Option<PowerState>, Error> {
        Ok(word(&self.get(&target.path).await?, "/PowerState"))
    }
}

fn node(system: &Value) -> DeviceNode {
    let chassis = system.pointer("/Links/Chassis/0/@odata.id");
    let chassis = chassis.and_then(Value::as_str);
    let oem = |name: &str| format!("/Oem/OnPrem/{name}");
    let runs = system.pointer(&oem("HostsManager"));
    DeviceNode {
        id: text(system, "/Id").unwrap_or_default(),
        name: text(system, "/Name").unwrap_or_default(),
        power_state: word(system, "/PowerState"),
        health: health(system),
        reasons: reasons(system),
        chassis: chassis
            .and_then(|path| path.rsplit('/').next())
            .map(str::to_owned),
        place: text(system, &oem("ControlBus/ServiceLabel")),
        manufacturer: text(system, "/Manufacturer"),
        model: text(system, "/Model"),
        reset_types: reset_types(system),
        runs_agent: runs == Some(&Value::Bool(true)),
        read_at: Utc::now(),
    }
}

fn reset_of(system: &Value) -> Option<String> {
    text(system, "/Actions/#ComputerSystem.Reset/target")
}

/// The ways that a system says it can be reset.
fn reset_types(system: &Value) -> Vec<String> {
    let types = system.pointer(
        "/Actions/#ComputerSystem.Reset/ResetType@Redfish.AllowableValues",
    );
    let types = types.and_then(Value::as_array).into_iter().flatten();
    // What we have no word for cannot be asked.
    let known = types.filter_map(|it| {
        serde_json::from_value::<ResetType>(it.clone()).ok()?;
        it.as_str().map(str::to_owned)
    });
    known.collect()
}

fn allows(system: &Value, kind: ResetType) -> bool {
    let word = json!(kind);
    let types = reset_types(system);
    reset_of(system).is_some()
        && (types.is_empty() || types.iter().any(|it| word == **it))
}

/// The ids of the systems that `nodes` are. An id goes before a name.
///
/// # Errors
/// No system has such a name, or several have.
fn named(systems: &[Value], nodes: &[String]) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    for name in nodes {
        let called = |field: &str| -> Vec<String> {
            let own = systems.iter().filter(|system| {
                let own = text(system, field);
                own.is_some_and(|own| own.eq_ignore_ascii_case(name))
            });
            own.filter_map(|system| text(system, "/Id")).collect()
        };
        let mut found = called("/Id");
        if found.is_empty() {
            found = called("/Name");
        }
        let shown: String = name.chars().take(64).collect();
        let message = match found.len() {
            0 => format!("it has no node `{shown}`"),
            1 => {
                ids.append(&mut found);
                continue;
            }
            _ => {
                let found = found.join(", ");
                format!("`{shown}` is several nodes: say which of {found}")
            }
        };
        return Err(Error::invalid("/nodes", message));
    }
    Ok(ids)
}

/// What is wrong with a part, in its own words.
fn reasons(part: &Value) -> Vec<String> {
    let said = part.pointer("/Status/Conditions").and_then(Value::as_array);
    let said = said.into_iter().flatten().filter_map(|it| text(it, "/Message"));
    said.take(REASONS).collect()
}

/// The state of all: on if any is.
fn overall(
    states: impl Iterator<Item = Option<PowerState>>,
) -> Option<PowerState> {
    use PowerState::{Off, On, Paused, PoweringOff, PoweringOn};
    let rank = |state: &PowerState| match state {
        On => 4,
        PoweringOn => 3,
        PoweringOff => 2,
        Paused => 1,
        Off => 0,
    };
    states.flatten().max_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_on_makes_the_whole_on() {
        use PowerState::{Off, On, PoweringOff};
        assert_eq!(overall([Some(Off), None, Some(On)].into_iter()), Some(On));
        let going = [Some(Off), Some(PoweringOff)];
        assert_eq!(overall(going.into_iter()), Some(PoweringOff));
        assert_eq!(overall([None].into_iter()), None);
    }

    #[test]
    fn a_node_is_named_by_its_id_or_its_name() {
        let systems = [
            json!({"Id": "b3", "Name": "Worker 7"}),
            json!({"Id": "b4", "Name": "B3"}),
            json!({"Id": "b5", "Name": "b3"}),
            json!({"Id": "b6", "Name": "twin"}),
            json!({"Id": "b7", "Name": "Twin"}),
        ];
        let ids = |name: &str| named(&systems, &[name.to_owned()]);
        for name in ["B3", "worker 7"] {
            assert_eq!(ids(name).unwrap(), ["b3"], "{name}");
        }
        for (name, said) in [
            ("b", "no node `b`"),
            ("twin", "`twin` is several nodes: say which of b6, b7"),
        ] {
            let error = ids(name).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
