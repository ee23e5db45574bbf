//! The file: made once, kept for good, one process's at a time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{NOW, admin, folder, keys, made, named, registry, token};
use crate::registry::store::Store;
use crate::registry::{
    AgentKey, Lookup, OpenError, PolicyChange, Registry, StoreError, migrations, open,
};

pub(super) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A sound store with a hundred workspaces in it, closed.
pub(super) async fn closed_store() -> (TempDir, PathBuf) {
    let (folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    for number in 0..100 {
        made(&registry, &format!("agent {number}")).await;
    }
    registry.close().await;
    (folder, path)
}

#[tokio::test]
async fn everything_is_there_after_a_reopening() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let org = registry.org_id();
    let (kept, removed) = (named("kept"), named("removed"));
    let kept = registry.create_workspace(kept, Some(token(1, 2)), NOW, admin()).await.unwrap();
    let removed = registry.create_workspace(removed, None, NOW, admin()).await.unwrap();
    registry.redeem_join_token([1; 32], [2; 32], NOW, admin()).await.unwrap().unwrap();
    let change = PolicyChange { paused: Some(true), ..PolicyChange::default() };
    let kept = registry.set_policies(kept.id, change, NOW, admin()).await.unwrap();
    registry.remove_workspace(removed.id, NOW, admin()).await.unwrap();
    registry.close().await;

    let registry = Registry::open(&path, keys(), NOW + 1).unwrap();
    assert_eq!(registry.org_id(), org);
    assert_eq!(registry.workspaces(), [kept.clone().into()]);
    assert_eq!(registry.by_id(&removed.id), Lookup::Gone);
    assert_eq!(registry.by_address(&removed.address), Lookup::Unknown);
    assert_eq!(registry.agent_key(&[2; 32]), Some(AgentKey { workspace: kept.id, revoked: false }));
    let again = registry.redeem_join_token([1; 32], [3; 32], NOW, admin()).await.unwrap();
    assert_eq!(again, Ok(kept.id));
}

#[tokio::test]
async fn two_hundred_at_once_are_all_there_after_a_reopening() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let making: Vec<_> = (0..200)
        .map(|number| {
            let registry = registry.clone();
            tokio::spawn(async move { made(&registry, &format!("agent {number}")).await })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for made in making {
        acknowledged.push(std::sync::Arc::new(made.await.unwrap()));
    }
    acknowledged.sort_by_key(|workspace| workspace.id);
    registry.close().await;
    assert_eq!(Registry::open(&path, keys(), NOW).unwrap().workspaces(), acknowledged);
}

#[tokio::test]
async fn what_is_acknowledged_is_in_the_files_though_nobody_closed_them() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let one = made(&registry, "one").await;
    let (_copies, copy) = folder_with_copy_of(&path);
    assert!(fs::metadata(open::wal_path(&copy)).unwrap().len() > 0);
    assert_eq!(Registry::open(&copy, keys(), NOW).unwrap().workspaces(), [one.into()]);
}

#[tokio::test]
async fn what_a_crash_left_in_the_log_is_taken_in_before_anything_is_added() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let one = made(&registry, "one").await;
    let (_copies, copy) = folder_with_copy_of(&path);
    let again = Registry::open(&copy, keys(), NOW).unwrap();
    again.ready().await.unwrap();
    let (_alone, alone) = folder();
    fs::copy(&copy, &alone).unwrap();
    assert_eq!(Registry::open(&alone, keys(), NOW).unwrap().workspaces(), [one.into()]);
}

/// The files of an open store, as a crash would leave them.
pub(super) fn folder_with_copy_of(path: &Path) -> (TempDir, PathBuf) {
    let (folder, copy) = folder();
    fs::copy(path, &copy).unwrap();
    fs::copy(open::wal_path(path), open::wal_path(&copy)).unwrap();
    (folder, copy)
}

#[tokio::test]
async fn the_log_is_taken_in_before_it_grows_long() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    for _ in 0..40 {
        let fill = registry.store.run(|work| {
            let insert = "INSERT INTO meta VALUES (hex(randomblob(8)), hex(randomblob(100000)))";
            work.connection.execute(insert, [])?;
            Ok(())
        });
        fill.await.unwrap();
    }
    registry.ready().await.unwrap();
    assert!(fs::metadata(open::wal_path(&path)).unwrap().len() < 5 << 20);
    assert!(fs::metadata(&path).unwrap().len() > 4 << 20);
}

