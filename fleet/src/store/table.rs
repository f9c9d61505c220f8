//! A collection that is held in memory as well, to be searched and sorted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{Change, Collection, Expect, Range, Store, StoreError, Write};

/// How often a change is tried against others who change the same.
const TRIES: usize = 16;

/// A value that is kept in a table.
pub trait Record:
    Clone + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Where it is kept.
    const COLLECTION: Collection;

    /// Its id; never used again for another one.
    fn id(&self) -> String;

    /// What no two have in common.
    fn unique(&self) -> Vec<(&'static str, String)>;
}

/// A collection that is held in memory as well.
#[derive(Debug)]
pub struct Table<T> {
    store: Arc<dyn Store>,
    rows: RwLock<Rows<T>>,
}

#[derive(Debug)]
struct Rows<T> {
    by_id: BTreeMap<String, Row<T>>,
    by_key: HashMap<(&'static str, String), String>,
}

#[derive(Debug)]
struct Row<T> {
    version: u64,
    value: Arc<T>,
}

impl<T: Record> Table<T> {
    /// Reads the whole collection.
    ///
    /// # Errors
    /// The store does not work, or holds something else.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let rows = Rows { by_id: BTreeMap::new(), by_key: HashMap::new() };
        let table = Self { store, rows: RwLock::new(rows) };
        let mut range = Range { limit: 1000, ..Range::default() };
        loop {
            let page = table.store.range(T::COLLECTION, range.clone()).await?;
            for document in &page {
                let value = T::deserialize(&document.body)
                    .map_err(StoreError::failed)?;
                table.absorb(value, document.version);
            }
            match page.into_iter().next_back() {
                Some(last) => range.after = Some(last.id),
                None => return Ok(table),
            }
        }
    }

    /// The value with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<T>> {
        self.read(|rows| Some(Arc::clone(&rows.by_id.get(id)?.value)))
    }

    /// The value that has this.
    #[must_use]
    pub fn find(&self, key: &'static str, value: &str) -> Option<Arc<T>> {
        self.read(|rows| {
            let id = rows.by_key.get(&(key, value.to_owned()))?;
            Some(Arc::clone(&rows.by_id.get(id)?.value))
        })
    }

    /// All values, in the order of their ids.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        self.read(|rows| {
            rows.by_id.values().map(|row| Arc::clone(&row.value)).collect()
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read(|rows| rows.by_id.len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a value.
    ///
    /// # Errors
    /// Another one has what no two may have; the store does not work.
    pub async fn insert(&self, value: T) -> Result<Arc<T>, StoreError> {
        let write = self.inserting(&value)?;
        let versions = self.store.apply(vec![write]).await?;
        let version = versions.first().copied().unwrap_or(1);
        Ok(self.absorb(value, version))
    }

    /// Changes the value with this id; `None` where there is none. `change`
    /// is called again when somebody else was faster.
    ///
    /// # Errors
    /// `change` refused; another one has what no two may have; the store does
    /// not work.
    pub async fn update<E: From<StoreError>>(
        &self,
        id: &str,
        mut change: impl FnMut(&mut T) -> Result<(), E>,
    ) -> Result<Option<Arc<T>>, E> {
        let mut tries = 0;
        loop {
            let Some(old) = self.get(id) else { return Ok(None) };
            let mut value = T::clone(&old);
            change(&mut value)?;
            let (write, _) = self.updating(&value)?;
            tries += 1;
            match self.store.apply(vec![write]).await {
                Ok(versions) => {
                    let version = versions.first().copied().unwrap_or(1);
                    return Ok(Some(self.absorb_if_there(value, version)));
                }
                Err(StoreError::Conflict { .. }) if tries < TRIES => {
                    // The other one is about to be in memory.
                    tokio::task::yield_now().await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes the value with this id; `false` where there is none.
    ///
    /// # Errors
    /// The store does not work.
    pub async fn remove(&self, id: &str) -> Result<bool, StoreError> {
        if self.get(id).is_none() {
            return Ok(false);
        }
        self.store.apply(vec![Self::deleting(id)]).await?;
        Ok(self.forget(id))
    }

    /// The write that adds a value, for a batch with others. Give the value
    /// to [`absorb`](Self::absorb) when it is made.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn inserting(&self, value: &T) -> Result<Write, StoreError> {
        self.writing(value, Expect::Absent)
    }

    /// The write that changes a value, for a batch with others.
    ///
    /// # Errors
    /// The value cannot be written as JSON; it is not there any more.
    pub fn updating(&self, value: &T) -> Result<(Write, u64), StoreError> {
        let id = value.id();
        let version = self.read(|rows| Some(rows.by_id.get(&id)?.version));
        match version {
            Some(version) => Ok((
                self.writing(value, Expect::Version(version))?,
                version + 1,
            )),
            None => Err(StoreError::Conflict { collection: T::COLLECTION, id }),
        }
    }

    /// The write that removes a value, for a batch with others.
    #[must_use]
    pub fn deleting(id: &str) -> Write {
        Write {
            collection: T::COLLECTION,
            id: id.to_owned(),
            expect: Expect::Any,
            change: Change::Delete,
        }
    }

    /// Takes a value that was written into memory.
    pub fn absorb(&self, value: T, version: u64) -> Arc<T> {
        self.write(|rows| rows.put(value, version))
    }

    /// Takes a value that was changed into memory, unless it was removed
    /// meanwhile.
    fn absorb_if_there(&self, value: T, version: u64) -> Arc<T> {
        self.write(|rows| {
            if rows.by_id.contains_key(&value.id()) {
                rows.put(value, version)
            } else {
                Arc::new(value)
            }
        })
    }

    /// Takes the value with this id out of memory.
    pub fn forget(&self, id: &str) -> bool {
        self.write(|rows| {
            let row = rows.by_id.remove(id);
            row.map(|row| rows.drop_keys(&row.value)).is_some()
        })
    }

    #[expect(
        clippy::unused_self,
        reason = "reads like its neighbours, which need it"
    )]
    fn writing(&self, value: &T, expect: Expect) -> Result<Write, StoreError> {
        Ok(Write {
            collection: T::COLLECTION,
            id: value.id(),
            expect,
            change: Change::Put {
                body: serde_json::to_value(value)
                    .map_err(StoreError::failed)?,
                unique: value.unique(),
            },
        })
    }

    fn read<R>(&self, read: impl FnOnce(&Rows<T>) -> R) -> R {
        read(&self.rows.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<R>(&self, write: impl FnOnce(&mut Rows<T>) -> R) -> R {
        write(&mut self.rows.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Record> Rows<T> {
    fn put(&mut self, value: T, version: u64) -> Arc<T> {
        let id = value.id();
        let old = self.by_id.get(&id);
        let old = old.map(|row| (row.version, Arc::clone(&row.value)));
        if let Some((known, value)) = old {
            if known >= version {
                return value;
            }
            self.drop_keys(&value);
        }
        for key in value.unique() {
            self.by_key.insert(key, id.clone());
        }
        let value = Arc::new(value);
        self.by_id.insert(id, Row { version, value: Arc::clone(&value) });
        value
    }

    fn drop_keys(&mut self, value: &T) {
        let id = value.id();
        for key in value.unique() {
            if self.by_key.get(&key) == Some(&id) {
                self.by_key.remove(&key);
            }
        }
    }
}
