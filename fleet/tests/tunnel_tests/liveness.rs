//! Connections that end, stall and come again.

use http::Method;
use onprem_fleet::tunnel::{TunnelError, TunnelOptions};
use uuid::Uuid;

use crate::rig::{
    Agent, Fleet, NEW_YEAR_MS, QUICK, Stalling, ada, options, request,
};

#[tokio::test]
async fn an_agent_comes_back_after_the_fleet_restarted() {
    let fleet = Fleet::start().await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    let fleet = fleet.restart(NEW_YEAR_MS + 60_000).await;
    agent.disconnected().await;
    assert_eq!(agent.connected(&fleet).await, device);
    assert_eq!(fleet.get(device, "/hello").await.unwrap().1, "hello");
    assert_eq!(fleet.members.book().asked, 1);
}

#[tokio::test]
async fn a_newer_connection_replaces_the_older() {
    let fleet = Fleet::start().await;
    let uuid = Uuid::new_v4();
    let mut first = Agent::start(&fleet, uuid, Some(&fleet.token()));
    let device = first.connected(&fleet).await;
    let mut changes = fleet.tunnels.changes();
    // The same machine, with the same key: as if it had been restarted
    // behind a path that the fleet still holds for alive.
    let folder = tempfile::tempdir().unwrap();
    copy(&first.folder.path().join("fleet"), &folder.path().join("fleet"));
    let calls = options(&fleet, folder.path(), uuid);
    let mut second = Agent::run(folder, calls);
    second.connected(&fleet).await;
    let change = changes.recv().await.unwrap();
    assert!(change.online && change.device == device);
    // The older was cut.
    first.disconnected().await;
    first.stop.cancel();
    fleet.until_online(device, true).await;
}

#[tokio::test]
async fn requests_on_their_way_fail_at_once_when_a_device_is_cut() {
    let fleet = Fleet::start().await;
    let mut agent = Agent::join(&fleet);
    let device = agent.connected(&fleet).await;
    let cut = async {
        tokio::task::yield_now().await;
        fleet.members.book().members.remove(&device);
        fleet.tunnels.cut(device);
    };
    let (answer, ()) = tokio::join!(fleet.get(device, "/never"), cut);
    assert!(matches!(answer, Err(TunnelError::Lost(_))), "{answer:?}");
}

#[tokio::test]
async fn a_stalled_agent_is_noticed_and_requests_to_it_fail() {
    let quick = TunnelOptions { keep_alive: QUICK, ..TunnelOptions::default() };
    let fleet = Fleet::start_with(quick, NEW_YEAR_MS).await;
    let agent = Stalling::join(&fleet).await;
    let device = agent.device;

    let stall = request(Method::GET, "/stall");
    let answer = fleet.tunnels.send(device, stall, &ada()).await;
    assert!(matches!(answer, Err(TunnelError::Lost(_))), "{answer:?}");
    fleet.until_online(device, false).await;
    agent.resume();
    fleet.until_online(device, true).await;
    assert_eq!(fleet.get(device, "/hello").await.unwrap().1, "hello");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
