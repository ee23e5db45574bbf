//! Calls by gRPC, each made to the agent itself and through its host, and compared at both ends.

use std::net::SocketAddr;
use std::time::Duration;

use tests::agent::{CallEnd, GrpcAgent};
use tests::http::{Call, Connection, Cut};
use tests::parity::Verdict;
use tests::parity::grpc::{Seen, same};
use tests::{World, until};

const SOON: Duration = Duration::from_secs(15);
/// Longer than the deadline of the call that is late, and shorter than anyone's patience.
const TOO_LONG: Duration = Duration::from_millis(1_500);
const HOST: &str = "http://echo.agents.test";
const SEND: &str = "/lf.a2a.v1.A2AService/SendMessage";
const STREAM: &str = "/a2a.v1.A2AService/SendStreamingMessage";
/// Two messages, the second one empty.
const MESSAGES: &[u8] = &[0, 0, 0, 0, 3, 7, 8, 9, 0, 0, 0, 0, 0];

/// One call, and what its caller does.
struct Ask {
    name: &'static str,
    path: &'static str,
    what: &'static str,
    metadata: &'static [(&'static str, &'static str)],
    then: Then,
}

/// What the caller does once it has sent its messages.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Reads the answer to its end.
    Reads,
    /// Reads the head of the answer, sends more and reads that, for as long as there is something.
    Talks,
    /// Resets the call when the agent has it.
    Leaves,
    /// Resets it within the answer.
    LeavesWithin,
    /// Resets it within its own messages.
    LeavesEarly,
    /// The same before anything was answered.
    LeavesEarlier,
    /// Waits for longer than the deadline that it gave.
    Waits,
}

const fn ask(name: &'static str, path: &'static str, what: &'static str) -> Ask {
    Ask { name, path, what, metadata: &[], then: Then::Reads }
}

impl Ask {
    const fn with(self, metadata: &'static [(&'static str, &'static str)]) -> Ask {
        Ask { metadata, ..self }
    }

    const fn then(self, then: Then) -> Ask {
        Ask { then, ..self }
    }
}

const METADATA: &[(&str, &str)] = &[
    ("x-twice", "a"),
    ("x-twice", "b, c"),
    ("x-raw-bin", "AAECAwQ"),
    ("x-raw-bin", "/+8,AA"),
    ("x-padded-bin", "AAECAw=="),
    ("x-empty", ""),
    ("authorization", "Bearer the-agents-own"),
    ("cookie", "a=1; b=2"),
    ("user-agent", "grpc-python/1.76.0 grpc-c/51.0.0 (linux; chttp2)"),
    ("grpc-encoding", "identity"),
    ("grpc-accept-encoding", "identity, deflate, gzip"),
    ("grpc-timeout", "30S"),
    ("grpc-trace-bin", "AAAB"),
    ("a2a-version", "1.0"),
    ("a2a-extensions", "https://x.example/e1, https://x.example/e2"),
    ("x-a2a-extensions", "https://x.example/e3"),
    ("tracestate", "v=1"),
    ("baggage", "k=v"),
];

const ASKS: [Ask; 17] = [
    ask("unary", SEND, "echo"),
    ask("unary with metadata", SEND, "echo").with(METADATA),
    ask("of 0.3", "/a2a.v1.A2AService/SendMessage", "echo"),
    ask("server streaming", STREAM, "stream:7"),
    ask("server streaming of nothing", STREAM, "stream:0"),
    ask("both ways", STREAM, "parrot").then(Then::Talks),
    ask("error behind a message", SEND, "fail"),
    ask("error in trailers alone", SEND, "refuse"),
    ask("unknown method", "/lf.a2a.v1.A2AService/Dance", "echo"),
    ask("within its deadline", SEND, "echo").with(&[("grpc-timeout", "10S")]),
    ask("over its deadline", SEND, "never").with(&[("grpc-timeout", "300m")]).then(Then::Waits),
    ask("cancelled before the answer", SEND, "never").then(Then::Leaves),
    ask("cancelled within the answer", STREAM, "stream:100000").then(Then::LeavesWithin),
    ask("cancelled within the request", STREAM, "parrot").then(Then::LeavesEarly),
    ask("cancelled within the request, unanswered", SEND, "never").then(Then::LeavesEarlier),
    ask("reset by the agent at once", SEND, "reset-first"),
    ask("reset by the agent within", SEND, "reset"),
];

