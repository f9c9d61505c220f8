//! The person's terminal, which sends each key as it is pressed.

use std::io::{self, IsTerminal as _, Stdin};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// A terminal that is raw until this is dropped.
#[derive(Debug)]
pub(super) struct Raw {
    stdin: Stdin,
    before: Termios,
}

impl Raw {
    /// Makes the terminal raw, if stdin is one.
    pub(super) fn enter() -> Result<Option<Self>, Failure> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let change = |error: rustix::io::Errno| {
            Failure::because("cannot use the terminal", &error)
        };
        let before = tcgetattr(&stdin).map_err(change)?;
        let mut raw = before.clone();
        raw.make_raw();
        let raw = tcsetattr(&stdin, OptionalActions::Drain, &raw);
        raw.map_err(change)?;
        Ok(Some(Self { stdin, before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing.
        let before = &self.before;
        let _ = tcsetattr(&self.stdin, OptionalActions::Drain, before);
    }
}
