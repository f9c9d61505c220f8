//! `ServiceRoot`: where everything starts.

use onprem_redfish::{
    document::REDFISH_VERSION,
    schema::{
        Reference,
        service_root::{
            self, DeepOperations, Expand, Links, ProtocolFeaturesSupported,
            ServiceRootRequired,
        },
    },
};

use crate::redfish::{
    query::MAX_LEVELS,
    resource::{Answer, Resource, View, answer},
    uri,
};

/// `/redfish/v1/`
pub(crate) struct ServiceRoot;

impl Resource for ServiceRoot {
    fn uri(&self) -> &'static str {
        "/redfish/v1/"
    }

    fn kind(&self) -> &'static str {
        "ServiceRoot"
    }

    fn get(&self, view: &View<'_>, _: &[&str]) -> Option<Answer> {
        let manager = &view.snapshot.inventory.manager;
        let links = Links::new(Reference::new(uri::SESSIONS))
            .manager_providing_service(Reference::new(uri::of(
                uri::MANAGER,
                &[&manager.id],
            )));
        let expand = Expand::new()
            .expand_all(true)
            .levels(true)
            .links(true)
            .no_links(true)
            .max_levels(MAX_LEVELS.into());
        let deep = DeepOperations::new().deep_patch(false).deep_post(false);
        let features = ProtocolFeaturesSupported::new()
            .expand_query(expand)
            .select_query(true)
            .only_member_query(true)
            .top_skip_query(true)
            .filter_query(true)
            .filter_query_comparison_operations(true)
            .filter_query_compound_operations(true)
            .excerpt_query(true)
            .include_origin_of_condition_query(false)
            .client_context_query(false)
            .deep_operations(deep)
            .multiple_http_requests(true);
        let root = service_root::ServiceRoot::new(ServiceRootRequired {
            odata_id: String::new(),
            id: "RootService".to_owned(),
            name: "On-prem Redfish service".to_owned(),
            links,
        })
        .redfish_version(REDFISH_VERSION)
        .uuid(manager.uuid)
        .vendor("on-prem")
        .product("on-prem BMC")
        .protocol_features_supported(features)
        .systems(Reference::new(uri::SYSTEMS))
        .chassis(Reference::new(uri::CHASSIS_ALL))
        .managers(Reference::new(uri::MANAGERS))
        .fabrics(Reference::new(uri::FABRICS))
        .account_service(Reference::new(uri::ACCOUNT_SERVICE))
        .session_service(Reference::new(uri::SESSION_SERVICE))
        .event_service(Reference::new(uri::EVENT_SERVICE))
        .update_service(Reference::new(uri::UPDATE_SERVICE))
        .tasks(Reference::new(uri::TASK_SERVICE))
        .telemetry_service(Reference::new(uri::TELEMETRY))
        .certificate_service(Reference::new(uri::CERTIFICATE_SERVICE))
        .automation_nodes(Reference::new(uri::AUTOMATION_NODES))
        .registries(Reference::new(uri::REGISTRIES))
        .json_schemas(Reference::new(uri::SCHEMAS));
        Some(answer(root))
    }
}
