//! What tokens are worth, and which links end with them.

use super::*;
use crate::registry::{Actor, NewCredential, NewWorkspace, SealingKeys};
use crate::tunnel::loopback::Wire;
use crate::tunnel::{Link, LiveLinks};

fn proof(text: &str) -> Proof {
    Proof::of(None, Some(text))
}

async fn registry() -> (tempfile::TempDir, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let keys = SealingKeys::random().unwrap();
    let registry = Registry::open(folder.path().join("relay.db"), keys, unix_ms()).unwrap();
    (folder, registry)
}

#[tokio::test]
async fn a_token_is_worth_what_the_registry_knows_of_it() {
    let (_folder, registry) = registry().await;
    let by = Actor::relay;
    let new = NewWorkspace::named("one", unix_ms()).unwrap();
    let id = registry.create_workspace(new, None, unix_ms(), by()).await.unwrap().id;
    let (new, token) = NewCredential::workspace_token(id, unix_ms()).unwrap();
    let (of_caller, caller) = NewCredential::caller_token(id, "c".into(), None, unix_ms()).unwrap();
    let mut over = NewCredential::workspace_token(id, unix_ms()).unwrap();
    over.0.credential.expires_at_ms = Some(unix_ms() - 1);
    assert_eq!(proof(&token).standing(&registry), Standing::Unknown);
    let credential = registry.add_credential(new, by()).await.unwrap();
    registry.add_credential(of_caller, by()).await.unwrap();
    registry.add_credential(over.0, by()).await.unwrap();

    assert_eq!(proof(&token).standing(&registry), Standing::Good(id));
    assert_eq!(proof(&token).use_token(&registry), Some(credential.id));
    assert!(registry.last_used(credential.id).is_some());
    assert_eq!(proof(&token.to_uppercase()).standing(&registry), Standing::Unknown);
    assert_eq!(proof(&caller).standing(&registry), Standing::Unknown, "of another kind");
    assert_eq!(proof(&over.1).standing(&registry), Standing::Revoked, "its time is over");

    let (kind, now) = (CredentialKind::WorkspaceToken, unix_ms());
    registry.revoke_credential(kind, Some(id), credential.id, now, by()).await.unwrap();
    assert_eq!(proof(&token).standing(&registry), Standing::Revoked);
    registry.remove_workspace(id, unix_ms(), by()).await.unwrap();
    assert_eq!(proof(&token).standing(&registry), Standing::Gone);
}

#[tokio::test]
async fn revoking_a_token_ends_the_links_that_came_with_it_and_no_other() {
    let (wire, live) = (Wire::new(), LiveLinks::default());
    let workspace = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let token = || NewCredential::workspace_token(workspace, 0).unwrap().0.credential.id;
    let (revoked, other) = (token(), token());
    let mut kept = Vec::new();
    for (instance, token) in [(1, Some(revoked)), (2, None), (3, Some(other)), (4, Some(revoked))] {
        let (link, end) = wire.link_by(&live, workspace, instance, 0, token).await;
        kept.push((live.register(&link).unwrap(), end, link));
    }
    live.revoke_credential(&workspace, revoked, "It was revoked.");
    let closed: Vec<bool> = kept.iter().map(|(.., link)| Link::is_closed(link)).collect();
    assert_eq!(closed, [true, false, false, true]);
    live.revoke(&workspace, "All were revoked.");
    assert!(kept.iter().all(|(.., link)| link.is_closed()));
}
