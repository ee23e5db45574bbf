//! Credentials: issued, found, revoked, forgotten; how many there may be, and their last uses.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use rusqlite::params;
use shared::ids::WorkspaceId;

use super::{DAY, NOW, admin, folder, keys, made, named, registry};
use crate::clock::unix_ms;
use crate::registry::CredentialKind::{CallerToken, OrgKey, WorkspaceToken};
use crate::registry::{
    Credential, CredentialId, Ended, NewCredential, Registry, Scope, StoreError, hash_of,
};

async fn issued(registry: &Registry, new: NewCredential) -> Credential {
    registry.add_credential(new, admin()).await.unwrap()
}

async fn token(registry: &Registry, id: WorkspaceId, now_ms: i64) -> (Credential, [u8; 32]) {
    let (new, text) = NewCredential::workspace_token(id, now_ms).unwrap();
    (issued(registry, new).await, hash_of(&text))
}

#[test]
fn a_text_is_a_prefix_a_ulid_and_256_bits_and_its_hash_is_kept() {
    let id = named("one").id;
    for (prefix, made) in [
        ("rtok_", NewCredential::workspace_token(id, NOW)),
        ("okey_", NewCredential::org_key("ci".into(), Scope::Call, NOW)),
        ("rcall_", NewCredential::caller_token(id, "bob".into(), Some(NOW + 1), NOW)),
    ] {
        let (new, text) = made.unwrap();
        let rest = text.strip_prefix(prefix).unwrap();
        let (ulid, secret) = rest.split_at(26);
        assert_eq!(ulid.parse::<CredentialId>(), Ok(new.credential.id));
        assert_eq!(new.credential.prefix(), format!("{prefix}{ulid}"));
        assert_eq!(secret.len(), 52);
        assert!(secret.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)));
        assert_eq!(new.hash, hash_of(&text));
        assert!(!format!("{new:?}").contains(secret));
    }
    for wrong in ["", "01arz3ndektsv4rrffq69g5fav", "rtok_01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        assert!(wrong.parse::<CredentialId>().is_err(), "{wrong}");
    }
    let nameless = NewCredential::org_key(String::new(), Scope::Read, NOW);
    assert!(matches!(nameless, Err(StoreError::BadName(_))));
}

#[tokio::test]
async fn each_kind_is_found_by_its_hash_and_listed_with_its_owner() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let (one, two) = (made(&registry, "one").await.id, made(&registry, "two").await.id);
    let (first, hash) = token(&registry, one, NOW).await;
    let (second, _) = token(&registry, one, NOW + 1).await;
    let (key, _) = NewCredential::org_key("ci".into(), Scope::Admin, NOW).unwrap();
    let key = issued(&registry, key).await;
    let (caller, _) = NewCredential::caller_token(two, "bob".into(), Some(NOW + 9), NOW).unwrap();
    let caller = issued(&registry, caller).await;
    registry.close().await;

    for registry in [registry, Registry::open(&path, keys(), NOW).unwrap()] {
        assert_eq!(registry.credential(&hash).as_deref(), Some(&first));
        assert_eq!(registry.credential(&[9; 32]), None);
        let listed = |kind, workspace| registry.credentials(kind, workspace);
        assert_eq!(
            listed(WorkspaceToken, Some(&one)),
            [first.clone().into(), second.clone().into()]
        );
        assert_eq!(listed(OrgKey, None), [key.clone().into()]);
        assert_eq!(listed(CallerToken, Some(&two)), [caller.clone().into()]);
        assert!(
            listed(WorkspaceToken, Some(&two)).is_empty() && listed(OrgKey, Some(&one)).is_empty()
        );
    }
    assert_eq!((key.scope, key.label.as_deref()), (Some(Scope::Admin), Some("ci")));
    assert!(caller.is_live(NOW + 8) && !caller.is_live(NOW + 9));
}

