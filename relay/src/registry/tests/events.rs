//! The audit trail: every change is in it, with who and from where, and nothing that opens anything.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::broadcast::error::TryRecvError;

use super::{NOW, admin, folder, keys, made, named, registry, rename, token};
use crate::registry::{
    Actor, CredentialKind, EVENTS_KEPT, Edit, Event, EventQuery, Lookup, NewCredential, NewEvent,
    PolicyChange, Registration, Registry, Scope, StoreError, fresh_address,
};

async fn all(registry: &Registry) -> Vec<Event> {
    let query = EventQuery { after: Some(0), limit: 1_000, ..EventQuery::default() };
    registry.events(query).await.unwrap()
}

fn noted(number: u64) -> NewEvent {
    let detail = json!({ "number": number });
    NewEvent { action: "link.up", workspace: None, detail, by: Actor::relay(), at_ms: NOW }
}

#[tokio::test]
async fn every_change_is_told_once_in_its_order() {
    let (_folder, registry) = registry();
    let new = named("one");
    let (id, address) = (new.id, new.address.reveal());
    registry.create_workspace(new, Some(token(1, 1)), NOW, admin()).await.unwrap();
    registry.set_policies(id, rename("two"), NOW, admin()).await.unwrap();
    let new_address = fresh_address().unwrap();
    for change in [
        PolicyChange { paused: Some(true), ..PolicyChange::default() },
        PolicyChange { paused: Some(false), ..PolicyChange::default() },
        PolicyChange {
            alias: Edit::Give("shop".parse().unwrap()),
            new_address: Some(new_address),
            ..PolicyChange::default()
        },
        PolicyChange::default(),
    ] {
        registry.set_policies(id, change, NOW, admin()).await.unwrap();
    }
    registry.redeem_join_token([1; 32], [2; 32], NOW, Actor::relay()).await.unwrap().unwrap();
    registry.redeem_join_token([1; 32], [2; 32], NOW, Actor::relay()).await.unwrap().unwrap();
    registry.renew_agent_key(id, [2; 32], [3; 32], NOW, Actor::relay()).await.unwrap();
    let (mut texts, mut ids) = (Vec::new(), Vec::new());
    for (new, text) in [
        NewCredential::workspace_token(id, NOW).unwrap(),
        NewCredential::caller_token(id, "bob".into(), None, NOW).unwrap(),
        NewCredential::org_key("ci".into(), Scope::Read, NOW).unwrap(),
    ] {
        texts.push(text);
        ids.push(registry.add_credential(new, admin()).await.unwrap());
    }
    for credential in ids {
        for _ in 0..2 {
            let (kind, of) = (credential.kind, credential.workspace);
            registry.revoke_credential(kind, of, credential.id, NOW, admin()).await.unwrap();
        }
    }
    let said = Registration { url: Some("http://u:canary@x".into()), card: Some(json!("canary")) };
    registry.register(id, said, None, NOW, admin()).await.unwrap();
    registry.update_card(id, json!("canary"), admin()).await.unwrap();
    registry.set_secret(id, "A".parse().unwrap(), "canary".into(), NOW, admin()).await.unwrap();
    registry.remove_secret(id, "A".parse().unwrap(), admin(), NOW).await.unwrap();
    registry.add_join_token(id, token(2, 1), NOW, admin()).await.unwrap();
    registry.revoke_workspace_credentials(id, NOW, admin()).await.unwrap();
    registry.remove_workspace(id, NOW, admin()).await.unwrap();

    let events = all(&registry).await;
    let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "workspace.created",
            "join.issued",
            "workspace.renamed",
            "workspace.paused",
            "workspace.resumed",
            "workspace.changed",
            "join.redeemed",
            "certificate.renewed",
            "token.issued",
            "caller.issued",
            "key.issued",
            "token.revoked",
            "caller.revoked",
            "key.revoked",
            "workspace.registered",
            "workspace.card_updated",
            "secret.set",
            "secret.removed",
            "join.issued",
            "workspace.revoked",
            "workspace.removed",
        ]
    );
    let text = serde_json::to_string(&events).unwrap();
    assert!(text.contains("shop") && text.contains("\"bob\""), "{text}");
    for text_of_token in &texts {
        assert!(!text.contains(&text_of_token[32..]) && text.contains(&text_of_token[..31]));
    }
    assert!(!text.contains("canary") && !text.contains(&address[2..]));
    assert!(!text.contains(&new_address.reveal()[2..]));
    assert!(
        events
            .iter()
            .filter(|event| event.action != "key.issued")
            .all(|event| { event.workspace == Some(id) || event.action == "key.revoked" })
    );
}

