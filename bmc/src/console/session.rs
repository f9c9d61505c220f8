//! One who looks at a console, over a WebSocket (RFC 6455).
//!
//! Binary messages are what the far end says, and what is typed: a terminal
//! that knows nothing else works. Who asks for `control` gets what is said
//! about the console as text messages with JSON, and may send such; else it
//! stands between brackets in what the far end says.

use std::{collections::VecDeque, io, time::Duration};

use bytes::Bytes;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{
            CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode,
        },
    },
};
use tokio_util::sync::CancellationToken;

use super::{Attached, Seat, lease::Typing, line::RING};

/// The largest message of a client.
const MESSAGE: usize = 64 << 10;
/// The largest message to a client.
const CHUNK: usize = 8 << 10;
/// How often rights are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// A client that is silent for so long is asked whether it is there.
const PING: Duration = Duration::from_secs(20);
/// A client that is silent for so long is gone.
const GONE: Duration = Duration::from_mins(1);
/// A client that does not take what it is sent for so long is cut off.
const STALLED: Duration = Duration::from_secs(30);

/// What somebody may do with a console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rights {
    /// Nothing, or nothing any more.
    None,
    /// See what comes.
    Look,
    /// Also type.
    Type,
}

/// Who looks.
pub(crate) struct Guest {
    /// What others are told.
    pub(crate) who: String,
    /// What they may do now.
    pub(crate) rights: Box<dyn Fn() -> Rights + Send + Sync>,
    /// Whether the system is off now, as far as anyone can tell.
    pub(crate) off: Box<dyn Fn() -> bool + Send + Sync>,
    /// Notes for good what they do.
    pub(crate) note: Box<dyn Fn(String) + Send + Sync>,
}

/// How somebody looks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// What is said about the console comes as JSON.
    pub(crate) control: bool,
    /// Without ever typing.
    pub(crate) read_only: bool,
    /// The right to type is taken from who has it.
    pub(crate) take: bool,
    /// How many bytes of what came before are sent first.
    pub(crate) history: usize,
    /// Where to go on; what came before is then sent from there.
    pub(crate) from: Option<u64>,
}

/// What a client that asks for `control` may send as text.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Order {
    take: bool,
    release: bool,
}

/// Something about the console.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Remark {
    State(Attached),
    Writer {
        who: Option<String>,
        you: bool,
    },
    Lost(u64),
    Refused(String),
    /// The system is off, or is not any more.
    Power {
        off: bool,
    },
}

impl Remark {
    fn json(&self) -> Value {
        match self {
            Self::State(state) => said(state, "state").into(),
            Self::Writer { who, you } => {
                json!({"event": "writer", "who": who, "you": you})
            }
            Self::Lost(bytes) => json!({"event": "lost", "bytes": bytes}),
            Self::Refused(why) => json!({"event": "refused", "reason": why}),
            Self::Power { off } => {
                json!({"event": "power", "off": off, "reason": power(*off)})
            }
        }
    }

    /// The same in the midst of what the far end says.
    fn text(&self) -> String {
        let text = match self {
            Self::State(Attached::Yes) => "the console is open".to_owned(),
            Self::State(Attached::OnDemand) => {
                "the console is about to be opened".to_owned()
            }
            Self::State(Attached::No(why)) => why.to_string(),
            Self::Writer { who: Some(who), .. } => format!("{who} types now"),
            Self::Writer { who: None, .. } => "nobody types now".to_owned(),
            Self::Lost(bytes) => format!("{bytes} bytes were lost"),
            Self::Refused(why) => why.clone(),
            Self::Power { off } => power(*off).to_owned(),
        };
        format!("\r\n[on-prem: {text}]\r\n")
    }
}

/// Why nothing comes, or that something may.
fn power(off: bool) -> &'static str {
    if off {
        "the system is off: what it says comes when it is on"
    } else {
        "the system is on"
    }
}

/// What a client is told of the state, as this event.
fn said(state: &Attached, event: &str) -> Map<String, Value> {
    let (word, reason) = match state {
        Attached::Yes => ("attached", None),
        Attached::OnDemand => ("opening", None),
        Attached::No(why) => ("detached", Some(&**why)),
    };
    let mut said = Map::new();
    said.insert("event".to_owned(), event.into());
    said.insert("state".to_owned(), word.into());
    if let Some(reason) = reason {
        said.insert("reason".to_owned(), reason.into());
    }
    said
}

type Sink<S> = SplitSink<WebSocketStream<S>, Message>;

