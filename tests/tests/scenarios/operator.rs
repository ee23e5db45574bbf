//! The operator's commands, and what a running relay shows of itself and what it never shows.

use crate::command;
use serde_json::Value;
use std::{
    io::ErrorKind,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    time::Duration,
};
use tests::{
    Relay, World,
    http::{Version, get, post_json},
    metrics,
    operator::Output,
    until,
    world::message,
};

const SOON: Duration = Duration::from_secs(10);

/// A command that must end well, and what it said to people.
async fn say(relay: &Relay, args: &[&str]) -> String {
    let output = relay.cli(args).await;
    assert_eq!(output.code, 0, "{args:?}: {output:?}");
    output.stdout
}

#[tokio::test]
async fn a_workspace_is_made_shown_renamed_and_removed() {
    let relay = Relay::start().await;
    assert!(say(&relay, &["workspace", "list"]).await.contains("relay workspace add"));
    let made = relay.cli(&["workspace", "add", "My agent", "--json"]).await.json();
    let id = made["workspace_id"].as_str().expect("an id");
    assert!(id.starts_with("ws_"), "{made}");
    assert_eq!(made["alias"], Value::Null);
    let url = made["public_url"].as_str().expect("a URL");
    assert!(url.starts_with(&format!("{}/agents/a_", relay.public_url())), "{url}");
    assert!(url.ends_with('/'), "{url}");
    assert!(made["join"].as_str().is_some_and(|join| join.starts_with("join1_")), "{made}");

    let said = say(&relay, &["workspace", "add", "other"]).await;
    for part in ["agent-connector http", "join1_", "/agents/a_"] {
        assert!(said.contains(part), "{said}");
    }
    for name in [id, "My agent"] {
        assert_eq!(relay.show_workspace(name).await["workspace_id"], id);
    }
    say(&relay, &["workspace", "rename", "My agent", "Yours"]).await;
    assert_eq!(relay.show_workspace("Yours").await["name"], "Yours");
    let listed = relay.cli(&["workspace", "list", "--json"]).await.json();
    let names: Vec<&str> =
        listed.as_array().expect("a list").iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!((names.len(), names.contains(&"Yours")), (2, true), "{names:?}");
    assert!(say(&relay, &["workspace", "list"]).await.contains("Yours"));

    let again = relay.cli(&["workspace", "join", "Yours", "--uses", "2", "--json"]).await.json();
    assert_eq!(
        (again["public_url"].as_str(), &again["workspace_id"]),
        (Some(url), &made["workspace_id"])
    );
    assert_ne!(again["join"], made["join"]);
    let revoked = relay.cli(&["workspace", "revoke", "Yours", "--json"]).await.json();
    assert_eq!(revoked["workspace_id"], id);
    let removed = relay.cli(&["workspace", "remove", id, "--json"]).await.json();
    assert_eq!(removed["workspace_id"], id);
    let gone = relay.cli(&["workspace", "show", id]).await;
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(gone.stderr.contains("removed"), "{gone:?}");
    let unknown = relay.cli(&["workspace", "show", "nobody"]).await;
    assert!(unknown.code == 1 && unknown.stderr.contains("nobody"), "{unknown:?}");
}

#[tokio::test]
async fn show_tells_all_that_a_script_needs() {
    let world = World::new().await;
    let shown = world.relay.show_workspace("first").await;
    for (field, expected) in [
        ("workspace_id", world.workspace.workspace_id.as_str()),
        ("status", "online"),
        ("transport", tests::connector::transport()),
        ("public_url", &world.public_url),
        ("tunnel", &world.relay.tunnel().to_string()),
        ("callers", "link"),
        ("expose", "a2a"),
    ] {
        assert_eq!(shown[field], expected, "{field} in {shown}");
    }
    assert_eq!(shown["alias"], Value::Null);
    let ca = shown["relay_ca"].as_str().expect("a fingerprint");
    assert!(ca.len() == 71 && ca.starts_with("sha256:"), "{ca}");
    assert!(say(&world.relay, &["workspace", "show", "first"]).await.contains("online"));

    assert_eq!(world.connector.stop().await, 0);
    let left = async || world.relay.show_workspace("first").await["status"] == "offline";
    until("the workspace is offline", SOON, left).await;
    let shown = world.relay.show_workspace("first").await;
    assert_eq!((&shown["transport"], &shown["connected"]), (&Value::Null, &Value::from(false)));
}

