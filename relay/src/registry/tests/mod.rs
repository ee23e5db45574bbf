//! The registry as its users see it, over files of its own.

mod backups;
mod bonds;
mod credentials;
mod events;
mod files;
mod joining;
mod migrations;
mod refusals;
mod registration;
mod sealing;
mod secrets;
mod workspaces;

use std::path::PathBuf;

use tempfile::TempDir;

use super::{Actor, NewJoinToken, NewWorkspace, PolicyChange, Registry, SealingKeys, Workspace};

/// The moment at which the tests begin.
const NOW: i64 = 1_750_000_000_000;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// A folder that goes with the test, and the path of a store in it.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    (folder, path)
}

fn keys() -> SealingKeys {
    SealingKeys::parse(&"07".repeat(32)).unwrap()
}

fn admin() -> Actor {
    Actor { name: "admin".into(), source: None }
}

fn registry() -> (TempDir, Registry) {
    let (folder, path) = folder();
    (folder, Registry::open(path, keys(), NOW).unwrap())
}

fn named(name: &str) -> NewWorkspace {
    NewWorkspace::named(name, NOW).unwrap()
}

async fn made(registry: &Registry, name: &str) -> Workspace {
    registry.create_workspace(named(name), None, NOW, admin()).await.unwrap()
}

/// A change of the name alone.
fn rename(name: &str) -> PolicyChange {
    PolicyChange { name: Some(name.to_owned()), ..PolicyChange::default() }
}

fn token(hash: u8, uses: u32) -> NewJoinToken {
    NewJoinToken { hash: [hash; 32], uses, expires_at_ms: NOW + DAY }
}
