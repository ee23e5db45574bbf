//! What the relay's operator says and sees of the platform.

use super::{Bridge, PUBLIC, bridging};
use serde_json::json;
use std::time::Duration;
use tests::{Platform, browser::Browser, operator::Output, platform::Credential, relay, until};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_workspace_of_the_platform_is_adopted_with_its_token() {
    let bridge = Bridge::start().await;
    let (id, token) = bridge.platform.make("veteran");
    let add = ["workspace", "add", "veteran", "--adopt", &id, "--json"];
    let added = bridge.relay.cli_with_stdin(&add, &format!("{token}\n")).await;
    let added = added.json();
    let row = bridge.platform.until_status("veteran", "online").await;
    assert_eq!(row.id, id);
    assert_eq!(bridge.platform.rows().len(), 1, "nothing else was made");
    let registered = bridge.platform.calls_of("POST /registry/register");
    assert_eq!(registered[0].credential, Credential::Workspace(id.clone()));
    until("it is shown", SOON, async || {
        let shown = bridge.shown("veteran").await;
        shown["adopted"] == json!(true) && shown["step"] == json!("registered")
    })
    .await;

    let again = bridge.relay.cli_with_stdin(&add, &token).await;
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stderr.contains("Another workspace of this relay"), "{again:?}");
    let unnamed = ["workspace", "add", "x", "--adopt", "../admin"];
    let refused = bridge.relay.cli_with_stdin(&unnamed, &token).await;
    assert!(refused.code == 1 && refused.stderr.contains("UUID"), "{refused:?}");

    // What was there before the relay stays there after it.
    let workspace = added["workspace_id"].as_str().unwrap();
    bridge.relay.cli(&["workspace", "remove", workspace]).await;
    let later = bridge.relay.add_workspace("later", &[]).await;
    bridge.platform.until_status("later", "online").await;
    assert_eq!(bridge.platform.named("veteran").unwrap().status, "online", "{later:?}");
    assert!(bridge.platform.is_live(&id, &token));
    let readopted = bridge.relay.cli_with_stdin(&add, &token).await;
    assert_eq!(readopted.code, 0, "{readopted:?}");
}

#[tokio::test]
async fn a_relay_without_a_platform_adopts_nothing() {
    let relay = tests::Relay::start().await;
    let add = ["workspace", "add", "x", "--adopt", "6b0fb1de-0a5f-4a2c-8a19-2f7d1f9f4f11"];
    let refused = relay.cli_with_stdin(&add, "token").await;
    assert!(refused.code == 1 && refused.stderr.contains("--platform-url"), "{refused:?}");
    assert_eq!(relay.operate("GET /workspaces", None).await, json!([]));
}

