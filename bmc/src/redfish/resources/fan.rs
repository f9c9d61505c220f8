//! `Fan`: how fast it turns and how hard it is driven.

use onprem_redfish::schema::{
    fan, physical_context::PhysicalContext, sensor::SensorExcerptFan,
};

use super::{With as _, enabled, sensor};
use crate::{
    model::Health,
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `…/ThermalSubsystem/Fans/{FanId}`
pub(crate) struct Fan;

impl Resource for Fan {
    fn uri(&self) -> &'static str {
        uri::FAN
    }

    fn kind(&self) -> &'static str {
        "Fan"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [chassis, id] = ids else { return None };
        let inside = view.chassis(ids)?;
        let it = inside.fans.iter().find(|fan| &*fan.id == *id)?;
        let snapshot = view.snapshot;
        let shown = it.duty.as_ref().or(it.speed.as_ref());
        let value = |id: &crate::model::Id| sensor::value(snapshot, id);
        let speed = shown.map(|shown| {
            SensorExcerptFan::new()
                .data_source_uri(sensor::at(chassis, shown))
                .reading_null()
                .with(
                    it.duty.as_ref().and_then(value),
                    SensorExcerptFan::reading,
                )
                .with(
                    it.speed.as_ref().and_then(value),
                    SensorExcerptFan::speed_rpm,
                )
        });
        let sensors = it.speed.iter().chain(&it.duty);
        let well = sensors
            .filter_map(|id| inside.sensor(id))
            .map(|sensor| snapshot.sensor_health(sensor))
            .max();
        let body = fan::Fan::new("", *id, &*it.name)
            .physical_context(PhysicalContext::Chassis)
            .with(speed, fan::Fan::speed_percent)
            .status(enabled(well.unwrap_or(Health::Ok)));
        Some(answer(body))
    }
}
