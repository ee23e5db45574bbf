//! Validators of cards: made of the agent's, so that its 304 still counts; and cards of agents that are
//! away.

use serde_json::json;
use tests::{
    RawResponse, World,
    agent::{Document, hybrid_card},
    http::exchange,
};

const CARD: &str = "/.well-known/agent-card.json";

async fn ask(world: &World, method: &str, headers: &[(&str, &str)]) -> RawResponse {
    exchange(method, &world.workspace.card(), headers, None).await.expect("an answer")
}

/// What the agent was asked with, last, by the relay.
fn last_validator(world: &World) -> Option<String> {
    let asked = world.agent.deliveries();
    let asked = asked.iter().rfind(|one| one.path == CARD && one.header("via").is_some());
    asked.expect("it was asked").header("if-none-match").map(str::to_owned)
}

#[tokio::test]
async fn an_edited_card_has_a_tag_of_the_agents_and_the_agents_304_counts() {
    for (agents, weak) in [("\"v1\"", ""), ("W/\"v1\"", "W/")] {
        let world = World::builder()
            .document(CARD, move |port| {
                let card = Document::json(hybrid_card(port)).header("ETag", agents);
                let card = card.header("Cache-Control", "public, max-age=60");
                card.header("Digest", "sha-256=x").header("Content-MD5", "x")
            })
            .start()
            .await;
        let first = ask(&world, "GET", &[]).await;
        let tag = first.header("etag").expect("a validator").to_owned();
        assert!(tag.starts_with(&format!("{weak}\"v1~")) && tag != agents, "{tag}");
        assert_eq!(first.header("cache-control"), Some("public, max-age=60"));
        assert_eq!((first.header("digest"), first.header("content-md5")), (None, None));
        assert_eq!(first.header("content-length"), Some(first.body.len().to_string().as_str()));

        let same = ask(&world, "GET", &[("If-None-Match", &tag)]).await;
        assert_eq!((same.status, same.header("etag")), (304, Some(tag.as_str())), "{same:?}");
        assert!(same.body.is_empty() && same.is_complete());
        assert_eq!(last_validator(&world).as_deref(), Some(agents), "it is the agent that knows");

        // The agent's own tag is not one of the edited card, and another edition's is none either.
        for other in [agents, "\"v1~0000000000\""] {
            let whole = ask(&world, "GET", &[("If-None-Match", other)]).await;
            assert_eq!((whole.status, whole.header("etag")), (200, Some(tag.as_str())), "{other}");
            assert_eq!(last_validator(&world), None);
        }

        let head = ask(&world, "HEAD", &[]).await;
        assert_eq!((head.status, head.body.is_empty()), (200, true));
        for field in ["etag", "content-length", "x-relay-card", "content-type"] {
            assert_eq!(head.header(field), first.header(field), "{field}");
        }
        let head = ask(&world, "HEAD", &[("If-None-Match", &tag)]).await;
        assert_eq!(head.status, 304);

        // A new version is told from the old one.
        let card = hybrid_card(world.agent.port());
        world.agent.documents().put(CARD, Document::json(card).header("ETag", "\"v2\""));
        let changed = ask(&world, "GET", &[("If-None-Match", &tag)]).await;
        assert_eq!(changed.status, 200);
        assert!(changed.header("etag").is_some_and(|tag| tag.starts_with("\"v2~")), "{changed:?}");
        world.until_quiet().await;
    }
}

#[tokio::test]
async fn a_card_that_is_public_already_goes_out_byte_for_byte_with_its_own_tag() {
    let world = World::builder().document(CARD, |_| Document::json("{}")).start().await;
    let base = &world.public_url;
    let card = format!(
        "{{ \"url\":\"{base}a2a\", \"signatures\":[{{\"protected\":\"x\"}}],\n \"n\": 1.50 }}"
    );
    let document = Document::json(&card).header("ETag", "\"mine\"").header("Digest", "x");
    world.agent.documents().put(CARD, document);
    let answer = ask(&world, "GET", &[]).await;
    assert_eq!(answer.text(), card);
    let fields = ["etag", "digest", "x-relay-card"].map(|field| answer.header(field));
    assert_eq!(fields, [Some("\"mine\""), Some("x"), None]);
    assert_eq!(ask(&world, "GET", &[("If-None-Match", "\"mine\"")]).await.status, 304);
    world.until_quiet().await;
}

