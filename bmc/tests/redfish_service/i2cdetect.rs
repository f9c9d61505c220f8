//! Who is on an I²C bus, looked at from afar.

use std::{
    fmt,
    sync::{Arc, mpsc},
};

use onprem_bmc::{
    bus::Call,
    sim::{
        argon::Argon,
        i2c::{I2cPart, SimulatedI2c},
        lm75::Lm75,
    },
};
use onprem_redfish::check;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::join;

use crate::{
    client::{Blade, Client, Reply},
    probe,
};

const AUDIT: &str = "/LogServices/AuditLog/Entries";

/// A machine of whose one bus the kernel has an address, and the board file
/// another.
struct Machine {
    blade: Blade,
    bus: SimulatedI2c,
    manager: String,
    target: String,
    _root: TempDir,
}

impl Machine {
    async fn start() -> Self {
        let root = probe::machine();
        let state = Arc::new(TempDir::new().unwrap());
        let board = state.path().join("board.toml");
        let text = "host = true\n\
            [[bus]]\nid = \"wire\"\ni2c = \"/dev/i2c-1\"\nsimulated = true\n\
            [[part]]\nid = \"exhaust\"\nkind = \"tmp117\"\nbus = \"wire\"\n";
        std::fs::write(&board, text).unwrap();
        let blade = Blade::with_config(state, |config| {
            root.path().clone_into(&mut config.root);
            config.board = Some(board);
        });
        let blade = blade.await;
        let bus = blade.agent.buses().i2c("wire").unwrap().clone();
        bus.attach(0x1a, Argon::new(false));
        bus.attach(0x4f, Lm75::new(false));
        bus.attach(0x50, Lm75::new(false));
        bus.attach(0x68, Lm75::new(false));
        let manager = manager(&blade.admin()).await;
        let target = format!("{manager}/Actions/Oem/OnPremManager.DetectI2C");
        Self { blade, bus, manager, target, _root: root }
    }

    async fn look(&self, by: &Client) -> Reply {
        by.post(&self.target, &json!({"Bus": 1})).await
    }
}

async fn manager(client: &Client) -> String {
    let all = client.get("/redfish/v1/Managers").await.body;
    all["Members"][0]["@odata.id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_bus_is_shown_as_i2cdetect_shows_it_and_nobody_is_harmed() {
    let machine = Machine::start().await;
    let admin = machine.blade.admin();
    let shown = admin.get(&machine.manager).await.body;
    assert_eq!(check(&shown), []);
    let buses = &shown["Oem"]["OnPrem"]["I2CBuses"];
    let known = [
        ("0x48", "part `exhaust` of the board file"),
        ("0x68", "the kernel's `rtc-ds1307` for `ds3231`"),
    ];
    let known = known.map(|(at, by)| json!({"Address": at, "UsedBy": by}));
    assert_eq!(buses[0]["Bus"], 1, "{shown}");
    assert_eq!(buses[0]["InUse"], json!(known));
    let action = &shown["Actions"]["Oem"]["#OnPremManager.DetectI2C"];
    assert_eq!(action["target"], *machine.target);
    let info = action["@Redfish.ActionInfo"].as_str().unwrap();
    let parameter = &admin.get(info).await.body["Parameters"][0];
    assert_eq!(parameter["Name"], "Bus");
    assert_eq!(parameter["Required"], true);
    let _ = machine.bus.calls();
    let reply = machine.look(&admin).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["Bus"], 1);
    let there = json!(["0x48", "0x4f", "0x50", "0x68"]);
    assert_eq!(reply.body["Addresses"], there);
    let grid = reply.body["Grid"].as_str().unwrap();
    for line in [
        "      0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f",
        "10: -- -- -- -- -- -- -- -- -- -- ?? -- -- -- -- --",
        "40: -- -- -- -- -- -- -- -- UU -- -- -- -- -- -- 4f",
        "50: 50 -- -- -- -- -- -- -- -- -- -- -- -- -- -- --",
        "60: -- -- -- -- -- -- -- -- UU -- -- -- -- -- -- --",
        "0x48: used by part `exhaust` of the board file",
        "0x68: used by the kernel's `rtc-ds1307` for `ds3231`",
    ] {
        assert!(grid.lines().any(|it| it == line), "{line}\n{grid}");
    }
    for (address, call) in machine.bus.calls() {
        assert!(!matches!(address, 0x1a | 0x68), "{address:#04x}");
        // The part of the board file goes on being read by its driver.
        let asked = matches!(call, Call::Quick | Call::ReceiveByte);
        assert!(asked || address == 0x48, "{address:#04x}: {call}");
    }
    let log = admin.get(&format!("{}{AUDIT}", machine.manager)).await.body;
    let said = format!("POST {} was answered with 200", machine.target);
    assert!(log.to_string().contains(&said), "{log}");
}

