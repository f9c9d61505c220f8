//! The ports of a device's switches and adapters, and the change of one that
//! waits to be confirmed.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use onprem_link::{grant::known_as, log::Chain};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{AT_ONCE, Live, health, link, number, text, time};
use crate::{
    api::{ChangeState, DevicePort, PortKind, PortUpdate},
    error::Error,
};

/// Where fabrics are.
const FABRICS: &str = "/redfish/v1/Fabrics";
/// Where tasks are.
const TASKS: &str = "/redfish/v1/TaskService/Tasks";
/// What the agent calls the task of a change that waits.
const CHANGING: &str = "Change of a port";

/// A port, and where it is.
#[derive(Debug)]
struct At {
    port: DevicePort,
    path: String,
    /// The fabric that its switch is of.
    fabric: Option<String>,
    metrics: Option<String>,
    /// Where the port at the other end is, if the device knows that.
    joined: Option<String>,
}

/// A change that waits to be confirmed.
#[derive(Debug)]
struct Staged {
    id: Option<String>,
    port: String,
    /// Who asked for it, as the device calls him.
    by: Option<String>,
    until: Option<DateTime<Utc>>,
    left: Option<TimeDelta>,
    task: Option<String>,
}

impl Staged {
    /// Whether `caller` means this one, who says the id `change` or none; why
    /// not.
    fn is_meant(
        &self,
        change: Option<&str>,
        caller: &str,
    ) -> Result<(), String> {
        let waits = self.id.as_deref().unwrap_or_default();
        match (change, self.by.as_deref()) {
            (Some(wanted), _) if wanted == waits => Ok(()),
            (Some(wanted), _) => Err(format!(
                "`{wanted}` does not wait; `{waits}` does, look again"
            )),
            (None, Some(by)) if by == caller => Ok(()),
            (None, by) => Err(format!(
                "`{}` asked for the change that waits: say that you mean it, \
                 by its id `{waits}`",
                by.unwrap_or("somebody else")
            )),
        }
    }
}

/// What can become of a change that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Confirm,
    Revert,
}

