//! The HTTP/2 client against a small server, which ends its answers in every way there is.

use super::*;
use crate::{
    Fingerprint,
    fingerprint::pattern,
    http::{
        Event,
        Version::Http2,
        frames::{
            END_HEADERS, END_STREAM, Fate, FrameClient, HEADERS, PING, PROTOCOL_ERROR, fields,
            frame,
        },
    },
    until,
};
use h2::server::SendResponse;
use http::Response;
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(10);
/// What an endless answer has had room for, over all tests.
static ENDLESS: AtomicU64 = AtomicU64::new(0);
/// Calls that were reset by their caller with this code.
static CANCELLED: AtomicU64 = AtomicU64::new(0);

/// Serves at most 7 streams at a time on each connection, on a free port.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a port");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = h2::server::Builder::new();
                let server = server.max_concurrent_streams(7).handshake(stream).await;
                let mut server = server.expect("a client");
                while let Some(Ok((request, answer))) = server.accept().await {
                    match request.uri().path() {
                        "/goaway" => server.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
                        "/hangup" => return,
                        _ => drop(tokio::spawn(reply(request, answer))),
                    }
                }
            });
        }
    });
    address
}

async fn reply(request: Request<RecvStream>, mut answer: SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    if head.uri.path() == "/silent" {
        let reason = poll_fn(|cx| answer.poll_reset(cx)).await;
        let cancelled = reason.is_ok_and(|reason| reason == Reason::CANCEL);
        CANCELLED.fetch_add(cancelled.into(), Ordering::Relaxed);
        return;
    }
    if head.uri.path() == "/refused" {
        return answer.send_reset(Reason::REFUSED_STREAM);
    }
    let seen = head.headers.get("host").or(head.headers.get("content-length")).cloned();
    let response = Response::builder().header("x-seen", seen.unwrap_or("none".parse().unwrap()));
    let mut sending = answer.send_response(response.body(()).unwrap(), false).expect("a head");
    let data = |text: &'static str| Bytes::from(text);
    match head.uri.path() {
        "/echo" => {
            while let Some(Ok(bytes)) = body.data().await {
                body.flow_control().release_capacity(bytes.len()).expect("room");
                sending.send_data(bytes, false).expect("an echo");
            }
            sending.send_data(Bytes::new(), true).expect("an end");
        }
        "/trailers" => {
            sending.send_data(data("data: 1\n\nda"), false).expect("data");
            sending.send_data(data("ta: 2\n\n"), false).expect("data");
            let trailers = [("x-sum".parse().unwrap(), "abc".parse().unwrap())];
            sending.send_trailers(trailers.into_iter().collect()).expect("trailers");
        }
        "/reset" => {
            sending.send_data(data("half"), false).expect("data");
            // What is sent before a reset may be lost by it.
            tokio::time::sleep(Duration::from_millis(100)).await;
            sending.send_reset(Reason::INTERNAL_ERROR);
        }
        "/endless" => loop {
            sending.reserve_capacity(1_000);
            let Some(Ok(_)) = poll_fn(|cx| sending.poll_capacity(cx)).await else { return };
            if sending.send_data(vec![b'x'; sending.capacity()].into(), false).is_err() {
                return;
            }
            ENDLESS.fetch_add(1_000, Ordering::Relaxed);
        },
        other => panic!("no such path: {other}"),
    }
}

#[tokio::test]
async fn bodies_go_both_ways_and_streams_share_a_connection() {
    let address = serve().await;
    let url = format!("http://{address}/echo");
    let connection = Connection::connect(&address.to_string()).await.expect("the server");
    let (mut call, mut upload) =
        connection.begin("POST", &url, &[], Some(300_000)).await.expect("a stream");
    until("the server says its limit", SOON, async || connection.streams_max() == 7).await;
    upload.send(100_000).await.expect("a part");
    let head = call.head().await.expect("a head");
    assert_eq!(head.header("x-seen"), Some("300000"));
    let small = connection.send("POST", &url, &[("Host", "h")], Some(b"abc")).await;
    let small = small.expect("a stream").response().await.expect("an answer");
    assert_eq!((small.status, small.text().as_str()), (200, "abc"));
    assert_eq!((small.head.version.as_str(), small.header("X-Seen")), ("HTTP/2.0", Some("h")));
    let rest = async {
        upload.send(200_000).await.expect("the rest");
        upload.end().await.expect("the end")
    };
    let (sent, echo) = tokio::join!(rest, call.rest_of(head));
    assert!(echo.is_complete() && echo.fingerprint() == sent, "{echo:?}");
    assert_eq!(sent, Fingerprint::of(&pattern(0, 300_000)));
}

