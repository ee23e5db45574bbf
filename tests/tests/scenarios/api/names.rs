//! Who is named by a path, a field or a header: unknown, removed, another's, or nobody at all.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Cast, assert_problem, description::operations, said};

const UNKNOWN: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// The bodies that name a workspace; in each, and in no other, `{id}` is its id.
const IN_BODIES: &[(&str, &str, &str)] = &[
    ("POST /registry/register", "id", r#"{"id":"{id}","url":"https://a.example","agent_card":{}}"#),
    ("POST /registry/heartbeat", "workspace_id", r#"{"workspace_id":"{id}"}"#),
    ("POST /registry/update-card", "workspace_id", r#"{"workspace_id":"{id}","agent_card":{}}"#),
];

/// A body that would do for every call.
const BODY: &str = r#"{"name":"x","scope":"read","key":"K","value":"v"}"#;

#[tokio::test]
async fn the_operator_is_told_what_became_of_a_workspace() {
    let cast = Cast::new().await;
    for _ in 0..2 {
        cast.relay.operate("POST /workspaces", Some(&json!({ "name": "twin" }))).await;
    }
    let long = "x".repeat(4_000);
    let mut tried = 0;
    for operation in operations(&cast.relay).await {
        // Only its own agent reads the secrets themselves.
        if !operation.path.contains("{id}") || operation.path.ends_with("/values") {
            continue;
        }
        let (unknown, gone) = ("RELAY_UNKNOWN_WORKSPACE", "RELAY_WORKSPACE_GONE");
        let mut rows = vec![
            (UNKNOWN, 404, unknown),
            (cast.removed.0.as_str(), 410, gone),
            ("nobody", 404, unknown),
            ("%00", 404, unknown),
            ("%C2%85%0A", 404, unknown),
            ("a%2Fb", 404, unknown),
            ("%ff", 404, "RELAY_NOT_FOUND"),
            ("", 404, "RELAY_NOT_FOUND"),
            ("twin", 409, "RELAY_DUPLICATE"),
            (&long, 404, unknown),
        ];
        if operation.is_a2a() {
            // A message goes to an id, as it is.
            rows.retain(|(name, ..)| !["twin", "%ff", ""].contains(name));
        }
        for (name, status, code) in rows {
            let call = operation.of(name);
            let answer = cast.ask_as(&cast.admin, &call, BODY).await;
            let marks = (answer.status, answer.relay_error());
            assert_eq!(marks, (status, Some(code)), "{call:.200}: {answer:?}");
            assert!(answer.body.len() < 10_000, "{call:.200}: {answer:?}");
            tried += 1;
        }
        let over = cast.ask_as(&cast.admin, &operation.of(&"x".repeat(9_000)), BODY).await;
        assert_eq!((over.status, over.relay_error()), (414, Some("RELAY_URI_TOO_LONG")));
    }
    for (call, field, body) in IN_BODIES {
        for (id, status, code) in [
            (UNKNOWN, 404, "RELAY_UNKNOWN_WORKSPACE"),
            (cast.removed.0.as_str(), 410, "RELAY_WORKSPACE_GONE"),
        ] {
            let answer = cast.ask_as(&cast.admin, call, &body.replace("{id}", id)).await;
            let sentence = assert_problem(&answer, status, code, call);
            assert!(sentence.contains(&format!("`{field}`")), "{call}: {sentence}");
        }
    }
    for id in [UNKNOWN, &cast.removed.0] {
        let body = json!({ "name": "child", "parent_id": id }).to_string();
        let answer = cast.ask_as(&cast.admin, "POST /workspaces", &body).await;
        let sentence = assert_problem(&answer, 400, "RELAY_BAD_REQUEST", "a parent");
        assert!(sentence.contains("`parent_id`"), "{sentence}");
    }
    eprintln!("{tried} paths");
}

/// An escaped name is the name (RFC 3986, 6.2.2.2).
#[tokio::test]
async fn an_escaped_id_is_the_same_id() {
    let cast = Cast::new().await;
    let id = &cast.own.0;
    let escaped: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for name in [id.replace('_', "%5F"), id.replace('_', "%5f"), escaped] {
        for call in ["GET /workspaces/{}", "GET /workspaces/{}/secrets", "GET /registry/{}/peers"] {
            for token in [&cast.admin, &cast.own.1] {
                let (plain, encoded) = (call.replace("{}", id), call.replace("{}", &name));
                let plain = cast.ask_as(token, &plain, "").await;
                let encoded = cast.ask_as(token, &encoded, "").await;
                assert_eq!((encoded.status, encoded.text()), (200, plain.text()), "{call} {name}");
            }
        }
        // It is known, and has no link.
        let answer = cast.ask_as(&cast.admin, &format!("POST /workspaces/{name}/a2a"), "{}").await;
        assert_eq!(answer.relay_error(), Some("RELAY_AGENT_OFFLINE"), "{answer:?}");
    }
}

/// Whoever may not see a workspace cannot tell one that is there from one that never was.
#[tokio::test]
async fn nothing_is_said_of_the_workspaces_of_others() {
    let cast = Cast::new().await;
    let child = json!({ "name": "child", "parent_id": cast.other.0 });
    // Not a sibling, so that its own token may not even send it a message.
    let hidden = cast.relay.operate("POST /workspaces", Some(&child)).await;
    let hidden = super::text(&hidden, "id");
    let caller = format!("POST /workspaces/{}/callers", cast.own.0);
    let (caller, _) = cast.make(&caller, "caller_token", json!({ "name": "c" })).await;
    let key = json!({ "name": "k", "scope": "call" });
    let (call_key, _) = cast.make("POST /keys", "key", key).await;
    let key = json!({ "name": "k", "scope": "read" });
    let (read_key, _) = cast.make("POST /keys", "key", key).await;
    let names = [&hidden, UNKNOWN, &cast.removed.0, "nobody", "child", "%00"];
    let operations = operations(&cast.relay).await;
    let mut refused = 0;
    let who = [("its token", &cast.own.1), ("a caller", &caller), ("a key", &call_key)];
    for (who, token) in who.into_iter().chain([("a reader", &read_key)]) {
        for operation in operations.iter().filter(|one| one.path.contains("{id}")) {
            // A key of scope call may call every agent, and one of scope read sees them all.
            let (reads, sends) = (operation.method == "GET", operation.is_a2a());
            if (who == "a key" && sends) || (who == "a reader" && (reads || sends)) {
                continue;
            }
            let mut answers = BTreeSet::new();
            for name in names {
                let answer = cast.ask_as(token, &operation.of(name), BODY).await;
                let call = operation.of(name);
                let marks = (answer.status, answer.relay_error());
                assert_eq!(marks, (403, Some("RELAY_FORBIDDEN")), "{who}: {call}: {answer:?}");
                answers.insert(said(&answer));
                refused += 1;
            }
            assert_eq!(answers.len(), 1, "{who}: {} {answers:?}", operation.of("…"));
        }
        for (call, field, body) in IN_BODIES {
            let mut answers = BTreeSet::new();
            for id in [&hidden, UNKNOWN, &cast.removed.0] {
                let answer = cast.ask_as(token, call, &body.replace("{id}", id)).await;
                let sentence = assert_problem(&answer, 403, "RELAY_FORBIDDEN", call);
                assert!(sentence.contains(&format!("`{field}`")), "{who}: {call}: {sentence}");
                answers.insert(said(&answer));
                refused += 1;
            }
            assert_eq!(answers.len(), 1, "{who}: {call} {answers:?}");
        }
    }
    // A message whose target stands in a field.
    for token in [&cast.own.1, &caller] {
        let mut answers = BTreeSet::new();
        for name in [&hidden, UNKNOWN, &cast.removed.0, "nobody"] {
            let bearer = format!("Bearer {token}");
            let headers = [
                ("Authorization", bearer.as_str()),
                ("Content-Type", "application/json"),
                ("X-Workspace-ID", name),
            ];
            let answer = cast.ask("POST /a2a", &headers, Some(b"{}")).await;
            assert_eq!((answer.status, answer.relay_error()), (403, Some("RELAY_FORBIDDEN")));
            answers.insert(said(&answer));
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
    }
    eprintln!("{refused} calls refused");
}

#[tokio::test]
async fn the_smaller_names_are_judged_too() {
    let cast = Cast::new().await;
    let (own, other) = (&cast.own.0, &cast.other.0);
    let foreign = cast.relay.operate(&format!("POST /workspaces/{other}/tokens"), None).await;
    let foreign = super::text(&foreign, "id");
    let bad = (400, "RELAY_BAD_REQUEST");
    let unknown = (404, "RELAY_NOT_FOUND");
    let nobody = (404, "RELAY_UNKNOWN_WORKSPACE");
    let long = "K".repeat(129);
    for (call, (status, code), part) in [
        (format!("DELETE /workspaces/{own}/tokens/{foreign}"), unknown, foreign.as_str()),
        (format!("DELETE /workspaces/{own}/tokens/x"), unknown, "`x`"),
        (format!("DELETE /workspaces/{own}/callers/{foreign}"), unknown, foreign.as_str()),
        (format!("DELETE /keys/{foreign}"), unknown, foreign.as_str()),
        ("DELETE /keys/%00".to_owned(), unknown, "`"),
        (format!("DELETE /workspaces/{own}/secrets/ABSENT"), unknown, "ABSENT"),
        (format!("DELETE /workspaces/{own}/secrets/1"), bad, "`key`"),
        (format!("PUT /workspaces/{own}/secrets/a%2Fb"), bad, "`key`"),
        (format!("PUT /workspaces/{own}/secrets/{long}"), bad, "`key`"),
        ("GET /events?limit=0".to_owned(), bad, "`limit`"),
        ("GET /events?limit=1001".to_owned(), bad, "`limit`"),
        ("GET /events?limit=-1".to_owned(), bad, "`limit`"),
        ("GET /events?limit=1.5".to_owned(), bad, "`limit`"),
        ("GET /events?limit=".to_owned(), bad, "`limit`"),
        ("GET /events?limit=99999999999999999999".to_owned(), bad, "`limit`"),
        ("GET /events?before=x".to_owned(), bad, "`before`"),
        ("GET /events?after=-1".to_owned(), bad, "`after`"),
        ("GET /events?after=%00".to_owned(), bad, "`after`"),
        ("GET /events?format=xml".to_owned(), bad, "`format`"),
        ("GET /events?workspace=nobody".to_owned(), nobody, "`nobody`"),
        ("GET /events?workspace=%ff".to_owned(), nobody, "`"),
    ] {
        let answer = cast.ask_as(&cast.admin, &call, r#"{"value":"v"}"#).await;
        let sentence = assert_problem(&answer, status, code, &call);
        assert!(sentence.contains(part), "{call}: {sentence}");
    }
    for query in
        ["limit=1000", "limit=1", "before=0", "after=18446744073709551615", "x=y&&=", "format=json"]
    {
        let answer = cast.ask_as(&cast.admin, &format!("GET /events?{query}"), "").await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
    }
    let gone = format!("GET /events?workspace={}", cast.removed.0);
    let events = cast.ask_as(&cast.admin, &gone, "").await.json();
    assert!(!events["events"].as_array().expect("events").is_empty(), "its trail is left");

    // The field that names the target of a message, or claims to name its sender.
    let bearer = format!("Bearer {}", cast.own.1);
    let to = |names: &[&'static str]| {
        let names = names.iter().map(|name| ("X-Workspace-ID", *name));
        let always = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        always.into_iter().chain(names).collect::<Vec<_>>()
    };
    for (names, status) in [(&[][..], 400), (&["x", "y"], 400), (&["x"], 403), (&[""], 403)] {
        let answer = cast.ask("POST /a2a", &to(names), Some(b"{}")).await;
        assert_eq!(answer.status, status, "{names:?}: {answer:?}");
        let message = &answer.json()["error"]["message"];
        let named = message.as_str().is_some_and(|text| text.contains("`X-Workspace-ID`"));
        assert_eq!(named, status == 400, "{message}");
    }
    let call = format!("GET /registry/discover/{other}");
    let answer = cast.ask(&call, &to(&["ws_01ARZ3NDEKTSV4RRFFQ69G5FAV"]), None).await;
    let sentence = assert_problem(&answer, 403, "RELAY_FORBIDDEN", &call);
    assert!(sentence.contains("`X-Workspace-ID`"), "{sentence}");
}
