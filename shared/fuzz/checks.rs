//! What must hold of every input, whatever it is: for the fuzz targets, and for the replay of their corpus.
//!
//! Each check is given raw bytes, panics where the code breaks a promise, and answers how it judged
//! the input. Numbers and rules stand here a second time, by other means than in the code.

#[path = "protobuf.rs"]
pub(crate) mod protobuf;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use serde_json::Value;
use shared::control::{ControlError, Message, ToConnector, ToRelay};
use shared::exposure::{Exposure, Rule};
use shared::wire::{
    Ack, Direction, Frame, FrameKind, FrameReader, MessageReader, ReceiveCredit, ResponseHead,
    SendCredit, Target, WireError, acks, fields, varint,
};

/// How an input was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Whole and right; a path is let through.
    Taken,
    /// Right as far as it goes, but more must come.
    Cut,
    /// Wrong; a path is not let through.
    Refused,
}

/// Judges one input; panics where a promise is broken.
pub(crate) type Check = fn(&[u8]) -> Verdict;

/// Every fuzz target, by name.
pub(crate) const TARGETS: [(&str, Check); 9] = [
    ("frames", frames),
    ("request", request),
    ("response", response),
    ("fields", field_block),
    ("acks", acks_and_credit),
    ("control_to_relay", control_to_relay),
    ("control_to_connector", control_to_connector),
    ("exposure", exposure),
    ("protobuf", protobuf::message),
];

// --- Frames -------------------------------------------------------------------------------------

/// Number and longest payload of every kind.
const KINDS: [(u8, u64); 14] = [
    (0x01, 49_152),
    (0x02, 49_152),
    (0x03, 1_073_741_824),
    (0x04, 16_384),
    (0x05, 49_152),
    (0x06, 0),
    (0x07, 1_024),
    (0x08, 8),
    (0x09, 8),
    (0x0a, 64),
    (0x0b, 16),
    (0x20, 262_144),
    (0x21, 12_288),
    (0x22, 4_096),
];
const NUMBER_MAX: u64 = (1 << 62) - 1;

/// Input: a number of pieces, the size of each in one byte (0 is 256), and a stream.
pub(crate) fn frames(input: &[u8]) -> Verdict {
    let (sizes, stream) = pieces(input);
    let whole = read_frames(stream, &[]);
    agrees_with_headers(stream, &whole);
    let data = Frame::take(FrameKind::Data, Bytes::copy_from_slice(stream));
    assert_eq!(data, Err(WireError::Unexpected(FrameKind::Data)), "DATA is never gathered");
    for sizes in [&sizes[..], &[1]] {
        let cut = read_frames(stream, sizes);
        assert_eq!(joined(&cut.frames), joined(&whole.frames), "in pieces of {sizes:?}");
        assert_eq!(cut.end, whole.end, "in pieces of {sizes:?}");
    }
    verdict(whole.end)
}

struct Reading {
    frames: Vec<Frame>,
    /// Whether the stream may end here, or what is wrong with it.
    end: Result<bool, WireError>,
}

fn verdict(end: Result<bool, WireError>) -> Verdict {
    match end {
        Ok(true) => Verdict::Taken,
        Ok(false) => Verdict::Cut,
        Err(_) => Verdict::Refused,
    }
}

fn pieces(input: &[u8]) -> (Vec<usize>, &[u8]) {
    let Some((&count, rest)) = input.split_first() else { return (Vec::new(), &[]) };
    let (sizes, stream) = rest.split_at(usize::from(count).min(rest.len()));
    (sizes.iter().map(|size| if *size == 0 { 256 } else { usize::from(*size) }).collect(), stream)
}

/// The stream in pieces of these sizes, over and over; in one piece when there are none.
fn cut(mut stream: &[u8], sizes: &[usize]) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let mut sizes = sizes.iter().cycle();
    while !stream.is_empty() {
        let size = sizes.next().copied().unwrap_or(usize::MAX).min(stream.len());
        let (part, rest) = stream.split_at(size);
        parts.push(Bytes::copy_from_slice(part));
        stream = rest;
    }
    parts
}

