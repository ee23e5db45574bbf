//! Secrets: set, pulled, removed; sealed on the disk, and opened by the right keys only.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use shared::ids::WorkspaceId;

use super::{NOW, admin, folder, keys, made, registry};
use crate::registry::{
    Registry, SECRET_BYTES_MAX, SECRETS_MAX, SealingKeys, SecretInfo, SecretName, StoreError,
};

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

async fn set(registry: &Registry, id: WorkspaceId, secret: &str, value: &str) {
    let set = registry.set_secret(id, name(secret), value.to_owned(), NOW, admin());
    set.await.unwrap();
}

/// The secrets as `NAME=value`.
async fn pulled(registry: &Registry, id: WorkspaceId) -> Vec<String> {
    let secrets = registry.secrets(id).await.unwrap();
    secrets.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn other_keys(older: &str) -> SealingKeys {
    SealingKeys::parse(&format!("{}\n{older}", "08".repeat(32))).unwrap()
}

#[tokio::test]
async fn secrets_are_set_replaced_listed_pulled_and_removed() {
    let (_folder, registry) = registry();
    let (one, two) = (made(&registry, "one").await.id, made(&registry, "two").await.id);
    assert!(pulled(&registry, one).await.is_empty());
    set(&registry, one, "B", "old").await;
    set(&registry, one, "A", "schlüssel\n\0").await;
    set(&registry, two, "B", "another's").await;
    let again = registry.set_secret(one, name("B"), "new".into(), NOW + 5, admin());
    again.await.unwrap();
    assert_eq!(pulled(&registry, one).await, ["A=schlüssel\n\0", "B=new"]);
    assert_eq!(pulled(&registry, two).await, ["B=another's"]);
    let info = |secret, updated_at_ms| SecretInfo { name: name(secret), updated_at_ms };
    let names = registry.secret_names(one).await.unwrap();
    assert_eq!(names, [info("A", NOW), info("B", NOW + 5)]);

    registry.remove_secret(one, name("B"), admin(), NOW).await.unwrap();
    assert_eq!(pulled(&registry, one).await, ["A=schlüssel\n\0"]);
    assert_eq!(pulled(&registry, two).await, ["B=another's"]);
    let again = registry.remove_secret(one, name("B"), admin(), NOW).await;
    assert_eq!(again, Err(StoreError::UnknownSecret { name: name("B") }));
}

#[tokio::test]
async fn there_are_so_many_secrets_of_such_a_length() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    let long = "x".repeat(SECRET_BYTES_MAX);
    for number in 0..SECRETS_MAX {
        set(&registry, id, &format!("N{number}"), &long[..number]).await;
    }
    let more = registry.set_secret(id, name("MORE"), String::new(), NOW, admin()).await;
    assert!(matches!(more, Err(StoreError::TooMany { most: SECRETS_MAX, .. })), "{more:?}");
    set(&registry, id, "N0", &long).await;
    let longer = registry.set_secret(id, name("N0"), format!("{long}x"), NOW, admin()).await;
    assert!(matches!(longer, Err(StoreError::TooMany { most: SECRET_BYTES_MAX, .. })));
    let secrets = registry.secrets(id).await.unwrap();
    assert_eq!((secrets.len(), secrets["N0"].len()), (SECRETS_MAX, SECRET_BYTES_MAX));
}

#[tokio::test]
async fn a_removed_workspace_leaves_no_secrets() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    set(&registry, id, "A", "x").await;
    registry.remove_workspace(id, NOW, admin()).await.unwrap();
    let gone = StoreError::WorkspaceGone { id };
    assert_eq!(registry.secrets(id).await, Err(gone.clone()));
    assert_eq!(registry.secret_names(id).await, Err(gone.clone()));
    let set = registry.set_secret(id, name("A"), "x".into(), NOW, admin()).await;
    assert_eq!(set, Err(gone.clone()));
    assert_eq!(registry.remove_secret(id, name("A"), admin(), NOW).await, Err(gone));
    let rows = registry.store.run(|work| {
        Ok(work.connection.query_row("SELECT count(*) FROM secrets", [], |row| row.get(0))?)
    });
    assert_eq!(rows.await, Ok(0));
}