#[tokio::test]
async fn a_fresh_store_has_the_latest_version_and_is_for_its_owner_alone() {
    let (folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    registry.ready().await.unwrap();
    registry.ready().await.unwrap();
    assert_eq!((mode(&path), mode(&open::wal_path(&path))), (0o600, 0o600));
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 2, "the store and its log, no scaffold and no shared memory");
    let temporary = registry.store.run(|work| {
        Ok(work.connection.pragma_query_value(None, "temp_store", |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(temporary.await, Ok(2), "in memory");
    registry.close().await;

    let connection = Connection::open(&path).unwrap();
    assert_eq!(migrations::version(&connection).unwrap(), migrations::latest());
    let strict: i64 = connection
        .query_row(
            "SELECT min(strict) FROM pragma_table_list WHERE name NOT LIKE 'sqlite%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(strict, 1);
}

#[tokio::test]
async fn a_backup_with_a_wide_mode_is_narrowed() {
    let (_folder, path) = closed_store().await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    registry.ready().await.unwrap();
    assert_eq!((mode(&path), mode(&open::wal_path(&path))), (0o600, 0o600));
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_closes() {
    let (_folder, path) = folder();
    let first = Registry::open(&path, keys(), NOW).unwrap();
    let refused = Registry::open(&path, keys(), NOW).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    first.ready().await.unwrap();
    first.close().await;
    assert!(matches!(first.ready().await, Err(StoreError::Unavailable { .. })));
    Registry::open(&path, keys(), NOW).unwrap().ready().await.unwrap();
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_file() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let another = registry.clone();
    drop(registry);
    another.ready().await.unwrap();
    drop(another);
    // The opener waits for the ending writer by itself.
    Registry::open(&path, keys(), NOW).unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_changes_until_there_is_room() {
    let (_folder, registry) = registry();
    let one = made(&registry, "one").await;
    limit_pages(&registry.store, 1).await;
    let mut refused = 0;
    for number in 0..100 {
        let result =
            registry.create_workspace(named(&format!("agent {number}")), None, NOW, admin()).await;
        refused += usize::from(matches!(result, Err(StoreError::Unavailable { .. })));
    }
    assert!(refused > 0);
    assert_eq!(registry.workspaces().len(), 101 - refused);
    assert!(matches!(registry.by_id(&one.id), Lookup::Live(_)));

    limit_pages(&registry.store, 1_000_000).await;
    made(&registry, "two").await;
}

async fn limit_pages(store: &Store, pages: u32) {
    let limited = store.run(move |work| {
        let pragma = format!("PRAGMA max_page_count = {pages}");
        Ok(work.connection.query_row(&pragma, [], |_| Ok(()))?)
    });
    limited.await.unwrap();
}

#[tokio::test]
async fn a_sync_that_fails_within_an_intent_ends_the_store_and_commits_nothing_beside_it() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let one = made(&registry, "one").await;
    let failed = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
    let broken = registry.store.run::<()>(move |work| {
        work.connection.execute("DELETE FROM addresses", [])?;
        Err(rusqlite::Error::SqliteFailure(failed, None).into())
    });
    assert!(matches!(broken.await, Err(StoreError::Broken { .. })));
    let reason = registry.failed().await;
    assert!(reason.contains(&path.display().to_string()), "{reason}");
    assert_eq!(registry.failure(), Some(reason));
    assert!(matches!(registry.ready().await, Err(StoreError::Unavailable { .. })));
    drop(registry);
    let again = Registry::open(&path, keys(), NOW).unwrap();
    assert_eq!((again.workspaces(), again.failure()), (vec![one.into()], None));
}

#[tokio::test]
async fn a_dead_writer_is_told_and_refuses_everything() {
    let (_folder, registry) = registry();
    let soon = tokio::time::timeout(Duration::from_millis(20), registry.failed());
    assert!(soon.await.is_err(), "nothing has failed yet");
    let died = registry.store.run::<()>(|_| panic!("as the test wants it"));
    assert!(matches!(died.await, Err(StoreError::Unavailable { .. })));
    assert!(registry.failed().await.contains("panicked"));
    assert!(matches!(registry.ready().await, Err(StoreError::Unavailable { .. })));
}
