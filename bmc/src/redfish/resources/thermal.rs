//! `Thermal`: what `ThermalSubsystem` and `Sensor` replaced, for clients that
//! still ask for it. Only where the configuration says so.

use onprem_redfish::schema::thermal;

use super::{
    enabled,
    power::{embed, limits, put, ranges, related, value},
};
use crate::{
    model::SensorKind,
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `/redfish/v1/Chassis/{ChassisId}/Thermal`
pub(crate) struct Thermal;

impl Resource for Thermal {
    fn uri(&self) -> &'static str {
        uri::OLD_THERMAL
    }

    fn kind(&self) -> &'static str {
        "Thermal"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.chassis(ids)?;
        if !view.service.deprecated_power_thermal {
            return None;
        }
        let here = uri::of(uri::OLD_THERMAL, ids);
        let sensors = it.sensors.iter();
        let warm = sensors.filter(|it| it.kind == SensorKind::Temperature);
        let temperatures = warm.map(|sensor| {
            let mut shown = limits(view, sensor);
            put(&mut shown, "ReadingCelsius", value(view, &sensor.id));
            let range = ["MinReadingRangeTemp", "MaxReadingRangeTemp"];
            ranges(&mut shown, sensor, range);
            shown.insert("RelatedItem".to_owned(), related(it, sensor));
            (sensor.name.clone(), shown)
        });
        let fans = it.fans.iter().filter_map(|fan| {
            let sensor = it.sensor(fan.speed.as_ref()?)?;
            let mut shown = limits(view, sensor);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a cast from a float saturates"
            )]
            let speed = value(view, &sensor.id).map(|it| it.round() as i64);
            shown.insert("Reading".to_owned(), speed.into());
            shown.insert("ReadingUnits".to_owned(), "RPM".into());
            shown.insert("RelatedItem".to_owned(), related(it, sensor));
            Some((fan.name.clone(), shown))
        });
        let health = view.worst(it, &[SensorKind::Temperature]);
        let body = thermal::Thermal::new("", "Thermal", "Thermal")
            .status(enabled(health));
        let mut answer = answer(body);
        for (name, members) in
            [("Temperatures", temperatures.collect()), ("Fans", fans.collect())]
        {
            let (count, members) = embed(&here, name, members);
            answer.body.insert(format!("{name}@odata.count"), count);
            answer.body.insert(name.to_owned(), members);
        }
        Some(answer)
    }
}