/// Serves `guest` on `io`, at the place `seat`, until one of them leaves or
/// `stop`.
pub(crate) async fn attend<S: AsyncRead + AsyncWrite + Unpin>(
    io: S,
    seat: Seat,
    guest: Guest,
    manner: Manner,
    stop: CancellationToken,
) {
    let config = WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    let socket =
        WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (sink, source) = socket.split();
    let position = seat.line().start(manner.history.min(RING), manner.from);
    let system = &seat.console.system;
    (guest.note)(format!("{} looks at the console of {system}", guest.who));
    let mut session = Session {
        changed: 0,
        writer: None,
        told: false,
        off: false,
        pending: VecDeque::new(),
        seat,
        guest,
        manner,
        sink,
        position,
    };
    let code = session.run(source, &stop).await;
    let (code, why) = code.unwrap_or((CloseCode::Error, ""));
    let close = CloseFrame { code, reason: why.into() };
    // Who is gone hears nothing more.
    let closing = session.sink.send(Message::Close(Some(close)));
    let _ = timeout(LOOK, closing).await;
    let Session { seat, guest, .. } = session;
    let system = &seat.console.system;
    (guest.note)(format!("{} leaves the console of {system}", guest.who));
}

struct Session<S> {
    seat: Seat,
    guest: Guest,
    manner: Manner,
    sink: Sink<S>,
    /// What was sent so far.
    position: u64,
    /// How many changes of what is at the far end the client knows.
    changed: u64,
    writer: Option<(u64, String)>,
    /// It was told that another one types.
    told: bool,
    /// It was told that the system is off.
    off: bool,
    /// What waits until the line takes it.
    pending: VecDeque<u8>,
}

