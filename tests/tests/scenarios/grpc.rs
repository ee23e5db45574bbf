//! gRPC through an agent's host: every frame that means something, both ways.

use std::time::Duration;
use tests::{
    Call, Connector, Ending, Port, RawResponse, Relay, World,
    agent::{CallEnd, GrpcAgent},
    http::{Connection, Reason, Version},
};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(15);
const HOST: &str = "http://echo.agents.test";
const SEND: &str = "/lf.a2a.v1.A2AService/SendMessage";
const GRPC: (&str, &str) = ("content-type", "application/grpc");
const TRAILERS: (&str, &str) = ("te", "trailers");

/// A world whose agent has a second port, for gRPC.
async fn world(callers: &str) -> (GrpcAgent, World) {
    let agent = GrpcAgent::start().await;
    let world = world_of(&agent, callers).await;
    (agent, world)
}

async fn world_of(agent: &GrpcAgent, callers: &str) -> World {
    let also = format!("grpc={}", agent.port());
    World::builder()
        .relay_args(&["--domain", "agents.test"])
        .workspace_args(&["--alias", "echo", "--callers", callers])
        .connector_args(&["--also", &also])
        .start()
        .await
}

async fn connect(world: &World) -> Connection {
    Connection::connect(&world.relay.http().to_string()).await.expect("the relay")
}

/// Sends a call with one message of these bytes.
async fn send(connection: &Connection, path: &str, fields: &[(&str, &str)], bytes: usize) -> Call {
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(bytes).expect("a length").to_be_bytes());
    message.resize(5 + bytes, 7);
    let fields = [&[GRPC, TRAILERS], fields].concat();
    let call = connection.send("POST", &format!("{HOST}{path}"), &fields, Some(&message)).await;
    call.expect("a stream")
}

/// One call and its answer.
async fn ask(connection: &Connection, path: &str, fields: &[(&str, &str)]) -> RawResponse {
    let mut call = send(connection, path, fields, 3).await;
    call.response().await.unwrap_or_else(|cut| panic!("{path} {fields:?}: {cut}"))
}

/// A trailer of an answer.
fn trailer<'a>(answer: &'a RawResponse, name: &str) -> Option<&'a str> {
    let found = answer.trailers.iter().find(|(known, _)| known == name)?;
    std::str::from_utf8(&found.1).ok()
}