#[tokio::test]
async fn each_end_of_an_answer_is_told_from_the_others() {
    let address = serve().await;
    let get = async |path: &str| {
        let call = Http2.send("GET", &format!("http://{address}{path}"), &[], None).await;
        call.expect("the server").patience(Duration::from_millis(800)).response().await
    };
    let whole = get("/trailers").await.expect("an answer");
    assert_eq!((whole.is_complete(), whole.chunks.len()), (true, 2), "{whole:?}");
    assert_eq!(whole.trailers, [("x-sum".to_owned(), b"abc".to_vec())]);
    let reset = get("/reset").await.expect("a head");
    assert_eq!(reset.text(), "half");
    assert_eq!(reset.ending, Ending::Cut(Cut::Reset(Some(Reason::INTERNAL_ERROR))));
    let refused = get("/refused").await.expect_err("no head");
    assert_eq!(refused, Cut::Reset(Some(Reason::REFUSED_STREAM)));
    let ended = get("/goaway").await.expect_err("no head");
    assert_eq!(ended, Cut::GoAway(Reason::ENHANCE_YOUR_CALM));
    assert_eq!(get("/hangup").await.expect_err("no head"), Cut::Eof(None));
    assert_eq!(get("/silent").await.expect_err("no head"), Cut::Timeout);
    let nobody = Http2.get("http://127.0.0.1:1/").await.expect_err("no server");
    assert_eq!(nobody, Cut::Unreachable);
}

#[tokio::test]
async fn events_are_read_over_frames_and_a_stream_that_is_not_read_stops_its_sender() {
    let address = serve().await;
    let get = async |path: &str| {
        let call = Http2.send("GET", &format!("http://{address}{path}"), &[], None).await;
        let mut call = call.expect("the server");
        assert_eq!(call.head().await.expect("a head").status, 200);
        call
    };
    let mut call = get("/trailers").await;
    let text = |event: Result<Event, Ending>| event.map(|event| event.data);
    assert_eq!(text(call.next_event().await), Ok("1".to_owned()));
    assert_eq!(text(call.next_event().await), Ok("2".to_owned()));
    assert_eq!(text(call.next_event().await), Err(Ending::Complete));
    let _unread = get("/endless").await;
    until("the window is used up", SOON, async || ENDLESS.load(Ordering::Relaxed) > 60_000).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let most = u64::from(STREAM_WINDOW) + 1_000;
    assert!(ENDLESS.load(Ordering::Relaxed) <= most, "{ENDLESS:?}");
}

#[tokio::test]
async fn a_reset_says_that_nobody_waits() {
    let address = serve().await;
    let url = format!("http://{address}/silent");
    let alone = Http2.send("POST", &url, &[], Some(b"x")).await.expect("the server");
    alone.reset();
    until("it is cancelled", SOON, async || CANCELLED.load(Ordering::Relaxed) == 1).await;
    let connection = Connection::connect(&address.to_string()).await.expect("the server");
    let _other = connection.send("GET", &url, &[], None).await.expect("a stream");
    drop(connection.send("GET", &url, &[], None).await.expect("a stream"));
    until("it is cancelled", SOON, async || CANCELLED.load(Ordering::Relaxed) == 2).await;
}

#[tokio::test]
async fn frames_are_sent_as_given_and_the_answer_is_read() {
    let address = serve().await;
    let request = |stream, path, more: &[_]| {
        let head = [&[(":method", "GET"), (":scheme", "http"), (":path", path)], more].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&head))
    };
    let mut client = FrameClient::connect(address).await;
    client.send(&request(1, "/trailers", &[])).await.expect("sent");
    let fate = client.fate_of(1).await;
    assert!(matches!(&fate, Fate::Answered(answer) if answer.status() == 200), "{fate:?}");
    client.send(&request(3, "/echo", &[("connection", "close")])).await.expect("sent");
    assert_eq!(client.fate_of(3).await, Fate::Reset(PROTOCOL_ERROR));
    client.send(&frame(PING, 0, 0, b"short")).await.expect("sent");
    assert_eq!(client.fate_of(5).await, Fate::GoneAway(PROTOCOL_ERROR));
}

#[tokio::test]
#[should_panic(expected = "cannot be sent over HTTP/2")]
async fn fields_of_http1_are_a_mistake_of_the_story() {
    let url = format!("http://{}/echo", serve().await);
    let _ = Http2.post(&url, &[("Connection", "close")], b"").await;
}
