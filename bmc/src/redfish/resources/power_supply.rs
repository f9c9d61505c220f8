//! `PowerSupply` and `PowerSupplyMetrics`.

use onprem_redfish::schema::{
    Reference,
    power_supply::{self, LineStatus, PowerSupplyType},
    power_supply_metrics,
};

use super::{With as _, enabled, number, sensor};
use crate::{
    model::{self, Health, SupplyKind},
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `…/PowerSubsystem/PowerSupplies/{PowerSupplyId}`
pub(crate) struct PowerSupply;

impl Resource for PowerSupply {
    fn uri(&self) -> &'static str {
        uri::SUPPLY
    }

    fn kind(&self) -> &'static str {
        "PowerSupply"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = supply(view, ids)?;
        let inside = view.chassis(ids)?;
        let sensors = [&it.voltage, &it.current, &it.power];
        let well = sensors
            .into_iter()
            .flatten()
            .filter_map(|id| inside.sensor(id))
            .map(|sensor| view.snapshot.sensor_health(sensor))
            .chain([view.snapshot.input_health(&it.id)])
            .max();
        let input = match view.snapshot.input_health(&it.id) {
            Health::Ok => LineStatus::Normal,
            _ => LineStatus::LossOfInput,
        };
        let board = it.board.clone();
        let body = power_supply::PowerSupply::new("", &*it.id, &*it.name)
            .power_supply_type(match it.kind {
                SupplyKind::Ac => PowerSupplyType::Ac,
                SupplyKind::Dc => PowerSupplyType::Dc,
            })
            .with(
                it.capacity_watts.and_then(number),
                power_supply::PowerSupply::power_capacity_watts,
            )
            .with(board.manufacturer, power_supply::PowerSupply::manufacturer)
            .with(board.model, power_supply::PowerSupply::model)
            .with(board.serial_number, power_supply::PowerSupply::serial_number)
            .with(board.part_number, power_supply::PowerSupply::part_number)
            .with(
                it.firmware.clone(),
                power_supply::PowerSupply::firmware_version,
            )
            .with(
                it.tells_input.then_some(input),
                power_supply::PowerSupply::line_input_status,
            )
            .metrics(Reference::new(uri::of(uri::SUPPLY_METRICS, ids)))
            .status(enabled(well.unwrap_or(Health::Ok)));
        Some(answer(body))
    }
}

/// `…/PowerSubsystem/PowerSupplies/{PowerSupplyId}/Metrics`
pub(crate) struct PowerSupplyMetrics;

impl Resource for PowerSupplyMetrics {
    fn uri(&self) -> &'static str {
        uri::SUPPLY_METRICS
    }

    fn kind(&self) -> &'static str {
        "PowerSupplyMetrics"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Live
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        use power_supply_metrics::PowerSupplyMetrics as Metrics;
        let it = supply(view, ids)?;
        let [chassis, _] = ids else { return None };
        let (snapshot, at) = (view.snapshot, chassis);
        let volts = it.voltage.as_ref();
        let amperes = it.current.as_ref();
        let watts = it.power.as_ref();
        let body = Metrics::new("", "Metrics", format!("{} metrics", it.name))
            .with(
                volts.map(|id| sensor::voltage(snapshot, at, id)),
                Metrics::input_voltage,
            )
            .with(
                amperes.map(|id| sensor::current(snapshot, at, id)),
                Metrics::input_current_amps,
            )
            .with(
                watts.map(|id| sensor::power(snapshot, at, id)),
                Metrics::input_power_watts,
            );
        Some(answer(body))
    }
}

fn supply<'a>(view: &View<'a>, ids: &[&str]) -> Option<&'a model::PowerSupply> {
    let [_, id] = ids else { return None };
    let mut supplies = view.chassis(ids)?.power_supplies.iter();
    supplies.find(|supply| &*supply.id == *id)
}
