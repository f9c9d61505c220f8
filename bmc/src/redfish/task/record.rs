//! One task, as it is kept.

use chrono::{DateTime, Utc};
use http::StatusCode;
use onprem_redfish::{
    message::{Message, base},
    schema::{resource::Health, task},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::redfish::resource::Caller;

/// Messages that are kept with one task.
const MESSAGES: usize = 32;
/// The largest body of a request that is kept with its task, in bytes.
const PAYLOAD: usize = 16 << 10;

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// It runs.
    Running,
    /// It is done.
    Completed,
    /// It failed.
    Exception,
    /// Somebody stopped it.
    Cancelled,
}

impl State {
    pub(crate) fn typed(self) -> task::TaskState {
        match self {
            Self::Running => task::TaskState::Running,
            Self::Completed => task::TaskState::Completed,
            Self::Exception => task::TaskState::Exception,
            Self::Cancelled => task::TaskState::Cancelled,
        }
    }
}

/// How it goes, or went.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
pub(crate) enum Status {
    /// Well.
    Ok,
    /// With something one should know.
    Warning,
    /// Badly.
    Critical,
}

impl Status {
    pub(crate) fn typed(self) -> Health {
        match self {
            Self::Ok => Health::Ok,
            Self::Warning => Health::Warning,
            Self::Critical => Health::Critical,
        }
    }
}

/// Whom a task belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    name: String,
    /// A local account, as opposed to somebody whom the fleet vouches for.
    local: bool,
    /// Which account it is of those that have or had the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Uuid>,
}

impl Owner {
    /// The service itself.
    pub(crate) fn service() -> Self {
        Self { name: String::new(), local: false, key: None }
    }

    pub(crate) fn is(&self, caller: &Caller) -> bool {
        self.name == caller.name
            && self.local == caller.account
            && self.key == caller.key
            && !self.name.is_empty()
    }
}

impl From<&Caller> for Owner {
    fn from(caller: &Caller) -> Self {
        let Caller { name, account, key, .. } = caller;
        Self { name: name.clone(), local: *account, key: *key }
    }
}

/// The request that started a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Payload {
    pub(crate) target: String,
    pub(crate) method: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Payload {
    /// An action's; none where a secret may be in it, or where it is large.
    pub(crate) fn of_action(target: &str, body: &Value) -> Option<Self> {
        Self::of("POST", target, body)
    }

    /// A PATCH's, on the same conditions.
    pub(crate) fn of_patch(target: &str, body: &Value) -> Option<Self> {
        Self::of("PATCH", target, body)
    }

    fn of(method: &str, target: &str, body: &Value) -> Option<Self> {
        if may_hold_a_secret(body) {
            return None;
        }
        let body = body.to_string();
        (body.len() <= PAYLOAD).then(|| Self {
            target: target.to_owned(),
            method: method.to_owned(),
            headers: vec!["Content-Type: application/json".to_owned()],
            body,
        })
    }
}

/// Is anything named like a secret, or a URI with more than a path?
fn may_hold_a_secret(value: &Value) -> bool {
    const NAMES: [&str; 6] =
        ["password", "passphrase", "secret", "token", "key", "username"];
    match value {
        Value::Object(object) => object.iter().any(|(name, value)| {
            let name = name.to_ascii_lowercase();
            NAMES.iter().any(|it| name.contains(it)) || may_hold_a_secret(value)
        }),
        Value::Array(items) => items.iter().any(may_hold_a_secret),
        Value::String(text) => {
            text.contains("://") && text.contains(['@', '?', '#'])
        }
        _ => false,
    }
}

/// What the operation would have answered, had it not been a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Final {
    pub(crate) status: u16,
    /// Names and values.
    pub(crate) headers: Vec<(String, String)>,
    /// `Null` where there is none.
    pub(crate) body: Value,
}

impl Final {
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// One task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) owner: Owner,
    pub(crate) state: State,
    pub(crate) status: Status,
    pub(crate) percent: u8,
    pub(crate) started: DateTime<Utc>,
    pub(crate) ended: Option<DateTime<Utc>>,
    pub(crate) messages: Vec<Value>,
    pub(crate) payload: Option<Payload>,
    /// The URIs of what it made.
    pub(crate) made: Vec<String>,
    /// Once there is one, and as long as the monitor may be read.
    pub(crate) answer: Option<Final>,
    /// By the monotonic clock; after a restart the time counts anew.
    #[serde(skip)]
    pub(crate) ended_at: Option<Instant>,
    /// When the answer was first fetched.
    #[serde(skip)]
    pub(crate) read_at: Option<Instant>,
    /// Can it still be stopped?
    #[serde(skip)]
    pub(crate) can_be_cancelled: bool,
    /// The process that comes after this one ends it.
    #[serde(skip)]
    pub(crate) handed_over: bool,
}

impl Record {
    pub(crate) fn new(
        id: String,
        name: String,
        owner: Owner,
        payload: Option<Payload>,
    ) -> Self {
        Self {
            id,
            name,
            owner,
            state: State::Running,
            status: Status::Ok,
            percent: 0,
            started: Utc::now(),
            ended: None,
            messages: Vec::new(),
            payload,
            made: Vec::new(),
            answer: None,
            ended_at: None,
            read_at: None,
            can_be_cancelled: true,
            handed_over: false,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Does its monitor still answer?
    pub(crate) fn has_monitor(&self) -> bool {
        self.is_running() || self.answer.is_some()
    }

    pub(crate) fn say(&mut self, message: &Message) {
        let status = match message.severity() {
            "OK" => Status::Ok,
            "Warning" => Status::Warning,
            _ => Status::Critical,
        };
        self.status = self.status.max(status);
        if self.messages.len() >= MESSAGES {
            self.messages.remove(0);
        }
        self.messages.push(message.to_value());
    }

    /// Ends it in `state`, with this answer on its monitor.
    pub(crate) fn end(&mut self, state: State, answer: Option<Final>) {
        self.state = state;
        self.answer = answer;
        self.ended = Some(Utc::now());
        self.ended_at = Some(Instant::now());
        self.can_be_cancelled = false;
        if state == State::Completed {
            self.percent = 100;
        }
    }

    /// The process died, or ends, under it.
    pub(crate) fn interrupt(&mut self) {
        let message = base::operation_failed().resolved_by(
            "The agent was restarted while the task ran: look at how far it \
             came, and start it again.",
        );
        self.say(&message);
        self.status = Status::Critical;
        let answer = Final {
            status: StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
            headers: Vec::new(),
            body: onprem_redfish::message::error(&[message]),
        };
        self.end(State::Exception, Some(answer));
    }
}

/// What an operation that ran as a task led to.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It is done, and there is nothing more to say.
    Done,
    /// It made the resource at this URI.
    Made(String),
    /// The process is about to be replaced; what comes after ends the task.
    Later,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_with_a_secret_is_not_shown() {
        let payload = |body: Value| Payload::of_action("/x", &body);
        assert!(payload(json!({"ImageURI": "http://host/a.img"})).is_some());
        for body in [
            json!({"ImageURI": "http://u:p@host/a.img"}),
            json!({"ImageURI": "http://host/a.img?sig=1"}),
            json!({"Password": "x"}),
            json!({"a": [{"AuthToken": "x"}]}),
            json!({"a": "x".repeat(PAYLOAD)}),
        ] {
            assert!(payload(body.clone()).is_none(), "{body}");
        }
    }
}
