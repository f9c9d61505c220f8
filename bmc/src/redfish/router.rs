//! Which resource a path leads to.

use std::fmt;

use http::{HeaderValue, Method};
use matchit::Router;
use onprem_redfish::privilege::{self, Privilege, Privileges};

use super::{
    document::{self, DOCUMENTS, Document},
    resource::{Action, Resource},
    resources::ActionInfo,
    uri,
};

/// What lies at a path.
#[derive(Clone, Copy)]
pub(crate) enum Route {
    /// A document that is no resource.
    Document(&'static Document),
    /// A resource.
    Resource(&'static Entry),
    /// Where one may POST instead of to the collection itself.
    Members(&'static Entry),
    /// An action of a resource.
    Action(&'static Entry, &'static Action),
    /// The stream of events.
    Events,
    /// Where a WebSocket is a serial console, and what came on it.
    Console,
    ConsoleHistory,
    /// Where one waits for the end of a task.
    Monitor,
    /// What is attached to an entry of a log.
    Attachment,
    /// The values of a capture.
    Captured,
    /// Where an image is pushed to.
    Push,
}

/// A resource with what the router derives from it.
pub(crate) struct Entry {
    pub(crate) resource: &'static dyn Resource,
    /// The value of `Allow`.
    pub(crate) allow: HeaderValue,
    /// Any one of these is needed to read it.
    read: Privileges,
}

impl Entry {
    fn new(resource: &'static dyn Resource) -> Self {
        let mut allow = String::from("GET, HEAD");
        for (method, allowed) in [
            (", PATCH", !resource.writable().is_empty()),
            (", POST", resource.creates().is_some()),
            (", DELETE", resource.deletes()),
        ] {
            if allowed {
                allow.push_str(method);
            }
        }
        let allow = super::render::header(&allow);
        let read = needs(resource, &Method::GET, None);
        Self { resource, allow, read }
    }

    /// May the resource be asked for `method` at all?
    pub(crate) fn allows(&self, method: &Method) -> bool {
        match method.as_str() {
            "GET" | "HEAD" => true,
            "PATCH" => !self.resource.writable().is_empty(),
            "POST" => self.resource.creates().is_some(),
            "DELETE" => self.resource.deletes(),
            _ => false,
        }
    }

    /// Any one of these privileges is needed for `method`, on the whole or on
    /// a property.
    pub(crate) fn needs(
        &self,
        method: &Method,
        property: Option<&str>,
    ) -> Privileges {
        let known = match (property, method) {
            (None, &Method::GET | &Method::HEAD) => Some(self.read),
            _ => None,
        };
        known.unwrap_or_else(|| needs(self.resource, method, property))
    }
}

fn needs(
    resource: &dyn Resource,
    method: &Method,
    property: Option<&str>,
) -> Privileges {
    let method = method.as_str();
    let needed = privilege::required(resource.uri(), method, property)
        .or_else(|| privilege::of_type(resource.kind(), method));
    // What the registry does not know is the manager's.
    needed.unwrap_or(Privileges::of(&[Privilege::ConfigureManager]))
}

/// All paths of the service.
pub(crate) struct Routes(Router<Route>);

impl Routes {
    /// The paths of `resources`. They live as long as the process.
    pub(crate) fn new(resources: &'static [&'static dyn Resource]) -> Self {
        let mut router = Router::new();
        let mut add = |path: &str, route| {
            if let Err(error) = router.insert(path, route) {
                tracing::error!(%error, path, "path not served");
            }
        };
        for document in DOCUMENTS {
            add(document.uri, Route::Document(document));
        }
        for schema in document::schemas() {
            add(schema.uri, Route::Document(Box::leak(Box::new(schema))));
        }
        add(uri::SSE, Route::Events);
        add(uri::CONSOLE, Route::Console);
        add(uri::CONSOLE_HISTORY, Route::ConsoleHistory);
        add(uri::TASK_MONITOR, Route::Monitor);
        add(uri::MANAGER_LOG_ATTACHMENT, Route::Attachment);
        add(uri::CAPTURE_SESSION, Route::Captured);
        add(uri::CAPTURE_CSV, Route::Captured);
        add(uri::UPDATE_PUSH, Route::Push);
        for resource in resources {
            let entry: &'static Entry =
                Box::leak(Box::new(Entry::new(*resource)));
            let path = resource.uri();
            add(path.trim_end_matches('/'), Route::Resource(entry));
            if resource.kind().ends_with("Collection") {
                add(&format!("{path}/Members"), Route::Members(entry));
            }
            for action in resource.actions() {
                let target = format!("{path}/Actions/{}", action.0);
                add(&target, Route::Action(entry, action));
                if let Some(info) = ActionInfo::new(*resource, action) {
                    let path = info.uri();
                    let entry = Entry::new(Box::leak(Box::new(info)));
                    let entry = Box::leak(Box::new(entry));
                    add(path, Route::Resource(entry));
                }
            }
        }
        Self(router)
    }

    /// What lies at `path`, and the ids in it.
    pub(crate) fn find<'p>(
        &self,
        path: &'p str,
    ) -> Option<(Route, Vec<&'p str>)> {
        let found = self.0.at(path).ok()?;
        let ids = found.params.iter().map(|(_, id)| id).collect();
        Some((*found.value, ids))
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Routes")
    }
}
