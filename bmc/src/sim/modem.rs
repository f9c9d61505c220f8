//! A simulated cellular modem: it answers `AT` commands as its maker has them,
//! and says things by itself.

use super::serial::SerialPart;

/// Who made it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Maker {
    /// An EC25.
    Quectel,
    /// An LE910C4.
    Telit,
    /// A PLS83.
    Thales,
}

/// The modem.
#[derive(Clone, Debug)]
pub struct Modem {
    /// Who made it.
    pub maker: Maker,
    /// Whether there is a SIM.
    pub has_sim: bool,
    /// How the network has it, in numbers of `AT+CREG?`.
    pub registration: u8,
    /// How strong the network is, in numbers of `AT+CSQ`; 99 for nobody knows.
    pub signal: u8,
    /// How it shows itself on USB.
    pub mode: u8,
    /// How often it was started anew.
    pub restarts: u32,
    /// It says nothing.
    pub silent: bool,
    echo: bool,
    line: Vec<u8>,
    out: Vec<u8>,
}

impl Modem {
    /// A modem in its network.
    #[must_use]
    pub fn new(maker: Maker) -> Self {
        Self {
            maker,
            has_sim: true,
            registration: 1,
            signal: 21,
            mode: 0,
            restarts: 0,
            silent: false,
            echo: true,
            line: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Says something by itself.
    pub fn say(&mut self, text: &str) {
        self.out.extend(format!("\r\n{text}\r\n").into_bytes());
    }

    fn answer(&mut self, command: &str) -> Option<String> {
        let (model, firmware) = match self.maker {
            Maker::Quectel => ("EC25", "EC25EFAR06A06M4G"),
            Maker::Telit => ("LE910C4-EU", "25.20.666"),
            Maker::Thales => ("PLS83-W", "REVISION 01.202"),
        };
        let sim = self.has_sim;
        let none = || Some("+CME ERROR: 10".to_owned());
        let said = |text: &str| Some(format!("{text}\r\n\r\nOK"));
        match command {
            "AT" => Some("OK".to_owned()),
            "ATE0" => {
                self.echo = false;
                Some("OK".to_owned())
            }
            "AT+GMM" => said(model),
            "AT+CGMR" => said(firmware),
            "AT+CGSN" => said("867698041234567"),
            "AT+CPIN?" if sim => said("+CPIN: READY"),
            "AT+CPIN?" => none(),
            "AT+ICCID" if self.maker == Maker::Quectel => None,
            "AT+ICCID" | "AT+CCID" if !sim => none(),
            "AT+ICCID" => said("+ICCID: 8949000000001234567"),
            "AT+CCID" => said("+CCID: 8949000000001234567"),
            "AT+CSQ" => said(&format!("+CSQ: {},99", self.signal)),
            "AT+CREG?" => {
                // Something comes between, as it does.
                self.say("+CREG: 5");
                said(&format!("+CREG: 0,{}", self.registration))
            }
            "AT+COPS?" if matches!(self.registration, 1 | 5) => {
                said("+COPS: 0,0,\"Testnet, North\",7")
            }
            "AT+COPS?" => said("+COPS: 0"),
            "AT+CGDCONT?" => said(
                "+CGDCONT: 1,\"IP\",\"internet\",\"\",0,0\r\n\
                 +CGDCONT: 2,\"IPV4V6\",\"ims\",\"\",0,0",
            ),
            "AT+CFUN=1,1" | "AT#REBOOT" => {
                self.restarts += 1;
                self.echo = true;
                Some("OK".to_owned())
            }
            _ => self.own(command),
        }
    }

    /// What only its maker has.
    fn own(&mut self, command: &str) -> Option<String> {
        let mode = self.mode;
        let (asked, set, answer) = match self.maker {
            Maker::Quectel => (
                "AT+QCFG=\"usbnet\"",
                "AT+QCFG=\"usbnet\",1",
                format!("+QCFG: \"usbnet\",{mode}"),
            ),
            Maker::Telit => {
                ("AT#USBCFG?", "AT#USBCFG=4", format!("#USBCFG: {mode}"))
            }
            Maker::Thales => {
                ("AT^SWWAN?", "AT^SWWAN=1,1", format!("^SWWAN: 1,{mode}"))
            }
        };
        if command == asked {
            return Some(format!("{answer}\r\n\r\nOK"));
        }
        if command == set {
            self.mode = if self.maker == Maker::Telit { 4 } else { 1 };
            return Some("OK".to_owned());
        }
        (self.maker == Maker::Telit && command == "AT#ECM=1,0")
            .then(|| "OK".to_owned())
    }
}

impl SerialPart for Modem {
    fn receive(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.silent {
                return;
            }
            if self.echo {
                self.out.push(*byte);
            }
            if *byte != b'\r' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let command = String::from_utf8_lossy(&line).trim().to_owned();
            if command.is_empty() {
                continue;
            }
            let answer = self.answer(&command);
            self.say(answer.as_deref().unwrap_or("ERROR"));
        }
    }

    fn send(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}
