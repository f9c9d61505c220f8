//! Updates of a real process: what works stays, what does not work goes, and
//! a power loss at any instant leaves an agent that runs.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use onprem_bmc::update::{
    image::Trusted,
    slots::{Policy, Slots},
};
use reqwest::{Body, Client, RequestBuilder, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use self::support::{
    image::{Key, NEWER, Temper, program},
    process::{Process, agent},
    rig::client,
};

const FIRMWARE: &str = "/redfish/v1/UpdateService/FirmwareInventory";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// An agent in a process of its own, which can be updated.
struct Station {
    folder: TempDir,
    key: Key,
    client: Client,
    /// How long a new version has to answer before it is believed.
    stable_seconds: u32,
}

impl Station {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (key, client) = (Key::new(), client());
        Self { folder, key, client, stable_seconds: 1 }
    }

    fn start(&self) -> Process {
        let mut command = agent(self.folder.path());
        self.configure(&mut command);
        Process::start_as(&mut command, self.folder.path())
    }

    fn configure(&self, command: &mut Command) {
        let keys = format!("[\"{}\"]", self.key.public);
        command
            .env("ONPREM_BMC_UPDATE__TRUSTED_KEYS", keys)
            .env("ONPREM_BMC_UPDATE__TRIAL_DEADLINE_SECONDS", "10")
            .env(
                "ONPREM_BMC_UPDATE__TRIAL_STABLE_SECONDS",
                self.stable_seconds.to_string(),
            );
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn image(&self, temper: &Temper) -> Vec<u8> {
        let program = program(self.folder.path(), NEWER, temper);
        self.key.sign(NEWER, &program)
    }

    /// Puts a program into a slot, to be tried at the next start.
    fn place(&self, temper: &Temper) {
        let path = self.folder.path().join("image");
        fs::write(&path, self.image(temper)).unwrap();
        let keys = [self.key.public.clone()];
        let trusted = Trusted::parse(&keys).unwrap();
        let slots = Slots::new(&self.state());
        let mut image = fs::File::open(path).unwrap();
        let policy = Policy::default();
        let unpacked = slots.unpack(&mut image, &trusted, policy).unwrap();
        let slot = slots.place(unpacked).unwrap();
        slots.begin_trial(slot, None).unwrap();
    }

    fn ask(
        &self,
        request: impl Fn(&Client, String) -> RequestBuilder,
        path: &str,
    ) -> Option<RequestBuilder> {
        let state = self.state();
        // It is written anew at each start.
        let text = fs::read(state.join("addresses.json")).ok()?;
        let addresses: Value = serde_json::from_slice(&text).ok()?;
        let url = format!("{}{path}", addresses["redfish"].as_str()?);
        let password = fs::read_to_string(state.join("initial-password"));
        let password = password.unwrap();
        let request = request(&self.client, url);
        Some(request.basic_auth("admin", Some(password.trim())))
    }

    /// Asks until there is an answer that fits.
    async fn get(
        &self,
        path: &str,
        fits: impl Fn(StatusCode, &Value) -> bool,
    ) -> (StatusCode, Value) {
        let answered = async {
            loop {
                let asked = self.ask(Client::get, path);
                if let Some(asked) = asked
                    && let Ok(response) = asked.send().await
                {
                    let status = response.status();
                    let body = response.json().await.unwrap_or_default();
                    if fits(status, &body) {
                        return (status, body);
                    }
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, answered).await.expect(path)
    }

    /// Pushes an image; the monitor of the update, and its task.
    async fn push(&self, image: &[u8]) -> (String, String) {
        let mut body = Vec::new();
        for (name, content) in
            [("UpdateParameters", &b"{}"[..]), ("UpdateFile", image)]
        {
            let head = format!(
                "--frontier\r\nContent-Disposition: form-data; \
                 name=\"{name}\"\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--frontier--\r\n");
        let kind = "multipart/form-data; boundary=frontier";
        let push = self
            .ask(Client::post, "/redfish/v1/UpdateService/Multipart")
            .unwrap()
            .header("content-type", kind)
            .body(body);
        let response = push.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        let monitor = response.headers()["location"].to_str().unwrap();
        let monitor = monitor.to_owned();
        let task: Value = response.json().await.unwrap();
        (monitor, task["@odata.id"].as_str().unwrap().to_owned())
    }

    /// The answer that the monitor of an update has in the end.
    async fn end(&self, monitor: &str) -> (StatusCode, Value) {
        self.get(monitor, |status, _| status != StatusCode::ACCEPTED).await
    }

    /// What is in the first slot.
    async fn slot(&self) -> Value {
        let path = format!("{FIRMWARE}/agent-a");
        self.get(&path, |status, _| status == StatusCode::OK).await.1
    }

    async fn record(&self, fits: impl Fn(&Value) -> bool) {
        let path = self.state().join("slots/slots.json");
        let fitting = async {
            loop {
                let record = fs::read(&path).unwrap_or_default();
                let record: Value =
                    serde_json::from_slice(&record).unwrap_or_default();
                if fits(&record) {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, fitting).await.expect("the record");
    }

    /// Waits until the trial has begun and its program answers.
    async fn on_trial(&self, attempts: u32) {
        self.record(|it| it["trial"]["attempts"] == attempts).await;
        let in_test = |_, slot: &Value| slot["Status"]["State"] == "InTest";
        let path = format!("{FIRMWARE}/agent-a");
        self.get(&path, in_test).await;
    }
}

#[tokio::test]
async fn a_new_version_that_works_stays() {
    let station = Station::new();
    let process = station.start();
    let (monitor, task) = station.push(&station.image(&Temper::Works)).await;
    let (status, body) = station.end(&monitor).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let slot = station.slot().await;
    assert_eq!(slot["Version"], NEWER);
    assert_eq!(slot["Active"], true);
    assert_eq!(slot["Status"]["State"], "Enabled");
    let (_, task) = station.get(&task, |status, _| status == 200).await;
    assert_eq!(task["TaskState"], "Completed");
    assert_eq!(task["TaskStatus"], "OK");
    assert_eq!(task["PercentComplete"], 100);
    let said = task["Messages"].to_string();
    for message in [".InstallingOnComponent", ".UpdateSuccessful"] {
        assert!(said.contains(message), "{said}");
    }
    // The same process, as whoever started it sees it.
    assert!(Path::new("/proc").join(process.id().to_string()).exists());
    process.kill();

    let process = station.start();
    assert_eq!(station.slot().await["Active"], true);
    // It ends as every agent does.
    assert_eq!(process.terminate(), Some(0));

    // Whoever does not trust it starts the installed program.
    let mut command = agent(station.folder.path());
    station.configure(&mut command);
    let process =
        Process::start_as(command.arg("--no-slots"), station.folder.path());
    assert_eq!(station.slot().await["Active"], false);
    process.kill();
}

#[tokio::test]
async fn a_new_version_that_does_not_work_goes() {
    for (temper, reason) in [
        (Temper::Dies, "it ended by itself"),
        (Temper::Hangs, "it did not answer within 10 s"),
    ] {
        let station = Station::new();
        let process = station.start();
        let (monitor, task) = station.push(&station.image(&temper)).await;
        let (status, body) = station.end(&monitor).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        let text = body.to_string();
        assert!(text.contains(".ActivateFailed"), "{text}");
        assert!(text.contains(reason), "{text}");
        let slot = station.slot().await;
        assert_eq!(slot["Active"], false);
        assert_eq!(slot["Status"]["State"], "Disabled");
        let (_, task) = station.get(&task, |status, _| status == 200).await;
        assert_eq!(task["TaskState"], "Exception");
        // Another update is taken, into the same slot.
        let (monitor, _) = station.push(&station.image(&Temper::Works)).await;
        let (status, body) = station.end(&monitor).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(station.slot().await["Active"], true);
        assert_eq!(process.terminate(), Some(0));
    }
}

#[tokio::test]
async fn a_power_loss_in_the_trial_begins_it_again() {
    let mut station = Station::new();
    station.stable_seconds = 30;
    let process = station.start();
    let (monitor, _) = station.push(&station.image(&Temper::Works)).await;
    station.on_trial(1).await;
    process.kill();

    station.stable_seconds = 1;
    let process = station.start();
    let (status, body) = station.end(&monitor).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(station.slot().await["Active"], true);
    process.kill();
}

#[tokio::test]
async fn a_version_that_takes_the_power_along_is_given_up() {
    let mut station = Station::new();
    station.stable_seconds = 30;
    let process = station.start();
    let (monitor, _) = station.push(&station.image(&Temper::Works)).await;
    station.on_trial(1).await;
    process.kill();
    let process = station.start();
    station.on_trial(0).await;
    process.kill();
    let process = station.start();
    let (status, body) = station.end(&monitor).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.to_string().contains("lost in each attempt"), "{body}");
    assert_eq!(station.slot().await["Status"]["State"], "Disabled");
    process.kill();
}

#[tokio::test]
async fn a_power_loss_between_the_steps_leaves_an_agent_that_runs() {
    let station = Station::new();
    // An image that comes in, half of it.
    let process = station.start();
    let state = station.state();
    let tasks = TaskTracker::new();
    let pushed = tasks.spawn(half_a_push(&station).send());
    let incoming = || {
        let entries = fs::read_dir(state.join("slots"));
        entries.is_ok_and(|it| it.count() > 0)
    };
    timeout(PATIENCE, async {
        while !incoming() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the image comes in");
    process.kill();
    assert!(pushed.await.unwrap().is_err());
    let process = station.start();
    assert!(!incoming(), "what was left is swept away");
    assert_eq!(process.terminate(), Some(0));

    // All is in its place, and the process has not started again.
    station.place(&Temper::Works);
    let process = station.start();
    station.record(|it| it["current"] == "a").await;
    assert_eq!(station.slot().await["Active"], true);
    assert_eq!(process.terminate(), Some(0));

    // The disk has lost the program, and then the record.
    fs::write(state.join("slots/a/onprem-bmc"), "no program").unwrap();
    let process = station.start();
    assert_eq!(station.slot().await["Active"], false);
    assert_eq!(process.terminate(), Some(0));
    fs::write(state.join("slots/slots.json"), "{").unwrap();
    let process = station.start();
    assert_eq!(process.terminate(), Some(0));
}

/// Begins a push and leaves it at that.
fn half_a_push(station: &Station) -> RequestBuilder {
    let begin = "--frontier\r\nContent-Disposition: form-data; \
        name=\"UpdateFile\"\r\n\r\nOPIMAGE1 and no more";
    let begin = stream::iter([Ok::<_, std::io::Error>(begin)]);
    let body = Body::wrap_stream(begin.chain(stream::pending()));
    let uri = "/redfish/v1/UpdateService/Multipart";
    let push = station.ask(Client::post, uri).unwrap();
    let kind = "multipart/form-data; boundary=frontier";
    push.header("content-type", kind).body(body)
}

#[test]
fn images_are_made_and_shown_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onprem-bmc"));
        let output = command.arg("image").args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let (key, image) = (path("key.pem"), path("agent.img"));
    let (made, public) = run(&["keygen", "--key", &key]);
    assert!(made, "{public}");
    assert!(Trusted::parse(&[public.trim().to_owned()]).is_ok());
    let permissions = fs::metadata(&key).unwrap().permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600);
    let (again, text) = run(&["keygen", "--key", &key]);
    assert!(!again && text.contains("cannot write"), "{text}");

    let program = program(folder.path(), NEWER, &Temper::Dies);
    let program = program.display().to_string();
    let sign = ["sign", "--key", &key, "--program", &program, "--image"];
    let (signed, text) = run(&[&sign[..], &[&image]].concat());
    assert!(signed && text.contains(public.trim()), "{text}");
    let (shown, text) = run(&["inspect", &image]);
    assert!(shown, "{text}");
    let header: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(header["version"], NEWER);
    assert_eq!(header["architecture"], std::env::consts::ARCH);
    let (shown, text) = run(&["inspect", &key]);
    assert!(!shown && text.contains("no image"), "{text}");
}
