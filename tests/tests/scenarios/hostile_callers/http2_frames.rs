//! HTTP/2 frames that are none, or come where they must not: the connection ends with the code that
//! says why, and takes nobody along.

use super::{
    Bystander, Paths,
    http2_requests::{good, is_served, request},
};
use tests::{
    World,
    http::frames::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR,
        Fate, FrameClient, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PADDED, PING, PREFACE, PRIORITY,
        PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, frame,
        settings,
    },
};

/// The library says this of most mistakes, also where the standard has a code of its own.
const GONE: Fate = Fate::GoneAway(PROTOCOL_ERROR);
const TOO_LONG: Fate = Fate::GoneAway(FRAME_SIZE_ERROR);

/// Allows so many bytes more.
fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// What is sent behind a good beginning, and what becomes of stream 1.
fn rows(paths: &Paths) -> Vec<(&'static str, Vec<u8>, Fate)> {
    let good = good(paths, "hostile");
    let open = frame(HEADERS, END_HEADERS, 1, &good);
    let on = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &good);
    let waiting = [&[0, 0, 0, 1, 0][..], &good].concat();
    vec![
        ("HEADERS on the connection", on(0), GONE),
        ("HEADERS on a server's stream", on(2), GONE),
        ("streams that go backwards", [on(5), on(3)].concat(), GONE),
        ("DATA on the connection", frame(DATA, 0, 0, b"x"), GONE),
        ("DATA for a stream that is not open", frame(DATA, 0, 1, b"x"), GONE),
        ("RST_STREAM for no stream", frame(RST_STREAM, 0, 0, &[0; 4]), GONE),
        ("RST_STREAM for an idle stream", frame(RST_STREAM, 0, 1, &[0; 4]), GONE),
        ("a short RST_STREAM", [&open[..], &frame(RST_STREAM, 0, 1, &[0; 3])].concat(), GONE),
        ("PRIORITY on the connection", frame(PRIORITY, 0, 0, &[0; 5]), GONE),
        (
            "a stream that waits for itself",
            frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, &waiting),
            Fate::Reset(PROTOCOL_ERROR),
        ),
        (
            "a pushed stream",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &good].concat()),
            GONE,
        ),
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, &good), GONE),
        (
            "a PING within a block",
            [frame(HEADERS, 0, 1, &good[..9]), frame(PING, 0, 0, &[0; 8])].concat(),
            GONE,
        ),
        (
            "another stream within a block",
            [frame(HEADERS, 0, 1, &good[..9]), frame(CONTINUATION, END_HEADERS, 3, &good[9..])]
                .concat(),
            GONE,
        ),
        (
            "more padding than there is",
            frame(HEADERS, END_HEADERS | PADDED, 1, &[&[255][..], &good[..20]].concat()),
            GONE,
        ),
        ("an entry of no table", frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0x7f]), GONE),
        (
            "a table that is too large",
            frame(HEADERS, END_HEADERS, 1, &[0x3f, 0xff, 0xff, 0x7f]),
            GONE,
        ),
        (
            "half a block",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &good[..good.len() - 3]),
            GONE,
        ),
        ("a frame over 16 KiB", frame(DATA, 0, 1, &[0; 16_385]), TOO_LONG),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), GONE),
        ("half a setting", frame(SETTINGS, 0, 0, &[0; 5]), GONE),
        ("an answer to SETTINGS that says more", frame(SETTINGS, ACK, 0, &[0; 6]), GONE),
        ("a window of 2^31", settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)]), GONE),
        ("frames of 1 byte", settings(&[(5, 1)]), GONE),
        ("a push that is 2", settings(&[(2, 2)]), GONE),
        ("a short PING", frame(PING, 0, 0, &[0; 7]), GONE),
        ("PING on a stream", frame(PING, 0, 1, &[0; 8]), GONE),
        ("an allowance of nothing", window_update(0, 0), GONE),
        (
            "an allowance that overflows",
            window_update(0, 0x7fff_ffff),
            Fate::GoneAway(FLOW_CONTROL_ERROR),
        ),
        ("an allowance for an idle stream", window_update(1, 1), GONE),
        ("an allowance of nothing for a stream", [&open[..], &window_update(1, 0)].concat(), GONE),
        (
            "an allowance of a stream that overflows",
            [&open[..], &window_update(1, 0x7fff_ffff)].concat(),
            Fate::Reset(FLOW_CONTROL_ERROR),
        ),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), GONE),
        ("DATA behind the end", [request(1, &good), frame(DATA, 0, 1, b"{}")].concat(), GONE),
        (
            "a second head",
            [&open[..], &frame(HEADERS, END_HEADERS, 1, &good)].concat(),
            Fate::Reset(PROTOCOL_ERROR),
        ),
    ]
}

#[tokio::test]
async fn frames_out_of_place_end_their_connection_with_a_code_and_harm_nobody() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let bystander = Bystander::beside(&world).await;
    let rows = rows(&paths);
    for (what, bytes, fate) in &rows {
        let mut client = FrameClient::connect(world.relay.http()).await;
        let _ = client.send(bytes).await;
        let got = client.fate_of(1).await;
        assert_eq!(got, *fate, "{what}");
        let goes_on = matches!(fate, Fate::Reset(_));
        assert_eq!(is_served(&mut client, &paths, 7).await, goes_on, "{what}: the connection");
    }
    eprintln!("{} frames out of place", rows.len());
    let whole = |seen: &tests::agent::Delivery| seen.whole_body().is_some();
    assert!(world.agent.of("hostile").iter().filter(|seen| whole(seen)).count() <= 3);
    bystander.assert_unharmed(&world, "frames out of place").await;
    world.until_quiet().await;
}

#[tokio::test]
async fn what_has_no_meaning_is_passed_over_and_so_is_a_lack_of_settings() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let mut client = FrameClient::connect(world.relay.http()).await;
    let unknown = [frame(0xfa, 0xff, 0, b"x"), frame(0xfb, 0, 77, b""), settings(&[(0xfff0, 7)])];
    client.send(&unknown.concat()).await.expect("sent");
    assert!(is_served(&mut client, &paths, 1).await);
    // An exception: the library does not insist on SETTINGS behind the preface (RFC 9113, 3.4).
    let mut client = FrameClient::connect_silently(world.relay.http()).await;
    client.send(PREFACE).await.expect("sent");
    assert!(is_served(&mut client, &paths, 1).await);
}

#[tokio::test]
async fn more_data_than_was_allowed_is_not_taken() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let head = frame(HEADERS, END_HEADERS, 1, &good(&paths, "hostile"));
    let mut client = FrameClient::connect(world.relay.http()).await;
    // Twice what a connection may have unread.
    let data = frame(DATA, 0, 1, &[b' '; 16_384]).repeat(128);
    let _ = client.send(&[head, data].concat()).await;
    // It depends on how much the agent took by then, whose limit is passed first.
    let fate = client.fate_of(1).await;
    let refused = [Fate::Reset(FLOW_CONTROL_ERROR), Fate::GoneAway(FLOW_CONTROL_ERROR)];
    assert!(refused.contains(&fate), "{fate:?}");
    world.until_quiet().await;
}
