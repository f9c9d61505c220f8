//! The store that comes with the fleet: one file, written by one thread that
//! makes many writes durable at once.

use std::{fs, io, path::Path, sync::Arc, thread};

use futures_util::future::BoxFuture;
use redb::{
    Database, ReadableDatabase as _, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::{
    Change, Collection, Document, Expect, Range, Store, StoreError, Write,
    Written,
};

/// (collection, id) → [`Stored`] as JSON.
const DOCUMENTS: TableDefinition<(&str, &str), &[u8]> =
    TableDefinition::new("documents");

/// (collection, key, value) → id.
const UNIQUE: TableDefinition<(&str, &str, &str), &str> =
    TableDefinition::new("unique");

/// Batches that wait for the writer; who comes then waits as well.
const QUEUE: usize = 1024;

/// Batches that become durable together.
const GROUP: usize = 256;

/// Writes that a slow reader of the change feed may be behind.
const FEED: usize = 4096;

/// Memory for what was read.
const CACHE_BYTES: usize = 32 << 20;

/// A store in one file.
#[derive(Debug)]
pub struct Embedded {
    database: Arc<Database>,
    queue: Option<mpsc::Sender<Batch>>,
    feed: broadcast::Sender<Written>,
    writer: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Batch {
    writes: Vec<Write>,
    answer: oneshot::Sender<Result<Vec<u64>, StoreError>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unique: Vec<(String, String)>,
    body: Value,
}

impl Embedded {
    /// Opens the store in the file at `path`, which is made where it is not.
    ///
    /// # Errors
    /// The file cannot be used, or another process uses it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        make_private(path).map_err(StoreError::failed)?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(StoreError::failed)?;
        let transaction = database.begin_write().map_err(StoreError::failed)?;
        transaction.open_table(DOCUMENTS).map_err(StoreError::failed)?;
        transaction.open_table(UNIQUE).map_err(StoreError::failed)?;
        transaction.commit().map_err(StoreError::failed)?;

        let database = Arc::new(database);
        let (queue, batches) = mpsc::channel(QUEUE);
        let feed = broadcast::channel(FEED).0;
        let writer = Writer {
            database: Arc::clone(&database),
            batches,
            feed: feed.clone(),
        };
        // It ends when the queue does.
        let writer = thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run())
            .map_err(StoreError::failed)?;
        let (queue, writer) = (Some(queue), Some(writer));
        Ok(Self { database, queue, feed, writer })
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let reader = || {
            let transaction = self.database.begin_read()?;
            let documents = transaction.open_table(DOCUMENTS)?;
            let unique = transaction.open_table(UNIQUE)?;
            read(&Reader { documents, unique })
        };
        reader().map_err(StoreError::failed)
    }
}

impl Drop for Embedded {
    /// Lets the writer finish, so that the file is free afterwards.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so.
            let _ = writer.join();
        }
    }
}

/// Makes the file readable by its owner only before anything is in it.
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    Ok(())
}

struct Reader {
    documents: redb::ReadOnlyTable<(&'static str, &'static str), &'static [u8]>,
    unique: redb::ReadOnlyTable<
        (&'static str, &'static str, &'static str),
        &'static str,
    >,
}

impl Reader {
    fn get(
        &self,
        collection: Collection,
        id: &str,
    ) -> Result<Option<Document>, redb::Error> {
        let stored = self.documents.get((collection.name(), id))?;
        stored.map(|stored| document(id, stored.value())).transpose()
    }
}

fn document(id: &str, stored: &[u8]) -> Result<Document, redb::Error> {
    let Stored { version, body, .. } = decode(stored)?;
    Ok(Document { id: id.to_owned(), version, body })
}

fn decode(stored: &[u8]) -> Result<Stored, redb::Error> {
    serde_json::from_slice(stored)
        .map_err(|error| redb::Error::Corrupted(error.to_string()))
}

// Reads are served from memory or the page cache: they do not wait.
impl Store for Embedded {
    fn get<'a>(
        &'a self,
        collection: Collection,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Document>, StoreError>> {
        Box::pin(async move { self.read(|r| r.get(collection, id)) })
    }

