//! A connector between a tiny relay and a tiny agent, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; helpers are test code too"
)]

mod further;
mod platform;
mod tiny_agent;
mod tiny_relay;

use std::time::Duration;

use agent_connector::{Config, ConnectorError, Report, State};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method};
use shared::codes::{AbortCode, CloseCode, Delivery, StreamCode};
use shared::control::ToConnector;
use shared::ids::InstanceId;
use shared::wire::{Frame, Target};
use tiny_agent::TinyAgent;
use tiny_relay::{Link, TinyRelay, head};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// A running connector.
struct Connector {
    reports: watch::Receiver<Report>,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Result<(), ConnectorError>>,
    state: tempfile::TempDir,
}

impl Connector {
    fn start(relay: &TinyRelay, agent: &TinyAgent) -> Self {
        Self::start_with(agent, tempfile::tempdir().unwrap(), |config| {
            config.join = Some(relay.join_string());
        })
    }

    fn start_with(
        agent: &TinyAgent,
        state: tempfile::TempDir,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let target = agent.address.to_string().parse().unwrap();
        let mut config = Config::new(target, state.path().join("state"));
        change(&mut config);
        let (stop, stopped) = oneshot::channel::<()>();
        let reports = watch::Sender::new(Report::beginning());
        let watched = reports.subscribe();
        let shutdown = async { stopped.await.unwrap_or_default() };
        let ended = tokio::spawn(agent_connector::run(config, shutdown, reports));
        Self { reports: watched, stop: Some(stop), ended, state }
    }

    async fn until(&mut self, state: State) -> Report {
        let reached = self.reports.wait_for(|report| report.state == state);
        timeout(PATIENCE, reached).await.expect("the state comes in time").unwrap().clone()
    }

    async fn stop(&mut self) -> Result<(), ConnectorError> {
        let _ = self.stop.take().unwrap().send(());
        timeout(PATIENCE, &mut self.ended).await.expect("it ends in time").unwrap()
    }
}

/// A relay, an agent, a connector that joined, and its link.
async fn linked() -> (TinyRelay, TinyAgent, Connector, Link) {
    let relay = TinyRelay::start();
    let agent = TinyAgent::start().await;
    let mut connector = Connector::start(&relay, &agent);
    relay.enrol().await;
    let link = relay.link().await;
    connector.until(State::Online).await;
    (relay, agent, connector, link)
}

#[tokio::test]
async fn a_request_reaches_the_agent_and_its_answer_comes_back() {
    let (_relay, mut agent, mut connector, link) = linked().await;
    let mut exchange = link.open().await;
    let mut fields = HeaderMap::new();
    fields.insert(HOST, "public.example".parse().unwrap());
    fields.insert(CONTENT_LENGTH, 5.into());
    exchange
        .send(&[
            head(1, Target::Endpoint, Method::POST, fields),
            Frame::Data(Bytes::from_static(b"hello")),
            Frame::End { total: 5, trailers: HeaderMap::new() },
        ])
        .await;
    exchange.finish();

    let mut call = agent.call().await;
    let request = call.read_until("hello").await;
    assert!(request.starts_with("POST /a2a HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {}\r\n", agent.address)), "{request}");
    assert!(!request.contains("transfer-encoding"), "{request}");
    call.write("HTTP/1.1 200 OK\r\nX-Relay-Error: forged\r\nContent-Length: 2\r\n\r\nok").await;

    let frames = exchange.frames().await;
    let [Frame::ResponseHead(head), Frame::Data(body), Frame::End { total: 2, .. }] = &frames[..]
    else {
        panic!("{frames:?}");
    };
    assert_eq!((head.status.as_u16(), &body[..]), (200, &b"ok"[..]));
    assert!(!head.fields.contains_key("x-relay-error"));
    assert!(connector.stop().await.is_ok());
    assert_eq!(link.closed().await, Some(CloseCode::Done));
}

#[tokio::test]
async fn an_agent_that_is_silent_for_longer_than_the_caller_waits_is_left_and_named() {
    let (_relay, mut agent, _connector, link) = linked().await;
    let mut request = head(1, Target::Endpoint, Method::GET, HeaderMap::new());
    let Frame::RequestHead(head) = &mut request else { panic!() };
    head.head_timeout_ms = Some(300);
    let mut exchange = link.open().await;
    exchange.send(&[request, Frame::End { total: 0, trailers: HeaderMap::new() }]).await;
    let mut call = agent.call().await;
    call.read_until("\r\n\r\n").await;
    let abort = exchange.abort().await;
    assert_eq!((abort.code, abort.delivery), (AbortCode::UpstreamTimeout, Delivery::Maybe));
    assert!(abort.message.contains("0.3 s"), "{}", abort.message);
    assert_eq!(call.read_to_end().await.matches("GET").count(), 1, "its connection is closed");
}

