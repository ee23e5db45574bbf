//! What holds of the protocol whatever crosses it: frames, messages, their order, a newer peer.

#[cfg(test)]
#[path = "properties/arbitrary.rs"]
mod arbitrary;

#[cfg(test)]
mod properties {
    use bytes::{Bytes, BytesMut};
    use http::HeaderMap;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use serde_json::{Value, json};
    use shared::control::{ControlError, Message, ToConnector, ToRelay};
    use shared::exposure::Exposure;
    use shared::wire::{
        Direction, Frame, FrameKind, FrameReader, MessageReader, RequestHead, WireError, acks,
        fields, varint,
    };

    use crate::arbitrary::{
        cuts, frame, header_map, request_head, response_head, to_connector, to_relay,
    };

    fn encoded<'f>(frames: impl IntoIterator<Item = &'f Frame>) -> Bytes {
        let mut out = BytesMut::new();
        for frame in frames {
            frame.put(&mut out);
        }
        out.freeze()
    }

    /// The stream in pieces of these sizes, over and over.
    fn pieces(mut stream: Bytes, sizes: &[usize]) -> Vec<Bytes> {
        let mut parts = Vec::new();
        for size in sizes.iter().cycle() {
            if stream.is_empty() {
                break;
            }
            parts.push(Bytes::copy_from_slice(&stream.split_to((*size).min(stream.len()))));
        }
        parts
    }

    /// Adds a frame, and DATA to the DATA before it.
    fn push(frames: &mut Vec<Frame>, frame: Frame) {
        match (frames.last_mut(), frame) {
            (Some(Frame::Data(sofar)), Frame::Data(more)) => {
                *sofar = [&sofar[..], &more[..]].concat().into();
            }
            (_, frame) => frames.push(frame),
        }
    }

    /// Reads a whole message; the limit of its body grows to `grant` as soon as its head has come.
    fn read_message(
        direction: Direction,
        grant: u64,
        stream: Bytes,
        sizes: &[usize],
    ) -> Result<Vec<Frame>, WireError> {
        let mut reader = MessageReader::new(direction, grant);
        let mut frames = Vec::new();
        for mut part in pieces(stream, sizes) {
            while let Some(frame) = reader.next(&mut part)? {
                reader.allow(grant);
                push(&mut frames, frame);
            }
        }
        reader.end_of_stream().map(|()| frames)
    }

    fn body_bytes(frames: &[Frame]) -> u64 {
        frames.iter().map(|f| if let Frame::Data(bytes) = f { bytes.len() as u64 } else { 0 }).sum()
    }

    /// One whole request or answer, in order.
    fn message() -> impl Strategy<Value = (Direction, Vec<Frame>)> {
        let data = || prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6);
        let request = (request_head(), data(), header_map()).prop_map(|(head, data, trailers)| {
            let data = if head.has_body { data } else { Vec::new() };
            let begin = vec![Frame::RequestHead(Box::new(head))];
            (Direction::Request, begin, data, trailers)
        });
        let early = prop::collection::vec(
            prop_oneof![
                Just(Frame::Accepted),
                header_map().prop_map(|fields| {
                    let status = http::StatusCode::from_u16(103).unwrap();
                    Frame::Interim(Box::new(shared::wire::ResponseHead { status, fields }))
                })
            ],
            0..3,
        );
        let answer = (early, response_head(), data(), header_map()).prop_map(
            |(mut begin, head, data, trailers)| {
                begin.push(Frame::ResponseHead(Box::new(head)));
                (Direction::Response, begin, data, trailers)
            },
        );
        prop_oneof![request, answer].prop_map(|(direction, begin, data, trailers)| {
            let mut frames = begin;
            frames.extend(data.into_iter().map(|bytes| Frame::Data(bytes.into())));
            frames.push(Frame::End { total: body_bytes(&frames), trailers });
            (direction, frames)
        })
    }

    fn is_head(frame: &Frame) -> bool {
        matches!(frame.kind(), FrameKind::RequestHead | FrameKind::ResponseHead)
    }

    /// One way to break a message.
    #[derive(Debug, Clone)]
    enum Violation {
        CutStream(Index),
        UnknownKind(u8),
        TooLong(Index),
        EmptyData,
        WrongTotal(i8),
        OverTheCredit,
        TwoHeads,
        NoHead,
        FrameAfterEnd(Box<Frame>),
        FrameOfTheOtherDirection,
        FrameOfTheControlStream(Index),
        DataWithoutABody,
    }

    fn violation() -> impl Strategy<Value = Violation> {
        let known = |kind: &u8| FrameKind::from_number(*kind).is_none();
        prop_oneof![
            any::<Index>().prop_map(Violation::CutStream),
            any::<u8>().prop_filter("a known kind", known).prop_map(Violation::UnknownKind),
            any::<Index>().prop_map(Violation::TooLong),
            Just(Violation::EmptyData),
            any::<i8>().prop_filter("no change", |by| *by != 0).prop_map(Violation::WrongTotal),
            Just(Violation::OverTheCredit),
            Just(Violation::TwoHeads),
            Just(Violation::NoHead),
            frame()
                .prop_filter("may come", |frame| frame.kind() != FrameKind::Stop)
                .prop_map(|frame| Violation::FrameAfterEnd(Box::new(frame))),
            Just(Violation::FrameOfTheOtherDirection),
            any::<Index>().prop_map(Violation::FrameOfTheControlStream),
            Just(Violation::DataWithoutABody),
        ]
    }

    /// The broken message, the credit it is read with, and the error that must come.
    fn broken(
        direction: Direction,
        mut frames: Vec<Frame>,
        violation: Violation,
    ) -> (Bytes, u64, WireError) {
        let ample = 1 << 20;
        let body = body_bytes(&frames);
        let head = frames.iter().position(is_head).unwrap();
        let last = frames.len() - 1;
        let unexpected = WireError::Unexpected;
        match violation {
            Violation::CutStream(at) => {
                let stream = encoded(&frames);
                (stream.slice(..at.index(stream.len())), ample, WireError::Cut)
            }
            Violation::UnknownKind(kind) => {
                let stream = [&encoded(&frames)[..], &[kind]].concat().into();
                (stream, ample, WireError::UnknownKind(kind))
            }
            Violation::TooLong(at) => {
                let kind = FrameKind::ALL[at.index(FrameKind::ALL.len())];
                let length = kind.bytes_max() + 1;
                let mut stream = encoded(&frames[..last]).to_vec();
                stream.push(kind.number());
                varint::put(&mut stream, length);
                (stream.into(), ample, WireError::TooLong { kind, length })
            }
            Violation::EmptyData => {
                let stream = [&encoded(&frames[..last])[..], &[3, 0]].concat().into();
                let kind = FrameKind::Data;
                (stream, ample, WireError::Malformed { kind, what: "no bytes" })
            }
            Violation::WrongTotal(by) => {
                let stated = (body + 200).saturating_add_signed(by.into());
                let stated = if stated == body { body + 1 } else { stated };
                frames[last] = Frame::End { total: stated, trailers: HeaderMap::new() };
                (encoded(&frames), ample, WireError::WrongTotal { stated, received: body })
            }
            Violation::OverTheCredit => {
                frames.truncate(head + 1);
                if let Frame::RequestHead(head) = &mut frames[head] {
                    (head.has_body, head.request_credit) = (true, 99);
                }
                frames.push(Frame::Data(vec![0; 100].into()));
                (encoded(&frames), 99, WireError::CreditExceeded(99))
            }
            Violation::TwoHeads => {
                let again = frames[head].clone();
                let kind = again.kind();
                frames.insert(head + 1, again);
                (encoded(&frames), ample, unexpected(kind))
            }
            Violation::NoHead => {
                frames.remove(head);
                let kind = frames[head].kind();
                (encoded(&frames), ample, unexpected(kind))
            }
            Violation::FrameAfterEnd(frame) => {
                let kind = frame.kind();
                frames.push(*frame);
                (encoded(&frames), ample, unexpected(kind))
            }
            Violation::FrameOfTheOtherDirection => {
                let wrong = match direction {
                    Direction::Request => Frame::Accepted,
                    Direction::Response => {
                        let instance = shared::ids::InstanceId(1);
                        let exchange = shared::ids::ExchangeId { instance, counter: 1 };
                        Frame::Continue { exchange, has_head: false, response_offset: 0 }
                    }
                };
                let kind = wrong.kind();
                frames.insert(last, wrong);
                (encoded(&frames), ample, unexpected(kind))
            }
            Violation::FrameOfTheControlStream(at) => {
                let wrong = Frame::Control(Bytes::from_static(b"{}"));
                frames.insert(at.index(last), wrong);
                (encoded(&frames), ample, unexpected(FrameKind::Control))
            }
            Violation::DataWithoutABody => {
                frames.truncate(head + 1);
                // An answer says at its end only that it had none.
                let error = match &mut frames[head] {
                    Frame::RequestHead(head) => {
                        head.has_body = false;
                        unexpected(FrameKind::Data)
                    }
                    _ => WireError::WrongTotal { stated: 0, received: 1 },
                };
                frames.push(Frame::Data(Bytes::from_static(b"x")));
                frames.push(Frame::End { total: 0, trailers: HeaderMap::new() });
                (encoded(&frames), ample, error)
            }
        }
    }

    proptest! {
        #[test]
        fn frames_cross_however_they_are_cut(
            frames in prop::collection::vec(frame(), 1..8),
            sizes in cuts(),
        ) {
            let mut reader = FrameReader::default();
            let mut read = Vec::new();
            for mut part in pieces(encoded(&frames), &sizes) {
                while let Some(frame) = reader.next(&mut part).unwrap() {
                    push(&mut read, frame);
                }
            }
            prop_assert!(reader.is_between_frames());
            let mut sent = Vec::new();
            frames.into_iter().for_each(|frame| push(&mut sent, frame));
            prop_assert_eq!(read, sent);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), sizes in cuts()) {
            for direction in [Direction::Request, Direction::Response] {
                let _ = read_message(direction, 50, bytes.clone().into(), &sizes);
            }
            for kind in FrameKind::ALL {
                let _ = Frame::take(*kind, bytes.clone().into());
                let mut whole = vec![kind.number()];
                varint::put(&mut whole, bytes.len() as u64);
                let stream = Bytes::from([&whole[..], &bytes].concat());
                let mut reader = FrameReader::default();
                for mut part in pieces(stream, &sizes) {
                    while let Ok(Some(_)) = reader.next(&mut part) {}
                }
            }
            let _ = fields::take(&mut bytes.clone().into());
            let _ = acks::take_acks(bytes.clone().into());
            let _ = acks::take_done(bytes.clone().into());
            let _ = ToRelay::decode(&bytes);
            let _ = ToConnector::decode(&bytes);
        }

        #[test]
        fn no_text_panics(json in "\\PC{0,80}", path in "\\PC{0,40}", base in "\\PC{0,8}") {
            let _ = ToRelay::decode(json.as_bytes());
            let _ = json.parse::<shared::ids::WorkspaceId>();
            let _ = json.parse::<shared::ids::Address>();
            let _ = json.parse::<shared::ids::Alias>();
            let _ = json.parse::<shared::ids::InstanceId>();
            for rule in ["exact", "below", "http-json"] {
                let list: Exposure =
                    serde_json::from_value(json!({ "rules": [{ rule: base }] })).unwrap();
                let _ = list.allows(&path);
                let _ = list.allows(&format!("{base}{path}"));
            }
        }

        #[test]
        fn a_message_in_order_is_taken((direction, frames) in message(), sizes in cuts()) {
            let mut sent = Vec::new();
            frames.iter().cloned().for_each(|frame| push(&mut sent, frame));
            let read = read_message(direction, body_bytes(&frames), encoded(&frames), &sizes);
            prop_assert_eq!(read, Ok(sent));
        }

        #[test]
        fn a_broken_message_is_refused_for_its_breach(
            (direction, frames) in message(),
            violation in violation(),
            sizes in cuts(),
        ) {
            let (stream, credit, error) = broken(direction, frames, violation);
            prop_assert_eq!(read_message(direction, credit, stream, &sizes), Err(error));
        }

        #[test]
        fn heads_cross(head in request_head(), answer in response_head()) {
            let mut out = Vec::new();
            head.put(&mut out);
            prop_assert_eq!(RequestHead::take(out.into()), Ok(head));
            let mut out = Vec::new();
            answer.put(&mut out);
            prop_assert_eq!(shared::wire::ResponseHead::take(out.into()), Ok(answer));
        }

        #[test]
        fn fields_cross_in_the_order_of_their_repetitions(map in header_map()) {
            prop_assert!(fields::within_limits(&map));
            let mut out = Vec::new();
            fields::put(&mut out, &map);
            prop_assert!(out.len() <= fields::list_bytes(&map) + 2);
            prop_assert_eq!(fields::take(&mut out.into()), Ok(map));
        }

        #[test]
        fn what_a_connector_says_crosses(message in to_relay()) {
            prop_assert_eq!(ToRelay::decode(&message.encode().unwrap()), Ok(message));
        }

        #[test]
        fn what_a_relay_says_crosses(message in to_connector()) {
            prop_assert_eq!(ToConnector::decode(&message.encode().unwrap()), Ok(message));
        }

        #[test]
        fn a_newer_connector_is_understood(message in to_relay(), extra in json_value()) {
            let json = with_unknown_fields(&message.encode().unwrap(), &extra);
            prop_assert_eq!(ToRelay::decode(&json), Ok(message));
        }

        #[test]
        fn a_newer_relay_is_understood(message in to_connector(), extra in json_value()) {
            let json = with_unknown_fields(&message.encode().unwrap(), &extra);
            prop_assert_eq!(ToConnector::decode(&json), Ok(message));
        }

        #[test]
        fn a_newer_kind_is_named(kind in "[a-z-]{1,80}", extra in json_value()) {
            prop_assume!(!ToRelay::KINDS.contains(&&kind[..]));
            prop_assume!(!ToConnector::KINDS.contains(&&kind[..]));
            let json = json!({ "kind": kind, "seq": extra }).to_string();
            let named = ControlError::UnknownKind(kind.chars().take(64).collect());
            prop_assert_eq!(ToRelay::decode(json.as_bytes()), Err(named.clone()));
            prop_assert_eq!(ToConnector::decode(json.as_bytes()), Err(named));
        }

        #[test]
        fn a_newer_head_is_understood(
            head in request_head(),
            answer in response_head(),
            tag in 2..=varint::MAX,
            value in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let mut extension = Vec::new();
            varint::put(&mut extension, tag);
            varint::put(&mut extension, value.len() as u64);
            extension.extend(value);
            let mut out = Vec::new();
            head.put(&mut out);
            out.extend(&extension);
            prop_assert_eq!(RequestHead::take(out.into()), Ok(head));
            let mut out = Vec::new();
            answer.put(&mut out);
            out.extend(&extension);
            prop_assert_eq!(shared::wire::ResponseHead::take(out.into()), Ok(answer));
        }

        #[test]
        fn a_newer_rule_lets_nothing_through(
            kind in "[a-z-]{1,12}",
            value in json_value(),
            path in "(/[a-z.%2e]{0,4}){1,4}",
        ) {
            prop_assume!(!["exact", "below", "http-json"].contains(&&kind[..]));
            let rules = json!([{ kind: value }, { "below": "/", "but": value }, value, path]);
            let list: Exposure = serde_json::from_value(json!({ "rules": rules })).unwrap();
            prop_assert!(!list.allows(&path));
        }
    }

    fn json_value() -> impl Strategy<Value = Value> {
        crate::arbitrary::json()
    }

    /// The same message with a field more in every object that this version gives a meaning to.
    fn with_unknown_fields(json: &[u8], extra: &Value) -> Vec<u8> {
        fn grow(value: &mut Value, extra: &Value) {
            let Value::Object(object) = value else { return };
            for (name, inner) in object.iter_mut() {
                // These belong to the agent; and a rule that says more than is understood is another.
                if !["card", "runtime_metadata", "rules"].contains(&name.as_str()) {
                    grow(inner, extra);
                }
            }
            object.insert("of-a-newer-version".into(), extra.clone());
        }
        let mut message: Value = serde_json::from_slice(json).unwrap();
        grow(&mut message, extra);
        serde_json::to_vec(&message).unwrap()
    }
}
