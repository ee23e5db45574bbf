//! Any head, any frame, any control message.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::codes::{AbortCode, Delivery, RefusalCode, StreamCode};
use shared::control::{Hello, Refusal, Status, ToConnector, ToRelay, Version, Welcome};
use shared::exposure::{Exposure, Rule};
use shared::ids::{ExchangeId, Generation, InstanceId, WorkspaceId};
use shared::limits::CREDIT_MAX;
use shared::secret::Secret;
use shared::wire::{Abort, Ack, Binding, Frame, RequestHead, ResponseHead, Target, varint};

/// Sizes of the pieces in which a stream arrives.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![Just(1), 1..10_usize, 1..5_000_usize], 1..8)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..200_u64, 0..1_u64 << 31, 0..=varint::MAX]
}

/// A header list within its limits, common and uncommon names mixed, some of them repeated.
pub(crate) fn header_map() -> impl Strategy<Value = HeaderMap> {
    let name = prop_oneof![
        prop::sample::select(vec!["accept", "content-type", "set-cookie", "x-request-id", "via"])
            .prop_map(HeaderName::from_static),
        "[a-z0-9!#$%&'*+.^_`|~-]{1,30}"
            .prop_map(|name| HeaderName::from_lowercase(name.as_bytes()).unwrap()),
    ];
    let value = vec(prop_oneof![Just(b'\t'), b' '..=b'~', 0x80..=0xff_u8], 0..60)
        .prop_map(|value| HeaderValue::from_bytes(&value).unwrap());
    vec((name, value), 0..40).prop_map(|fields| {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name, value);
        }
        map
    })
}

pub(crate) fn request_head() -> impl Strategy<Value = RequestHead> {
    let target = prop_oneof![
        Just(Target::Endpoint),
        Just(Target::Card),
        "/[!-\"$->@-~é]{0,40}".prop_map(Target::Raw),
    ];
    let binding = prop_oneof![Just(Binding::JsonRpc), Just(Binding::HttpJson), Just(Binding::Grpc)];
    let method = prop_oneof![
        Just(Method::POST),
        "[A-Za-z!#$%&'*+.^_`|~-]{1,24}".prop_map(|m| Method::from_bytes(m.as_bytes()).unwrap()),
    ];
    let query = option::of("[!-\"$-~ü]{0,40}");
    let credits = (0..=CREDIT_MAX, 0..=CREDIT_MAX);
    let rest = (any::<bool>(), credits, header_map(), option::of(number()));
    ((exchange(), target, binding), method, query, rest).prop_map(
        |((exchange, target, binding), method, query, (has_body, credits, fields, timeout))| {
            RequestHead {
                exchange,
                target,
                binding,
                has_body,
                method,
                query,
                request_credit: credits.0,
                response_credit: credits.1,
                fields,
                head_timeout_ms: timeout,
            }
        },
    )
}

fn exchange() -> impl Strategy<Value = ExchangeId> {
    (any::<u64>(), number())
        .prop_map(|(instance, counter)| ExchangeId { instance: InstanceId(instance), counter })
}

pub(crate) fn response_head() -> impl Strategy<Value = ResponseHead> {
    head_of(200..=999)
}

fn head_of(status: std::ops::RangeInclusive<u16>) -> impl Strategy<Value = ResponseHead> {
    (status, header_map()).prop_map(|(status, fields)| {
        let status = StatusCode::from_u16(status).unwrap();
        ResponseHead { status, fields }
    })
}

/// Any frame of any stream.
pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    let bytes = |max| vec(any::<u8>(), 1..max).prop_map(bytes::Bytes::from);
    let stream_code = || prop::sample::select(StreamCode::ALL);
    let ack = (number(), number(), number()).prop_map(|(exchange, a, b)| Ack {
        exchange,
        offset: a.min(b),
        limit: a.max(b),
    });
    let delivery =
        prop::sample::select(vec![Delivery::NotSent, Delivery::Maybe, Delivery::Delivered]);
    let abort = (prop::sample::select(AbortCode::ALL), delivery, "\\PC{0,200}")
        .prop_map(|(code, delivery, message)| Frame::Abort(Abort { code, delivery, message }));
    prop_oneof![
        request_head().prop_map(|head| Frame::RequestHead(Box::new(head))),
        response_head().prop_map(|head| Frame::ResponseHead(Box::new(head))),
        head_of(102..=199).prop_map(|head| Frame::Interim(Box::new(head))),
        bytes(20_000).prop_map(Frame::Data),
        (number(), header_map()).prop_map(|(total, trailers)| Frame::End { total, trailers }),
        Just(Frame::Accepted),
        abort,
        stream_code().prop_map(Frame::Stop),
        stream_code().prop_map(Frame::Reset),
        (exchange(), any::<bool>(), number()).prop_map(|(exchange, has_head, response_offset)| {
            Frame::Continue { exchange, has_head, response_offset }
        }),
        (any::<bool>(), number()).prop_map(|(request_over, request_offset)| {
            Frame::Continued { request_over, request_offset }
        }),
        bytes(30_000).prop_map(Frame::Control),
        vec(ack, 0..100).prop_map(Frame::Acks),
        vec(number(), 0..100).prop_map(Frame::Done),
    ]
}

/// Any JSON, numbers included that only some parsers keep.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,8}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn instance() -> impl Strategy<Value = InstanceId> {
    any::<u64>().prop_map(InstanceId)
}

fn workspace() -> impl Strategy<Value = WorkspaceId> {
    any::<u128>().prop_map(|id| WorkspaceId::new(ulid::Ulid(id)))
}