fn read_frames(stream: &[u8], sizes: &[usize]) -> Reading {
    let mut reader = FrameReader::default();
    let mut frames = Vec::new();
    for mut part in cut(stream, sizes) {
        loop {
            match reader.next(&mut part) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break assert!(part.is_empty(), "input left over"),
                Err(error) => return Reading { frames, end: Err(error) },
            }
            assert!(frames.last() != Some(&Frame::Data(Bytes::new())), "an empty DATA");
        }
    }
    Reading { frames, end: Ok(reader.is_between_frames()) }
}

/// Frames with neighbouring DATA as one.
fn joined(frames: &[Frame]) -> Vec<Frame> {
    let mut joined: Vec<Frame> = Vec::new();
    for frame in frames {
        match (joined.last_mut(), frame) {
            (Some(Frame::Data(sofar)), Frame::Data(more)) => {
                *sofar = [&sofar[..], &more[..]].concat().into();
            }
            _ => joined.push(frame.clone()),
        }
    }
    joined
}

/// Walks the headers on its own and holds the reading against them, frame by frame.
fn agrees_with_headers(stream: &[u8], reading: &Reading) {
    let mut rest = stream;
    for index in 0.. {
        let frame = reading.frames.get(index);
        let Some(number) = rest.first() else {
            assert!(frame.is_none() && reading.end == Ok(true), "a frame out of nothing");
            return;
        };
        let Some((_, limit)) = KINDS.iter().find(|(kind, _)| kind == number) else {
            assert!(frame.is_none());
            return assert_eq!(reading.end, Err(WireError::UnknownKind(*number)));
        };
        let Some((length, payload)) = number_at(&rest[1..]) else {
            return assert!(frame.is_none() && reading.end == Ok(false), "a header out of nothing");
        };
        let kind = FrameKind::from_number(*number).unwrap();
        if length > *limit {
            assert!(frame.is_none(), "a {kind} of {length} bytes");
            return assert_eq!(reading.end, Err(WireError::TooLong { kind, length }));
        }
        if *number == 3 && length == 0 {
            return assert!(frame.is_none() && reading.end.is_err(), "an empty DATA");
        }
        let come = payload.len().min(length as usize);
        let (payload, after) = payload.split_at(come);
        let whole = come as u64 == length;
        match frame {
            Some(Frame::Data(bytes)) => assert!(*number == 3 && bytes == payload),
            Some(frame) => {
                assert!(whole, "a {kind} before its end");
                assert_eq!(frame.kind(), kind);
                check_frame(frame, payload);
            }
            None if *number == 3 || !whole => {
                return assert_eq!(reading.end, Ok(false), "a {kind} within its payload");
            }
            None => {
                assert!(
                    matches!(reading.end, Err(WireError::Malformed { kind: k, .. }) if k == kind)
                );
                return assert_eq!(
                    Frame::take(kind, Bytes::copy_from_slice(payload)).err(),
                    reading.end.err()
                );
            }
        }
        if !whole {
            return assert!(reading.end == Ok(false) && reading.frames.len() == index + 1);
        }
        rest = after;
    }
}

/// RFC 9000, 16.
fn number_at(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = 1 << (bytes.first()? >> 6);
    let (number, rest) = bytes.split_at_checked(length)?;
    let value = number.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
    Some((value & (u64::MAX >> (64 - 8 * length + 2)), rest))
}

fn encoded(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    frame.put(&mut out);
    out.freeze()
}

