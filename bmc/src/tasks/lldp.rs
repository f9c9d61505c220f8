//! Hears by LLDP who is at the other ends of wires, and says who we are where
//! that is wanted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use onprem_link::task::blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    config::Network,
    fabric::{Wiring, lldp},
    gather,
    model::{
        Announcement, Capability, Id, LinkState, Model, NameKind, Named,
        Neighbour, Neighbours, Snapshot, Wire,
    },
};

/// Neighbours that are known on one wire; one cable has one, a repeater a few.
const MOST: usize = 8;
/// How often one says who one is (IEEE 802.1AB, 9.2.5.6).
const EVERY: Duration = Duration::from_secs(30);
/// How long that holds, in seconds: four times, and one second.
const SECONDS: u16 = 121;
/// How long news may wait for more.
const SOON: Duration = Duration::from_millis(100);
/// How often old news are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// Listens until `stop`, and says who we are if that is wanted.
pub(crate) async fn run(
    wiring: Arc<dyn Wiring>,
    model: Model,
    config: Network,
    stop: CancellationToken,
) {
    let Network { lldp_receive: hear_it, lldp_transmit: say, .. } = config;
    model.post_hearing(hear_it);
    let mut known = Neighbours::new();
    let mut news: Option<Instant> = None;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            (wire, frame) = wiring.hear(), if hear_it => {
                let wires = model.snapshot();
                if !wires.network.wires().any(|it| it.id == wire) {
                    continue;
                }
                match lldp::parse(&frame) {
                    Ok(heard) => {
                        hear(known.entry(wire).or_default(), heard);
                        news.get_or_insert_with(|| Instant::now() + SOON);
                    }
                    Err(error) => debug!(%wire, %error, "bad LLDP frame"),
                }
            }
            () = sleep_until(news.unwrap_or_else(Instant::now)),
                if news.is_some() =>
            {
                news = None;
                known.retain(|_, of| !of.is_empty());
                model.post_neighbours(known.clone());
            }
            _ = looks.tick() => {
                let snapshot = model.snapshot();
                forget(&mut known, &snapshot);
                model.post_neighbours(known.clone());
                let due = turn.is_none_or(|at| at.elapsed() >= EVERY);
                let fresh = say && announced(&snapshot)
                    .keys()
                    .any(|wire| !snapshot.announced.contains_key(wire));
                if say && (due || fresh) {
                    turn = Some(Instant::now());
                    let says = announced(&snapshot);
                    tell(&wiring, &says, SECONDS).await;
                    model.post_announced(says);
                }
            }
        }
    }
    if say {
        let said = model.snapshot().announced.clone();
        tell(&wiring, &said, 0).await;
    }
}

/// Takes in what somebody said.
fn hear(known: &mut Vec<Neighbour>, heard: lldp::Heard) {
    let lldp::Heard { says, seconds } = heard;
    let place = known.iter().position(|it| {
        it.says.chassis == says.chassis && it.says.port == says.port
    });
    if seconds == 0 {
        if let Some(place) = place {
            known.remove(place);
        }
        return;
    }
    let until = Instant::now() + Duration::from_secs(seconds.into());
    let neighbour = Neighbour { says, until };
    let full = known.len() >= MOST;
    match place.and_then(|place| known.get_mut(place)) {
        Some(known) => *known = neighbour,
        // Who was there first stays: a stranger cannot push him out.
        None if full => {}
        None => known.push(neighbour),
    }
}

/// Forgets whose word has run out, and who was on wires without a link.
fn forget(known: &mut Neighbours, snapshot: &Snapshot) {
    let now = Instant::now();
    let linked = |wire: &Id| {
        let mut all = snapshot.network.wires().filter(|it| it.id == *wire);
        all.any(|it| it.link == LinkState::Up)
    };
    for of in known.values_mut() {
        of.retain(|it| it.until > now);
    }
    known.retain(|wire, of| !of.is_empty() && linked(wire));
}

/// What is to be said on each wire that has a link.
fn announced(snapshot: &Snapshot) -> BTreeMap<Id, Announcement> {
    let inventory = &snapshot.inventory;
    let network = &snapshot.network;
    let system = inventory.systems.first();
    let first = network.wires().find_map(|wire| wire.mac.clone());
    let ipv4 = inventory.manager.interfaces.iter().flat_map(|it| &it.ipv4);
    let ipv4: Vec<_> = ipv4.map(|it| it.address).take(1).collect();
    let bridged = |wire: &Wire| {
        let mut ports = network.switches.iter().flat_map(|it| &it.ports);
        ports.any(|port| port.wire.id == wire.id)
    };
    let one = |wire: &Wire| {
        let mac = first.clone().or_else(|| wire.mac.clone())?;
        let named = |kind, text: &str| Named { kind, text: text.to_owned() };
        let capability = if bridged(wire) {
            Capability::Bridge
        } else {
            Capability::Station
        };
        let name = inventory.manager.host_name.as_ref();
        let name = name.or(system.map(|it| &it.name)).cloned();
        let port = named(NameKind::InterfaceName, &wire.id);
        Some(Announcement {
            system_name: name,
            system_description: Some(format!(
                "on-prem BMC {}",
                inventory.manager.version
            )),
            capabilities: vec![capability],
            ipv4: ipv4.clone(),
            ..Announcement::new(named(NameKind::MacAddress, &mac), port)
        })
    };
    let linked = network.wires().filter(|it| it.link == LinkState::Up);
    gather::map(linked.filter_map(|it| Some((it.id.clone(), one(it)?))))
}

/// Says it on all wires, for so many seconds.
async fn tell(
    wiring: &Arc<dyn Wiring>,
    says: &BTreeMap<Id, Announcement>,
    seconds: u16,
) {
    let frames: Vec<_> = says
        .iter()
        .map(|(wire, says)| {
            let from = lldp::mac(&says.chassis.text).unwrap_or_default();
            (wire.clone(), lldp::build(from, says, seconds))
        })
        .collect();
    let wiring = Arc::clone(wiring);
    let saying = blocking(move || {
        for (wire, frame) in frames {
            if let Err(error) = wiring.say(&wire, &frame) {
                debug!(%wire, %error, "not said by LLDP");
            }
        }
    });
    if let Err(error) = saying.await {
        warn!(%error, "LLDP is not said");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(chassis: &str, seconds: u16) -> lldp::Heard {
        let named =
            |text: &str| Named { kind: NameKind::Local, text: text.to_owned() };
        let says = Announcement::new(named(chassis), named("1"));
        lldp::Heard { says, seconds }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_does_not_push_out_who_was_there_first() {
        let mut known = Vec::new();
        for number in 0..100 {
            hear(&mut known, from(&format!("n{number}"), 10));
        }
        assert_eq!(known.len(), MOST);
        assert_eq!(known[0].says.chassis.text, "n0");
        hear(&mut known, from("n0", 0));
        assert_eq!(known.len(), MOST - 1);
        assert_eq!(known[0].says.chassis.text, "n1");
    }
}
