//! `probe`: what it proposes loads as it is, and nobody is written to unless
//! that was allowed.

use std::{path::PathBuf, sync::Arc};

use onprem_bmc::{
    agent::Agent,
    bus::{Call, I2cBus},
    config::Config,
    drivers::tree::Tree,
    probe::{Options, propose},
    sim::{
        ads1115::Ads1115, argon::Argon, i2c::SimulatedI2c, ina219::ina219,
        ina226::ina226, ina3221::ina3221, lm75::Lm75, pcf8563::Pcf8563,
        ssd1306::Ssd1306, tmp117::Tmp117,
    },
};
use tempfile::TempDir;

use crate::support::tree::unpack;

fn options(allow_writes: bool) -> Options {
    Options { root: PathBuf::from("/"), no_i2c: false, allow_writes }
}

/// A machine with one I²C bus, of which the kernel has an address.
pub(crate) fn machine() -> TempDir {
    let root = unpack("pi4");
    let at = |path: &str| root.path().join(path);
    std::fs::create_dir_all(at("dev")).unwrap();
    std::fs::write(at("dev/i2c-1"), "").unwrap();
    let device = at("sys/bus/i2c/devices/1-0068");
    std::fs::create_dir_all(&device).unwrap();
    std::fs::write(device.join("name"), "ds3231\n").unwrap();
    let driver = at("sys/bus/i2c/drivers/rtc-ds1307");
    std::fs::create_dir_all(&driver).unwrap();
    std::os::unix::fs::symlink(&driver, device.join("driver")).unwrap();
    root
}

fn crowded() -> SimulatedI2c {
    let sim = SimulatedI2c::default();
    sim.attach(0x1a, Argon::new(false));
    sim.attach(0x3c, Ssd1306::default());
    sim.attach(0x40, ina219());
    sim.attach(0x41, ina3221());
    sim.attach(0x44, ina226());
    sim.attach(0x48, Ads1115::default());
    sim.attach(0x49, Tmp117::default());
    sim.attach(0x4f, Lm75::new(false));
    sim.attach(0x51, Pcf8563::default());
    sim.attach(0x68, Lm75::new(false));
    sim
}

fn proposed(root: &TempDir, sim: &SimulatedI2c, allow_writes: bool) -> String {
    let open = |number: u32| {
        I2cBus::new(&format!("i2c-{number}"), Box::new(sim.clone()))
    };
    propose(&Tree::new(root.path()), &open, &options(allow_writes))
}

/// Starts an agent with the proposal as its board file.
async fn load(root: &TempDir, text: &str) -> Arc<Agent> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("board.toml");
    std::fs::write(&file, text).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        state_dir: folder.path().join("state"),
        root: root.path().to_owned(),
        board: Some(file),
        listen: any,
        metrics_listen: any,
        ..Config::default()
    };
    let agent = Agent::start(config).await;
    Arc::new(agent.unwrap_or_else(|error| panic!("{error:?}\n{text}")))
}

#[tokio::test]
async fn without_leave_nobody_is_written_to_and_the_proposal_loads() {
    let (root, sim) = (machine(), crowded());
    let text = proposed(&root, &sim, false);
    for (address, call) in sim.calls() {
        assert!(address != 0x1a && address != 0x68, "{address:#04x}");
        assert!(matches!(call, Call::Quick | Call::ReceiveByte), "{call}");
    }
    for said in [
        "# The machine is a Raspberry Pi 4B Rev 1.4.",
        "# 0x1a: left alone: an Argon case may be there",
        "# 0x68: used by the kernel's `rtc-ds1307` for `ds3231`",
        "# 40: 40 41 -- -- 44 -- -- -- 48 49 -- -- -- -- -- 4f",
        "# kind = \"ina219\"",
        "\nkind = \"ssd1306\"",
        "# hwmon cpu_thermal",
    ] {
        assert!(text.contains(said), "{said}:\n{text}");
    }
    assert!(!text.contains("\nkind = \"ina219\""), "{text}");
    let agent = load(&root, &text).await;
    let snapshot = agent.model().snapshot();
    assert!(
        snapshot.chassis("host").unwrap().sensor("ssd1306-1-3c_Lit").is_some()
    );
}

#[tokio::test]
async fn with_leave_each_part_is_known_by_its_registers() {
    let (root, sim) = (machine(), crowded());
    let text = proposed(&root, &sim, true);
    assert!(sim.calls().iter().all(|(at, _)| !matches!(at, 0x1a | 0x68)));
    for (kind, address) in [
        ("ssd1306", 0x3c),
        ("ina219", 0x40),
        ("ina3221", 0x41),
        ("ina226", 0x44),
        ("ads1115", 0x48),
        ("tmp117", 0x49),
        ("lm75", 0x4f),
        ("pcf8563", 0x51),
    ] {
        let section = format!(
            "\n[[part]]\nid = \"{kind}-1-{address:02x}\"\nkind = \"{kind}\"\n\
             bus = \"i2c-1\"\naddress = {address:#04x}\n"
        );
        assert!(text.contains(&section), "{section}\n{text}");
    }
    let agent = load(&root, &text).await;
    let snapshot = agent.model().snapshot();
    let host = snapshot.chassis("host").unwrap();
    for id in ["ina219-1-40_Power", "ads1115-1-48_3", "pcf8563-1-51_Offset"] {
        assert!(host.sensor(id).is_some(), "{id}");
    }
}

#[tokio::test]
async fn what_is_proposed_for_other_machines_and_broken_buses_loads_too() {
    for name in ["jetson-nano", "orin", "pc", "pi4", "pi5", "xavier-nx"] {
        let root = unpack(name);
        let sim = SimulatedI2c::default();
        let text = proposed(&root, &sim, false);
        load(&root, &text).await;
        let jetson = matches!(name, "jetson-nano" | "orin" | "xavier-nx");
        let part = "\n[[part]]\nid = \"jetson\"\nkind = \"jetson\"\n";
        assert_eq!(text.contains(part), jetson, "{name}: {text}");
    }
    let (root, sim) = (machine(), crowded());
    sim.stick(true);
    let text = proposed(&root, &sim, false);
    let said = "# Nobody can be asked there: quick write at 0x08 on i2c-1";
    assert!(text.contains(said), "{text}");
    load(&root, &text).await;
}