/// What came out of `payload`: within its limits, no more than what came, and the same again when
/// it is written and read.
fn check_frame(frame: &Frame, payload: &[u8]) {
    let take = |bytes: &[u8]| Frame::take(frame.kind(), Bytes::copy_from_slice(bytes));
    let with = |more: &[u8]| take(&[payload, more].concat());
    let parts = Parts::of(frame.kind(), payload);
    parts.name_what_is_missing(frame.kind());
    let mut same = frame.clone();
    match frame {
        Frame::RequestHead(head) => {
            assert_eq!((head.fields.len(), head.has_body), (parts.fields, parts.flags & 1 == 1));
            check_fields(&head.fields);
            assert!((1..=24).contains(&head.method.as_str().len()));
            let query = head.query.as_deref().unwrap_or_default();
            assert!(head.target.path().len() + query.len() <= 8_192);
            let wrong = |c: char| c <= ' ' || c == '\x7f' || c == '#';
            assert!(!query.contains(wrong), "{query:?}");
            if let Target::Raw(path) = &head.target {
                assert!(path.starts_with('/') && !path.contains(wrong) && !path.contains('?'));
            }
            assert!(head.request_credit <= 2_097_152 && head.response_credit <= 2_097_152);
        }
        Frame::ResponseHead(head) => {
            assert_eq!(head.fields.len(), parts.fields);
            check_fields(&head.fields);
            assert!((200..=999).contains(&head.status.as_u16()));
        }
        Frame::Interim(head) => {
            check_fields(&head.fields);
            assert!(matches!(head.status.as_u16(), 100 | 102..=199));
        }
        Frame::End { trailers, .. } => check_fields(trailers),
        Frame::Abort(abort) => {
            let (number, _) = number_at(payload).unwrap();
            let known = u64::from(abort.code.number()) == number;
            assert!(known || (abort.code.number() == 7 && !(1..=9).contains(&number)));
            if let Frame::Abort(abort) = &mut same {
                while abort.message.len() > 900 {
                    abort.message.pop();
                }
            }
        }
        Frame::Stop(code) | Frame::Reset(code) => {
            let (number, _) = number_at(payload).unwrap();
            let known = u64::from(code.number()) == number;
            assert!(known || (code.number() == 1 && number > 6));
        }
        Frame::Acks(list) => check_acks(list, payload),
        Frame::Done(list) => assert!(list.len() <= 512 && list.len() <= payload.len()),
        Frame::Control(json) => assert_eq!(json, payload),
        Frame::Accepted | Frame::Continue { .. } | Frame::Continued { .. } | Frame::Data(_) => {}
    }
    match frame {
        // They grow at their end, by tagged values; a tag without its value is none.
        Frame::RequestHead(_) | Frame::ResponseHead(_) | Frame::Interim(_) => {
            assert_eq!(with(&[63, 2, 0, 0]).as_ref(), Ok(frame));
            assert!(with(&[63]).is_err() && with(&[63, 1]).is_err() && with(&[0x40]).is_err());
        }
        // They say themselves where they end.
        Frame::End { .. }
        | Frame::Stop(_)
        | Frame::Reset(_)
        | Frame::Continue { .. }
        | Frame::Continued { .. } => {
            assert!(with(&[0]).is_err() && take(&payload[..payload.len() - 1]).is_err());
        }
        _ => {}
    }
    let again = encoded(frame);
    let (length, written) = number_at(&again[1..]).unwrap();
    assert_eq!(length, written.len() as u64);
    assert!(written.len() <= payload.len(), "{frame:?} grew");
    let read = read_frames(&again, &[]);
    assert_eq!((read.frames, read.end), (vec![same], Ok(true)));
}

/// The parts of a payload that is whole, by name, each with the offset of its end.
struct Parts<'p> {
    payload: &'p [u8],
    at: usize,
    parts: Vec<(&'static str, usize)>,
    /// Where the payload might end as well.
    ends: Vec<usize>,
    fields: usize,
    flags: u8,
}

impl<'p> Parts<'p> {
    fn of(kind: FrameKind, payload: &'p [u8]) -> Self {
        let mut p =
            Self { payload, at: 0, parts: Vec::new(), ends: Vec::new(), fields: 0, flags: 0 };
        match kind {
            FrameKind::RequestHead => {
                p.bytes("instance", 8);
                p.number("exchange");
                let target = p.bytes("target", 1);
                p.bytes("binding", 1);
                p.flags = p.bytes("flags", 1)[0];
                p.text("method");
                if target == [2] {
                    p.text("path");
                }
                if p.bytes("query", 1) == [1] {
                    p.text("query");
                }
                p.number("request credit");
                p.number("response credit");
                p.block();
                p.extensions();
            }
            FrameKind::ResponseHead | FrameKind::Interim => {
                p.bytes("status", 2);
                p.block();
                p.extensions();
            }
            FrameKind::End => {
                p.number("total");
                p.block();
            }
            FrameKind::Abort => {
                p.number("code");
                p.bytes("delivery", 1);
            }
            FrameKind::Stop | FrameKind::Reset => drop(p.number("code")),
            FrameKind::Continue => {
                p.bytes("instance", 8);
                p.number("exchange");
                p.bytes("flags", 1);
                p.number("offset");
            }
            FrameKind::Continued => {
                p.bytes("flags", 1);
                p.number("offset");
            }
            FrameKind::Acks | FrameKind::Done => loop {
                p.ends.push(p.at);
                if p.rest().is_empty() {
                    break;
                }
                p.number("exchange");
                if kind == FrameKind::Acks {
                    p.number("offset");
                    p.number("credit");
                }
            },
            FrameKind::Data | FrameKind::Control | FrameKind::Accepted => {}
        }
        p
    }

