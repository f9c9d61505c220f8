//! `console`: the serial console of a device's system.
//!
//! With a terminal every key goes to the far end but for what begins with `~`
//! at the begin of a line, as of ssh. Without one, what comes on stdin is
//! typed, and what comes back within a while is printed.

mod escape;
mod terminal;

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use clap::{Arg, ArgMatches, Command, value_parser};
use futures_util::{SinkExt as _, StreamExt as _};
use onprem_description::PageModel;
use reqwest::Upgraded;
use serde_json::Value;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use self::{
    escape::{Escape, Typed},
    terminal::Raw,
};
use crate::{
    build::switch,
    failure::{Code, Failure},
    fleet::Fleet,
    run::{Entry, Run},
};

pub(crate) const ENTRY: Entry = Entry {
    name: "console",
    build,
    run: |run, matches| Box::pin(console(run, matches)),
};

/// The longest time between two tries to come back.
const SELDOM: Duration = Duration::from_secs(10);

fn build(_: &'static PageModel) -> Command {
    Command::new("console")
        .about("Attach to the serial console of a device")
        .long_about(
            "Attach to the serial console of a device\n\n\
             Leave with `~.` at the begin of a line; `~?` says what else \
             there is. One types at a time: who is first, until he leaves or \
             is idle for five minutes, or until somebody takes it over. With \
             no terminal on stdin, its lines are typed, and what comes back \
             until it is silent is printed.",
        )
        .args([
            Arg::new("device")
                .value_name("DEVICE")
                .required(true)
                .help("Its id or its name"),
            Arg::new("node")
                .value_name("NODE")
                .help("The system, where the device has several consoles"),
            switch("read-only", "Look, and never type"),
            switch("take", "Take over from whoever types"),
            Arg::new("history")
                .long("history")
                .value_name("BYTES")
                .default_value("4096")
                .help("How much of what came before to print, 65536 at most")
                .value_parser(value_parser!(u32).range(0..=65536)),
            Arg::new("wait")
                .long("wait")
                .value_name("SECONDS")
                .default_value("2")
                .help("How long to wait for more when stdin has ended")
                .value_parser(value_parser!(u64).range(0..=86_400)),
        ])
}

/// How a visit to a console ended.
enum End {
    /// The person leaves, or stdin has ended and all was said.
    Left,
    /// The connection broke off.
    Lost(String),
}

async fn console(
    run: &mut Run<'_>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let fleet = Fleet::of(matches)?;
    let device = matches.get_one::<String>("device").map_or("", |it| it);
    let node = matches.get_one::<String>("node").map(String::as_str);
    let node = find(run.model, &fleet, device, node).await?;
    let view = run.model.operation("device_console_view");
    let view = view.ok_or_else(|| Failure::other("this fleet has none"))?;
    let path = format!("{}/stream", view.fill(&[device, &node]));
    let history = matches.get_one::<u32>("history").copied().unwrap_or(0);
    let mut wish = format!("?control=true&history={history}");
    for (flag, word) in [("take", "take"), ("read-only", "readOnly")] {
        if matches.get_flag(flag) {
            wish.extend(["&", word, "=true"]);
        }
    }
    let wait = matches.get_one::<u64>("wait").copied().unwrap_or(2);
    let mut socket = fleet.socket(&format!("{path}{wish}")).await?;
    let raw = Raw::enter()?;
    let mut visit = Visit {
        raw: raw.is_some(),
        read_only: matches.get_flag("read-only"),
        wait: Duration::from_secs(wait),
        keys: keys(),
        over: false,
        ready: false,
        escape: Escape::default(),
        position: None,
    };
    if visit.raw {
        visit.note(&format!("{device} {node}: `~.` leaves, `~?` helps"));
    }
    let done = loop {
        let end = match visit.attend(socket).await {
            Ok(End::Left) => break Ok(()),
            Ok(End::Lost(why)) => why,
            Err(failure) => break Err(failure),
        };
        if !visit.raw {
            let what = format!("the console broke off: {end}");
            break Err(Failure::new(Code::Offline, what));
        }
        visit.note(&format!("{end}; trying again, `~.` leaves"));
        match visit.back(&fleet, &path).await {
            Some(Ok(again)) => socket = again,
            Some(Err(failure)) => break Err(failure),
            None => break Ok(()),
        }
        visit.note("back");
    };
    drop(raw);
    if visit.raw {
        run.screen.note("left the console");
    }
    done
}

