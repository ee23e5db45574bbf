//! Which methods callers may use: by binding, by version, and however a request tries to get round it.

use serde_json::json;
use tests::agent::{BodySeen, Document, hybrid_card};
use tests::{RawResponse, Refusal, World, http, refusal::call_with_id, world::message};

use super::{call_with, token};

const FORBIDDEN: Refusal = Refusal::new(403, "RELAY_FORBIDDEN");
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A world whose agent speaks JSON-RPC and HTTP+JSON, and whose callers may use these methods.
async fn world(methods: &str) -> World {
    World::builder()
        .workspace_args(&["--methods", methods])
        .document("/.well-known/agent-card.json", |port| {
            let mut card = hybrid_card(port);
            let rest = format!("http://127.0.0.1:{port}/rest");
            card["supportedInterfaces"][1] =
                json!({"url": rest, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"});
            Document::json(card)
        })
        .start()
        .await
}

/// Posts a body as it is, known to the agent's journal by this name.
async fn post(world: &World, name: &str, body: &[u8]) -> RawResponse {
    world.call_as(name, &[], body).await.expect("an answer")
}

#[tokio::test]
async fn callers_use_what_the_policy_names_whatever_version_and_binding_they_speak() {
    let world = world("send,get").await;
    for (method, allowed) in [
        ("message/send", true),
        ("SendMessage", true),
        ("tasks/get", true),
        ("GetTask", true),
        ("getTASK", true),
        ("message/stream", false),
        ("SendStreamingMessage", false),
        ("tasks/cancel", false),
        ("CancelTask", false),
        ("tasks/pushNotificationConfig/set", false),
        ("GetExtendedAgentCard", false),
        ("dance", false),
    ] {
        let answer =
            post(&world, method, message(method, method, "x").to_string().as_bytes()).await;
        if allowed {
            assert_eq!((answer.status, answer.relay_error()), (200, None), "{method}: {answer:?}");
            world.assert_seen_once(method);
        } else {
            FORBIDDEN.assert_json_rpc(&answer, &format!("\"{method}\""));
            world.assert_unseen(method);
        }
    }
    for (verb, path, allowed) in [
        ("POST", "rest/message:send", true),
        ("GET", "rest/v1/tasks/1", true),
        ("POST", "rest/message:stream", false),
        ("GET", "rest/tasks", false),
        ("POST", "rest/v1/tasks/1:cancel", false),
        ("GET", "rest/tasks/1:subscribe", false),
        ("GET", "rest/tasks/1%3Asubscribe", false),
        ("POST", "rest/tasks/message:send", false),
        ("GET", "rest/extendedAgentCard", false),
        ("OPTIONS", "rest/message:stream", true),
    ] {
        let name = format!("{verb} {path}");
        let url = format!("{}{path}", world.public_url);
        let headers = [JSON, ("x-test-id", name.as_str())];
        let body = (verb == "POST").then_some(&b"{}"[..]);
        let answer = http::exchange(verb, &url, &headers, body).await.expect("an answer");
        if allowed {
            assert_eq!(answer.relay_error(), None, "{name}: {answer:?}");
            world.assert_seen_once(&name);
        } else {
            FORBIDDEN.assert_marks(&answer);
            assert_eq!(answer.json()["error"]["status"], "PERMISSION_DENIED", "{answer:?}");
            world.assert_unseen(&name);
        }
    }
    let card = http::get(&world.workspace.card()).await.expect("an answer");
    assert_eq!(card.status, 200, "the card stays readable: {card:?}");
    let shown = world.relay.show_workspace(&world.workspace.workspace_id).await;
    assert_eq!(shown["methods"], "send,get");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_method_that_cannot_be_told_is_refused_with_a_sentence() {
    let world = world("send,get").await;
    let late = format!(r#"{{"params":"{}","method":"tasks/get"}}"#, "x".repeat(70_000));
    for (name, id, body) in [
        ("twice", "1", r#"{"id":1,"method":"tasks/get","method":"message/stream"}"#),
        ("other letters", "1", r#"{"id":1,"method":"tasks/get","Method":"message/stream"}"#),
        ("escaped", "1", r#"{"id":1,"method":"tasks/get","\u006dethod":"message/stream"}"#),
        ("none", "1", r#"{"id":1}"#),
        ("late", "null", &late),
    ] {
        let sentence = FORBIDDEN.assert_json_rpc(&post(&world, name, body.as_bytes()).await, id);
        assert!(sentence.contains("`method`"), "{name}: {sentence}");
        world.assert_unseen(name);
    }
    for (name, body) in [
        ("batch", &br#"[{"id":1,"method":"tasks/get"}]"#[..]),
        ("text", b"tasks/get"),
        ("UTF-16", b"{\0\"\0m\0e\0t\0h\0o\0d\0\"\0:\0"),
        ("nothing", b""),
    ] {
        FORBIDDEN.assert_json_rpc(&post(&world, name, body).await, "null");
        world.assert_unseen(name);
    }
    let encoded = [("Content-Type", "application/json; charset=utf-7"), ("x-test-id", "utf-7")];
    let call = call_with_id("7");
    let answer = http::post(&world.endpoint(), &encoded, &call).await.expect("an answer");
    FORBIDDEN.assert_json_rpc(&answer, "7");

    // A caller that does not come to the point is not waited for.
    let headers = [JSON, ("x-test-id", "slow")];
    let begun = http::begin("POST", &world.endpoint(), &headers, None).await.expect("the relay");
    let (mut call, mut upload) = begun;
    upload.send_bytes(r#"{"id":9,"#).await.expect("sent");
    FORBIDDEN.assert_json_rpc(&call.response().await.expect("an answer"), "9");
    world.assert_unseen("slow");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_second_method_behind_a_long_body_never_reaches_the_agent_whole() {
    let world = world("get").await;
    let long = |end: &str| {
        let text = "x".repeat(500_000);
        format!(r#"{{"id":5,"method":"tasks/get","params":{{"text":"{text}"}}{end}}}"#)
    };
    let fine = post(&world, "fine", long("").as_bytes()).await;
    assert_eq!((fine.status, fine.relay_error()), (200, None), "{fine:?}");
    let whole = world.agent.until_whole("fine").await;
    assert_eq!(whole.whole_body().map(|body| body.length), Some(long("").len() as u64));

    let trick = long(r#","method":"message/stream""#);
    FORBIDDEN.assert_json_rpc(&post(&world, "trick", trick.as_bytes()).await, "5");
    for seen in world.agent.of("trick") {
        assert!(!matches!(seen.body, BodySeen::Complete(_)), "{seen:?}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn of_a_workspace_and_a_token_the_narrower_holds() {
    let world = world("send,get").await;
    let token = token(&world, "partner", &["--methods", "get,stream"]).await;
    for (method, open, with_token) in
        [("message/send", 200, 403), ("tasks/get", 200, 200), ("message/stream", 403, 403)]
    {
        let answer = world.call(message(method, "open", "x")).await;
        assert_eq!(answer.status, open, "{method}: {answer:?}");
        let answer = call_with(&world, &token, method, "with token").await;
        assert_eq!(answer.status, with_token, "{method}: {answer:?}");
    }
    let id = &world.workspace.workspace_id;
    let done = world.relay.cli(&["workspace", "set", id, "--methods", "all"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(world.call(message("message/stream", "all", "x")).await.status, 200);
    let answer = call_with(&world, &token, "message/send", "still").await;
    assert_eq!(answer.relay_error(), Some("RELAY_FORBIDDEN"), "{answer:?}");
    let wrong = world.relay.cli(&["workspace", "set", id, "--methods", "sned"]).await;
    assert!(wrong.code == 2 && wrong.stderr.contains("push-set"), "{wrong:?}");
}