impl Live {
    /// All ports, with what counts at them.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn ports(&self) -> Result<Vec<DevicePort>, Error> {
        let found = self.ports_at().await?;
        let counted = found.into_iter().map(|at| self.counted(at));
        stream::iter(counted).buffered(AT_ONCE).try_collect().await
    }

    /// All ports, without what counts at them.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub(crate) async fn wires(&self) -> Result<Vec<DevicePort>, Error> {
        let found = self.ports_at().await?;
        Ok(found.into_iter().map(|at| at.port).collect())
    }

    /// The port of this id or, if it is the only one, of this name.
    ///
    /// # Errors
    /// There is none; the device cannot be asked.
    pub async fn port(&self, id: &str) -> Result<DevicePort, Error> {
        let at = self.port_at(id).await?;
        self.counted(at).await
    }

    /// Changes a port of a switch; it is undone unless it is confirmed.
    ///
    /// # Errors
    /// There is none; the device cannot be asked, or refuses.
    pub(crate) async fn set_port(
        &self,
        id: &str,
        update: &PortUpdate,
    ) -> Result<DevicePort, Error> {
        let at = self.port_at(id).await?;
        if at.port.kind != PortKind::Switch {
            let message = format!(
                "`{}` is the port of an adapter: its computer sets that, and \
                 only ports of switches can be changed from here",
                at.port.id
            );
            return Err(Error::Conflict { pointer: None, message });
        }
        let mut vlans = Map::new();
        if let Some(vlan) = update.untagged_vlan {
            let vlan = Some(vlan).filter(|vlan| *vlan != 0);
            vlans.insert("UntaggedVLANId".to_owned(), json!(vlan));
        }
        if let Some(tagged) = &update.tagged_vlans {
            vlans.insert("TaggedVLANIds".to_owned(), json!(tagged));
        }
        let mut body = Map::new();
        if let Some(enabled) = update.enabled {
            body.insert("InterfaceEnabled".to_owned(), enabled.into());
        }
        if !vlans.is_empty() {
            body.insert("Oem".to_owned(), json!({ "OnPrem": vlans }));
        }
        let body = Value::Object(body);
        let task = self.send(Method::PATCH, &at.path, Some(&body)).await?;
        let since = Instant::now();
        let read = self.port(&at.port.id).await;
        // The change may have cut the way to the device.
        read.map_err(|error| {
            let left = time_left(&task);
            let left = left.map(|left| left.saturating_sub(since.elapsed()));
            self.cut_off(unread(&at.port.id, left, &error))
        })
    }

    /// Lets the change of a port stay, or undoes it: that with the id `change`
    /// or, where none is said, one that the same account asked for.
    ///
    /// # Errors
    /// There is no such port, or no such change of it, or it is another's; the
    /// device cannot be asked, or refuses.
    pub(crate) async fn settle_port(
        &self,
        id: &str,
        change: Option<&str>,
        verdict: Verdict,
    ) -> Result<DevicePort, Error> {
        let at = self.port_at(id).await?;
        let nothing = || Error::Conflict {
            pointer: None,
            message: format!(
                "no change of port `{}` waits to be confirmed: it was \
                 confirmed already, or undone because its time was up",
                at.port.id
            ),
        };
        let path = at.fabric.as_deref().ok_or_else(nothing)?;
        let fabric = self.get(path).await?;
        let staged = staged_of(&fabric).filter(|it| it.port == at.path);
        let staged = staged.ok_or_else(nothing)?;
        let caller = known_as(&self.grant.subject);
        let meant = staged.is_meant(change, &caller);
        meant.map_err(|text| Error::conflict("/change", text))?;
        let word = match verdict {
            Verdict::Confirm => "Confirm",
            Verdict::Revert => "Revert",
        };
        let target = format!("/Actions/Oem/#OnPremFabric.{word}Change/target");
        let body = match &staged.id {
            Some(id) => json!({ "ChangeId": id }),
            None => json!({}),
        };
        match (text(&fabric, &target), verdict) {
            (Some(target), _) => self.post(&target, &body).await?,
            (None, Verdict::Confirm) => {
                return Err(self.strange("a change that nobody can confirm"));
            }
            (None, Verdict::Revert) => self.end_change(staged.task).await?,
        }
        self.port(&at.port.id).await
    }

    /// Ends the task of the change that waits, which undoes it.
    async fn end_change(&self, task: Option<String>) -> Result<(), Error> {
        let known = if task.is_some() {
            task
        } else {
            let tasks = self.members(TASKS).await?;
            let is = |task: &Value, field: &str, word: &str| {
                text(task, field).as_deref() == Some(word)
            };
            let mut ours = tasks.iter().filter(|task| {
                is(task, "/Name", CHANGING) && is(task, "/TaskState", "Running")
            });
            ours.next_back().and_then(|task| text(task, "/@odata.id"))
        };
        let task = known
            .ok_or_else(|| self.strange("a change that has no task to end"))?;
        self.send(Method::DELETE, &task, None).await?;
        Ok(())
    }

    async fn port_at(&self, id: &str) -> Result<At, Error> {
        let mut all = self.ports_at().await?;
        if let Some(at) = all.iter().position(|at| at.port.id == id) {
            return Ok(all.swap_remove(at));
        }
        let called = |at: &At| at.port.name.eq_ignore_ascii_case(id);
        let mut named = all.into_iter().filter(called);
        match (named.next(), named.next()) {
            (Some(at), None) => Ok(at),
            (Some(one), Some(other)) => Err(Error::Conflict {
                pointer: None,
                message: format!(
                    "`{id}` is several ports: say which of `{}`, `{}`",
                    one.port.id, other.port.id
                ),
            }),
            _ => Err(Error::not_found("port", id)),
        }
    }

    async fn ports_at(&self) -> Result<Vec<At>, Error> {
        let mut found = Vec::new();
        let mut waiting = Vec::new();
        for fabric in self.members(FABRICS).await? {
            waiting.extend(staged_of(&fabric));
            let path = text(&fabric, "/@odata.id");
            let Some(switches) = link(&fabric, "/Switches") else { continue };
            for switch in self.members(switches).await? {
                let kind = PortKind::Switch;
                for mut at in self.ports_of(&switch, kind).await? {
                    at.fabric.clone_from(&path);
                    found.push((text(&fabric, "/Id"), at));
                }
            }
        }
        for (chassis, it) in self.chassis().await? {
            let Some(path) = link(&it, "/NetworkAdapters") else { continue };
            for adapter in self.members(path).await? {
                let kind = PortKind::Adapter;
                let ports = self.ports_of(&adapter, kind).await?;
                let in_it = ports.into_iter();
                found.extend(in_it.map(|at| (Some(chassis.clone()), at)));
            }
        }
        let mut found = with_ids(found);
        if !waiting.is_empty() {
            let now = self.clock().await?;
            for staged in &mut waiting {
                let left = staged.until.zip(now);
                staged.left = left.map(|(until, now)| until - now);
            }
        }
        for staged in waiting {
            if let Some(at) = found.iter_mut().find(|at| at.path == staged.port)
            {
                at.port.wait(&staged);
            }
        }
        Ok(found)
    }

    async fn ports_of(
        &self,
        holder: &Value,
        kind: PortKind,
    ) -> Result<Vec<At>, Error> {
        let Some(path) = link(holder, "/Ports") else { return Ok(Vec::new()) };
        let id = text(holder, "/Id").unwrap_or_default();
        let ports = self.members(path).await?;
        Ok(ports.iter().filter_map(|port| at(port, kind, &id)).collect())
    }

    /// The time by the device's own clock, which may be far off.
    async fn clock(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let managers = self.members("/redfish/v1/Managers").await?;
        Ok(managers.iter().find_map(|it| time(it, "/DateTime")))
    }

    /// The port with what counts at it.
    async fn counted(&self, at: At) -> Result<DevicePort, Error> {
        let At { mut port, metrics, .. } = at;
        let Some(path) = metrics else { return Ok(port) };
        let Some(counts) = self.get_if_there(&path).await? else {
            return Ok(port);
        };
        let count = |name: &str| counts.pointer(name)?.as_u64();
        port.rx_bytes = count("/RXBytes");
        port.tx_bytes = count("/TXBytes");
        port.rx_errors = count("/RXErrors");
        port.tx_errors = count("/TXErrors");
        port.rx_dropped = count("/Networking/RXDiscards");
        port.tx_dropped = count("/Networking/TXDiscards");
        Ok(port)
    }
}

