//! What a page says when the API refuses.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::api::{Reply, Unreachable};
use super::page::Frame;

/// Why an operation was not done.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    /// The field it is about, as a JSON pointer.
    pub(crate) pointer: Option<String>,
    pub(crate) request_id: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: &str) -> Self {
        Self {
            status,
            code: String::new(),
            message: message.to_owned(),
            pointer: None,
            request_id: None,
        }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such page")
    }

    /// The one who asks has to sign in first.
    pub(crate) fn asks_for_login(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// The device, not the fleet, cannot answer now.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::BAD_GATEWAY
                | StatusCode::GATEWAY_TIMEOUT
        )
    }

    /// The refusal as the API says it.
    pub(crate) fn as_json(&self) -> Value {
        serde_json::json!({
            "error_code": self.code,
            "message": self.message,
            "pointer": self.pointer,
            "request_id": self.request_id,
        })
    }

    /// The message as a sentence.
    pub(crate) fn sentence(&self) -> String {
        if self.message.is_empty() {
            return "The server gave no reason.".to_owned();
        }
        sentence(&self.message)
    }
}

/// A message as a sentence.
pub(crate) fn sentence(message: &str) -> String {
    let message = quoted(message);
    let mut letters = message.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let mut text: String = first.chain(letters).collect();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

/// The API sets names in backticks; people set them in quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        match index % 2 {
            _ if index == 0 => {}
            1 => out.push('“'),
            _ => out.push('”'),
        }
        out.push_str(part);
    }
    out
}

impl From<&Reply> for Refusal {
    fn from(reply: &Reply) -> Self {
        let body = reply.json();
        let text = |names: &[&str]| {
            names.iter().find_map(|name| {
                body.get(name).and_then(Value::as_str).map(str::to_owned)
            })
        };
        Self {
            status: reply.status,
            code: text(&["code", "error_code"]).unwrap_or_default(),
            message: text(&["message"]).unwrap_or_else(|| {
                reply.status.canonical_reason().unwrap_or_default().to_owned()
            }),
            pointer: text(&["pointer"]).filter(|text| !text.is_empty()),
            request_id: text(&["request_id", "requestId"]),
        }
    }
}

impl From<Unreachable> for Refusal {
    fn from(error: Unreachable) -> Self {
        tracing::warn!(
            error = %onprem_link::log::Chain(&error),
            "the console cannot ask the API"
        );
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the fleet's API does not answer right now",
        )
    }
}

/// The page instead of the one that was asked for.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    pub(crate) frame: Frame,
    status: u16,
    message: String,
    request_id: Option<String>,
    back: String,
    back_title: String,
    retry: bool,
}

impl ErrorPage {
    pub(crate) fn new(mut frame: Frame, refusal: &Refusal) -> Self {
        let (title, retry) = match refusal.status {
            StatusCode::NOT_FOUND => ("Not found", false),
            StatusCode::FORBIDDEN => ("Not allowed", false),
            StatusCode::TOO_MANY_REQUESTS => ("Too many requests", true),
            status if status.is_server_error() => ("Not available", true),
            _ => ("This did not work", false),
        };
        title.clone_into(&mut frame.title);
        let (back, back_title) = frame.crumbs.last().map_or_else(
            || ("/".to_owned(), "Go to the overview".to_owned()),
            |crumb| (crumb.href.clone(), format!("Back to {}", crumb.title)),
        );
        Self {
            frame,
            status: refusal.status.as_u16(),
            message: refusal.sentence(),
            request_id: refusal.request_id.clone(),
            back,
            back_title,
            retry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_a_sentence() {
        let sentence =
            |text: &str| Refusal::new(StatusCode::NOT_FOUND, text).sentence();
        assert_eq!(
            sentence("no device named `blade-7`"),
            "No device named “blade-7”."
        );
        assert_eq!(sentence("is it on?"), "Is it on?");
    }
}
