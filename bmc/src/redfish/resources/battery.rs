//! `Battery` and `BatteryMetrics`.

use onprem_redfish::schema::{Reference, battery, battery_metrics};

use super::{With as _, enabled, sensor};
use crate::{
    model::{self, Health},
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `…/PowerSubsystem/Batteries/{BatteryId}`
pub(crate) struct Battery;

impl Resource for Battery {
    fn uri(&self) -> &'static str {
        uri::BATTERY
    }

    fn kind(&self) -> &'static str {
        "Battery"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = find(view, ids)?;
        let inside = view.chassis(ids)?;
        let sensors =
            [&it.charge, &it.health, &it.temperature, &it.voltage, &it.current];
        let well = sensors
            .into_iter()
            .flatten()
            .filter_map(|id| inside.sensor(id))
            .map(|sensor| view.snapshot.sensor_health(sensor))
            .max();
        let [chassis, _] = ids else { return None };
        let health = it.health.as_ref();
        let health =
            health.map(|id| sensor::excerpt(view.snapshot, chassis, id));
        let board = it.board.clone();
        let body = battery::Battery::new("", &*it.id, &*it.name)
            .with(board.manufacturer, battery::Battery::manufacturer)
            .with(board.model, battery::Battery::model)
            .with(board.serial_number, battery::Battery::serial_number)
            .with(board.part_number, battery::Battery::part_number)
            .with(health, battery::Battery::state_of_health_percent)
            .metrics(Reference::new(uri::of(uri::BATTERY_METRICS, ids)))
            .status(enabled(well.unwrap_or(Health::Ok)));
        Some(answer(body))
    }
}

/// `…/PowerSubsystem/Batteries/{BatteryId}/Metrics`
pub(crate) struct BatteryMetrics;

impl Resource for BatteryMetrics {
    fn uri(&self) -> &'static str {
        uri::BATTERY_METRICS
    }

    fn kind(&self) -> &'static str {
        "BatteryMetrics"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        use battery_metrics::BatteryMetrics as Metrics;
        let it = find(view, ids)?;
        let [chassis, _] = ids else { return None };
        let (snapshot, at) = (view.snapshot, chassis);
        let charge = it.charge.as_ref();
        let volts = it.voltage.as_ref();
        let amperes = it.current.as_ref();
        let body = Metrics::new("", "Metrics", format!("{} metrics", it.name))
            .with(
                charge.map(|id| sensor::excerpt(snapshot, at, id)),
                Metrics::charge_percent,
            )
            .with(
                it.temperature
                    .as_ref()
                    .map(|id| sensor::excerpt(snapshot, at, id)),
                Metrics::temperature_celsius,
            )
            .with(
                it.input.as_ref().map(|id| sensor::voltage(snapshot, at, id)),
                Metrics::input_voltage,
            )
            .with(
                volts.map(|id| sensor::voltage(snapshot, at, id)),
                |metrics, volts| metrics.output_voltages([volts]),
            )
            .with(
                amperes.map(|id| sensor::current(snapshot, at, id)),
                |metrics, amperes| metrics.output_current_amps([amperes]),
            );
        Some(answer(body))
    }
}

fn find<'a>(view: &View<'a>, ids: &[&str]) -> Option<&'a model::Battery> {
    let [_, id] = ids else { return None };
    let mut batteries = view.chassis(ids)?.batteries.iter();
    batteries.find(|battery| &*battery.id == *id)
}
