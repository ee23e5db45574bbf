//! The frames: their kinds, limits and payloads.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use super::acks::{self, Ack};
use super::head::{RequestHead, ResponseHead};
use super::{WireError, fields, varint};
use crate::codes::{AbortCode, Delivery, StreamCode};
use crate::ids::{ExchangeId, InstanceId};
use crate::limits::{
    ABORT_BYTES_MAX, ACKS_PER_FRAME_MAX, CONTROL_BYTES_MAX, DATA_BYTES_MAX, END_BYTES_MAX,
    HEAD_BYTES_MAX,
};

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $number:literal, $name:literal, $max:expr;)*) => {
        /// What a frame is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FrameKind {
            $($(#[$meta])* $kind,)*
        }
        impl FrameKind {
            /// All kinds, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The number on the wire.
            pub const fn number(self) -> u8 {
                match self { $(Self::$kind => $number,)* }
            }
            /// The kind with this number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$kind),)* _ => None }
            }
            /// The longest payload, bytes.
            pub const fn bytes_max(self) -> u64 {
                match self { $(Self::$kind => $max as u64,)* }
            }
            /// Its name in documents and logs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// Begins a request; relay to connector.
    RequestHead = 0x01, "REQUEST_HEAD", HEAD_BYTES_MAX;
    /// Begins an answer; connector to relay.
    ResponseHead = 0x02, "RESPONSE_HEAD", HEAD_BYTES_MAX;
    /// Bytes of a body.
    Data = 0x03, "DATA", DATA_BYTES_MAX;
    /// Ends a body: its length and its trailers.
    End = 0x04, "END", END_BYTES_MAX;
    /// An answer of status 1xx before the answer; connector to relay.
    Interim = 0x05, "INTERIM", HEAD_BYTES_MAX;
    /// The local agent's connection took the request; connector to relay.
    Accepted = 0x06, "ACCEPTED", 0;
    /// The exchange failed, with its reason.
    Abort = 0x07, "ABORT", ABORT_BYTES_MAX;
    /// Do not send the rest: STOP_SENDING for transports without it.
    Stop = 0x08, "STOP", 8;
    /// The rest will not come: RESET_STREAM for transports without it.
    Reset = 0x09, "RESET", 8;
    /// Goes on with an exchange of an earlier link; relay to connector.
    Continue = 0x0a, "CONTINUE", 64;
    /// The exchange that CONTINUE named goes on; connector to relay.
    Continued = 0x0b, "CONTINUED", 16;
    /// One control message.
    Control = 0x20, "CONTROL", CONTROL_BYTES_MAX;
    /// Acknowledges bodies and grants credit.
    Acks = 0x21, "ACKS", ACKS_PER_FRAME_MAX * 24;
    /// Exchanges that both ends may forget.
    Done = 0x22, "DONE", ACKS_PER_FRAME_MAX * 8;
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure that travels in band: the stream is finished after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abort {
    /// Which failure.
    pub code: AbortCode,
    /// Whether the local agent got the request, as far as the sender can prove.
    pub delivery: Delivery,
    /// One sentence for the caller; at most 900 bytes are sent.
    pub message: String,
}

/// One decoded frame. A long DATA frame is handed on as several, as its bytes come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// See [`FrameKind::RequestHead`].
    RequestHead(Box<RequestHead>),
    /// See [`FrameKind::ResponseHead`].
    ResponseHead(Box<ResponseHead>),
    /// See [`FrameKind::Data`]; never empty.
    Data(Bytes),
    /// See [`FrameKind::End`].
    End {
        /// Bytes of the whole body.
        total: u64,
        /// The trailers; often none.
        trailers: HeaderMap,
    },
    /// See [`FrameKind::Interim`].
    Interim(Box<ResponseHead>),
    /// See [`FrameKind::Accepted`].
    Accepted,
    /// See [`FrameKind::Abort`].
    Abort(Abort),
    /// See [`FrameKind::Stop`].
    Stop(StreamCode),
    /// See [`FrameKind::Reset`].
    Reset(StreamCode),
    /// See [`FrameKind::Continue`].
    Continue {
        /// The exchange that goes on.
        exchange: ExchangeId,
        /// Whether the relay has the head of the answer.
        has_head: bool,
        /// Bytes of the answer's body that the relay has: the connector goes on from here.
        response_offset: u64,
    },
    /// See [`FrameKind::Continued`].
    Continued {
        /// Whether no more of the request is wanted: its end has come, or the rest is not needed.
        request_over: bool,
        /// Bytes of the request's body that the connector has: the relay goes on from here.
        request_offset: u64,
    },
    /// See [`FrameKind::Control`]: the JSON text of one message.
    Control(Bytes),
    /// See [`FrameKind::Acks`].
    Acks(Vec<Ack>),
    /// See [`FrameKind::Done`].
    Done(Vec<u64>),
}

/// A stream code that this version does not know is read as the plainest one.
fn stream_code(input: &mut Bytes) -> Option<StreamCode> {
    varint::take(input)
        .map(|number| StreamCode::from_number(number).unwrap_or(StreamCode::Cancelled))
}

/// Bit 0 of a byte of flags; the others are for later versions.
fn flag(input: &mut Bytes) -> Option<bool> {
    input.try_get_u8().ok().map(|flags| flags & 1 == 1)
}

impl Frame {
    /// What this frame is.
    pub const fn kind(&self) -> FrameKind {
        match self {
            Self::RequestHead(_) => FrameKind::RequestHead,
            Self::ResponseHead(_) => FrameKind::ResponseHead,
            Self::Data(_) => FrameKind::Data,
            Self::End { .. } => FrameKind::End,
            Self::Interim(_) => FrameKind::Interim,
            Self::Accepted => FrameKind::Accepted,
            Self::Abort(_) => FrameKind::Abort,
            Self::Stop(_) => FrameKind::Stop,
            Self::Reset(_) => FrameKind::Reset,
            Self::Continue { .. } => FrameKind::Continue,
            Self::Continued { .. } => FrameKind::Continued,
            Self::Control(_) => FrameKind::Control,
            Self::Acks(_) => FrameKind::Acks,
            Self::Done(_) => FrameKind::Done,
        }
    }

    /// Appends the frame. A body's bytes are better sent behind [`put_data_header`], uncopied.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.kind().number());
        match self {
            Self::Data(bytes) => {
                varint::put(out, bytes.len() as u64);
                out.put_slice(bytes);
            }
            Self::Control(json) => {
                varint::put(out, json.len() as u64);
                out.put_slice(json);
            }
            Self::Accepted => varint::put(out, 0),
            other => {
                let start = open_length(out);
                other.put_payload(out);
                close_length(out, start);
            }
        }
    }

    fn put_payload(&self, out: &mut BytesMut) {
        match self {
            Self::RequestHead(head) => head.put(out),
            Self::ResponseHead(head) | Self::Interim(head) => head.put(out),
            Self::End { total, trailers } => {
                varint::put(out, *total);
                fields::put(out, trailers);
            }
            Self::Abort(abort) => {
                varint::put(out, u64::from(abort.code.number()));
                out.put_u8(abort.delivery.number());
                let end = abort.message.floor_char_boundary(900);
                out.put_slice(abort.message.get(..end).unwrap_or_default().as_bytes());
            }
            Self::Stop(code) | Self::Reset(code) => varint::put(out, u64::from(code.number())),
            Self::Continue { exchange, has_head, response_offset } => {
                out.put_u64(exchange.instance.0);
                varint::put(out, exchange.counter);
                out.put_u8(u8::from(*has_head));
                varint::put(out, *response_offset);
            }
            Self::Continued { request_over, request_offset } => {
                out.put_u8(u8::from(*request_over));
                varint::put(out, *request_offset);
            }
            Self::Acks(list) => acks::put_acks(out, list),
            Self::Done(list) => acks::put_done(out, list),
            Self::Data(_) | Self::Control(_) | Self::Accepted => {}
        }
    }

    /// Reads the whole payload of a frame other than DATA.
    pub fn take(kind: FrameKind, mut input: Bytes) -> Result<Self, WireError> {
        let malformed = |what| WireError::Malformed { kind, what };
        let frame = match kind {
            FrameKind::RequestHead => {
                return RequestHead::take(input)
                    .map(Box::new)
                    .map(Self::RequestHead)
                    .map_err(malformed);
            }
            FrameKind::ResponseHead => {
                let head = ResponseHead::take(input).map_err(malformed)?;
                if head.status.is_informational() {
                    return Err(malformed("status below 200"));
                }
                return Ok(Self::ResponseHead(Box::new(head)));
            }
            FrameKind::Interim => {
                let head = ResponseHead::take(input).map_err(malformed)?;
                // 101 would switch protocols, which no exchange does.
                if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS
                {
                    return Err(malformed("status"));
                }
                return Ok(Self::Interim(Box::new(head)));
            }
            FrameKind::Control => return Ok(Self::Control(input)),
            FrameKind::Acks => return acks::take_acks(input).map(Self::Acks).map_err(malformed),
            FrameKind::Done => return acks::take_done(input).map(Self::Done).map_err(malformed),
            FrameKind::Abort => {
                let number = varint::take(&mut input).ok_or(malformed("code"))?;
                let code = AbortCode::from_number(number).unwrap_or(AbortCode::Protocol);
                let delivery = input.try_get_u8().map_err(|_| malformed("delivery"))?;
                let delivery = Delivery::from_number(delivery).ok_or(malformed("delivery"))?;
                let message = String::from_utf8(input.into()).map_err(|_| malformed("message"))?;
                return Ok(Self::Abort(Abort { code, delivery, message }));
            }
            FrameKind::Data => return Err(WireError::Unexpected(kind)),
            FrameKind::Accepted => Self::Accepted,
            FrameKind::End => Self::End {
                total: varint::take(&mut input).ok_or(malformed("total"))?,
                trailers: fields::take(&mut input).map_err(malformed)?,
            },
            FrameKind::Stop => Self::Stop(stream_code(&mut input).ok_or(malformed("code"))?),
            FrameKind::Reset => Self::Reset(stream_code(&mut input).ok_or(malformed("code"))?),
            FrameKind::Continue => Self::Continue {
                exchange: ExchangeId {
                    instance: InstanceId(input.try_get_u64().map_err(|_| malformed("instance"))?),
                    counter: varint::take(&mut input).ok_or(malformed("exchange"))?,
                },
                has_head: flag(&mut input).ok_or(malformed("flags"))?,
                response_offset: varint::take(&mut input).ok_or(malformed("offset"))?,
            },
            FrameKind::Continued => Self::Continued {
                request_over: flag(&mut input).ok_or(malformed("flags"))?,
                request_offset: varint::take(&mut input).ok_or(malformed("offset"))?,
            },
        };
        if input.has_remaining() { Err(malformed("bytes after its end")) } else { Ok(frame) }
    }
}