#[tokio::test]
async fn a_revoked_one_says_so_and_a_second_revocation_changes_nothing() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    let (token, hash) = token(&registry, id, NOW).await;
    let revoke = |kind, workspace, now_ms| {
        registry.revoke_credential(kind, workspace, token.id, now_ms, admin())
    };
    let other = made(&registry, "two").await.id;
    for (kind, workspace) in [
        (WorkspaceToken, Some(other)),
        (WorkspaceToken, None),
        (CallerToken, Some(id)),
        (OrgKey, None),
    ] {
        let refused = revoke(kind, workspace, NOW).await;
        assert_eq!(refused, Err(StoreError::UnknownCredential { id: token.id }));
    }
    assert!(registry.credential(&hash).unwrap().is_live(NOW));
    let revoked = revoke(WorkspaceToken, Some(id), NOW + 1).await.unwrap();
    assert_eq!(revoked, Credential { revoked_at_ms: Some(NOW + 1), ..token.clone() });
    assert_eq!(revoke(WorkspaceToken, Some(id), NOW + 2).await, Ok(revoked.clone()));
    assert_eq!(registry.credential(&hash).as_deref(), Some(&revoked));
    assert!(!revoked.is_live(NOW + 1));
}

async fn is_over(ended: &mut Ended) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *ended).poll(cx).is_ready())).await
}

#[tokio::test]
async fn whoever_waits_for_the_end_of_a_credential_is_told_of_that_one_alone() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let (one, two) = (made(&registry, "one").await.id, made(&registry, "two").await.id);
    let (first, second) = (token(&registry, one, NOW).await.0, token(&registry, one, NOW).await.0);
    let (third, revoked) = (token(&registry, two, NOW).await.0, first.id);
    let validities = [first, second, third].map(|one| registry.validity(&Arc::new(one)));
    let mut ends = validities.each_ref().map(|validity| validity.ended());
    for ended in &mut ends {
        assert!(!is_over(ended).await);
    }
    registry.revoke_credential(WorkspaceToken, Some(one), revoked, NOW, admin()).await.unwrap();
    let [first, second, third] = &mut ends;
    first.await;
    assert!(!is_over(second).await && !is_over(third).await);
    validities[0].ended().await;

    registry.remove_workspace(two, NOW, admin()).await.unwrap();
    third.await;
    assert!(!is_over(second).await);

    let expires = Some(unix_ms() + 50);
    let (brief, _) = NewCredential::caller_token(one, "bob".into(), expires, unix_ms()).unwrap();
    let brief = Arc::new(issued(&registry, brief).await);
    registry.validity(&brief).ended().await;
    assert!(!brief.is_live(unix_ms()));
}

#[tokio::test]
async fn an_owner_must_be_there_and_a_credential_is_stored_once() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    let (new, _) = NewCredential::workspace_token(id, NOW).unwrap();
    issued(&registry, new.clone()).await;
    let again = registry.add_credential(new, admin()).await;
    assert_eq!(again, Err(StoreError::NotFresh { what: "credential" }));
    let (orphan, _) = NewCredential::workspace_token(named("nobody").id, NOW).unwrap();
    let refused = registry.add_credential(orphan, admin()).await;
    assert!(matches!(refused, Err(StoreError::UnknownWorkspace { .. })));
    registry.remove_workspace(id, NOW, admin()).await.unwrap();
    let (late, _) = NewCredential::caller_token(id, "bob".into(), None, NOW).unwrap();
    let refused = registry.add_credential(late, admin()).await;
    assert_eq!(refused, Err(StoreError::WorkspaceGone { id }));
}

#[tokio::test]
async fn fifty_live_tokens_are_all_and_an_ended_one_makes_room() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    let (first, _) = token(&registry, id, NOW).await;
    for _ in 1..50 {
        token(&registry, id, NOW).await;
    }
    let more = || NewCredential::workspace_token(id, NOW).unwrap().0;
    let refused = registry.add_credential(more(), admin()).await;
    assert!(matches!(refused, Err(StoreError::TooMany { most: 50, .. })), "{refused:?}");
    // The other kinds and owners have room of their own.
    let (caller, _) = NewCredential::caller_token(id, "bob".into(), None, NOW).unwrap();
    issued(&registry, caller).await;
    let other = made(&registry, "two").await.id;
    token(&registry, other, NOW).await;
    let revoke = registry.revoke_credential(WorkspaceToken, Some(id), first.id, NOW, admin());
    revoke.await.unwrap();
    issued(&registry, more()).await;
}

