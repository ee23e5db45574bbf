//! Two ends over a pipe in memory: what streams carry, how they end, and what hostile ends may do.

use std::net::Ipv4Addr;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use shared::codes::StreamCode;
use shared::wire::{Frame, FrameReader};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::{
    Connection as Any, ReadError, RecvStream as AnyRecv, SendStream as AnySend, WriteError,
};

const LIMITS: Streams = Streams { ours: 3000, theirs: 3000 };

fn peer() -> Peer {
    Peer {
        remote: (Ipv4Addr::LOCALHOST, 1).into(),
        rtt: Duration::from_millis(1),
        certificates: Vec::new(),
        protocol: None,
    }
}

struct Pair {
    relay: Any,
    connector: Any,
    drivers: (Driver, Driver),
}

fn pair() -> Pair {
    let (here, there) = duplex(64 * 1024);
    let (relay, driver) = start(here, Role::Relay, LIMITS, peer());
    let (connector, other) = start(there, Role::Connector, LIMITS, peer());
    Pair { relay: relay.into(), connector: connector.into(), drivers: (driver, other) }
}

/// One end that speaks the multiplexer's bytes itself.
fn raw(limits: Streams) -> (Any, Driver, DuplexStream) {
    let (here, there) = duplex(1024 * 1024);
    let (relay, driver) = start(here, Role::Relay, limits, peer());
    (relay.into(), driver, there)
}

