//! `ThermalMetrics`: all temperatures of a chassis at a glance.

use onprem_redfish::schema::thermal_metrics;

use super::sensor;
use crate::{
    model::SensorKind,
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `…/ThermalSubsystem/ThermalMetrics`
pub(crate) struct ThermalMetrics;

impl Resource for ThermalMetrics {
    fn uri(&self) -> &'static str {
        uri::THERMAL_METRICS
    }

    fn kind(&self) -> &'static str {
        "ThermalMetrics"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.chassis(ids)?;
        let warm = it.sensors.iter();
        let warm = warm.filter(|s| s.kind == SensorKind::Temperature);
        let readings = warm.map(|s| {
            sensor::item(view.snapshot, &it.id, &s.id)
                .device_name(&*s.name)
                .physical_context(sensor::physical_context(s.context))
        });
        let body = thermal_metrics::ThermalMetrics::new(
            "",
            "ThermalMetrics",
            "Thermal metrics",
        )
        .temperature_readings_celsius(readings);
        Some(answer(body))
    }
}
