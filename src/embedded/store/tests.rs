use std::sync::Arc;

use serde_json::{Value, json};

use super::{ChangeKind, Effect, Expect, Expired, Key, OpenError, Store, WriteError, revision_of};

fn object(name: &str, text: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns"}, "data": {"text": text}})
}

async fn put(store: &Store, name: &str, expect: Expect) -> Result<Arc<Value>, WriteError> {
    store.write(Key::new("configmaps", Some("ns"), name), expect, Effect::Put(object(name, "x"))).await
}

#[tokio::test]
async fn writes_are_numbered_and_checked_against_the_stored_revision() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&home.path().join("store.redb")).expect("opens");
    let first = put(&store, "a", Expect::Absent).await.expect("stored");
    assert_eq!(revision_of(&first), 1);
    assert!(matches!(put(&store, "a", Expect::Absent).await, Err(WriteError::Exists(_))));
    assert_eq!(revision_of(&put(&store, "a", Expect::Revision(1)).await.expect("stored")), 2);
    let stale = put(&store, "a", Expect::Revision(1)).await;
    assert!(matches!(stale, Err(WriteError::Conflict { expected: 1, found: Some(2), .. })), "{stale:?}");
    let gone = put(&store, "b", Expect::Revision(1)).await;
    assert!(matches!(gone, Err(WriteError::Conflict { found: None, .. })), "{gone:?}");
}

#[tokio::test]
async fn concurrent_writers_of_one_key_never_both_win() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&home.path().join("store.redb")).expect("opens");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let store = store.clone();
        tasks.spawn(async move { put(&store, "a", Expect::Absent).await.is_ok() });
    }
    let winners = tasks.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(winners, 1);
    assert_eq!(store.revision(), 1);
}

#[tokio::test]
async fn objects_and_the_revision_survive_a_restart_but_history_does_not() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("store.redb");
    {
        let store = Store::open(&path).expect("opens");
        put(&store, "a", Expect::Absent).await.expect("stored");
        let b = put(&store, "b", Expect::Absent).await.expect("stored");
        store
            .write(Key::new("configmaps", Some("ns"), "b"), Expect::Revision(2), Effect::Remove((*b).clone()))
            .await
            .expect("removed");
    }
    let store = reopen(&path).await;
    assert_eq!(store.revision(), 3, "the removal's revision is not given again");
    let (objects, revision) = store.list("configmaps", None);
    assert_eq!((objects.len(), revision), (1, 3));
    let old = store.watch("configmaps", None, 2).next().await;
    assert_eq!(old.expect_err("the history is gone"), Expired { requested: 2, oldest: 3 });
    assert_eq!(revision_of(&put(&store, "c", Expect::Absent).await.expect("stored")), 4);
}

/// The writer's thread closes the file a moment after the last handle is dropped.
async fn reopen(path: &std::path::Path) -> Store {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match Store::open(path) {
            Ok(store) => return store,
            Err(OpenError::InUse { .. }) if std::time::Instant::now() < deadline => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_watch_sees_what_concerns_it_in_order_with_the_state_before() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&home.path().join("store.redb")).expect("opens");
    let mut watch = store.watch("configmaps", Some("ns"), 0);
    store
        .write(Key::new("secrets", Some("ns"), "s"), Expect::Absent, Effect::Put(object("s", "x")))
        .await
        .expect("stored");
    put(&store, "a", Expect::Absent).await.expect("stored");
    let updated = put(&store, "a", Expect::Revision(2)).await.expect("stored");
    store
        .write(Key::new("configmaps", Some("ns"), "a"), Expect::Revision(3), Effect::Remove((*updated).clone()))
        .await
        .expect("removed");
    let mut seen = Vec::new();
    for _ in 0..3 {
        let change = watch.next().await.expect("in the history");
        assert_eq!(revision_of(&change.object), change.revision);
        seen.push((change.revision, change.kind, change.before.as_deref().map(revision_of)));
    }
    let expected =
        [(2, ChangeKind::Added, None), (3, ChangeKind::Modified, Some(2)), (4, ChangeKind::Removed, Some(3))];
    assert_eq!(seen, expected);
    assert_eq!(watch.position(), 4);
}

#[tokio::test]
async fn a_list_can_be_taken_as_of_an_earlier_revision() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&home.path().join("store.redb")).expect("opens");
    for name in ["a", "b", "c"] {
        put(&store, name, Expect::Absent).await.expect("stored");
    }
    let a = store.get(&Key::new("configmaps", Some("ns"), "a")).expect("there");
    store
        .write(Key::new("configmaps", Some("ns"), "a"), Expect::Revision(1), Effect::Remove((*a).clone()))
        .await
        .expect("removed");
    let names = |objects: Vec<Arc<Value>>| -> Vec<String> {
        objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names(store.list_at("configmaps", None, 2).expect("known")), ["a", "b"]);
    assert_eq!(names(store.list_at("configmaps", None, 4).expect("known")), ["b", "c"]);
}