#[tokio::test]
async fn show_and_metrics_tell_of_the_platform_and_hold_no_token() {
    let bridge =
        Bridge::with(Platform::start(), |relay| relay.env("RELAY_PLATFORM_BEAT", "0.5")).await;
    let _agent = bridge.agent("shown").await;
    let row = bridge.platform.until_status("shown", "online").await;
    bridge.platform.until_call("a heartbeat", |call| call.is("POST /registry/heartbeat")).await;
    let text = until("the last call is shown", SOON, async || {
        let text = bridge.relay.cli(&["workspace", "show", "shown"]).await.stdout;
        text.contains("heartbeat: 200").then_some(text)
    })
    .await;
    for part in [&row.id, &bridge.platform.url(), "status there  online", "next call"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let metrics = bridge.relay.metrics().await;
    let beats = bridge
        .relay
        .metric("relay_platform_calls_total", &[("call", "heartbeat"), ("answer", "ok")]);
    assert!(beats.await >= Some(1.0), "{metrics}");
    assert_eq!(bridge.relay.metric("relay_platform_up", &[]).await, Some(1.0));
    assert!(bridge.relay.metric("relay_platform_requests_left", &[]).await >= Some(1.0));
    let log = bridge.relay.process().lines().join("\n");
    for (what, text) in [("show", &text), ("metrics", &metrics), ("log", &log)] {
        assert!(!text.contains(&bridge.platform.admin_token()), "{what}");
        let address = row.url.rsplit('/').next().unwrap();
        assert!(!text.contains(address), "{what} holds the address that the platform calls");
    }
}

#[tokio::test]
async fn the_canvas_shows_what_the_platform_thinks() {
    let bridge = Bridge::start().await;
    let Some(browser) = Browser::start().await else { return };
    let _agent = bridge.agent("looked at").await;
    let row = bridge.platform.until_status("looked at", "online").await;
    browser.look(1280, 800, "dark").await;
    browser.open(&format!("http://{}/", bridge.relay.admin())).await;
    browser.click("document.querySelector('#token')").await;
    browser.write(&bridge.relay.admin_token()).await;
    browser.press("Enter").await;
    let name = "[...document.querySelectorAll('agent-card .name')].find((e) => e.textContent === 'looked at')";
    browser.until("its card", name).await;
    browser.click(name).await;
    let says = |text: &str| {
        format!(
            "document.querySelector('agent-panel .platform:not([hidden])')?.textContent.includes({text:?})"
        )
    };
    browser.until("the id there", &says(&row.id)).await;
    browser.until("the status there", &says("Status thereonline")).await;
    browser.until("the next heartbeat", &says("heartbeat, in")).await;
    bridge.platform.pause(&row.id);
    browser.until("the pause there", &says("Status therepaused")).await;
}

/// Runs `relay check` for this platform, with these further arguments.
async fn check(platform: &Platform, token: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::from(relay::program(folder.path()));
    command
        .args(["check", "--http", "127.0.0.1:0"])
        .args(["--platform-url", &platform.url()])
        .args(more);
    let output = command.env("RELAY_PLATFORM_TOKEN", token).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Output { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[tokio::test]
async fn check_says_beforehand_what_the_platform_will_refuse() {
    let org = "0b9e2c5e-4f4e-4f6a-9d3a-8f5d5f1a2b3c";
    let mut own = Platform::start();
    let hosted = Platform::builder().hosted_for(org).start();
    let (token, public) = (own.admin_token(), ["--public-url", "https://192.88.99.1"]);
    let well = check(&own, &token, &public).await;
    assert!(well.code == 0 && well.stdout.contains(&own.url()), "{well:?}");
    for (platform, token, more, part) in [
        (&own, "wrong", &public[..], "refuses the operator's token (401)"),
        (&own, &*token, &["--public-url", "https://10.0.0.9"], "10.0.0.0/8"),
        (&own, &*token, &["--public-url", "http://localhost:8080"], "502"),
        (&own, &*token, &["--public-url", "https://169.254.1.1"], "link-local"),
        (&hosted, &*token, &public, "needs RELAY_PLATFORM_ORG"),
        (
            &hosted,
            &*token,
            &["--public-url", "https://192.88.99.1", "--platform-org", "other"],
            "RELAY_PLATFORM_ORG says",
        ),
    ] {
        let found = check(platform, token, more).await;
        assert!(found.code == 3 && found.stderr.contains(part), "{part}: {found:?}");
    }
    let private = ["--public-url", "https://10.0.0.9", "--platform-org", org];
    let private = check(&hosted, &hosted.admin_token(), &private).await;
    assert_eq!(
        private.code, 0,
        "one that is hosted for many lets private networks in: {private:?}"
    );
    own.stop();
    let down = check(&own, &token, &public).await;
    assert!(down.code == 3 && down.stderr.contains("refuses connections"), "{down:?}");
    assert!(own.rows().is_empty() && hosted.rows().is_empty());
}

#[tokio::test]
async fn a_start_says_the_same_and_goes_on() {
    let platform = Platform::start();
    let relay = bridging(&platform).env("RELAY_PLATFORM_TOKEN", "wrong").start().await;
    let said = |line: &str| line.contains("refuses the operator's token");
    relay.process().wait_for_line(said, SOON).await;
    relay.add_workspace("waiting", &[]).await;
    until("the operator sees it", SOON, async || {
        let shown = relay.show_workspace("waiting").await;
        shown["platform"]["trouble"]
            .as_str()
            .is_some_and(|why| why.contains("RELAY_PLATFORM_TOKEN"))
    })
    .await;
    assert_eq!(platform.rows().len(), 0);
}

#[tokio::test]
async fn a_name_that_only_the_platform_finds_is_spoken_of_until_it_did() {
    let mut bridge = Bridge::start().await;
    let unknown = |line: &str| line.contains("cannot look up relay.example.com");
    let line = bridge.relay.process().wait_for_line(unknown, SOON).await;
    assert!(line.contains("not known") && line.contains("400") && line.contains("INFO"), "{line}");
    let token = bridge.platform.admin_token();
    let checked = check(&bridge.platform, &token, &["--public-url", PUBLIC]).await;
    assert!(checked.code == 0 && unknown(&checked.stdout), "{checked:?}");

    let _agent = bridge.agent("found").await;
    bridge.platform.until_status("found", "online").await;
    let lists = bridge.platform.calls_of("GET /workspaces").len();
    bridge.relay.restart().await;
    // One list is the judgement's, and one the reconciler's.
    bridge.platform.until_more_than(lists + 2, "GET /workspaces").await;
    let lines = bridge.relay.process().lines();
    assert!(!lines.iter().any(|line| unknown(line)), "it found the name by now");
}

#[tokio::test]
async fn tokens_leave_this_machine_in_clear_only_where_the_operator_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody is there (RFC 5737).
    let away = ["--platform-url", "http://192.0.2.1:1", "--public-url", "https://192.88.99.1"];
    let run = async |what: &str, more: &[&str]| {
        let mut command = tokio::process::Command::from(relay::program(folder.path()));
        command.args([what, "--http", "127.0.0.1:0"]).args(away).args(more);
        let output = command.env("RELAY_PLATFORM_TOKEN", "platform-secret").output().await.unwrap();
        let text = format!("{output:?}");
        assert!(!text.contains("platform-secret"), "{text}");
        (output.status.code(), text)
    };
    for what in ["check", "serve"] {
        let (code, said) = run(what, &[]).await;
        assert!(code == Some(3) && said.contains("--platform-insecure-http"), "{said}");
    }
    let (code, said) = run("check", &["--platform-insecure-http"]).await;
    assert!(code == Some(3) && said.contains("whoever is between reads"), "{said}");
    assert!(said.contains("cannot be reached"), "{said}");
}