/// Appends the header of a DATA frame whose `length` bytes the caller sends behind it.
pub fn put_data_header(out: &mut impl BufMut, length: usize) {
    out.put_u8(FrameKind::Data.number());
    varint::put(out, length as u64);
}

/// Appends a REQUEST_HEAD frame, as [`Frame::put`] does for a head that a frame owns.
pub fn put_request_head(out: &mut BytesMut, head: &RequestHead) {
    out.put_u8(FrameKind::RequestHead.number());
    let start = open_length(out);
    head.put(out);
    close_length(out, start);
}

/// The length stands before the payload: two bytes are reserved for it, and widened in the rare case
/// that they do not do.
fn open_length(out: &mut BytesMut) -> usize {
    let start = out.len();
    out.put_u16(0);
    start
}

/// Fills in the two-byte length that was reserved at `start`, or widens it to four.
fn close_length(out: &mut BytesMut, start: usize) {
    let length = out.len() - start - 2;
    if length < 1 << 14 {
        if let Some(mut place) = out.get_mut(start..start + 2) {
            place.put_u16(length as u16 | 1 << 14);
        }
    } else {
        let payload = out.split_off(start + 2);
        out.truncate(start);
        out.put_u32(length as u32 | 2 << 30);
        out.unsplit(payload);
    }
}
