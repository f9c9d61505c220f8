//! The DMTF Redfish schemas, compiled: typed resources, rules for writes, privileges, messages.
//!
//! Everything follows from the CSDL in the crate `nv-redfish-schema` and from
//! three small tables in this folder. To serve another resource type, add its
//! name to `roots.txt`.
//!
//! | module | what for | start at |
//! |---|---|---|
//! | [`schema`] | typed answers, required members in the constructor | `schema::sensor::Sensor::new(…)` |
//! | [`csdl`] | what a type may contain, where it lives | [`csdl::type_named`], [`csdl::resource_at`] |
//! | [`json`] | the text of a request, in which nothing stands twice | [`json::parse`] |
//! | [`write`] | checks the body of PATCH, POST and actions | [`write::patch`], [`write::create`], [`write::action`] |
//! | [`privilege`] | who may do what | [`privilege::required`] |
//! | [`message`] | `@Message.ExtendedInfo` and the error body | [`message::base`], [`message::error`] |
//! | [`document`] | `$metadata`, `odata`, what is published where | [`document::METADATA`] |
//! | [`check`] | a payload against the schema, for tests | [`check()`] |
//! | [`tree`] | all resources of a service together, for tests | [`check_tree`] |
//!
//! ```
//! use onprem_redfish::{csdl, message, privilege, write};
//! use serde_json::json;
//!
//! let system = csdl::type_named("ComputerSystem").unwrap();
//! assert!(system.updatable);
//!
//! // A PATCH: take what the resource writes; what is left is refused.
//! let body = json!({"AssetTag": "c001-b8", "Boot": {"BootSourceOverrideTarget": "Pxe"}});
//! let mut patch = write::patch(system, &body).unwrap();
//! assert_eq!(patch.take("/AssetTag"), Some(json!("c001-b8")));
//! let refused = patch.finish().unwrap_err();
//! assert_eq!(refused[0].id(), "Base.1.22.PropertyNotWritable");
//!
//! // What went wrong, in Redfish's own form.
//! let body = message::error(&refused);
//! assert!(body["error"]["@Message.ExtendedInfo"][0]["Message"].is_string());
//!
//! let held = privilege::Privileges::of(&[privilege::Privilege::Login]);
//! let pattern = "/redfish/v1/Systems/{ComputerSystemId}";
//! assert!(!privilege::required(pattern, "PATCH", None).unwrap().met_by(held));
//! ```

pub mod check;
pub mod csdl;
pub mod document;
pub mod json;
pub mod message;
pub mod privilege;
mod rule;
mod sparse;
pub mod tree;
pub mod write;

pub use check::{Problem, check};
pub use sparse::IntoJson;
pub use tree::check_tree;

/// The response structs, one module a schema.
#[allow(
    clippy::all,
    clippy::pedantic,
    missing_debug_implementations,
    non_snake_case,
    unreachable_pub,
    reason = "generated from the CSDL, with its prose"
)]
pub mod schema {
    pub use nv_redfish_server_core::{EdmGuid, Enum, FiniteF64, Reference};

    include!(concat!(env!("OUT_DIR"), "/schema.rs"));
}
