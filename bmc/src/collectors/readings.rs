//! Readings of the sensors, with how old they are and whether to trust them.

use super::{
    Scrape,
    text::{Kind, Text},
};
use crate::model::{Chassis, Quality, Reading, Sensor, SensorKind};

/// A kind of sensor, its metric, the factor to Prometheus' base unit, help.
const FAMILIES: &[(SensorKind, &str, f64, &str)] = &[
    (
        SensorKind::Temperature,
        "onprem_sensor_temperature_celsius",
        1.0,
        "A temperature.",
    ),
    (SensorKind::Rotation, "onprem_sensor_fan_rpm", 1.0, "Turns a minute."),
    (SensorKind::Percent, "onprem_sensor_ratio", 0.01, "A share of a whole."),
    (SensorKind::Voltage, "onprem_sensor_volts", 1.0, "A voltage."),
    (SensorKind::Current, "onprem_sensor_amperes", 1.0, "A current."),
    (SensorKind::Power, "onprem_sensor_watts", 1.0, "A power."),
    (SensorKind::Frequency, "onprem_sensor_hertz", 1.0, "A frequency."),
    (
        SensorKind::Signal,
        "onprem_sensor_signal_dbm",
        1.0,
        "The power of a radio signal, in dBm.",
    ),
    (
        SensorKind::Offset,
        "onprem_sensor_offset_seconds",
        1.0,
        "How far a clock is ahead of the machine's.",
    ),
];

pub(super) fn collect(scrape: &Scrape<'_>, text: &mut Text) {
    let chassis = &scrape.snapshot.inventory.chassis;
    let sensors: Vec<(&Chassis, &Sensor)> = chassis
        .iter()
        .flat_map(|c| c.sensors.iter().map(move |s| (c, s)))
        .collect();
    for (kind, name, factor, help) in FAMILIES {
        let mut of_kind =
            sensors.iter().filter(|(_, s)| s.kind == *kind).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        text.begin(name, Kind::Gauge, help);
        for (chassis, sensor) in of_kind {
            // What is stale or failed is absent, so that nobody averages it.
            let reading = scrape.snapshot.reading(&sensor.id);
            let good = reading.filter(|r| r.quality == Quality::Good);
            if let Some(value) = good.and_then(Reading::number) {
                let value = (value * factor * 1e6).round() / 1e6;
                text.line(name, &labels(chassis, sensor), value);
            }
        }
    }
    let name = "onprem_sensor_good";
    text.begin(name, Kind::Gauge, "Whether the sensor can be trusted: 1 or 0.");
    for (chassis, sensor) in &sensors {
        let reading = scrape.snapshot.reading(&sensor.id);
        let good = reading.is_some_and(|r| r.quality == Quality::Good);
        text.line(name, &labels(chassis, sensor), u8::from(good));
    }
    let name = "onprem_sensor_age_seconds";
    text.begin(name, Kind::Gauge, "Time since the sensor was read.");
    for (chassis, sensor) in &sensors {
        if let Some(reading) = scrape.snapshot.reading(&sensor.id) {
            let age = scrape.now.duration_since(reading.taken);
            let age = (age.as_secs_f64() * 1000.0).round() / 1000.0;
            text.line(name, &labels(chassis, sensor), age);
        }
    }
}

fn labels<'a>(
    chassis: &'a Chassis,
    sensor: &'a Sensor,
) -> [(&'static str, &'a str); 2] {
    [("chassis", &chassis.id), ("sensor", &sensor.id)]
}
