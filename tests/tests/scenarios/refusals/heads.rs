//! Heads that the relay refuses, paths that lead nowhere, and fields that do not cross.

use tests::{
    RawClient, RawResponse, Refusal, World,
    http::{Version, exchange, post},
    refusal::call_with_id,
};

/// Sends a request line and fields as they are, behind Host, with a small call as its body.
async fn raw(world: &World, line: &str, fields: &[(&str, &str)]) -> RawResponse {
    let body = call_with_id("1");
    let mut head = format!("{line}\r\nHost: {}\r\n", world.relay.http());
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    let mut client = RawClient::connect(world.relay.http()).await.expect("the relay");
    let _ = client.send(&[head.as_bytes(), &body].concat()).await;
    client.response().await.unwrap_or_else(|cut| panic!("{line:.80}: {cut}"))
}

/// The path of the agent's endpoint.
fn endpoint_path(world: &World) -> String {
    let endpoint = world.endpoint();
    endpoint[endpoint.find("/agents/").expect("a path")..].to_owned()
}

#[tokio::test]
async fn heads_over_the_limits_are_refused_with_a_code() {
    let world = World::new().await;
    let path = endpoint_path(&world);
    let json = ("Content-Type", "application/json");
    let seen = ("x-test-id", "head");
    let (long, query) = ("v".repeat(33 * 1024), "q".repeat(9 * 1024));
    let post = format!("POST {path} HTTP/1.1");
    for (line, fields, refusal) in [
        (&post, [json, seen, ("X-Long", &long)], Refusal::new(431, "RELAY_HEADERS_TOO_LARGE")),
        (
            &format!("POST {path}?{query} HTTP/1.1"),
            [json, seen, ("X", "1")],
            Refusal::new(414, "RELAY_URI_TOO_LONG"),
        ),
        (
            &post,
            [("Content-Type", "text/plain"), seen, ("X", "1")],
            Refusal::new(415, "RELAY_UNSUPPORTED_MEDIA_TYPE"),
        ),
        (
            &format!("POST {path} HTTP/1.0"),
            [json, seen, ("X", "1")],
            Refusal::new(505, "RELAY_HTTP_VERSION"),
        ),
        (&post, [json, seen, ("X_Y", "1")], Refusal::new(400, "RELAY_BAD_REQUEST")),
        (&post, [json, seen, ("Host", "other")], Refusal::new(400, "RELAY_BAD_REQUEST")),
    ] {
        let answer = raw(&world, line, &fields).await;
        refusal.assert_marks(&answer);
    }
    world.assert_unseen("head");
    assert_eq!(raw(&world, &post, &[json, ("x-test-id", "ok")]).await.status, 200);
    world.assert_seen_once("ok");
}

#[tokio::test]
async fn other_methods_are_told_which_ones_there_are() {
    let world = World::new().await;
    let not_allowed = Refusal::new(405, "RELAY_METHOD_NOT_ALLOWED");
    for (method, url, allow) in [
        ("GET", world.endpoint(), "POST, OPTIONS"),
        ("DELETE", world.endpoint(), "POST, OPTIONS"),
        ("PUT", world.public_url.clone(), "POST, OPTIONS"),
        ("DELETE", world.workspace.card(), "GET, HEAD, OPTIONS"),
    ] {
        let answer = exchange(method, &url, &[("x-test-id", "m")], None).await.expect("an answer");
        not_allowed.assert_marks(&answer);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {url}");
    }
    world.assert_unseen("m");
}

