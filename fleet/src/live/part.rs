//! The parts of a device, made into our words.

use chrono::Utc;
use serde_json::Value;

use super::{Live, health, link, number, text, time, word};
use crate::{
    api::{DeviceFan, DevicePower, DeviceSensor, DeviceSystem, PowerSupply},
    error::Error,
};

impl Live {
    /// The computer, or what holds several.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn system(&self) -> Result<DeviceSystem, Error> {
        let system = self.whole().await?;
        let power_state = match word(&system, "/PowerState") {
            None => self.power_state().await?,
            known => known,
        };
        let gib = system.pointer("/MemorySummary/TotalSystemMemoryGiB");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size in GiB is a small number above zero"
        )]
        let bytes = gib
            .and_then(Value::as_f64)
            .map(|gib| (gib.max(0.0) * f64::from(1 << 30)).round() as u64);
        let cores = system
            .pointer("/ProcessorSummary/CoreCount")
            .or_else(|| system.pointer("/ProcessorSummary/Count"));
        Ok(DeviceSystem {
            id: text(&system, "/Id").unwrap_or_default(),
            name: text(&system, "/Name").unwrap_or_default(),
            manufacturer: text(&system, "/Manufacturer"),
            model: text(&system, "/Model"),
            serial_number: text(&system, "/SerialNumber"),
            sku: text(&system, "/SKU"),
            uuid: text(&system, "/UUID").and_then(|uuid| uuid.parse().ok()),
            host_name: text(&system, "/HostName"),
            asset_tag: text(&system, "/AssetTag"),
            bios_version: text(&system, "/BiosVersion"),
            power_state,
            health: health(&system),
            locator_active: system
                .pointer("/LocationIndicatorActive")
                .and_then(Value::as_bool),
            processor_model: text(&system, "/ProcessorSummary/Model"),
            processor_cores: cores
                .and_then(Value::as_u64)
                .and_then(|cores| u32::try_from(cores).ok()),
            memory_bytes: bytes,
            read_at: Utc::now(),
        })
    }

    /// All sensors.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn sensors(&self) -> Result<Vec<DeviceSensor>, Error> {
        let mut found = Vec::new();
        for (id, chassis) in self.chassis().await? {
            if let Some(path) = link(&chassis, "/Sensors") {
                let members = self.members(path).await?;
                found.extend(members.into_iter().map(|m| (id.clone(), m)));
            }
        }
        let sensor = |(chassis, sensor): (String, Value)| DeviceSensor {
            id: text(&sensor, "/Id").unwrap_or_default(),
            chassis,
            name: text(&sensor, "/Name").unwrap_or_default(),
            reading_type: text(&sensor, "/ReadingType"),
            reading: number(&sensor, "/Reading"),
            reading_units: text(&sensor, "/ReadingUnits"),
            physical_context: text(&sensor, "/PhysicalContext"),
            status: text(&sensor, "/Status/State"),
            health: health(&sensor),
            upper_caution: threshold(&sensor, "UpperCaution"),
            upper_critical: threshold(&sensor, "UpperCritical"),
            lower_caution: threshold(&sensor, "LowerCaution"),
            lower_critical: threshold(&sensor, "LowerCritical"),
            reading_time: time(&sensor, "/ReadingTime"),
        };
        Ok(found.into_iter().map(sensor).collect())
    }

    /// All fans.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn fans(&self) -> Result<Vec<DeviceFan>, Error> {
        let mut found = Vec::new();
        for (id, chassis) in self.chassis().await? {
            let Some(path) = link(&chassis, "/ThermalSubsystem") else {
                continue;
            };
            let Some(subsystem) = self.get_if_there(path).await? else {
                continue;
            };
            if let Some(path) = link(&subsystem, "/Fans") {
                let members = self.members(path).await?;
                found.extend(members.into_iter().map(|m| (id.clone(), m)));
            }
        }
        let fan = |(chassis, fan): (String, Value)| DeviceFan {
            id: text(&fan, "/Id").unwrap_or_default(),
            chassis,
            name: text(&fan, "/Name").unwrap_or_default(),
            speed_percent: number(&fan, "/SpeedPercent/Reading"),
            speed_rpm: number(&fan, "/SpeedPercent/SpeedRPM"),
            physical_context: text(&fan, "/PhysicalContext"),
            status: text(&fan, "/Status/State"),
            health: health(&fan),
        };
        Ok(found.into_iter().map(fan).collect())
    }

    /// What the device draws, and from where.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn power(&self) -> Result<DevicePower, Error> {
        let mut capacity = None;
        let mut consumed = None;
        let mut supplies = Vec::new();
        for (id, chassis) in self.chassis().await? {
            if let Some(path) = link(&chassis, "/EnvironmentMetrics") {
                let metrics = self.get_if_there(path).await?;
                let watts =
                    metrics.and_then(|m| number(&m, "/PowerWatts/Reading"));
                consumed = sum(consumed, watts);
            }
            let Some(path) = link(&chassis, "/PowerSubsystem") else {
                continue;
            };
            let Some(subsystem) = self.get_if_there(path).await? else {
                continue;
            };
            capacity = sum(capacity, number(&subsystem, "/CapacityWatts"));
            if let Some(path) = link(&subsystem, "/PowerSupplies") {
                for supply in self.members(path).await? {
                    supplies.push(self.supply(&id, &supply).await?);
                }
            }
        }
        Ok(DevicePower {
            power_state: self.power_state().await?,
            consumed_watts: consumed,
            capacity_watts: capacity,
            supplies,
            read_at: Utc::now(),
        })
    }

    async fn supply(
        &self,
        chassis: &str,
        supply: &Value,
    ) -> Result<PowerSupply, Error> {
        let metrics = match link(supply, "/Metrics") {
            Some(path) => self.get_if_there(path).await?,
            None => None,
        }
        .unwrap_or_default();
        Ok(PowerSupply {
            id: text(supply, "/Id").unwrap_or_default(),
            chassis: chassis.to_owned(),
            name: text(supply, "/Name").unwrap_or_default(),
            model: text(supply, "/Model"),
            capacity_watts: number(supply, "/PowerCapacityWatts"),
            output_watts: number(&metrics, "/OutputPowerWatts/Reading"),
            input_volts: number(&metrics, "/InputVoltage/Reading"),
            status: text(supply, "/Status/State"),
            health: health(supply),
        })
    }
}

fn threshold(sensor: &Value, name: &str) -> Option<f64> {
    number(sensor, &format!("/Thresholds/{name}/Reading"))
}

fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}
