//! A relay behind a load balancer: its callers are told apart by what the balancer writes, and by
//! nobody else's word.

use tests::{RawClient, Refusal, World, http::post, http::request_bytes, refusal::call_with_id};

/// Sends one call with these fields besides; answers how the agent was told who it came from.
async fn told_of(world: &World, id: &str, fields: &[(&str, &str)]) -> (String, String) {
    let own = [("Content-Type", "application/json"), ("x-test-id", id)];
    let headers = [&own[..], fields].concat();
    let answer = post(&world.endpoint(), &headers, &call_with_id("1")).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let [seen] = &world.agent.of(id)[..] else { panic!("{id} was not seen once") };
    let field = |name| seen.header(name).unwrap_or_default().to_owned();
    (field("x-forwarded-for"), field("forwarded"))
}

#[tokio::test]
async fn the_agent_is_told_of_the_caller_behind_it_and_of_nothing_that_the_caller_made_up() {
    let world = World::builder().relay_args(&["--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"]);
    let world = world.start().await;
    for (number, (fields, caller)) in [
        (&[("X-Forwarded-For", "203.0.113.7")][..], "203.0.113.7"),
        (&[("X-Forwarded-For", "6.6.6.6, 203.0.113.7, 10.1.2.3")], "203.0.113.7"),
        (&[("Forwarded", "for=\"203.0.113.7:4711\";proto=https")], "203.0.113.7"),
        // Which of the two the balancer wrote cannot be known: it is named itself.
        (&[("Forwarded", "for=6.6.6.6"), ("X-Forwarded-For", "203.0.113.7")], "127.0.0.1"),
        (&[("X-Forwarded-For", "garbage")], "127.0.0.1"),
        (&[], "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let (forwarded_for, forwarded) = told_of(&world, &format!("c-{number}"), fields).await;
        assert_eq!(forwarded_for, caller, "{fields:?}");
        let begin = format!("for={caller};host=");
        assert!(forwarded.starts_with(&begin), "{fields:?}: {forwarded}");
        assert!(!forwarded.contains("6.6.6.6"), "{fields:?}: {forwarded}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn without_the_flag_and_from_elsewhere_no_field_is_believed() {
    for args in [&[][..], &["--trusted-proxies", "192.0.2.1"]] {
        let world = World::builder().relay_args(args).start().await;
        let fields = [("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.7")];
        let (forwarded_for, forwarded) = told_of(&world, "claims", &fields).await;
        assert_eq!(forwarded_for, "127.0.0.1", "{args:?}");
        assert!(!forwarded.contains("203.0.113.7"), "{args:?}: {forwarded}");
    }
}

#[tokio::test]
async fn who_guesses_behind_it_is_slowed_down_alone() {
    let world = World::builder().relay_args(&["--trusted-proxies", "127.0.0.1"]).start().await;
    let mut client = RawClient::connect(world.relay.http()).await.expect("the relay");
    let wrong = format!("{}/agents/nobody/a2a", world.relay.public_url());
    let guess = |caller| {
        let fields = [("Content-Type", "application/json"), ("X-Forwarded-For", caller)];
        request_bytes("POST", &wrong, &fields, Some(&call_with_id("1"))).1
    };
    let mut guesses = 0;
    loop {
        client.send(&guess("203.0.113.7")).await.expect("sent");
        let answer = client.response().await.expect("an answer");
        if answer.status == 429 {
            Refusal::new(429, "RELAY_RATE_LIMITED").retry_after("1").assert_json_rpc(&answer, "1");
            break;
        }
        guesses += 1;
        assert!(answer.status == 404 && guesses < 20_000, "{guesses}: {answer:?}");
    }
    client.send(&guess("203.0.113.8")).await.expect("sent");
    assert_eq!(client.response().await.expect("an answer").status, 404, "it is another caller");
}
