//! `ThermalSubsystem`: what keeps a chassis cool.

use onprem_redfish::schema::{Reference, thermal_subsystem};

use super::enabled;
use crate::{
    model::SensorKind,
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `…/ThermalSubsystem`
pub(crate) struct ThermalSubsystem;

impl Resource for ThermalSubsystem {
    fn uri(&self) -> &'static str {
        uri::THERMAL
    }

    fn kind(&self) -> &'static str {
        "ThermalSubsystem"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.chassis(ids)?;
        let kinds = [SensorKind::Temperature, SensorKind::Rotation];
        let well = view.worst(it, &kinds);
        let body = thermal_subsystem::ThermalSubsystem::new(
            "",
            "ThermalSubsystem",
            "Thermal subsystem",
        )
        .fans(Reference::new(uri::of(uri::FANS, ids)))
        .thermal_metrics(Reference::new(uri::of(uri::THERMAL_METRICS, ids)))
        .status(enabled(well));
        Some(answer(body))
    }
}
