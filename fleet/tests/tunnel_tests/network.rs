//! A path that drops packets: nobody is told that the connection is gone.
//!
//! Agent and fleet live in two network namespaces with a cable between them.
//! That takes root; without it the test says so and ends.

use std::{
    fs::File, net::SocketAddr, os::fd::AsFd as _, process::Command, thread,
};

use onprem_fleet::tunnel::{ListenOptions, TunnelOptions};
use rustix::{
    process::geteuid,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::rig::{Fleet, NEW_YEAR_MS, QUICK, Stalling, alone};

/// A namespace with one end of the cable; it goes with the value.
struct Namespace {
    name: String,
    end: &'static str,
    address: &'static str,
}

impl Namespace {
    fn new(end: &'static str, address: &'static str) -> Self {
        let name = format!("onprem-{}-{end}", std::process::id());
        ip(&["netns", "add", &name]);
        Self { name, end, address }
    }

    fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.name], arguments].concat());
    }

    fn up(&self) {
        let address = format!("{}/24", self.address);
        self.ip(&["address", "add", &address, "dev", self.end]);
        self.ip(&["link", "set", "lo", "up"]);
        self.ip(&["link", "set", self.end, "up"]);
    }

    /// From now on packets to `other` go to a card that does not exist.
    fn lose(&self, other: &Self) {
        let nobody = ["lladdr", "02:00:00:00:00:99", "nud", "permanent"];
        let to = ["neigh", "replace", other.address, "dev", self.end];
        self.ip(&[&to[..], &nobody].concat());
    }

    fn find(&self, other: &Self) {
        self.ip(&["neigh", "del", other.address, "dev", self.end]);
    }

    /// What leads into the namespace.
    fn door(&self) -> File {
        File::open(format!("/run/netns/{}", self.name)).unwrap()
    }
}

/// Moves this thread, and what it opens from now on, into a namespace.
fn enter(door: &File) {
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(door.as_fd(), kind).unwrap();
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {}: {said}", arguments.join(" "));
}

fn can_make_namespaces() -> bool {
    geteuid().is_root()
        && Command::new("ip")
            .args(["netns", "list"])
            .output()
            .is_ok_and(|done| done.status.success())
}

#[test]
fn a_path_that_drops_packets_is_noticed_and_the_agent_comes_back() {
    if !can_make_namespaces() {
        eprintln!("SKIPPED: root and `ip netns` are needed for this test");
        return;
    }
    let here = Namespace::new("fleet", "198.18.7.1");
    let there = Namespace::new("agent", "198.18.7.2");
    here.ip(&[
        "link",
        "add",
        here.end,
        "type",
        "veth",
        "peer",
        "name",
        there.end,
        "netns",
        &there.name,
    ]);
    here.up();
    there.up();
    thread::scope(|scope| {
        let both = (&here, &there);
        let test = scope.spawn(move || {
            let (here, there) = both;
            enter(&here.door());
            alone(Box::pin(drop_packets(here, there)));
        });
        test.join().unwrap();
    });
}

async fn drop_packets(here: &Namespace, there: &Namespace) {
    let listen = ListenOptions {
        address: SocketAddr::new(here.address.parse().unwrap(), 0),
        names: vec![here.address.to_owned()],
        ..ListenOptions::default()
    };
    let quick = TunnelOptions { keep_alive: QUICK, ..TunnelOptions::default() };
    let fleet = Fleet::open(
        tempfile::tempdir().unwrap(),
        std::sync::Arc::default(),
        listen,
        quick,
        NEW_YEAR_MS,
    )
    .await;
    let door = there.door();
    let agent = Stalling::join_with(
        &fleet,
        |options| {
            options.keep_alive = QUICK;
            options.patience = QUICK.interval;
        },
        move || enter(&door),
    )
    .await;
    let device = agent.device;
    assert_eq!(fleet.get(device, "/hello").await.unwrap().1, "hello");

    here.lose(there);
    there.lose(here);
    fleet.until_online(device, false).await;
    agent.disconnected().await;

    here.find(there);
    there.find(here);
    fleet.until_online(device, true).await;
    assert_eq!(fleet.get(device, "/hello").await.unwrap().1, "hello");
}
