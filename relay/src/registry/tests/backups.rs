//! Backups: whole while the store is in use, sound or refused, and put back without losing anything.

use std::fs;

use rusqlite::Connection;

use super::files::{folder_with_copy_of, mode};
use super::{NOW, admin, folder, keys, made, registry};
use crate::registry::{Backup, Found, OpenError, Registry, StoreError, migrations, open, restore};

#[tokio::test]
async fn a_backup_holds_what_was_there_and_is_put_back_with_its_secrets() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let one = made(&registry, "one").await;
    let name = || "KEY".parse().unwrap();
    registry.set_secret(one.id, name(), "before".into(), NOW, admin()).await.unwrap();
    let Backup { path: backup, bytes } = registry.back_up(NOW).await.unwrap();
    assert_eq!(backup, path.with_file_name("backups").join("relay-20250615T150640.000Z.db"));
    assert_eq!((mode(&backup), mode(backup.parent().unwrap())), (0o600, 0o700));
    assert_eq!(fs::metadata(&backup).unwrap().len(), bytes);

    registry.set_secret(one.id, name(), "after".into(), NOW, admin()).await.unwrap();
    let two = made(&registry, "two").await;
    registry.close().await;
    let before = fs::read(&path).unwrap();
    let restored = restore(&backup, &path, NOW + 1).unwrap();
    let replaced = restored.replaced.unwrap();
    assert_eq!(fs::read(&replaced).unwrap(), before);
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    assert_eq!(registry.workspaces(), [one.clone().into()]);
    assert_eq!(registry.secrets(one.id).await.unwrap()["KEY"], "before");
    registry.close().await;
    // And back again.
    restore(&replaced, &path, NOW + 2).unwrap();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    assert_eq!(registry.find("two"), Found::One(two.into()));
    assert_eq!(registry.secrets(one.id).await.unwrap()["KEY"], "after");
}

#[tokio::test]
async fn a_log_goes_with_the_store_that_is_replaced() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let backup = registry.back_up(NOW).await.unwrap().path;
    let one = made(&registry, "one").await;
    let (_copies, copy) = folder_with_copy_of(&path);
    let replaced = restore(&backup, &copy, NOW).unwrap().replaced.unwrap();
    assert!(!open::wal_path(&copy).exists() && open::wal_path(&replaced).exists());
    assert!(Registry::open(&copy, keys(), NOW).unwrap().workspaces().is_empty());
    assert_eq!(Registry::open(&replaced, keys(), NOW).unwrap().workspaces(), [one.into()]);
}

#[tokio::test]
async fn a_backup_is_put_where_no_store_is() {
    let (_folder, registry) = registry();
    let one = made(&registry, "one").await;
    let backup = registry.back_up(NOW).await.unwrap().path;
    let (_other, path) = folder();
    assert_eq!(restore(&backup, &path, NOW).unwrap().replaced, None);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(Registry::open(&path, keys(), NOW).unwrap().workspaces(), [one.into()]);
}

#[tokio::test]
async fn a_store_in_use_is_not_replaced() {
    let (folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let backup = registry.back_up(NOW).await.unwrap().path;
    let refused = restore(&backup, &path, NOW).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    made(&registry, "unharmed").await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "the store, its log, its backups");
}

#[tokio::test]
async fn what_is_no_sound_store_is_not_put_back() {
    let (folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    for number in 0..100 {
        made(&registry, &format!("agent {number}")).await;
    }
    let backup = registry.back_up(NOW).await.unwrap().path;
    registry.close().await;
    let (good, store) = (fs::read(&backup).unwrap(), fs::read(&path).unwrap());
    let refused = || {
        let before = fs::read(&backup).ok();
        let refused = restore(&backup, &path, NOW).unwrap_err();
        let named = refused.to_string().contains(&backup.display().to_string());
        assert!(named && fs::read(&backup).ok() == before, "{refused}");
        assert!(fs::read(&path).unwrap() == store, "the store was touched");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        refused
    };
    fs::write(&backup, "no store").unwrap();
    assert!(matches!(refused(), OpenError::NotAStore { .. }));
    fs::write(&backup, &good[..good.len() / 2]).unwrap();
    assert!(matches!(refused(), OpenError::Damaged { .. }));
    fs::write(&backup, []).unwrap();
    assert!(matches!(refused(), OpenError::Damaged { .. }));
    fs::write(&backup, &good).unwrap();
    let newer = migrations::latest() + 1;
    Connection::open(&backup).unwrap().pragma_update(None, "user_version", newer).unwrap();
    assert!(matches!(refused(), OpenError::Newer { .. }));
    fs::write(&backup, &good).unwrap();
    fs::write(open::wal_path(&backup), "a log").unwrap();
    assert!(matches!(refused(), OpenError::NotAStore { .. }));
    fs::remove_file(open::wal_path(&backup)).unwrap();
    fs::remove_file(&backup).unwrap();
    assert!(matches!(refused(), OpenError::Unreachable { .. }));
    // A damaged store is what a backup is for.
    fs::write(&backup, &good).unwrap();
    fs::write(&path, "a damaged store").unwrap();
    let replaced = restore(&backup, &path, NOW).unwrap().replaced.unwrap();
    assert_eq!(fs::read(replaced).unwrap(), b"a damaged store");
    assert_eq!(Registry::open(&path, keys(), NOW).unwrap().workspaces().len(), 100);
}

#[tokio::test]
async fn there_are_a_hundred_backups_at_most_and_what_fails_is_no_failure_of_the_store() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    registry.back_up(NOW).await.unwrap();
    let folder = path.with_file_name("backups");
    for number in 1..100 {
        fs::write(folder.join(number.to_string()), "an older one").unwrap();
    }
    let refused = registry.back_up(NOW + 1).await;
    assert!(matches!(refused, Err(StoreError::TooMany { most: 100, .. })), "{refused:?}");
    fs::remove_file(folder.join("1")).unwrap();
    let refused = registry.back_up(NOW).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "a name that is taken");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 99, "nothing half-made is left");
    registry.back_up(NOW + 100).await.unwrap();
    registry.ready().await.unwrap();
}