/// The answer is all trailers, with this status and these marks.
fn assert_refused(answer: &RawResponse, status: &str, code: &str) {
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
    assert!(answer.is_complete() && answer.trailers.is_empty(), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/grpc"));
    assert_eq!(answer.header("grpc-status"), Some(status), "{answer:?}");
    assert_eq!(answer.relay_error(), Some(code), "{answer:?}");
    assert!(answer.header("grpc-message").is_some_and(|message| !message.is_empty()));
    assert!(answer.header("grpc-status-details-bin").is_some());
}

#[tokio::test]
async fn a_call_crosses_with_its_metadata_and_trailers_and_streams_flow_as_they_come() {
    let (agent, world) = world("open").await;
    let connection = connect(&world).await;
    let metadata = [
        ("x-test-id", "one"),
        ("x-key-bin", "AAECAw"),
        ("grpc-timeout", "30S"),
        ("a2a-version", "1.0"),
    ];
    let answer = ask(&connection, SEND, &metadata).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &[0, 0, 0, 0, 3, 7, 7, 7][..]));
    assert_eq!(answer.header("x-initial"), Some("1"));
    assert_eq!(trailer(&answer, "grpc-status"), Some("0"), "{answer:?}");
    assert_eq!(trailer(&answer, "x-last-bin"), Some("AwQF"));
    let seen = &agent.calls()[0];
    assert_eq!(seen.path, SEND);
    for (name, value) in metadata.into_iter().chain([GRPC, TRAILERS]) {
        assert_eq!(seen.fields[name], value, "{name}");
    }
    assert_eq!(seen.fields["x-forwarded-host"].to_str().expect("text"), {
        format!("echo.agents.test:{}", world.relay.http().port())
    });

    // The services of both versions, and a stream whose messages come one by one.
    let old = "/a2a.v1.A2AService/SendStreamingMessage";
    let mut stream = send(&connection, old, &[("x-test-do", "stream:5")], 1).await;
    let answer = stream.response().await.expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer.body).matches("message").count(), 5);
    assert_eq!(trailer(&answer, "grpc-status"), Some("0"));

    // An answer that is all trailers is all trailers to the caller.
    let refused = ask(&connection, SEND, &[("x-test-do", "refuse")]).await;
    assert_eq!((refused.header("grpc-status"), refused.trailers.len()), (Some("5"), 0));
    assert_eq!(refused.header("grpc-message"), Some("no such task"));
    assert_eq!(refused.header("x-of-agent-bin"), Some("AAEC"));
    assert_eq!(refused.relay_error(), None, "an agent cannot speak as the relay");
    assert!(agent.calls().iter().all(|call| call.connection == 0), "one connection for all");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_policy_of_methods_knows_them_by_their_paths() {
    let (agent, world) = world("open").await;
    let id = &world.workspace.workspace_id;
    let set = world.relay.cli(&["workspace", "set", id, "--methods", "get,subscribe"]).await;
    assert_eq!(set.code, 0, "{set:?}");
    let connection = connect(&world).await;
    for (path, allowed) in [
        ("/lf.a2a.v1.A2AService/GetTask", true),
        ("/a2a.v1.A2AService/TaskSubscription", true),
        (SEND, false),
        ("/a2a.v1.A2AService/SendStreamingMessage", false),
        ("/a2a.v1.A2AService/Dance", false),
    ] {
        let answer = ask(&connection, path, &[]).await;
        match allowed {
            true => assert_eq!(trailer(&answer, "grpc-status"), Some("0"), "{path}: {answer:?}"),
            false => assert_refused(&answer, "7", "RELAY_FORBIDDEN"),
        }
    }
    assert_eq!(agent.calls().len(), 2, "the others never reached it");
    for (method, outcome) in
        [("get", "complete"), ("subscribe", "complete"), ("send", "refused"), ("other", "refused")]
    {
        let labels = [("binding", "grpc"), ("method", method), ("outcome", outcome)];
        let counted = world.relay.metric("relay_a2a_requests_total", &labels).await;
        assert_eq!(counted, Some(1.0), "{method}");
    }
}

#[tokio::test]
async fn resets_reach_the_other_side_at_once() {
    let (agent, world) = world("open").await;
    let connection = connect(&world).await;
    for (id, what) in [("waits", "never"), ("streams", "stream:100000")] {
        let mut call = send(&connection, SEND, &[("x-test-id", id), ("x-test-do", what)], 3).await;
        if id == "streams" {
            assert_eq!(call.head().await.expect("a head").status, 200);
        }
        tests::until("it has reached the agent", Duration::from_secs(10), async || {
            agent.calls().iter().any(|call| call.has_id(id))
        })
        .await;
        call.reset();
        assert_eq!(agent.until_reset(id).await, Reason::CANCEL, "{id}");
    }
    let first = ask(&connection, SEND, &[("x-test-do", "reset-first")]).await;
    assert_refused(&first, "13", "RELAY_UPSTREAM_RESET");
    assert_eq!(first.header("x-relay-delivery"), Some("maybe"));
    let broken = ask(&connection, SEND, &[("x-test-do", "reset")]).await;
    assert_eq!(trailer(&broken, "grpc-status"), Some("13"), "{broken:?}");
    assert_eq!(trailer(&broken, "x-relay-error"), Some("RELAY_STREAM_LOST"));
    assert_eq!(trailer(&broken, "x-relay-delivery"), Some("delivered"));
    world.until_quiet().await;
}

