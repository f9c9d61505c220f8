//! `Manager`: the agent itself.

use chrono::{Local, SecondsFormat};
use onprem_redfish::schema::{
    Reference,
    manager::{self, Links, ManagerType},
    resource::{self, PowerState},
};
use serde_json::{Map, Value, json};

use super::{
    With as _, enabled, manager_i2c, manager_reset, manager_time,
    sensor::{trouble, with_conditions},
};
use crate::{
    model::{Id, Part, WatchdogState},
    redfish::{
        resource::{
            Acted, Action, Answer, Freshness, Pending, Resource, View, Write,
            answer,
        },
        uri,
    },
};

/// `/redfish/v1/Managers/{ManagerId}`
pub(crate) struct Manager;

/// `Watchdog` of the schema `OnPremManager`.
fn watchdog(state: &WatchdogState) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| {
        shown.insert(name.to_owned(), value);
    };
    put("Device", (*state.device).into());
    let up = state.name.is_some();
    put("State", if up { "Watching" } else { "Unavailable" }.into());
    if let Some(name) = &state.name {
        put("Identity", (**name).into());
        put("CanBeStopped", state.stops.into());
    }
    if let Some(timeout) = state.timeout {
        put("TimeoutSeconds", timeout.as_secs().into());
    }
    if let Some(left) = state.left_now() {
        put("TimeLeftSeconds", left.as_secs().into());
    }
    shown.into()
}

fn status(view: &View<'_>, id: &Id) -> resource::Status {
    let part = Part::Manager(id.clone());
    let status = enabled(view.snapshot.trouble_health(&part));
    with_conditions(status, view.snapshot.troubles(&part).map(trouble))
}

impl Resource for Manager {
    fn uri(&self) -> &'static str {
        uri::MANAGER
    }

    fn kind(&self) -> &'static str {
        "Manager"
    }

    fn freshness(&self) -> Freshness {
        // It tells the time.
        Freshness::Second
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let it = view.manager(ids)?;
        let inventory = &view.snapshot.inventory;
        let now = Local::now();
        let below = |pattern| Reference::new(uri::of(pattern, ids));
        let systems = inventory.systems.iter();
        let chassis = inventory.chassis.iter();
        let outer = chassis.clone().find(|c| c.contained_by.is_none());
        let mut links = Links::new()
            .manager_for_servers(
                systems.map(|s| uri::of(uri::SYSTEM, &[&s.id])),
            )
            .manager_for_chassis(
                chassis.map(|c| uri::of(uri::CHASSIS, &[&c.id])),
            );
        if let Some(outer) = outer {
            let at = uri::of(uri::CHASSIS, &[&outer.id]);
            links = links.manager_in_chassis(at);
        }
        let serial =
            (!it.serial.is_empty()).then(|| below(uri::SERIAL_INTERFACES));
        let body = manager::Manager::new("", &*it.id, &*it.name)
            .manager_type(ManagerType::Bmc)
            .uuid(it.uuid)
            .service_entry_point_uuid(it.uuid)
            .manufacturer("on-prem")
            .model(&*it.model)
            .firmware_version(&*it.version)
            .date_time(now.to_rfc3339_opts(SecondsFormat::Secs, true))
            .date_time_local_offset(now.format("%:z").to_string())
            .last_reset_time(
                view.service.started.to_rfc3339_opts(SecondsFormat::Secs, true),
            )
            .power_state(PowerState::On)
            .status(status(view, &it.id))
            .ethernet_interfaces(below(uri::MANAGER_INTERFACES))
            .network_protocol(below(uri::NETWORK_PROTOCOL))
            .with(serial, manager::Manager::serial_interfaces)
            .log_services(below(uri::MANAGER_LOGS))
            .manager_diagnostic_data(below(uri::MANAGER_DIAGNOSTIC_DATA))
            .links(links);
        let mut answer = answer(body).volatile(&["DateTime"]);
        let mut about = Map::new();
        if let Some(fleet) = view.service.fleet_shown() {
            about.insert("Fleet".to_owned(), fleet);
        }
        if let Some(state) = &view.snapshot.watchdog {
            about.insert("Watchdog".to_owned(), watchdog(state));
        }
        if !it.i2c.is_empty() {
            let buses = manager_i2c::shown_buses(&it.i2c);
            about.insert("I2CBuses".to_owned(), buses);
        }
        if !about.is_empty() {
            let of = "#OnPremManager.v1_0_0.OnPrem";
            about.insert("@odata.type".to_owned(), of.into());
            answer.body.insert("Oem".to_owned(), json!({"OnPrem": about}));
        }
        Some(manager_i2c::offer(manager_reset::offer(answer), view))
    }

    fn writable(&self) -> &'static [&'static str] {
        &[manager_time::DATE_TIME]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async { manager_time::set(write) })
    }

    fn actions(&self) -> &'static [Action] {
        const ALL: [Action; 3] = {
            let [reset, defaults] = manager_reset::ACTIONS;
            [reset, defaults, manager_i2c::ACTION]
        };
        &ALL
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(async move {
            match action {
                manager_i2c::DETECT => manager_i2c::act(write).await,
                _ => manager_reset::act(write, action).await,
            }
        })
    }
}
