//! Joining: who a token lets in, how often, and until when.

use shared::ids::WorkspaceId;

use super::{DAY, NOW, admin, made, named, registry, token};
use crate::registry::{AgentKey, JoinRefusal, NewCredential, Registry, StoreError};

const KEY: [u8; 32] = [0xAA; 32];
const OTHER_KEY: [u8; 32] = [0xBB; 32];

async fn joinable(registry: &Registry, hash: u8, uses: u32) -> WorkspaceId {
    let made = registry.create_workspace(named("one"), Some(token(hash, uses)), NOW, admin()).await;
    made.unwrap().id
}

async fn redeem(registry: &Registry, hash: u8, key: [u8; 32]) -> Result<WorkspaceId, JoinRefusal> {
    registry.redeem_join_token([hash; 32], key, NOW + 1, admin()).await.unwrap()
}

#[tokio::test]
async fn a_token_lets_its_key_in() {
    let (_folder, registry) = registry();
    let id = joinable(&registry, 1, 1).await;
    assert_eq!(registry.agent_key(&KEY), None);
    assert_eq!(redeem(&registry, 1, KEY).await, Ok(id));
    assert_eq!(registry.agent_key(&KEY), Some(AgentKey { workspace: id, revoked: false }));
}

#[tokio::test]
async fn an_unknown_token_lets_nobody_in() {
    let (_folder, registry) = registry();
    joinable(&registry, 1, 1).await;
    assert_eq!(redeem(&registry, 2, KEY).await, Err(JoinRefusal::Unknown));
    assert_eq!(registry.agent_key(&KEY), None);
}

#[tokio::test]
async fn one_use_is_for_one_key_that_may_come_again() {
    let (_folder, registry) = registry();
    let id = joinable(&registry, 1, 1).await;
    assert_eq!(redeem(&registry, 1, KEY).await, Ok(id));
    assert_eq!(redeem(&registry, 1, OTHER_KEY).await, Err(JoinRefusal::Used));
    assert_eq!(registry.agent_key(&OTHER_KEY), None);
    assert_eq!(redeem(&registry, 1, KEY).await, Ok(id));
}

#[tokio::test]
async fn two_uses_are_for_two_keys_however_often_one_comes() {
    let (_folder, registry) = registry();
    let id = joinable(&registry, 1, 2).await;
    for key in [KEY, KEY, OTHER_KEY, KEY] {
        assert_eq!(redeem(&registry, 1, key).await, Ok(id));
    }
    assert_eq!(redeem(&registry, 1, [0xCC; 32]).await, Err(JoinRefusal::Used));
}

#[tokio::test]
async fn two_keys_at_once_get_one_use_between_them() {
    let (_folder, registry) = registry();
    joinable(&registry, 1, 1).await;
    let (one, two) = tokio::join!(redeem(&registry, 1, KEY), redeem(&registry, 1, OTHER_KEY));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
}

#[tokio::test]
async fn an_expired_token_lets_nobody_in_not_even_its_key() {
    let (_folder, registry) = registry();
    let id = joinable(&registry, 1, 2).await;
    let redeem = |key, now_ms| registry.redeem_join_token([1; 32], key, now_ms, admin());
    assert_eq!(redeem(KEY, NOW + DAY - 1).await, Ok(Ok(id)));
    assert_eq!(redeem(KEY, NOW + DAY).await, Ok(Err(JoinRefusal::Expired)));
    assert_eq!(redeem(OTHER_KEY, NOW + DAY).await, Ok(Err(JoinRefusal::Expired)));
}

