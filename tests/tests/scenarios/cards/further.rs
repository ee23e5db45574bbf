//! Further ports of an agent, and places that its answers name.

use serde_json::{Value, json};
use tests::{
    Agent, World,
    agent::Document,
    http::{exchange, get, post_json},
    world::message,
};

const CARD: &str = "/.well-known/agent-card.json";

/// JSON-RPC at the agent's own port, HTTP+JSON at another, gRPC at a third.
fn card(port: u16, further: u16) -> Value {
    json!({
        "name": "Two ports",
        "supportedInterfaces": [
            {"url": format!("http://localhost:{port}/a2a"), "protocolBinding": "JSONRPC"},
            {"url": format!("http://localhost:{further}/rest/"), "protocolBinding": "HTTP+JSON"},
            {"url": "localhost:50051", "protocolBinding": "GRPC"},
        ],
    })
}

#[tokio::test]
async fn a_further_port_that_its_owner_names_is_served_and_any_other_is_not() {
    let further = Agent::start("a2a");
    further.documents().put("/rest/v1/tasks/7", Document::json(r#"{"id":"7"}"#));
    let port = further.port();
    let also = format!("http+json={port}");
    // Without a host of the agent's own, its gRPC is of no use to callers, whatever its owner says.
    let further_ports = ["--also", also.as_str(), "--also", "grpc=50051"];
    for (args, served) in [(&further_ports[..], true), (&[], false)] {
        let world = World::builder()
            .connector_args(args)
            .document(CARD, move |own| Document::json(card(own, port)))
            .start()
            .await;
        let seen = get(&world.workspace.card()).await.expect("a card").json();
        let mut expected = vec![json!({"url": format!("{}a2a", world.public_url),
            "protocolBinding": "JSONRPC"})];
        if served {
            expected.push(json!({"url": format!("{}rest/", world.public_url),
                "protocolBinding": "HTTP+JSON"}));
        }
        assert_eq!(seen["supportedInterfaces"], json!(expected), "no private URL, and no gRPC");

        let task = get(&format!("{}rest/v1/tasks/7", world.public_url)).await.expect("an answer");
        let id = format!("own-{served}");
        let own = post_json(&world.endpoint(), &message("message/send", &id, "hello")).await;
        assert_eq!(own.expect("an answer").status, 200);
        assert_eq!(world.agent.of(&id).len(), 1, "the endpoint is the first port's");
        assert_eq!(further.journal().of(&id).len(), 0);
        if served {
            assert_eq!((task.status, task.text().as_str()), (200, r#"{"id":"7"}"#), "{task:?}");
            let asked = further.journal().deliveries();
            let host = asked.last().expect("it was asked").header("host").map(str::to_owned);
            assert_eq!(host, Some(format!("127.0.0.1:{port}")));
        } else {
            assert_eq!((task.status, task.relay_error()), (404, Some("RELAY_NOT_FOUND")));
            let advice = format!("--also http+json={port}");
            let told = |line: &str| line.contains(&advice);
            let log = world.connector.process();
            log.wait_for_line(told, std::time::Duration::from_secs(10)).await;
        }
        world.until_quiet().await;
    }
}

#[tokio::test]
async fn a_further_port_that_refuses_does_not_make_the_agent_unwell() {
    let port = {
        let gone = Agent::start("a2a");
        gone.port()
    };
    let world = World::builder()
        .connector_args(&["--also", &format!("http+json={port}")])
        .document(CARD, move |own| Document::json(card(own, port)))
        .start()
        .await;
    let refused = get(&format!("{}rest/v1/tasks/7", world.public_url)).await.expect("an answer");
    assert_eq!((refused.status, refused.relay_error()), (503, Some("RELAY_UPSTREAM_REFUSED")));
    let answer = world.call(message("message/send", "well", "hello")).await;
    assert_eq!(answer.status, 200);
    let id = &world.workspace.workspace_id;
    assert_eq!(world.relay.show_workspace(id).await["status"], "online");
    world.until_quiet().await;
}

#[tokio::test]
async fn places_on_the_agents_origin_are_mapped_into_its_base() {
    let world = World::builder().connector_args(&["--allow", "/place"]).start().await;
    let (base, port) = (&world.public_url, world.agent.port());
    for (number, (place, mapped)) in [
        (format!("http://127.0.0.1:{port}/tasks/1?x=%2F"), format!("{base}tasks/1?x=%2F")),
        (format!("http://localhost:{port}"), base.trim_end_matches('/').to_owned()),
        ("/tasks/1".to_owned(), format!("{base}tasks/1")),
        ("tasks/1".to_owned(), "tasks/1".to_owned()),
        ("//elsewhere.example/x".to_owned(), "//elsewhere.example/x".to_owned()),
        ("https://elsewhere.example/x".to_owned(), "https://elsewhere.example/x".to_owned()),
        (format!("{base}tasks/1"), format!("{base}tasks/1")),
    ]
    .into_iter()
    .enumerate()
    {
        let document = Document::json("{}").header("Location", &place);
        let document = document.header("Content-Location", &place);
        world.agent.documents().put(&format!("/place/{number}"), document);
        let answer = get(&format!("{base}place/{number}")).await.expect("an answer");
        assert_eq!(answer.header("location"), Some(mapped.as_str()), "{place}");
        assert_eq!(answer.header("content-location"), Some(mapped.as_str()), "{place}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn every_path_that_a_card_implies_takes_options() {
    let world = World::builder().document(CARD, |own| Document::json(card(own, own))).start().await;
    for path in ["", "a2a", ".well-known/agent.json", "rest/v1/tasks/1", "extendedAgentCard"] {
        let url = format!("{}{path}", world.public_url);
        let answer = exchange("OPTIONS", &url, &[], None).await.expect("an answer");
        assert_eq!(answer.relay_error(), None, "{path}: {answer:?}");
    }
    world.until_quiet().await;
}
