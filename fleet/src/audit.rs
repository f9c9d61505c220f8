//! The audit log: who did what. Records are only ever added, and each carries
//! the hash of the one before, so that none can be taken out or changed
//! without a trace.

use std::{net::IpAddr, sync::Arc};

use chrono::Utc;
use dropshot::ResultsPage;
use onprem_link::{enrol::Fingerprint, id::Xid, log::Chain};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::{
    api::{AuditRecord, AuditRecordFilter, Key, Page},
    error::Error,
    store::{
        Change, Collection, Document, Expect, Range, Store, StoreError, Write,
    },
};

/// Records that wait to be written; who comes then waits as well.
const QUEUE: usize = 256;

/// Records that one page of a filtered list looks at.
const LOOKED_AT: usize = 10_000;

/// Something that was asked for, and what came of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The account that asked.
    pub account: Option<String>,
    /// Where from.
    pub source: IpAddr,
    /// The operation.
    pub operation: String,
    /// The method of the request.
    pub method: String,
    /// The path of the request.
    pub path: String,
    /// The device it was about.
    pub device: Option<Xid>,
    /// What exactly was asked, where the path does not say it.
    pub detail: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// The code of the error.
    pub error_code: Option<String>,
    /// The id of the request.
    pub request_id: String,
}

/// The audit log.
#[derive(Debug)]
pub struct Audit {
    store: Arc<dyn Store>,
    queue: mpsc::Sender<Waiting>,
}

type Waiting = (Entry, oneshot::Sender<Result<(), Arc<StoreError>>>);

impl Audit {
    /// Continues the log where it ends.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn open(
        store: Arc<dyn Store>,
        tasks: &TaskTracker,
    ) -> Result<Self, StoreError> {
        let last = Range { after: None, down: true, limit: 1 };
        let last = store.range(Collection::Audit, last).await?;
        let last = last.first().map(record).transpose()?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        let writer = Writer {
            store: Arc::clone(&store),
            sequence: last.as_ref().map_or(0, |record| record.sequence),
            hash: last.map_or_else(String::new, |record| record.hash),
        };
        tasks.spawn(writer.run(waiting));
        Ok(Self { store, queue })
    }

    /// Adds a record; it survives a power loss once this returns.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn append(&self, entry: Entry) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let closed = || {
            Error::Store(StoreError::Failed("the audit log is closed".into()))
        };
        self.queue.send((entry, answer)).await.map_err(|_| closed())?;
        answered
            .await
            .map_err(|_| closed())?
            .map_err(|error| Error::Store(StoreError::Failed(error.into())))
    }

    /// Records before number `before`, the newest first.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn before(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, Error> {
        let after = before.map(key);
        let range = Range { after, down: true, limit };
        let found = self.store.range(Collection::Audit, range).await?;
        Ok(found.iter().map(record).collect::<Result<_, _>>()?)
    }

    /// A page of the log, the newest first; `device` is the one that the
    /// filter names.
    ///
    /// # Errors
    /// The store does not work; the page is not of this list.
    pub async fn page(
        &self,
        page: &Page<AuditRecordFilter>,
        device: Option<Xid>,
    ) -> Result<ResultsPage<AuditRecord>, Error> {
        let filter = &page.filter;
        let takes = |record: &AuditRecord| {
            let operation = filter.operation.as_ref();
            (filter.account.is_none() || record.account == filter.account)
                && operation.is_none_or(|o| *o == record.operation)
                && (filter.device.is_none()
                    || (device.is_some() && record.device == device))
        };
        let mut before = match &page.after {
            None => None,
            Some((_, id)) => Some(id.parse().map_err(|_| {
                Error::invalid("?page_token", "not a token of this list")
            })?),
        };
        let filters = filter.account.is_some()
            || filter.operation.is_some()
            || filter.device.is_some();
        let at_once = if filters { LOOKED_AT / 10 } else { page.limit };
        let (mut found, mut looked_at) = (Vec::new(), 0);
        loop {
            let records = self.before(before, at_once).await?;
            let more = records.len() == at_once;
            for record in records {
                looked_at += 1;
                before = Some(record.sequence);
                if takes(&record) {
                    found.push(record);
                }
                if found.len() == page.limit {
                    break;
                }
            }
            if !more && found.len() < page.limit {
                return page.answer(found, None);
            }
            if found.len() == page.limit || looked_at >= LOOKED_AT {
                let next = before.filter(|sequence| *sequence > 1);
                let next = next.map(|s| (Key::None, s.to_string()));
                return page.answer(found, next);
            }
        }
    }
}

fn key(sequence: u64) -> String {
    format!("{sequence:020}")
}

fn record(document: &Document) -> Result<AuditRecord, StoreError> {
    serde::Deserialize::deserialize(&document.body)
        .map_err(|error: serde_json::Error| StoreError::Failed(error.into()))
}

/// The hash of a record: SHA-256 of it as compact JSON, its `hash` empty.
#[must_use]
pub fn hash(record: &AuditRecord) -> String {
    let bare = AuditRecord { hash: String::new(), ..record.clone() };
    // A struct of texts and numbers can always be written.
    let text = serde_json::to_vec(&bare).unwrap_or_default();
    Fingerprint::of(&text).to_string()
}

struct Writer {
    store: Arc<dyn Store>,
    sequence: u64,
    hash: String,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut group = Vec::with_capacity(QUEUE);
        while waiting.recv_many(&mut group, QUEUE).await > 0 {
            let (entries, answers): (Vec<_>, Vec<_>) = group.drain(..).unzip();
            let result = self.write(entries).await.map_err(Arc::new);
            if let Err(error) = &result {
                error!(error = %Chain(error), "audit records not written");
            }
            for answer in answers {
                // Who asked may have gone away; the record stays.
                let _ = answer.send(result.clone());
            }
        }
    }

    async fn write(&mut self, entries: Vec<Entry>) -> Result<(), StoreError> {
        let (mut sequence, mut last) = (self.sequence, self.hash.clone());
        let mut writes = Vec::with_capacity(entries.len());
        for entry in entries {
            sequence += 1;
            let mut record = AuditRecord {
                sequence,
                time: Utc::now(),
                account: entry.account,
                source: entry.source,
                operation: entry.operation,
                method: entry.method,
                path: entry.path,
                device: entry.device,
                detail: entry.detail,
                status: entry.status,
                error_code: entry.error_code,
                request_id: entry.request_id,
                previous_hash: std::mem::take(&mut last),
                hash: String::new(),
            };
            record.hash = hash(&record);
            last.clone_from(&record.hash);
            writes.push(Write {
                collection: Collection::Audit,
                id: key(sequence),
                expect: Expect::Absent,
                change: Change::Put {
                    body: serde_json::to_value(record)
                        .map_err(|e| StoreError::Failed(e.into()))?,
                    unique: Vec::new(),
                },
            });
        }
        self.store.apply(writes).await?;
        (self.sequence, self.hash) = (sequence, last);
        Ok(())
    }
}
