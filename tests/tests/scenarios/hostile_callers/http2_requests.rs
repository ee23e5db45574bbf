//! HTTP/2 requests that break its rules: each costs its own stream, and seldom the connection.

use super::Paths;
use tests::{
    Refusal, World,
    http::frames::{
        Answer, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Fate, FrameClient, HEADERS,
        PROTOCOL_ERROR, field, fields, frame,
    },
};

/// What a request must lead to.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// The relay's own refusal.
    Refused(u16, &'static str),
    /// The agent gets the request once, and its answer comes.
    Served,
    /// The library resets the stream.
    Reset(u32),
    /// The library refuses it in its own words.
    Library(u16),
    /// The library ends the connection.
    GoneAway(u32),
    /// An exception: the library ends the connection without a word.
    Closed,
}
use Outcome::{Closed, GoneAway, Library, Refused, Reset, Served};

const BAD: Outcome = Refused(400, "RELAY_BAD_REQUEST");
const NO_PATH: Outcome = Refused(404, "RELAY_NOT_FOUND");
const MALFORMED: Outcome = Reset(PROTOCOL_ERROR);

type Field = (&'static str, &'static str);
const METHOD: Field = (":method", "POST");
const SCHEME: Field = (":scheme", "http");
const AUTHORITY: Field = (":authority", "{host}");
const PATH: Field = (":path", "{path}");
const JSON: Field = ("content-type", "application/json");

/// Fields beside the usual ones, with a body of two bytes.
const BESIDE: &[(Field, Outcome)] = &[
    (("connection", "close"), MALFORMED),
    (("connection", "x-hop"), MALFORMED),
    (("transfer-encoding", "chunked"), MALFORMED),
    (("transfer-encoding", "identity"), MALFORMED),
    (("upgrade", "websocket"), MALFORMED),
    (("keep-alive", "timeout=5"), MALFORMED),
    (("proxy-connection", "keep-alive"), MALFORMED),
    (("te", "gzip"), MALFORMED),
    (("te", "trailers, gzip"), MALFORMED),
    (("te", "trailers"), Served),
    (("host", "{host}"), Served),
    (("host", "other"), BAD),
    (("host", ""), BAD),
    (("x_y", "1"), BAD),
    (("expect", "tea"), BAD),
    (("content-length", "2"), Served),
    (("content-length", "5"), MALFORMED),
    (("content-length", "1"), MALFORMED),
    (("content-length", "0"), MALFORMED),
    (("content-length", "+2"), MALFORMED),
    (("content-length", ""), MALFORMED),
    (("content-length", "18446744073709551618"), MALFORMED),
    ((":path", "/other"), MALFORMED),
    ((":method", "GET"), MALFORMED),
    ((":authority", "other"), MALFORMED),
    ((":scheme", "http"), MALFORMED),
    ((":status", "200"), MALFORMED),
    ((":protocol", "websocket"), MALFORMED),
    ((":unknown", "1"), GoneAway(PROTOCOL_ERROR)),
    (("", "1"), GoneAway(PROTOCOL_ERROR)),
    (("X-Upper", "1"), GoneAway(PROTOCOL_ERROR)),
    (("x y", "1"), GoneAway(PROTOCOL_ERROR)),
    (("x:y", "1"), GoneAway(PROTOCOL_ERROR)),
    (("x-\r\nx-relay-caller", "1"), GoneAway(PROTOCOL_ERROR)),
    (("x-nul", "\0"), GoneAway(PROTOCOL_ERROR)),
    (("x-cr-lf", "1\r\nx-injected: 1"), GoneAway(PROTOCOL_ERROR)),
];

/// All the fields but for `x-test-id`, with a body of two bytes.
const WHOLE: &[(&str, &[Field], Outcome)] = &[
    ("no :method", &[SCHEME, AUTHORITY, PATH, JSON], MALFORMED),
    ("no :scheme", &[METHOD, AUTHORITY, PATH, JSON], MALFORMED),
    ("no :path", &[METHOD, SCHEME, AUTHORITY, JSON], MALFORMED),
    ("an empty :path", &[METHOD, SCHEME, AUTHORITY, (":path", ""), JSON], MALFORMED),
    ("no authority at all", &[METHOD, SCHEME, PATH, JSON], BAD),
    ("host for :authority", &[METHOD, SCHEME, PATH, ("host", "{host}"), JSON], Served),
    ("two hosts", &[METHOD, SCHEME, PATH, ("host", "{host}"), ("host", "{host}"), JSON], BAD),
    ("an empty :authority", &[METHOD, SCHEME, (":authority", ""), PATH, JSON], MALFORMED),
    (
        "a path in :authority",
        &[METHOD, SCHEME, (":authority", "{host}/a2a"), PATH, JSON],
        MALFORMED,
    ),
    ("a field before :path", &[METHOD, SCHEME, AUTHORITY, JSON, PATH], MALFORMED),
    ("a space in :path", &[METHOD, SCHEME, AUTHORITY, (":path", "{path} x"), JSON], MALFORMED),
    ("a line in :path", &[METHOD, SCHEME, AUTHORITY, (":path", "{path}\r\nx: 1"), JSON], MALFORMED),
    ("a URL in :path", &[METHOD, SCHEME, AUTHORITY, (":path", "http://x{path}"), JSON], MALFORMED),
    ("no slash in :path", &[METHOD, SCHEME, AUTHORITY, (":path", "a2a"), JSON], MALFORMED),
    (
        "a space in :method",
        &[(":method", "PO ST"), SCHEME, AUTHORITY, PATH, JSON],
        GoneAway(PROTOCOL_ERROR),
    ),
    ("CONNECT with a path", &[(":method", "CONNECT"), AUTHORITY, PATH], MALFORMED),
    ("CONNECT", &[(":method", "CONNECT"), AUTHORITY], Refused(405, "RELAY_METHOD_NOT_ALLOWED")),
    (
        "CONNECT with a length",
        &[(":method", "CONNECT"), AUTHORITY, ("content-length", "2")],
        Closed,
    ),
    ("OPTIONS *", &[(":method", "OPTIONS"), SCHEME, AUTHORITY, (":path", "*")], BAD),
    (
        "GET with a body",
        &[(":method", "GET"), SCHEME, AUTHORITY, (":path", "{base}/.well-known/agent-card.json")],
        BAD,
    ),
    (
        "two lengths",
        &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "2"), ("content-length", "3"), JSON],
        MALFORMED,
    ),
];

