//! `onprem-bmc probe`: looks what a machine has, and proposes a board file.
//!
//! What the kernel shows is read. On I²C buses it is looked who answers, as
//! [`crate::bus::scan`] does; to know what somebody is, a register has to be
//! named, which is a write: that is done only where it was allowed.

mod chip;

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use crate::{
    boards::wires,
    bus::{
        I2cBus,
        scan::{Found, scan},
    },
    drivers::{device_tree, dmi, hwmon, serial, tree::Tree},
};

/// What is to be looked at.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Look at the files below this folder instead of those of this machine
    #[arg(long, default_value = "/", value_name = "FOLDER")]
    pub root: PathBuf,
    /// Leave all I²C buses alone: ask nobody there
    #[arg(long)]
    pub no_i2c: bool,
    /// Name registers to parts on I²C buses, which is a write, to know what
    /// they are; without it, it is only seen that somebody is there
    #[arg(long)]
    pub allow_writes: bool,
}

/// Buses that lead to screens and graphics cards: nothing of ours is there.
const SCREENS: [&str; 5] = ["ddc", "hdmi", "dp aux", "drm", "nvidia"];
/// USB devices that a part can be made of: vendor, product, and what it is.
const USB: [(&str, &str, &str); 8] = [
    ("0403", "6001", "an FT232: a serial line, or a BitScope"),
    ("10c4", "ea90", "a CP2112: an I²C bus and GPIO lines"),
    ("10c4", "ea60", "a CP210x: a serial line"),
    ("1a86", "7523", "a CH340: a serial line"),
    ("067b", "2303", "a PL2303: a serial line"),
    ("2c7c", "", "a Quectel modem"),
    ("1bc7", "", "a Telit modem"),
    ("1e2d", "", "a Thales modem"),
];

/// Looks, and writes the proposal to standard output.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    if !options.root.is_dir() {
        let root = options.root.display();
        // That nobody reads it is no failure.
        let _ = writeln!(
            std::io::stderr(),
            "error: `--root {root}` is no directory: name the one that \
             `/proc` and `/sys` of the machine are in, or leave it out"
        );
        return ExitCode::FAILURE;
    }
    let tree = Tree::new(&options.root);
    let open = |number| wires::kernel(&tree, number);
    let text = propose(&tree, &open, options);
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A board file for the machine that `tree` shows, whose buses `open` opens.
#[must_use]
pub fn propose(
    tree: &Tree,
    open: &dyn Fn(u32) -> I2cBus,
    options: &Options,
) -> String {
    let mut text = Proposal::default();
    text.say("A board file, proposed by `onprem-bmc probe`. What is a comment");
    text.say("was seen, and waits for somebody who knows what it is.");
    text.line("");
    machine(tree, &mut text);
    text.line("host = true");
    board(tree, &mut text);
    kernel(tree, &mut text);
    for number in wires::numbers(tree) {
        bus(tree, number, open, options, &mut text);
    }
    text.0
}

/// The text of a proposal.
#[derive(Debug, Default)]
struct Proposal(String);

impl Proposal {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// Adds a comment. What comes from a machine may say anything.
    fn say(&mut self, line: &str) {
        for line in line.lines() {
            let clean = |c: char| if c.is_control() { ' ' } else { c };
            let line: String = line.chars().map(clean).collect();
            let _ = writeln!(self.0, "# {}", line.trim_end());
        }
    }
}

fn machine(tree: &Tree, text: &mut Proposal) {
    let board = device_tree::read(tree).map(|board| board.identity);
    let board = board.or_else(|| dmi::read(tree).map(|dmi| dmi.board));
    let Some(board) = board else { return };
    let words = [board.manufacturer, board.model];
    let words: Vec<String> = words.into_iter().flatten().collect();
    text.say(&format!("The machine is a {}.", words.join(" ")));
}

/// The part that a machine itself is, beyond what the kernel shows.
fn board(tree: &Tree, text: &mut Proposal) {
    let firmware = tree.exists("/dev/vcio");
    let pi = firmware && device_tree::is_compatible(tree, "raspberrypi,");
    let (kind, about) = if pi {
        ("raspberry-pi", "Lack of power, heat, clocks and rails of a Pi:")
    } else if device_tree::is_jetson(tree) {
        ("jetson", "The power model of a Jetson:")
    } else {
        return;
    };
    text.line("");
    text.say(about);
    text.line(&format!("[[part]]\nid = \"{kind}\"\nkind = \"{kind}\""));
    if kind == "jetson" {
        text.say("It may be chosen from afar with this:");
        text.say("options = { allow_power_model = true }");
    }
}

