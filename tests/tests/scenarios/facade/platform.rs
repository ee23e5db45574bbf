//! The platform on loopback, as an agent uses it whose only way out is the tunnel.

use crate::command;
use serde_json::json;
use std::time::Duration;
use tests::{
    Cut, RawClient, RawResponse, World,
    http::Version::Http1,
    until,
    world::{WorldBuilder, message},
};

const SOON: Duration = Duration::from_secs(20);

/// A world whose connector serves the platform.
struct Scene {
    world: World,
    platform: String,
    admin: String,
}

fn builder() -> WorldBuilder {
    World::builder().connector_args(&["--platform-listen", "127.0.0.1:0"])
}

impl Scene {
    async fn new() -> Scene {
        Scene::of(builder()).await
    }

    async fn of(builder: WorldBuilder) -> Scene {
        let world = builder.start().await;
        let platform = world.connector.platform().await;
        let admin = format!("Bearer {}", world.relay.admin_token());
        Scene { world, platform, admin }
    }

    /// A call of the operator through the platform.
    async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<RawResponse, Cut> {
        let headers = [("Authorization", &self.admin[..]), ("Content-Type", "application/json")];
        Http1.exchange(method, &format!("{}{path}", self.platform), &headers, body).await
    }

    /// The status of a request with these lines behind its request line.
    async fn raw(&self, lines: &str) -> u16 {
        let address = self.platform.strip_prefix("http://").expect("a URL");
        let mut client = RawClient::connect(address).await.expect("the platform");
        let request = format!("{lines}\r\n\r\n").replace("ADDRESS", address);
        client.send(request.as_bytes()).await.expect("sent");
        client.response().await.map_or(0, |answer| answer.status)
    }
}

#[tokio::test]
async fn the_platform_answers_like_the_relay_itself() {
    let scene = Scene::new().await;
    let body = json!({"name": "made through the platform"}).to_string();
    let made = scene.call("POST", "/workspaces", Some(body.as_bytes())).await.expect("it");
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.header("x-request-id").is_some(), "{made:?}");
    let through = scene.call("GET", "/workspaces?x=%2F&y", None).await.expect("it");
    let url = format!("{}/workspaces", scene.world.relay.public_url());
    let direct = Http1.exchange("GET", &url, &[("Authorization", &scene.admin)], None).await;
    let direct = direct.expect("it");
    let ids = |answer: &RawResponse| -> Vec<String> {
        let json = answer.json();
        let rows = json.as_array().expect("a list").iter();
        rows.map(|row| row["workspace_id"].to_string()).collect()
    };
    assert_eq!((through.status, ids(&through)), (200, ids(&direct)), "{through:?}");

    // Without a credential it is the agent's own call, which lists nobody and shows itself.
    let url = format!("{}/workspaces", scene.platform);
    let own = Http1.get(&url).await.expect("it");
    assert_eq!(own.relay_error(), Some("RELAY_FORBIDDEN"), "{own:?}");
    let id = &scene.world.workspace.workspace_id;
    let own = Http1.get(&format!("{url}/{id}")).await.expect("it");
    assert_eq!((own.status, &own.json()["workspace_id"]), (200, &json!(id)), "{own:?}");
    let unknown = scene.call("GET", "/workspaces/ws_01ARZ3NDEKTSV4RRFFQ69G5FAV", None).await;
    assert_eq!(unknown.expect("it").status, 404);
    let head = scene.call("HEAD", "/workspaces", None).await.expect("it");
    assert_eq!((head.status, head.body.len()), (200, 0), "{head:?}");
    assert_eq!(scene.world.call(message("message/send", "m-1", "hello")).await.status, 200);
    scene.world.until_quiet().await;
}

#[tokio::test]
async fn a_web_page_can_use_nothing_of_it() {
    let scene = Scene::new().await;
    let get = "GET /healthz HTTP/1.1\r\n";
    for (lines, status) in [
        ("Host: ADDRESS", 200),
        ("Host: localhost", 200),
        ("Host: ADDRESS\r\nOrigin: http://ADDRESS", 200),
        ("Host: evil.example", 403),
        ("Host: ADDRESS\r\nOrigin: https://evil.example", 403),
        ("Host: ADDRESS\r\nOrigin: null", 403),
        ("Host: ADDRESS\r\nSec-Fetch-Site: cross-site", 403),
        ("X-No-Host: 1", 403),
    ] {
        assert_eq!(scene.raw(&format!("{get}{lines}")).await, status, "{lines}");
    }
    assert_eq!(scene.raw("GET http://evil.example/ HTTP/1.1\r\nHost: ADDRESS").await, 403);
    assert_eq!(scene.raw("GET / HTTP/1.0\r\nHost: ADDRESS").await, 505);
    assert_eq!(scene.raw("CONNECT ADDRESS HTTP/1.1\r\nHost: ADDRESS").await, 400);
    let long = format!("GET /{} HTTP/1.1\r\nHost: ADDRESS", "x".repeat(9_000));
    assert_eq!(scene.raw(&long).await, 414);
    let large = format!("{get}Host: ADDRESS\r\nX-Large: {}", "x".repeat(40_000));
    assert_eq!(scene.raw(&large).await, 431);
    let huge = "POST /workspaces HTTP/1.1\r\nHost: ADDRESS\r\nContent-Length: 33554433";
    assert_eq!(scene.raw(huge).await, 413);
}

