//! Holds one direction of a request stream to the order HEAD, DATA…, END, to its credit and to its length.

use bytes::Bytes;

use super::WireError;
use super::frame::{Frame, FrameKind};
use super::reader::FrameReader;
use crate::limits::ASIDES_MAX;

/// Which way the frames of a [`MessageReader`] go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From who opened the stream: the relay, or a connector for its agent.
    Request,
    /// To who opened the stream.
    Response,
}

/// Reads one request or one answer. Whatever comes out of it came in order and within its credit.
#[derive(Debug)]
pub struct MessageReader {
    frames: FrameReader,
    direction: Direction,
    phase: Phase,
    received: u64,
    limit: u64,
    /// Frames that cost no credit and bring nothing forward.
    asides: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    Body,
    /// Before CONTINUED, on a stream that goes on with an answer; whether its head has come.
    Continued {
        has_head: bool,
    },
    /// After a head that announced no body: only END is left.
    NoBody,
    /// After END, ABORT or RESET.
    Over,
}

impl MessageReader {
    /// Waits for a head. `credit` is the first credit of this direction's body, bytes; the reader
    /// of a request learns it from the head itself.
    pub fn new(direction: Direction, credit: u64) -> Self {
        let frames = FrameReader::default();
        Self { frames, direction, phase: Phase::Head, received: 0, limit: credit, asides: 0 }
    }

    /// Lets the body go on to `limit` bytes; a smaller number changes nothing.
    pub fn allow(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// Whether END, ABORT or RESET has come.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Bytes of the body that have come.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Whether the head has come.
    pub const fn has_head(&self) -> bool {
        !matches!(self.phase, Phase::Head | Phase::Continued { has_head: false })
    }

    /// Goes on with the same message on another stream. What had come of a frame other than DATA is
    /// forgotten. An answer's next frame is CONTINUED; of a request, what follows CONTINUE.
    pub fn go_on(&mut self) {
        self.frames = FrameReader::default();
        self.asides = 0;
        if self.direction == Direction::Response && !self.is_over() {
            self.phase = Phase::Continued { has_head: self.has_head() };
        }
    }

    /// Takes from `input` and answers the next frame, or `None` when `input` is used up.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Frame>, WireError> {
        let Some(frame) = self.frames.next(input)? else { return Ok(None) };
        self.admit(&frame)?;
        Ok(Some(frame))
    }

    /// Judges the end of the stream: before END it was cut.
    pub fn end_of_stream(&self) -> Result<(), WireError> {
        if self.is_over() && self.frames.is_between_frames() { Ok(()) } else { Err(WireError::Cut) }
    }

    fn admit(&mut self, frame: &Frame) -> Result<(), WireError> {
        if matches!(frame, Frame::Stop(_) | Frame::Accepted | Frame::Interim(_)) {
            self.asides += 1;
            if self.asides > ASIDES_MAX {
                return Err(unexpected(frame.kind()));
            }
        }
        let response = self.direction == Direction::Response;
        match (self.phase, frame) {
            // STOP concerns the other direction, so it may come at any time.
            (_, Frame::Stop(_)) => {}
            (Phase::Over, frame) => return Err(unexpected(frame.kind())),
            (_, Frame::Abort(_) | Frame::Reset(_)) => self.phase = Phase::Over,
            (Phase::Continued { has_head }, Frame::Continued { .. }) => {
                self.phase = if has_head { Phase::Body } else { Phase::Head };
            }
            (Phase::Head, Frame::RequestHead(head)) if !response => {
                self.limit = head.request_credit;
                self.phase = if head.has_body { Phase::Body } else { Phase::NoBody };
            }
            (Phase::Head, Frame::Continue { .. }) if !response => self.phase = Phase::Body,
            (Phase::Head, Frame::Accepted | Frame::Interim(_)) if response => {}
            (Phase::Head, Frame::ResponseHead(_)) if response => self.phase = Phase::Body,
            (Phase::Body, Frame::Accepted) if response => {}
            (Phase::Body, Frame::Data(bytes)) => {
                self.received = self.received.saturating_add(bytes.len() as u64);
                if self.received > self.limit {
                    return Err(WireError::CreditExceeded(self.limit));
                }
            }
            (Phase::Body | Phase::NoBody, Frame::End { total, .. }) => {
                if *total != self.received {
                    let received = self.received;
                    return Err(WireError::WrongTotal { stated: *total, received });
                }
                self.phase = Phase::Over;
            }
            (_, frame) => return Err(unexpected(frame.kind())),
        }
        Ok(())
    }
}

