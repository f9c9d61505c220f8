//! The network interfaces of a device, made into our words.

use serde_json::Value;

use super::{Live, health, link, text};
use crate::{api::DeviceNetworkInterface, error::Error};

impl Live {
    /// All network interfaces of the computer; those of the manager, where it
    /// has none: nodes on a control bus do not say where they are, but the one
    /// who looks after them does.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub async fn network_interfaces(
        &self,
    ) -> Result<Vec<DeviceNetworkInterface>, Error> {
        let found = self.interfaces_of(&self.whole().await?).await?;
        if !found.is_empty() {
            return Ok(found);
        }
        match self.members("/redfish/v1/Managers").await?.first() {
            Some(manager) => self.interfaces_of(manager).await,
            None => Ok(found),
        }
    }

    async fn interfaces_of(
        &self,
        resource: &Value,
    ) -> Result<Vec<DeviceNetworkInterface>, Error> {
        let Some(path) = link(resource, "/EthernetInterfaces") else {
            return Ok(Vec::new());
        };
        let interface = |interface: Value| {
            let addresses = ["/IPv4Addresses", "/IPv6Addresses"]
                .iter()
                .filter_map(|list| interface.pointer(list)?.as_array())
                .flatten()
                .filter_map(|address| text(address, "/Address")?.parse().ok())
                .collect();
            DeviceNetworkInterface {
                id: text(&interface, "/Id").unwrap_or_default(),
                name: text(&interface, "/Name").unwrap_or_default(),
                mac_address: text(&interface, "/MACAddress"),
                link_status: text(&interface, "/LinkStatus"),
                speed_mbps: interface
                    .pointer("/SpeedMbps")
                    .and_then(Value::as_u64),
                mtu: interface
                    .pointer("/MTUSize")
                    .and_then(Value::as_u64)
                    .and_then(|mtu| u32::try_from(mtu).ok()),
                addresses,
                health: health(&interface),
            }
        };
        let found = self.members(path).await?;
        Ok(found.into_iter().map(interface).collect())
    }
}
