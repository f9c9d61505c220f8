//! Where the fleet keeps what it must not forget: documents with unique keys,
//! changed only when they are still what the writer saw.

mod embedded;
mod table;

#[cfg(test)]
mod suite;

use std::{error::Error, fmt::Debug};

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::broadcast;

pub use self::{
    embedded::Embedded,
    table::{Record, Table},
};

/// A kind of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collection {
    /// People and programs.
    Accounts,
    /// Audit records, by number.
    Audit,
    /// API tokens and sessions.
    Credentials,
    /// Devices.
    Devices,
    /// Events.
    Events,
    /// Join tokens.
    JoinTokens,
    /// What the server notes of itself.
    Server,
    /// Tasks.
    Tasks,
    /// Wrong passwords.
    Throttles,
}

impl Collection {
    /// What the store calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Audit => "audit",
            Self::Credentials => "credentials",
            Self::Devices => "devices",
            Self::Events => "events",
            Self::JoinTokens => "join-tokens",
            Self::Server => "server",
            Self::Tasks => "tasks",
            Self::Throttles => "throttles",
        }
    }
}

/// A document as it is in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its id, unique in its collection.
    pub id: String,
    /// Counts its changes.
    pub version: u64,
    /// What is in it.
    pub body: Value,
}

/// What a document has to be for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Not there.
    Absent,
    /// There, in this version.
    Version(u64),
    /// Whatever it is.
    Any,
}

/// What a write makes of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is this from now on.
    Put {
        /// What is in it.
        body: Value,
        /// Values that no other document of the collection may have, each
        /// with the name of the key.
        unique: Vec<(&'static str, String)>,
    },
    /// It is gone from now on.
    Delete,
}

/// A write of one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Its collection.
    pub collection: Collection,
    /// Its id.
    pub id: String,
    /// What it has to be.
    pub expect: Expect,
    /// What it becomes.
    pub change: Change,
}

/// Part of a collection, in the order of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Begin after this id.
    pub after: Option<String>,
    /// From the last id to the first.
    pub down: bool,
    /// Documents at most.
    pub limit: usize,
}

/// A document was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its collection.
    pub collection: Collection,
    /// Its id.
    pub id: String,
    /// Its new version; `None` where it was deleted.
    pub version: Option<u64>,
}

/// Why the store did not do it. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A document is not what the writer expected.
    #[error("{} `{id}` was changed by somebody else", collection.name())]
    Conflict {
        /// Its collection.
        collection: Collection,
        /// Its id.
        id: String,
    },
    /// Another document has this value.
    #[error("the {key} `{value}` is taken")]
    Taken {
        /// The name of the key.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// The store does not work.
    #[error("the store does not work")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

/// Where the fleet keeps what it must not forget.
pub trait Store: Debug + Send + Sync + 'static {
    /// The document with this id.
    fn get<'a>(
        &'a self,
        collection: Collection,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Document>, StoreError>>;

    /// The document with this value of a unique key.
    fn find<'a>(
        &'a self,
        collection: Collection,
        key: &'static str,
        value: &'a str,
    ) -> BoxFuture<'a, Result<Option<Document>, StoreError>>;

    /// Part of a collection, in the order of ids.
    fn range(
        &self,
        collection: Collection,
        range: Range,
    ) -> BoxFuture<'_, Result<Vec<Document>, StoreError>>;

    /// Makes all of the writes, or none; answers once they survive a power
    /// loss, with the new version of each.
    fn apply(
        &self,
        writes: Vec<Write>,
    ) -> BoxFuture<'_, Result<Vec<u64>, StoreError>>;

    /// The writes from now on, in their order. Who falls behind misses some,
    /// and is told so.
    fn changes(&self) -> broadcast::Receiver<Written>;
}