    fn rest(&self) -> &'p [u8] {
        &self.payload[self.at..]
    }

    fn bytes(&mut self, part: &'static str, n: usize) -> &'p [u8] {
        let bytes = &self.rest()[..n];
        self.at += n;
        self.parts.push((part, self.at));
        bytes
    }

    fn number(&mut self, part: &'static str) -> u64 {
        let (number, rest) = number_at(self.rest()).unwrap();
        self.at = self.payload.len() - rest.len();
        self.parts.push((part, self.at));
        number
    }

    fn text(&mut self, part: &'static str) {
        let length = self.number(part);
        self.bytes(part, length as usize);
    }

    fn block(&mut self) {
        self.fields = self.number("field count") as usize;
        for _ in 0..self.fields {
            if self.bytes("field name", 1) == [0] {
                self.text("field name");
            }
            self.text("field value");
        }
    }

    fn extensions(&mut self) {
        self.ends.push(self.at);
        while !self.rest().is_empty() {
            self.number("extension tag");
            self.text("extension value");
            self.ends.push(self.at);
        }
    }

    /// However a payload is cut, the error names the first part that is not whole.
    fn name_what_is_missing(&self, kind: FrameKind) {
        for cut in 0..self.payload.len().min(300) {
            let result = Frame::take(kind, Bytes::copy_from_slice(&self.payload[..cut]));
            if self.ends.contains(&cut) {
                assert!(result.is_ok(), "{kind} cut at {cut}");
            } else if let Some((what, _)) = self.parts.iter().find(|(_, end)| *end > cut) {
                assert_eq!(result, Err(WireError::Malformed { kind, what }), "cut at {cut}");
            }
        }
    }
}

fn check_fields(map: &HeaderMap) {
    let list: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(map.len() <= 100 && list <= 32_768, "{} fields, {list} bytes", map.len());
    assert_eq!(fields::list_bytes(map), list);
    assert!(fields::within_limits(map));
    for (name, value) in map {
        assert!(name.as_str().bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()));
        assert!(value.as_bytes().iter().all(|b| (*b >= b' ' && *b != 0x7f) || *b == b'\t'));
    }
    let mut twice = map.clone();
    for (name, value) in map {
        twice.append(name, value.clone());
    }
    let list = fields::list_bytes(&twice);
    assert_eq!(fields::within_limits(&twice), twice.len() <= 100 && list <= 32_768);
}

fn check_acks(list: &[Ack], payload: &[u8]) {
    assert!(list.len() <= 512 && list.len() * 3 <= payload.len());
    for ack in list {
        assert!(ack.offset <= ack.limit && ack.limit <= NUMBER_MAX && ack.exchange <= NUMBER_MAX);
    }
}

// --- Requests and answers -----------------------------------------------------------------------

/// Input: pieces as for `frames`, a grant of two bytes, and a stream.
pub(crate) fn request(input: &[u8]) -> Verdict {
    message(Direction::Request, 0, input)
}

/// Input: pieces as for `frames`, a grant of two bytes, and a stream. The first credit is 100.
pub(crate) fn response(input: &[u8]) -> Verdict {
    message(Direction::Response, 100, input)
}

