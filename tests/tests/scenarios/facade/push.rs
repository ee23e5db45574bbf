//! Push notifications of an agent without another way out: the relay posts them, where its operator says.

use tests::http::Version;
use tests::http::Version::Http1;
use tests::{Agent, Front, Port, RawResponse, World};

const TASK: &[u8] = br#"{"task":{"id":"t-1","status":{"state":"TASK_STATE_COMPLETED"}}}"#;
const DENIED: &str = "RELAY_FORBIDDEN";

/// A world whose agent may post there, and its platform.
async fn world(egress: &str) -> (World, String) {
    let world = World::builder()
        .workspace_args(&["--push-egress", egress])
        .connector_args(&["--platform-listen", "127.0.0.1:0"])
        .start()
        .await;
    let platform = world.connector.platform().await;
    (world, platform)
}

/// Posts through the platform.
async fn push(platform: &str, url: &str, fields: &[(&str, &str)], body: &[u8]) -> RawResponse {
    let fields =
        [&[("X-Push-Url", url), ("Content-Type", "application/a2a+json")], fields].concat();
    let answer = Http1.exchange("POST", &format!("{platform}/push"), &fields, Some(body)).await;
    answer.expect("an answer")
}

/// The answer is this refusal, and its sentence says this.
fn assert_refused(answer: &RawResponse, status: u16, code: &str, said: &str) {
    assert_eq!((answer.status, answer.relay_error()), (status, Some(code)), "{answer:?}");
    assert!(answer.text().contains(said), "{said}: {answer:?}");
}