#[tokio::test]
async fn no_trick_with_a_path_reaches_the_agent() {
    let world = World::new().await;
    let endpoint = endpoint_path(&world);
    let base = endpoint.strip_suffix("/a2a").expect("the endpoint's path");
    let host = world.relay.http();
    for path in [
        format!("{base}/a2a/../secret"),
        format!("{base}/a2a/%2e%2e/secret"),
        format!("{base}/a2a/%2E%2E%2fsecret"),
        format!("{base}/./a2a"),
        format!("{base}/x/../a2a"),
        format!("{base}/../../a2a"),
        format!("{base}//a2a"),
        format!("/{base}/a2a"),
        format!("//{host}{base}/a2a"),
        format!("{base}/\\..\\secret"),
        format!("{base}/a2a\\..\\secret"),
        format!("{base}/a2a;x=1/../secret"),
        format!("{base}/a2a%00"),
        format!("{base}/%61%32%61"),
        format!("{base}/A2A"),
        format!("{base}/secret"),
        format!("{base}%2fa2a"),
        "/a2a/../agents".to_owned(),
        "/agents/../a2a".to_owned(),
        format!("/agents/%2e%2e{base}/a2a"),
    ] {
        let line = format!("POST {path} HTTP/1.1");
        let fields = [("Content-Type", "application/json"), ("x-test-id", "trick")];
        let answer = raw(&world, &line, &fields).await;
        let code = answer.relay_error();
        assert_eq!((answer.status, code), (404, Some("RELAY_NOT_FOUND")), "{path}: {answer:?}");
        assert_eq!(answer.delivery(), Some("not-sent"), "{path}");
    }
    let paths: Vec<_> = world.agent.deliveries().into_iter().map(|seen| seen.path).collect();
    let card = |path: &String| path.starts_with("/.well-known/agent");
    assert!(paths.iter().all(card), "the agent was asked for {paths:?}");
    let absolute = format!("POST http://other.example{endpoint} HTTP/1.1");
    let answer = raw(&world, &absolute, &[("x-test-id", "trick")]).await;
    Refusal::new(400, "RELAY_BAD_REQUEST").assert_marks(&answer);
    world.assert_unseen("trick");
}

#[tokio::test]
async fn what_concerns_one_connection_or_the_relay_alone_does_not_cross() {
    let world = World::new().await;
    // HTTP/2 has no such fields.
    let of_http1 = [
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Upgrade", "h2c"),
    ];
    let headers = [
        ("Content-Type", "application/json"),
        ("x-test-id", "fields"),
        ("TE", "trailers"),
        ("Proxy-Authorization", "Basic x"),
        ("X-Relay-Caller", "ws_admin"),
        ("X-Relay-Error", "x"),
        ("X-Relay-Whatever", "x"),
        ("X-Workspace-ID", "ws_other"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Request-Id", "theirs"),
        ("Authorization", "Bearer the-agents-own"),
        ("A2A-Version", "1.0"),
        ("X-Api-Key", "theirs"),
    ];
    let headers = match Version::of_callers() {
        Version::Http1 => [&of_http1[..], &headers].concat(),
        Version::Http2 => headers.to_vec(),
    };
    let answer = post(&world.endpoint(), &headers, &call_with_id("1")).await.expect("an answer");
    assert_eq!((answer.status, answer.json()["id"].as_u64()), (200, Some(1)), "{answer:?}");
    let [seen] = &world.agent.of("fields")[..] else { panic!("not seen once") };
    for hop in [
        "x-hop",
        "keep-alive",
        "te",
        "proxy-authorization",
        "proxy-connection",
        "upgrade",
        "x-relay-caller",
        "x-relay-error",
        "x-relay-whatever",
        "x-workspace-id",
    ] {
        assert_eq!(seen.header(hop), None, "{hop} crossed");
    }
    assert!(!format!("{:?}", seen.headers).contains("6.6.6.6"), "{:?}", seen.headers);
    assert_eq!(seen.header("x-request-id"), answer.header("x-request-id"));
    assert_eq!(seen.header("authorization"), Some("Bearer the-agents-own"));
    assert_eq!(seen.header("a2a-version"), Some("1.0"));
    assert_eq!(seen.header("x-api-key"), Some("theirs"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert!(seen.header("via").is_some() && seen.header("traceparent").is_some());
}
