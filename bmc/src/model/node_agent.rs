//! How an agent stands that a node has of its own.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::commands::ResetType;

/// How it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAgent {
    /// Where it is.
    pub url: Arc<str>,
    /// The graceful ways that it offers; none where it cannot be reached.
    pub kinds: Vec<ResetType>,
    /// Why it is of no use, where it is of none.
    pub why: Option<Arc<str>>,
    /// Since when it is so.
    pub at: DateTime<Utc>,
}
