//! Certificates that run out: an event before they do, and one when they have.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use onprem_redfish::message::resource_event;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Service, resources::certificate::health, uri};
use crate::model::Health;

/// How often certificates are looked at, unless one is replaced.
const OFTEN: Duration = Duration::from_hours(1);

/// Sends an event for each certificate whose health is not what it was.
pub(super) async fn watch(
    service: Weak<Service>,
    changed: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut known = HashMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => {}
            () = sleep(OFTEN) => {}
        }
        let Some(service) = service.upgrade() else { return };
        service.look_at_certificates(&mut known);
    }
}

impl Service {
    fn look_at_certificates(&self, known: &mut HashMap<String, Health>) {
        let mut now = HashMap::new();
        for (uri, pem) in self.certificates() {
            let health = health(&pem);
            let before = known.get(&uri).copied().unwrap_or(Health::Ok);
            now.insert(uri.clone(), health);
            if health == before {
                continue;
            }
            let message = match health {
                Health::Ok => {
                    resource_event::resource_status_changed_ok(&uri, "OK")
                }
                Health::Warning => {
                    resource_event::resource_status_changed_warning(
                        &uri, "Warning",
                    )
                }
                Health::Critical => {
                    resource_event::resource_status_changed_critical(
                        &uri, "Critical",
                    )
                }
            };
            let message = message.resolved_by(
                "See ValidNotAfter of the certificate, and replace it in time.",
            );
            self.events.send(&message, &uri);
        }
        // Of what is gone there is nothing to say.
        *known = now;
    }

    /// All certificates by URI, as PEM.
    pub(super) fn certificates(&self) -> Vec<(String, String)> {
        let manager = &self.model.snapshot().inventory.manager.id;
        let own = self.identity().map(|identity| {
            let uri = uri::of(uri::CERTIFICATE, &[&**manager, "1"]);
            (uri, identity.certificates())
        });
        let issuers = self.trust.issuers().into_iter().map(|(id, pem)| {
            (uri::of(uri::CLIENT_CERTIFICATE, &[id.to_string()]), pem)
        });
        own.into_iter().chain(issuers).collect()
    }
}
