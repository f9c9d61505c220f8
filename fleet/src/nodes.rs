//! The computers that a device looks after, and how they are.

use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::{DeviceNode, Health, PowerState, ResetType},
    error::Error,
    live::{CAPTURE, CONSOLE, Live, health, text, word},
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
    pub(crate) path: String,
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

    /// The node with this id or name.
    ///
    /// # Errors
    /// The device cannot be asked; it has no such node, or several.
    pub async fn node(&self, name: &str) -> Result<DeviceNode, Error> {
        let systems = self.members("/redfish/v1/Systems").await?;
        let found = match &called(&systems, name)[..] {
            [] => return Err(Error::not_found("node", name)),
            [id] => systems
                .iter()
                .find(|it| text(it, "/Id").as_ref() == Some(id))
                .map(node),
            several => return Err(several_are(name, several)),
        };
        found.ok_or_else(|| Error::not_found("node", name))
    }

    /// How the device is as a whole.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn condition(&self) -> Result<Condition, Error> {
        let systems = self.members("/redfish/v1/Systems").await?;
        let chassis = self.members("/redfish/v1/Chassis").await?;
        let mut found = Condition::default();
        let mut known: Vec<Option<String>> = Vec::new();
        // What holds several says once what is wrong with all of them.
        for part in chassis.iter().chain(&systems) {
            found.health = found.health.max(health(part));
            let fresh: Vec<(String, Option<String>)> = conditions(part)
                .filter(|(_, cause)| cause.is_none() || !known.contains(cause))
                .filter(|(reason, _)| !found.reasons.contains(reason))
                .collect();
            for (reason, cause) in fresh {
                if found.reasons.len() < REASONS {
                    found.reasons.push(reason);
                    known.push(cause);
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

fn count(system: &Value, name: &str) -> Option<u32> {
    let value = system.pointer(&format!("/Oem/OnPrem/{name}"))?;
    u32::try_from(value.as_u64()?).ok()
}

pub(crate) fn node(system: &Value) -> DeviceNode {
    let chassis = system.pointer("/Links/Chassis/0/@odata.id");
    let chassis = chassis.and_then(Value::as_str);
    let oem = |name: &str| format!("/Oem/OnPrem/{name}");
    let runs = system.pointer(&oem("HostsManager"));
    // Who cannot be switched is never started.
    let starts = |name: &str| {
        let can = reset_of(system).is_some();
        count(system, name).filter(|_| can)
    };
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
        console: text(system, CONSOLE).and_then(|_| text(system, "/Id")),
        starts_left: starts("StartsLeft"),
        starts_per_hour: starts("StartsPerHour"),
        read_at: Utc::now(),
    }
}

pub(crate) fn reset_of(system: &Value) -> Option<String> {
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

pub(crate) fn allows(system: &Value, kind: ResetType) -> bool {
    let word = json!(kind);
    let types = reset_types(system);
    reset_of(system).is_some()
        && (types.is_empty() || types.iter().any(|it| word == **it))
}

/// The ids of the systems that go by `name`. An id goes before a name.
fn called(systems: &[Value], name: &str) -> Vec<String> {
    let by = |field: &str| -> Vec<String> {
        let own = systems.iter().filter(|system| {
            let own = text(system, field);
            own.is_some_and(|own| own.eq_ignore_ascii_case(name))
        });
        own.filter_map(|system| text(system, "/Id")).collect()
    };
    let found = by("/Id");
    if found.is_empty() { by("/Name") } else { found }
}

/// The ids of the systems that `nodes` are: each an id, a name, or several of
/// these as people type them, `c0, c2` or `c0 c2`, or `c0-c3` for all from one
/// to the other.
///
/// # Errors
/// No system has such a name, or several have.
pub(crate) fn named(
    systems: &[Value],
    nodes: &[String],
) -> Result<Vec<String>, Error> {
    let mut ids: Vec<String> = Vec::new();
    for entry in nodes {
        let entry = entry.trim();
        // A name may have spaces in it.
        let whole = called(systems, entry);
        let found = if whole.is_empty() {
            let words = entry.split([',', ';']).flat_map(|part| {
                let whole = !called(systems, part.trim()).is_empty();
                if whole {
                    vec![part.trim()]
                } else {
                    part.split_whitespace().collect()
                }
            });
            let words: Vec<&str> = words.filter(|it| !it.is_empty()).collect();
            if words.is_empty() {
                return Err(Error::invalid("/nodes", "it names no node"));
            }
            let mut found = Vec::new();
            for word in words {
                found.extend(one_or_range(systems, word)?);
            }
            found
        } else {
            one_or_range(systems, entry)?
        };
        for id in found {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    Ok(ids)
}

fn one_or_range(systems: &[Value], word: &str) -> Result<Vec<String>, Error> {
    let found = called(systems, word);
    match &found[..] {
        [_] => return Ok(found),
        [] => {}
        several => return Err(several_are(word, several)),
    }
    let ids: Vec<String> =
        systems.iter().filter_map(|it| text(it, "/Id")).collect();
    let place = |end: &str| match &called(systems, end)[..] {
        [id] => ids.iter().position(|own| own == id),
        _ => None,
    };
    let range = word.match_indices('-').find_map(|(at, _)| {
        let (first, last) = (word.get(..at)?, word.get(at + 1..)?);
        ids.get(place(first)?..=place(last)?)
    });
    if let Some(range) = range.filter(|range| !range.is_empty()) {
        return Ok(range.to_vec());
    }
    let shown: String = word.chars().take(64).collect();
    let few: Vec<_> = ids.iter().take(64).map(String::as_str).collect();
    let few = few.join(", ");
    let message = format!("it has no node `{shown}`; it has {few}");
    Err(Error::invalid("/nodes", message))
}

fn several_are(name: &str, ids: &[String]) -> Error {
    let shown: String = name.chars().take(64).collect();
    let ids = ids.join(", ");
    let message = format!("`{shown}` is several nodes: say which of {ids}");
    Error::invalid("/nodes", message)
}

/// What is wrong with a part, in its own words, and what causes it where that
/// is said.
fn conditions(
    part: &Value,
) -> impl Iterator<Item = (String, Option<String>)> + '_ {
    let said = part.pointer("/Status/Conditions").and_then(Value::as_array);
    let said = said.into_iter().flatten();
    said.filter_map(|it| {
        Some((text(it, "/Message")?, text(it, "/MessageArgs/1")))
    })
}

fn reasons(part: &Value) -> Vec<String> {
    conditions(part).map(|(reason, _)| reason).take(REASONS).collect()
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
    fn nodes_are_named_as_people_type_lists() {
        let systems: Vec<Value> = ["c0", "c1", "c2", "c3", "d-0"]
            .iter()
            .map(|id| json!({"Id": id, "Name": format!("Node {id}")}))
            .collect();
        let ids = |entries: &[&str]| {
            let entries: Vec<String> =
                entries.iter().map(|it| (*it).to_owned()).collect();
            named(&systems, &entries).map(|ids| ids.join(" "))
        };
        for (entries, found) in [
            (&["c1, c2"][..], "c1 c2"),
            (&["c1 C2", "c1"], "c1 c2"),
            (&["c1;c3\n"], "c1 c3"),
            (&["c1-c3"], "c1 c2 c3"),
            (&["Node c0, c1-c2"], "c0 c1 c2"),
            (&["c3-d-0"], "c3 d-0"),
            (&["d-0"], "d-0"),
        ] {
            assert_eq!(ids(entries).unwrap(), found, "{entries:?}");
        }
        for wrong in ["c1-x", "c3-c1", "x", ", ,"] {
            assert!(ids(&[wrong]).is_err(), "{wrong}");
        }
        let error = ids(&["c1, nope"]).unwrap_err().to_string();
        assert!(error.contains("no node `nope`; it has c0, c1"), "{error}");
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
