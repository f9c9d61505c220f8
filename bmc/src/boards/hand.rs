//! Which outputs are driven by hand, kept so that an agent that was killed lets
//! go of them when it comes back.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use onprem_link::{file::replace, log::Chain};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::{
    drivers::{
        channel::{Actuator, Output},
        hwmon,
        tree::Tree,
    },
    state::{StateError, load_or_put_aside},
};

/// The most outputs that a file may name.
const OUTPUTS: usize = 256;

/// The outputs in hand.
#[derive(Debug, Default)]
pub struct Hand {
    /// Where they are kept; nowhere if there is nothing.
    path: Option<PathBuf>,
    held: Mutex<Held>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Held {
    /// The start of the machine in which they were taken, as its kernel
    /// names it: a chip that was without power drives its outputs by itself.
    boot: Option<String>,
    outputs: Vec<Output>,
}

impl Hand {
    /// The hand of an agent with the state directory `folder`, on the machine
    /// that `tree` shows in its start `boot`. What an agent before it held is
    /// left to the chips.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(
        folder: &Path,
        tree: &Tree,
        boot: Option<String>,
    ) -> Result<Self, StateError> {
        let path = folder.join("hand.json");
        let before: Held = load_or_put_aside(&path)?;
        let mut held = Held { boot, outputs: before.outputs.clone() };
        if before.boot.is_some() && held.boot.is_some() {
            held.outputs.retain(|_| before.boot == held.boot);
        }
        held.outputs.truncate(OUTPUTS);
        held.outputs.retain(|output| !let_go(tree, output));
        if held != before
            && !before.outputs.is_empty()
            && let Err(error) = held.write(&path)
        {
            // A full disk is no reason not to serve.
            warn!(error = %Chain(&error), "it is not kept what is let go");
        }
        Ok(Self { path: Some(path), held: Mutex::new(held) })
    }

    /// Drives `actuator` by `percent`, or leaves it to its chip. It is on disk
    /// before the output is in hand, unless that is to be driven as hard as it
    /// can be.
    ///
    /// # Errors
    /// What the file system or the kernel said; where it cannot be noted, the
    /// chip keeps the output.
    pub fn drive(
        &self,
        actuator: &Actuator,
        percent: Option<f64>,
    ) -> io::Result<()> {
        let output = actuator.output();
        if percent.is_some_and(|percent| percent >= 100.0) {
            // A fan that is left at full speed harms nobody: heat waits for
            // no disk.
            let driven = actuator.drive(percent);
            if let Err(error) = self.take(output) {
                warn!(error = %Chain(&error), "driven, and not noted");
            }
            return driven;
        }
        if percent.is_some() {
            self.take(output)?;
            return actuator.drive(percent);
        }
        actuator.drive(None)?;
        let kept = self.change(|outputs| outputs.retain(|it| it != output));
        if let Err(error) = kept {
            // To let go once more does no harm.
            warn!(error = %Chain(&error), "it is not kept what is let go");
        }
        Ok(())
    }

    /// Notes that `output` is in hand.
    fn take(&self, output: &Output) -> io::Result<()> {
        self.change(|outputs| {
            if !outputs.contains(output) {
                outputs.push(output.clone());
            }
        })
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Output>)) -> io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = held.clone();
        change(&mut next.outputs);
        if let Some(path) = &self.path
            && next != *held
        {
            next.write(path)?;
        }
        *held = next;
        Ok(())
    }
}

impl Held {
    fn write(&self, path: &Path) -> io::Result<()> {
        replace(path, &serde_json::to_vec_pretty(self).unwrap_or_default())
    }
}

/// Leaves `output` to its chip; whether that is settled.
fn let_go(tree: &Tree, output: &Output) -> bool {
    let Output { chip, stem, .. } = output;
    match hwmon::actuator(tree, output.clone()).let_go() {
        Ok(true) => {
            warn!(chip, stem, "an agent that is gone drove it by hand");
        }
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            info!(chip, stem, "an output driven by hand is gone");
        }
        Err(error) => {
            warn!(%error, chip, stem, "still driven by hand");
            return false;
        }
    }
    true
}
