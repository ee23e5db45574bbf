//! Bonds with platforms: each step is stored, tokens are sealed, what is removed lets go.

use rusqlite::Connection;
use serde_json::json;
use shared::secret::Secret;

use super::{NOW, admin, folder, keys, made, named, registry};
use crate::registry::{
    Adoption, BondChange, BondStep, Edit, Registry, SealingKeys, StoreError, Workspace,
};

const PLATFORM: &str = "https://platform.example.com";
const UPSTREAM: &str = "6b0fb1de-0a5f-4a2c-8a19-2f7d1f9f4f11";
const TOKEN: &str = "canary-abcdefghijklmnopqrstuvwxyz0123456789-_A";

fn token() -> Edit<Secret> {
    Edit::Give(Secret::new(TOKEN.into()))
}

async fn bonded(registry: &Registry, name: &str, upstream: &str) -> Workspace {
    let workspace = made(registry, name).await;
    registry.begin_bond(PLATFORM.into(), workspace.id, NOW).await.unwrap();
    let change = BondChange {
        step: Some(BondStep::Made),
        upstream: Some(upstream.into()),
        token: token(),
        ..BondChange::default()
    };
    registry.change_bond(PLATFORM.into(), workspace.id, change, NOW, admin()).await.unwrap();
    workspace
}

#[tokio::test]
async fn each_step_outlives_a_restart_and_the_token_lies_sealed() {
    let (folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let workspace = bonded(&registry, "one", UPSTREAM).await;
    let change = BondChange {
        step: Some(BondStep::Registered),
        paused: Some(true),
        report: Some(json!({"current_task": "reading"})),
        ..BondChange::default()
    };
    let id = workspace.id;
    let before = registry.change_bond(PLATFORM.into(), id, change, NOW, admin()).await.unwrap();
    assert_ne!(before.address, workspace.address, "the platform shows its handle to anyone");
    registry.close().await;
    drop(registry);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()));
    }

    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let after = registry.bond(PLATFORM, &id).unwrap();
    assert_eq!(*after, before);
    assert_eq!((after.step, after.paused, after.has_token), (BondStep::Registered, true, true));
    assert_eq!(registry.bond_at(&after.address), Some(after));
    assert_eq!(registry.bond("https://other.example.com", &id), None);
    let opened = registry.bond_token(PLATFORM.into(), id).await.unwrap().unwrap();
    assert_eq!(opened.reveal(), TOKEN);
    assert_eq!(registry.bond_token("https://other.example.com".into(), id).await, Ok(None));
}

#[tokio::test]
async fn a_token_opens_in_its_own_place_only_and_follows_the_sealing_key() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let one = bonded(&registry, "one", UPSTREAM).await;
    registry.close().await;
    drop(registry);
    let second = "08".repeat(32);
    let both = SealingKeys::parse(&format!("{second}\n{}", "07".repeat(32))).unwrap();
    let registry = Registry::open(&path, both, NOW).unwrap();
    registry.close().await;
    drop(registry);
    let registry = Registry::open(&path, SealingKeys::parse(&second).unwrap(), NOW).unwrap();
    let opened = registry.bond_token(PLATFORM.into(), one.id).await.unwrap().unwrap();
    assert_eq!(opened.reveal(), TOKEN, "it was wrapped anew");
    registry.close().await;
    drop(registry);

    let store = Connection::open(&path).unwrap();
    store.execute("UPDATE bonds SET platform = 'https://evil.example.com'", []).unwrap();
    drop(store);
    let registry = Registry::open(&path, SealingKeys::parse(&second).unwrap(), NOW).unwrap();
    let moved = registry.bond_token("https://evil.example.com".into(), one.id).await;
    assert_eq!(moved, Err(StoreError::TokenSealed { id: one.id }));
}

#[tokio::test]
async fn a_counterpart_is_one_workspaces_alone() {
    let (_folder, registry) = registry();
    bonded(&registry, "one", UPSTREAM).await;
    let mut new = named("two");
    let (platform, token) = (PLATFORM.into(), Secret::new(TOKEN.into()));
    new.adoption = Some(Adoption { platform, upstream: UPSTREAM.into(), token });
    let refused = registry.create_workspace(new.clone(), None, NOW, admin()).await;
    assert_eq!(refused, Err(StoreError::UpstreamTaken));
    assert_eq!(registry.workspaces().len(), 1, "nothing of it is left");

    new.adoption = new.adoption.map(|adoption| Adoption { upstream: "other".into(), ..adoption });
    let two = registry.create_workspace(new, None, NOW, admin()).await.unwrap();
    let bond = registry.bond(PLATFORM, &two.id).unwrap();
    assert_eq!((bond.step, bond.adopted, bond.has_token), (BondStep::Made, true, true));
}

#[tokio::test]
async fn a_removed_workspace_leaves_what_it_made_and_forgets_what_it_adopted() {
    let (_folder, registry) = registry();
    let one = bonded(&registry, "one", UPSTREAM).await;
    let mut new = named("two");
    let (platform, token) = (PLATFORM.into(), Secret::new(TOKEN.into()));
    new.adoption = Some(Adoption { platform, upstream: "other".into(), token });
    let two = registry.create_workspace(new, None, NOW, admin()).await.unwrap();
    for (id, step) in [(one.id, BondStep::Leaving), (two.id, BondStep::Gone)] {
        registry.remove_workspace(id, NOW, admin()).await.unwrap();
        let bond = registry.bond(PLATFORM, &id).unwrap();
        assert_eq!((bond.step, bond.has_token), (step, false));
        assert_eq!(registry.bond_token(PLATFORM.into(), id).await, Ok(None));
    }
    assert_eq!(registry.bonds(PLATFORM).len(), 2);
    let mut again = named("three");
    let (platform, token) = (PLATFORM.into(), Secret::new(TOKEN.into()));
    again.adoption = Some(Adoption { platform, upstream: "other".into(), token });
    registry.create_workspace(again, None, NOW, admin()).await.unwrap();
}

#[tokio::test]
async fn what_comes_back_too_late_neither_revives_a_bond_nor_leaves_a_token() {
    let (_folder, registry) = registry();
    let one = made(&registry, "one").await;
    registry.begin_bond(PLATFORM.into(), one.id, NOW).await.unwrap();
    registry.remove_workspace(one.id, NOW, admin()).await.unwrap();
    let answered = BondChange {
        step: Some(BondStep::Made),
        upstream: Some(UPSTREAM.into()),
        token: token(),
        ..BondChange::default()
    };
    let change = |change| registry.change_bond(PLATFORM.into(), one.id, change, NOW, admin());
    let bond = change(answered.clone()).await.unwrap();
    assert_eq!((bond.step, bond.has_token), (BondStep::Leaving, false));
    assert_eq!(bond.upstream.as_deref(), Some(UPSTREAM), "so that it can be deleted");
    let gone = BondChange { step: Some(BondStep::Gone), ..BondChange::default() };
    assert_eq!(change(gone).await.unwrap().step, BondStep::Gone);
    let bond = change(answered).await.unwrap();
    assert_eq!((bond.step, bond.has_token), (BondStep::Gone, false));
}