/// What the kernel shows by itself, and what board files can name.
fn kernel(tree: &Tree, text: &mut Proposal) {
    let chips = hwmon::names(tree);
    if !chips.is_empty() {
        text.line("");
        text.say("These are sensors already, without a line here:");
        text.say(&format!("hwmon {}", chips.join(", ")));
    }
    let devices = tree.entries("/sys/bus/iio/devices");
    for device in devices {
        let folder = format!("/sys/bus/iio/devices/{device}");
        if let Some(name) = tree.text(&format!("{folder}/name")) {
            text.say(&format!("iio {device}: {name}"));
        }
    }
    gpio(tree, text);
    for chip in tree.entries("/sys/class/pwm") {
        let folder = format!("/sys/class/pwm/{chip}");
        let count = tree.text(&format!("{folder}/npwm")).unwrap_or_default();
        let device = tree.link_name(&format!("{folder}/device"));
        let device = device.unwrap_or_else(|| chip.clone());
        text.line("");
        text.say(&format!(
            "{chip} has {count} outputs. A fan on one would be:"
        ));
        text.say("[[part]]\nid = \"fan\"\nkind = \"pwm-fan\"");
        text.say(&format!(
            "options = {{ chip = \"{device}\", channel = 0, \
             follows = \"CPU_Temperature\" }}"
        ));
    }
    let lines: Vec<String> = serial::read(tree)
        .into_iter()
        .map(|port| {
            let driver = port.driver.unwrap_or_default();
            format!("/dev/{} ({driver})", port.id)
        })
        .collect();
    if !lines.is_empty() {
        text.line("");
        text.say(&format!("Serial lines: {}", lines.join(", ")));
    }
    for device in tree.entries("/sys/bus/usb/devices") {
        let file =
            |name| tree.text(&format!("/sys/bus/usb/devices/{device}/{name}"));
        let (Some(vendor), Some(product)) =
            (file("idVendor"), file("idProduct"))
        else {
            continue;
        };
        let known = USB
            .iter()
            .find(|(v, p, _)| *v == vendor && (p.is_empty() || *p == product));
        if let Some((_, _, what)) = known {
            text.say(&format!("USB {device}, {vendor}:{product}: {what}"));
        }
    }
}

/// The chips with lines, by their labels: their numbers move.
fn gpio(tree: &Tree, text: &mut Proposal) {
    let mut labels = Vec::new();
    for entry in tree.entries("/sys/class/gpio") {
        let folder = format!("/sys/class/gpio/{entry}");
        if let Some(label) = tree.text(&format!("{folder}/label")) {
            let count = tree.text(&format!("{folder}/ngpio"));
            labels.push(format!("{label} ({})", count.unwrap_or_default()));
        }
    }
    let own = tree.path("/") == Path::new("/");
    for path in
        own.then(gpiocdev::chip::chips).and_then(Result::ok).unwrap_or_default()
    {
        let chip = gpiocdev::chip::Chip::from_path(path).ok();
        let info = chip.and_then(|chip| chip.info().ok());
        if let Some(info) = info {
            labels.push(format!("{} ({})", info.label, info.num_lines));
        }
    }
    labels.dedup();
    if !labels.is_empty() {
        text.line("");
        text.say(&format!("GPIO chips, with lines: {}", labels.join(", ")));
        text.say("A line is { chip = \"LABEL\", line = 5 }, or its name.");
    }
}

fn bus(
    tree: &Tree,
    number: u32,
    open: &dyn Fn(u32) -> I2cBus,
    options: &Options,
    text: &mut Proposal,
) {
    let name = tree.text(&format!("/sys/bus/i2c/devices/i2c-{number}/name"));
    let name = name.unwrap_or_default();
    let lower = name.to_lowercase();
    text.line("");
    if SCREENS.iter().any(|word| lower.contains(word)) {
        text.say(&format!("i2c-{number}, {name}: it leads to a screen."));
        return;
    }
    if !name.is_empty() {
        text.say(&format!("It is {name}."));
    }
    text.line("[[bus]]");
    text.line(&format!("id = \"i2c-{number}\""));
    text.line(&format!("i2c = \"/dev/i2c-{number}\""));
    if options.no_i2c {
        return;
    }
    let bus = open(number);
    let grid = match scan(&bus, &wires::bound(tree, number)) {
        Ok(grid) => grid,
        Err(error) => {
            text.say(&format!("Nobody can be asked there: {error}"));
            return;
        }
    };
    text.say(&grid.to_string());
    for (address, found) in &grid.0 {
        if *found != Found::Somebody {
            continue;
        }
        text.line("");
        let chip = bus.chip(*address);
        let known = chip::identify(&chip, *address, options.allow_writes);
        match known {
            Ok(Some(known)) => {
                text.say(known.why);
                text.line(&known.section(number, *address, ""));
            }
            Ok(None) => {
                let why = if options.allow_writes {
                    "nothing that is known by its registers"
                } else {
                    "what it is can be asked with --allow-writes"
                };
                text.say(&format!("Somebody is at {address:#04x}: {why}."));
                for guess in chip::guesses(*address) {
                    text.say("It may be:");
                    let section = guess.section(number, *address, "# ");
                    text.line(section.trim_end());
                }
            }
            Err(error) => text.say(&format!("It answers no more: {error}")),
        }
    }
}