#[tokio::test]
async fn while_the_relay_is_away_it_says_so_and_it_comes_back() {
    let mut scene = Scene::of(builder().lasting_ports()).await;
    assert_eq!(scene.call("GET", "/workspaces", None).await.expect("it").status, 200);
    let before = scene.world.connector.until_online().await;
    assert_eq!(scene.world.relay.stop().await, 0);
    let refused = until("the platform knows that there is no link", SOON, async || {
        let answer = scene.call("GET", "/workspaces", None).await.expect("an answer");
        assert_ne!(answer.status, 404, "{answer:?}");
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(refused.relay_error(), Some("RELAY_AGENT_OFFLINE"), "{refused:?}");
    assert_eq!(refused.delivery(), Some("not-sent"), "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let json = refused.json();
    assert_eq!(json["code"], "RELAY_AGENT_OFFLINE");
    assert!(json["error"].is_string());

    scene.world.relay.start_again_on_same_ports().await;
    scene.world.connector.until_online_again(&before, SOON).await;
    let platform = scene.world.connector.platform().await;
    assert_eq!(platform, scene.platform, "the listener outlives links");
    assert_eq!(scene.call("GET", "/workspaces", None).await.expect("it").status, 200);
}

#[tokio::test]
async fn a_killed_relay_takes_the_open_call_with_it() {
    let scene = Scene::new().await;
    let length = [("Authorization", &scene.admin[..]), ("Content-Type", "application/json")];
    let url = format!("{}/workspaces", scene.platform);
    let (mut call, mut upload) =
        Http1.begin("POST", &url, &length, Some(1_000)).await.expect("the platform");
    upload.send(10).await.expect("a piece");
    // Once a later call is answered, this one is on the link.
    scene.call("GET", "/workspaces", None).await.expect("an answer");
    scene.world.relay.kill9();
    let cut = call.response().await.expect("an answer in words");
    assert_eq!((cut.status, cut.relay_error()), (502, Some("RELAY_TUNNEL_LOST")), "{cut:?}");
    assert_eq!(cut.delivery(), Some("maybe"), "{cut:?}");
}

#[tokio::test]
async fn a_body_that_the_relay_does_not_take_is_refused_by_it() {
    let scene = Scene::new().await;
    let body = format!("{{\"name\":\"{}\"}}", "x".repeat(900_000));
    let long = scene.call("POST", "/workspaces", Some(body.as_bytes())).await.expect("it");
    assert_eq!(long.status, 400, "it crosses whole and is judged: {long:?}");
    let body = vec![b' '; 3 << 20];
    let large = scene.call("POST", "/workspaces", Some(&body)).await.expect("it");
    let seen = (large.status, large.relay_error());
    assert_eq!(seen, (413, Some("RELAY_BODY_TOO_LARGE")), "{large:?}");
    let url = format!("{}/workspaces", scene.platform);
    let (mut call, mut upload) = Http1.begin("POST", &url, &[], None).await.expect("it");
    let _ = upload.send(2 << 20).await;
    let large = call.response().await.expect("it");
    assert_eq!(large.status, 413, "without its length: {large:?}");
    scene.world.until_quiet().await;
}

#[tokio::test]
async fn an_agent_has_64_calls_open_and_is_told_so() {
    let scene = Scene::new().await;
    let (url, mut open) = (format!("{}/workspaces", scene.platform), Vec::new());
    let admin = [("Authorization", &scene.admin[..]), ("Content-Type", "application/json")];
    for _ in 0..64 {
        let (call, mut upload) =
            Http1.begin("POST", &url, &admin, Some(100)).await.expect("the platform");
        upload.send(1).await.expect("a piece");
        open.push((call, upload));
    }
    let busy = until("all places are taken", SOON, async || {
        let answer = scene.call("GET", "/workspaces", None).await.expect("an answer");
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(busy.relay_error(), Some("RELAY_AGENT_BUSY"), "{busy:?}");
    assert_eq!(scene.world.call(message("message/send", "m-1", "hello")).await.status, 200);
    drop(open);
    until("there is room again", SOON, async || {
        scene.call("GET", "/workspaces", None).await.expect("an answer").status == 200
    })
    .await;
    scene.world.until_quiet().await;
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let scene = Scene::new().await;
    let taken = scene.platform.strip_prefix("http://").expect("a URL");
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().display().to_string();
    for (address, words) in [
        ("0.0.0.0:9100", "loopback"),
        ("192.0.2.1:9100", "loopback"),
        ("[::]:0", "loopback"),
        ("9100", "no address"),
        (taken, "cannot listen"),
    ] {
        let join = &scene.world.workspace.join;
        let args =
            ["http", "9", "--join", join, "--state-dir", &state, "--platform-listen", address];
        let refused = command::connector(&args, "").await;
        assert_eq!(refused.code, 3, "{address}: {refused:?}");
        assert!(refused.stderr.contains(words), "{address}: {refused:?}");
    }
}

#[tokio::test]
async fn a_revoked_connector_takes_its_platform_with_it() {
    let scene = Scene::new().await;
    let revoked = scene.world.relay.cli(&["workspace", "revoke", "first"]).await;
    assert_eq!(revoked.code, 0, "{revoked:?}");
    assert_eq!(scene.world.connector.process().exit_code(SOON).await, 4);
    assert!(matches!(scene.call("GET", "/workspaces", None).await, Err(Cut::Unreachable)));
}
