//! A simulated `nvpmodel`: its files, and the program that changes them.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::drivers::jetson::nvpmodel::{MODELS, Nvpmodel as Way};

/// What is in its files, and how the program behaves.
#[derive(Clone, Debug)]
pub struct State {
    /// The number of the model that is set.
    pub number: u32,
    /// What the models are called, by number.
    pub names: Vec<&'static str>,
    /// The numbers of those that need a restart.
    pub restarts: Vec<u32>,
    /// How each look at a file fails.
    pub fails: Option<io::ErrorKind>,
}

impl Default for State {
    /// An Orin Nano, whose widest model needs a restart.
    fn default() -> Self {
        Self {
            number: 1,
            names: vec!["15W", "25W", "MAXN_SUPER", "7W"],
            restarts: vec![3],
            fails: None,
        }
    }
}

/// The program with its files; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Nvpmodel(Arc<Mutex<State>>);

impl Nvpmodel {
    /// What it knows, to be changed.
    ///
    /// # Panics
    /// Never.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way for Nvpmodel {
    fn text(&self, path: &str) -> io::Result<String> {
        let state = self.state();
        if let Some(kind) = state.fails {
            return Err(kind.into());
        }
        if path == MODELS {
            let lines = state.names.iter().enumerate();
            let lines: Vec<_> = lines
                .map(|(id, name)| {
                    format!("< POWER_MODEL ID={id} NAME={name} >")
                })
                .collect();
            return Ok(lines.join("\n"));
        }
        Ok(format!("pmode:{:04} fmode:quiet\n", state.number))
    }

    fn set(&self, number: u32) -> io::Result<(bool, String)> {
        let mut state = self.state();
        if state.restarts.contains(&number) {
            let said = format!(
                "NVPM WARN: Reboot required for changing to this power mode: \
                 {number}\nNVPM ERROR: bad input!\n"
            );
            return Ok((false, said));
        }
        state.number = number;
        Ok((true, String::new()))
    }
}
