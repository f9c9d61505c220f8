//! The agent as a process of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

/// A command that starts the agent with its state in `folder`.
pub fn agent(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onprem-bmc"));
    command
        .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
        .arg("--state-dir")
        .arg(folder.join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What the agent says when it is expected not to start.
pub fn refusal(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(stdout, b"");
    String::from_utf8(stderr).unwrap()
}

/// Asks a process to end; how it ended.
pub fn terminate(child: &mut Child) -> Option<i32> {
    let pid = rustix::process::Pid::from_child(child);
    let signal = rustix::process::Signal::TERM;
    rustix::process::kill_process(pid, signal).unwrap();
    child.wait().unwrap().code()
}

/// A process that is killed when the test is over.
pub struct Process {
    child: Child,
    /// Where it serves Redfish.
    pub redfish: String,
}

impl Process {
    /// Starts the agent, and waits until it listens.
    pub fn start(folder: &Path) -> Self {
        Self::start_as(&mut agent(folder), folder)
    }

    /// Starts the agent by this command, and waits until it listens.
    pub fn start_as(command: &mut Command, folder: &Path) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("scrapes") {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it listens");
        }
        // Someone has to read what it logs.
        std::thread::spawn(move || {
            let _ = lines.read_to_end(&mut Vec::new());
        });
        let text = fs::read(folder.join("state/addresses.json")).unwrap();
        let addresses: Value = serde_json::from_slice(&text).unwrap();
        let redfish = addresses["redfish"].as_str().unwrap().to_owned();
        Self { child, redfish }
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power loss would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end; how it ended.
    pub fn terminate(mut self) -> Option<i32> {
        terminate(&mut self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
