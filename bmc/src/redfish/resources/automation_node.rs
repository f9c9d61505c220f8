//! `AutomationNode`: a loop that runs by itself.

use onprem_redfish::schema::automation_node::{
    self, Links, NodeState, NodeType,
};

use super::enabled;
use crate::{
    model::{Chassis, Control, ControlMode, Health},
    redfish::{
        resource::{Answer, Resource, View, answer},
        uri,
    },
};

/// `/redfish/v1/AutomationNodes/{AutomationNodeId}`
pub(crate) struct AutomationNode;

impl Resource for AutomationNode {
    fn uri(&self) -> &'static str {
        uri::AUTOMATION_NODE
    }

    fn kind(&self) -> &'static str {
        "AutomationNode"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [id] = ids else { return None };
        let mut all = loops(view);
        let (chassis, control) = all.find(|(_, it)| &*it.id == *id)?;
        let state = view.snapshot.controls.get(&control.id);
        let state = match state.map(|state| state.mode).unwrap_or_default() {
            ControlMode::Automatic => NodeState::Running,
            ControlMode::Manual | ControlMode::Override => NodeState::Idle,
        };
        let ids = [&*chassis.id, &*control.id];
        let links = Links::new()
            .chassis([uri::of(uri::CHASSIS, &[&chassis.id])])
            .output_control(uri::of(uri::CONTROL, &ids));
        let name = format!("{} loop", control.name);
        let body = automation_node::AutomationNode::new("", *id, name)
            .node_type(NodeType::Simple)
            .node_state(state)
            .status(enabled(Health::Ok))
            .links(links);
        Some(answer(body))
    }
}

/// The controls whose loop is known, with their chassis.
pub(super) fn loops<'a>(
    view: &View<'a>,
) -> impl Iterator<Item = (&'a Chassis, &'a Control)> + use<'a> {
    let chassis = view.snapshot.inventory.chassis.iter();
    let all = chassis.flat_map(|chassis| {
        chassis.controls.iter().map(move |control| (chassis, control))
    });
    all.filter(|(_, control)| control.watched.is_some())
}