fn message(direction: Direction, credit: u64, input: &[u8]) -> Verdict {
    let (sizes, rest) = pieces(input);
    let Some((grant, stream)) = rest.split_first_chunk::<2>() else { return Verdict::Cut };
    let grant = u64::from(u16::from_be_bytes(*grant));

    let whole = read_message(direction, credit, grant, stream, &[]);
    let right = ordered(direction, credit, grant, &read_frames(stream, &[]));
    assert_eq!(whole.frames, right.frames);
    assert_eq!(whole.end, right.end);
    for sizes in [&sizes[..], &[1]] {
        let cut = read_message(direction, credit, grant, stream, sizes);
        let (mut cut_frames, frames) = (joined(&cut.frames), joined(&whole.frames));
        if let Err(WireError::CreditExceeded(limit)) = cut.end {
            // A first part of the DATA that goes too far may have been within the credit.
            let bytes: u64 = cut.frames.iter().map(data_bytes).sum();
            assert!(bytes <= limit);
            cut_frames.truncate(frames.len());
            if let (Some(Frame::Data(cut)), Some(Frame::Data(whole))) =
                (cut_frames.last_mut(), frames.last())
            {
                cut.truncate(whole.len());
            }
        }
        assert_eq!(cut_frames, frames, "in pieces of {sizes:?}");
        assert_eq!(cut.end, whole.end, "in pieces of {sizes:?}");
    }
    if whole.end == Ok(true) && !matches!(whole.frames.last(), Some(Frame::Stop(_))) {
        let cut = &stream[..stream.len() - 1];
        assert_eq!(read_message(direction, credit, grant, cut, &[]).end, Ok(false), "cut");
    }
    verdict(whole.end)
}

fn data_bytes(frame: &Frame) -> u64 {
    if let Frame::Data(bytes) = frame { bytes.len() as u64 } else { 0 }
}

fn read_message(
    direction: Direction,
    credit: u64,
    grant: u64,
    stream: &[u8],
    sizes: &[usize],
) -> Reading {
    let mut reader = MessageReader::new(direction, credit);
    let mut frames = Vec::new();
    for mut part in cut(stream, sizes) {
        loop {
            match reader.next(&mut part) {
                Ok(Some(frame)) => {
                    frames.push(frame);
                    reader.allow(grant);
                }
                Ok(None) => break assert!(part.is_empty(), "input left over"),
                Err(error) => return Reading { frames, end: Err(error) },
            }
        }
    }
    let end = reader.end_of_stream();
    assert!(end.is_ok() || end == Err(WireError::Cut));
    assert!(end.is_err() || reader.is_over());
    Reading { frames, end: Ok(end.is_ok()) }
}

/// What of `stream` is in order, within its credit and of the length that it states.
fn ordered(direction: Direction, credit: u64, grant: u64, stream: &Reading) -> Reading {
    use FrameKind as K;
    let to_connector = direction == Direction::Request;
    // What may come, besides STOP.
    let begin: &[K] = match direction {
        Direction::Request => &[K::RequestHead, K::Continue, K::Abort, K::Reset],
        Direction::Response => &[K::ResponseHead, K::Accepted, K::Interim, K::Abort, K::Reset],
    };
    let body: &[K] = match direction {
        Direction::Request => &[K::Data, K::End, K::Abort, K::Reset],
        Direction::Response => &[K::Data, K::End, K::Abort, K::Reset, K::Accepted],
    };
    let bodiless: &[K] = &[K::End, K::Abort, K::Reset];

    let (mut may, mut limit, mut received, mut asides) = (begin, credit, 0, 0);
    for (index, frame) in stream.frames.iter().enumerate() {
        let refused = |error| Reading { frames: stream.frames[..index].to_vec(), end: Err(error) };
        asides += u32::from(matches!(frame.kind(), K::Stop | K::Accepted | K::Interim));
        if asides > 64 || frame.kind() != K::Stop && !may.contains(&frame.kind()) {
            return refused(WireError::Unexpected(frame.kind()));
        }
        received += data_bytes(frame);
        if received > limit {
            return refused(WireError::CreditExceeded(limit));
        }
        match frame {
            Frame::RequestHead(head) => {
                assert!(to_connector);
                limit = head.request_credit;
                may = if head.has_body { body } else { bodiless };
            }
            Frame::ResponseHead(_) | Frame::Continue { .. } => may = body,
            Frame::End { total, .. } if *total != received => {
                return refused(WireError::WrongTotal { stated: *total, received });
            }
            Frame::End { .. } | Frame::Abort(_) | Frame::Reset(_) => may = &[],
            _ => {}
        }
        limit = limit.max(grant);
    }
    let end = stream.end.map(|between| between && may.is_empty());
    Reading { frames: stream.frames.clone(), end }
}

// --- Fields, acknowledgements, credit -------------------------------------------------------------