#[tokio::test]
async fn an_agent_that_keeps_its_connection_gets_the_next_request_on_it() {
    let (_relay, mut agent, _connector, link) = linked().await;
    let get = |counter| head(counter, Target::Endpoint, Method::GET, HeaderMap::new());
    let end = || Frame::End { total: 0, trailers: HeaderMap::new() };
    let mut call = None;
    for counter in 1..=3 {
        let mut exchange = link.open().await;
        exchange.send(&[get(counter), end()]).await;
        let call = match &mut call {
            Some(call) => call,
            none => none.insert(agent.call().await),
        };
        call.read_until("\r\n\r\n").await;
        call.forget();
        call.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n").await;
        assert!(matches!(exchange.frame().await, Some(Frame::ResponseHead(_))));
        // Each chunk crosses as it comes, whenever the end may come.
        assert_eq!(exchange.frame().await, Some(Frame::Data(Bytes::from_static(b"ok"))));
        call.write("0\r\nX-Sum: 1\r\n\r\n").await;
        let Some(Frame::End { total: 2, trailers }) = exchange.frame().await else { panic!() };
        assert_eq!(trailers["x-sum"], "1");
    }
}

#[tokio::test]
async fn a_cut_upload_never_looks_whole_to_the_agent() {
    let (_relay, mut agent, _connector, link) = linked().await;
    for (counter, chunked) in [(1, true), (2, false)] {
        let mut fields = HeaderMap::new();
        if !chunked {
            fields.insert(CONTENT_LENGTH, 5.into());
        }
        let mut exchange = link.open().await;
        exchange
            .send(&[
                head(counter, Target::Endpoint, Method::POST, fields),
                Frame::Data(Bytes::from_static(b"hello")),
            ])
            .await;
        let mut call = agent.call().await;
        call.read_until("\r\n\r\n").await;
        exchange.reset(StreamCode::Cancelled);
        let all = call.read_to_end().await;
        assert!(!all.contains("\r\n0\r\n"), "{all}");
        assert!(chunked || !all.ends_with("hello"), "the last bytes came without the end: {all}");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_closes_the_agents_connection() {
    let (_relay, mut agent, _connector, link) = linked().await;
    let mut exchange = link.open().await;
    let get = head(1, Target::Endpoint, Method::GET, HeaderMap::new());
    exchange.send(&[get, Frame::End { total: 0, trailers: HeaderMap::new() }]).await;
    exchange.finish();
    let mut call = agent.call().await;
    call.read_until("\r\n\r\n").await;
    assert_eq!(exchange.frame().await, Some(Frame::Accepted));
    exchange.stop(StreamCode::Cancelled);
    call.read_to_end().await;
}

#[tokio::test]
async fn what_is_not_let_through_or_not_there_is_refused_in_words() {
    let (_relay, agent, _connector, link) = linked().await;
    let end = || Frame::End { total: 0, trailers: HeaderMap::new() };
    let get = |counter, target| head(counter, target, Method::GET, HeaderMap::new());
    let mut exchange = link.open().await;
    exchange.send(&[get(1, Target::Raw("/admin".into())), end()]).await;
    let denied = exchange.abort().await;
    assert_eq!((denied.code, denied.delivery), (AbortCode::PathDenied, Delivery::NotSent));

    let name = agent.address.to_string();
    drop(agent);
    let mut exchange = link.open().await;
    exchange.send(&[get(2, Target::Endpoint), end()]).await;
    let refused = exchange.abort().await;
    assert_eq!((refused.code, refused.delivery), (AbortCode::UpstreamRefused, Delivery::NotSent));
    assert!(refused.message.contains(&name), "{}", refused.message);
}

#[tokio::test]
async fn a_broken_or_unreadable_answer_is_told_as_such() {
    let (_relay, mut agent, _connector, link) = linked().await;
    for (counter, answer, code, delivery, before) in [
        (1, "", AbortCode::UpstreamReset, Delivery::Maybe, 0),
        (2, "SSH-2.0-OpenSSH\r\n\r\n", AbortCode::UpstreamProtocol, Delivery::Maybe, 0),
        (
            3,
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
            AbortCode::UpstreamReset,
            Delivery::Delivered,
            2,
        ),
    ] {
        let mut exchange = link.open().await;
        let get = head(counter, Target::Endpoint, Method::GET, HeaderMap::new());
        exchange.send(&[get, Frame::End { total: 0, trailers: HeaderMap::new() }]).await;
        let mut call = agent.call().await;
        call.read_until("\r\n\r\n").await;
        call.write(answer).await;
        drop(call);
        let frames = exchange.frames().await;
        let Some(Frame::Abort(abort)) = frames.last() else { panic!("{frames:?}") };
        assert_eq!((abort.code, abort.delivery), (code, delivery), "{answer}");
        assert_eq!(frames.len() - 1, before, "{frames:?}");
    }
}

#[tokio::test]
async fn a_drain_lets_what_is_open_finish_and_refuses_what_is_new() {
    let (_relay, mut agent, mut connector, link) = linked().await;
    let end = || Frame::End { total: 0, trailers: HeaderMap::new() };
    let get = |counter| head(counter, Target::Endpoint, Method::GET, HeaderMap::new());
    let mut open = link.open().await;
    open.send(&[get(7), end()]).await;
    let mut call = agent.call().await;
    call.read_until("\r\n\r\n").await;

    let _ = connector.stop.take().unwrap().send(());
    assert_eq!(link.drained().await, 7);
    let mut late = link.open().await;
    late.send(&[get(8), end()]).await;
    let refused = late.abort().await;
    assert_eq!((refused.code, refused.delivery), (AbortCode::Refused, Delivery::NotSent));

    call.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(matches!(open.frames().await.last(), Some(Frame::End { total: 0, .. })));
    assert_eq!(link.closed().await, Some(CloseCode::Done));
    assert!(timeout(PATIENCE, &mut connector.ended).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn an_exchange_whose_head_comes_behind_the_drain_is_not_begun() {
    let (_relay, mut agent, mut connector, link) = linked().await;
    let end = || Frame::End { total: 0, trailers: HeaderMap::new() };
    let get = |counter| head(counter, Target::Endpoint, Method::GET, HeaderMap::new());
    // Two streams are there, and the connector cannot know yet which exchanges they are.
    let (mut next, mut before) = (BytesMut::new(), BytesMut::new());
    for (bytes, counter) in [(&mut next, 42), (&mut before, 40)] {
        get(counter).put(bytes);
        end().put(bytes);
    }
    let mut not_begun = link.open().await;
    not_begun.send_bytes(&next.split_to(1)).await;
    let mut announced = link.open().await;
    announced.send_bytes(&before.split_to(1)).await;
    // Streams are accepted in order, so both were once this one is at the agent.
    let mut open = link.open().await;
    open.send(&[get(41), end()]).await;
    let mut call = agent.call().await;
    call.read_until("\r\n\r\n").await;

    let _ = connector.stop.take().unwrap().send(());
    assert_eq!(link.drained().await, 41);
    not_begun.send_bytes(&next).await;
    let refused = not_begun.abort().await;
    assert_eq!((refused.code, refused.delivery), (AbortCode::Refused, Delivery::NotSent));

    announced.send_bytes(&before).await;
    let mut second = agent.call().await;
    second.read_until("\r\n\r\n").await;
    for (call, exchange) in [(&mut call, &mut open), (&mut second, &mut announced)] {
        call.write("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(matches!(exchange.frames().await.last(), Some(Frame::End { total: 0, .. })));
    }
    assert_eq!(link.closed().await, Some(CloseCode::Done));
}

#[tokio::test]
async fn a_request_that_comes_as_its_link_retires_is_served() {
    for why in [
        ToConnector::Restarting { reconnect_in_ms: 60_000 },
        ToConnector::Drain { grace_ms: 60_000 },
        ToConnector::Replaced { by: InstanceId(9) },
    ] {
        let (_relay, mut agent, _connector, link) = linked().await;
        link.hold_pongs();
        link.tell(why);
        let ping = link.pinged().await;
        let mut exchange = link.open().await;
        let get = head(1, Target::Endpoint, Method::GET, HeaderMap::new());
        exchange.send(&[get, Frame::End { total: 0, trailers: HeaderMap::new() }]).await;
        let mut call = agent.call().await;
        call.read_until("\r\n\r\n").await;
        link.tell(ToConnector::Pong { seq: ping });
        call.write("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(matches!(exchange.frames().await.last(), Some(Frame::End { total: 0, .. })));
        assert_eq!(link.closed().await, Some(CloseCode::Done));
    }
}

#[tokio::test]
async fn a_lost_link_is_dialled_again_and_a_revoked_one_is_not() {
    let (relay, _agent, mut connector, link) = linked().await;
    link.close(CloseCode::Draining);
    let link = relay.link().await;
    connector.until(State::Online).await;
    link.tell(ToConnector::Revoked { message: "Removed by its operator.".into() });
    let ended = timeout(PATIENCE, &mut connector.ended).await.unwrap().unwrap();
    assert!(matches!(ended, Err(ConnectorError::Refused(_))), "{ended:?}");
    connector.until(State::Refused).await;
}