/// Why it ends.
type End = (CloseCode, &'static str);

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn run(
        &mut self,
        mut source: SplitStream<WebSocketStream<S>>,
        stop: &CancellationToken,
    ) -> Result<End, Error> {
        let mut news = self.seat.line().news();
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut asked = heard;
        self.greet().await?;
        loop {
            news.borrow_and_update();
            self.look().await?;
            self.push().await?;
            let more = self.bring().await?;
            let listens = self.pending.is_empty();
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    return Ok((CloseCode::Away, "the agent stops"));
                }
                // Before what comes: no flood of it puts off this look.
                _ = tick.tick() => {
                    match (self.guest.rights)() {
                        Rights::None => {
                            let why = "you may not look at it any more";
                            return Ok((CloseCode::Policy, why));
                        }
                        Rights::Look => self.demote(),
                        Rights::Type => {}
                    }
                    let now = Instant::now();
                    if listens && now - heard >= GONE {
                        return Ok((CloseCode::Away, "nothing was heard"));
                    }
                    if now - heard >= PING && now - asked >= PING {
                        asked = now;
                        self.send(Message::Ping(Bytes::new())).await?;
                    }
                }
                message = source.next(), if listens => {
                    heard = Instant::now();
                    match message {
                        None => return Ok((CloseCode::Normal, "")),
                        Some(message) => if let Some(end) =
                            self.take(message).await? { return Ok(end) },
                    }
                }
                changed = news.changed(), if !more => if changed.is_err() {
                    return Ok((CloseCode::Away, "the console is gone"));
                },
                () = std::future::ready(()), if more => {}
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Error> {
        let sent = timeout(STALLED, self.sink.send(message)).await;
        sent.unwrap_or_else(|_| Err(Error::Io(io::ErrorKind::TimedOut.into())))
    }

    async fn remark(&mut self, remark: Remark) -> Result<(), Error> {
        let message = if self.manner.control {
            Message::text(remark.json().to_string())
        } else {
            Message::binary(remark.text().into_bytes())
        };
        self.send(message).await
    }

    fn rights(&self) -> Rights {
        let rights = (self.guest.rights)();
        let most =
            if self.manner.read_only { Rights::Look } else { Rights::Type };
        rights.min(most)
    }

    async fn greet(&mut self) -> Result<(), Error> {
        let (state, changed) = self.seat.line().state();
        self.changed = changed;
        if self.manner.control {
            let console = &self.seat.console;
            let mut greeting = said(&state, "opened");
            let may = self.rights() == Rights::Type;
            greeting.insert("system".to_owned(), (*console.system).into());
            greeting.insert("from".to_owned(), self.position.into());
            greeting.insert("mayType".to_owned(), may.into());
            greeting.insert("writer".to_owned(), console.writer().into());
            let greeting = Value::from(greeting);
            self.send(Message::text(greeting.to_string())).await?;
        } else if let Attached::No(_) = state {
            self.remark(Remark::State(state)).await?;
        }
        if self.manner.take {
            self.take_over().await?;
        }
        Ok(())
    }

    /// Says what has changed about the console.
    async fn look(&mut self) -> Result<(), Error> {
        let (new, known) = self.seat.line().changes(self.changed);
        self.changed = known;
        for state in new {
            // What waited was meant for what is gone.
            self.pending.clear();
            self.remark(Remark::State(state)).await?;
        }
        let off = (self.guest.off)();
        if off != self.off {
            self.off = off;
            self.remark(Remark::Power { off }).await?;
        }
        let console = &self.seat.console;
        let writer = console.lease().writer(Instant::now());
        if writer == self.writer {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.writer, writer);
        self.told = false;
        let number = self.seat.number;
        let held = before.is_some_and(|(before, _)| before == number);
        let (you, who) = match &self.writer {
            Some((now, who)) => (*now == number, Some(who.clone())),
            None => (false, None),
        };
        if held && !you {
            self.pending.clear();
        }
        // Without control, only who loses the right hears of it.
        if self.manner.control || (held && !you && who.is_some()) {
            self.remark(Remark::Writer { who, you }).await?;
        }
        Ok(())
    }

    /// Types what waits, as far as the line takes it.
    async fn push(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let typed = self.seat.line().type_in(self.pending.make_contiguous());
        match typed {
            Ok(count) => {
                self.pending.drain(..count);
                Ok(())
            }
            Err(refused) => {
                self.pending.clear();
                self.remark(Remark::Refused(refused.to_string())).await
            }
        }
    }

    /// Sends some of what came; whether there is more.
    async fn bring(&mut self) -> Result<bool, Error> {
        let (lost, bytes) = self.seat.line().after(self.position, CHUNK);
        if lost > 0 {
            self.position += lost;
            self.remark(Remark::Lost(lost)).await?;
        }
        if bytes.is_empty() {
            return Ok(false);
        }
        self.position += bytes.len() as u64;
        self.send(Message::binary(bytes)).await?;
        Ok(true)
    }

    /// Takes a message of the client.
    async fn take(
        &mut self,
        message: Result<Message, Error>,
    ) -> Result<Option<End>, Error> {
        match message {
            Ok(Message::Text(text)) if self.manner.control => {
                let Ok(order) = serde_json::from_str::<Order>(&text) else {
                    let why = "`take` and `release` can be asked for";
                    return Ok(Some((CloseCode::Unsupported, why)));
                };
                if order.take {
                    self.take_over().await?;
                }
                if order.release {
                    self.seat.console.lease().leave(self.seat.number);
                    self.seat.line().tell();
                }
            }
            Ok(Message::Text(text)) => self.typed(text.as_bytes()).await?,
            Ok(Message::Binary(bytes)) => self.typed(&bytes).await?,
            Ok(Message::Close(_))
            | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                return Ok(Some((CloseCode::Normal, "")));
            }
            Ok(_) => {}
            Err(Error::Capacity(_)) => {
                let why = "a message has 64 KiB at most";
                return Ok(Some((CloseCode::Size, why)));
            }
            Err(Error::Protocol(_)) => {
                let why = "this is no frame of a WebSocket client";
                return Ok(Some((CloseCode::Protocol, why)));
            }
            Err(Error::Utf8(_)) => {
                let why = "this is no text";
                return Ok(Some((CloseCode::Invalid, why)));
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    /// What was typed with a right that is gone is given up, and so is the
    /// place.
    fn demote(&mut self) {
        self.seat.demote();
        if self.seat.console.lease().leave(self.seat.number) {
            self.pending.clear();
            self.seat.line().tell();
        }
    }

    async fn may_type(&mut self) -> Result<bool, Error> {
        if self.rights() == Rights::Type {
            return Ok(true);
        }
        if !self.told {
            self.told = true;
            let why = "you may look, and not type";
            self.remark(Remark::Refused(why.to_owned())).await?;
        }
        Ok(false)
    }

    async fn typed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() || !self.may_type().await? {
            return Ok(());
        }
        let (number, console) = (self.seat.number, &self.seat.console);
        let who = &self.guest.who;
        let asked = console.lease().ask(number, who, Instant::now());
        match asked {
            Ok(typing) => {
                if typing == Typing::New {
                    let system = &console.system;
                    (self.guest.note)(format!(
                        "{who} types on the console of {system}"
                    ));
                    self.seat.line().tell();
                }
                self.pending.extend(bytes);
                Ok(())
            }
            Err(other) if !self.told => {
                self.told = true;
                let why = format!("nothing was sent: {other} types");
                self.remark(Remark::Refused(why)).await
            }
            Err(_) => Ok(()),
        }
    }

    /// Takes the right to type from who has it, and the line from another
    /// console.
    async fn take_over(&mut self) -> Result<(), Error> {
        if !self.may_type().await? {
            return Ok(());
        }
        let (number, console) = (self.seat.number, &self.seat.console);
        let who = &self.guest.who;
        let now = Instant::now();
        let mut lease = console.lease();
        let before = lease.holder(now).filter(|(other, _)| *other != number);
        let before = before.map(|(_, who)| who.to_owned());
        lease.take(number, who, now);
        drop(lease);
        let system = &console.system;
        let from = before.map(|it| format!(", taken from {it}"));
        let from = from.unwrap_or_default();
        (self.guest.note)(format!(
            "{who} types on the console of {system}{from}"
        ));
        self.seat.line().insist();
        self.seat.line().tell();
        Ok(())
    }
}
