//! The hand-made part of the corpus: every rule of the wire, kept and broken, byte by byte.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use shared::codes::{AbortCode, Delivery, StreamCode};
use shared::limits::ASIDES_MAX;
use shared::wire::{Abort, Ack, Frame, FrameKind, acks, fields, varint};

/// Target, file name and input of every seed.
pub(crate) fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Seeds(Vec::new());
    frame_headers(&mut seeds);
    heads(&mut seeds);
    other_payloads(&mut seeds);
    messages(&mut seeds);
    blocks(&mut seeds);
    acknowledgements(&mut seeds);
    control(&mut seeds);
    exposure(&mut seeds);
    protobuf(&mut seeds);
    seeds.0
}

struct Seeds(Vec<(&'static str, String, Vec<u8>)>);

impl Seeds {
    fn add(&mut self, target: &'static str, name: impl Into<String>, input: impl Into<Vec<u8>>) {
        self.0.push((target, name.into(), input.into()));
    }

    /// A stream in one piece.
    fn frames(&mut self, name: impl Into<String>, stream: Vec<u8>) {
        self.add("frames", name, [vec![0], stream].concat());
    }
}

fn number(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, value);
    out
}

/// A length and as many bytes.
fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [number(bytes.as_ref().len() as u64), bytes.as_ref().to_vec()].concat()
}

fn frame(kind: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![kind], text(payload)].concat()
}

fn put(frame: &Frame) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame.put(&mut out);
    out.to_vec()
}

fn frame_headers(seeds: &mut Seeds) {
    let all: Vec<Vec<u8>> = vec![
        frame(0x01, Head::default().payload()),
        frame(0x05, [0, 103, 0]),
        frame(0x02, [1, 244, 1, 7, 1, b'x']),
        vec![0x06, 0],
        frame(0x03, "hello"),
        frame(0x03, [b'x'; 300]),
        frame(0x04, [number(305), vec![0]].concat()),
        frame(0x07, [2, 0, b'n', b'o']),
        frame(0x08, [1]),
        frame(0x09, [1]),
        frame(0x0a, [vec![0; 8], number(7), vec![1], number(70_000)].concat()),
        frame(0x0b, [vec![1], number(70_000)].concat()),
        frame(0x20, r#"{"kind":"ping","seq":1}"#),
        frame(0x21, [1, 2, 3]),
        frame(0x22, [1, 2, 3]),
    ];
    let stream = all.concat();
    seeds.frames("taken-every-kind", stream.clone());
    seeds.add("frames", "taken-every-kind-in-pieces", [vec![5, 1, 2, 3, 50, 7], stream].concat());
    seeds.add("frames", "taken-nothing", []);
    // The same length in 2, 4 and 8 bytes.
    let wide = [&[0x03, 0x40, 1, b'a'][..], &[0x03, 0x80, 0, 0, 1, b'b'], &[0x03, 0xc0]].concat();
    seeds.frames(
        "taken-lengths-longer-than-needed",
        [&wide[..], &[0, 0, 0, 0, 0, 0, 1, b'c']].concat(),
    );
    seeds.frames("cut-within-data", vec![0x03, 5, b'h']);
    seeds.frames("refused-kind-0", vec![0]);
    seeds.frames("refused-kind-7f-after-data", vec![0x03, 1, b'x', 0x7f]);
    seeds.frames("refused-empty-data", vec![0x03, 0]);
    for kind in FrameKind::ALL {
        let name = kind.name().to_lowercase().replace('_', "-");
        let header = |length| [vec![kind.number()], number(length)].concat();
        seeds.frames(format!("refused-{name}-over-its-limit"), header(kind.bytes_max() + 1));
        if *kind == FrameKind::Control {
            seeds.frames(format!("cut-{name}-at-its-limit"), header(kind.bytes_max()));
        }
    }
}

/// The payload of a request's head, part by part.
struct Head {
    target: Vec<u8>,
    binding: u8,
    flags: u8,
    method: Vec<u8>,
    path: Vec<u8>,
    query: Vec<u8>,
    credits: [u64; 2],
    fields: Vec<u8>,
    extensions: Vec<u8>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            target: vec![2],
            binding: 1,
            flags: 1,
            method: text("POST"),
            path: text("/v1/message:send"),
            query: [vec![1], text("a=b?c")].concat(),
            credits: [100, 200],
            fields: vec![2, 12, 1, b'h', 0, 1, b'x', 1, b'y'],
            extensions: vec![1, 2, 0x4e, 0x20],
        }
    }
}