    fn find<'a>(
        &'a self,
        collection: Collection,
        key: &'static str,
        value: &'a str,
    ) -> BoxFuture<'a, Result<Option<Document>, StoreError>> {
        Box::pin(async move {
            self.read(|reader| {
                let id = reader.unique.get((collection.name(), key, value))?;
                match id {
                    Some(id) => reader.get(collection, id.value()),
                    None => Ok(None),
                }
            })
        })
    }

    fn range(
        &self,
        collection: Collection,
        range: Range,
    ) -> BoxFuture<'_, Result<Vec<Document>, StoreError>> {
        Box::pin(async move {
            let name = collection.name();
            // No name of a collection begins with another one and this.
            let end = format!("{name}\u{1}");
            self.read(|reader| {
                let after = range.after.as_deref();
                let all = reader.documents.range((name, "")..(&*end, ""))?;
                let take = |found: redb::Result<_, _>| {
                    let (key, stored): (
                        redb::AccessGuard<'_, (&str, &str)>,
                        redb::AccessGuard<'_, &[u8]>,
                    ) = found?;
                    document(key.value().1, stored.value())
                };
                match (after, range.down) {
                    (None, false) => all.take(range.limit).map(take).collect(),
                    (None, true) => {
                        all.rev().take(range.limit).map(take).collect()
                    }
                    (Some(after), false) => reader
                        .documents
                        .range((name, after)..(&*end, ""))?
                        .filter(|found| !is(found, after))
                        .take(range.limit)
                        .map(take)
                        .collect(),
                    (Some(after), true) => reader
                        .documents
                        .range((name, "")..(name, after))?
                        .rev()
                        .take(range.limit)
                        .map(take)
                        .collect(),
                }
            })
        })
    }

    fn apply(
        &self,
        writes: Vec<Write>,
    ) -> BoxFuture<'_, Result<Vec<u64>, StoreError>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let gone = || StoreError::failed("the store is closed");
            let batch = Batch { writes, answer };
            let queue = self.queue.as_ref().ok_or_else(gone)?;
            queue.send(batch).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        })
    }

    fn changes(&self) -> broadcast::Receiver<Written> {
        self.feed.subscribe()
    }
}

type Found<'a> = Result<
    (
        redb::AccessGuard<'a, (&'static str, &'static str)>,
        redb::AccessGuard<'a, &'static [u8]>,
    ),
    redb::StorageError,
>;

fn is(found: &Found<'_>, id: &str) -> bool {
    found.as_ref().is_ok_and(|(key, _)| key.value().1 == id)
}

struct Writer {
    database: Arc<Database>,
    batches: mpsc::Receiver<Batch>,
    feed: broadcast::Sender<Written>,
}

impl Writer {
    fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP);
        while self.batches.blocking_recv_many(&mut group, GROUP) > 0 {
            self.write(std::mem::take(&mut group));
        }
    }

    /// Makes the batches durable together, then answers each.
    fn write(&self, group: Vec<Batch>) {
        let mut done = Vec::with_capacity(group.len());
        let committed = self.database.begin_write().map_err(redb::Error::from);
        let committed = committed.and_then(|transaction| {
            for batch in group {
                let result = batch_in(&transaction, &batch.writes);
                done.push((batch, result));
            }
            // A batch that failed half-way must not become durable.
            let broken = done.iter_mut().find_map(|(_, result)| match result {
                Err(Refused::Broken(error)) => error.take(),
                _ => None,
            });
            match broken {
                Some(error) => Err(error),
                None => Ok(transaction.commit()?),
            }
        });
        let failure = committed.err().map(|error| Arc::new(error.to_string()));
        for (Batch { writes, answer }, result) in done {
            let result = match (result, &failure) {
                (Err(Refused::Because(error)), _) => Err(error),
                (_, Some(failure)) => {
                    Err(StoreError::failed(failure.to_string()))
                }
                (Err(Refused::Broken(_)), None) => {
                    Err(StoreError::failed("the write failed"))
                }
                (Ok(versions), None) => {
                    for (write, version) in writes.iter().zip(&versions) {
                        let deleted = write.change == Change::Delete;
                        // Nobody may listen.
                        let _ = self.feed.send(Written {
                            collection: write.collection,
                            id: write.id.clone(),
                            version: (!deleted).then_some(*version),
                        });
                    }
                    Ok(versions)
                }
            };
            // Who asked may have gone away.
            let _ = answer.send(result);
        }
    }
}