#[tokio::test]
async fn a_reader_that_fell_behind_the_history_is_told() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&home.path().join("store.redb")).expect("opens");
    let mut watch = store.watch("configmaps", None, 0);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..600 {
        let store = store.clone();
        tasks.spawn(async move { put(&store, &format!("n{number}"), Expect::Absent).await.is_ok() });
    }
    assert!(tasks.join_all().await.into_iter().all(|stored| stored));
    assert_eq!(watch.next().await.expect_err("too far behind"), Expired { requested: 0, oldest: 88 });
}

#[test]
fn damaged_files_are_kept_and_named() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("store.redb");
    for (round, content) in [b"not a database at all".to_vec(), vec![0xa5; 65536]].into_iter().enumerate() {
        std::fs::write(&path, &content).expect("written");
        let Err(OpenError::Corrupt { kept, .. }) = Store::open(&path) else { panic!("damage was not seen") };
        assert_eq!(kept, home.path().join(format!("store.redb.corrupt-{}", round + 1)));
        assert_eq!(std::fs::read(&kept).expect("kept"), content);
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn a_truncated_or_altered_store_is_kept_and_named() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("store.redb");
    {
        let store = Store::open(&path).expect("opens");
        for number in 0..50 {
            put(&store, &format!("n{number}"), Expect::Absent).await.expect("stored");
        }
    }
    drop(reopen(&path).await);
    let whole = loop {
        // The file is complete once nobody holds it.
        if let Ok(store) = Store::open(&path) {
            let bytes = std::fs::read(&path).expect("readable");
            drop(store);
            break bytes;
        }
        tokio::task::yield_now().await;
    };
    let mut altered = whole.clone();
    altered[4096..].fill(0x5a);
    for content in [whole[..whole.len() / 3].to_vec(), altered] {
        let damaged = home.path().join("damaged.redb");
        std::fs::write(&damaged, &content).expect("written");
        let Err(error) = Store::open(&damaged) else { panic!("damage was not seen") };
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    }
}

#[test]
fn a_store_in_use_stays_where_it_is() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("store.redb");
    let _held = Store::open(&path).expect("opens");
    assert!(matches!(Store::open(&path), Err(OpenError::InUse { .. })));
    assert!(path.exists());
}

/// A file system of a few megabytes, gone when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &std::path::Path) -> Option<Self> {
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "canary-lab-test"])
            .arg(at)
            .stderr(std::process::Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because the store's thread may still hold the file.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_storage_recovers_by_itself() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let Some(_disk) = SmallDisk::mount(home.path()) else {
        println!("skipped: no small file system can be mounted here");
        return;
    };
    let path = home.path().join("store.redb");
    let filler = home.path().join("filler");
    let store = Store::open(&path).expect("opens");
    put(&store, "first", Expect::Absent).await.expect("stored");
    let mut free = vec![0_u8; 8 << 20];
    while let Err(error) = std::fs::write(&filler, &free) {
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        free.truncate(free.len() / 2);
        if free.len() < 4096 {
            break;
        }
    }
    let large = "x".repeat(100_000);
    let mut stored = Vec::new();
    let refused = loop {
        assert!(stored.len() < 200, "the disk is never full");
        let name = format!("n{}", stored.len());
        let key = Key::new("configmaps", Some("ns"), &name);
        match store.write(key, Expect::Absent, Effect::Put(object(&name, &large))).await {
            Ok(_) => stored.push(name),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, WriteError::ReadOnly(_)), "{refused}");
    assert!(refused.to_string().starts_with("etcdserver: mvcc: database space exceeded"), "{refused}");
    assert!(store.trouble().is_some());
    assert!(store.get(&Key::new("configmaps", Some("ns"), "first")).is_some(), "reading goes on");
    let revision = store.revision();
    std::fs::remove_file(&filler).expect("removed");
    let after = put(&store, "after", Expect::Absent).await.expect("there is space again");
    assert!(revision_of(&after) > revision);
    assert!(store.trouble().is_none());
    drop(store);
    let store = reopen(&path).await;
    for name in stored.iter().map(String::as_str).chain(["first", "after"]) {
        assert!(store.get(&Key::new("configmaps", Some("ns"), name)).is_some(), "{name} was acknowledged");
    }
}
