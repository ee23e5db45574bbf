//! What is not a sound store: refused by name, and left as it is.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::files::{closed_store, folder_with_copy_of, mode};
use super::{NOW, folder, keys, made};
use crate::registry::{OpenError, Registry, migrations, open};

/// Opens `path`, which is refused, and checks that every file there is as it was.
fn refusal(path: &Path) -> OpenError {
    let all = || {
        let mut all: Vec<_> = fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|file| (fs::read(&file).ok(), mode(&file), file))
            .collect();
        all.sort();
        all
    };
    let before = all();
    let refusal = Registry::open(path, keys(), NOW).map(drop).unwrap_err();
    assert!(all() == before, "the files were changed");
    let text = refusal.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    refusal
}

#[test]
fn garbage_is_refused() {
    let (_folder, path) = folder();
    fs::write(&path, [0x5A; 10_000]).unwrap();
    assert!(matches!(refusal(&path), OpenError::NotAStore { .. }));
}

#[test]
fn an_empty_file_and_a_folder_are_refused() {
    let (_folder, path) = folder();
    fs::write(&path, []).unwrap();
    assert!(matches!(refusal(&path), OpenError::Damaged { .. }));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(refusal(&path), OpenError::NotAStore { .. }));
}

#[tokio::test]
async fn a_truncated_store_is_refused() {
    let (_folder, path) = closed_store().await;
    let whole = fs::read(&path).unwrap();
    for length in [1, 99, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let refusal = refusal(&path);
        let named = matches!(refusal, OpenError::Damaged { .. } | OpenError::NotAStore { .. });
        assert!(named, "{length}: {refusal}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(Registry::open(&path, keys(), NOW).unwrap().workspaces().len(), 100);
}

#[tokio::test]
async fn a_store_overwritten_in_the_middle_is_refused() {
    let (_folder, path) = closed_store().await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0x5A);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(refusal(&path), OpenError::Damaged { .. }));
}

#[tokio::test]
async fn a_damaged_store_is_refused_and_its_log_stays_apart() {
    let (_folder, path) = closed_store().await;
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    made(&registry, "in the log").await;
    let (_copies, copy) = folder_with_copy_of(&path);
    let mut bytes = fs::read(&copy).unwrap();
    let last_page = bytes.len() - 4096;
    bytes[4096 * 2..last_page].fill(0x5A);
    fs::write(&copy, bytes).unwrap();
    assert!(matches!(refusal(&copy), OpenError::Damaged { .. }));
}

#[tokio::test]
async fn a_store_with_a_row_of_no_meaning_is_refused() {
    let (_folder, path) = closed_store().await;
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE workspaces SET callers = 'nobody'", []).unwrap();
    let (_copies, copy) = folder_with_copy_of(&path);
    assert!(matches!(refusal(&copy), OpenError::Damaged { .. }), "from the log");
    drop(connection);
    assert!(matches!(refusal(&path), OpenError::Damaged { .. }), "from the file");
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let (_folder, path) = closed_store().await;
    let newer = migrations::latest() + 1;
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", newer).unwrap();
    drop(connection);
    assert!(matches!(refusal(&path), OpenError::Newer { found, .. } if found == newer));
}

#[test]
fn a_database_of_another_program_is_refused() {
    let (_folder, path) = folder();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (it TEXT)").unwrap();
    assert!(matches!(refusal(&path), OpenError::NotAStore { .. }));
}

#[test]
fn a_log_without_its_store_is_refused() {
    let (_folder, path) = folder();
    fs::write(open::wal_path(&path), "what was acknowledged").unwrap();
    assert!(matches!(refusal(&path), OpenError::Missing { .. }));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let (folder, _) = folder();
    let path = folder.path().join("nowhere").join("relay.db");
    let refused = Registry::open(&path, keys(), NOW).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Unreachable { .. }), "{refused}");
}