#[tokio::test]
async fn a_thousand_live_org_keys_are_all_and_an_expired_caller_token_makes_room() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    let fill = registry.store.run(move |work| {
        for (kind, of) in [("org_key", None), ("caller_token", Some(id.to_string()))] {
            work.connection.execute(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
                 INSERT INTO credentials (hash, kind, workspace_id, created_at, expires_at, id) \
                 SELECT randomblob(32), ?1, ?2, 0, ?3, ?1 || i FROM n",
                params![kind, of, NOW + 9],
            )?;
        }
        Ok(())
    });
    fill.await.unwrap();
    let (key, _) = NewCredential::org_key("ci".into(), Scope::Read, NOW).unwrap();
    let refused = registry.add_credential(key, admin()).await;
    assert!(matches!(refused, Err(StoreError::TooMany { most: 1_000, .. })), "{refused:?}");
    let caller = |now_ms| NewCredential::caller_token(id, "bob".into(), None, now_ms).unwrap().0;
    let refused = registry.add_credential(caller(NOW + 8), admin()).await;
    assert!(matches!(refused, Err(StoreError::TooMany { most: 1_000, .. })), "{refused:?}");
    issued(&registry, caller(NOW + 9)).await;
}

#[tokio::test]
async fn ended_ones_are_known_for_a_week_and_then_forgotten() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    let (revoked, revoked_hash) = token(&registry, id, NOW).await;
    let (expiring, text) = NewCredential::caller_token(id, "bob".into(), Some(NOW), NOW).unwrap();
    let expired_hash = hash_of(&text);
    issued(&registry, expiring).await;
    let (_, kept_hash) = token(&registry, id, NOW).await;
    let revoke = registry.revoke_credential(WorkspaceToken, Some(id), revoked.id, NOW, admin());
    revoke.await.unwrap();
    registry.note_use(revoked.id, NOW);
    let known =
        || [revoked_hash, expired_hash, kept_hash].map(|h| registry.credential(&h).is_some());

    token(&registry, id, NOW + 7 * DAY).await;
    assert_eq!(known(), [true, true, true]);
    token(&registry, id, NOW + 7 * DAY + 1).await;
    assert_eq!(known(), [false, false, true]);
    assert_eq!(registry.credentials(WorkspaceToken, Some(&id)).len(), 3);
    assert!(registry.credentials(CallerToken, Some(&id)).is_empty());
    assert_eq!(registry.last_used(revoked.id), None);
}

#[tokio::test]
async fn last_uses_are_seen_at_once_and_kept_once_flushed() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let id = made(&registry, "one").await.id;
    let (token, hash) = token(&registry, id, NOW).await;
    assert_eq!(registry.last_used(token.id), None);
    registry.note_use(token.id, NOW + 1);
    registry.note_seen(id, NOW + 2);
    registry.flush_uses().await.unwrap();
    registry.note_use(token.id, NOW + 3);
    assert_eq!(
        (registry.last_used(token.id), registry.last_seen(&id)),
        (Some(NOW + 3), Some(NOW + 2))
    );
    registry.close().await;

    let registry = Registry::open(&path, keys(), NOW).unwrap();
    assert_eq!(
        (registry.last_used(token.id), registry.last_seen(&id)),
        (Some(NOW + 1), Some(NOW + 2))
    );
    registry.note_use(token.id, NOW);
    registry.flush_uses().await.unwrap();
    assert_eq!(registry.last_used(token.id), Some(NOW), "a clock that was set back is believed");
    assert!(registry.credential(&hash).unwrap().is_live(NOW));
}

#[tokio::test]
async fn revoking_a_workspace_spares_its_callers_and_removing_spares_nobody() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    let (_, token_hash) = token(&registry, id, NOW).await;
    let (caller, text) = NewCredential::caller_token(id, "bob".into(), None, NOW).unwrap();
    issued(&registry, caller).await;
    let (_, bystander) = token(&registry, made(&registry, "two").await.id, NOW).await;
    let live = || {
        [token_hash, hash_of(&text), bystander]
            .map(|h| registry.credential(&h).unwrap().is_live(NOW))
    };
    registry.revoke_workspace_credentials(id, NOW, admin()).await.unwrap();
    assert_eq!(live(), [false, true, true]);
    registry.remove_workspace(id, NOW, admin()).await.unwrap();
    assert_eq!(live(), [false, false, true]);
}