/// The system whose console is meant.
async fn find(
    model: &PageModel,
    fleet: &Fleet,
    device: &str,
    node: Option<&str>,
) -> Result<String, Failure> {
    let list = model.operation("device_console_list");
    let list = list.ok_or_else(|| Failure::other("this fleet has none"))?;
    let limit = [("limit".to_owned(), "1000".to_owned())];
    let answer = fleet.call(list, &[device], &limit, None).await?;
    let items = answer.get("items").and_then(Value::as_array);
    let of = |item: &Value, key: &str| {
        item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let ids: Vec<(String, String)> = items
        .into_iter()
        .flatten()
        .map(|item| (of(item, "id"), of(item, "name")))
        .collect();
    let known: Vec<&str> = ids.iter().map(|(id, _)| id.as_str()).collect();
    let known = known.join(", ");
    match (node, &ids[..]) {
        (_, []) => Err(Failure::new(
            Code::NotFound,
            format!("{device} has no serial console"),
        )),
        (None, [(only, _)]) => Ok(only.clone()),
        (None, _) => {
            Err(Failure::usage(format!("{device} has several consoles"))
                .hint(format!("say which: {known}")))
        }
        (Some(node), all) => {
            let found =
                all.iter().find(|(id, name)| id == node || name == node);
            let found = found.map(|(id, _)| id.clone());
            found.ok_or_else(|| {
                let what = format!("{device} has no console of `{node}`");
                Failure::new(Code::NotFound, what)
                    .hint(format!("there are: {known}"))
            })
        }
    }
}

/// What is typed, as it comes; ends with stdin.
fn keys() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(16);
    // It waits for a key, and ends with the process.
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; 4096];
        while let Ok(count @ 1..) = stdin.read(&mut buffer) {
            let bytes = buffer.get(..count).unwrap_or_default().to_vec();
            if sender.blocking_send(bytes).is_err() {
                return;
            }
        }
    });
    receiver
}

type Socket = WebSocketStream<Upgraded>;

#[expect(clippy::struct_excessive_bools, reason = "each is one of two")]
struct Visit {
    /// Stdin is a terminal, which was made raw.
    raw: bool,
    read_only: bool,
    wait: Duration,
    keys: mpsc::Receiver<Vec<u8>>,
    /// Stdin has ended.
    over: bool,
    /// What is typed would arrive.
    ready: bool,
    escape: Escape,
    /// Where what was printed ends.
    position: Option<u64>,
}

impl Visit {
    /// Says something that the far end did not.
    fn note(&self, text: &str) {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        let end = if self.raw { "\r\n" } else { "\n" };
        let begin = if self.raw { "\r\n" } else { "" };
        // That nobody reads it is no failure.
        let _ = write!(std::io::stderr(), "{begin}[onprem: {text}]{end}");
    }

    async fn attend(&mut self, socket: Socket) -> Result<End, Failure> {
        let (mut sink, mut source) = socket.split();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut silent = Instant::now() + self.wait;
        loop {
            tokio::select! {
                message = source.next() => {
                    silent = Instant::now() + self.wait;
                    match message {
                        Some(Ok(message)) => {
                            if let Some(end) = self.hear(message)? {
                                return Ok(end);
                            }
                        }
                        Some(Err(error)) => {
                            return Ok(End::Lost(error.to_string()));
                        }
                        None => {
                            let why = "the connection was lost";
                            return Ok(End::Lost(why.to_owned()));
                        }
                    }
                }
                typed = self.keys.recv(), if self.listens() => {
                    silent = Instant::now() + self.wait;
                    let Some(typed) = typed else {
                        self.over = true;
                        continue;
                    };
                    let Some(bytes) = self.typed(&typed) else {
                        return Ok(End::Left);
                    };
                    if bytes.is_empty() || self.read_only {
                        continue;
                    }
                    let sent = sink.send(Message::binary(bytes)).await;
                    if let Err(error) = sent {
                        return Ok(End::Lost(error.to_string()));
                    }
                }
                () = sleep_until(silent), if self.over => {
                    let _ = sink.send(Message::Close(None)).await;
                    return Ok(End::Left);
                }
                _ = terminate.recv() => return Ok(End::Left),
                _ = hang_up.recv() => return Ok(End::Left),
                _ = interrupt.recv() => return Ok(End::Left),
            }
        }
    }

