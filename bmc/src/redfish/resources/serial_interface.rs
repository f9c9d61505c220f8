//! `SerialInterface`: a UART of the machine.

use onprem_redfish::schema::serial_interface;

use super::With as _;
use crate::redfish::{
    resource::{Answer, Resource, View, answer},
    uri,
};

/// `…/SerialInterfaces/{SerialInterfaceId}`
pub(crate) struct SerialInterface;

impl Resource for SerialInterface {
    fn uri(&self) -> &'static str {
        uri::SERIAL_INTERFACE
    }

    fn kind(&self) -> &'static str {
        "SerialInterface"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, id] = ids else { return None };
        let manager = view.manager(ids)?;
        let it = manager.serial.iter().find(|port| &*port.id == *id)?;
        let about = it.driver.as_ref().map(|name| format!("Driver: {name}"));
        let name = format!("/dev/{}", it.id);
        let body = serial_interface::SerialInterface::new("", *id, name)
            .with(about, serial_interface::SerialInterface::description);
        Some(answer(body))
    }
}
