//! What stands in a log.

use chrono::{DateTime, Utc};
use onprem_link::id::Xid;
use onprem_redfish::message::Message;
use serde::{Deserialize, Serialize};

use crate::model::Health;

/// The longest text of an entry, and of anything in it, in bytes.
const LONGEST: usize = 512;
/// The most arguments of a message that are kept.
const ARGUMENTS: usize = 8;

/// How bad it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It is not.
    #[default]
    Ok,
    /// Somebody should look.
    Warning,
    /// Somebody has to act.
    Critical,
}

impl From<Health> for Severity {
    fn from(health: Health) -> Self {
        match health {
            Health::Ok => Self::Ok,
            Health::Warning => Self::Warning,
            Health::Critical => Self::Critical,
        }
    }
}

impl Severity {
    /// The severity of a message in a registry.
    fn of(message: &Message) -> Self {
        match message.severity() {
            "Critical" => Self::Critical,
            "Warning" => Self::Warning,
            _ => Self::Ok,
        }
    }
}

/// Who did it, and how it ended; an entry of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct By {
    /// The account, or the person at the fleet; empty where nobody knows.
    pub(crate) who: String,
    /// `basic`, `session`, `fleet` or `none`.
    pub(crate) via: String,
    /// The address the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// The fleet's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
    pub(crate) method: String,
    pub(crate) uri: String,
    /// How something was to be reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reset: Option<String>,
    pub(crate) status: u16,
}

/// What a sensor or a part did; an entry of the hardware log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// `EntryCode` of `LogEntry`.
    pub(crate) code: String,
    /// `SensorType` of `LogEntry`.
    pub(crate) sensor: String,
    /// `SensorNumber`: the place of the sensor in its chassis, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<u32>,
}

/// A file that belongs to an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    /// What it is called.
    pub(crate) file: Xid,
    /// How long it is.
    pub(crate) bytes: u64,
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Grows by one with each; the log sets it.
    pub(crate) id: u64,
    /// When.
    pub(crate) at: DateTime<Utc>,
    #[serde(default)]
    pub(crate) severity: Severity,
    /// The sentence.
    pub(crate) text: String,
    /// `Base.1.22.Success`, where a registry has the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) arguments: Vec<String>,
    /// The resource it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    /// The part of the program that says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// The event's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none", flatten)]
    pub(crate) by: Option<By>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attachment: Option<Attachment>,
    /// Somebody has seen to it.
    #[serde(default, skip)]
    pub(crate) resolved: bool,
}

impl Entry {
    /// An entry of now.
    pub(crate) fn new(severity: Severity, text: impl Into<String>) -> Self {
        Self {
            id: 0,
            at: Utc::now(),
            severity,
            text: text.into(),
            message: None,
            arguments: Vec::new(),
            origin: None,
            source: None,
            event: None,
            condition: None,
            by: None,
            attachment: None,
            resolved: false,
        }
    }

    /// An entry that says what `message` does.
    pub(crate) fn of(message: &Message) -> Self {
        Self::new(Severity::of(message), message.text()).message(message)
    }

    /// With the id and the arguments of a message in a registry.
    pub(crate) fn message(self, message: &Message) -> Self {
        Self {
            message: Some(message.id().to_owned()),
            arguments: message.arguments().to_vec(),
            ..self
        }
    }

    /// About the resource at `uri`.
    pub(crate) fn origin(self, uri: &str) -> Self {
        Self { origin: Some(uri.to_owned()), ..self }
    }

    /// Said by this part of the program.
    pub(super) fn source(self, name: &str) -> Self {
        Self { source: Some(name.to_owned()), ..self }
    }

    /// Sent as the event `id`.
    pub(crate) fn event(self, id: u64) -> Self {
        Self { event: Some(id), ..self }
    }

    /// What somebody asked for.
    pub(crate) fn by(self, by: By) -> Self {
        Self { by: Some(by), ..self }
    }

    /// What a part did.
    pub(crate) fn condition(self, condition: Condition) -> Self {
        Self { condition: Some(condition), ..self }
    }

    /// Cuts what is too long, so that an entry has a bound.
    pub(super) fn bounded(mut self) -> Self {
        self.arguments.truncate(ARGUMENTS);
        let by = self.by.iter_mut();
        let of_by = by.flat_map(|by| {
            let texts = [&mut by.who, &mut by.method, &mut by.uri];
            texts.into_iter().chain(by.request.as_mut())
        });
        let texts = self.arguments.iter_mut().chain([&mut self.text]);
        let texts = texts.chain(self.origin.as_mut()).chain(of_by);
        for text in texts {
            text.truncate(text.floor_char_boundary(LONGEST));
        }
        self
    }
}
