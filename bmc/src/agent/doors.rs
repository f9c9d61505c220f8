//! The doors of the service: its ports, and the tunnel to a fleet.

use std::sync::Arc;

use http::{HeaderValue, Response, header::CONTENT_TYPE};
use onprem_http::Body;
use onprem_link::{enrol::Facts, log::Chain};
use tracing::{info, warn};

use crate::{
    collectors::{self, Exporter},
    config::Config,
    model::{Chassis, Inventory, System},
    phone_home::{self, Line},
    redfish::{Origin, Service},
    server::{Bound, ServerConfig},
    state::{StateDir, StateError},
};

/// Says where the agent listens, to scripts and in the log.
pub(super) fn tell_where(state: &StateDir, bound: Bound) {
    let told = state.write_addresses(bound.address, bound.metrics);
    if let Err(error) = told {
        // A full disk is no reason not to serve.
        warn!(error = %Chain(&error), "scripts cannot be told where");
    }
    info!(address = %bound.address, "listening");
    if let Some(address) = bound.metrics {
        info!(%address, "listening for scrapes");
    }
}

/// What the ports are made of.
pub(super) fn ports(config: &Config, inventory: &Inventory) -> ServerConfig {
    let interfaces = &inventory.manager.interfaces;
    let ipv4 = interfaces.iter().flat_map(|i| &i.ipv4);
    let ipv6 = interfaces.iter().flat_map(|i| &i.ipv6);
    let addresses = ipv4
        .map(|address| address.address.into())
        .chain(ipv6.map(|address| address.address.into()));
    ServerConfig {
        listen: config.listen,
        metrics_listen: Some(config.metrics_listen),
        tls_dir: config.state_dir.join("tls"),
        names: inventory.manager.host_name.iter().cloned().collect(),
        addresses: addresses.collect(),
    }
}

/// What a fleet calls us: as we were told, or as the one system is called. Who
/// looks after several is none of them, but the machine that holds them.
fn called(config: &Config, inventory: &Inventory, first: &System) -> String {
    if let Some(name) = &config.name {
        return name.clone();
    }
    if let [only] = &inventory.systems[..] {
        return only.name.clone();
    }
    let holds = |it: &&Chassis| it.contained_by.is_none();
    let holder = inventory.chassis.iter().find(holds);
    let manager = inventory.manager.host_name.clone();
    manager
        .or_else(|| holder.map(|it| it.name.clone()))
        .unwrap_or_else(|| first.name.clone())
}

/// The way to a fleet, whether or not there is one now.
pub(super) fn line(
    config: &Config,
    inventory: &Inventory,
) -> Result<Option<Line>, StateError> {
    let Some(system) = inventory.systems.first() else { return Ok(None) };
    let url = config.fleet_url.clone();
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let folder = config.state_dir.join("fleet");
    let mut options = phone_home::Options::new(
        url.clone().unwrap_or_default(),
        folder,
        system.uuid,
    );
    options.join_token_file.clone_from(&config.join_token_file);
    options.facts = Facts {
        hostname: called(config, inventory, system),
        manufacturer: word(&system.board.manufacturer),
        model: word(&system.board.model),
        serial_number: word(&system.board.serial_number),
        agent_version: inventory.manager.version.clone(),
    };
    let path = options.folder.clone();
    let opened = Line::open(options, url);
    opened.map(Some).map_err(|source| StateError::File { path, source })
}

/// What the fleet gets through the tunnel: Redfish and the metrics.
pub(super) fn tunnelled(
    service: Arc<Service>,
    exporter: Exporter,
) -> phone_home::Handler {
    Arc::new(move |request, grant| {
        if request.uri().path() != "/metrics" {
            return service.handle(request, Origin::Tunnel(Box::new(grant)));
        }
        let mut response = Response::new(Body::from(exporter.render()));
        let kind = HeaderValue::from_static(collectors::CONTENT_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response.into()
    })
}
