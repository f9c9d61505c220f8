//! What ships, on a kernel that is not this machine's: the agent on boards that
//! ship, and a simulated rack behind a pseudo-terminal, each a process of its
//! own. Both the virtual machine and the emulated Pi do what is said here.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use futures_util::{SinkExt as _, Stream, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{served::Served, wait::PATIENCE};

/// A rack that is simulated until it is dropped.
struct Rack {
    process: Child,
    /// Its control bus, as the kernel calls it.
    bus: String,
}

impl Rack {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_onprem-bmc"))
            .args(["simulate", "bitscope", "--nodes", "24"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut bus = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut bus).unwrap();
        let bus = bus.trim().to_owned();
        assert!(bus.starts_with("/dev/pts/"), "{bus:?}");
        Self { process, bus }
    }
}

impl Drop for Rack {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A board that ships, with `replaced` as it has to be here.
fn board(folder: &Path, text: &str, replaced: &str, with: &str) -> PathBuf {
    assert!(text.contains(replaced), "{replaced}");
    let file = folder.join("board.toml");
    fs::write(&file, text.replace(replaced, with)).unwrap();
    file
}

fn is(state: &str) -> impl Fn(&Value) -> bool {
    move |system| {
        system["PowerState"] == state && system["Status"]["State"] != "Starting"
    }
}

/// The power commands in the recording of a bus: the node's address, whether
/// it was to be switched on, and when that was sent, in ms.
fn commands(recording: &Path) -> Vec<(u8, bool, u64)> {
    let text = fs::read_to_string(recording).unwrap();
    let lines = text.lines().map(|it| serde_json::from_str(it).unwrap());
    let command = |line: Value| {
        let sent = line["sent"].as_array()?.iter();
        let sent = sent.map(|it| u8::try_from(it.as_u64().unwrap()).unwrap());
        let sent = String::from_utf8(sent.collect()).unwrap();
        let (node, ask) = sent.strip_prefix('[')?.split_once("]|")?;
        let on = match ask {
            "/" => true,
            "\\" => false,
            _ => return None,
        };
        let node = u8::from_str_radix(node, 16).unwrap();
        Some((node, on, line["at_us"].as_u64().unwrap() / 1000))
    };
    lines.filter_map(command).collect()
}

/// Somebody at the console of a system hears what it says up to `text`.
async fn hear(
    seat: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    text: &str,
) {
    let mut said = String::new();
    let hearing = async {
        while !said.contains(text) {
            match seat.next().await.expect("the console stays").unwrap() {
                Message::Binary(bytes) => {
                    said.push_str(&String::from_utf8_lossy(&bytes));
                }
                other => assert!(!other.is_close(), "{other}"),
            }
        }
    };
    let heard = timeout(PATIENCE, hearing).await;
    assert!(heard.is_ok(), "no {text:?} in {said:?}");
}

#[tokio::test]
#[ignore = "for the virtual machine and the emulated Pi"]
async fn a_rack_on_a_terminal_is_listed_switched_in_turns_and_heard() {
    let rack = Rack::start();
    let folder = TempDir::new().unwrap();
    let text = include_str!("../../boards/bitscope-er24.toml");
    let board = board(folder.path(), text, "/dev/serial0", &rack.bus);
    let recording = folder.path().join("recording");
    let arguments =
        ["--board".as_ref(), &*board, "--record".as_ref(), &*recording];
    let agent = Served::start(folder.path(), &arguments);
    let systems = agent.get("/Systems").await;
    assert_eq!(systems["Members@odata.count"], 24, "{systems}");
    for member in systems["Members"].as_array().unwrap() {
        let path = member["@odata.id"].as_str().unwrap();
        let path = path.trim_start_matches("/redfish/v1");
        let seen = |it: &Value| it["Status"]["State"] == "Enabled";
        let system = agent.until(path, seen).await;
        assert_eq!(system["PowerState"], "On", "{system:#}");
    }

    // Off all at once, on one after the other, as their states say.
    let nodes = [4, 5, 6, 7];
    let system = |node: u8| format!("/Systems/b{}", node - 4);
    let reset = "/Chassis/rack-b/Actions/Chassis.Reset";
    for (word, state) in [("ForceOff", "Off"), ("On", "On")] {
        agent.post(reset, &json!({"ResetType": word})).await;
        for node in nodes {
            agent.until(&system(node), is(state)).await;
        }
        let other = agent.get("/Systems/c0").await;
        assert_eq!(other["PowerState"], "On", "{other:#}");
    }
    let commands = commands(&recording);
    let switched = |on: bool| {
        let of = commands.iter().filter(move |command| command.1 == on);
        let mut of: Vec<_> = of.map(|command| command.0).collect();
        of.sort_unstable();
        of
    };
    assert_eq!([switched(false), switched(true)], [nodes, nodes]);
    let (off, on) = commands.split_at(nodes.len());
    assert!(off.iter().all(|it| !it.1), "{commands:?}");
    for pair in on.windows(2) {
        // A second, less what a busy machine takes to note the first.
        assert!(pair[1].2 - pair[0].2 >= 750, "{commands:?}");
    }

    let mut seat = agent.websocket("/Systems/b1/SerialConsole").await;
    for (typed, answered) in [
        ("\r", "node-05 login: "),
        ("pi\r", "Password: "),
        ("secret\r", "$ "),
        ("echo heard on the bus\r", "\r\nheard on the bus\r\n"),
    ] {
        seat.send(Message::binary(typed.as_bytes().to_vec())).await.unwrap();
        hear(&mut seat, answered).await;
    }
    drop(seat);
    let history = "/Systems/b1/SerialConsole/History";
    let kept = agent.get(history).await;
    assert!(kept.to_string().contains("heard on the bus"), "{kept}");
    assert_eq!(agent.terminate(), Some(0));
}

#[tokio::test]
#[ignore = "for the virtual machine and the emulated Pi"]
async fn a_cut_of_the_mains_ends_in_an_orderly_shutdown() {
    let folder = TempDir::new().unwrap();
    let mains = folder.path().join("mains");
    fs::write(&mains, "on").unwrap();
    let text = include_str!("../../boards/sim-hats.toml");
    let shown = mains.display();
    let soon = format!(
        "shutdown_after_seconds = 2, simulated_mains_file = \"{shown}\""
    );
    let board =
        board(folder.path(), text, "shutdown_after_seconds = 120", &soon);
    let agent = Served::start(folder.path(), &["--board".as_ref(), &*board]);
    agent.until("/Systems/node", is("On")).await;
    let input = "/Chassis/blade/PowerSubsystem/PowerSupplies/ups_Input";
    let line =
        |word: &'static str| move |it: &Value| it["LineInputStatus"] == word;
    agent.until(input, line("Normal")).await;
    fs::write(&mains, "off").unwrap();
    agent.until(input, line("LossOfInput")).await;
    agent.until("/Systems/node", is("Off")).await;
    // It was asked to end before it was off.
    let log = "/Managers/bmc/LogServices/EventLog/Entries";
    let orderly = |log: &Value| {
        let entries = log["Members"].as_array().unwrap().iter().rev();
        let mut ids = entries.map(|it| it["MessageId"].as_str().unwrap());
        ["ResourceStatusChangedWarning", "PoweringOff", "PoweredOff"]
            .iter()
            .all(|next| ids.any(|id| id.ends_with(next)))
    };
    agent.until(log, orderly).await;
    fs::write(&mains, "on").unwrap();
    agent.until(input, line("Normal")).await;
    assert_eq!(agent.terminate(), Some(0));
}