impl Head {
    fn payload(&self) -> Vec<u8> {
        [
            vec![0xab; 8],
            number(1_000),
            self.target.clone(),
            vec![self.binding],
            vec![self.flags],
            self.method.clone(),
            self.path.clone(),
            self.query.clone(),
            number(self.credits[0]),
            number(self.credits[1]),
            self.fields.clone(),
            self.extensions.clone(),
        ]
        .concat()
    }
}

fn heads(seeds: &mut Seeds) {
    let no = Head::default;
    let head = |head: Head| frame(0x01, head.payload());
    let slashes = |count| text(vec![b'/'; count]);
    let query = |bytes: &[u8]| [vec![1], text(bytes)].concat();
    for (name, head) in [
        ("taken-endpoint", Head { target: vec![0], path: vec![], ..no() }),
        ("taken-flags-of-a-newer-version", Head { flags: 0xff, query: vec![0], ..no() }),
        ("taken-longest-method", Head { method: text([b'M'; 24]), ..no() }),
        ("taken-longest-path", Head { path: slashes(8_187), ..no() }),
        ("taken-largest-credits", Head { credits: [2_097_152; 2], ..no() }),
        (
            "taken-extension-of-a-newer-version",
            Head { extensions: vec![0x40, 100, 1, 0, 1, 1, 5], ..no() },
        ),
        ("refused-target", Head { target: vec![3], ..no() }),
        ("refused-target-without-a-path", Head { target: vec![3], path: vec![], ..no() }),
        ("refused-binding", Head { binding: 3, ..no() }),
        ("refused-method-too-long", Head { method: text([b'M'; 25]), ..no() }),
        ("refused-method-empty", Head { method: text(""), ..no() }),
        ("refused-path-empty", Head { path: text(""), ..no() }),
        ("refused-path-with-a-query", Head { path: text("/a?b"), ..no() }),
        ("refused-path-with-a-fragment", Head { path: text("/a#b"), ..no() }),
        ("refused-path-with-a-line", Head { path: text("/a\r\nb: c"), ..no() }),
        ("refused-path-with-del", Head { path: text("/\x7f"), ..no() }),
        ("refused-path-not-utf-8", Head { path: text(b"/\xff"), ..no() }),
        ("refused-path-too-long", Head { path: slashes(8_193), query: vec![0], ..no() }),
        ("refused-path-and-query-too-long", Head { path: slashes(8_188), ..no() }),
        ("refused-query-flag", Head { query: vec![2], ..no() }),
        ("refused-query-with-a-space", Head { query: query(b"a b"), ..no() }),
        ("refused-request-credit", Head { credits: [2_097_153, 1], ..no() }),
        ("refused-response-credit", Head { credits: [1, 2_097_153], ..no() }),
        ("refused-timeout-cut", Head { extensions: vec![1, 1, 0x40], ..no() }),
    ]
    .map(|(name, parts)| (name, head(parts)))
    {
        let (verdict, rest) = name.split_once('-').unwrap_or_default();
        seeds.frames(format!("{verdict}-request-head-{rest}"), head);
    }
    for (name, kind, payload) in [
        ("refused-response-head-199", 2, &[0, 199, 0]),
        ("refused-response-head-1000", 2, &[0x03, 0xe8, 0]),
        ("refused-interim-101", 5, &[0, 101, 0]),
        ("refused-interim-200", 5, &[0, 200, 0]),
    ] {
        seeds.frames(name, frame(kind, payload));
    }
}

fn other_payloads(seeds: &mut Seeds) {
    let long = |bytes: usize| [vec![3, 0], vec![b'x'; bytes]].concat();
    // Two bytes of total, the count, one number, two bytes of length, and the value: 16,384.
    let end = [number(16_000), vec![1, 7], text(vec![b'x'; 16_378])].concat();
    for (name, kind, payload) in [
        ("taken-end-of-the-largest-size", 4, end),
        ("taken-reset-of-a-newer-version", 9, number(99_999)),
        ("taken-abort-code-0", 7, vec![0, 1]),
        ("taken-abort-message-of-901", 7, long(901)),
        ("taken-abort-message-cut-within-a-letter", 7, [long(899), "éé".into()].concat()),
        ("refused-abort-delivery-3", 7, vec![1, 3]),
        ("refused-abort-message-not-utf-8", 7, vec![1, 0, 0xff]),
        ("refused-done-cut", 0x22, vec![0x40]),
    ] {
        seeds.frames(name, frame(kind, payload));
    }
}