fn version() -> impl Strategy<Value = Version> {
    any::<(u16, u16)>().prop_map(|(major, minor)| Version { major, minor })
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,20}"
}

fn exposure() -> impl Strategy<Value = Exposure> {
    let rule = prop_oneof![
        text().prop_map(Rule::Exact),
        text().prop_map(Rule::Below),
        text().prop_map(Rule::HttpJson),
        Just(Rule::Unknown),
    ];
    (any::<bool>(), text(), vec(rule, 0..6)).prop_map(|(all, endpoint, rules)| Exposure {
        all,
        endpoint,
        rules,
    })
}

fn status() -> impl Strategy<Value = Status> {
    let numbers = (prop::num::f64::NORMAL | prop::num::f64::ZERO, any::<u32>(), any::<u64>());
    (numbers, (text(), text(), text()), json(), option::of(any::<bool>())).prop_map(
        |(numbers, (current_task, sample_error, runtime_state), runtime_metadata, local_agent)| {
            Status {
                error_rate: numbers.0,
                active_tasks: numbers.1,
                current_task,
                uptime_seconds: numbers.2,
                sample_error,
                runtime_state,
                runtime_metadata,
                local_agent,
            }
        },
    )
}

/// Any message of a connector.
pub(crate) fn to_relay() -> impl Strategy<Value = ToRelay> {
    let hello = (
        (version(), text(), instance(), any::<u64>(), option::of(workspace())),
        (
            option::of(text().prop_map(Secret::new)),
            exposure(),
            text(),
            vec(text(), 0..3),
            json(),
            status(),
            any::<bool>(),
        ),
    )
        .prop_map(|((version, software, instance, attempt, workspace_id), rest)| {
            let (token, exposure, origin, also, card, status, beats_itself) = rest;
            ToRelay::Hello(Box::new(Hello {
                version,
                software,
                instance,
                attempt,
                workspace_id,
                token,
                exposure,
                origin,
                also,
                card,
                status,
                beats_itself,
            }))
        });
    let join =
        (version(), workspace(), text(), text()).prop_map(|(version, workspace_id, token, csr)| {
            ToRelay::Join { version, workspace_id, token, csr }
        });
    prop_oneof![
        hello,
        join,
        version().prop_map(|version| ToRelay::Bootstrap { version }),
        text().prop_map(|csr| ToRelay::Renew { csr }),
        status().prop_map(|status| ToRelay::Heartbeat(Box::new(status))),
        json().prop_map(|card| ToRelay::Card { card }),
        exposure().prop_map(|exposure| ToRelay::Exposure { exposure }),
        any::<u64>().prop_map(|seq| ToRelay::Ping { seq }),
        any::<u64>().prop_map(|seq| ToRelay::Pong { seq }),
        any::<u64>().prop_map(|last_exchange| ToRelay::Drain { last_exchange }),
        text().prop_map(|what| ToRelay::Unsupported { what }),
    ]
}

/// Any message of a relay.
pub(crate) fn to_connector() -> impl Strategy<Value = ToConnector> {
    let welcome = (
        (version(), text(), instance(), workspace(), text()),
        (any::<u64>(), (text(), option::of(text())), vec(text(), 0..4), any::<u64>(), any::<u64>()),
    )
        .prop_map(|((version, software, instance, workspace_id, name), rest)| {
            let (generation, urls, endpoints, ping_interval_ms, heartbeat_interval_ms) = rest;
            let (public_url, host_url) = urls;
            ToConnector::Welcome(Box::new(Welcome {
                version,
                software,
                instance,
                workspace_id,
                name,
                generation: Generation(generation),
                public_url,
                host_url,
                endpoints,
                ping_interval_ms,
                heartbeat_interval_ms,
            }))
        });
    let code = prop_oneof![
        prop::sample::select(vec![RefusalCode::Version, RefusalCode::JoinUsed]),
        "[A-Z]{1,4}X[A-Z]{1,4}".prop_map(RefusalCode::Other),
    ];
    let refusal = (code, text(), version(), option::of(any::<u64>())).prop_map(
        |(code, message, version, retry_after_ms)| {
            ToConnector::Refusal(Refusal { code, message, version, retry_after_ms })
        },
    );
    let ready = (version(), text(), any::<u64>(), any::<u64>()).prop_map(
        |(version, software, lifetime_ms, calls)| ToConnector::Ready {
            version,
            software,
            lifetime_ms,
            calls,
        },
    );
    let certificate = (vec(text(), 0..3), text(), vec(text(), 0..4)).prop_map(
        |(chain, public_url, endpoints)| ToConnector::Certificate { chain, public_url, endpoints },
    );
    prop_oneof![
        welcome,
        refusal,
        certificate,
        ready,
        any::<u64>().prop_map(|seq| ToConnector::Ping { seq }),
        any::<u64>().prop_map(|seq| ToConnector::Pong { seq }),
        (text(), option::of(text()))
            .prop_map(|(public_url, host_url)| ToConnector::PublicUrl { public_url, host_url }),
        (any::<bool>(), text())
            .prop_map(|(paused, message)| ToConnector::Paused { paused, message }),
        any::<u64>().prop_map(|grace_ms| ToConnector::Drain { grace_ms }),
        any::<u64>().prop_map(|reconnect_in_ms| ToConnector::Restarting { reconnect_in_ms }),
        instance().prop_map(|by| ToConnector::Replaced { by }),
        text().prop_map(|message| ToConnector::Revoked { message }),
        text().prop_map(|what| ToConnector::Unsupported { what }),
    ]
}
