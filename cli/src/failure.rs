//! What went wrong, and the exit code that says so.

use std::{error::Error, fmt, io};

use http::StatusCode;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The reader of our output has gone; nothing is wrong.
    Quiet = 0,
    Other = 1,
    Usage = 2,
    Invalid = 3,
    NotFound = 4,
    Conflict = 5,
    Denied = 6,
    Offline = 7,
    Partial = 8,
}

impl Code {
    /// What an answer with this status means.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            400 | 413 | 415 | 422 => Self::Invalid,
            401 | 403 => Self::Denied,
            404 => Self::NotFound,
            409 | 412 | 428 => Self::Conflict,
            408 | 502..=504 => Self::Offline,
            _ => Self::Other,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) request_id: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, request_id: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::new(Code::Other, message)
    }

    /// `error` with all its causes, after what was attempted.
    pub(crate) fn because(what: &str, error: &(dyn Error + 'static)) -> Self {
        Self::other(format!("{what}: {}", chain(error)))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Several failures as one: their code if all agree and nothing
    /// succeeded, else partial.
    pub(crate) fn of_many(failed: &[(String, Failure)], all: usize) -> Self {
        let first = failed.first().map_or(Code::Other, |(_, f)| f.code);
        let agree = failed.iter().all(|(_, f)| f.code == first);
        let code =
            if agree && failed.len() == all { first } else { Code::Partial };
        let hint = failed.first().and_then(|(_, f)| f.hint.clone());
        let hint = hint.filter(|_| agree);
        let message = format!("{} of {all} failed", failed.len());
        Self { hint, ..Self::new(code, message) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::BrokenPipe => Code::Quiet,
            _ => Code::Other,
        };
        Self::new(code, error.to_string())
    }
}

/// An error with all its causes on one line; a cause that the text before it
/// ends with is not said twice.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