#[tokio::test]
async fn a_service_of_the_agents_own_hears_that_its_caller_left_within_the_request() {
    let agent = GrpcAgent::start().await;
    let also = format!("grpc={}", agent.port());
    let world = World::builder()
        .relay_args(&["--domain", "agents.test"])
        .workspace_args(&["--alias", "echo", "--callers", "open", "--expose", "all"])
        .connector_args(&["--also", &also, "--expose", "all"])
        .start()
        .await;
    let connection = connect(&world).await;
    let url = format!("{HOST}/files.v1.Files/Upload");
    for (id, what, answers) in [("silent", "never", false), ("talks", "parrot", true)] {
        let fields = [GRPC, TRAILERS, ("x-test-id", id), ("x-test-do", what)];
        let begun = connection.begin("POST", &url, &fields, None).await;
        let (mut call, mut upload) = begun.expect("a stream");
        upload.send_bytes(&[0, 0, 0, 0, 1, 7][..]).await.expect("room");
        if answers {
            call.head().await.expect("a head");
            call.piece().await;
        }
        tests::until("it has reached the agent", SOON, async || {
            agent.calls().iter().any(|call| call.has_id(id))
        })
        .await;
        drop(upload);
        call.reset();
        assert_eq!(agent.until_reset(id).await, Reason::CANCEL, "{id}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn the_callers_deadline_ends_a_call_before_and_within_its_answer() {
    let (agent, world) = world("open").await;
    let connection = connect(&world).await;
    let never = [("x-test-id", "late"), ("x-test-do", "never"), ("grpc-timeout", "300m")];
    let late = ask(&connection, SEND, &never).await;
    assert_refused(&late, "4", "RELAY_DEADLINE");
    assert_eq!(late.header("x-relay-delivery"), Some("maybe"));
    agent.until_reset("late").await;
    let stream = [("x-test-id", "cut"), ("x-test-do", "stream:10000"), ("grpc-timeout", "1S")];
    let cut = ask(&connection, SEND, &stream).await;
    assert_eq!(trailer(&cut, "grpc-status"), Some("4"), "{:?}", cut.trailers);
    agent.until_reset("cut").await;
    let wrong = ask(&connection, SEND, &[("grpc-timeout", "soon")]).await;
    assert_refused(&wrong, "3", "RELAY_BAD_REQUEST");
    world.until_quiet().await;
}

#[tokio::test]
async fn large_messages_and_many_streams_cross_together() {
    let (agent, world) = world("open").await;
    let connection = connect(&world).await;
    let mut calls = JoinSet::new();
    for number in 0..150 {
        let bytes = if number == 0 { 20_000_000 } else { number };
        let mut call = send(&connection, SEND, &[], bytes).await;
        calls.spawn(async move { (bytes, call.response().await) });
    }
    while let Some(call) = calls.join_next().await {
        let (bytes, answer) = call.expect("a call");
        let answer = answer.expect("an answer");
        assert_eq!(answer.body.len(), bytes + 5);
        assert_eq!(trailer(&answer, "grpc-status"), Some("0"));
    }
    assert!(agent.calls().iter().all(|call| call.end == CallEnd::Answered));
    let connections = agent.calls().iter().map(|call| call.connection).max();
    assert!(connections.is_some_and(|last| last < 16), "{connections:?}");
    world.until_quiet().await;
}

#[tokio::test]
async fn refusals_are_in_the_callers_own_tongue() {
    let (agent, world) = world("token").await;
    let connection = connect(&world).await;
    assert_refused(&ask(&connection, SEND, &[]).await, "16", "RELAY_UNAUTHENTICATED");
    let admin = format!("Bearer {}", world.relay.admin_token());
    let key = ("x-relay-authorization", admin.as_str());
    for (path, status, code) in [
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "12", "RELAY_NOT_FOUND"),
        ("/lf.a2a.v1.A2AService/", "12", "RELAY_NOT_FOUND"),
        ("/lf.a2a.v1.A2AService/a/b", "12", "RELAY_NOT_FOUND"),
        ("/a2a", "12", "RELAY_NOT_FOUND"),
    ] {
        assert_refused(&ask(&connection, path, &[key]).await, status, code);
    }
    let elsewhere = format!("http://nobody.agents.test{SEND}");
    let call = connection.send("POST", &elsewhere, &[GRPC, key], Some(&[0; 5])).await;
    let unknown = call.expect("a stream").response().await.expect("an answer");
    assert_refused(&unknown, "14", "RELAY_UNKNOWN_WORKSPACE");
    // Neither by HTTP/1.1, nor below a base, nor as anything but gRPC.
    let (at, url) = (world.relay.http(), format!("{HOST}{SEND}"));
    let old = Version::Http1.exchange_at(at, "POST", &url, &[GRPC, key], Some(&[0; 5])).await;
    assert_eq!(old.expect("an answer").relay_error(), Some("RELAY_HTTP_VERSION"));
    let json = [("content-type", "application/json"), key];
    let json = Version::Http2.exchange_at(at, "POST", &url, &json, Some(b"{}")).await;
    assert_eq!(json.expect("an answer").relay_error(), Some("RELAY_NOT_FOUND"));
    assert!(agent.calls().is_empty(), "{:?}", agent.calls());

    world.connector.stop().await;
    let offline = ask(&connection, SEND, &[key]).await;
    assert_refused(&offline, "14", "RELAY_AGENT_OFFLINE");
    assert_eq!(offline.header("x-relay-delivery"), Some("not-sent"));
}

#[tokio::test]
async fn an_agent_that_is_gone_and_back_is_dialled_again() {
    let port = Port::take();
    let agent = GrpcAgent::start_on(port.number()).await;
    let world = world_of(&agent, "open").await;
    let connection = connect(&world).await;
    assert_eq!(trailer(&ask(&connection, SEND, &[]).await, "grpc-status"), Some("0"));
    drop(agent);
    // The first call may still go out on the connection that breaks just then.
    let gone = tests::until("the connection is known to be gone", SOON, async || {
        let answer = ask(&connection, SEND, &[]).await;
        (answer.relay_error() == Some("RELAY_UPSTREAM_REFUSED")).then_some(answer)
    })
    .await;
    assert_refused(&gone, "14", "RELAY_UPSTREAM_REFUSED");
    assert_eq!(gone.header("x-relay-delivery"), Some("not-sent"));
    let _agent = GrpcAgent::start_on(port.number()).await;
    assert_eq!(trailer(&ask(&connection, SEND, &[]).await, "grpc-status"), Some("0"));
    world.until_quiet().await;
}

#[tokio::test]
async fn an_agent_of_grpc_alone_is_called_once_its_port_is_named() {
    let agent = GrpcAgent::start().await;
    let relay = Relay::builder().args(["--domain", "agents.test"]).start().await;
    let open = ["--alias", "echo", "--callers", "open"];
    relay.add_workspace("echo", &open).await;
    for (args, status) in [(vec![], "12"), (vec![format!("--also=grpc={}", agent.port())], "0")] {
        let join = relay.cli(&["workspace", "join", "echo", "--json"]).await.json();
        let join = join["join"].as_str().expect("a join string").to_owned();
        let connector = Connector::builder(&join, agent.port()).args(args);
        let connector = connector.start_online().await;
        let connection = Connection::connect(&relay.http().to_string()).await.expect("the relay");
        let answer = ask(&connection, SEND, &[]).await;
        let said = answer.header("grpc-status").or_else(|| trailer(&answer, "grpc-status"));
        assert_eq!(said, Some(status), "{answer:?}");
        if status == "12" {
            let told = |line: &str| line.contains("--also grpc=PORT");
            connector.process().wait_for_line(told, SOON).await;
        }
        assert_eq!(connector.stop().await, 0);
    }
}

#[tokio::test]
async fn a_link_that_is_lost_within_a_call_is_told_in_trailers() {
    let (agent, mut world) = world("open").await;
    let connection = connect(&world).await;
    let stream = [("x-test-id", "open"), ("x-test-do", "stream:100000")];
    let mut streaming = send(&connection, SEND, &stream, 1).await;
    let head = streaming.head().await.expect("a head");
    let waiting = [("x-test-id", "waits"), ("x-test-do", "never")];
    let mut waiting = send(&connection, SEND, &waiting, 1).await;
    tests::until("both are at the agent", Duration::from_secs(10), async || {
        agent.calls().len() == 2
    })
    .await;
    // Its next process holds none of what it carried.
    world.connector.kill9();
    world.connector.start_again();
    let waits = waiting.response().await.expect("an answer");
    assert_refused(&waits, "13", "RELAY_TUNNEL_LOST");
    let broken = streaming.rest_of(head).await;
    assert_eq!(broken.ending, Ending::Complete, "{:?}", broken.ending);
    assert_eq!(trailer(&broken, "grpc-status"), Some("13"), "{:?}", broken.trailers);
}