/// Ways around a path.
const PATHS: &[(&str, Outcome)] = &[
    ("{base}/a2a/../secret", NO_PATH),
    ("{base}/a2a/%2e%2e/secret", NO_PATH),
    ("{base}/a2a/..;/secret", NO_PATH),
    ("{base}/a2a/%c0%ae%c0%ae/secret", NO_PATH),
    ("{base}/./a2a", NO_PATH),
    ("{base}//a2a", NO_PATH),
    ("{base}/secret", NO_PATH),
    ("/{base}/a2a", NO_PATH),
    ("//{host}{base}/a2a", NO_PATH),
    ("{base}/\\..\\secret", NO_PATH),
    ("{base}%2fa2a", NO_PATH),
    ("{base}/%61%32%61", NO_PATH),
    ("{base}/a2a%00", NO_PATH),
    ("{base}/a2a\0", MALFORMED),
    ("{base}/a2a HTTP/1.1\r\nx-a: b", MALFORMED),
    ("http://{host}{base}/secret", MALFORMED),
    ("*", BAD),
];

/// The fields with their words filled in.
fn filled(paths: &Paths, list: &[Field]) -> Vec<u8> {
    let text = |value| String::from_utf8(paths.fill(value)).expect("text");
    list.iter().flat_map(|(name, value)| field(name, &text(value))).collect()
}

/// The same, named for the agent's journal.
fn named(paths: &Paths, list: &[Field], id: &str) -> Vec<u8> {
    [filled(paths, list), field("x-test-id", id)].concat()
}

/// A request in as many frames as it takes: its fields, and a body of two bytes.
pub(super) fn request(stream: u32, block: &[u8]) -> Vec<u8> {
    let mut bytes = header_frames(stream, 0, block);
    bytes.extend(frame(DATA, END_STREAM, stream, b"{}"));
    bytes
}

/// HEADERS, and CONTINUATION for what does not go into it.
fn header_frames(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = block.chunks(16_384).collect();
    let mut bytes = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let end = if number + 1 == pieces.len() { END_HEADERS } else { 0 };
        let (kind, flags) = if number == 0 { (HEADERS, flags | end) } else { (9, end) };
        bytes.extend(frame(kind, flags, stream, piece));
    }
    bytes
}

/// A good request's block of fields.
pub(super) fn good(paths: &Paths, id: &str) -> Vec<u8> {
    named(paths, &[METHOD, SCHEME, AUTHORITY, PATH, JSON], id)
}

/// Whether a good request on this stream is answered.
pub(super) async fn is_served(client: &mut FrameClient, paths: &Paths, stream: u32) -> bool {
    client.send(&request(stream, &good(paths, "after"))).await.is_ok()
        && matches!(client.fate_of(stream).await, Fate::Answered(answer) if answer.status() == 200)
}

/// Holds what became of a request against what should.
fn check(what: &str, fate: &Fate, outcome: Outcome) {
    let marks =
        |answer: &Answer| (answer.status(), answer.header("x-relay-error").map(str::to_owned));
    match (outcome, fate) {
        (Refused(status, code), Fate::Answered(answer)) => {
            assert_eq!(marks(answer), (status, Some(code.to_owned())), "{what}: {answer:?}");
            assert_eq!(answer.header("x-relay-delivery"), Some("not-sent"), "{what}");
            let is_told = answer.header("x-request-id").is_some_and(|id| !id.is_empty())
                && answer.header("content-type").is_some_and(|media| media.contains("json"));
            assert!(is_told, "{what}: {answer:?}");
        }
        (Served, Fate::Answered(answer)) => assert_eq!(answer.status(), 200, "{what}: {answer:?}"),
        (Library(status), Fate::Answered(answer)) => {
            assert_eq!(marks(answer), (status, None), "{what}: {answer:?}");
        }
        (Reset(code), fate) => assert_eq!(*fate, Fate::Reset(code), "{what}"),
        (Closed, fate) => assert_eq!(*fate, Fate::Closed, "{what}"),
        (GoneAway(code), fate) => assert_eq!(*fate, Fate::GoneAway(code), "{what}"),
        (outcome, fate) => panic!("{what}: {fate:?} instead of {outcome:?}"),
    }
}

