//! Cuts a stream of bytes into frames; DATA is handed on as it comes, everything else when it is whole.

use bytes::{Buf, Bytes, BytesMut};

use super::WireError;
use super::frame::{Frame, FrameKind};
use super::varint;

/// Reads the frames of one direction of one stream.
///
/// Memory: at most one frame other than DATA is gathered, and no more than what has arrived.
#[derive(Debug, Default)]
pub struct FrameReader {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Between frames.
    #[default]
    Start,
    /// Some bytes of a header (kind and length) have come.
    Header(BytesMut),
    /// The header is known; the payload comes.
    Payload { kind: FrameKind, length: usize, gathered: BytesMut },
    /// Inside a DATA frame, with so many bytes to come.
    Data { left: u64 },
}

impl FrameReader {
    /// Takes from `input` and answers the next frame, or `None` when `input` is used up.
    ///
    /// After an error the stream is lost: nothing after it can be trusted.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Frame>, WireError> {
        loop {
            match &mut self.state {
                State::Start => match take_header(input)? {
                    Some(header) => self.state = begin(header),
                    None if input.is_empty() => return Ok(None),
                    None => {
                        self.state = State::Header(BytesMut::from(&input[..]));
                        input.clear();
                        return Ok(None);
                    }
                },
                State::Header(partial) => {
                    if !input.has_remaining() {
                        return Ok(None);
                    }
                    partial.extend_from_slice(&input.split_to(1));
                    let mut whole = Bytes::copy_from_slice(partial);
                    if let Some(header) = take_header(&mut whole)? {
                        self.state = begin(header);
                    }
                }
                State::Payload { kind, length, gathered } => {
                    let kind = *kind;
                    let missing = *length - gathered.len();
                    if gathered.is_empty() && input.len() >= missing {
                        let payload = input.split_to(missing);
                        self.state = State::Start;
                        return Frame::take(kind, payload).map(Some);
                    }
                    let part = input.split_to(missing.min(input.len()));
                    gathered.extend_from_slice(&part);
                    if gathered.len() < *length {
                        return Ok(None);
                    }
                    let payload = gathered.split().freeze();
                    self.state = State::Start;
                    return Frame::take(kind, payload).map(Some);
                }
                State::Data { left } => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let now = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *left -= now as u64;
                    if *left == 0 {
                        self.state = State::Start;
                    }
                    return Ok(Some(Frame::Data(input.split_to(now))));
                }
            }
        }
    }

    /// Whether the stream may end here: not within a frame.
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Start)
    }
}

fn begin((kind, length): (FrameKind, u64)) -> State {
    if kind == FrameKind::Data {
        State::Data { left: length }
    } else {
        State::Payload { kind, length: length as usize, gathered: BytesMut::new() }
    }
}

/// Takes kind and length if both are whole. An unknown kind is refused by its first byte.
fn take_header(input: &mut Bytes) -> Result<Option<(FrameKind, u64)>, WireError> {
    let Some(number) = input.first() else { return Ok(None) };
    let kind = FrameKind::from_number(*number).ok_or(WireError::UnknownKind(*number))?;
    let mut rest = input.get(1..).unwrap_or_default();
    let Some(length) = varint::take(&mut rest) else { return Ok(None) };
    let header = input.len() - rest.len();
    input.advance(header);
    if length > kind.bytes_max() {
        return Err(WireError::TooLong { kind, length });
    }
    if kind == FrameKind::Data && length == 0 {
        return Err(WireError::Malformed { kind, what: "no bytes" });
    }
    Ok(Some((kind, length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::{AbortCode, Delivery, StreamCode};
    use crate::wire::{Abort, Ack};

    fn samples() -> Vec<Frame> {
        vec![
            Frame::Accepted,
            Frame::Data(Bytes::from_static(b"hello")),
            Frame::End { total: 5, trailers: http::HeaderMap::new() },
            Frame::Stop(StreamCode::Ok),
            Frame::Reset(StreamCode::TooLarge),
            Frame::Abort(Abort {
                code: AbortCode::UpstreamRefused,
                delivery: Delivery::NotSent,
                message: "x".repeat(800),
            }),
            Frame::Control(Bytes::from(vec![b' '; 20_000])),
            Frame::Acks(vec![Ack { exchange: 1, offset: 5, limit: 70_000 }]),
            Frame::Done(vec![1, 2, 3]),
        ]
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_are_cut() {
        let mut bytes = BytesMut::new();
        for frame in samples() {
            frame.put(&mut bytes);
        }
        let bytes = bytes.freeze();
        for step in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut reader = FrameReader::default();
            let mut frames = Vec::new();
            for part in bytes.chunks(step) {
                let mut part = Bytes::copy_from_slice(part);
                while let Some(frame) = reader.next(&mut part).unwrap() {
                    match (frames.last_mut(), frame) {
                        (Some(Frame::Data(sofar)), Frame::Data(more)) => {
                            *sofar = [&sofar[..], &more[..]].concat().into();
                        }
                        (_, frame) => frames.push(frame),
                    }
                }
            }
            assert_eq!(frames, samples(), "in steps of {step}");
            assert!(reader.is_between_frames());
        }
    }

    #[test]
    fn data_is_not_copied() {
        let mut bytes = BytesMut::new();
        Frame::Data(Bytes::from_static(b"hello")).put(&mut bytes);
        let bytes = bytes.freeze();
        let place = bytes[2..].as_ptr();
        let Some(Frame::Data(data)) = FrameReader::default().next(&mut bytes.clone()).unwrap()
        else {
            panic!("no data");
        };
        assert_eq!(data.as_ptr(), place);
    }

    #[test]
    fn an_unknown_kind_and_an_oversized_frame_are_refused_before_their_payload() {
        let mut reader = FrameReader::default();
        let refused = reader.next(&mut Bytes::from_static(&[0x7f]));
        assert_eq!(refused, Err(WireError::UnknownKind(0x7f)));
        for kind in FrameKind::ALL {
            let mut header = BytesMut::new();
            header.extend_from_slice(&[kind.number()]);
            varint::put(&mut header, kind.bytes_max() + 1);
            let refused = FrameReader::default().next(&mut header.freeze());
            let length = kind.bytes_max() + 1;
            assert_eq!(refused, Err(WireError::TooLong { kind: *kind, length }));
        }
    }
}
