//! The platform on loopback: what crosses, how answers come, and how a credential is found.

use agent_connector::{ConnectorError, State};
use http::{HeaderMap, StatusCode};
use shared::codes::{AbortCode, CloseCode, Delivery, StreamCode};
use shared::ids::OUTBOUND_COUNTER_MIN;
use shared::secret::Secret;
use shared::wire::{Abort, Frame, ResponseHead, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tiny_agent::TinyAgent;
use super::tiny_relay::{Exchange, Link, TinyRelay};
use super::{Connector, PATIENCE};

const TOKEN: &str = "rtok_01ARZ3NDEKTSV4RRFFQ69G5FAVcanary";
const WORKSPACE: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// A connector that serves the platform, and its link by a token.
struct Scene {
    relay: TinyRelay,
    _agent: TinyAgent,
    connector: Connector,
    link: Link,
    platform: String,
}

impl Scene {
    async fn new() -> Self {
        let (relay, agent) = (TinyRelay::start(), TinyAgent::start().await);
        let state = tempfile::tempdir().unwrap();
        let mut connector = Connector::start_with(&agent, state, |config| {
            config.token = Some(Secret::new(TOKEN.into()));
            config.relay = Some(relay.endpoint());
            config.relay_ca = Some(relay.ca());
            config.platform_listen = Some("127.0.0.1:0".parse().unwrap());
        });
        let link = relay.link_by(Some(TOKEN)).await;
        let platform = connector.until(State::Online).await.platform.unwrap();
        Self { relay, _agent: agent, connector, link, platform }
    }

    /// Sends a request whose answer is still to be read.
    async fn ask(&self, head: &str, body: &str) -> Caller {
        ask(&self.platform, head, body).await
    }
}

struct Caller(TcpStream);

async fn ask(platform: &str, head: &str, body: &str) -> Caller {
    let address = platform.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{head}\r\nHost: {address}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    Caller(stream)
}

impl Caller {
    /// Reads until these words have come; answers all that came with them.
    async fn until(&mut self, words: &str) -> String {
        let mut read = Vec::new();
        let reading = async {
            while !String::from_utf8_lossy(&read).contains(words) {
                assert!(self.0.read_buf(&mut read).await.unwrap() > 0, "it ended before {words}");
            }
        };
        timeout(PATIENCE, reading).await.expect("the answer goes on in time");
        String::from_utf8(read).unwrap()
    }

    /// Reads to the end of the connection.
    async fn rest(&mut self) -> String {
        let mut read = Vec::new();
        let reading = self.0.read_to_end(&mut read);
        // A connection that is cut may end by a reset.
        let _ = timeout(PATIENCE, reading).await.expect("it ends in time");
        String::from_utf8(read).unwrap()
    }
}

fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> Frame {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.insert(*name, value.parse().unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    Frame::ResponseHead(Box::new(ResponseHead { status, fields: map }))
}

fn data(text: &'static str) -> Frame {
    Frame::Data(text.into())
}

fn end(total: u64) -> Frame {
    Frame::End { total, trailers: HeaderMap::new() }
}

/// Answers a call whole.
async fn answer_with(call: &mut Exchange, status: u16, text: &'static str) {
    call.send(&[answer(status, &[]), data(text), end(text.len() as u64)]).await;
    call.finish();
}

#[tokio::test]
async fn a_call_crosses_as_it_is_and_its_answer_comes_as_it_comes() {
    let scene = Scene::new().await;
    let fields = "Authorization: Bearer own\r\nX-Relay-Caller: admin\r\nConnection: x-hop\r\n\
                  X-Hop: 1\r\nContent-Length: 5";
    let head = format!("PUT /registry/a%2Fb/?q=%20&q HTTP/1.1\r\n{fields}");
    let mut caller = scene.ask(&head, "hello").await;
    let mut call = scene.link.called().await;
    let head = call.head().await;
    assert_eq!((head.method.as_str(), head.query.as_deref()), ("PUT", Some("q=%20&q")));
    assert_eq!(head.target, Target::Raw("/registry/a%2Fb/".into()));
    assert!(head.exchange.counter >= OUTBOUND_COUNTER_MIN);
    assert_eq!(head.fields["authorization"], "Bearer own");
    for gone in ["x-relay-caller", "x-hop", "connection"] {
        assert!(!head.fields.contains_key(gone), "{gone} crossed");
    }
    assert_eq!(call.frame().await, Some(data("hello")));
    assert_eq!(call.frame().await, Some(end(5)));

    call.send(&[answer(200, &[("content-type", "text/event-stream")]), data("data: 1\n\n")]).await;
    let begun = caller.until("data: 1").await;
    assert!(begun.starts_with("HTTP/1.1 200") && begun.contains("text/event-stream"), "{begun}");
    call.send(&[data("data: 2\n\n")]).await;
    caller.until("data: 2").await;
    call.send(&[end(18)]).await;
    call.finish();
    caller.until("0\r\n\r\n").await;
    assert!(!format!("{:?}", *scene.connector.reports.borrow()).contains("canary"));
}

#[tokio::test]
async fn a_cut_answer_never_looks_whole_and_a_refused_one_has_words() {
    let scene = Scene::new().await;
    let get = "GET /workspaces HTTP/1.1";
    let mut caller = scene.ask(get, "").await;
    let mut call = scene.link.called().await;
    call.send(&[answer(200, &[]), data("half")]).await;
    caller.until("half").await;
    call.reset(StreamCode::Cancelled);
    assert!(!caller.rest().await.contains("0\r\n\r\n"));

    let abort = |code| {
        let message = "No.".into();
        Frame::Abort(Abort { code, delivery: Delivery::NotSent, message })
    };
    let mut caller = scene.ask(get, "").await;
    let mut call = scene.link.called().await;
    call.send(&[abort(AbortCode::Protocol)]).await;
    call.finish();
    let refused = caller.until("}").await;
    assert!(refused.starts_with("HTTP/1.1 502") && refused.contains("not-sent"), "{refused}");

    let mut caller = scene.ask(get, "").await;
    let call = scene.link.called().await;
    call.reset(StreamCode::Refused);
    let refused = caller.until("}").await;
    assert!(
        refused.starts_with("HTTP/1.1 503") && refused.contains("RELAY_AGENT_BUSY"),
        "{refused}"
    );

    let mut caller = scene.ask(get, "").await;
    let mut call = scene.link.called().await;
    call.head().await;
    scene.link.close(CloseCode::Done);
    let lost = caller.until("}").await;
    assert!(lost.starts_with("HTTP/1.1 502") && lost.contains("RELAY_TUNNEL_LOST"), "{lost}");
    let again = scene.relay.link_by(Some(TOKEN)).await;
    let mut reports = scene.connector.reports.clone();
    let online = reports.wait_for(|report| report.state == State::Online);
    drop(timeout(PATIENCE, online).await.expect("it dials again").unwrap());
    let mut caller = scene.ask(get, "").await;
    answer_with(&mut again.called().await, 200, "{}").await;
    caller.until("{}").await;
}

#[tokio::test]
async fn an_agent_that_leaves_ends_its_call() {
    let scene = Scene::new().await;
    let caller = scene.ask("GET /workspaces/x/events HTTP/1.1", "").await;
    let mut call = scene.link.called().await;
    call.send(&[answer(200, &[]), data("x")]).await;
    drop(caller);
    assert_eq!(call.stopped().await, Some(StreamCode::Cancelled.number().into()));

    let caller = scene.ask("POST /a2a HTTP/1.1\r\nContent-Length: 9", "half").await;
    let call = scene.link.called().await;
    drop(caller);
    assert_eq!(call.stopped().await, Some(StreamCode::Cancelled.number().into()));
}

#[tokio::test]
async fn a_connector_that_ends_lets_open_calls_finish() {
    let mut scene = Scene::new().await;
    let mut caller = scene.ask("GET /slow HTTP/1.1", "").await;
    let mut call = scene.link.called().await;
    call.send(&[answer(200, &[]), data("one ")]).await;
    caller.until("one").await;
    scene.connector.stop.take().unwrap().send(()).unwrap();
    scene.link.drained().await;
    let mut late = scene.ask("GET /late HTTP/1.1", "").await;
    assert!(late.until("}").await.starts_with("HTTP/1.1 503"));
    call.send(&[data("two"), end(7)]).await;
    call.finish();
    caller.until("two").await;
    assert_eq!(scene.link.closed().await, Some(CloseCode::Done));
}

#[tokio::test]
async fn the_agents_registration_becomes_the_connectors_credential() {
    let (relay, agent) = (TinyRelay::start(), TinyAgent::start().await);
    let state = tempfile::tempdir().unwrap();
    let (endpoint, ca) = (relay.endpoint(), relay.ca());
    let mut connector = Connector::start_with(&agent, state, |config| {
        config.relay = Some(endpoint);
        config.relay_ca = Some(ca);
        config.platform_listen = Some("127.0.0.1:0".parse().unwrap());
    });
    let waiting = connector.until(State::Waiting).await;
    assert_eq!(waiting.reason.as_deref(), Some("waiting for the agent's registration"));
    let platform = waiting.platform.unwrap();
    let register = "POST /registry/register HTTP/1.1\r\nContent-Length: 2";

    // One call on the first link, so that the second goes on another.
    let mut caller = ask(&platform, register, "{}").await;
    let link = relay.bootstrap(1).await;
    let none = r#"{"workspace_id":"ws_01ARZ3NDEKTSV4RRFFQ69G5FAV","note":"has a token"}"#;
    answer_with(&mut link.called().await, 200, none).await;
    caller.until("has a token").await;
    assert_eq!(connector.reports.borrow().state, State::Waiting, "nothing to adopt");

    let mut caller = ask(&platform, register, "{}").await;
    let link = relay.bootstrap(16).await;
    let token = r#"{"workspace_id":"ws_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "auth_token":"rtok_01ARZ3NDEKTSV4RRFFQ69G5FAVcanary"}"#;
    let mut call = link.called().await;
    assert_eq!(call.head().await.target, Target::Raw("/registry/register".into()));
    answer_with(&mut call, 200, token).await;
    let up = relay.link_by(Some(TOKEN)).await;
    caller.until("canary").await;
    assert_eq!(connector.reports.borrow().state, State::Online, "its agent may go on at once");
    let online = connector.until(State::Online).await;
    assert_eq!(online.platform.as_deref(), Some(&platform[..]));
    assert_eq!(online.workspace_id.unwrap().to_string(), WORKSPACE);
    let mut caller = ask(&platform, "GET /registry/x HTTP/1.1", "").await;
    answer_with(&mut up.called().await, 200, "{}").await;
    caller.until("{}").await;

    assert!(connector.stop().await.is_ok());
    let state = connector.state;
    let file = state.path().join("state").join(WORKSPACE).join("token");
    assert!(certs::files::is_private(&file).unwrap());
    let mut connector = Connector::start_with(&agent, state, |_| {});
    let _link = relay.link_by(Some(TOKEN)).await;
    assert!(connector.until(State::Online).await.platform.is_none());
}

#[tokio::test]
async fn a_platform_whose_port_is_taken_is_a_mistake_of_the_configuration() {
    let agent = TinyAgent::start().await;
    let state = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut connector = Connector::start_with(&agent, state, |config| {
        config.token = Some(Secret::new(TOKEN.into()));
        config.relay = Some("127.0.0.1:9".into());
        config.relay_ca = Some(TinyRelay::start().ca());
        config.platform_listen = Some(address);
    });
    let ended = timeout(PATIENCE, &mut connector.ended).await.expect("it ends").unwrap();
    assert!(matches!(ended, Err(ConnectorError::Config(_))), "{ended:?}");
}