const fn unexpected(kind: FrameKind) -> WireError {
    WireError::Unexpected(kind)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http::{HeaderMap, Method, StatusCode};

    use super::*;
    use crate::ids::{ExchangeId, InstanceId};
    use crate::wire::{Binding, RequestHead, ResponseHead, Target};

    #[test]
    fn a_request_that_announces_no_body_has_none() {
        let head = RequestHead {
            exchange: ExchangeId { instance: InstanceId(1), counter: 1 },
            target: Target::Card,
            binding: Binding::JsonRpc,
            has_body: false,
            method: Method::GET,
            query: None,
            request_credit: 100,
            response_credit: 100,
            fields: HeaderMap::new(),
            head_timeout_ms: None,
        };
        for (next, verdict) in [
            (Frame::Data(Bytes::from_static(b"x")), Err(WireError::Unexpected(FrameKind::Data))),
            (
                Frame::End { total: 1, trailers: HeaderMap::new() },
                Err(WireError::WrongTotal { stated: 1, received: 0 }),
            ),
            (Frame::End { total: 0, trailers: HeaderMap::new() }, Ok(())),
        ] {
            let mut bytes = BytesMut::new();
            Frame::RequestHead(Box::new(head.clone())).put(&mut bytes);
            next.put(&mut bytes);
            let mut bytes = bytes.freeze();
            let mut reader = MessageReader::new(Direction::Request, 0);
            assert!(reader.next(&mut bytes).unwrap().is_some());
            assert_eq!(reader.next(&mut bytes).map(|_| ()), verdict);
        }
    }

    fn encoded(frames: &[Frame]) -> Bytes {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| frame.put(&mut bytes));
        bytes.freeze()
    }

    #[test]
    fn an_answer_goes_on_where_it_stood_behind_continued_alone() {
        let head = || {
            let fields = HeaderMap::new();
            Frame::ResponseHead(Box::new(ResponseHead { status: StatusCode::OK, fields }))
        };
        let continued = || Frame::Continued { request_over: true, request_offset: 0 };
        let data = |bytes| Frame::Data(Bytes::from_static(bytes));
        let end = || Frame::End { total: 5, trailers: HeaderMap::new() };
        for (first, second) in [
            (
                vec![Frame::Accepted],
                vec![continued(), Frame::Accepted, head(), data(b"abcde"), end()],
            ),
            (vec![head()], vec![continued(), data(b"abcde"), end()]),
            (vec![head(), data(b"abc")], vec![continued(), data(b"de"), end()]),
        ] {
            let mut reader = MessageReader::new(Direction::Response, 100);
            let mut cut = BytesMut::from(&encoded(&first)[..]);
            // The beginning of a frame whose rest never came.
            cut.extend_from_slice(&[0x04, 9, 1]);
            let mut cut = cut.freeze();
            while reader.next(&mut cut).unwrap().is_some() {}
            reader.go_on();
            let mut rest = encoded(&second);
            while reader.next(&mut rest).unwrap().is_some() {}
            assert_eq!((reader.is_over(), reader.received()), (true, 5), "{first:?}");
        }
        for early in [head(), data(b"x"), end(), Frame::Accepted] {
            let mut reader = MessageReader::new(Direction::Response, 100);
            reader.go_on();
            let refused = Err(WireError::Unexpected(early.kind()));
            assert_eq!(reader.next(&mut encoded(&[early])).map(|_| ()), refused);
        }
        let mut fresh = MessageReader::new(Direction::Response, 100);
        let refused = Err(WireError::Unexpected(FrameKind::Continued));
        assert_eq!(fresh.next(&mut encoded(&[continued()])), refused, "nobody asked for it");
    }

    #[test]
    fn frames_that_cost_nothing_are_counted() {
        let mut bytes = BytesMut::new();
        for _ in 0..=ASIDES_MAX {
            Frame::Accepted.put(&mut bytes);
        }
        let mut input = bytes.freeze();
        let mut reader = MessageReader::new(Direction::Response, 0);
        for _ in 0..ASIDES_MAX {
            assert_eq!(reader.next(&mut input), Ok(Some(Frame::Accepted)));
        }
        let refused = Err(WireError::Unexpected(FrameKind::Accepted));
        assert_eq!(reader.next(&mut input), refused);
    }
}