/// Input: one block of fields.
pub(crate) fn field_block(input: &[u8]) -> Verdict {
    let head = Frame::take(FrameKind::ResponseHead, [&[0, 200], input].concat().into());
    let mut rest = Bytes::copy_from_slice(input);
    let Ok(map) = fields::take(&mut rest) else {
        assert!(head.is_err());
        return Verdict::Refused;
    };
    check_fields(&map);
    let used = input.len() - rest.len();
    assert!(map.values().map(|value| value.len() + 2).sum::<usize>() < used);
    let mut again = Vec::new();
    fields::put(&mut again, &map);
    assert!(again.len() <= used);
    let mut again = Bytes::from(again);
    assert_eq!(fields::take(&mut again).as_ref(), Ok(&map));
    assert!(again.is_empty());
    if !rest.is_empty() {
        return Verdict::Cut;
    }
    let status = http::StatusCode::OK;
    assert_eq!(head, Ok(Frame::ResponseHead(Box::new(ResponseHead { status, fields: map }))));
    check_frame(&head.unwrap(), &[&[0, 200], input].concat());
    Verdict::Taken
}

/// Input: one byte that says what the rest is.
pub(crate) fn acks_and_credit(input: &[u8]) -> Verdict {
    match input.split_first() {
        Some((0, payload)) => acks_payload(payload),
        Some((1, payload)) => done_payload(payload),
        Some((2, steps)) => receiving(steps),
        Some((3, number)) => integer(number),
        _ => Verdict::Refused,
    }
}

/// The payload of ACKS. Its entries are then given to the sender of a body whose first credit is
/// 1,000, which sends as many bytes as the exchange's number before each, as far as it may.
fn acks_payload(payload: &[u8]) -> Verdict {
    let Ok(list) = acks::take_acks(Bytes::copy_from_slice(payload)) else {
        return Verdict::Refused;
    };
    check_acks(&list, payload);
    let twice = [&list[..], &list[..]].concat();
    let mut again = Vec::new();
    acks::put_acks(&mut again, &twice);
    assert_eq!(acks::take_acks(again.into()), Ok(twice[..twice.len().min(512)].to_vec()));

    let mut send = SendCredit::new(1_000);
    let (mut sent, mut acknowledged, mut limit) = (0, 0, 1_000);
    for ack in list {
        let mut inverted = Vec::new();
        acks::put_acks(&mut inverted, &[Ack { offset: ack.limit, limit: ack.offset, ..ack }]);
        let shut = Ack { offset: ack.limit, ..ack };
        assert_eq!(acks::take_acks(inverted.into()), Ok(vec![shut]));

        assert_eq!((send.sent(), send.available()), (sent, limit - sent));
        let bytes = ack.exchange.min(limit - sent);
        send.spend(bytes);
        sent += bytes;
        let right = (acknowledged..=sent).contains(&ack.offset) && ack.limit >= limit;
        assert_eq!(send.acknowledge(&ack).is_ok(), right);
        if !right {
            return Verdict::Refused;
        }
        (acknowledged, limit) = (ack.offset, ack.limit);
    }
    Verdict::Taken
}

fn done_payload(payload: &[u8]) -> Verdict {
    let Ok(list) = acks::take_done(Bytes::copy_from_slice(payload)) else {
        return Verdict::Refused;
    };
    assert!(list.len() <= 512 && list.len() <= payload.len());
    let twice = [&list[..], &list[..]].concat();
    let mut again = Vec::new();
    acks::put_done(&mut again, &twice);
    assert_eq!(acks::take_done(again.into()), Ok(twice[..twice.len().min(512)].to_vec()));
    Verdict::Taken
}