#[tokio::test]
async fn a_call_by_grpc_is_the_same_through_the_relay() {
    let agent = GrpcAgent::start().await;
    let also = format!("grpc={}", agent.port());
    let world = World::builder()
        .relay_args(&["--domain", "agents.test"])
        .workspace_args(&["--alias", "echo", "--callers", "open"])
        .connector_args(&["--also", &also])
        .start()
        .await;
    let itself = SocketAddr::from(([127, 0, 0, 1], agent.port()));
    let mut verdict = Verdict::default();
    for ask in &ASKS {
        let alone = make(ask, &agent, itself).await;
        let through = make(ask, &agent, world.relay.http()).await;
        verdict.add(same(ask.name, &alone, &through));
    }
    // Some that must not be the same for the wrong reason.
    let cancelled =
        agent.calls().iter().filter(|call| matches!(call.end, CallEnd::Reset(_))).count();
    assert_eq!(cancelled, 2 * 5, "{:?}", agent.calls());
    verdict.print("calls by gRPC", ASKS.len());
    world.until_quiet().await;
}

/// Makes one call; answers when both its ends are over.
async fn make(ask: &Ask, agent: &GrpcAgent, at: SocketAddr) -> Seen {
    let before = agent.calls().len();
    let connection = Connection::connect(&at.to_string()).await.expect("a connection");
    let fields = [
        &[("content-type", "application/grpc+proto"), ("te", "trailers"), ("x-test-do", ask.what)],
        ask.metadata,
    ]
    .concat();
    let url = format!("{HOST}{}", ask.path);
    let answer = match ask.then {
        Then::Reads | Then::Leaves | Then::LeavesWithin | Then::Waits => {
            let call = connection.send("POST", &url, &fields, Some(MESSAGES)).await;
            finish(call.expect("a stream"), ask, agent, before).await
        }
        Then::LeavesEarlier => {
            let begun = connection.begin("POST", &url, &fields, None).await;
            let (call, mut upload) = begun.expect("a stream");
            upload.send_bytes(MESSAGES).await.expect("room");
            until("the agent has it", SOON, async || agent.calls().len() > before).await;
            drop(upload);
            call.reset();
            Err(Cut::Timeout)
        }
        Then::Talks | Then::LeavesEarly => {
            let begun = connection.begin("POST", &url, &fields, None).await;
            let (mut call, mut upload) = begun.expect("a stream");
            upload.send_bytes(MESSAGES).await.expect("room");
            let head = call.head().await.expect("a head");
            call.piece().await;
            if ask.then == Then::LeavesEarly {
                drop(upload);
                call.reset();
                Err(Cut::Timeout)
            } else {
                upload.send_bytes(MESSAGES).await.expect("room");
                call.piece().await;
                upload.end().await.expect("an end");
                Ok(call.rest_of(head).await)
            }
        }
    };
    let got = until(&format!("{} is over at the agent", ask.name), SOON, async || {
        let got = agent.calls().get(before).cloned()?;
        (got.end != CallEnd::Open).then_some(got)
    })
    .await;
    Seen { got, answer }
}

/// Reads the answer, or leaves.
async fn finish(
    mut call: Call,
    ask: &Ask,
    agent: &GrpcAgent,
    before: usize,
) -> Result<tests::RawResponse, Cut> {
    match ask.then {
        Then::Leaves => {
            until("the agent has it", SOON, async || agent.calls().len() > before).await;
            call.reset();
        }
        Then::LeavesWithin => {
            call.head().await.expect("a head");
            call.piece().await;
            call.reset();
        }
        Then::Waits => {
            let mut call = call.patience(TOO_LONG);
            let answer = call.response().await;
            call.reset();
            return answer;
        }
        _ => return call.response().await,
    }
    // It does not want to know.
    Err(Cut::Timeout)
}
