//! What every store must do. `open` opens the same store again and again.

use serde_json::{Value, json};

use super::{
    Change, Collection, Expect, Range, Store, StoreError, Write, Written,
};

const DEVICES: Collection = Collection::Devices;

pub(super) async fn run<S: Store>(open: impl Fn() -> S) {
    let store = open();
    writes_and_reads(&store).await;
    refuses_what_is_not_as_expected(&store).await;
    keeps_keys_unique(&store).await;
    a_batch_is_made_wholly_or_not_at_all(&store).await;
    ranges_follow_the_order_of_ids(&store).await;
    tells_of_changes_in_their_order(&store).await;
    many_writers_at_once_lose_nothing(&store).await;
    drop(store);
    survives_being_opened_again(&open).await;
}

fn put(id: &str, expect: Expect, body: Value, name: Option<&str>) -> Write {
    let unique = name.map(|name| ("name", name.to_owned()));
    Write {
        collection: DEVICES,
        id: id.into(),
        expect,
        change: Change::Put { body, unique: unique.into_iter().collect() },
    }
}

fn delete(id: &str) -> Write {
    Write {
        collection: DEVICES,
        id: id.into(),
        expect: Expect::Any,
        change: Change::Delete,
    }
}

async fn body(store: &impl Store, id: &str) -> Option<Value> {
    store.get(DEVICES, id).await.unwrap().map(|found| found.body)
}

async fn writes_and_reads(store: &impl Store) {
    let write = put("a", Expect::Absent, json!({"n": 1}), Some("one"));
    assert_eq!(store.apply(vec![write]).await.unwrap(), [1]);
    let found = store.find(DEVICES, "name", "one").await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.version), ("a", 1));
    assert_eq!(found.body, json!({"n": 1}));
    assert!(store.find(DEVICES, "name", "two").await.unwrap().is_none());
    assert!(store.get(Collection::Tasks, "a").await.unwrap().is_none());
}

async fn refuses_what_is_not_as_expected(store: &impl Store) {
    for expect in [Expect::Absent, Expect::Version(7)] {
        let write = put("a", expect, json!({"n": 2}), None);
        let error = store.apply(vec![write]).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    }
    let write = put("a", Expect::Version(1), json!({"n": 3}), Some("one"));
    assert_eq!(store.apply(vec![write]).await.unwrap(), [2]);
    assert_eq!(body(store, "a").await, Some(json!({"n": 3})));
}

async fn keeps_keys_unique(store: &impl Store) {
    let second = || put("b", Expect::Absent, json!({}), Some("one"));
    let error = store.apply(vec![second()]).await.unwrap_err();
    assert_eq!(error.to_string(), "the name `one` is taken");
    // A value is free once its holder has another one, in the same batch too.
    let first = put("a", Expect::Any, json!({}), Some("first"));
    store.apply(vec![second(), first]).await.unwrap();
    let found = store.find(DEVICES, "name", "one").await.unwrap().unwrap();
    assert_eq!(found.id, "b");
    store.apply(vec![delete("b")]).await.unwrap();
    assert!(store.find(DEVICES, "name", "one").await.unwrap().is_none());
    let twice = vec![
        put("c", Expect::Absent, json!({}), Some("same")),
        put("d", Expect::Absent, json!({}), Some("same")),
    ];
    assert!(store.apply(twice).await.is_err());
}

async fn a_batch_is_made_wholly_or_not_at_all(store: &impl Store) {
    let batch = vec![
        put("e", Expect::Absent, json!({}), None),
        put("a", Expect::Absent, json!({}), None),
    ];
    assert!(store.apply(batch).await.is_err());
    assert_eq!(body(store, "e").await, None);
}

async fn ranges_follow_the_order_of_ids(store: &impl Store) {
    store.apply(vec![delete("a")]).await.unwrap();
    let ids = ["r1", "r2", "r3", "r4", "r5"];
    let batch = ids.map(|id| put(id, Expect::Absent, json!({}), None));
    store.apply(batch.into()).await.unwrap();
    let read = async |after: Option<&str>, down, limit| {
        let after = after.map(str::to_owned);
        let range = Range { after, down, limit };
        let found = store.range(DEVICES, range).await.unwrap();
        found.into_iter().map(|d| d.id).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(read(None, false, 2).await, "r1 r2");
    assert_eq!(read(Some("r2"), false, 9).await, "r3 r4 r5");
    assert_eq!(read(Some("r20"), false, 1).await, "r3");
    assert_eq!(read(None, true, 2).await, "r5 r4");
    assert_eq!(read(Some("r4"), true, 2).await, "r3 r2");
    let none = store.range(Collection::Tasks, Range::default()).await;
    assert!(none.unwrap().is_empty());
    store.apply(ids.map(delete).into()).await.unwrap();
}

async fn tells_of_changes_in_their_order(store: &impl Store) {
    let mut changes = store.changes();
    let write = put("x", Expect::Any, json!({}), None);
    store.apply(vec![write]).await.unwrap();
    store.apply(vec![delete("x")]).await.unwrap();
    let written =
        |version| Written { collection: DEVICES, id: "x".into(), version };
    assert_eq!(changes.recv().await.unwrap(), written(Some(1)));
    assert_eq!(changes.recv().await.unwrap(), written(None));
}

async fn many_writers_at_once_lose_nothing(store: &impl Store) {
    let ids: Vec<_> = (0..100).map(|n| format!("m{n:03}")).collect();
    let writes = ids.iter().map(|id| {
        store.apply(vec![put(id, Expect::Absent, json!({}), Some(id))])
    });
    for result in futures_util::future::join_all(writes).await {
        result.unwrap();
    }
    let range = Range { limit: 1000, ..Range::default() };
    let found = store.range(DEVICES, range).await.unwrap();
    assert_eq!(found.into_iter().map(|d| d.id).collect::<Vec<_>>(), ids);
}

async fn survives_being_opened_again<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let write = put("z", Expect::Any, json!({"kept": true}), Some("zed"));
    store.apply(vec![write]).await.unwrap();
    drop(store);
    let store = open();
    let found = store.find(DEVICES, "name", "zed").await.unwrap().unwrap();
    assert_eq!(found.body, json!({"kept": true}));
}
