//! Whom a command is for: the part that brought what it is about, or the
//! machine.

use std::{collections::BTreeMap, io, sync::Arc};

use crate::{
    boards::{Controls, Instruments, Modems, Power, PowerModes, Switches},
    commands::{CommandError, ResetType},
    model::{
        Capture, CaptureAsked, CaptureError, CaptureRequest, Id, PartSettings,
        PowerModels, PowerState,
    },
};

/// Sends what is asked to the part that brought what it is about.
pub(super) struct ByPart<T: ?Sized> {
    pub(super) own: BTreeMap<Id, Arc<T>>,
    pub(super) machine: Arc<T>,
}

impl<T: ?Sized> std::fmt::Debug for ByPart<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = self.own.keys().collect::<Vec<_>>();
        f.debug_struct("ByPart").field("parts", &parts).finish_non_exhaustive()
    }
}

impl<T: ?Sized> ByPart<T> {
    /// What is not about one of those `brought` is sent to `machine`.
    pub(super) fn new(
        brought: impl Iterator<Item = (Vec<Id>, Arc<T>)>,
        machine: Arc<T>,
    ) -> Self {
        let mut own = BTreeMap::new();
        for (ids, by) in brought {
            own.extend(ids.into_iter().map(|id| (id, Arc::clone(&by))));
        }
        Self { own, machine }
    }

    fn of(&self, id: &Id) -> &Arc<T> {
        self.own.get(id).unwrap_or(&self.machine)
    }
}

impl Power for ByPart<dyn Power> {
    fn reset(
        &self,
        system: &Id,
        kind: ResetType,
    ) -> Result<Option<PowerState>, CommandError> {
        self.of(system).reset(system, kind)
    }

    fn configure(
        &self,
        system: &Id,
        settings: &PartSettings,
    ) -> Result<u64, CommandError> {
        self.of(system).configure(system, settings)
    }

    fn restore(&self, system: &Id, on: bool, lost: bool) {
        self.of(system).restore(system, on, lost);
    }

    fn resume(&self, system: &Id, on: bool) {
        self.of(system).resume(system, on);
    }

    fn withdraw(&self, system: &Id) -> bool {
        self.of(system).withdraw(system)
    }

    fn is_moving(&self, system: &Id) -> bool {
        self.of(system).is_moving(system)
    }
}

impl Switches for ByPart<dyn Switches> {
    fn put(&self, switch: &Id, on: bool) -> io::Result<()> {
        self.of(switch).put(switch, on)
    }
}

impl Modems for ByPart<dyn Modems> {
    fn restart(&self, modem: &Id, cut: bool) -> io::Result<()> {
        self.of(modem).restart(modem, cut)
    }
}

impl PowerModes for ByPart<dyn PowerModes> {
    fn choose(
        &self,
        system: &Id,
        name: &str,
    ) -> Result<PowerModels, CommandError> {
        self.of(system).choose(system, name)
    }
}

impl Instruments for ByPart<dyn Instruments> {
    fn capture(
        &self,
        instrument: &Id,
        request: &CaptureRequest,
        asked: &CaptureAsked<'_>,
    ) -> Result<Capture, CaptureError> {
        self.of(instrument).capture(instrument, request, asked)
    }

    fn check(
        &self,
        instrument: &Id,
        request: &CaptureRequest,
    ) -> Result<(), CaptureError> {
        self.of(instrument).check(instrument, request)
    }
}

impl Controls for ByPart<dyn Controls> {
    fn drive(&self, control: &Id, percent: Option<f64>) -> io::Result<()> {
        self.of(control).drive(control, percent)
    }

    fn leave(&self, control: &Id) -> io::Result<()> {
        self.of(control).leave(control)
    }
}