/// A first credit of two bytes, then steps of five: bytes that come, in units of 1,000 when the
/// first bit is set, and the link's spare budget.
fn receiving(input: &[u8]) -> Verdict {
    let Some((first, steps)) = input.split_first_chunk::<2>() else { return Verdict::Cut };
    let first = u64::from(u16::from_be_bytes(*first));
    let mut send = SendCredit::new(first);
    let mut receive = ReceiveCredit::new(first);
    let (mut acknowledged, mut limit, mut window) = (0, first, first);
    for step in steps.chunks_exact(5) {
        let [a, b, c, d, e] = step else { unreachable!() };
        let unit = if a & 0x80 == 0 { 1 } else { 1_000 };
        let bytes = u64::from(u16::from_be_bytes([a & 0x7f, *b])) * unit;
        let spare = u64::from(u32::from_be_bytes([0, *c, *d, *e]));
        let bytes = bytes.min(send.available());
        send.spend(bytes);
        assert!(send.sent() <= receive.limit(), "over the credit");
        let due = send.sent() - acknowledged >= window / 2;
        let ack = receive.consume(9, bytes, spare);
        assert_eq!(ack.is_some(), due, "an ACK that is not due, or none that is");
        if let Some(ack) = ack {
            assert_eq!((ack.exchange, ack.offset), (9, send.sent()));
            assert!(ack.limit >= limit, "granted credit was taken back");
            assert!(ack.limit - ack.offset <= first.max(2_097_152).max(limit - ack.offset));
            let grown = receive.window() - window;
            assert!(grown <= spare && grown <= window && receive.window() <= 2_097_152.max(first));
            let room = window.min(2_097_152_u64.saturating_sub(window)).min(spare);
            assert_eq!(grown, room);
            assert_eq!(ack.limit, limit.max(ack.offset + receive.window()));
            assert_eq!(send.acknowledge(&ack), Ok(()));
            (acknowledged, limit, window) = (ack.offset, ack.limit, receive.window());
        }
        assert_eq!(receive.limit(), limit);
    }
    Verdict::Taken
}

/// Eight bytes, written as an integer; or fewer, read as one.
fn integer(bytes: &[u8]) -> Verdict {
    if let Ok(number) = bytes.try_into().map(u64::from_be_bytes) {
        let mut out = Vec::new();
        varint::put(&mut out, number);
        assert_eq!(number_at(&out), Some((number.min(NUMBER_MAX), &[][..])));
    }
    let mut rest = bytes;
    let taken = varint::take(&mut rest);
    assert_eq!(taken.map(|number| (number, rest)), number_at(bytes));
    if taken.is_some() { Verdict::Taken } else { Verdict::Cut }
}

// --- Control messages -----------------------------------------------------------------------------

/// Input: the JSON of one message.
pub(crate) fn control_to_relay(input: &[u8]) -> Verdict {
    let kinds = "hello join bootstrap renew heartbeat card exposure ping pong drain unsupported";
    control(input, kinds, |what| ToRelay::Unsupported { what })
}

/// Input: the JSON of one message.
pub(crate) fn control_to_connector(input: &[u8]) -> Verdict {
    let kinds = "welcome refusal ready certificate ping pong public-url paused drain restarting replaced \
                 revoked unsupported";
    control(input, kinds, |what| ToConnector::Unsupported { what })
}

fn control<M: Message + PartialEq + std::fmt::Debug>(
    input: &[u8],
    kinds: &str,
    unsupported: fn(String) -> M,
) -> Verdict {
    assert!(kinds.split_whitespace().eq(M::KINDS.iter().copied()));
    let json: Option<Value> = serde_json::from_slice(input).ok();
    let kind = json.as_ref().and_then(|json| json.get("kind")?.as_str());
    match M::decode(input) {
        Ok(message) => {
            let kind = kind.unwrap();
            assert!(kinds.split_whitespace().any(|known| known == kind));
            let Ok(again) = message.encode() else {
                // Numbers may be written longer than they came, at most fourfold.
                assert!(input.len() > 60_000, "over the limit");
                return Verdict::Taken;
            };
            assert!(again.len() <= 262_144);
            assert_eq!(M::decode(&again).as_ref(), Ok(&message));
            let mut newer = json.clone().unwrap();
            newer["from-a-newer-version"] = serde_json::json!({ "kind": [null, 1e300] });
            assert_eq!(M::decode(newer.to_string().as_bytes()), Ok(message));
            if kind == "unsupported" {
                let long = unsupported("x".repeat(262_144 - again.len() % 8));
                assert!(matches!(long.encode(), Err(ControlError::TooLong(_))));
            }
            Verdict::Taken
        }
        Err(ControlError::UnknownKind(name)) => {
            let kind = kind.map(|kind| kind.chars().take(64).collect::<String>());
            // A repeated field is an error only of messages that are known.
            assert!(name.chars().count() <= 64 && kind.is_none_or(|kind| kind == name));
            assert!(!kinds.split_whitespace().any(|known| known == name));
            Verdict::Refused
        }
        Err(error) => {
            assert!(matches!(error, ControlError::Malformed(_)));
            let known = |kind| kinds.split_whitespace().any(|known| known == kind);
            let repeated = input.windows(6).filter(|part| part == b"\"kind\"").count() != 1;
            assert!(repeated || kind.is_none_or(known), "{kind:?} is no mistake but unknown");
            Verdict::Refused
        }
    }
}

