//! Every field of every body: missing, of the wrong type, too long, and worse. A table.

use tests::http;

use super::{Cast, assert_problem};

/// The largest body of the API, bytes.
const BODY_MAX: usize = 1024 * 1024;
/// What a second round over all cases may cost in memory: the allocator's own noise.
const GROWTH_MAX: u64 = 8 * 1024 * 1024;

/// What a field takes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Name,
    Role,
    Alias,
    Id,
    Url,
    Word(&'static str),
    Hosts,
    SecretName,
    /// Text of so many bytes, whatever it is.
    Text(usize),
    Flag,
    Share,
    Rate,
    Whole(u64, u64),
    Card,
}
use Kind::{
    Alias, Card, Flag, Hosts, Id, Name, Rate, Role, SecretName, Share, Text, Url, Whole, Word,
};

/// Its name, what it takes, whether it must be there.
type Field = (&'static str, Kind, bool);

/// Every call that reads a body, and every field of it. `{own}` is a workspace.
const CALLS: &[(&str, &[Field])] = &[
    (
        "POST /workspaces",
        &[
            ("name", Name, true),
            ("runtime", Word("external"), false),
            ("external", Flag, false),
            ("url", Url, false),
            ("parent_id", Id, false),
            ("role", Role, false),
            ("tier", Whole(1, 4), false),
            ("alias", Alias, false),
            ("callers", Word("open"), false),
            ("expose", Word("all"), false),
            ("strict_card", Flag, false),
            ("keep_alive", Flag, false),
            ("jsonrpc_errors_as_200", Flag, false),
            ("rate", Rate, false),
            ("in_flight", Whole(1, 4_096), false),
            ("methods", Word("send,get"), false),
            ("push_egress", Hosts, false),
        ],
    ),
    (
        "PATCH /workspaces/{own}",
        &[
            ("name", Name, false),
            ("role", Role, false),
            ("tier", Whole(1, 4), false),
            ("alias", Alias, false),
            ("callers", Word("link"), false),
            ("expose", Word("a2a"), false),
            ("strict_card", Flag, false),
            ("keep_alive", Flag, false),
            ("jsonrpc_errors_as_200", Flag, false),
            ("rate", Rate, false),
            ("in_flight", Whole(1, 4_096), false),
            ("methods", Word("send,get"), false),
            ("push_egress", Hosts, false),
            ("new_address", Flag, false),
        ],
    ),
    (
        "POST /workspaces/{own}/join",
        &[
            ("uses", Whole(1, 8_192), false),
            ("expires_seconds", Whole(1, 366 * 24 * 60 * 60), false),
        ],
    ),
    (
        "POST /workspaces/{own}/callers",
        &[
            ("name", Name, true),
            ("expires_seconds", Whole(1, 3_660 * 24 * 60 * 60), false),
            ("rate", Rate, false),
            ("in_flight", Whole(1, 4_096), false),
            ("methods", Word("stream"), false),
        ],
    ),
    ("POST /keys", &[("name", Name, true), ("scope", Word("read"), true)]),
    ("POST /workspaces/{own}/secrets", &[("key", SecretName, true), ("value", Text(65_536), true)]),
    ("PUT /workspaces/{own}/secrets", &[("key", SecretName, true), ("value", Text(65_536), true)]),
    ("PUT /workspaces/{own}/secrets/KEY", &[("value", Text(65_536), true)]),
    (
        "POST /registry/register",
        &[("id", Id, true), ("url", Url, true), ("agent_card", Card, true)],
    ),
    (
        "POST /registry/heartbeat",
        &[
            ("workspace_id", Id, true),
            ("error_rate", Share, false),
            ("active_tasks", Whole(0, u32::MAX as u64), false),
            ("uptime_seconds", Whole(0, u64::MAX), false),
            ("current_task", Text(4_096), false),
            ("sample_error", Text(4_096), false),
            ("runtime_state", Text(4_096), false),
        ],
    ),
    ("POST /registry/update-card", &[("workspace_id", Id, true), ("agent_card", Card, true)]),
];

/// Bodies that are none, and what they are sent as.
const BODIES: &[(&[u8], &str, u16, &str)] = &[
    (b"nonsense", "application/json", 400, "RELAY_BAD_REQUEST"),
    (b"[]", "application/json", 400, "RELAY_BAD_REQUEST"),
    (b"null", "application/json", 400, "RELAY_BAD_REQUEST"),
    (b"\"{}\"", "application/json", 400, "RELAY_BAD_REQUEST"),
    (b"{", "application/json", 400, "RELAY_BAD_REQUEST"),
    (b"{}{}", "application/json", 400, "RELAY_BAD_REQUEST"),
    (b"\xef\xbb\xbf{}", "application/json", 400, "RELAY_BAD_REQUEST"),
    (b"{\"\xff\":1}", "application/json", 400, "RELAY_BAD_REQUEST"),
    (b"{\"\\ud800\":1}", "application/json", 400, "RELAY_BAD_REQUEST"),
    (b"{}", "text/plain", 415, "RELAY_UNSUPPORTED_MEDIA_TYPE"),
    (b"{}", "application/jsonp", 415, "RELAY_UNSUPPORTED_MEDIA_TYPE"),
    (b"a=b", "application/x-www-form-urlencoded", 415, "RELAY_UNSUPPORTED_MEDIA_TYPE"),
    (b"{}", "application/json\r\nContent-Type: text/plain", 415, "RELAY_UNSUPPORTED_MEDIA_TYPE"),
    (b"{}", "application/json\r\nContent-Encoding: gzip", 415, "RELAY_UNSUPPORTED_MEDIA_TYPE"),
];

fn quoted(text: &str) -> Vec<u8> {
    format!("\"{text}\"").into_bytes()
}

impl Kind {
    /// A value that it takes.
    fn good(self, own: &str) -> Vec<u8> {
        match self {
            Name => quoted("a name"),
            Role => quoted("Plans the week."),
            Alias => quoted("an-alias"),
            Id => quoted(own),
            Url => quoted("https://agent.example.com/a2a"),
            Word(word) => quoted(word),
            Hosts => quoted("x"),
            SecretName => quoted("KEY"),
            Text(_) => quoted("text"),
            Flag => b"true".to_vec(),
            Share => b"0.25".to_vec(),
            Rate => b"2.5".to_vec(),
            Whole(..) => b"2".to_vec(),
            Card => br#"{"name":"a"}"#.to_vec(),
        }
    }

    /// The JSON type of its values.
    fn sample(self) -> &'static str {
        match self {
            Flag => "true",
            Share | Rate | Whole(..) => "7",
            Card => "{}",
            _ => "\"x\"",
        }
    }

    /// What it takes just so.
    fn right(self) -> Vec<Vec<u8>> {
        let long = |length| quoted(&"x".repeat(length));
        match self {
            Name => vec![long(255), quoted(&"ß".repeat(255)), quoted(r#"\ud83e\udd16 \"\\"#)],
            Role => vec![long(1_000), quoted(&"ß".repeat(1_000)), quoted(r#"{}[]\\|>*&! \""#)],
            Url => vec![quoted("http://127.0.0.1:9/"), quoted("remote://no-inbound")],
            SecretName => vec![long(128), quoted("tls.key-2")],
            Text(most) => vec![
                quoted(""),
                long(most),
                quoted(r"two\nlines\t\u001b[31m\u0000"),
                quoted(&"ß".repeat(most / 2)),
            ],
            Rate => vec![b"0.001".to_vec(), b"1".to_vec(), b"1e5".to_vec()],
            Share => vec![b"0".to_vec(), b"1".to_vec(), b"1.0".to_vec(), b"5e-1".to_vec()],
            Whole(least, most) => {
                vec![least.to_string().into(), most.to_string().into(), b"3.0".to_vec()]
            }
            Card => vec![
                b"{}".to_vec(),
                br#"{"name":"\u0000","n":1e30,"x":[null]}"#.to_vec(),
                [&b"{\"x\":"[..], &nested(100), b"}"].concat(),
            ],
            Alias | Id | Word(_) | Hosts | Flag => Vec::new(),
        }
    }

    /// What nothing takes, and what it does not.
    fn wrong(self) -> Vec<Vec<u8>> {
        let types = ["true", "7", "\"x\"", "[]", "{}"];
        let mut wrong: Vec<Vec<u8>> = types
            .iter()
            .filter(|text| **text != self.sample())
            .map(|text| text.as_bytes().to_vec())
            .collect();
        wrong.extend([b"1e999".to_vec(), b"\"\xff\"".to_vec(), b"\"\xed\xa0\x80\"".to_vec()]);
        wrong.extend([quoted(r"\ud800"), quoted(r"\udc00\ud800"), nested(200)]);
        wrong.push([&b"{\"x\":"[..], &nested(200), b"}"].concat());
        wrong.push(br#"{"twice":1,"twice":2}"#.to_vec());
        // Raw, they are not even JSON.
        wrong.push(quoted("a\u{0}b"));
        let long = |length| quoted(&"x".repeat(length));
        wrong.push(match self {
            Card => [&b"{\"name\":"[..], &long(1_000_000), b"}"].concat(),
            _ => long(1_000_000),
        });
        if !matches!(self, Text(_) | Flag | Share | Rate | Whole(..) | Card) {
            let controls = ["\\u0000", "\\u0007", "\\u001b[2J", "\\n", "\u{7f}", "\u{85}"];
            wrong.extend(controls.map(|control| quoted(&format!("a{control}"))));
            wrong.push(quoted(""));
        }
        wrong.extend(match self {
            Name => vec![quoted("  "), long(256)],
            Role => vec![quoted("  "), long(1_001)],
            Alias => vec![long(64), quoted("A"), quoted("a b"), quoted("-a"), quoted("ä")],
            Id => vec![quoted("ws_"), quoted("own"), quoted("ws_01arz3ndektsv4rrffq69g5fav")],
            Url => vec![
                quoted("agent.example.com"),
                quoted("https://"),
                quoted("https://user:word@agent.example.com/"),
                quoted("https://agent.example.com:99999/"),
                quoted("https://agent example.com/"),
                quoted(r"https://agent.example.com/\u0000"),
                quoted(r"https://agent.example.com/\n"),
                quoted("https://agent.example.com/\u{7f}"),
                quoted("https://agent.example.com/\u{85}"),
                quoted("https://\u{e4}.example.com/"),
                quoted(&format!("https://a/{}", "x".repeat(2_039))),
            ],
            Word(_) => vec![quoted("x"), quoted("OPEN")],
            Hosts => {
                [",", "a..b", "x:0", "https://x", "0x7f.1", &"x,".repeat(32)].map(quoted).into()
            }
            SecretName => vec![quoted("1A"), quoted("a/b"), quoted("values"), long(129)],
            Text(most) => vec![long(most + 1), quoted(&"ß".repeat(most / 2 + 1))],
            Rate => vec![b"0".to_vec(), b"-1".to_vec(), b"100001".to_vec()],
            Share => vec![b"-0.1".to_vec(), b"1.1".to_vec()],
            Whole(least, most) => {
                let mut wrong = vec![b"-1".to_vec(), b"1.5".to_vec()];
                wrong.extend(least.checked_sub(1).map(|less| less.to_string().into()));
                wrong.push((u128::from(most) + 1).to_string().into());
                wrong
            }
            Card | Flag => Vec::new(),
        });
        wrong
    }
}

fn nested(levels: usize) -> Vec<u8> {
    ["[".repeat(levels), "]".repeat(levels)].concat().into_bytes()
}

/// An object of these fields, as they are.
fn object(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let pairs: Vec<Vec<u8>> =
        fields.iter().map(|(name, value)| [&quoted(name), &b":"[..], value].concat()).collect();
    [&b"{"[..], &pairs.join(&b","[..]), b"}"].concat()
}

/// One body that must be refused for one field, or taken.
struct Case<'c> {
    call: &'c str,
    field: &'c str,
    body: Vec<u8>,
    taken: bool,
}

/// All cases of one field, within a body that is right otherwise.
fn cases<'c>(call: &'c str, fields: &'c [Field], tried: Field, own: &str) -> Vec<Case<'c>> {
    let (field, kind, needed) = tried;
    let good: Vec<(&str, Vec<u8>)> = fields
        .iter()
        .filter(|(name, _, needed)| *needed && *name != field)
        .map(|(name, kind, _)| (*name, kind.good(own)))
        // An alias comes with a word on who may call by it.
        .chain((kind == Alias).then(|| ("callers", quoted("open"))))
        .collect();
    let with = |values: &[&[u8]], taken| {
        let mut all: Vec<(&str, &[u8])> =
            good.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        all.extend(values.iter().map(|value| (field, *value)));
        Case { call, field, body: object(&all), taken }
    };
    let value = kind.good(own);
    let mut cases = vec![with(&[], !needed), with(&[b"null"], !needed)];
    cases.push(with(&[&value, &value], false));
    cases.extend(kind.right().iter().map(|value| with(&[value], true)));
    cases.extend(kind.wrong().iter().map(|value| with(&[value], false)));
    cases
}

async fn try_all(cast: &Cast, cases: &[Case<'_>]) {
    let bearer = format!("Bearer {}", cast.admin);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    for Case { call, field, body, taken } in cases {
        let answer = cast.ask(call, &headers, Some(body)).await;
        let what = format!("{call} {field}: {}", String::from_utf8_lossy(body));
        if *taken {
            assert!(matches!(answer.status, 200 | 201), "{what:.300}: {answer:?}");
            continue;
        }
        let sentence = assert_problem(&answer, 400, "RELAY_BAD_REQUEST", &what);
        assert!(sentence.contains(&format!("`{field}`")), "{what:.300}: {sentence}");
    }
}

#[tokio::test]
async fn every_wrong_field_is_named_and_costs_nothing() {
    let cast = Cast::new().await;
    let own = &cast.own.0;
    let calls: Vec<(String, &[Field])> =
        CALLS.iter().map(|(call, fields)| (call.replace("{own}", own), *fields)).collect();
    let all: Vec<Case<'_>> = calls
        .iter()
        .flat_map(|(call, fields)| fields.iter().flat_map(|field| cases(call, fields, *field, own)))
        .collect();
    eprintln!("{} bodies", all.len());
    try_all(&cast, &all).await;
    let before = cast.relay.process().rss_bytes();
    try_all(&cast, &all).await;
    let after = cast.relay.process().rss_bytes();
    eprintln!("memory: {before}, then {after}");
    assert!(after < before + GROWTH_MAX, "memory grew from {before} to {after}");
}

#[tokio::test]
async fn a_body_that_is_none_is_refused_by_every_call_that_reads_one() {
    let cast = Cast::new().await;
    let bearer = format!("Bearer {}", cast.admin);
    for (call, fields) in CALLS {
        let call = call.replace("{own}", &cast.own.0);
        for (body, media, status, code) in BODIES {
            // On HTTP/2 a value has no line breaks: its fields are sent one by one.
            let mut headers = vec![("Authorization", bearer.as_str())];
            for (at, line) in media.split("\r\n").enumerate() {
                let first = ("Content-Type", line);
                headers.push(if at == 0 { first } else { line.split_once(": ").expect("a field") });
            }
            let answer = cast.ask(&call, &headers, Some(body)).await;
            let what = format!("{call} with {media} {}", String::from_utf8_lossy(body));
            assert_problem(&answer, *status, code, &what);
        }
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let empty = cast.ask(&call, &headers, Some(b"")).await;
        let needed = fields.iter().any(|(.., needed)| *needed);
        assert_eq!(empty.status == 400, needed, "{call} with nothing: {empty:?}");
        too_large(&cast, &call, &headers).await;
    }
}

/// One byte too much, announced and not.
async fn too_large(cast: &Cast, call: &str, headers: &[(&str, &str)]) {
    let (method, path) = call.split_once(' ').expect("a method and a path");
    let url = format!("http://{}{path}", cast.relay.http());
    let body = [&b"{\"x\":\""[..], &vec![b'x'; BODY_MAX + 1 - 8], b"\"}"].concat();
    assert_eq!(body.len(), BODY_MAX + 1);
    for length in [Some(body.len() as u64), None] {
        let begun = http::begin(method, &url, headers, length).await;
        let (mut answer, mut upload) = begun.expect("the relay");
        // The refusal may come before all of it is sent.
        if upload.send_bytes(body.clone()).await.is_ok() {
            let _ = upload.end().await;
        }
        let answer = answer.response().await.expect("an answer");
        assert_problem(&answer, 413, "RELAY_BODY_TOO_LARGE", call);
    }
}