#[tokio::test]
async fn who_may_not_and_what_is_no_bus_are_told_so() {
    let machine = Machine::start().await;
    for role in ["ReadOnly", "Operator"] {
        let client = machine.blade.account(role, role).await;
        let reply = machine.look(&client).await;
        assert_eq!(reply.status, 403, "{role}: {}", reply.body);
    }
    let _ = machine.bus.calls();
    let admin = machine.blade.admin();
    for (body, message, said) in [
        (
            json!({"Bus": 7}),
            "ActionParameterValueNotInList",
            "Send one of these: 1.",
        ),
        (
            json!({"Bus": 4_294_967_297_u64}),
            "ActionParameterValueNotInList",
            "'4294967297'",
        ),
        (json!({"Bus": -1}), "ActionParameterValueOutOfRange", "'-1'"),
        (json!({"Bus": "1"}), "ActionParameterValueTypeError", "Bus"),
        (json!({}), "ActionParameterMissing", "Bus"),
        (json!({"Bus": 1, "Force": true}), "ActionParameterUnknown", "Force"),
    ] {
        let reply = admin.post(&machine.target, &body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.body);
        assert_eq!(reply.messages(), [message], "{body}");
        assert!(reply.body.to_string().contains(said), "{}", reply.body);
    }
    let others = machine.bus.calls();
    assert!(others.iter().all(|(at, _)| *at == 0x48), "{others:?}");
    // Where there is no bus, nothing is offered.
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let manager = manager(&admin).await;
    let shown = admin.get(&manager).await.body;
    assert_eq!(shown["Actions"]["Oem"], Value::Null);
    let target = format!("{manager}/Actions/Oem/OnPremManager.DetectI2C");
    let reply = admin.post(&target, &json!({"Bus": 1})).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    assert_eq!(reply.messages(), ["ActionNotSupported"]);
}

#[tokio::test]
async fn a_bus_that_is_stuck_is_named_and_asked_again_when_it_is_free() {
    let machine = Machine::start().await;
    let admin = machine.blade.admin();
    machine.bus.stick(true);
    let reply = machine.look(&admin).await;
    assert_eq!(reply.status, 500, "{}", reply.body);
    assert_eq!(reply.messages(), ["OperationFailed"]);
    let said = reply.body.to_string();
    assert!(said.contains("quick write at 0x08 on wire"), "{said}");
    machine.bus.stick(false);
    assert_eq!(machine.look(&admin).await.status, 200);
}

/// A part that keeps the bus until it is let go of.
struct Gate {
    asked: tokio::sync::mpsc::Sender<()>,
    go: mpsc::Receiver<()>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl I2cPart for Gate {
    fn write(&mut self, _: &[u8]) -> bool {
        let _ = self.asked.try_send(());
        self.go.recv().is_ok()
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        vec![0; count]
    }
}

#[tokio::test]
async fn one_looks_at_a_time() {
    let machine = Machine::start().await;
    let admin = machine.blade.admin();
    let (asked, mut seen) = tokio::sync::mpsc::channel(1);
    let (let_go, go) = mpsc::channel();
    machine.bus.attach(0x08, Gate { asked, go });
    let second = async {
        seen.recv().await.unwrap();
        let reply = machine.look(&admin).await;
        let_go.send(()).unwrap();
        reply
    };
    let (first, second) = join!(machine.look(&admin), second);
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(first.body["Addresses"][0], "0x08");
    assert_eq!(second.status, 503, "{}", second.body);
    assert_eq!(second.header("retry-after"), "1");
}