impl DevicePort {
    /// A change of it waits to be confirmed.
    fn wait(&mut self, staged: &Staged) {
        self.change_state = ChangeState::Waiting;
        self.change.clone_from(&staged.id);
        self.changed_by.clone_from(&staged.by);
        self.undone_at = staged.until;
        let left = staged.left.map(|left| left.num_seconds().max(0));
        self.undone_in_seconds = left.and_then(|left| left.try_into().ok());
    }
}

/// What is told of a port that was set, and cannot be read since.
fn unread(port: &str, left: Option<Duration>, error: &Error) -> String {
    let when = left.map_or_else(
        || "before long".to_owned(),
        |left| format!("in {} s", left.as_secs()),
    );
    format!(
        "`{port}` is set; the device cannot be reached since: it is undone \
         {when} unless confirmed ({})",
        Chain(error)
    )
}

/// How long the change holds that the device made this task of: its message
/// says until when, by the clock that the task began by.
fn time_left(task: &Value) -> Option<Duration> {
    let advice = text(task, "/Messages/0/Resolution")?;
    let mut words = advice.split_whitespace();
    let until = words.find_map(|word| word.parse::<DateTime<Utc>>().ok())?;
    (until - time(task, "/StartTime")?).to_std().ok()
}

/// A port as the device says it; its id is to be made.
fn at(it: &Value, kind: PortKind, holder: &str) -> Option<At> {
    let lldp = |name: &str| text(it, &format!("/Ethernet/LLDPReceive/{name}"));
    let other = |list: &str| {
        let first = it.pointer(&format!("/Links/{list}/0/@odata.id"))?;
        first.as_str().map(str::to_owned)
    };
    let numbers = it.pointer("/Oem/OnPrem/TaggedVLANIds");
    let numbers = numbers.and_then(Value::as_array).into_iter().flatten();
    let vlan = |it: &Value| it.as_u64()?.try_into().ok();
    let name = text(it, "/Id")?;
    let megabits = number(it, "/CurrentSpeedGbps").map(|it| it * 1000.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a speed in Mbit/s is a small number above zero"
    )]
    let speed_mbps = megabits.map(|it| it.max(0.0).round() as u64);
    let enabled = it.pointer("/InterfaceEnabled").and_then(Value::as_bool);
    let mac = it.pointer("/Ethernet/AssociatedMACAddresses/0");
    let port = DevicePort {
        id: String::new(),
        name,
        kind,
        part: holder.to_owned(),
        enabled,
        link_status: text(it, "/LinkStatus"),
        speed_mbps,
        mac_address: mac.and_then(Value::as_str).map(str::to_owned),
        untagged_vlan: it.pointer("/Oem/OnPrem/UntaggedVLANId").and_then(vlan),
        tagged_vlans: numbers.filter_map(vlan).collect(),
        joined_to: None,
        neighbour: lldp("SystemName").or_else(|| lldp("ChassisId")),
        neighbour_port: text(it, "/RemotePortId").or_else(|| lldp("PortId")),
        neighbour_chassis: lldp("ChassisId"),
        neighbour_address: lldp("ManagementAddressIPv4")
            .or_else(|| lldp("ManagementAddressIPv6"))
            .and_then(|address| address.parse().ok()),
        health: health(it),
        rx_bytes: None,
        tx_bytes: None,
        rx_errors: None,
        tx_errors: None,
        rx_dropped: None,
        tx_dropped: None,
        change_state: ChangeState::Settled,
        change: None,
        changed_by: None,
        undone_at: None,
        undone_in_seconds: None,
        read_at: Utc::now(),
    };
    Some(At {
        port,
        path: text(it, "/@odata.id")?,
        fabric: None,
        metrics: link(it, "/Metrics").map(str::to_owned),
        joined: other("ConnectedSwitchPorts")
            .or_else(|| other("ConnectedPorts")),
    })
}

