//! Answers that no platform should give: nothing crashes, leaks or stays stuck, and each is shown.

use super::Bridge;
use serde_json::json;
use std::time::Duration;
use tests::{
    Agent, Platform,
    platform::{Fault, Oddity},
    until,
};

const SOON: Duration = Duration::from_secs(40);

/// Waits until the trouble of a workspace is shown with these words, and the next try with it.
async fn shows(bridge: &Bridge, name: &str, words: &str) {
    let fact = format!("the trouble of {name} is shown: {words}");
    until(&fact, SOON, async || {
        let shown = bridge.shown(name).await;
        let told = shown["trouble"].as_str().is_some_and(|trouble| trouble.contains(words));
        told && shown["next"]["call"].is_string() && shown["next"]["at_ms"].is_number()
    })
    .await;
}

#[tokio::test]
async fn a_creation_that_is_answered_oddly_ends_with_one_workspace_all_the_same() {
    let oddities = [
        ("refused", false, Oddity::Is(400, "{\"error\":\"no room\"}".into())),
        ("a page", false, Oddity::Html(404)),
        ("trouble", true, Oddity::Is(500, String::new())),
        ("an id that is none", true, Oddity::With("/id", json!("../../admin"))),
        ("an id of another type", true, Oddity::With("/id", json!(7))),
        ("a token of another type", true, Oddity::With("/connection/auth_token", json!([1]))),
        ("a token with a line", true, Oddity::With("/connection/auth_token", json!("a\r\nX: y"))),
        ("no connection", true, Oddity::With("/connection", json!("none"))),
        ("half of it", true, Oddity::Is(201, "{\"id\":\"".into())),
        ("nothing", true, Oddity::Cut),
    ];
    let bridge = Bridge::start().await;
    for (name, done, oddity) in oddities {
        bridge.platform.oddly("POST /workspaces", 1, done, oddity);
        let name = name.replace(' ', "-");
        let before = bridge.platform.calls_of("POST /workspaces").len();
        bridge.relay.add_workspace(&name, &[]).await;
        bridge.platform.until_more_than(before, "POST /workspaces").await;
    }
    for row in bridge.relay.operate("GET /workspaces", None).await.as_array().unwrap() {
        let name = row["name"].as_str().unwrap();
        let online = bridge.platform.until_status(name, "online").await;
        assert_eq!(online.registrations, 1, "{name}");
    }
    let mut names: Vec<_> = bridge.platform.rows().into_iter().map(|row| row.name).collect();
    names.sort();
    let twins: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twins.is_empty(), "{twins:?}");
}

#[tokio::test]
async fn a_redirect_is_never_followed_with_a_credential() {
    let trap = Agent::start("a2a");
    let bridge =
        Bridge::with(Platform::start(), |relay| relay.env("RELAY_PLATFORM_BEAT", "0.5")).await;
    let _agent = bridge.agent("led astray").await;
    bridge.platform.until_status("led astray", "online").await;
    for call in ["POST /registry/heartbeat", "GET /workspaces", "GET /workspaces/*"] {
        bridge.platform.oddly(call, 1_000, false, Oddity::Redirect(format!("{}/x", trap.origin())));
    }
    shows(&bridge, "led astray", "redirect").await;
    bridge.platform.behave();
    until("the trouble is over", SOON, async || {
        bridge.shown("led astray").await["trouble"] == json!(null)
    })
    .await;
    assert!(trap.journal().deliveries().is_empty(), "nothing went where the redirect led");
}

