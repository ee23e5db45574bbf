//! Agent cards: public URLs in place of local ones, every other byte as the agent wrote it.

mod caching;
mod extended;
mod further;
mod hostile;
mod payloads;
mod policies;

use tests::{
    World, agent,
    http::{exchange, get, post_json},
    world::message,
};

const NAMES: [&str; 2] = [".well-known/agent-card.json", ".well-known/agent.json"];

#[tokio::test]
async fn a_card_is_found_under_both_names_wherever_callers_look() {
    let world = World::new().await;
    let base = world.public_url.trim_end_matches('/').to_owned();
    let mut seen = Vec::new();
    for below in ["", "/a2a"] {
        for name in NAMES {
            let answer = get(&format!("{base}{below}/{name}")).await.expect("a card");
            assert_eq!(answer.status, 200, "{below}/{name}: {answer:?}");
            assert_eq!(answer.header("x-relay-card"), Some("rewritten"));
            seen.push(answer.body);
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "they differ");
    let head = exchange("HEAD", &world.workspace.card(), &[], None).await.expect("a head");
    assert_eq!(head.status, 200, "{head:?}");
    for (method, path) in [("POST", NAMES[0]), ("DELETE", NAMES[1])] {
        let refused = exchange(method, &format!("{base}/{path}"), &[], Some(b"{}")).await;
        let refused = refused.expect("an answer");
        assert_eq!(
            (refused.status, refused.relay_error()),
            (405, Some("RELAY_METHOD_NOT_ALLOWED"))
        );
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn a_card_keeps_every_byte_that_is_no_local_url() {
    let world = World::new().await;
    let public = get(&world.workspace.card()).await.expect("a card").text();
    let local = agent::hybrid_card(world.agent.port()).to_string();
    let expected = local
        .replace(
            &format!("http://127.0.0.1:{}/a2a", world.agent.port()),
            &format!("{}a2a", world.public_url),
        )
        .replace(&format!("http://localhost:{}/", world.agent.port()), &world.public_url);
    assert_eq!(public, expected);
    world.until_quiet().await;
}

#[tokio::test]
async fn a_card_that_did_not_change_is_not_sent_again() {
    let world = World::new().await;
    let first = get(&world.workspace.card()).await.expect("a card");
    let tag = first.header("etag").expect("a validator").to_owned();
    for (theirs, status) in
        [(tag.as_str(), 304), (&format!("\"x\", {tag}"), 304), ("*", 304), ("\"another\"", 200)]
    {
        let asked = [("If-None-Match", theirs)];
        let answer =
            exchange("GET", &world.workspace.card(), &asked, None).await.expect("an answer");
        assert_eq!((answer.status, answer.is_complete()), (status, true), "{theirs}: {answer:?}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert_eq!(answer.body.is_empty(), status == 304);
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn whoever_follows_a_card_goes_through_the_relay() {
    let world = World::new().await;
    let card = get(&world.workspace.card()).await.expect("a card").json();
    let interfaces = ["additionalInterfaces", "supportedInterfaces"];
    let listed = interfaces.iter().filter_map(|list| card[*list].as_array()).flatten();
    let urls: Vec<&str> = listed
        .map(|one| &one["url"])
        .chain([&card["url"]])
        .filter_map(|url| url.as_str())
        .collect();
    assert_eq!(urls.len(), 4, "{card}");
    for (number, url) in urls.into_iter().enumerate() {
        let id = format!("f-{number}");
        let answer =
            post_json(url, &message("message/send", &id, "hello")).await.expect("an answer");
        assert_eq!(answer.status, 200, "{url}: {answer:?}");
        let seen = world.agent.of(&id);
        assert_eq!(seen.len(), 1);
        assert!(seen[0].header("via").is_some_and(|via| via.contains("relay")), "{seen:?}");
        assert_eq!(seen[0].header("x-request-id"), answer.header("x-request-id"));
    }
    let icon = card["iconUrl"].as_str().expect("an icon");
    assert!(icon.starts_with(&world.public_url), "{icon}");
    // The card implies its path, so it crosses; the agent has none there.
    let answer = get(icon).await.expect("an answer");
    assert_eq!((answer.status, answer.relay_error()), (404, None), "{answer:?}");
    world.until_quiet().await;
}

#[tokio::test]
async fn what_the_card_does_not_imply_stays_at_the_relay() {
    let world = World::new().await;
    let before = world.agent.deliveries().len();
    for path in [
        "test/echo",
        "admin",
        "icon.png/../admin",
        "a2a/admin",
        ".env",
        "icon.png%2f",
        "v1/message:send",
    ] {
        let refused = get(&format!("{}{path}", world.public_url)).await.expect("an answer");
        assert_eq!(
            (refused.status, refused.relay_error()),
            (404, Some("RELAY_NOT_FOUND")),
            "{path}"
        );
    }
    let crossed: Vec<String> = world
        .agent
        .deliveries()
        .split_off(before)
        .into_iter()
        .filter(|delivery| delivery.header("via").is_some())
        .map(|delivery| delivery.path)
        .collect();
    assert!(crossed.is_empty(), "{crossed:?}");
    world.until_quiet().await;
}

#[tokio::test]
async fn both_ends_must_allow_the_whole_origin() {
    for (relay, connector, crosses) in [
        (&["--expose", "all"][..], &["--expose", "all"][..], true),
        (&["--expose", "all"], &[], false),
        (&[], &["--expose", "all"], false),
    ] {
        let world = World::builder().workspace_args(relay).connector_args(connector).start().await;
        let answer = get(&format!("{}test/status:418", world.public_url)).await.expect("an answer");
        let expected = if crosses { 418 } else { 404 };
        assert_eq!(answer.status, expected, "relay {relay:?}, connector {connector:?}: {answer:?}");
    }
    let world = World::builder().connector_args(&["--allow", "/test"]).start().await;
    let answer = get(&format!("{}test/status:418", world.public_url)).await.expect("an answer");
    assert_eq!(answer.status, 418, "{answer:?}");
}
