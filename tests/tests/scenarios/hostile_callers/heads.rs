//! Requests that two servers could read in two ways: refused, or read in the one legal way.

use super::{
    Paths,
    inputs::{CHUNKS, FRAMINGS, GRAMMAR, Outcome, Row, TARGETS},
    is_usable, seen,
};
use std::time::Duration;
use tests::{
    RawClient, RawResponse, Refusal, World,
    agent::{BodySeen, Delivery},
    until,
};

const SOON: Duration = Duration::from_secs(10);

/// Ways around a path that other stories do not try.
const PATHS: &[&str] = &[
    "{base}/a2a/..;/secret",
    "{base}/..;/secret",
    "{base}/a2a/.%2e/secret",
    "{base}/a2a/%252e%252e/secret",
    "{base}/a2a/..%2fsecret",
    "{base}/a2a/..%5csecret",
    "{base}/a2a%2f..%2fsecret",
    "{base}/a2a/..%c0%afsecret",
    "{base}/a2a/%c0%ae%c0%ae/secret",
    "{base}/a2a/%ef%bc%8e%ef%bc%8e/secret",
    "{base}/a2a%0d%0aX-Injected:%201",
    "{base}/a2a%20",
    "{base}/a2a.",
    "{base}/a2a/%00",
    "{base}\\a2a",
    "{base}/a2a;x=1",
    "{base}/a2a/.well-known/../secret",
    "{base}/.well-known/agent-card.json/..",
    "{base}/.well-known%2fagent-card.json",
];

/// Sends one input on a connection of its own; tells the answer, and whether the connection can be
/// used again.
async fn put(paths: &Paths, what: &str, bytes: &[u8]) -> (RawResponse, bool) {
    let mut client = RawClient::connect(&paths.host).await.expect("the relay");
    // The relay may answer and close before it has read all.
    let _ = client.send(bytes).await;
    let answer = client.response().await.unwrap_or_else(|cut| panic!("{what}: {cut}"));
    let usable = is_usable(&mut client, paths).await;
    (answer, usable)
}

/// Holds what came of one input against what should.
async fn try_row(world: &World, paths: &Paths, what: &str, template: &str, outcome: Outcome) {
    let (before, hidden) = (seen(world, "hostile"), seen(world, "hidden"));
    let (answer, usable) = put(paths, what, &paths.fill(template)).await;
    let got = (answer.status, usable);
    match outcome {
        Outcome::Refused(status, code) => {
            Refusal::new(status, code).assert_marks(&answer);
            assert_eq!(got, (status, false), "{what}: {answer:?}");
        }
        Outcome::RefusedAlone(status, code) => {
            Refusal::new(status, code).assert_marks(&answer);
            assert_eq!(got, (status, true), "{what}: {answer:?}");
        }
        Outcome::Library(status) => {
            let code = answer.relay_error();
            assert_eq!((got, code), ((status, false), None), "{what}: {answer:?}");
        }
        Outcome::Served | Outcome::Tolerated => {
            assert_eq!(got, (200, true), "{what}: {answer:?}");
        }
        Outcome::ToleratedThenClosed => assert_eq!(got, (200, false), "{what}: {answer:?}"),
    }
    if answer.status == 200 {
        assert_eq!(seen(world, "hostile") - before, 1, "{what} at the agent");
    } else {
        // Where the fault stands behind the first bytes of a body, those may have been on their way:
        // what the agent sees of it is cut.
        let cut = |seen: &Delivery| matches!(seen.body, BodySeen::Cut { .. });
        let fact = format!("nothing of {what} is whole at the agent");
        until(&fact, SOON, async || world.agent.of("hostile").iter().skip(before).all(cut)).await;
    }
    assert_eq!(seen(world, "hidden"), hidden, "{what} smuggled a request to the agent");
}