#[tokio::test]
async fn odd_answers_are_shown_and_survived_while_callers_are_served() {
    let bridge =
        Bridge::with(Platform::start(), |relay| relay.env("RELAY_PLATFORM_BEAT", "0.5")).await;
    let agent = bridge.agent("steadfast").await;
    let row = bridge.platform.until_status("steadfast", "online").await;
    let path = format!("GET /workspaces/{}", row.id);
    let token = bridge.platform.admin_token();
    let repeats = format!("{{\"error\":\"{token} is unknown here\"}}");
    for (call, words, oddity) in [
        ("GET /workspaces", "(400): … is unknown here", Oddity::Is(400, repeats)),
        ("POST /registry/heartbeat", "cannot be understood", Oddity::Html(200)),
        ("POST /registry/heartbeat", "403", Oddity::Is(403, "[]".into())),
        ("POST /registry/heartbeat", "over 1048576 bytes", Oddity::Endless),
        ("GET /workspaces", "over 16777216 bytes", Oddity::Endless),
        ("GET /workspaces", "cannot be understood", Oddity::Html(404)),
        ("GET /workspaces", "cannot be understood", Oddity::Is(200, "{\"rows\":{}}".into())),
        ("GET /workspaces", "operator's token", Oddity::Is(401, String::new())),
        ("GET /workspaces", "RELAY_PLATFORM_ORG", Oddity::Is(404, String::new())),
    ] {
        bridge.platform.oddly(call, 1_000, false, oddity);
        if words == "403" {
            shows(&bridge, "steadfast", "refuses the workspace's token").await;
        } else {
            shows(&bridge, "steadfast", words).await;
        }
        assert_eq!(bridge.call(&agent, words).await.status, 200, "{words}");
        bridge.platform.behave();
        if words == "403" {
            // What refused the token may have meant it: the operator gives it again.
            let token = bridge.platform.rotate(&row.id);
            let set = ["workspace", "set", "steadfast", "--platform-token-file", "-"];
            bridge.relay.cli_with_stdin(&set, &token).await;
        }
        let fact = format!("all is well again after: {words}");
        until(&fact, SOON, async || bridge.shown("steadfast").await["trouble"] == json!(null))
            .await;
    }
    // Rows of wrong types say nothing of a deletion, and neither does a page.
    for oddity in [
        Oddity::Html(404),
        Oddity::Is(200, "{\"id\":1,\"status\":[]}".into()),
        Oddity::Is(404, String::new()),
        Oddity::Silence,
    ] {
        let before = bridge.platform.calls_of(&path).len();
        bridge.platform.oddly(&path, 1_000, false, oddity);
        bridge.platform.set_status(&row.id, "failed");
        bridge.platform.until_more_than(before, &path).await;
        bridge.platform.behave();
        bridge.platform.until_status("steadfast", "online").await;
    }
    assert_eq!(bridge.shown("steadfast").await["step"], json!("registered"));
    let lines = bridge.relay.process().lines().join("\n");
    assert!(!lines.contains(&token) && !lines.contains("panicked"), "{lines}");
}

#[tokio::test]
async fn a_platform_that_forgets_everything_for_a_moment_deletes_nobody() {
    let platform = Platform::start();
    // Without the list, the relay knows what a look tells.
    platform.fault(Fault::NoList, true);
    let bridge = Bridge::with(platform, |relay| relay.env("RELAY_PLATFORM_LOOK", "1")).await;
    let agent = bridge.agent("remembered").await;
    let row = bridge.platform.until_status("remembered", "online").await;
    let nothing = Oddity::Is(404, "{\"error\":\"workspace not found\"}".into());
    bridge.platform.oddly(&format!("GET /workspaces/{}", row.id), 1, false, nothing);
    shows(&bridge, "remembered", "does not know this workspace").await;
    let unknown = |shown: &serde_json::Value| {
        shown["trouble"].as_str().is_some_and(|trouble| trouble.contains("does not know"))
    };
    until("it knows it again", SOON, async || !unknown(&bridge.shown("remembered").await)).await;
    assert_eq!(bridge.shown("remembered").await["step"], json!("registered"));
    assert_eq!(bridge.call(&agent, "m-1").await.status, 200);
}

#[tokio::test]
async fn agents_live_without_the_list() {
    let platform = Platform::start();
    platform.fault(Fault::NoList, true);
    let bridge = Bridge::with(platform, |relay| relay.env("RELAY_PLATFORM_BEAT", "0.5")).await;
    let agent = bridge.agent("unlisted").await;
    let row = bridge.platform.until_status("unlisted", "online").await;
    shows(&bridge, "unlisted", "500").await;
    bridge.platform.delete(&row.id);
    agent.connector.until_state("refused").await;
}

#[tokio::test]
async fn a_decoy_token_of_a_deleted_workspace_is_never_kept() {
    let bridge = Bridge::start().await;
    let agent = bridge.agent("decoyed").await;
    let row = bridge.platform.until_status("decoyed", "online").await;
    // It is deleted between the look and the registration.
    let before = json!({"id": row.id, "status": "offline", "url": row.url}).to_string();
    bridge.platform.oddly(
        &format!("GET /workspaces/{}", row.id),
        1,
        false,
        Oddity::Is(200, before),
    );
    bridge.platform.delete(&row.id);
    agent.connector.until_state("refused").await;
    let registered = bridge.platform.named("decoyed").unwrap().registrations;
    assert_eq!(registered, row.registrations, "what is deleted stays so");
    until("it is over", SOON, async || bridge.shown("decoyed").await["step"] == json!("gone"))
        .await;
}

#[tokio::test]
async fn a_platform_that_fails_open_is_not_taken_at_its_word() {
    let bridge =
        Bridge::with(Platform::start(), |relay| relay.env("RELAY_PLATFORM_BEAT", "0.5")).await;
    let _agent = bridge.agent("doubted").await;
    let row = bridge.platform.until_status("doubted", "online").await;
    let token = bridge.platform.rotate(&row.id);
    bridge.platform.fault(Fault::FailsOpen, true);
    bridge.platform.set_status(&row.id, "failed");
    bridge.platform.until_status("doubted", "online").await;
    bridge.platform.fault(Fault::FailsOpen, false);
    shows(&bridge, "doubted", "refuses the workspace's token").await;
    assert!(bridge.platform.is_live(&row.id, &token), "nothing was minted or revoked meanwhile");
}
