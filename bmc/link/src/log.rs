//! How every process logs: to stderr, as text or JSON lines.

use std::{
    error::Error,
    fmt::{self, Write as _},
    io,
    sync::{Arc, LazyLock},
};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, filter::Targets, layer::Context, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// How many lines a listener may be behind.
const LINES: usize = 256;

/// Who listens to the lines.
static LISTENERS: LazyLock<broadcast::Sender<Arc<Line>>> =
    LazyLock::new(|| broadcast::channel(LINES).0);

/// A line of the log, for who listens in the process itself.
#[derive(Debug)]
pub struct Line {
    /// How bad it is.
    pub level: Level,
    /// The part of the program that says it.
    pub target: String,
    /// The text, with its fields behind it.
    pub text: String,
}

/// What is logged from now on, as far as the filter lets it pass.
#[must_use]
pub fn lines() -> broadcast::Receiver<Arc<Line>> {
    LISTENERS.subscribe()
}

/// How log lines look.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to stderr. `filter` is a directive such as `info` or
/// `info,onprem_bmc=debug`.
///
/// # Errors
/// The filter cannot be read.
pub fn start(
    filter: &str,
    format: Format,
) -> Result<(), tracing_subscriber::filter::ParseError> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    let log = tracing_subscriber::registry()
        .with(filter.parse::<Targets>()?)
        .with(Listened);
    match format {
        Format::Text => log.with(lines).init(),
        Format::Json => log.with(lines.json()).init(),
    }
    Ok(())
}

/// Hands lines to who listens.
struct Listened;

impl<S: Subscriber> Layer<S> for Listened {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if LISTENERS.receiver_count() == 0 {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let about = event.metadata();
        // It may be that nobody listens any more.
        let _ = LISTENERS.send(Arc::new(Line {
            level: *about.level(),
            target: about.target().to_owned(),
            text: text.message + &text.fields,
        }));
    }
}

/// The text of a line.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// An error with all its causes on one line: `cannot load: not found`.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