// --- Exposure -------------------------------------------------------------------------------------

/// Input: a path, a line feed, and the JSON of an exposure list.
pub(crate) fn exposure(input: &[u8]) -> Verdict {
    let Some((path, json)) = std::str::from_utf8(input).ok().and_then(|t| t.split_once('\n'))
    else {
        return Verdict::Refused;
    };
    let Ok(list) = serde_json::from_str::<Exposure>(json) else { return Verdict::Refused };
    let again = serde_json::to_vec(&list).unwrap();
    assert_eq!(serde_json::from_slice::<Exposure>(&again).unwrap(), list);
    assert_eq!(list.is_bounded(), list.rules.len() <= 256);

    let right = if list.all {
        path.starts_with('/')
    } else {
        stays(path) && (path == list.endpoint || list.rules.iter().any(|rule| covers(rule, path)))
    };
    assert_eq!(list.allows(path), right, "{path:?} under {json}");
    if right { Verdict::Taken } else { Verdict::Refused }
}

/// Whether a server that decodes, cuts and resolves a path in every way that servers do comes to
/// the same segments as one that does nothing of it.
fn stays(path: &str) -> bool {
    let Some(raw) = path.strip_prefix('/') else { return false };
    let raw: Vec<&[u8]> = raw.as_bytes().split(|byte| *byte == b'/').collect();
    // These end a path only when they stand there plainly; a NUL, for servers in C, in any form.
    if path.contains(['?', '#']) {
        return false;
    }
    let decoded = decoded(path.as_bytes());
    let end = decoded.iter().position(|byte| *byte == 0).unwrap_or(decoded.len());
    let mut resolved: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> =
        decoded[..end].split(|byte| matches!(byte, b'/' | b'\\')).skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        let last = index + 1 == segments.len();
        match name {
            b".." => drop(resolved.pop()),
            b"." => {}
            _ if segment.is_empty() && !last => {}
            _ => resolved.push(segment),
        }
    }
    let raw: Vec<Vec<u8>> = raw.into_iter().map(self::decoded).collect();
    raw == resolved
}

fn decoded(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&byte, rest)) = text.split_first() {
        let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if byte == b'%' => {
                out.push(value);
                text = &rest[2..];
            }
            _ => {
                out.push(byte);
                text = rest;
            }
        }
    }
    out
}

fn covers(rule: &Rule, path: &str) -> bool {
    let below = |base: &str| -> Option<Vec<String>> {
        let base: Vec<&str> = base.trim_end_matches('/').split('/').collect();
        let path: Vec<&str> = path.split('/').collect();
        let rest = path.strip_prefix(&base[..])?;
        Some(rest.iter().map(|segment| (*segment).to_owned()).collect())
    };
    match rule {
        Rule::Exact(exact) => exact == path,
        Rule::Below(base) => below(base).is_some(),
        Rule::HttpJson(base) => below(base).is_some_and(|rest| is_http_json(&rest)),
        Rule::Grpc(_) | Rule::Unknown => false,
    }
}

/// The paths of the HTTP+JSON binding; a star is one segment that is not empty.
fn is_http_json(segments: &[String]) -> bool {
    let prefixes = ["", "v1/", "*/", "v1/*/", "*/v1/", "v1/*/v1/"];
    let operations = [
        "message:send",
        "message:stream",
        "extendedAgentCard",
        "card",
        "tasks",
        "task",
        "tasks/*",
        "task/*",
        "tasks/*/pushNotificationConfigs",
        "task/*/pushNotificationConfigs",
        "tasks/*/pushNotificationConfigs/*",
        "task/*/pushNotificationConfigs/*",
    ];
    prefixes.iter().any(|prefix| {
        operations.iter().any(|operation| {
            let pattern = format!("{prefix}{operation}");
            let pattern: Vec<&str> = pattern.split('/').collect();
            pattern.len() == segments.len()
                && pattern
                    .iter()
                    .zip(segments)
                    .all(|(wanted, come)| (*wanted == "*" && !come.is_empty()) || wanted == come)
        })
    })
}
