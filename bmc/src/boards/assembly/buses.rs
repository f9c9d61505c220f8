//! The buses that a board file describes.

use std::path::{Path, PathBuf};

use crate::{
    boards::{
        buses::{BusKind, Buses, Far, Tapes},
        file::{BoardError, BusSection, Source},
    },
    bus::replay::Recording,
    drivers::tree::Tree,
};

/// All of them, with nobody on them. What is said there goes to `tapes`, or
/// comes from there; device files are those of `tree`.
pub(super) fn build(
    source: &Source,
    path: &Path,
    tree: &Tree,
    tapes: Tapes,
) -> Result<Buses, BoardError> {
    tapes_fit(source, path, &tapes)?;
    let recording = tapes.recording.clone();
    let mut buses = Buses::new(tree.clone(), tapes);
    let mut names = Vec::new();
    for section in &source.board.bus {
        let name = section.id.as_ref();
        if names.contains(&name) {
            let reason = format!("a second bus `{name}`");
            return Err(source.wrong(&section.id, reason));
        }
        names.push(name);
        buses.add(name, bus(source, section, recording.as_ref())?);
        if let (Some(path), None) = (&section.i2c, &recording) {
            buses.number(name, path);
        }
    }
    Ok(buses)
}

/// Checks that the board has buses that can be noted, or are played back.
fn tapes_fit(
    source: &Source,
    path: &Path,
    tapes: &Tapes,
) -> Result<(), BoardError> {
    let mut buses = source.board.bus.iter().filter(|it| is_recorded(it));
    if tapes.recorder.is_some() && buses.clone().next().is_none() {
        let board = path.display();
        tracing::warn!(%board, "no I²C bus, no serial line, no record");
    }
    let Some(recording) = &tapes.recording else { return Ok(()) };
    let known = |it: &str| recording.buses().any(|bus| bus == it);
    if buses.any(|it| known(it.id.as_ref())) {
        return Ok(());
    }
    let there: Vec<&str> = recording.buses().collect();
    let reason = format!(
        "the recording is of other buses than those of the board: {}",
        there.join(", ")
    );
    Err(source.empty(&reason))
}

/// Whether what is said on a bus goes into a recording.
fn is_recorded(section: &BusSection) -> bool {
    section.i2c.is_some() || section.serial.is_some()
}

/// What a section says about a bus.
fn bus(
    source: &Source,
    section: &BusSection,
    recording: Option<&Recording>,
) -> Result<BusKind, BoardError> {
    let simulated = section.simulated.unwrap_or(false);
    let wrong = |reason: &str| {
        let reason = format!("bus `{}`: {reason}", section.id.as_ref());
        source.wrong(&section.id, reason)
    };
    let one = || wrong("say one of `i2c`, `serial` and `gpio`");
    let given = [
        section.i2c.is_some(),
        section.serial.is_some(),
        section.gpio.is_some(),
    ];
    if given.into_iter().filter(|given| *given).count() != 1 {
        return Err(one());
    }
    let far = |device: &PathBuf| match (&section.replay, simulated, recording) {
        (Some(_), true, _) => Err(wrong("say `simulated` or `replay`")),
        (_, _, Some(whole)) => Ok(Far::Recorded(whole.clone())),
        (Some(file), false, _) => match Recording::read(&source.beside(file)) {
            Ok(recording) => Ok(Far::Recorded(recording)),
            Err(error) => {
                Err(wrong(&format!("recording {}: {error}", file.display())))
            }
        },
        (None, true, _) => Ok(Far::Simulated),
        (None, false, _) => Ok(Far::Kernel(device.clone())),
    };
    if let Some(lines) = &section.gpio {
        if !simulated && !lines.is_empty() {
            return Err(wrong("`gpio` names lines where they are simulated"));
        }
        let simulated = simulated.then(|| lines.clone());
        return Ok(BusKind::Gpio { simulated });
    }
    if let Some(device) = &section.serial {
        let baud = section.baud.unwrap_or(115_200);
        return Ok(BusKind::Serial { far: far(device)?, baud });
    }
    let device = section.i2c.as_ref().ok_or_else(one)?;
    Ok(BusKind::I2c(far(device)?))
}