#[tokio::test]
async fn a_new_address_takes_the_place_of_the_old_one_at_once() {
    let world = World::new().await;
    let changed =
        world.relay.cli(&["workspace", "set", "first", "--new-address", "--json"]).await.json();
    let base = changed["public_url"].as_str().expect("a URL").to_owned();
    assert_ne!(base, world.public_url);
    let old = world.call(message("message/send", "m-1", "hello")).await;
    assert_eq!((old.status, old.relay_error()), (404, Some("RELAY_UNKNOWN_WORKSPACE")), "{old:?}");
    let new = post_json(&format!("{base}a2a"), &message("message/send", "m-2", "hello")).await;
    assert_eq!(new.expect("an answer").status, 200);
    until("the connector knows", SOON, async || {
        world.connector.status().is_some_and(|status| status.public_url.as_deref() == Some(&base))
    })
    .await;
    let card = get(&format!("{base}.well-known/agent-card.json")).await.expect("a card").text();
    assert!(card.contains(&base) && !card.contains(&world.public_url), "{card}");
    world.until_quiet().await;
}

#[tokio::test]
async fn an_alias_works_where_the_policy_allows_it_only() {
    let world =
        World::builder().workspace_args(&["--alias", "echo", "--callers", "open"]).start().await;
    assert_eq!(world.workspace.alias.as_deref(), Some("echo"));
    let by_alias = format!("{}/agents/echo/a2a", world.relay.public_url());
    let call = message("message/send", "m-1", "hello");
    assert_eq!(post_json(&by_alias, &call).await.expect("an answer").status, 200);
    let card = format!("{}/agents/echo/.well-known/agent-card.json", world.relay.public_url());
    let card = get(&card).await.expect("a card").text();
    assert!(card.contains("/agents/echo/"), "{card}");
    assert!(!card.contains("/agents/a_"), "an address is shown to whoever did not know it: {card}");

    let base = format!("{}/agents/echo/", world.relay.public_url());
    assert!(say(&world.relay, &["workspace", "show", "echo"]).await.contains(&base));

    say(&world.relay, &["workspace", "set", "echo", "--callers", "link"]).await;
    let shown = say(&world.relay, &["workspace", "show", "echo"]).await;
    assert!(!shown.contains(&base), "it is no URL for callers now: {shown}");
    let refused = post_json(&by_alias, &call).await.expect("an answer");
    assert_eq!((refused.status, refused.relay_error()), (401, Some("RELAY_UNAUTHENTICATED")));
    let taken =
        world.relay.cli(&["workspace", "add", "b", "--alias", "echo", "--callers", "open"]).await;
    assert!(taken.code == 1 && taken.stderr.contains("taken"), "{taken:?}");
    let bare = world.relay.cli(&["workspace", "add", "c", "--alias", "bare"]).await;
    assert!(bare.code != 0 && bare.stderr.contains("callers"), "{bare:?}");

    let freed = world.relay.cli(&["workspace", "set", "echo", "--alias", "", "--json"]).await;
    assert_eq!(freed.json()["alias"], Value::Null);
    let gone = post_json(&by_alias, &call).await.expect("an answer");
    assert_eq!((gone.status, gone.relay_error()), (404, Some("RELAY_UNKNOWN_WORKSPACE")));
    let next = ["workspace", "add", "b", "--alias", "echo", "--callers", "open", "--json"];
    assert_eq!(world.relay.cli(&next).await.json()["alias"], "echo");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_role_and_a_tier_are_told_to_people_and_to_peers() {
    let relay = Relay::start().await;
    let args = ["workspace", "add", "planner", "--role", "Plans the week", "--tier", "2", "--json"];
    let made = relay.cli(&args).await.json();
    assert_eq!((&made["role"], &made["tier"]), (&"Plans the week".into(), &2.into()), "{made}");
    let shown = say(&relay, &["workspace", "show", "planner"]).await;
    assert!(shown.contains("Plans the week"), "{shown}");
    let other = relay.add_workspace("other", &[]).await.workspace_id;
    let peers = relay.operate(&format!("GET /registry/{other}/peers"), None).await;
    assert_eq!((&peers[0]["role"], &peers[0]["tier"]), (&made["role"], &made["tier"]), "{peers}");

    let set = ["workspace", "set", "planner", "--role", "", "--tier", "4", "--json"];
    let changed = relay.cli(&set).await.json();
    assert_eq!((&changed["role"], &changed["tier"]), (&Value::Null, &4.into()), "{changed}");
    let none = ["workspace", "set", "planner", "--tier", "", "--json"];
    assert_eq!(relay.cli(&none).await.json()["tier"], Value::Null);
    let wrong = relay.cli(&["workspace", "set", "planner", "--tier", "5"]).await;
    assert!(wrong.code == 2 && wrong.stderr.contains("1 to 4"), "{wrong:?}");
}

#[tokio::test]
async fn a_name_that_several_have_is_an_error_that_lists_their_ids() {
    let relay = Relay::start().await;
    let first = relay.cli(&["workspace", "add", "twin", "--json"]).await;
    assert!(!first.stderr.contains("of this name"), "{first:?}");
    let first = first.json()["workspace_id"].as_str().expect("an id").to_owned();
    let second = relay.cli(&["workspace", "add", "twin", "--json"]).await;
    let said = &second.stderr;
    assert!(said.contains("1 other workspace of this name") && said.contains(&first), "{second:?}");
    let ids = [first, second.json()["workspace_id"].as_str().expect("an id").to_owned()];
    assert!(!said.contains(&ids[1]), "it is not another one: {second:?}");
    for args in [&["workspace", "show", "twin"][..], &["workspace", "remove", "twin"]] {
        let refused = relay.cli(args).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(ids.iter().all(|id| refused.stderr.contains(id)), "{refused:?}");
    }
    assert_eq!(relay.show_workspace(&ids[1]).await["workspace_id"], ids[1]);
}

#[tokio::test]
async fn a_command_says_whether_the_token_is_wrong_or_the_relay_is_away() {
    let relay = Relay::start().await;
    let (url, wrong) = (format!("http://{}", relay.http()), relay.folder().join("wrong-token"));
    std::fs::write(&wrong, format!("radm_{}", "A".repeat(43))).expect("a file");
    std::fs::set_permissions(&wrong, PermissionsExt::from_mode(0o600)).expect("its mode");
    let list = async |url: &str, token: &str| -> Output {
        command::relay(&["workspace", "list", "--url", url, "--admin-token-file", token]).await
    };
    let refused = list(&url, &wrong.display().to_string()).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    let missing = list(&url, "/nowhere/token").await;
    assert_eq!(missing.code, 3, "{missing:?}");
    assert_eq!(relay.stop().await, 0);
    let token = relay.data_dir().join("admin-token").display().to_string();
    let away = list(&url, &token).await;
    assert_eq!(away.code, 5, "{away:?}");
    assert!(away.stderr.contains("relay serve"), "{away:?}");
}

#[tokio::test]
async fn health_readiness_and_metrics_have_their_promised_names() {
    let world = World::new().await;
    world.call(message("message/send", "m-1", "hello")).await;
    let refused = get(&format!("{}/agents/nobody/a2a", world.relay.public_url())).await;
    assert_eq!(refused.expect("an answer").status, 404);
    // The admin listener speaks HTTP/1.1 alone.
    for (version, listener) in
        [(Version::of_callers(), world.relay.http()), (Version::Http1, world.relay.admin())]
    {
        for path in ["/healthz", "/readyz"] {
            let answer = version.get(&format!("http://{listener}{path}")).await;
            assert_eq!(answer.expect("an answer").status, 200, "{listener}{path}");
        }
    }
    let public = get(&format!("http://{}/metrics", world.relay.http())).await.expect("an answer");
    assert_eq!(public.status, 404, "metrics are for the admin listener");
    let text = world.relay.metrics().await;
    for (name, labels) in [
        ("relay_links", &[("transport", tests::connector::transport())][..]),
        ("relay_workspaces", &[("status", "online")]),
        ("relay_requests_total", &[("binding", "jsonrpc")]),
        ("relay_request_seconds_count", &[]),
        ("relay_streams_in_flight", &[]),
        ("relay_bytes_total", &[("direction", "to_agent")]),
        ("relay_refusals_total", &[("code", "RELAY_UNKNOWN_WORKSPACE")]),
        ("relay_heartbeats_total", &[]),
        ("relay_link_events_total", &[("event", "up")]),
        ("relay_store_seconds_count", &[]),
        ("relay_handshakes_total", &[("result", "admitted")]),
        ("relay_build_info", &[]),
    ] {
        assert!(metrics::value(&text, name, labels).is_some(), "{name} {labels:?} in:\n{text}");
    }
    let outcomes = text.lines().filter(|line| line.starts_with("relay_requests_total{"));
    assert!(outcomes.clone().all(|line| line.contains("outcome=\"")), "{text}");
    world.until_quiet().await;
}

#[tokio::test]
async fn the_url_file_tells_where_everything_is() {
    let relay = Relay::start().await;
    let file = relay.folder().join("urls.json");
    let urls: Value = serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("JSON");
    for (field, address) in
        [("http", relay.http()), ("tunnel", relay.tunnel()), ("admin", relay.admin())]
    {
        assert_eq!(urls[field], address.to_string());
        assert_ne!(address.port(), 0);
    }
    assert_eq!(urls["public_url"], format!("http://{}", relay.http()));
    assert_eq!(urls["pid"], relay.process().pid());
    assert_eq!(urls.as_object().map(serde_json::Map::len), Some(5), "{urls}");
}

#[tokio::test]
async fn the_tunnels_port_is_the_relays_on_tcp_too() {
    let relay = Relay::start().await;
    assert!(TcpStream::connect(relay.tunnel()).is_ok(), "links over TCP come in there");
    let taken = TcpListener::bind(relay.tunnel()).expect_err("the relay has it");
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
}

#[tokio::test]
async fn credentials_stand_in_no_log_and_no_argument() {
    let world = World::builder()
        .relay_env("RELAY_LOG", "trace")
        .connector_env("AGENT_CONNECTOR_LOG", "trace")
        .start()
        .await;
    world.call(message("message/send", "m-1", "hello")).await;
    get(&world.workspace.card()).await.expect("a card");
    let unknown = world.endpoint().replace("/a2a", "/nothing");
    get(&unknown).await.expect("an answer");
    assert_eq!(world.relay.cli(&["workspace", "set", "first", "--new-address"]).await.code, 0);
    let token = world.relay.admin_token();
    let before = world.public_url.clone();
    let after =
        world.relay.show_workspace("first").await["public_url"].as_str().expect("a URL").to_owned();
    assert_eq!(world.connector.stop().await, 0);
    assert_eq!(world.relay.stop().await, 0);
    let address =
        |base: &str| base.trim_end_matches('/').rsplit('/').next().expect("an address").to_owned();
    let secrets = [address(&before), address(&after), token.clone(), world.workspace.join.clone()];
    for line in world.relay.process().lines() {
        for secret in &secrets {
            assert!(!line.contains(secret.as_str()), "the relay wrote a credential: {line}");
        }
    }
    for line in world.connector.process().lines().iter().filter(|line| line.starts_with('{')) {
        for secret in &secrets {
            assert!(!line.contains(secret.as_str()), "the connector logged a credential: {line}");
        }
    }
    let mode = std::fs::metadata(world.relay.data_dir().join("admin-token"))
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn the_arguments_of_the_processes_hold_no_credential() {
    let world = World::new().await;
    for process in [world.relay.process(), world.connector.process()] {
        let line = std::fs::read(format!("/proc/{}/cmdline", process.pid())).expect("arguments");
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains(&world.relay.admin_token()), "{line}");
        assert!(!line.contains("join1_"), "{line}");
    }
}
