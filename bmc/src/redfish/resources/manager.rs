//! `Manager`: the agent itself.

use chrono::{Local, SecondsFormat};
use onprem_redfish::schema::{
    Reference,
    manager::{self, Links, ManagerType},
    resource::PowerState,
};
use serde_json::json;

use super::{With as _, enabled, manager_reset, manager_time};
use crate::{
    model::Health,
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
            .status(enabled(Health::Ok))
            .ethernet_interfaces(below(uri::MANAGER_INTERFACES))
            .network_protocol(below(uri::NETWORK_PROTOCOL))
            .with(serial, manager::Manager::serial_interfaces)
            .log_services(below(uri::MANAGER_LOGS))
            .manager_diagnostic_data(below(uri::MANAGER_DIAGNOSTIC_DATA))
            .links(links);
        let mut answer = answer(body).volatile(&["DateTime"]);
        if let Some(fleet) = view.service.fleet_shown() {
            let about = json!({"OnPrem": {
                "@odata.type": "#OnPremManager.v1_0_0.OnPrem",
                "Fleet": fleet,
            }});
            answer.body.insert("Oem".to_owned(), about);
        }
        Some(manager_reset::offer(answer))
    }

    fn writable(&self) -> &'static [&'static str] {
        &[manager_time::DATE_TIME]
    }

    fn patch<'a>(&'a self, write: &'a Write<'a>) -> Pending<'a, ()> {
        Box::pin(async { manager_time::set(write) })
    }

    fn actions(&self) -> &'static [Action] {
        manager_reset::ACTIONS
    }

    fn act<'a>(
        &'a self,
        write: &'a Write<'a>,
        action: &'a str,
    ) -> Pending<'a, Acted> {
        Box::pin(manager_reset::act(write, action))
    }
}