    /// Whether stdin is read now.
    fn listens(&self) -> bool {
        !self.over && (self.ready || self.raw)
    }

    /// What of what was typed is for the far end; nothing when the person
    /// leaves.
    fn typed(&mut self, typed: &[u8]) -> Option<Vec<u8>> {
        if !self.raw {
            // Lines are ended by the key that ends them.
            let cr = |byte: &u8| if *byte == b'\n' { b'\r' } else { *byte };
            return Some(typed.iter().map(cr).collect());
        }
        let mut bytes = Vec::new();
        for byte in typed {
            match self.escape.take(*byte) {
                Typed::Bytes(some) => bytes.extend(some),
                Typed::Leave => return None,
                Typed::Help => {
                    self.note("~. leaves, ~~ sends ~, ~? says this");
                }
            }
        }
        Some(bytes)
    }

    fn hear(&mut self, message: Message) -> Result<Option<End>, Failure> {
        match message {
            Message::Binary(bytes) => {
                let mut out = std::io::stdout();
                out.write_all(&bytes)?;
                out.flush()?;
                self.position = self.position.map(|at| at + bytes.len() as u64);
            }
            Message::Text(text) => {
                let event = serde_json::from_str(&text).unwrap_or_default();
                self.learn(&event)?;
            }
            Message::Close(frame) => {
                let code = frame.as_ref().map(|it| u16::from(it.code));
                let why = frame.map(|it| it.reason.to_string());
                let why = why.filter(|why| !why.is_empty());
                let why = why.unwrap_or_else(|| "it was closed".to_owned());
                // Policy (RFC 6455, section 7.4.1): coming back is no use.
                if code == Some(1008) {
                    return Err(Failure::new(Code::Denied, why));
                }
                return Ok(Some(End::Lost(why)));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Tells the person what has changed.
    fn learn(&mut self, event: &Value) -> Result<(), Failure> {
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let number = |key: &str| event.get(key).and_then(Value::as_u64);
        if let Some(state) = text("state") {
            self.ready = state == "attached";
            if let (false, Some(why)) = (self.raw, text("reason")) {
                return Err(Failure::new(Code::Offline, why));
            }
        }
        match text("event") {
            Some("opened") => {
                self.position = number("from");
                if event.get("mayType") == Some(&Value::Bool(false)) {
                    self.note("you may look, and not type");
                    self.read_only = true;
                }
                if let Some(why) = text("reason") {
                    self.note(why);
                }
                if let Some(who) = text("writer") {
                    self.note(&format!("{who} types; --take takes over"));
                }
            }
            Some("state") => match (text("state"), text("reason")) {
                (_, Some(why)) => self.note(why),
                (Some("attached"), _) if self.raw => self.note("connected"),
                _ => {}
            },
            Some("writer") => {
                let you = event.get("you") == Some(&Value::Bool(true));
                if let Some(who) = text("who").filter(|_| !you) {
                    self.note(&format!("{who} types now"));
                }
            }
            Some("lost") => {
                let lost = number("bytes").unwrap_or_default();
                self.position = self.position.map(|at| at + lost);
                self.note(&format!("{lost} bytes were lost"));
            }
            Some("power") => {
                if let Some(why) = text("reason") {
                    self.note(why);
                }
            }
            Some("refused") => {
                self.note(text("reason").unwrap_or("it was not sent"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Tries to come back, until it works, cannot, or the person leaves.
    async fn back(
        &mut self,
        fleet: &Fleet,
        path: &str,
    ) -> Option<Result<Socket, Failure>> {
        let mut wait = Duration::from_secs(1);
        loop {
            let until = Instant::now() + wait;
            while let Ok(typed) = timeout_at(until, self.keys.recv()).await {
                // What was typed to nobody is not sent to somebody later.
                match typed {
                    Some(typed) => drop(self.typed(&typed)?),
                    None => return None,
                }
            }
            let mut wish = "?control=true".to_owned();
            if let Some(from) = self.position {
                wish = format!("{wish}&from={from}&history=0");
            }
            if self.read_only {
                wish += "&readOnly=true";
            }
            match fleet.socket(&format!("{path}{wish}")).await {
                Ok(socket) => return Some(Ok(socket)),
                Err(failure) => match failure.code {
                    Code::Denied | Code::Usage | Code::Invalid => {
                        return Some(Err(failure));
                    }
                    _ => wait = (wait * 2).min(SELDOM),
                },
            }
        }
    }
}
