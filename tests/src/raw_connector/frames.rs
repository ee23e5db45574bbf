//! Frames as a story spells them: proper ones, and any bytes at all.

use bytes::{BufMut, Bytes, BytesMut};
use shared::wire::{Frame, FrameKind, ResponseHead, varint};

/// The head of an answer.
#[must_use]
pub fn head(status: u16, fields: &[(&str, &str)]) -> Frame {
    let mut map = http::HeaderMap::new();
    for (name, value) in fields {
        let name: http::HeaderName = name.parse().expect("a name");
        map.append(name, value.parse().expect("a value"));
    }
    let status = http::StatusCode::from_u16(status).expect("a status");
    Frame::ResponseHead(Box::new(ResponseHead { status, fields: map }))
}

/// Bytes of a body.
#[must_use]
pub fn data(text: &str) -> Frame {
    Frame::Data(Bytes::from(text.to_owned()))
}

/// The end of a body that claims this length.
#[must_use]
pub fn end(total: u64) -> Frame {
    Frame::End { total, trailers: http::HeaderMap::new() }
}

/// Frames as bytes.
#[must_use]
pub fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    frames.iter().for_each(|frame| frame.put(&mut bytes));
    bytes.to_vec()
}

/// A frame of this kind with any payload at all.
#[must_use]
pub fn raw_frame(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind.number()];
    varint::put(&mut bytes, payload.len() as u64);
    bytes.put_slice(payload);
    bytes
}
