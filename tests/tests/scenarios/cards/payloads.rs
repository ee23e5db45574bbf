//! What is no URL field of a card comes back byte for byte, even where it names the agent's own address.

use serde_json::json;
use tests::{Fingerprint, World, agent::Document, http::get, world::message};

#[tokio::test]
async fn messages_that_contain_the_agents_own_url_cross_both_ways_as_they_are() {
    let world = World::new().await;
    let local = format!("http://127.0.0.1:{}/a2a", world.agent.port());
    let text = format!(r#"see {local} and "url":"{local}" or {local}/.well-known/agent-card.json"#);
    let call = message("message/send", "quoted", &text);
    let answer = world.call(call.clone()).await;
    assert_eq!(answer.json()["result"]["parts"][0]["text"], text);
    let seen = world.agent.until_whole("quoted").await;
    assert_eq!(seen.whole_body(), Some(&Fingerprint::of(call.to_string().as_bytes())));

    let body = format!(r#"{{"url":"{local}","supportedInterfaces":[{{"url":"{local}"}}]}}"#);
    let echo = [("x-test-behaviour", "echo")];
    let answer = world.call_as("echoed", &echo, body.as_bytes()).await.expect("an answer");
    assert_eq!((answer.text(), answer.header("x-relay-card")), (body, None));

    let events = world.call(message("message/stream", "streamed", &text)).await.text();
    let quoted = json!({ "said": text }).to_string();
    let quoted = quoted.trim_matches(['{', '}']);
    assert_eq!(events.matches(quoted).count(), 5, "{events}");
    world.until_quiet().await;
}

#[tokio::test]
async fn parameters_of_extensions_and_links_to_documentation_stay_as_they_are() {
    let make = |port: u16| {
        let local = format!("http://127.0.0.1:{port}/a2a");
        format!(
            r#"{{"documentationUrl":"{local}","provider":{{"url":"{local}"}},
            "capabilities":{{"extensions":[{{"uri":"{local}","params":{{"url":"{local}","n":1.0e3}}}}]}},
            "securitySchemes":{{"o":{{"openIdConnectUrl":"{local}","tokenUrl":"{local}"}}}},
            "skills":[{{"url":"{local}"}}],  "url" : "{local}" }}"#
        )
    };
    let world = World::builder()
        .document("/.well-known/agent-card.json", move |port| Document::json(make(port)))
        .start()
        .await;
    let served = get(&world.workspace.card()).await.expect("a card").text();
    let own = make(world.agent.port());
    let (rest, url) = own.split_at(own.rfind("\"http").expect("the last URL"));
    let local = format!("http://127.0.0.1:{}/a2a", world.agent.port());
    let url = url.replace(&local, &format!("{}a2a", world.public_url));
    assert_eq!(served, format!("{rest}{url}"));
    world.until_quiet().await;
}
