//! Maps and sets, put together entry by entry. `collect` sorts first, with a
//! sort of its own for each type: kilobytes of code, for lists of a few.

use std::collections::{BTreeMap, BTreeSet};

/// A map of `entries`; the last of those with the same key counts.
pub(crate) fn map<K: Ord, V>(
    entries: impl IntoIterator<Item = (K, V)>,
) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(entries);
    map
}

/// A set of `members`.
pub(crate) fn set<T: Ord>(members: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    set.extend(members);
    set
}
