//! The fleet's OpenAPI document with its presentation facts, read as a page
//! model.
//!
//! `openapi/fleet.json` says what exists; `openapi/overlay.yaml` adds how it is
//! shown. The two are merged when this crate is built; [`document`] is the
//! result. [`PageModel`] reads it into what lists, details, forms, actions and
//! tables need. Whatever the overlay does not say has a default that follows
//! from the schema, so a new endpoint appears everywhere by itself.
//!
//! What the overlay may say (all optional):
//!
//! | where | key | value |
//! |---|---|---|
//! | a path, or a tag whose name is the resource's plural | `x-onprem-resource` | `{name, plural, kind, title, short, aliases, icon, group, order, idField, nameField, parent, hidden}` |
//! | an item's schema | `x-onprem-columns` | list of `"pointer"` or `{pointer, title, width, wide, sort}` |
//! | an item's schema | `x-onprem-groups` | list of group names, in their order |
//! | a property | `x-onprem-format` | a [`Format`] in lower case; `hidden` shows it nowhere |
//! | a property | `x-onprem-title`, `x-onprem-group`, `x-onprem-order`, `x-onprem-unit` | text, text, number, text |
//! | a property | `x-onprem-ref` | the resource whose id or name it holds, or `{resource, field}` |
//! | a property | `x-onprem-series` | metric name, or `{metric, unit, range}` |
//! | an enum's schema, or a property | `x-onprem-state` | `{value: tone}` or `{value: {tone, label}}` |
//! | an operation | `x-onprem-action` | `{label, danger, confirm, bulk, states, field, icon, order, hidden, names}` |
//! | an operation or its path | `x-onprem-live` | topic of `/v1/events/stream` |
//! | a path or tag | `x-onprem-empty` | `{text, command}` |
//! | an operation | `x-onprem-cli` | `{verb, aliases, positional, words, print, lists, hidden}` |

mod command;
mod format;
#[cfg(test)]
mod json_path;
mod model;
#[cfg(test)]
mod overlay;
mod read;
mod schema;
mod words;

use std::sync::LazyLock;

use serde_json::Value;

pub use command::query_flags;
pub use format::Format;
pub use model::*;
pub use words::{kebab, title};

/// The merged document as JSON text.
#[must_use]
pub fn document_text() -> &'static str {
    include_str!(concat!(env!("OUT_DIR"), "/merged.json"))
}

/// The merged document.
#[must_use]
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        // The build script wrote it; it is JSON.
        serde_json::from_str(document_text()).unwrap_or_default()
    });
    &DOCUMENT
}

impl PageModel {
    /// The model of the document this crate was built with.
    #[must_use]
    pub fn get() -> &'static Self {
        static MODEL: LazyLock<PageModel> =
            LazyLock::new(|| PageModel::from_document(document()));
        &MODEL
    }
}