/// Puts each request on a fresh connection, and a good one behind it.
async fn try_all(world: &World, rows: Vec<(String, Vec<u8>, Outcome)>) {
    let paths = Paths::of(world);
    for (what, bytes, outcome) in &rows {
        let before = world.agent.of("hostile").len();
        let mut client = FrameClient::connect(world.relay.http()).await;
        let _ = client.send(bytes).await;
        let fate = client.fate_of(1).await;
        check(what, &fate, *outcome);
        let goes_on = !matches!(outcome, GoneAway(_) | Closed);
        assert_eq!(is_served(&mut client, &paths, 3).await, goes_on, "{what}: the connection");
        let whole = |seen: &&tests::agent::Delivery| seen.whole_body().is_some();
        let delivered = world.agent.of("hostile")[before..].iter().filter(whole).count();
        assert_eq!(delivered, usize::from(matches!(outcome, Served)), "{what}: at the agent");
    }
    eprintln!("{} hostile requests on HTTP/2", rows.len());
    world.until_quiet().await;
}

#[tokio::test]
async fn malformed_requests_are_reset_or_refused_and_never_reach_the_agent() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let usual = [METHOD, SCHEME, AUTHORITY, PATH, JSON];
    let mut rows = Vec::new();
    for (field, outcome) in BESIDE {
        let block = named(&paths, &[&usual[..], &[*field]].concat(), "hostile");
        rows.push((format!("beside the usual: {field:?}"), request(1, &block), *outcome));
    }
    for (what, list, outcome) in WHOLE {
        rows.push(((*what).to_owned(), request(1, &named(&paths, list, "hostile")), *outcome));
    }
    for (path, outcome) in PATHS {
        let block = named(&paths, &[METHOD, SCHEME, AUTHORITY, (":path", path), JSON], "hostile");
        rows.push((format!("the path {path:?}"), request(1, &block), *outcome));
    }
    let announced = [&usual[..], &[("content-length", "5")]].concat();
    let block = named(&paths, &announced, "hostile");
    let bodiless = header_frames(1, END_STREAM, &block);
    rows.push(("a length and no body".to_owned(), bodiless, MALFORMED));
    let block = [good(&paths, "hostile"), fields(&[("te", "trailers")])].concat();
    rows.push(("no body".to_owned(), header_frames(1, END_STREAM, &block), Served));
    try_all(&world, rows).await;
}

#[tokio::test]
async fn heads_over_each_limit_are_refused() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let too_large = Refused(431, "RELAY_HEADERS_TOO_LARGE");
    let too_long = Refused(414, "RELAY_URI_TOO_LONG");
    let with = |count: usize, bytes: usize| {
        let value = "v".repeat(bytes);
        let more: Vec<u8> = (0..count).flat_map(|_| fields(&[("x-more", &value)])).collect();
        request(1, &[good(&paths, "hostile"), more].concat())
    };
    let query = |bytes: usize| {
        let path = format!("{}?{}", paths.endpoint(), "q".repeat(bytes));
        let path = fields(&[(":path", &path), ("x-test-id", "hostile")]);
        request(1, &[filled(&paths, &[METHOD, SCHEME, AUTHORITY]), path].concat())
    };
    let rows = [
        ("a field of 30 KiB", with(1, 30 << 10), Served),
        ("a field of 33 KiB", with(1, 33 << 10), too_large),
        ("80 fields", with(80, 1), Served),
        ("120 fields", with(120, 1), too_large),
        ("1,500 fields of a byte", with(1_500, 1), too_large),
        ("a field of 70 KiB", with(1, 70 << 10), Library(431)),
        ("2,000 fields of a byte", with(2_000, 1), Library(431)),
        ("3 fields of 25 KiB", with(3, 25 << 10), Library(431)),
        ("12 fields of 33 KiB", with(12, 33 << 10), GoneAway(ENHANCE_YOUR_CALM)),
        ("a query of 7 KiB", query(7 << 10), Served),
        ("a query of 8 KiB", query(8 << 10), too_long),
        ("a query of 30 KiB", query(30 << 10), too_long),
    ];
    let rows = rows.map(|(what, bytes, outcome)| (what.to_owned(), bytes, outcome));
    try_all(&world, rows.into()).await;
    let refusal = Refusal::new(431, "RELAY_HEADERS_TOO_LARGE");
    let mut client = FrameClient::connect(world.relay.http()).await;
    client.send(&with(1, 33 << 10)).await.expect("sent");
    let Fate::Answered(answer) = client.fate_of(1).await else { panic!("no answer") };
    refusal.assert_error(&String::from_utf8_lossy(&answer.body), "null");
}