#[tokio::test]
async fn an_event_tells_who_what_when_and_from_where() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let by = Actor { name: "okey_01".into(), source: Some("2001:db8::1".parse().unwrap()) };
    let new = named("one");
    let id = new.id;
    registry.create_workspace(new, None, NOW, by).await.unwrap();
    registry.close().await;
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    let told = Event {
        seq: 1,
        at_ms: NOW,
        actor: "okey_01".into(),
        source: Some("2001:db8::1".parse().unwrap()),
        action: "workspace.created".into(),
        workspace: Some(id),
        detail: json!({ "name": "one", "alias": null, "parent": null }),
    };
    assert_eq!(all(&registry).await, [told]);
}

#[tokio::test]
async fn what_is_refused_is_not_told() {
    let (_folder, registry) = registry();
    let mut watched = registry.watch_events();
    let id = named("nobody").id;
    assert!(registry.set_policies(id, rename("x"), NOW, admin()).await.is_err());
    assert!(registry.remove_workspace(id, NOW, admin()).await.is_err());
    assert!(registry.set_secret(id, "A".parse().unwrap(), "x".into(), NOW, admin()).await.is_err());
    assert_eq!(watched.try_recv(), Err(TryRecvError::Empty));
    assert!(all(&registry).await.is_empty());
}

#[tokio::test]
async fn a_watcher_learns_of_each_after_its_commit() {
    let (_folder, registry) = registry();
    let mut watched = registry.watch_events();
    let making = registry.clone();
    let making = tokio::spawn(async move { made(&making, "one").await });
    let event: Arc<Event> = watched.recv().await.unwrap();
    let id = event.workspace.unwrap();
    assert!(matches!(registry.by_id(&id), Lookup::Live(_)), "a lookup sees it");
    assert_eq!(making.await.unwrap().id, id);
    assert_eq!(all(&registry).await, [(*event).clone()]);
}

#[tokio::test]
async fn pages_go_back_from_the_newest_or_forth_from_a_number() {
    let (_folder, registry) = registry();
    let (one, two) = (made(&registry, "one").await.id, made(&registry, "two").await.id);
    for number in 3..=6 {
        let workspace = Some(if number % 2 == 0 { two } else { one });
        registry.note(NewEvent { workspace, ..noted(number) }).await.unwrap();
    }
    let ask = async |workspace, before, after, limit| {
        let query = EventQuery { workspace, before, after, limit };
        let events = registry.events(query).await.unwrap();
        events.into_iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    assert_eq!(ask(None, None, None, 3).await, [6, 5, 4]);
    assert_eq!(ask(None, Some(4), None, 9).await, [3, 2, 1]);
    assert_eq!(ask(None, None, Some(4), 9).await, [5, 6]);
    assert_eq!(ask(None, None, Some(0), 2).await, [1, 2]);
    assert_eq!(ask(None, Some(5), Some(2), 9).await, [3, 4]);
    assert_eq!(ask(Some(two), None, None, 9).await, [6, 4, 2]);
    assert_eq!(ask(Some(one), Some(5), None, 1).await, [3]);
    assert!(ask(None, None, None, 0).await.is_empty());
    assert!(ask(None, None, Some(u64::MAX), 9).await.is_empty());
    assert_eq!(ask(None, Some(u64::MAX), None, usize::MAX).await.len(), 6);
}

#[tokio::test]
async fn the_newest_are_kept_and_a_longer_trail_shrinks_step_by_step() {
    let (_folder, registry) = registry();
    let fill = registry.store.run(|work| {
        work.connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100010) \
             INSERT INTO events (at, actor, action, detail) SELECT i, 'relay', 'x.y', '{}' FROM n",
            [],
        )?;
        Ok(())
    });
    fill.await.unwrap();
    let count = async || -> Result<i64, StoreError> {
        let count = registry.store.run(|work| {
            Ok(work.connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?)
        });
        count.await
    };
    registry.note(noted(1)).await.unwrap();
    assert_eq!(count().await, Ok(100_007));
    for number in 2..=20 {
        registry.note(noted(number)).await.unwrap();
    }
    assert_eq!(count().await, Ok(i64::try_from(EVENTS_KEPT).unwrap()));
    let oldest = EventQuery { after: Some(0), limit: 1, ..EventQuery::default() };
    assert_eq!(registry.events(oldest).await.unwrap()[0].seq, 31);
}

#[test]
fn kinds_and_scopes_cross_text() {
    for (kind, text) in [
        (CredentialKind::WorkspaceToken, "workspace_token"),
        (CredentialKind::OrgKey, "org_key"),
        (CredentialKind::CallerToken, "caller_token"),
    ] {
        assert_eq!((kind.as_str(), text.parse()), (text, Ok(kind)));
    }
    let error = "write".parse::<Scope>().unwrap_err().to_string();
    assert_eq!(error, "There is no such scope; choose one of admin, call and read.");
}