fn messages(seeds: &mut Seeds) {
    let request = |has_body: u8| {
        let head = Head { flags: has_body, credits: [10, 10], ..Head::default() };
        frame(0x01, head.payload())
    };
    let answer = || frame(0x02, [0, 200, 0]);
    let data = |bytes: usize| frame(0x03, vec![b'x'; bytes]);
    let end = |total| put(&Frame::End { total, trailers: HeaderMap::new() });
    let abort = || {
        let (code, delivery) = (AbortCode::Busy, Delivery::NotSent);
        put(&Frame::Abort(Abort { code, delivery, message: "busy".into() }))
    };
    let stop = || put(&Frame::Stop(StreamCode::Ok));
    let reset = || put(&Frame::Reset(StreamCode::Cancelled));
    let accepted = || put(&Frame::Accepted);
    let interim = || frame(0x05, [0, 103, 0]);
    let go_on = || frame(0x0a, [0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0]);

    for (name, grant, stream) in [
        ("taken-body", 0, vec![request(1), data(4), data(6), end(10)]),
        ("taken-no-body", 0, vec![request(0), end(0)]),
        ("taken-stop-before-the-head", 0, vec![stop(), request(1), stop(), end(0)]),
        ("taken-abort-at-once", 0, vec![abort()]),
        ("taken-reset-within-the-body", 0, vec![request(1), data(1), reset()]),
        ("taken-abort-where-no-body-is", 0, vec![request(0), abort()]),
        ("taken-continue", 3, vec![go_on(), data(3), end(3)]),
        ("cut-nothing", 0, vec![]),
        ("cut-before-end", 0, vec![request(1), data(4)]),
        ("cut-within-a-frame-after-end", 0, vec![request(0), end(0), vec![0x08]]),
        ("taken-as-many-stops-as-may-be", 0, flood(stop(), ASIDES_MAX, &[request(0), end(0)])),
        ("refused-a-stop-too-many", 0, flood(stop(), ASIDES_MAX + 1, &[request(0), end(0)])),
        ("refused-no-head", 0, vec![data(1)]),
        ("refused-two-heads", 0, vec![request(1), request(1)]),
        ("refused-continue-after-the-head", 0, vec![request(1), go_on()]),
        ("refused-head-of-an-answer", 0, vec![answer()]),
        ("refused-accepted", 0, vec![accepted()]),
        ("refused-accepted-after-the-head", 0, vec![request(1), accepted()]),
        ("refused-acks", 0, vec![request(1), frame(0x21, [])]),
        ("refused-data-where-no-body-is", 9, vec![request(0), data(1)]),
        ("refused-total-where-no-body-is", 0, vec![request(0), end(1)]),
        ("refused-beyond-the-first-credit", 0, vec![request(1), data(10), data(1)]),
        ("refused-beyond-the-grant", 12, vec![request(1), data(13)]),
        ("refused-wrong-total", 0, vec![request(1), data(3), end(4)]),
        ("refused-total-below-what-came", 0, vec![request(1), data(3), end(2)]),
        ("refused-data-after-end", 0, vec![request(1), end(0), data(1)]),
        ("refused-abort-after-abort", 0, vec![abort(), abort()]),
        ("refused-end-after-reset", 0, vec![request(1), reset(), end(0)]),
    ] {
        let pieces: &[u8] = &[2, 3, 7];
        let grant = u16::to_be_bytes(grant);
        seeds.add("request", name, [pieces, &grant, &stream.concat()].concat());
    }
    for (name, grant, stream) in [
        ("taken-body", 0, vec![accepted(), answer(), data(60), data(40), end(100)]),
        (
            "taken-everything",
            200,
            vec![
                stop(),
                interim(),
                accepted(),
                interim(),
                accepted(),
                answer(),
                accepted(),
                data(150),
                accepted(),
                end(150),
                stop(),
            ],
        ),
        ("taken-abort-within-the-body", 0, vec![answer(), data(1), abort()]),
        ("cut-before-end", 0, vec![answer(), data(100)]),
        ("taken-as-many-asides-as-may-be", 0, flood(interim(), ASIDES_MAX, &[answer(), end(0)])),
        ("refused-an-interim-too-many", 0, flood(interim(), ASIDES_MAX + 1, &[answer(), end(0)])),
        ("refused-an-accepted-too-many", 0, flood(accepted(), ASIDES_MAX + 1, &[abort()])),
        ("refused-head-of-a-request", 0, vec![request(1)]),
        ("refused-continue", 0, vec![go_on()]),
        ("refused-continued-that-nobody-asked-for", 0, vec![frame(0x0b, [0, 0])]),
        ("refused-two-heads", 0, vec![answer(), answer()]),
        ("refused-data-before-the-head", 0, vec![accepted(), data(1)]),
        ("refused-beyond-the-first-credit", 0, vec![answer(), data(101)]),
        ("refused-accepted-after-end", 0, vec![answer(), end(0), accepted()]),
        ("refused-head-after-abort", 0, vec![abort(), answer()]),
    ] {
        let pieces: &[u8] = &[1, 9];
        let grant = u16::to_be_bytes(grant);
        seeds.add("response", name, [pieces, &grant, &stream.concat()].concat());
    }
}