#[tokio::test]
async fn no_file_shows_a_secret() {
    let (folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let id = made(&registry, "one").await.id;
    set(&registry, id, "A", "canary-one").await;
    set(&registry, id, "A", "canary-two").await;
    let shows = |folder: &Path| {
        fs::read_dir(folder).unwrap().any(|entry| {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(6).any(|window| window == b"canary")
        })
    };
    assert!(!shows(folder.path()), "while it runs");
    registry.close().await;
    assert!(!shows(folder.path()), "when it is closed");
}

/// A closed store with two secrets of one workspace, sealed by [`keys`].
async fn closed(path: &Path) -> WorkspaceId {
    let registry = Registry::open(path, keys(), NOW).unwrap();
    let id = made(&registry, "one").await.id;
    set(&registry, id, "A", "one").await;
    set(&registry, id, "B", "two").await;
    registry.close().await;
    id
}

/// What lies in the table of secrets, columns of the wrapping first.
fn rows(path: &Path) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT wrapped_by, wrapped_key, value FROM secrets ORDER BY name";
    let mut rows = connection.prepare(sql).unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn the_next_key_takes_over_at_the_start_and_then_stands_alone() {
    let (_folder, path) = folder();
    let id = closed(&path).await;
    let before = rows(&path);
    let both = other_keys(&"07".repeat(32));
    let registry = Registry::open(&path, both, NOW).unwrap();
    assert_eq!(pulled(&registry, id).await, ["A=one", "B=two"]);
    registry.close().await;
    for ((by, key, value), (old_by, old_key, old_value)) in rows(&path).iter().zip(&before) {
        assert!(by != old_by && key != old_key && value == old_value);
    }
    let registry = Registry::open(&path, other_keys(""), NOW).unwrap();
    assert_eq!(pulled(&registry, id).await, ["A=one", "B=two"]);
    set(&registry, id, "A", "three").await;
    assert_eq!(pulled(&registry, id).await, ["A=three", "B=two"]);
}

#[tokio::test]
async fn without_its_key_a_secret_is_named_and_left_as_it_is() {
    let (_folder, path) = folder();
    let id = closed(&path).await;
    let before = rows(&path);
    let registry = Registry::open(&path, other_keys(""), NOW).unwrap();
    let sealed =
        |names: &[&str]| StoreError::Sealed { names: names.iter().map(|n| name(n)).collect() };
    assert_eq!(registry.secrets(id).await, Err(sealed(&["A", "B"])));
    assert_eq!(registry.secret_names(id).await.unwrap().len(), 2);
    set(&registry, id, "A", "again").await;
    let refused = registry.secrets(id).await.unwrap_err();
    assert_eq!(refused, sealed(&["B"]));
    assert!(refused.to_string().contains("secrets B cannot be opened"), "{refused}");
    registry.close().await;
    assert_eq!(rows(&path)[1], before[1]);

    let registry = Registry::open(&path, other_keys(&"07".repeat(32)), NOW).unwrap();
    assert_eq!(pulled(&registry, id).await, ["A=again", "B=two"]);
}

#[tokio::test]
async fn a_row_moved_to_another_name_does_not_open() {
    let (_folder, path) = folder();
    let id = closed(&path).await;
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE secrets SET name = 'C' WHERE name = 'B'", []).unwrap();
    drop(connection);
    // A rotation must not heal it either.
    let registry = Registry::open(&path, other_keys(&"07".repeat(32)), NOW).unwrap();
    assert_eq!(registry.secrets(id).await, Err(StoreError::Sealed { names: vec![name("C")] }));
}
