//! Holds `PROTOCOL.md` against the code: its tables, its JSON and its bytes.

#[cfg(test)]
mod protocol_document {
    use std::collections::BTreeMap;
    use std::fmt::Debug;
    use std::time::Duration;

    use bytes::{Bytes, BytesMut};
    use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
    use serde_json::Value;
    use shared::codes::{AbortCode, CloseCode, Delivery, RefusalCode, StreamCode};
    use shared::control::{Message, ToConnector, ToRelay};
    use shared::exposure::{CARD_PATHS, Exposure, Rule};
    use shared::ids::{ExchangeId, InstanceId};
    use shared::limits;
    use shared::wire::{
        Abort, Ack, Binding, Frame, FrameKind, FrameReader, RequestHead, ResponseHead, Target,
        fields,
    };

    const DOCUMENT: &str = include_str!("../PROTOCOL.md");

    /// The cells of the first table behind a heading, without its head.
    fn table(heading: &str) -> Vec<Vec<&'static str>> {
        let (_, text) = DOCUMENT.split_once(&format!("\n### {heading}\n")).expect(heading);
        text.lines()
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'))
            .skip(2)
            .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect()
    }

    fn number(cell: &str) -> u64 {
        match cell.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
            None => cell.parse().unwrap(),
        }
    }

    /// What stands in the fenced blocks of this kind.
    fn blocks(kind: &str) -> Vec<&'static str> {
        let fence = format!("\n```{kind}\n");
        DOCUMENT
            .split(&fence)
            .skip(1)
            .map(|block| block.split_once("\n```").map_or(block, |(block, _)| block))
            .collect()
    }

    fn holds<T: PartialEq + Debug>(heading: &str, written: Vec<T>, right: Vec<T>) {
        assert_eq!(written, right, "the table behind «{heading}»");
    }

    #[test]
    fn frame_kinds_are_those_of_the_code() {
        let heading = "Frame kinds";
        let written =
            table(heading).into_iter().map(|row| (number(row[0]), row[1], number(row[2])));
        let right = FrameKind::ALL.iter().map(|k| (k.number().into(), k.name(), k.bytes_max()));
        holds(heading, written.collect(), right.collect());
    }

    #[test]
    fn codes_are_those_of_the_code() {
        let pairs = |heading| -> Vec<(u64, &str)> {
            table(heading).into_iter().map(|row| (number(row[0]), row[1])).collect()
        };
        let right = StreamCode::ALL.iter().map(|code| (code.number().into(), code.name()));
        holds("Stream codes", pairs("Stream codes"), right.collect());
        let right = CloseCode::ALL.iter().map(|code| (code.number().into(), code.name()));
        holds("Close codes", pairs("Close codes"), right.collect());
        let right = AbortCode::ALL.iter().map(|code| (code.number().into(), code.name()));
        holds("Abort codes", pairs("Abort codes"), right.collect());
        let states = (0..).map_while(Delivery::from_number);
        let right = states.map(|state| (state.number().into(), state.name()));
        holds("Delivery states", pairs("Delivery states"), right.collect());
    }

    /// The codes as the document has them are known, and an invented one is not; that none is
    /// missing from the document shows in the source.
    #[test]
    fn refusal_codes_are_those_of_the_code() {
        let rows = table("Refusal codes");
        for row in &rows {
            let code: RefusalCode = serde_json::from_value(row[0].into()).unwrap();
            assert!(!matches!(code, RefusalCode::Other(_)), "{} is unknown", row[0]);
            assert_eq!(row[1], if code.is_final() { "yes" } else { "no" }, "{}", row[0]);
        }
        let source = include_str!("../src/codes.rs");
        let (_, body) = source.split_once("pub enum RefusalCode {").unwrap();
        let (body, _) = body.split_once("\n}").unwrap();
        let variants = body.lines().filter(|line| {
            line.trim().ends_with(',') && !line.trim().starts_with('/') && !line.contains('(')
        });
        assert_eq!(rows.len(), variants.count());
    }

    #[test]
    fn the_static_header_table_is_that_of_the_code() {
        let rows = table("Static header table");
        for (index, row) in rows.iter().enumerate() {
            let place = u8::try_from(index + 1).unwrap();
            assert_eq!(row[0], place.to_string());
            let read = fields::take(&mut Bytes::from(vec![1, place, 1, b'v'])).unwrap();
            let mut right = HeaderMap::new();
            right.append(HeaderName::from_static(row[1]), HeaderValue::from_static("v"));
            assert_eq!(read, right, "number {place}");
        }
        let behind = u8::try_from(rows.len() + 1).unwrap();
        assert!(fields::take(&mut Bytes::from(vec![1, behind, 0])).is_err());
    }

    #[test]
    fn limits_are_those_of_the_code() {
        let seconds = |time: Duration| time.as_secs();
        let right: Vec<(&str, u64)> = vec![
            ("CONTROL_BYTES_MAX", limits::CONTROL_BYTES_MAX as u64),
            ("HEADER_LIST_BYTES_MAX", limits::HEADER_LIST_BYTES_MAX as u64),
            ("HEADER_FIELDS_MAX", limits::HEADER_FIELDS_MAX as u64),
            ("URI_BYTES_MAX", limits::URI_BYTES_MAX as u64),
            ("METHOD_BYTES_MAX", limits::METHOD_BYTES_MAX as u64),
            ("HEAD_BYTES_MAX", limits::HEAD_BYTES_MAX as u64),
            ("END_BYTES_MAX", limits::END_BYTES_MAX as u64),
            ("ABORT_BYTES_MAX", limits::ABORT_BYTES_MAX as u64),
            ("DATA_BYTES_MAX", limits::DATA_BYTES_MAX),
            ("ACKS_PER_FRAME_MAX", limits::ACKS_PER_FRAME_MAX as u64),
            ("ASIDES_MAX", limits::ASIDES_MAX as u64),
            ("EXPOSURE_RULES_MAX", limits::EXPOSURE_RULES_MAX as u64),
            ("ALSO_MAX", limits::ALSO_MAX as u64),
            ("FIRST_CREDIT", limits::FIRST_CREDIT),
            ("FIRST_CREDIT_CROWDED", limits::FIRST_CREDIT_CROWDED),
            ("CROWDED_EXCHANGES", limits::CROWDED_EXCHANGES as u64),
            ("CREDIT_MAX", limits::CREDIT_MAX),
            ("LINK_CREDIT_MAX", limits::LINK_CREDIT_MAX),
            ("QUIC_CONNECTION_WINDOW", limits::QUIC_CONNECTION_WINDOW.into()),
            ("QUIC_STREAM_WINDOW", limits::QUIC_STREAM_WINDOW.into()),
            ("IN_FLIGHT_MAX", limits::IN_FLIGHT_MAX as u64),
            ("OUTBOUND_MAX", limits::OUTBOUND_MAX.into()),
            ("CONNECTOR_STREAMS_MAX", limits::CONNECTOR_STREAMS_MAX.into()),
            ("CONTINUE_TIMEOUT", seconds(limits::CONTINUE_TIMEOUT)),
            ("KEPT_ANSWERS_MAX", limits::KEPT_ANSWERS_MAX as u64),
            ("IDLE_TIMEOUT", seconds(limits::IDLE_TIMEOUT)),
            ("PING_INTERVAL", seconds(limits::PING_INTERVAL)),
            ("HEARTBEAT_INTERVAL", seconds(limits::HEARTBEAT_INTERVAL)),
            ("OFFLINE_AFTER", seconds(limits::OFFLINE_AFTER)),
            ("HANDSHAKE_TIMEOUT", seconds(limits::HANDSHAKE_TIMEOUT)),
            ("LINK_WRITE_TIMEOUT", seconds(limits::LINK_WRITE_TIMEOUT)),
            ("IDLE_EXCHANGE_TIMEOUT", seconds(limits::IDLE_EXCHANGE_TIMEOUT)),
            ("ANSWER_HEAD_TIMEOUT", seconds(limits::ANSWER_HEAD_TIMEOUT)),
        ];
        let rows = table("Limits");
        holds("Limits", rows.iter().map(|row| (row[0], number(row[1]))).collect(), right);
        assert!(rows.iter().all(|row| row.len() == 4 && row.iter().all(|cell| !cell.is_empty())));

        let named = include_str!("../src/limits.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("pub const ")?.split_once(':'))
            .map(|(name, _)| name)
            .filter(|name| !name.starts_with("ALPN") && !name.starts_with("VERSION"));
        holds("Limits", rows.iter().map(|row| row[0]).collect(), named.collect());
    }

    #[test]
    fn names_in_the_text_are_those_of_the_code() {
        let alpn = |name: &[u8]| format!("`{}`", std::str::from_utf8(name).unwrap());
        let (both, offer) = (alpn(limits::ALPN), alpn(limits::ALPN_REFUSAL));
        assert!(DOCUMENT.contains(&format!("offers {both} and {offer}")));
        let version = format!("version {}.{}", limits::VERSION_MAJOR, limits::VERSION_MINOR);
        assert!(DOCUMENT.lines().next().unwrap().ends_with(&version));
        assert_eq!(shared::ids::OUTBOUND_COUNTER_MIN, 1 << 61);
        assert!(DOCUMENT.contains("counts from 2^61"));
        assert!(CARD_PATHS.iter().all(|path| DOCUMENT.contains(&format!("`{path}`"))));
        for (key, rule) in [
            ("exact", Rule::Exact(String::new())),
            ("below", Rule::Below(String::new())),
            ("http-json", Rule::HttpJson(String::new())),
        ] {
            assert!(DOCUMENT.contains(&format!("`{{\"{key}\": P}}`")));
            assert_eq!(serde_json::to_value(rule).unwrap(), serde_json::json!({ key: "" }));
        }
        for operation in DOCUMENT
            .lines()
            .find(|line| line.starts_with("| `{\"http-json\""))
            .and_then(|line| line.split_once("behind it: "))
            .map(|(_, list)| list.split('`').skip(1).step_by(2).take_while(|name| *name != "task"))
            .unwrap()
        {
            let rules = vec![Rule::HttpJson("/P".into())];
            let list = Exposure { rules, ..Exposure::default() };
            for path in ["", "v1/", "tenant/", "tenant/v1/"] {
                assert!(list.allows(&format!("/P/{path}{operation}")), "{path}{operation}");
                let short = operation.replace("tasks", "task");
                assert!(list.allows(&format!("/P/{path}{short}")), "{path}{short}");
            }
        }
    }

    #[test]
    fn every_control_message_has_an_example_that_says_all_that_it_can() {
        examples::<ToRelay>("to-relay");
        examples::<ToConnector>("to-connector");
    }

    fn examples<M: Message + Debug>(direction: &str) {
        let mut examples = BTreeMap::new();
        for json in blocks(&format!("json {direction}")) {
            let message = M::decode(json.as_bytes()).unwrap_or_else(|e| panic!("{e} in {json}"));
            let again: Value = serde_json::from_slice(&message.encode().unwrap()).unwrap();
            let written: Value = serde_json::from_str(json).unwrap();
            let kind = written["kind"].as_str().unwrap().to_owned();
            for (field, value) in written.as_object().unwrap() {
                let known = again.get(field).unwrap_or_else(|| panic!("{kind} has no {field}"));
                let part = value.is_object();
                assert!(part || value == known, "{kind}: {field}");
            }
            for field in again.as_object().unwrap().keys() {
                assert!(written.get(field).is_some(), "{kind} has {field}, too");
            }
            examples.insert(kind, ());
        }
        let mut kinds: Vec<&str> = M::KINDS.to_vec();
        kinds.sort_unstable();
        assert_eq!(examples.keys().map(String::as_str).collect::<Vec<_>>(), kinds);
    }

    /// Every field of the code stands in a row of some table of fields.
    #[test]
    fn every_field_of_a_long_message_has_its_row() {
        for json in [blocks("json to-relay"), blocks("json to-connector")].concat() {
            let message: Value = serde_json::from_str(json).unwrap();
            let kind = message["kind"].as_str().unwrap();
            if ["hello", "join", "heartbeat", "welcome", "refusal"].contains(&kind) {
                for field in message.as_object().unwrap().keys().filter(|field| *field != "kind") {
                    assert!(DOCUMENT.contains(&format!("\n| `{field}` | ")), "{kind}: {field}");
                }
            }
        }
    }

    #[test]
    fn the_bytes_of_the_example_are_what_the_code_writes() {
        let mut request_fields = HeaderMap::new();
        request_fields.append("content-type", HeaderValue::from_static("application/json"));
        request_fields.append("a2a-version", HeaderValue::from_static("1.0"));
        let mut answer_fields = HeaderMap::new();
        answer_fields.append("x-answer", HeaderValue::from_static("42"));
        let no_trailers = HeaderMap::new;
        let head = RequestHead {
            exchange: ExchangeId { instance: InstanceId(0x0102_0304_0506_0708), counter: 5 },
            target: Target::Endpoint,
            binding: Binding::JsonRpc,
            has_body: true,
            method: Method::POST,
            query: None,
            request_credit: limits::FIRST_CREDIT,
            response_credit: limits::FIRST_CREDIT,
            fields: request_fields,
            head_timeout_ms: Some(30_000),
        };
        let answer = ResponseHead { status: StatusCode::OK, fields: answer_fields };
        for (block, frames) in [
            (
                "request",
                vec![
                    Frame::RequestHead(Box::new(head)),
                    Frame::Data(Bytes::from_static(b"{}")),
                    Frame::End { total: 2, trailers: no_trailers() },
                ],
            ),
            (
                "answer",
                vec![
                    Frame::ResponseHead(Box::new(answer)),
                    Frame::Data(Bytes::from_static(b"ok")),
                    Frame::End { total: 2, trailers: no_trailers() },
                ],
            ),
            ("control", vec![Frame::Done(vec![5])]),
            (
                "acks",
                vec![Frame::Acks(vec![Ack {
                    exchange: 5,
                    offset: 40_000,
                    limit: 40_000 + 128 * 1024,
                }])],
            ),
            (
                "abort",
                vec![Frame::Abort(Abort {
                    code: AbortCode::UpstreamRefused,
                    delivery: Delivery::NotSent,
                    message: "Nobody listens on port 8000.".into(),
                })],
            ),
        ] {
            let mut right = BytesMut::new();
            frames.iter().for_each(|frame| frame.put(&mut right));
            let right: String = right.iter().map(|byte| format!("{byte:02x} ")).collect();
            let written = blocks(&format!("hex {block}"))
                .concat()
                .lines()
                .flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
                .map(|byte| format!("{byte} "))
                .collect::<String>();
            assert_eq!(written, right, "the block «hex {block}»");

            let bytes: Vec<u8> = written
                .split_whitespace()
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect();
            let mut bytes = Bytes::from(bytes);
            let mut reader = FrameReader::default();
            let mut read = Vec::new();
            while let Some(frame) = reader.next(&mut bytes).unwrap() {
                read.push(frame);
            }
            assert_eq!(read, frames);
        }
    }
}