/// Why a batch was not made.
enum Refused {
    /// It changed nothing.
    Because(StoreError),
    /// It may be half done.
    Broken(Option<redb::Error>),
}

impl<E: Into<redb::Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Broken(Some(error.into()))
    }
}

/// Checks all writes of a batch, then makes them.
fn batch_in(
    transaction: &WriteTransaction,
    writes: &[Write],
) -> Result<Vec<u64>, Refused> {
    let mut documents = transaction.open_table(DOCUMENTS)?;
    let mut unique = transaction.open_table(UNIQUE)?;
    let mut found = Vec::with_capacity(writes.len());
    for write in writes {
        let name = write.collection.name();
        let stored = documents.get((name, &*write.id))?;
        let stored = stored.map(|stored| decode(stored.value())).transpose()?;
        let version = stored.as_ref().map(|stored| stored.version);
        let as_expected = match write.expect {
            Expect::Any => true,
            Expect::Absent => version.is_none(),
            Expect::Version(expected) => version == Some(expected),
        };
        if !as_expected {
            return Err(Refused::Because(StoreError::Conflict {
                collection: write.collection,
                id: write.id.clone(),
            }));
        }
        check_unique(&unique, write, writes)?;
        found.push(stored);
    }
    let mut versions = Vec::with_capacity(writes.len());
    // Old values first, so that a value may pass from one to another.
    for (write, stored) in writes.iter().zip(&found) {
        let name = write.collection.name();
        for (key, value) in stored.iter().flat_map(|stored| &stored.unique) {
            unique.remove((name, &**key, &**value))?;
        }
    }
    for (write, stored) in writes.iter().zip(found) {
        let version = stored.map_or(1, |stored| stored.version + 1);
        put(&mut documents, &mut unique, write, version)?;
        versions.push(version);
    }
    Ok(versions)
}

fn check_unique(
    unique: &impl ReadableTable<
        (&'static str, &'static str, &'static str),
        &'static str,
    >,
    write: &Write,
    writes: &[Write],
) -> Result<(), Refused> {
    let Change::Put { unique: keys, .. } = &write.change else {
        return Ok(());
    };
    for (key, value) in keys {
        let holder = unique.get((write.collection.name(), *key, &**value))?;
        // Whoever is written in the same batch says anew what it has.
        let elsewhere = holder.is_some_and(|holder| {
            !writes.iter().any(|other| {
                other.collection == write.collection
                    && other.id == holder.value()
            })
        });
        let twice = writes.iter().any(|other| {
            other.collection == write.collection
                && other.id != write.id
                && matches!(&other.change, Change::Put { unique, .. }
                    if unique.iter().any(|(k, v)| k == key && v == value))
        });
        if elsewhere || twice {
            let value = value.clone();
            return Err(Refused::Because(StoreError::Taken { key, value }));
        }
    }
    Ok(())
}

fn put(
    documents: &mut Table<'_, (&'static str, &'static str), &'static [u8]>,
    unique: &mut Table<
        '_,
        (&'static str, &'static str, &'static str),
        &'static str,
    >,
    write: &Write,
    version: u64,
) -> Result<(), Refused> {
    let (name, id) = (write.collection.name(), &*write.id);
    match &write.change {
        Change::Delete => {
            documents.remove((name, id))?;
        }
        Change::Put { body, unique: keys } => {
            let stored = Stored {
                version,
                unique: keys
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), value.clone()))
                    .collect(),
                body: body.clone(),
            };
            let stored = serde_json::to_vec(&stored)
                .map_err(|error| redb::Error::Corrupted(error.to_string()))?;
            documents.insert((name, id), &*stored)?;
            for (key, value) in keys {
                unique.insert((name, *key, &**value), id)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn passes_the_suite() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/fleet.redb");
        super::super::suite::run(|| Embedded::open(&path).unwrap()).await;
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
