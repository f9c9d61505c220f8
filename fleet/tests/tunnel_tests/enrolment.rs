//! Joining, waiting, renewing, leaving.

use std::{os::unix::fs::PermissionsExt as _, sync::Arc};

use http::StatusCode;
use onprem_bmc::phone_home::State;
use onprem_fleet::tunnel::{ListenOptions, TunnelOptions};
use onprem_link::enrol::{Fingerprint, JoinToken};
use uuid::Uuid;

use crate::rig::{Agent, Fleet, Members, NEW_YEAR_MS, options, put_token};

const DAY_S: u64 = 24 * 3600;

#[tokio::test]
async fn a_device_joins_with_a_token_and_can_be_asked() {
    let fleet = Fleet::start().await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    let (status, body) = fleet.get(device, "/hello").await.unwrap();
    assert_eq!((status, body.as_str()), (StatusCode::OK, "hello"));
    let (_, who) = fleet.get(device, "/who").await.unwrap();
    assert_eq!(who, "ada Operator");
    let key = agent.folder.path().join("fleet/key.pem");
    let mode = std::fs::metadata(key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn an_agent_comes_back_with_its_certificate_alone() {
    let fleet = Fleet::start().await;
    let uuid = Uuid::new_v4();
    let mut agent = Agent::start(&fleet, uuid, Some(&fleet.token()));
    let device = agent.connected(&fleet).await;
    let folder = agent.end().await;
    fleet.until_online(device, false).await;
    std::fs::remove_file(folder.path().join("token")).unwrap();
    let options = options(&fleet, folder.path(), uuid);
    let mut agent = Agent::run(folder, options);
    assert_eq!(agent.connected(&fleet).await, device);
    assert_eq!(fleet.members.book().asked, 1);
}

#[tokio::test]
async fn a_token_serves_one_device() {
    let fleet = Fleet::start().await;
    let token = fleet.token();
    let mut first = Agent::start(&fleet, Uuid::new_v4(), Some(&token));
    first.connected(&fleet).await;
    let mut second = Agent::start(&fleet, Uuid::new_v4(), Some(&token));
    let why = second.refused().await;
    assert_eq!(why, "another device joined with this token");
}

#[tokio::test]
async fn an_expired_or_forged_token_is_refused_until_there_is_a_good_one() {
    let fleet = Fleet::start().await;
    let expired = fleet.token();
    fleet.members.book().tokens.insert(expired.hash(), (None, true));
    let mut agent = Agent::start(&fleet, Uuid::new_v4(), Some(&expired));
    assert_eq!(agent.refused().await, "the join token has expired");

    let forged = JoinToken::new(fleet.authority.fingerprint());
    put_token(agent.folder.path(), &forged);
    let forged = |state: &State| {
        let message = "there is no such join token".to_owned();
        *state == State::Refused { message }
    };
    agent.until(forged).await;

    put_token(agent.folder.path(), &fleet.token());
    agent.connected(&fleet).await;
}

#[tokio::test]
async fn a_token_is_not_told_to_another_fleet() {
    let fleet = Fleet::start().await;
    let elsewhere = JoinToken::new(Fingerprint::of(b"another CA"));
    let mut agent = Agent::start(&fleet, Uuid::new_v4(), Some(&elsewhere));
    agent.failed().await;
    put_token(agent.folder.path(), &fleet.token());
    agent.connected(&fleet).await;
    assert_eq!(fleet.members.book().asked, 1);
}

#[tokio::test]
async fn a_fleet_that_is_called_by_a_name_it_does_not_have_is_not_believed() {
    let listen = ListenOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        names: vec!["fleet.example".to_owned()],
        ..ListenOptions::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let (members, tunnels) =
        (Arc::<Members>::default(), TunnelOptions::default());
    let fleet =
        Fleet::open(folder, members, listen, tunnels, NEW_YEAR_MS).await;
    let folder = tempfile::tempdir().unwrap();
    put_token(folder.path(), &fleet.token());
    let options = options(&fleet, folder.path(), Uuid::new_v4());
    let mut agent = Agent::run(folder, options);
    let problem = agent.failed().await;
    assert!(problem.contains("fleet.example"), "{problem}");
    assert_eq!(fleet.members.book().asked, 0);
}

#[tokio::test]
async fn a_known_machine_with_a_new_key_waits_for_approval() {
    let fleet = Fleet::start().await;
    let uuid = Uuid::new_v4();
    let mut old = Agent::start(&fleet, uuid, Some(&fleet.token()));
    let device = old.connected(&fleet).await;
    old.end().await;

    let mut new = Agent::start(&fleet, uuid, Some(&fleet.token()));
    new.until(|state| *state == State::Waiting { device }).await;
    assert!(!fleet.tunnels.is_online(device));

    {
        let mut book = fleet.members.book();
        let member = book.members.get_mut(&device).unwrap();
        member.key = member.pending.take().unwrap();
    }
    assert_eq!(new.connected(&fleet).await, device);
}

#[tokio::test]
async fn a_deleted_device_is_cut_off_at_once_and_may_join_anew() {
    let fleet = Fleet::start().await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    fleet.members.book().members.remove(&device);
    fleet.tunnels.cut(device);
    assert!(!fleet.tunnels.is_online(device));
    let why = agent.refused().await;
    assert_eq!(why, "the fleet does not know this device");

    put_token(agent.folder.path(), &fleet.token());
    let again = agent.connected(&fleet).await;
    assert_ne!(again, device);
}

#[tokio::test]
async fn a_certificate_is_renewed_at_half_its_life() {
    let fleet = Fleet::start().await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    let path = agent.folder.path().join("fleet/cert.pem");
    let before = std::fs::read(&path).unwrap();
    fleet.clock.at_least(NEW_YEAR_MS / 1000 + 4 * DAY_S);
    fleet.tunnels.cut(device);
    agent.disconnected().await;
    agent.connected(&fleet).await;
    let changed = async {
        while std::fs::read(&path).unwrap() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::rig::LONG, changed).await.unwrap();
    assert_eq!(fleet.get(device, "/hello").await.unwrap().1, "hello");
}

#[tokio::test]
async fn a_certificate_that_expired_while_the_device_was_off_is_renewed() {
    let fleet = Fleet::start().await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    fleet.clock.at_least(NEW_YEAR_MS / 1000 + 60 * DAY_S);
    fleet.tunnels.cut(device);
    agent.disconnected().await;
    assert_eq!(agent.connected(&fleet).await, device);
}

#[tokio::test]
async fn a_certificate_that_expired_long_ago_is_worth_nothing() {
    let fleet = Fleet::start().await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    fleet.clock.at_least(NEW_YEAR_MS / 1000 + 100 * DAY_S);
    fleet.tunnels.cut(device);
    let why = agent.refused().await;
    assert_eq!(why, "the certificate expired too long ago to be renewed");
}

#[tokio::test]
async fn clocks_that_differ_by_decades_do_not_matter() {
    // The machine of this test has today's time; the fleet lives elsewhere.
    for year in [1971_u64, 2010, 2090] {
        let now_ms = (year - 1970) * 365 * DAY_S * 1000;
        let fleet = Fleet::start_with(TunnelOptions::default(), now_ms).await;
        let mut agent = Agent::join(&fleet);
        let device = agent.connected(&fleet).await;
        let (status, _) = fleet.get(device, "/hello").await.unwrap();
        assert_eq!(status, StatusCode::OK, "{year}");
    }
}

#[tokio::test]
async fn a_fleet_whose_clock_was_corrected_takes_its_devices_back() {
    let later = NEW_YEAR_MS + 20 * 365 * DAY_S * 1000;
    let fleet = Fleet::start_with(TunnelOptions::default(), later).await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    let fleet = fleet.restart(NEW_YEAR_MS).await;
    fleet.until_online(device, true).await;
    assert_eq!(fleet.get(device, "/hello").await.unwrap().1, "hello");
}

#[tokio::test]
async fn a_fleet_without_its_store_tells_devices_to_come_back() {
    let fleet = Fleet::start().await;
    fleet.members.book().away = true;
    let mut agent = Agent::join(&fleet);
    agent.failed().await;
    fleet.members.book().away = false;
    agent.connected(&fleet).await;
}