#[tokio::test]
async fn the_card_of_an_agent_that_is_away_is_the_last_good_one() {
    let world = World::builder()
        .document(CARD, |port| Document::json(hybrid_card(port)).header("ETag", "\"v1\""))
        .start()
        .await;
    let seen = ask(&world, "GET", &[]).await;
    let version = [("A2A-Version", "1.0")];
    assert_eq!(ask(&world, "GET", &version).await.status, 200);
    assert_eq!(world.connector.stop().await, 0);

    let kept = ask(&world, "GET", &[]).await;
    assert_eq!((kept.status, kept.header("x-relay-card")), (200, Some("cached")), "{kept:?}");
    assert_eq!((&kept.body, kept.header("etag")), (&seen.body, seen.header("etag")));
    assert!(kept.header("age").is_some_and(|age| age.parse::<u64>().is_ok()), "{kept:?}");
    assert!(kept.header("x-request-id").is_some_and(|id| Some(id) != seen.header("x-request-id")));
    assert_eq!(ask(&world, "GET", &version).await.status, 200);
    let tag = kept.header("etag").expect("a validator");
    assert_eq!(ask(&world, "GET", &[("If-None-Match", tag)]).await.status, 304);
    let head = ask(&world, "HEAD", &[]).await;
    assert_eq!((head.status, head.body.is_empty()), (200, true));
    for field in ["etag", "content-length", "x-relay-card"] {
        assert_eq!(head.header(field), kept.header(field), "{field}");
    }

    for other in [("Authorization", "Bearer x"), ("Cookie", "a=b"), ("A2A-Version", "0.3")] {
        let refused = ask(&world, "GET", &[other]).await;
        assert_eq!((refused.status, refused.relay_error()), (503, Some("RELAY_AGENT_OFFLINE")));
    }

    // Its policy guards it, and a change of that drops it.
    let id = world.workspace.workspace_id.clone();
    let paused = format!("POST /workspaces/{id}/pause");
    world.relay.operate(&paused, None).await;
    assert_eq!(ask(&world, "GET", &[]).await.relay_error(), Some("RELAY_AGENT_PAUSED"));
    world.relay.operate(&format!("POST /workspaces/{id}/resume"), None).await;
    assert_eq!(ask(&world, "GET", &[]).await.status, 200);
    let strict = world.relay.cli(&["workspace", "set", &id, "--strict-card", "on"]).await;
    assert_eq!(strict.code, 0, "{strict:?}");
    assert_eq!(ask(&world, "GET", &[]).await.relay_error(), Some("RELAY_AGENT_OFFLINE"));
}

#[tokio::test]
async fn a_card_for_one_caller_or_for_now_is_not_kept() {
    for (field, value) in
        [("Cache-Control", "private"), ("Cache-Control", "no-store"), ("Vary", "Accept-Language")]
    {
        let world = World::builder()
            .document(CARD, move |port| Document::json(hybrid_card(port)).header(field, value))
            .start()
            .await;
        assert_eq!(ask(&world, "GET", &[]).await.status, 200);
        assert_eq!(world.connector.stop().await, 0);
        let refused = ask(&world, "GET", &[]).await;
        assert_eq!(refused.relay_error(), Some("RELAY_AGENT_OFFLINE"), "{field}: {value}");
    }
}

#[tokio::test]
async fn a_removed_workspace_and_a_new_address_leave_no_card() {
    let world = World::builder()
        .document(CARD, |port| {
            Document::json(json!({"url": format!("http://localhost:{port}/a2a")}))
        })
        .start()
        .await;
    assert_eq!(ask(&world, "GET", &[]).await.status, 200);
    assert_eq!(world.connector.stop().await, 0);
    let id = world.workspace.workspace_id.clone();
    let new = json!({"new_address": true});
    let row = world.relay.operate(&format!("PATCH /workspaces/{id}"), Some(&new)).await;
    assert_eq!(ask(&world, "GET", &[]).await.relay_error(), Some("RELAY_UNKNOWN_WORKSPACE"));
    let base = row["public_url"].as_str().expect("a URL").trim_end_matches('/');
    let refused = exchange("GET", &format!("{base}{CARD}"), &[], None).await.expect("an answer");
    assert_eq!(refused.relay_error(), Some("RELAY_AGENT_OFFLINE"), "{refused:?}");
    world.relay.operate(&format!("DELETE /workspaces/{id}"), None).await;
    let refused = exchange("GET", &format!("{base}{CARD}"), &[], None).await.expect("an answer");
    assert_eq!(refused.relay_error(), Some("RELAY_UNKNOWN_WORKSPACE"));
}

#[tokio::test]
async fn a_policy_guards_the_kept_card_and_a_token_of_the_relay_opens_it() {
    let world = World::builder()
        .workspace_args(&["--callers", "token"])
        .document(CARD, |port| Document::json(hybrid_card(port)))
        .start()
        .await;
    let callers = format!("POST /workspaces/{}/callers", world.workspace.workspace_id);
    let made = world.relay.operate(&callers, Some(&json!({"name": "reader"}))).await;
    let bearer = format!("Bearer {}", made["caller_token"].as_str().expect("a token"));
    let known = [("Authorization", bearer.as_str())];
    assert_eq!(ask(&world, "GET", &known).await.status, 200);
    assert_eq!(world.connector.stop().await, 0);
    // The token is for the relay, and never was the agent's business.
    let kept = ask(&world, "GET", &known).await;
    assert_eq!((kept.status, kept.header("x-relay-card")), (200, Some("cached")), "{kept:?}");
    assert_eq!(ask(&world, "GET", &[]).await.relay_error(), Some("RELAY_UNAUTHENTICATED"));
}
