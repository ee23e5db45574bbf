//! Holds one direction of a request stream to the order HEAD, DATA…, END, to its credit and to its length.

use bytes::Bytes;

use super::WireError;
use super::frame::{Frame, FrameKind};
use super::reader::FrameReader;

/// Which way the frames of a [`MessageReader`] go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Relay to connector.
    Request,
    /// Connector to relay.
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    Body,
    /// After END, ABORT or RESET.
    Over,
}

impl MessageReader {
    /// Waits for a head. `credit` is the first credit of this direction's body, bytes; the reader
    /// of a request learns it from the head itself.
    pub fn new(direction: Direction, credit: u64) -> Self {
        let frames = FrameReader::default();
        Self { frames, direction, phase: Phase::Head, received: 0, limit: credit }
    }

    /// Lets the body go on to `limit` bytes; a smaller number changes nothing.
    pub fn allow(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// Whether END, ABORT or RESET has come.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
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
        let response = self.direction == Direction::Response;
        match (self.phase, frame) {
            // STOP concerns the other direction, so it may come at any time.
            (_, Frame::Stop(_)) => {}
            (Phase::Head | Phase::Body, Frame::Abort(_) | Frame::Reset(_)) => {
                self.phase = Phase::Over;
            }
            (Phase::Head, Frame::RequestHead(head)) if !response => {
                self.limit = head.request_credit;
                self.phase = Phase::Body;
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
            (Phase::Body, Frame::End { total, .. }) => {
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
