//! Which fleet a command line means, and which token goes there.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::{Command, Output},
    sync::mpsc::{Receiver, channel},
    thread,
};

use tempfile::TempDir;

/// A fleet without devices; it tells the token of each request.
struct Fleet {
    url: String,
    tokens: Receiver<String>,
}

impl Fleet {
    fn start() -> Self {
        Self::answering("200 OK")
    }

    fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, tokens) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut token = String::new();
                for line in BufReader::new(&stream).lines() {
                    let line = line.unwrap();
                    if let Some(found) = line.strip_prefix("authorization: ") {
                        found
                            .trim_start_matches("Bearer ")
                            .clone_into(&mut token);
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: 2\r\n\
                     connection: close\r\n\r\n[]"
                );
                // First the token: who has the answer asks for it.
                if sender.send(token).is_err() {
                    return;
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { url, tokens }
    }

    /// The token of the only request since the last look.
    fn token(&self) -> Option<String> {
        let token = self.tokens.try_recv().ok();
        assert!(self.tokens.try_recv().is_err());
        token
    }
}

struct Home {
    folder: TempDir,
}

impl Home {
    /// A home with the contexts `lab`, which is current, and `prod`.
    fn with(lab: &Fleet, prod: &Fleet) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        let text = format!(
            "current = \"lab\"\n\
             [contexts.lab]\nurl = \"{}\"\ntoken = \"of-lab\"\n\
             [contexts.prod]\nurl = \"{}\"\ntoken = \"of-prod\"\n",
            lab.url, prod.url
        );
        home.write(&text);
        home
    }

    fn write(&self, text: &str) {
        let folder = self.folder.path().join("onprem");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), text).unwrap();
    }

    fn file(&self) -> String {
        let path = self.folder.path().join("onprem/config.toml");
        fs::read_to_string(path).unwrap()
    }

    fn run(&self, words: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_onprem"))
            .args(words)
            .env_clear()
            .env("XDG_CONFIG_HOME", self.folder.path())
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    fn get(&self, words: &[&str], environment: &[(&str, &str)]) {
        let words = [&["get", "devices"], words].concat();
        let output = self.run(&words, environment);
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_context_that_is_said_goes_before_the_environment() {
    let (lab, prod) = (Fleet::start(), Fleet::start());
    let home = Home::with(&lab, &prod);
    let environment =
        [("ONPREM_URL", lab.url.as_str()), ("ONPREM_TOKEN", "from-env")];
    home.get(&[], &[]);
    assert_eq!(lab.token().as_deref(), Some("of-lab"));
    home.get(&[], &environment);
    assert_eq!(lab.token().as_deref(), Some("from-env"));
    home.get(&["--context", "prod"], &environment);
    assert_eq!(lab.token(), None);
    assert_eq!(prod.token().as_deref(), Some("of-prod"));
}

#[test]
fn a_token_is_for_the_fleet_it_was_given_with() {
    let (lab, prod) = (Fleet::start(), Fleet::start());
    let other = Fleet::start();
    let home = Home::with(&lab, &prod);
    let environment =
        [("ONPREM_URL", lab.url.as_str()), ("ONPREM_TOKEN", "from-env")];
    home.get(&["--url", &other.url], &environment);
    assert_eq!(other.token().as_deref(), Some(""));
    // An address that is written otherwise is the same.
    let slash = format!("{}/", lab.url);
    home.get(&["--url", &slash], &environment);
    assert_eq!(lab.token().as_deref(), Some("from-env"));
    // A token without an address is for whatever is said.
    home.get(&["--url", &other.url], &[("ONPREM_TOKEN", "from-env")]);
    assert_eq!(other.token().as_deref(), Some("from-env"));
}

#[test]
fn choosing_a_context_leaves_it_as_it_is() {
    let (lab, prod) = (Fleet::start(), Fleet::start());
    let home = Home::with(&lab, &prod);
    let environment = [("ONPREM_URL", lab.url.as_str())];
    let output = home.run(&["context", "use", "prod"], &environment);
    assert!(output.status.success(), "{output:?}");
    assert!(home.file().contains("of-prod"), "{}", home.file());
    assert!(home.file().contains(&prod.url), "{}", home.file());
}

#[test]
fn a_proxy_of_the_environment_does_not_see_what_stays_on_this_machine() {
    let (lab, proxy) = (Fleet::start(), Fleet::start());
    let home = Home::with(&lab, &proxy);
    home.get(&[], &[("http_proxy", &proxy.url), ("ALL_PROXY", &proxy.url)]);
    assert_eq!(proxy.token(), None);
    assert_eq!(lab.token().as_deref(), Some("of-lab"));
}

#[test]
fn a_broken_file_is_told_with_its_line_and_without_its_secrets() {
    let home = Home { folder: tempfile::tempdir().unwrap() };
    home.write("[contexts.lab]\nurl = \"x\"\ntoken = opt_secret\n");
    let output = home.run(&["get", "devices"], &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("config.toml:3: "), "{text}");
    assert!(!text.contains("opt_secret"), "{text}");
}

#[test]
fn a_token_that_is_refused_is_named_by_where_it_is() {
    let fleet = Fleet::answering("401 Unauthorized");
    let home = Home::with(&fleet, &fleet);
    let said = |environment: &[(&str, &str)]| {
        let output = home.run(&["get", "devices"], environment);
        assert_eq!(output.status.code(), Some(6), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let text = said(&[("ONPREM_TOKEN", "from-env")]);
    assert!(text.contains("ONPREM_TOKEN"), "{text}");
    let text = said(&[]);
    assert!(!text.contains("ONPREM_TOKEN"), "{text}");
    assert!(text.contains("`onprem login`"), "{text}");
}

#[test]
fn the_end_of_a_session_is_told() {
    let (lab, prod) = (Fleet::start(), Fleet::start());
    let home = Home::with(&lab, &prod);
    for expected in ["logged out of ", "not logged in to "] {
        let output = home.run(&["logout"], &[]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let line = format!("{expected}{} (lab)\n", lab.url);
        assert_eq!(text, line);
    }
}

#[test]
fn alone_it_gives_help_whatever_the_environment_says() {
    let lab = Fleet::start();
    let home = Home::with(&lab, &lab);
    let output = home.run(&[], &[("ONPREM_URL", lab.url.as_str())]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Commands:"), "{text}");
}
