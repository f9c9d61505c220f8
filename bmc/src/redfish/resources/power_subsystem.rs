//! `PowerSubsystem`: where a chassis gets its power from.

use onprem_redfish::schema::{Reference, power_subsystem};

use super::{With as _, enabled, number};
use crate::{
    model::SensorKind,
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `…/PowerSubsystem`
pub(crate) struct PowerSubsystem;

impl Resource for PowerSubsystem {
    fn uri(&self) -> &'static str {
        uri::POWER
    }

    fn kind(&self) -> &'static str {
        "PowerSubsystem"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.chassis(ids)?;
        let kinds =
            [SensorKind::Voltage, SensorKind::Current, SensorKind::Power];
        let capacity: f64 =
            it.power_supplies.iter().filter_map(|s| s.capacity_watts).sum();
        let known = (capacity > 0.0).then_some(capacity).and_then(number);
        let batteries = (!it.batteries.is_empty())
            .then(|| Reference::new(uri::of(uri::BATTERIES, ids)));
        let body = power_subsystem::PowerSubsystem::new(
            "",
            "PowerSubsystem",
            "Power subsystem",
        )
        .with(known, power_subsystem::PowerSubsystem::capacity_watts)
        .power_supplies(Reference::new(uri::of(uri::SUPPLIES, ids)))
        .with(batteries, power_subsystem::PowerSubsystem::batteries)
        .status(enabled(view.worst(it, &kinds)));
        Some(answer(body))
    }
}
