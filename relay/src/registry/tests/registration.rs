//! Registration: what an agent says of itself, its first token, and who may talk to whom.

use std::sync::Arc;

use serde_json::{Value, json};
use shared::ids::WorkspaceId;

use super::{NOW, admin, folder, keys, made, named, registry};
use crate::registry::{
    CredentialKind, Lookup, NewCredential, Registered, Registration, Registry, StoreError, hash_of,
};

fn said(url: &str, card: Value) -> Registration {
    Registration { url: Some(url.to_owned()), card: Some(card) }
}

async fn register(registry: &Registry, id: WorkspaceId, now_ms: i64) -> (Registered, [u8; 32]) {
    let (token, text) = NewCredential::workspace_token(id, now_ms).unwrap();
    let card = json!({ "name": "agent" });
    let registration = said("http://10.0.0.1:8000", card);
    let registered = registry.register(id, registration, Some(token), now_ms, admin()).await;
    (registered.unwrap(), hash_of(&text))
}

#[tokio::test]
async fn url_and_card_are_kept_as_they_were_said() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let mut new = named("one");
    new.url = Some("http://first.example".into());
    let one = registry.create_workspace(new, None, NOW, admin()).await.unwrap();
    assert_eq!(one.url.as_deref(), Some("http://first.example"));
    assert_eq!((one.card, one.registered_at_ms), (None, None));

    let card = json!({ "name": "ä\u{0}", "skills": [{ "id": 1.5e300 }], "": null });
    let registration = said("http://second.example", card.clone());
    let registered = registry.register(one.id, registration, None, NOW + 1, admin()).await.unwrap();
    assert!(!registered.issued);
    let workspace = registered.workspace;
    assert_eq!(workspace.url.as_deref(), Some("http://second.example"));
    assert_eq!(workspace.card.as_deref(), Some(&card));
    assert_eq!(workspace.registered_at_ms, Some(NOW + 1));

    let silent = registry.register(one.id, Registration::default(), None, NOW + 2, admin()).await;
    let silent = silent.unwrap().workspace;
    assert_eq!((&silent.url, &silent.card), (&workspace.url, &workspace.card));
    let updated = registry.update_card(one.id, json!({ "name": "new" }), admin()).await.unwrap();
    assert_eq!(updated.card.as_deref(), Some(&json!({ "name": "new" })));
    assert_eq!(updated.registered_at_ms, Some(NOW + 2));
    registry.close().await;
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    assert_eq!(registry.by_id(&one.id), Lookup::Live(Arc::new(updated)));
}

#[tokio::test]
async fn the_first_registration_gets_a_token_and_the_next_after_a_revocation() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    let (first, first_hash) = register(&registry, id, NOW).await;
    let (second, second_hash) = register(&registry, id, NOW + 1).await;
    assert_eq!((first.issued, second.issued), (true, false));
    assert!(registry.credential(&first_hash).is_some_and(|token| token.is_live(NOW + 1)));
    assert_eq!(registry.credential(&second_hash), None);
    registry.revoke_workspace_credentials(id, NOW + 2, admin()).await.unwrap();
    let (third, third_hash) = register(&registry, id, NOW + 3).await;
    assert!(third.issued && registry.credential(&third_hash).is_some());
}

#[tokio::test]
async fn two_at_once_get_one_token_between_them() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    let ((one, _), (two, _)) =
        tokio::join!(register(&registry, id, NOW), register(&registry, id, NOW));
    assert!(one.issued != two.issued);
    assert_eq!(registry.credentials(CredentialKind::WorkspaceToken, Some(&id)).len(), 1);
}

#[tokio::test]
async fn a_token_for_another_workspace_or_of_another_kind_is_not_issued() {
    let (_folder, registry) = registry();
    let (one, two) = (made(&registry, "one").await.id, made(&registry, "two").await.id);
    let foreign = NewCredential::workspace_token(two, NOW).unwrap();
    let caller = NewCredential::caller_token(one, "bob".into(), None, NOW).unwrap();
    for (token, text) in [foreign, caller] {
        let registered =
            registry.register(one, Registration::default(), Some(token), NOW, admin()).await;
        assert!(!registered.unwrap().issued);
        assert_eq!(registry.credential(&hash_of(&text)), None);
    }
}

#[tokio::test]
async fn a_removed_workspace_registers_nobody_and_forgets_its_card() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    register(&registry, id, NOW).await;
    registry.remove_workspace(id, NOW, admin()).await.unwrap();
    let (token, text) = NewCredential::workspace_token(id, NOW).unwrap();
    let late = registry.register(id, Registration::default(), Some(token), NOW, admin()).await;
    let gone = StoreError::WorkspaceGone { id };
    assert_eq!(late, Err(gone.clone()));
    assert_eq!(registry.update_card(id, json!({}), admin()).await, Err(gone));
    assert_eq!(registry.credential(&hash_of(&text)), None);
    let rows = registry.store.run(|work| {
        let count = "SELECT count(*) FROM workspaces WHERE card IS NOT NULL OR url IS NOT NULL";
        Ok(work.connection.query_row(count, [], |row| row.get(0))?)
    });
    assert_eq!(rows.await, Ok(0));
}

#[tokio::test]
async fn a_removed_parent_still_links_its_children_to_those_above() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let top = made(&registry, "top").await.id;
    let mut under = Vec::new();
    for (name, parent) in [("middle", None), ("left", Some(0)), ("right", Some(0))] {
        let mut new = named(name);
        new.parent = Some(parent.map_or(top, |index: usize| under[index]));
        under.push(registry.create_workspace(new, None, NOW, admin()).await.unwrap().id);
    }
    let [middle, left, right] = under[..] else { panic!() };
    let mut both = vec![left, right];
    both.sort();
    assert_eq!(registry.children(&middle), both);
    assert_eq!(registry.children(&top), [middle]);
    assert!(registry.may_talk(&left, &middle));
    registry.remove_workspace(middle, NOW, admin()).await.unwrap();
    registry.close().await;

    for registry in [registry, Registry::open(&path, keys(), NOW).unwrap()] {
        assert!(registry.may_talk(&left, &top) && registry.may_talk(&left, &right));
        assert!(!registry.may_talk(&left, &middle) && !registry.may_talk(&middle, &middle));
        assert_eq!(registry.children(&middle), both);
        assert!(registry.children(&top).is_empty());
    }
}
