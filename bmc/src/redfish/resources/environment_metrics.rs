//! `EnvironmentMetrics`: the chassis in one look.

use onprem_redfish::schema::{
    environment_metrics, physical_context::PhysicalContext,
    sensor::SensorExcerptFanArray,
};

use super::{With as _, sensor};
use crate::{
    model::{self, SensorKind},
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `…/EnvironmentMetrics`
pub(crate) struct EnvironmentMetrics;

impl Resource for EnvironmentMetrics {
    fn uri(&self) -> &'static str {
        uri::ENVIRONMENT
    }

    fn kind(&self) -> &'static str {
        "EnvironmentMetrics"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        use environment_metrics::EnvironmentMetrics as Metrics;
        let it = view.chassis(ids)?;
        let snapshot = view.snapshot;
        let temperature = of_the_whole(it, SensorKind::Temperature);
        let power = of_the_whole(it, SensorKind::Power);
        let fans = it.fans.iter().filter_map(|fan| {
            let shown = fan.duty.as_ref().or(fan.speed.as_ref())?;
            let value = |id: &model::Id| sensor::value(snapshot, id);
            Some(
                SensorExcerptFanArray::new()
                    .data_source_uri(sensor::at(&it.id, shown))
                    .device_name(&*fan.name)
                    .physical_context(PhysicalContext::Chassis)
                    .reading_null()
                    .with(
                        fan.duty.as_ref().and_then(value),
                        SensorExcerptFanArray::reading,
                    )
                    .with(
                        fan.speed.as_ref().and_then(value),
                        SensorExcerptFanArray::speed_rpm,
                    ),
            )
        });
        let body =
            Metrics::new("", "EnvironmentMetrics", "Environment metrics")
                .with(
                    temperature
                        .map(|s| sensor::excerpt(snapshot, &it.id, &s.id)),
                    Metrics::temperature_celsius,
                )
                .with(
                    power.map(|s| sensor::power(snapshot, &it.id, &s.id)),
                    Metrics::power_watts,
                )
                .fan_speeds_percent(fans);
        Some(answer(body))
    }
}

/// The sensor of this kind that speaks for the chassis as a whole.
fn of_the_whole(
    chassis: &model::Chassis,
    kind: SensorKind,
) -> Option<&model::Sensor> {
    use model::PhysicalContext::{Chassis, Intake, PowerSupply, SystemBoard};
    [Chassis, PowerSupply, SystemBoard, Intake].iter().find_map(|context| {
        let mut sensors = chassis.sensors.iter();
        sensors.find(|s| s.kind == kind && s.context == *context)
    })
}