/// Gives each port an id of its own: its part and its name, and what these
/// are in where that is not enough.
fn with_ids(found: Vec<(Option<String>, At)>) -> Vec<At> {
    let short = |at: &At| {
        let (part, name) = (&at.port.part, &at.port.name);
        // The one port of an adapter is often called as that is.
        if part == name || part.ends_with(&format!(".{name}")) {
            part.clone()
        } else {
            format!("{part}.{name}")
        }
    };
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (_, at) in &found {
        *seen.entry(short(at)).or_default() += 1;
    }
    let mut all: Vec<At> = found
        .into_iter()
        .map(|(holder, mut at)| {
            let short = short(&at);
            let is_own = seen.get(&short).is_none_or(|count| *count == 1);
            at.port.id = match holder {
                Some(holder) if !is_own => format!("{holder}.{short}"),
                _ => short,
            };
            at
        })
        .collect();
    let ids: HashMap<String, String> =
        all.iter().map(|at| (at.path.clone(), at.port.id.clone())).collect();
    for at in &mut all {
        let other = at.joined.as_ref();
        at.port.joined_to = other.and_then(|path| ids.get(path)).cloned();
    }
    all
}

fn staged_of(fabric: &Value) -> Option<Staged> {
    let staged = fabric.pointer("/Oem/OnPrem/StagedChange")?;
    Some(Staged {
        id: text(staged, "/Id"),
        port: link(staged, "/Port")?.to_owned(),
        by: text(staged, "/RequestedBy"),
        until: time(staged, "/ConfirmBefore"),
        left: None,
        task: link(staged, "/Task").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_meant_by_its_id_or_by_who_asked_for_it() {
        let staged = |by: &str| {
            let port = json!({"@odata.id": "/1"});
            let about = json!({"Id": "c1", "Port": port, "RequestedBy": by});
            let fabric = json!({"Oem": {"OnPrem": {"StagedChange": about}}});
            staged_of(&fabric).unwrap()
        };
        let ada = known_as("ada");
        let meant = |by, change| staged(by).is_meant(change, &ada);
        assert_eq!(meant("fleet/ada", None), Ok(()));
        assert_eq!(meant("bob", Some("c1")), Ok(()));
        let error = meant("bob", None).unwrap_err();
        assert!(error.starts_with("`bob` asked"), "{error}");
        // Of this name is an account of the device's own.
        let error = meant("ada", None).unwrap_err();
        assert!(error.starts_with("`ada` asked"), "{error}");
        assert!(error.ends_with("by its id `c1`"), "{error}");
        assert!(meant("", None).is_err(), "of nobody known");
        let error = meant("fleet/ada", Some("c0")).unwrap_err();
        assert_eq!(error, "`c0` does not wait; `c1` does, look again");
    }

    #[test]
    fn a_change_that_cut_the_way_to_the_device_was_made() {
        let said = "The change holds until 2026-01-01T00:01:00Z and is undone.";
        let task = json!({
            "StartTime": "2026-01-01T00:00:02Z",
            "Messages": [{"Resolution": said}],
        });
        let left = time_left(&task);
        assert_eq!(left, Some(Duration::from_secs(58)));
        assert_eq!(time_left(&json!({})), None);
        let source = crate::tunnel::TunnelError::Offline;
        let error = Error::Tunnel { device: "rack".to_owned(), source };
        let told = unread("sw0.p2", left, &error);
        let expected = "`sw0.p2` is set; the device cannot be reached since: \
                        it is undone in 58 s unless confirmed (device `rack`";
        assert!(told.starts_with(expected), "{told}");
        let told = unread("sw0.p2", None, &error);
        assert!(told.contains("undone before long unless"), "{told}");
    }

    #[test]
    fn ports_of_the_same_name_have_ids_of_their_own() {
        let port = |part: &str, name: &str, path: &str, to: &str| {
            let to = json!([{ "@odata.id": to }]);
            let it = json!({
                "@odata.id": path, "Id": name,
                "Links": { "ConnectedPorts": to },
            });
            at(&it, PortKind::Switch, part).unwrap()
        };
        let chassis = |id: &str| Some(id.to_owned());
        let found = vec![
            (chassis("rack"), port("sw0", "p1", "/1", "/3")),
            (chassis("other"), port("sw1", "p1", "/2", "/x")),
            (chassis("rack"), port("b3.eth0", "eth0", "/3", "/1")),
            (chassis("one"), port("nic", "1", "/4", "/x")),
            (chassis("two"), port("nic", "1", "/5", "/x")),
        ];
        let all = with_ids(found);
        let ids: Vec<&str> = all.iter().map(|at| &*at.port.id).collect();
        assert_eq!(
            ids,
            ["sw0.p1", "sw1.p1", "b3.eth0", "one.nic.1", "two.nic.1"]
        );
        let joined = all.iter().map(|at| at.port.joined_to.as_deref());
        let joined: Vec<_> = joined.collect();
        let expected = [Some("b3.eth0"), None, Some("sw0.p1"), None, None];
        assert_eq!(joined, expected);
    }
}
