//! A simulated computer as its serial console shows it: it starts, asks who
//! one is, and knows a few commands.

use std::{collections::VecDeque, fmt, time::Duration};

use tokio::time::Instant;

use super::serial::SerialPart;

/// What a start says, and how long after the power came.
const START: [(u64, &str); 9] = [
    (0, "U-Boot 2024.01 (Apr 15 2024 - 09:12:44 +0000)"),
    (80, "DRAM:  8 GiB"),
    (160, "Starting kernel ..."),
    (240, "[    0.000000] Booting Linux on physical CPU 0x0"),
    (320, "[    0.000000] Linux version 6.12.47+rpt-rpi-v8"),
    (480, "[    0.412031] printk: console [ttyAMA0] enabled"),
    (640, "[    1.730114] EXT4-fs (mmcblk0p2): mounted filesystem"),
    (800, "[    2.201870] systemd[1]: Reached target multi-user.target"),
    (900, ""),
];
/// When it asks who one is.
const READY: Duration = Duration::from_secs(1);
/// How often it is looked whether there is power.
const LOOK: Duration = Duration::from_millis(100);
/// The longest line, and what is not read and still kept.
const LINE: usize = 256;
const UNREAD: usize = 64 << 10;

type Probe = Box<dyn Fn() -> bool + Send>;

/// A computer as its serial console shows it.
pub struct Terminal {
    host: String,
    /// What says whether it has power, and when it was last asked.
    power: Option<(Probe, Instant)>,
    on: bool,
    /// When the power came, and how much of the start was said since.
    began: Instant,
    said: usize,
    state: State,
    user: String,
    line: Vec<u8>,
    out: VecDeque<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Login,
    Password,
    Shell,
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal")
            .field("host", &self.host)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Terminal {
    /// The computer `host`, whose power has just come.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            power: None,
            on: true,
            began: Instant::now(),
            said: 0,
            state: State::Starting,
            user: String::new(),
            line: Vec::new(),
            out: VecDeque::new(),
        }
    }

    /// The same with its power as `probe` says.
    #[must_use]
    pub fn powered_by(
        mut self,
        probe: impl Fn() -> bool + Send + 'static,
    ) -> Self {
        self.power = Some((Box::new(probe), Instant::now()));
        self
    }

    /// Gives it power, or takes it.
    pub fn switch(&mut self, on: bool) {
        if on == self.on {
            return;
        }
        self.on = on;
        self.start();
    }

    fn start(&mut self) {
        self.began = Instant::now();
        self.said = 0;
        self.state = State::Starting;
        self.line.clear();
    }

    /// Lets time go by.
    fn advance(&mut self) {
        let now = Instant::now();
        let on = self.power.as_mut().and_then(|(probe, asked)| {
            let due = now - *asked >= LOOK;
            due.then(|| {
                *asked = now;
                probe()
            })
        });
        if let Some(on) = on {
            self.switch(on);
        }
        if !self.on || self.state != State::Starting {
            return;
        }
        let age = now - self.began;
        while let Some((at, text)) = START.get(self.said)
            && age >= Duration::from_millis(*at)
        {
            self.said += 1;
            self.say(text);
            self.say("\r\n");
        }
        if age >= READY {
            self.state = State::Login;
            let host = self.host.clone();
            self.say(&format!("Debian GNU/Linux 12 {host} ttyAMA0\r\n\r\n"));
            self.prompt();
        }
    }

    fn say(&mut self, text: &str) {
        let room = UNREAD.saturating_sub(self.out.len());
        self.out.extend(text.bytes().take(room));
    }

    fn prompt(&mut self) {
        let (host, user) = (&self.host, &self.user);
        let text = match self.state {
            State::Starting => String::new(),
            State::Login => format!("{host} login: "),
            State::Password => "Password: ".to_owned(),
            State::Shell => format!("{user}@{host}:~$ "),
        };
        self.say(&text);
    }

    fn take(&mut self, byte: u8) {
        if self.state == State::Starting {
            return;
        }
        let shown = self.state != State::Password;
        match byte {
            b'\r' | b'\n' => {
                self.say("\r\n");
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                self.enter(&line);
                self.prompt();
            }
            0x08 | 0x7f => {
                let gone = self.line.pop().is_some();
                if gone && shown {
                    self.say("\x08 \x08");
                }
            }
            0x03 => {
                self.say("^C\r\n");
                self.line.clear();
                self.prompt();
            }
            0x04 if self.line.is_empty() && self.state == State::Shell => {
                self.say("logout\r\n");
                self.state = State::Login;
                self.prompt();
            }
            0x20.. if self.line.len() < LINE => {
                self.line.push(byte);
                if shown && self.out.len() < UNREAD {
                    self.out.push_back(byte);
                }
            }
            _ => {}
        }
    }

    fn enter(&mut self, line: &str) {
        match self.state {
            State::Starting => {}
            State::Login if line.is_empty() => {}
            State::Login => {
                line.clone_into(&mut self.user);
                self.state = State::Password;
            }
            // A simulated computer has nothing to hide.
            State::Password => self.state = State::Shell,
            State::Shell => self.run(line),
        }
    }

    fn run(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let host = self.host.clone();
        match word {
            "" => {}
            "help" => self.say(
                "dmesg, echo, exit, help, hostname, reboot, uname, uptime\r\n",
            ),
            "echo" => self.say(&format!("{rest}\r\n")),
            "hostname" => self.say(&format!("{host}\r\n")),
            "uname" => self.say(&format!("Linux {host} 6.12.47 aarch64\r\n")),
            "uptime" => {
                let seconds = self.began.elapsed().as_secs();
                self.say(&format!("up {seconds} s\r\n"));
            }
            "dmesg" => {
                for (_, text) in START.iter().filter(|it| it.1.starts_with('['))
                {
                    self.say(&format!("{text}\r\n"));
                }
            }
            "exit" | "logout" => self.state = State::Login,
            "reboot" => {
                self.say("The system will reboot now!\r\n");
                self.start();
            }
            _ => self.say(&format!("-bash: {word}: command not found\r\n")),
        }
    }
}

impl SerialPart for Terminal {
    fn receive(&mut self, bytes: &[u8]) {
        self.advance();
        for byte in
            bytes.iter().filter(|_| self.on).copied().collect::<Vec<_>>()
        {
            self.take(byte);
        }
    }

    fn send(&mut self) -> Vec<u8> {
        self.advance();
        self.out.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(terminal: &mut Terminal) -> String {
        String::from_utf8(terminal.send()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_starts_asks_who_one_is_and_obeys() {
        let mut terminal = Terminal::new("a1");
        assert!(said(&mut terminal).starts_with("U-Boot"));
        terminal.receive(b"too early");
        tokio::time::advance(READY).await;
        assert!(said(&mut terminal).ends_with("\r\na1 login: "));
        terminal.receive(b"pj\x7fi\r");
        assert_eq!(said(&mut terminal), "pj\x08 \x08i\r\nPassword: ");
        terminal.receive(b"secret\r");
        assert_eq!(said(&mut terminal), "\r\npi@a1:~$ ");
        terminal.receive(b"echo a b\r");
        assert_eq!(said(&mut terminal), "echo a b\r\na b\r\npi@a1:~$ ");
        terminal.switch(false);
        terminal.receive(b"echo\r");
        assert_eq!(said(&mut terminal), "");
        terminal.switch(true);
        assert!(said(&mut terminal).starts_with("U-Boot"));
    }
}