#[tokio::test]
async fn what_two_servers_could_read_in_two_ways_is_refused_or_read_in_one() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let rows: Vec<&Row> = [TARGETS, FRAMINGS, CHUNKS, GRAMMAR].into_iter().flatten().collect();
    for (what, template, outcome) in &rows {
        try_row(&world, &paths, what, template, *outcome).await;
    }
    eprintln!("{} hostile heads and bodies", rows.len());
    world.until_quiet().await;
    let served = |(_, _, outcome): &&&Row| {
        matches!(outcome, Outcome::Served | Outcome::Tolerated | Outcome::ToleratedThenClosed)
    };
    let cut = |seen: &&Delivery| matches!(seen.body, BodySeen::Cut { .. });
    let at_agent = world.agent.of("hostile");
    let whole = at_agent.len() - at_agent.iter().filter(cut).count();
    assert_eq!(whole, rows.iter().filter(served).count(), "{at_agent:?}");
}

#[tokio::test]
async fn chunks_that_break_on_their_way_are_cut_at_the_agent() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let broken = ["0_2e\r\n", "2\n{}", "2\r\n{}\n0", "-2\r\n", "\r\n", "2\r\n{}0\r\n\r\n"];
    for (number, rest) in broken.into_iter().enumerate() {
        let id = format!("breaks-{number}");
        let head = "POST {path} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n";
        let head = format!("{head}x-test-id: {id}\r\n\r\n3\r\n{{\"a\r\n");
        let mut client = RawClient::connect(&paths.host).await.expect("the relay");
        client.send(&paths.fill(&head)).await.expect("sent");
        until("the agent has the first chunk", SOON, async || seen(&world, &id) == 1).await;
        let _ = client.send_more(&paths.fill(&format!("{rest}{{hidden}}"))).await;
        let answer = client.response().await.unwrap_or_else(|cut| panic!("{rest:?}: {cut}"));
        Refusal::new(400, "RELAY_BAD_REQUEST").assert_marks(&answer);
        assert!(!is_usable(&mut client, &paths).await, "{rest:?}: the connection stays");
        world.agent.until_cut(&id).await;
        assert_eq!((seen(&world, &id), seen(&world, "hidden")), (1, 0), "{rest:?}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn no_other_spelling_of_a_path_reaches_the_agent() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let asked_before = world.agent.deliveries().len();
    for path in PATHS {
        let head = format!("POST {path} HTTP/1.1{{rest}}");
        let (answer, usable) = put(&paths, path, &paths.fill(&head)).await;
        Refusal::new(404, "RELAY_NOT_FOUND").assert_marks(&answer);
        assert!(usable, "{path}");
    }
    assert_eq!(seen(&world, "hostile"), 0);
    assert_eq!(world.agent.deliveries().len() - asked_before, seen(&world, "after"));
    eprintln!("{} spellings of a path", PATHS.len());
}

#[tokio::test]
async fn heads_at_and_over_each_limit_are_told_apart() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    // The usual request has 4 fields, and its own share of the 32 KiB.
    let fields = |count: usize| format!("{{post}}{}{{two}}", "X: 1\r\n".repeat(count - 4));
    let long = |bytes: usize| format!("{{post}}X: {}\r\n{{two}}", "v".repeat(bytes));
    let uri = |bytes: usize| format!("POST {{path}}?{} HTTP/1.1{{rest}}", "q".repeat(bytes));
    let too_many = Outcome::RefusedAlone(431, "RELAY_HEADERS_TOO_LARGE");
    let too_long = Outcome::RefusedAlone(414, "RELAY_URI_TOO_LONG");
    for (what, head, outcome) in [
        ("80 fields", fields(80), Outcome::Served),
        ("100 fields, and the relay's own", fields(100), too_many),
        ("101 fields", fields(101), Outcome::Library(431)),
        ("150 fields", fields(150), Outcome::Library(431)),
        ("a field of 30 KiB", long(30 << 10), Outcome::Served),
        ("a field of 33 KiB", long(33 << 10), too_many),
        ("a field of 70 KB", long(70_000), too_many),
        ("a field of 140 KiB", long(140 << 10), Outcome::Library(431)),
        ("a query of 7 KiB", uri(7 << 10), Outcome::Served),
        ("a query of 8 KiB", uri(8 << 10), too_long),
        ("a query of 63 KiB", uri(63 << 10), too_long),
        ("a query of 66 KB", uri(66_000), Outcome::Library(414)),
    ] {
        try_row(&world, &paths, what, &head, outcome).await;
    }
}