#[tokio::test]
async fn a_notification_reaches_a_listed_webhook_with_what_the_agent_gave_for_it_alone() {
    let webhook = Front::start();
    let (world, platform) = world(&format!("hooks.example.com,127.0.0.1:{}", webhook.port())).await;
    let url = format!("{}/hook/%41?x=1&x=%20", webhook.origin());
    let fields = [
        ("X-A2A-Notification-Token", "t-1"),
        ("Authorization", "Bearer of-the-webhook"),
        ("A2A-Version", "1.0"),
        ("Cookie", "a=1"),
        ("X-Secret", "s"),
        ("X-Relay-Caller", "forged"),
    ];
    let answer = push(&platform, &url, &fields, TASK).await;
    assert_eq!(
        (answer.status, answer.body.len(), answer.relay_error()),
        (200, 0, None),
        "{answer:?}"
    );
    let [got] = &webhook.since(0)[..] else { panic!("one notification") };
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", "/hook/%41?x=1&x=%20"));
    assert_eq!((&got.request.body[..], got.request.whole), (TASK, true));
    let mut names: Vec<_> = got.request.fields.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "a2a-version",
            "authorization",
            "connection",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-a2a-notification-token"
        ]
    );
    assert_eq!(got.request.field("authorization"), Some("Bearer of-the-webhook"));

    // No credential of the relay, wherever an agent's HTTP library puts it.
    let admin = format!("Bearer {}", world.relay.admin_token());
    let own = [("Authorization", admin.as_str()), ("X-A2A-Notification-Token", "rtok_secret")];
    assert_eq!(push(&platform, &url, &own, TASK).await.status, 200);
    let second = webhook.since(1).remove(0);
    for name in ["authorization", "x-a2a-notification-token"] {
        assert_eq!(second.request.field(name), None, "{second:?}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn nothing_is_posted_where_the_operator_has_not_said_so() {
    let webhook = Front::start();
    let (world, platform) = world("off").await;
    let port = webhook.port();
    let here = format!("http://127.0.0.1:{port}/hook");
    assert_refused(&push(&platform, &here, &[], TASK).await, 403, DENIED, "has not turned it on");
    for (egress, url, said) in [
        ("hooks.example.com", here.as_str(), "none of those"),
        // The name was listed, and leads inside all the same.
        ("localhost", &format!("http://localhost:{port}/hook"), "a loopback address"),
        ("public", &here, "not https"),
        ("public", "https://localhost/hook", "a loopback address"),
        ("public", "https://127.0.0.1/hook", "a loopback address"),
        ("public", "https://[::ffff:127.0.0.1]/hook", "an IPv4-mapped address"),
        ("public", "https://[64:ff9b::7f00:1]/hook", "a loopback address"),
        ("public", "https://169.254.169.254/latest", "a link-local address"),
        ("169.254.169.254", "http://169.254.169.254/latest", "a link-local address"),
        ("public", "https://2130706433/hook", "usual spelling"),
        ("public", "https://u:p@hooks.example.com/", "a user or a password"),
        ("public", "hooks.example.com", "it is no URL"),
        ("127.0.0.1", &format!("http://{}/readyz", world.relay.http()), "the relay itself"),
        ("127.0.0.1", &format!("http://{}/api", world.relay.admin()), "the relay itself"),
    ] {
        let set = world.relay.cli(&["workspace", "set", "first", "--push-egress", egress]).await;
        assert_eq!(set.code, 0, "{set:?}");
        assert_eq!(world.relay.show_workspace("first").await["push_egress"], egress);
        let answer = push(&platform, url, &[], TASK).await;
        assert_refused(&answer, 403, DENIED, said);
        assert_eq!(answer.delivery(), Some("not-sent"), "{answer:?}");
    }
    assert_eq!(webhook.count(), 0);
    let wrong = world.relay.cli(&["workspace", "set", "first", "--push-egress", "http://x"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    // It is for the agent's own link, and for nobody who comes from outside.
    let outside = format!("{}/push", world.relay.public_url());
    let fields = [("X-Push-Url", here.as_str())];
    let answer = Version::of_callers().exchange("POST", &outside, &fields, Some(TASK)).await;
    assert_eq!(answer.expect("an answer").relay_error(), Some("RELAY_NOT_FOUND"));
    world.until_quiet().await;
}

#[tokio::test]
async fn what_a_webhook_makes_of_it_is_told_by_its_status_alone() {
    let (moved, silent, gone) = (Agent::start("status:302"), Agent::start("never"), Port::take());
    let (world, platform) = world("127.0.0.1").await;
    let at = |port: u16| format!("http://127.0.0.1:{port}/a2a");
    let answer = push(&platform, &at(moved.port()), &[("x-test-id", "moved")], TASK).await;
    assert_eq!((answer.status, answer.body.len()), (302, 0), "{answer:?}");
    assert_eq!((answer.header("location"), answer.relay_error()), (None, None));
    assert_eq!(moved.journal().deliveries().len(), 1, "no redirect is followed");

    let refused = push(&platform, &at(gone.number()), &[], TASK).await;
    assert_refused(&refused, 503, "RELAY_UPSTREAM_REFUSED", "cannot be reached");
    let large = vec![b' '; 64 * 1024 + 1];
    let large = push(&platform, &at(moved.port()), &[], &large).await;
    assert_refused(&large, 413, "RELAY_BODY_TOO_LARGE", "65536");
    let late = push(&platform, &at(silent.port()), &[], TASK).await;
    assert_refused(&late, 504, "RELAY_UPSTREAM_TIMEOUT", "within 10 s");
    assert_eq!(late.delivery(), Some("maybe"));
    let get = Http1.exchange("GET", &format!("{platform}/push"), &[], None).await;
    assert_eq!(get.expect("an answer").relay_error(), Some("RELAY_METHOD_NOT_ALLOWED"));
    let bare = Http1.exchange("POST", &format!("{platform}/push"), &[], Some(TASK)).await;
    assert_refused(&bare.expect("an answer"), 400, "RELAY_BAD_REQUEST", "X-Push-Url");
    // Far more at once than come back in the meantime.
    let mut busy = None;
    for _ in 0..1_000 {
        let answer = push(&platform, &at(moved.port()), &[], TASK).await;
        if answer.status != 302 {
            busy = Some(answer);
            break;
        }
    }
    let busy = busy.expect("an agent that posts too fast is told so");
    assert_refused(&busy, 429, "RELAY_RATE_LIMITED", "10 notifications a second");
    world.until_quiet().await;
}