/// A message that is as it should be, with so many frames of one kind: STOP behind it, where only
/// STOP may stand, everything else before it.
fn flood(aside: Vec<u8>, count: usize, message: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let asides = std::iter::repeat_n(aside.clone(), count);
    if aside.first() == Some(&0x08) {
        message.iter().cloned().chain(asides).collect()
    } else {
        asides.chain(message.iter().cloned()).collect()
    }
}

fn blocks(seeds: &mut Seeds) {
    let block = |count: usize, value: usize| {
        let mut map = HeaderMap::new();
        for _ in 0..count {
            let value = HeaderValue::from_bytes(&vec![b'v'; value]).unwrap();
            map.append(HeaderName::from_static("accept"), value);
        }
        let mut out = Vec::new();
        fields::put(&mut out, &map);
        out
    };
    seeds.add("fields", "taken-none", [0]);
    seeds.add("fields", "taken-100", block(100, 0));
    seeds.add("fields", "refused-101", block(101, 0));
    // 16 × (6 + 2010 + 32) = 32,768.
    seeds.add("fields", "taken-32-kib", block(16, 2_010));
    let mut over = block(16, 2_010);
    over[1] = 7;
    seeds.add("fields", "refused-32-kib-and-6-bytes", over);
    seeds.add("fields", "taken-17-kib", block(9, 1_900));
    for (name, bytes) in [
        (
            "taken-every-form",
            &b"\x05\x12\x01a\x00\x03x-y\x00\x12\x02b;\x1c\x01z\x00\x04date\x01d"[..],
        ),
        ("taken-tab-and-obs-text", b"\x01\x01\x03\t\x80\xff"),
        ("refused-value-longer-than-memory", b"\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("refused-value-with-a-line", b"\x01\x01\x03a\nb"),
        ("refused-name-empty", b"\x01\x00\x00\x00"),
        ("refused-name-in-upper-case", b"\x01\x00\x02Xy\x00"),
        ("refused-name-with-a-colon", b"\x01\x00\x05:path\x00"),
        ("refused-number-30", b"\x01\x1e\x00"),
        ("refused-number-255", b"\x01\xff\x00"),
    ] {
        seeds.add("fields", name, bytes);
    }
}

fn acknowledgements(seeds: &mut Seeds) {
    let payload = |list: &[[u64; 3]]| {
        let list: Vec<Ack> = list
            .iter()
            .map(|[exchange, offset, limit]| Ack {
                exchange: *exchange,
                offset: *offset,
                limit: *limit,
            })
            .collect();
        let mut out = vec![0];
        for part in list.chunks(512) {
            acks::put_acks(&mut out, part);
        }
        out
    };
    let max = varint::MAX;
    for (name, list) in [
        ("taken-window-that-grows", &[[600, 600, 2_000], [1_400, 2_000, 5_000]][..]),
        ("taken-same-ack-twice", &[[5, 5, 1_000], [0, 5, 1_000]]),
        ("taken-largest-limit", &[[max, 1_000, max]]),
        ("refused-offset-never-sent", &[[5, 6, 1_000]]),
        ("refused-limit-taken-back", &[[5, 5, 999]]),
        ("refused-offset-taken-back", &[[5, 5, 1_000], [0, 4, 1_000]]),
    ] {
        seeds.add("acks", name, payload(list));
    }
    seeds.add("acks", "taken-no-acks", [0]);
    seeds.add("acks", "taken-512-acks", payload(&[[0, 0, 1_000]; 512]));
    seeds.add("acks", "refused-513-acks", payload(&[[0, 0, 1_000]; 513]));
    for (name, entry) in [
        ("refused-exchange-cut", vec![0, 0x40]),
        ("refused-credit-cut", vec![0, 1, 2, 0x80, 0, 0]),
        ("refused-limit-over-2-62", [vec![0, 1, 1], number(max)].concat()),
        ("taken-512-done", [vec![1], vec![7; 512]].concat()),
        ("refused-513-done", [vec![1], vec![7; 513]].concat()),
        ("taken-integer-2-14", [vec![3], 0x4000_u64.to_be_bytes().to_vec()].concat()),
        ("taken-integer-2-62", [vec![3], (1_u64 << 62).to_be_bytes().to_vec()].concat()),
        ("taken-integer-2-30", [vec![3], 0x4000_0000_u64.to_be_bytes().to_vec()].concat()),
    ] {
        seeds.add("acks", name, entry);
    }
    let steps = |first: u16, steps: &[(u16, u32)]| {
        let mut out = [vec![2], first.to_be_bytes().to_vec()].concat();
        for (bytes, spare) in steps {
            out.extend(bytes.to_be_bytes());
            out.extend(&spare.to_be_bytes()[1..]);
        }
        out
    };
    for (name, input) in [
        ("below-half", steps(1_000, &[(499, 9), (1, 9), (508, 0), (1, 0)])),
        ("without-spare", steps(100, &[(50, 0), (49, 0), (1, 0), (100, 0)])),
        ("up-to-the-largest-window", steps(u16::MAX, &[(0x8fff, 0xff_ffff); 14])),
        ("first-credit-0", steps(0, &[(5, 0xff_ffff), (5, 5)])),
    ] {
        seeds.add("acks", format!("taken-receiving-{name}"), input);
    }
}

fn control(seeds: &mut Seeds) {
    let (id, v) = ("ws_01ARZ3NDEKTSV4RRFFQ69G5FAV", r#""version":{"major":1,"minor":0}"#);
    let hello = format!(
        r#"{{"kind":"hello",{v},"software":"c/1","instance":"0123456789abcdef","attempt":2,
        "workspace_id":"{id}","exposure":{{"endpoint":"/a2a","rules":[{{"below":"/x"}}]}},
        "origin":"http://127.0.0.1:8000","card":{{"name":"é"}},"status":{{"error_rate":0.25,
        "runtime_metadata":{{"a":[1,2.5e-7]}},"local_agent":true}}}}"#
    );
    let by_token = hello.replace(&format!(r#""workspace_id":"{id}""#), r#""token":"rtok_t""#);
    let long = format!(r#"{{"kind":"{}"}}"#, "é".repeat(100));
    for (name, json) in [
        ("refused-not-json", "{"),
        ("refused-list", r#"["heartbeat"]"#),
        ("refused-kind-no-text", r#"{"kind":1}"#),
        ("refused-kind-twice", r#"{"kind":"ping","kind":"pong","seq":1}"#),
        ("refused-kind-in-upper-case", r#"{"kind":"Ping","seq":1}"#),
        ("refused-kind-too-long", &long),
        ("refused-field-missing", r#"{"kind":"ping"}"#),
    ] {
        seeds.add("control_to_relay", name, json);
    }
    for target in ["control_to_relay", "control_to_connector"] {
        seeds.add(target, "taken-unsupported", r#"{"kind":"unsupported","what":"teleport"}"#);
        seeds.add(target, "refused-kind-unknown", r#"{"kind":"teleport","seq":1}"#);
    }
    let join = format!(r#"{{"kind":"join",{v},"workspace_id":"{id}","token":"t","csr":"c"}}"#);
    for (name, json) in [
        ("taken-hello", &hello[..]),
        ("taken-hello-with-a-token", &by_token),
        ("refused-token-no-text", &by_token.replace("\"rtok_t\"", "7")),
        ("taken-join", &join),
        ("taken-bootstrap", &format!(r#"{{"kind":"bootstrap",{v}}}"#)),
        ("refused-bootstrap-without-a-version", r#"{"kind":"bootstrap"}"#),
        ("taken-heartbeat", r#"{"kind":"heartbeat","error_rate":6.934698245112694e+276}"#),
        ("taken-card", r#"{"kind":"card","card":{"v":[1e15,null,18446744073709551616]}}"#),
        ("taken-exposure", r#"{"kind":"exposure","exposure":{"all":true,"rules":[{"glob":1}]}}"#),
        ("refused-id-in-lower-case", &join.replace("ARZ", "arz")),
        ("refused-id-of-another-thing", &join.replace("ws_", "org_")),
        ("refused-instance-in-upper-case", &hello.replace("89abcdef", "89ABCDEF")),
        ("refused-version-over-65535", &join.replace(":1,", ":65536,")),
    ] {
        seeds.add("control_to_relay", name, json);
    }
    let welcome = format!(
        r#"{{"kind":"welcome",{v},"software":"r/1","instance":"0123456789abcdef",
        "workspace_id":"{id}","name":"n","generation":3,"public_url":"https://r/agents/a_x/",
        "endpoints":["r:7443"],"ping_interval_ms":5000,"heartbeat_interval_ms":30000}}"#
    );
    let ready =
        format!(r#"{{"kind":"ready",{v},"software":"r/1","lifetime_ms":60000,"calls":16}}"#);
    let refusal = format!(r#"{{"kind":"refusal","code":"SOLAR_FLARE","message":"m",{v}}}"#);
    for (name, json) in [
        ("taken-welcome", &welcome[..]),
        ("taken-refusal-of-a-newer-version", &refusal),
        (
            "taken-certificate",
            r#"{"kind":"certificate","chain":["a"],"public_url":"u","endpoints":[]}"#,
        ),
        ("taken-ready", &ready),
        ("taken-replaced", r#"{"kind":"replaced","by":"0123456789abcdef"}"#),
        ("refused-code-no-text", &refusal.replace("\"SOLAR_FLARE\"", "7")),
        ("refused-kind-of-the-connector", r#"{"kind":"hello"}"#),
        ("taken-paused", r#"{"kind":"paused","paused":true}"#),
        ("refused-paused-no-flag", r#"{"kind":"paused","paused":"yes","message":""}"#),
    ] {
        seeds.add("control_to_connector", name, json);
    }
}

fn exposure(seeds: &mut Seeds) {
    let list = r#"{"endpoint":"/a2a","rules":[{"exact":"/x"},{"below":"/b/"},{"http-json":"/h"}]}"#;
    let open = r#"{"rules":[{"below":"/"},{"glob":"/*"}]}"#;
    for (name, path) in [
        ("taken-endpoint", "/a2a"),
        ("taken-below", "/b"),
        ("taken-below-deep", "/b/c/d%20e/"),
        ("taken-send", "/h/v1/message:send"),
        ("taken-stream", "/h/acme/message:stream"),
        ("taken-push-config", "/h/acme/v1/task/1/pushNotificationConfigs/2"),
        ("taken-version-and-tenant", "/h/v1/acme/card"),
        ("taken-extended-card", "/h/extendedAgentCard"),
        ("refused-beyond-exact", "/xy"),
        ("refused-below-a-longer-name", "/bc"),
        ("refused-longer-base", "/hh/tasks"),
        ("refused-empty-task", "/h/tasks/"),
        ("refused-empty-push-config", "/h/tasks/1/pushNotificationConfigs/"),
        ("refused-two-tenants", "/h/a/b/tasks"),
    ] {
        seeds.add("exposure", name, format!("{path}\n{list}"));
    }
    for (name, path) in [
        ("taken-encoded-twice", "/%252e%252e/%25%32"),
        ("taken-parameter", "/a;b/;c"),
        ("refused-empty-path", ""),
        ("refused-dot", "/./a"),
        ("refused-dots", "/a/.."),
        ("refused-encoded-dots", "/a/%2E%2e/b"),
        ("refused-dots-with-a-parameter", "/a/..;x/b"),
        ("refused-dots-with-an-encoded-parameter", "/a/.%2E%3Bx/b"),
        ("refused-empty-segment", "/a//b"),
        ("refused-backslash", "/a\\b"),
        ("refused-encoded-backslash", "/a%5Cb"),
        ("refused-encoded-slash", "/a%2Fb"),
        ("refused-encoded-nul", "/a%00b"),
        ("refused-nul", "/a\0b"),
        ("refused-query", "/a?b"),
        ("refused-fragment", "/a#b"),
    ] {
        seeds.add("exposure", name, format!("{path}\n{open}"));
    }
    let rules =
        |count: usize| format!(r#"{{"rules":[{}]}}"#, vec![r#"{"exact":"/x"}"#; count].join(","));
    for (name, input) in [
        ("taken-all", "/a/../b\n{\"all\":true}".to_owned()),
        ("refused-all-without-a-slash", "a\n{\"all\":true}".into()),
        ("refused-nothing-exposed", "/\n{}".into()),
        ("refused-rule-of-a-newer-version", "/x\n{\"rules\":[{\"exact\":\"/x\",\"m\":1}]}".into()),
        ("refused-tenant-with-a-query", "/a?b/tasks\n{\"rules\":[{\"http-json\":\"/\"}]}".into()),
        ("refused-rule-twice", "/b\n{\"rules\":[{\"exact\":\"/a\",\"exact\":\"/b\"}]}".into()),
        ("refused-rules-no-list", "/\n{\"rules\":1}".into()),
        ("taken-256-rules", format!("/x\n{}", rules(256))),
        ("taken-257-rules", format!("/x\n{}", rules(257))),
    ] {
        seeds.add("exposure", name, input);
    }
}

/// Messages as the relay reads them: an `AgentCard` of A2A 1.0, and what breaks the encoding.
fn protobuf(seeds: &mut Seeds) {
    let field = |number: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).expect("a short field");
        [&[number << 3 | 2, length], content].concat()
    };
    let interface = |url: &str, binding: &str| {
        let parts = [field(1, url.as_bytes()), field(2, binding.as_bytes())].concat();
        field(3, &parts)
    };
    let card = [
        field(1, b"Echo"),
        interface("http://localhost:8000/a2a", "JSONRPC"),
        interface("localhost:10000", "GRPC"),
        field(13, b"\x0a\x01x"),
        field(14, b"http://localhost:8000/icon.png"),
    ]
    .concat();
    seeds.add("protobuf", "taken-card", card.clone());
    seeds.add("protobuf", "taken-nothing", []);
    let all_wires = [&[0x08, 0xac, 0x02][..], &[0x11; 9], &[0x1a, 1, 7], &[0x25; 5]].concat();
    seeds.add("protobuf", "taken-every-wire-type", all_wires);
    let largest = [&[0x08][..], &[0xff; 9], &[0x01]].concat();
    seeds.add("protobuf", "taken-largest-number", largest);
    seeds.add("protobuf", "taken-number-longer-than-needed", [0x08, 0x81, 0x80, 0x00]);
    seeds.add("protobuf", "taken-tag-longer-than-needed", [0x88, 0x00, 0x07]);
    seeds.add("protobuf", "refused-number-of-65-bits", [&[0x08][..], &[0xff; 9], &[0x02]].concat());
    seeds.add("protobuf", "refused-number-of-eleven-bytes", [&[0x08][..], &[0x80; 11]].concat());
    seeds.add("protobuf", "refused-number-cut", [0x08, 0x80]);
    seeds.add("protobuf", "refused-tag-cut", [0x80]);
    seeds.add("protobuf", "refused-field-0", [0x02, 0x00]);
    seeds.add("protobuf", "refused-group", [0x0b, 0x0c]);
    seeds.add("protobuf", "refused-wire-type-7", [0x0f, 0x00]);
    seeds.add("protobuf", "refused-eight-bytes-cut", [&[0x11][..], &[0; 7]].concat());
    seeds.add("protobuf", "refused-four-bytes-cut", [&[0x15][..], &[0; 3]].concat());
    seeds.add("protobuf", "refused-card-cut", card[..card.len() - 1].to_vec());
    let endless = [&[0x0a][..], &[0xff; 9], &[0x01]].concat();
    seeds.add("protobuf", "refused-length-beyond-memory", endless);
}