fn header(kind: u8, flags: u8, stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = vec![0, kind, 0, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes
}

fn frames(frames: &[Frame]) -> Vec<Bytes> {
    let mut bytes = BytesMut::new();
    frames.iter().for_each(|frame| frame.put(&mut bytes));
    vec![bytes.freeze()]
}

fn end(total: u64) -> Frame {
    Frame::End { total, trailers: HeaderMap::new() }
}

async fn chunk(recv: &mut AnyRecv) -> Result<Option<Bytes>, ReadError> {
    std::future::poll_fn(|cx| recv.poll_chunk(cx, 64 * 1024)).await
}

/// The frames until END, ABORT or RESET, DATA joined.
async fn read(recv: &mut AnyRecv) -> (Vec<u8>, Option<Frame>) {
    let (mut reader, mut body) = (FrameReader::default(), Vec::new());
    while let Ok(Some(mut bytes)) = chunk(recv).await {
        while let Some(frame) = reader.next(&mut bytes).unwrap() {
            match frame {
                Frame::Data(bytes) => body.extend_from_slice(&bytes),
                Frame::Stop(_) | Frame::Accepted => {}
                last => return (body, Some(last)),
            }
        }
    }
    (body, None)
}

async fn send(send: &mut AnySend, what: &[Frame]) -> Result<(), WriteError> {
    send.write_all_chunks(&mut frames(what)).await
}

#[tokio::test]
async fn thousands_of_streams_carry_their_bodies_both_ways() {
    let Pair { relay, connector, drivers: _drivers } = pair();
    let echo = tokio::spawn(async move {
        let mut tasks = tokio::task::JoinSet::new();
        while let Ok((mut out, mut recv)) = connector.accept_bi().await {
            tasks.spawn(async move {
                let (body, last) = read(&mut recv).await;
                let total = body.len() as u64;
                assert_eq!(last, Some(end(total)));
                send(&mut out, &[Frame::Data(body.into()), end(total)]).await.unwrap();
                out.finish();
                assert_eq!(out.stopped().await, Ok(None));
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    let mut all = tokio::task::JoinSet::new();
    for n in 0..2000_usize {
        let relay = relay.clone();
        all.spawn(async move {
            let (mut out, mut recv) = relay.open_bi().await.unwrap();
            let body: Bytes =
                vec![n as u8; if n % 500 == 0 { 1 << 20 } else { 1 + n % 3000 }].into();
            send(&mut out, &[Frame::Data(body.clone()), end(body.len() as u64)]).await.unwrap();
            out.finish();
            assert_eq!(read(&mut recv).await, (body.to_vec(), Some(end(body.len() as u64))));
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    relay.close(CloseCode::Done, "all is done");
    echo.await.unwrap();
}

#[tokio::test]
async fn stop_is_noticed_though_nobody_reads_and_reset_tells_its_code() {
    let Pair { relay, connector, drivers: _drivers } = pair();
    let (mut out, recv) = relay.open_bi().await.unwrap();
    send(&mut out, &[Frame::Accepted, end(0)]).await.unwrap();
    out.finish();
    let (mut answer, request) = connector.accept_bi().await.unwrap();
    send(&mut answer, &[Frame::Accepted]).await.unwrap();
    let mut recv = recv;
    recv.stop(StreamCode::Slow);
    assert_eq!(answer.stopped().await, Ok(Some(StreamCode::Slow)));
    let refused = send(&mut answer, &[Frame::Accepted]).await;
    assert_eq!(refused, Err(WriteError::Stopped(StreamCode::Slow)));
    drop((answer, request, out, recv));

    let (mut out, _answer) = relay.open_bi().await.unwrap();
    send(&mut out, &[Frame::Data(Bytes::from_static(b"half"))]).await.unwrap();
    let (_out, mut recv) = connector.accept_bi().await.unwrap();
    assert_eq!(chunk(&mut recv).await.unwrap().unwrap().len(), 6);
    out.reset(StreamCode::TooLarge);
    assert_eq!(read(&mut recv).await, (vec![], Some(Frame::Reset(StreamCode::TooLarge))));

    let (mut out, _answer) = relay.open_bi().await.unwrap();
    send(&mut out, &[Frame::Accepted]).await.unwrap();
    let (_out, mut recv) = connector.accept_bi().await.unwrap();
    drop(out);
    let last = read(&mut recv).await.1;
    assert_eq!(last, Some(Frame::Reset(StreamCode::Cancelled)), "what is dropped looks not whole");
}

#[tokio::test]
async fn an_answer_that_is_finished_can_still_stop_the_upload() {
    let Pair { relay, connector, drivers: _drivers } = pair();
    let (mut upload, mut answer) = relay.open_bi().await.unwrap();
    send(&mut upload, &[Frame::Data(Bytes::from_static(b"more to come"))]).await.unwrap();
    let (mut out, mut recv) = connector.accept_bi().await.unwrap();
    send(&mut out, &[end(0)]).await.unwrap();
    out.finish();
    assert_eq!(out.stopped().await, Ok(None));
    assert_eq!(read(&mut answer).await.1, Some(end(0)));
    drop(answer);
    recv.stop(StreamCode::Ok);
    assert_eq!(upload.stopped().await, Ok(Some(StreamCode::Ok)));
}

#[tokio::test]
async fn a_close_brings_its_code_behind_all_that_was_said() {
    let Pair { relay, connector, mut drivers } = pair();
    let (mut out, _recv) = connector.open_bi().await.unwrap();
    send(&mut out, &[Frame::Accepted]).await.unwrap();
    let (mut out, mut recv) = relay.accept_bi().await.unwrap();
    assert_eq!(&chunk(&mut recv).await.unwrap().unwrap()[..], [6, 0]);
    send(&mut out, &[end(7)]).await.unwrap();
    out.finish();
    assert_eq!(out.stopped().await, Ok(None));
    relay.close(CloseCode::Revoked, "The credential was revoked.");
    assert_eq!(relay.close_reason(), Some(ConnectionEnd::Ours));
    let mut answer = _recv;
    assert_eq!(read(&mut answer).await.1, Some(end(7)));
    assert_eq!(chunk(&mut answer).await, Err(ReadError::Lost));
    let ended = connector.accept_bi().await.err();
    let code = u64::from(CloseCode::Revoked.number());
    let reason = Bytes::from("The credential was revoked.");
    assert_eq!(ended, Some(ConnectionEnd::Closed { code, reason }));
    assert!(connector.open_bi().await.is_err());
    drivers.0.over().await;
    drivers.1.over().await;
}

#[tokio::test]
async fn dropping_the_driver_closes_and_nothing_is_left_running() {
    let Pair { relay, connector, drivers: (here, mut there) } = pair();
    drop(here);
    there.over().await;
    assert!(relay.is_closed());
    let code = u64::from(CloseCode::Done.number());
    let ended = connector.close_reason();
    assert!(matches!(ended, Some(ConnectionEnd::Closed { code: told, .. }) if told == code));
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_ends_after_its_time() {
    let (relay, _driver, _silent) = raw(LIMITS);
    let began = tokio::time::Instant::now();
    let end = relay.accept_bi().await.err();
    assert!(matches!(end, Some(ConnectionEnd::Lost(_))), "{end:?}");
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test]
async fn garbage_and_windows_that_are_overrun_end_the_connection() {
    let syn = 1;
    let mut overrun = header(0, syn, 1, 200 * 1024);
    overrun.resize(overrun.len() + 200 * 1024, 7);
    overrun.extend(header(0, 0, 1, 1024 * 1024));
    overrun.resize(overrun.len() + 1024 * 1024, 7);
    let go_away = header(3, 0, 0, 0);
    let mut streams = Vec::new();
    for n in 0..9 {
        streams.extend(header(0, syn, 1 + 2 * n, 1));
        streams.push(1);
    }
    for (what, bytes) in [
        ("no multiplexer", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("a frame of 3 GiB", header(0, syn, 1, 3 << 30)),
        ("a stream of the relay's", header(0, syn, 2, 0)),
        ("an overrun window", overrun),
        ("too many streams", streams),
        ("a go-away without a word", go_away),
    ] {
        let (relay, mut driver, mut hostile) = raw(Streams { ours: 4, theirs: 4 });
        let writing = tokio::spawn(async move {
            // It may be cut off before it is done.
            let _ = hostile.write_all(&bytes).await;
            let mut rest = Vec::new();
            let _ = hostile.read_to_end(&mut rest).await;
        });
        while relay.accept_bi().await.is_ok() {}
        assert!(matches!(relay.close_reason(), Some(ConnectionEnd::Lost(_))), "{what}");
        driver.over().await;
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn nobody_keeps_more_than_his_credit_could_have_been() {
    let Pair { relay, connector, drivers: _drivers } = pair();
    let (mut out, _answer) = connector.open_bi().await.unwrap();
    let piece = Bytes::from(vec![0; 1 << 20]);
    let flood = async { while send(&mut out, &[Frame::Data(piece.clone())]).await.is_ok() {} };
    let (_stream, ()) = tokio::join!(relay.accept_bi(), flood);
    assert!(matches!(relay.close_reason(), Some(ConnectionEnd::Lost(_))));
    let code = u64::from(CloseCode::Protocol.number());
    let told = connector.accept_bi().await.err();
    assert!(
        matches!(told, Some(ConnectionEnd::Closed { code: told, .. }) if told == code),
        "{told:?}"
    );
}
