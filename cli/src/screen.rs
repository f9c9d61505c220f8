//! Where output goes: data to stdout, everything else to stderr.

use std::{
    env,
    io::{self, IsTerminal as _, Read as _, Write},
};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcgetwinsize,
    tcsetattr,
};

use crate::failure::{Failure, chain};

/// What a terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;

/// The two streams and what is known of the reader.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what a terminal can do are facts of their own"
)]
pub(crate) struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// Where answers to questions come from.
    input: Box<dyn io::BufRead>,
    /// Columns of the terminal that data goes to; none when piped.
    pub(crate) width: Option<usize>,
    /// Data may be coloured.
    pub(crate) colour: bool,
    /// Notes may be overwritten as things go on.
    pub(crate) progress: bool,
    /// Somebody can answer questions.
    pub(crate) interactive: bool,
    /// A line of progress stands there.
    pending: bool,
}

impl Screen {
    pub(crate) fn of_process() -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let width = terminal
            .then(|| tcgetwinsize(&stdout).ok())
            .flatten()
            .map(|size| usize::from(size.ws_col))
            .filter(|width| *width > 0);
        let plain = env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            out: Box::new(io::BufWriter::new(stdout)),
            err: Box::new(io::stderr()),
            input: Box::new(io::BufReader::with_capacity(1, io::stdin())),
            width,
            colour: terminal && !plain,
            progress: io::stderr().is_terminal(),
            interactive: io::stdin().is_terminal()
                && io::stderr().is_terminal(),
            pending: false,
        }
    }

    /// A screen that keeps what is written, for tests.
    #[cfg(test)]
    pub(crate) fn kept(out: Box<dyn Write>, err: Box<dyn Write>) -> Self {
        Self {
            out,
            err,
            input: Box::new(io::empty()),
            width: None,
            colour: false,
            progress: false,
            interactive: false,
            pending: false,
        }
    }

    /// The same with a person who answers this.
    #[cfg(test)]
    pub(crate) fn answering(self, text: &str) -> Self {
        let input = Box::new(io::Cursor::new(text.as_bytes().to_vec()));
        Self { input, interactive: true, ..self }
    }

    /// Writes a line of data; `text` may colour it.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Writes data as it is.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.out.write_all(bytes)?)
    }

    /// Makes sure that the data is out.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    /// Tells the person something. That nobody reads it is no failure.
    pub(crate) fn note(&mut self, text: &str) {
        self.clear();
        for line in text.lines() {
            let _ = writeln!(self.err, "{}", plain(line));
        }
    }

    /// Tells how far things are, in place of the last such line.
    pub(crate) fn progress(&mut self, text: &str) {
        if self.progress {
            let _ = write!(self.err, "\r\x1b[K{}", plain(text));
            let _ = self.err.flush();
            self.pending = true;
        }
    }

    fn clear(&mut self) {
        if self.pending {
            let _ = write!(self.err, "\r\x1b[K");
            self.pending = false;
        }
    }

    /// Asks for a word.
    pub(crate) fn ask(&mut self, question: &str) -> Result<String, Failure> {
        Ok(self.line(question)?.trim().to_owned())
    }

    /// Asks for a line.
    fn line(&mut self, question: &str) -> Result<String, Failure> {
        self.clear();
        let _ = write!(self.err, "{question}");
        let _ = self.err.flush();
        let mut line = Vec::new();
        for byte in self.input.by_ref().bytes() {
            match byte? {
                b'\n' => break,
                CTRL_C => return Err(Failure::other("nothing was done")),
                byte => line.push(byte),
            }
        }
        String::from_utf8(line)
            .map_err(|_| Failure::usage("what was entered is no text"))
    }

    /// Asks for a line that is not shown.
    pub(crate) fn ask_secret(
        &mut self,
        question: &str,
    ) -> Result<String, Failure> {
        let stdin = io::stdin();
        let told = |error: rustix::io::Errno| {
            Failure::because("cannot ask for the secret", &error)
        };
        let before = tcgetattr(&stdin).map_err(told)?;
        let mut quiet = before.clone();
        // Ctrl-C ends the line instead of us: the terminal is to be left as
        // it was.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(&stdin, OptionalActions::Flush, &quiet).map_err(told)?;
        let answer = self.line(question);
        tcsetattr(&stdin, OptionalActions::Flush, &before).map_err(told)?;
        let _ = writeln!(self.err);
        answer
    }

    /// Tells what went wrong: one line, then what may help.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        self.note(&format!("error: {}", chain(failure)));
        if let Some(hint) = &failure.hint {
            self.note(&format!("hint: {hint}"));
        }
        if let Some(id) = &failure.request_id {
            self.note(&format!("request id: {id}"));
        }
    }
}

/// Whether a character steers a terminal, or turns the order of those after it.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}')
}

/// `text` on one line, with nothing in it that steers the terminal: it may come
/// from a machine.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}
