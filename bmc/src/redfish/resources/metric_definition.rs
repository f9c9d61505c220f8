//! `MetricDefinition`: what a kind of sensor can say.

use onprem_redfish::schema::metric_definition::{
    self, Calculable, ImplementationType, MetricDataType, MetricType,
};

use super::{With as _, number, sensor};
use crate::{
    redfish::{
        resource::{Answer, Resource, View, answer},
        uri,
    },
    telemetry::{self, Form, OfManager},
};

/// `/redfish/v1/TelemetryService/MetricDefinitions/{MetricDefinitionId}`
pub(crate) struct MetricDefinition;

impl Resource for MetricDefinition {
    fn uri(&self) -> &'static str {
        uri::METRIC_DEFINITION
    }

    fn kind(&self) -> &'static str {
        "MetricDefinition"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        use metric_definition::MetricDefinition as Metric;
        let id = ids.first()?;
        if let Some(metric) = telemetry::of_manager(id) {
            return Some(of_manager(view, metric));
        }
        let it = telemetry::metric_named(view.snapshot, id)?;
        let range = it.range();
        let low = range.and_then(|(low, _)| number(low));
        let high = range.and_then(|(_, high)| number(high));
        let interval = it.interval().as_secs_f64();
        let several = it.sensors.len() > 1;
        // One wildcard a chassis: not every sensor is in every chassis.
        let wildcard = |index: usize| {
            if several {
                format!("SensorId{}", index + 1)
            } else {
                "SensorId".to_owned()
            }
        };
        let properties = it.sensors.iter().enumerate().map(|(at, of)| {
            let id = format!("{{{}}}", wildcard(at));
            let uri = uri::of(uri::SENSOR, &[&*of.0.id, &*id]);
            format!("{uri}#/Reading")
        });
        let wildcards = it.sensors.iter().enumerate().map(|(at, of)| {
            let ids = of.1.iter().map(|sensor| sensor.id.to_string());
            metric_definition::Wildcard::new().name(wildcard(at)).values(ids)
        });
        let body = Metric::new("", it.id, it.name)
            .metric_type(match range {
                Some(_) => MetricType::Gauge,
                None => MetricType::Numeric,
            })
            .metric_data_type(MetricDataType::Decimal)
            .units(it.kind.unit())
            .implementation(if it.is_synthesized() {
                ImplementationType::Synthesized
            } else {
                ImplementationType::PhysicalSensor
            })
            .calculable(if it.is_summable() {
                Calculable::Summable
            } else {
                Calculable::NonSummable
            })
            .is_linear(true)
            .metric_properties(properties)
            .wildcards(wildcards)
            .sensing_interval(format!("PT{interval}S"))
            .with(low, Metric::min_reading_range)
            .with(high, Metric::max_reading_range)
            .with(
                it.context().map(sensor::physical_context),
                Metric::physical_context,
            );
        Some(answer(body))
    }
}

/// What the agent knows of itself.
fn of_manager(view: &View<'_>, it: &OfManager) -> Answer {
    use metric_definition::MetricDefinition as Metric;
    let share = it.form == Form::Percent;
    let most = if share { number(100.0) } else { None };
    let body = Metric::new("", it.id, it.name)
        .metric_type(match it.form {
            Form::Percent => MetricType::Gauge,
            Form::Amount => MetricType::Numeric,
            Form::Counter => MetricType::Counter,
        })
        .metric_data_type(if share {
            MetricDataType::Decimal
        } else {
            MetricDataType::Integer
        })
        .units(it.unit)
        .implementation(ImplementationType::Synthesized)
        .calculable(Calculable::NonSummable)
        .is_linear(true)
        .metric_properties([it.path(view.snapshot)])
        .with(number(0.0), Metric::min_reading_range)
        .with(most, Metric::max_reading_range);
    answer(body)
}