#[tokio::test]
async fn tokens_that_expired_long_ago_are_swept_with_their_redemptions() {
    let (_folder, registry) = registry();
    let id = joinable(&registry, 1, 1).await;
    assert_eq!(redeem(&registry, 1, KEY).await, Ok(id));
    let later = NOW + 9 * DAY;
    let mut next = token(2, 1);
    next.expires_at_ms = later + DAY;
    registry.add_join_token(id, next, later, admin()).await.unwrap();
    let refused = registry.redeem_join_token([1; 32], KEY, later, admin()).await.unwrap();
    assert_eq!(refused, Err(JoinRefusal::Unknown));
    let rows = registry.store.run(|work| {
        let count = "SELECT (SELECT count(*) FROM join_tokens), (SELECT count(*) FROM redemptions)";
        Ok(work.connection.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    });
    assert_eq!(rows.await, Ok((1, 0)));
}

#[tokio::test]
async fn a_token_is_made_once() {
    let (_folder, registry) = registry();
    let id = joinable(&registry, 1, 1).await;
    let refused = registry.add_join_token(id, token(1, 5), NOW, admin()).await;
    assert_eq!(refused, Err(StoreError::NotFresh { what: "join token" }));
}

#[tokio::test]
async fn revoking_ends_every_key_and_every_token() {
    let (_folder, registry) = registry();
    let id = joinable(&registry, 1, 5).await;
    let bystander = made(&registry, "bystander").await.id;
    registry.add_agent_key(bystander, [7; 32], NOW).await.unwrap();
    assert_eq!(redeem(&registry, 1, KEY).await, Ok(id));
    registry.revoke_workspace_credentials(id, NOW + 2, admin()).await.unwrap();

    assert_eq!(registry.agent_key(&KEY), Some(AgentKey { workspace: id, revoked: true }));
    for key in [KEY, OTHER_KEY] {
        assert_eq!(redeem(&registry, 1, key).await, Err(JoinRefusal::Unknown));
    }
    let renewed = registry.add_agent_key(id, KEY, NOW + 3).await;
    assert_eq!(renewed, Err(StoreError::KeyRevoked { id }));
    assert!(registry.agent_key(&[7; 32]).is_some_and(|key| !key.revoked));

    registry.add_join_token(id, token(2, 1), NOW + 4, admin()).await.unwrap();
    assert_eq!(redeem(&registry, 2, KEY).await, Ok(id));
    assert_eq!(registry.agent_key(&KEY), Some(AgentKey { workspace: id, revoked: false }));
}

#[tokio::test]
async fn removing_ends_every_key_and_its_token_says_why() {
    let (_folder, registry) = registry();
    let id = joinable(&registry, 1, 5).await;
    assert_eq!(redeem(&registry, 1, KEY).await, Ok(id));
    registry.remove_workspace(id, NOW + 2, admin()).await.unwrap();
    assert!(registry.agent_key(&KEY).is_some_and(|key| key.revoked));
    for key in [KEY, OTHER_KEY] {
        assert_eq!(redeem(&registry, 1, key).await, Err(JoinRefusal::WorkspaceGone));
    }
    let gone = Err(StoreError::WorkspaceGone { id });
    assert_eq!(registry.add_agent_key(id, KEY, NOW + 3).await, gone);
    assert_eq!(registry.add_join_token(id, token(2, 1), NOW + 3, admin()).await, gone);
}

#[tokio::test]
async fn a_renewal_may_bring_a_new_key_or_the_old_one() {
    let (_folder, registry) = registry();
    let id = joinable(&registry, 1, 1).await;
    for key in [KEY, OTHER_KEY, KEY] {
        registry.add_agent_key(id, key, NOW).await.unwrap();
        assert_eq!(registry.agent_key(&key), Some(AgentKey { workspace: id, revoked: false }));
    }
}

#[tokio::test]
async fn a_key_speaks_for_one_workspace_and_a_refusal_costs_no_use() {
    let (_folder, registry) = registry();
    let first = made(&registry, "first").await.id;
    registry.add_agent_key(first, KEY, NOW).await.unwrap();
    let second = joinable(&registry, 1, 1).await;
    let taken = StoreError::KeyOfAnother { id: second };
    assert_eq!(registry.redeem_join_token([1; 32], KEY, NOW, admin()).await, Err(taken.clone()));
    assert_eq!(registry.add_agent_key(second, KEY, NOW).await, Err(taken));
    assert_eq!(registry.agent_key(&KEY), Some(AgentKey { workspace: first, revoked: false }));
    assert_eq!(redeem(&registry, 1, OTHER_KEY).await, Ok(second));
}

#[tokio::test]
async fn the_key_unused_for_longest_makes_room_for_one_too_many() {
    let (_folder, registry) = registry();
    let id = made(&registry, "ci").await.id;
    // Is no key, and takes no key's room.
    let (token, _) = NewCredential::workspace_token(id, NOW).unwrap();
    registry.add_credential(token, admin()).await.unwrap();
    let fill = registry.store.run(move |work| {
        work.connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8191) \
             INSERT INTO credentials (hash, kind, workspace_id, created_at, last_used_at) \
             SELECT randomblob(32), 'agent_key', ?1, i, i FROM n",
            [id.to_string()],
        )?;
        Ok(())
    });
    fill.await.unwrap();
    registry.add_agent_key(id, KEY, 0).await.unwrap();
    registry.add_agent_key(id, OTHER_KEY, NOW).await.unwrap();
    assert_eq!(registry.agent_key(&KEY), None);
    assert!(registry.agent_key(&OTHER_KEY).is_some());
    let count = registry.store.run(|work| {
        Ok(work.connection.query_row("SELECT count(*) FROM credentials", [], |row| row.get(0))?)
    });
    assert_eq!(count.await, Ok(8192 + 1));
}

#[tokio::test]
async fn a_key_that_was_revoked_meanwhile_brings_no_other() {
    let (_folder, registry) = registry();
    let id = made(&registry, "one").await.id;
    registry.add_agent_key(id, KEY, NOW).await.unwrap();
    registry.renew_agent_key(id, KEY, OTHER_KEY, NOW, admin()).await.unwrap();
    registry.revoke_workspace_credentials(id, NOW, admin()).await.unwrap();
    let late = registry.renew_agent_key(id, KEY, [9; 32], NOW, admin()).await;
    assert_eq!(late, Err(StoreError::KeyRevoked { id }));
    assert_eq!(registry.agent_key(&[9; 32]), None);
    let unknown = registry.renew_agent_key(id, [8; 32], [9; 32], NOW, admin()).await;
    assert_eq!(unknown, Err(StoreError::KeyRevoked { id }));
}
