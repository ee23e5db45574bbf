//! Frames: what crosses a request stream and the control stream, encoded and decoded without copying large bodies.

pub mod acks;
pub mod chunks;
pub mod credit;
pub mod fields;
pub mod frame;
pub mod head;
pub mod joined;
pub mod message;
pub mod reader;
pub mod sent;
pub mod varint;

pub use acks::Ack;
pub use chunks::Chunks;
pub use credit::{ReceiveCredit, SendCredit};
pub use frame::{Abort, Frame, FrameKind};
pub use head::{Binding, RequestHead, ResponseHead, Target};
pub use joined::Joined;
pub use message::{Direction, MessageReader};
pub use reader::FrameReader;
pub use sent::SentFrames;

/// Why bytes are not the frames of this protocol, or not in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No frame has this kind.
    #[error("frame kind 0x{0:02x} is unknown in protocol version 1")]
    UnknownKind(u8),
    /// The frame exists but not on this stream, or not at this point of it.
    #[error("a {0} frame does not belong here")]
    Unexpected(FrameKind),
    /// A frame is longer than its kind allows.
    #[error("a {kind} frame of {length} bytes is over its limit")]
    TooLong {
        /// The frame's kind.
        kind: FrameKind,
        /// The length that it announced, bytes.
        length: u64,
    },
    /// A payload does not have the layout of its kind.
    #[error("the payload of a {kind} frame is malformed: {what}")]
    Malformed {
        /// The frame's kind.
        kind: FrameKind,
        /// Which part of it.
        what: &'static str,
    },
    /// The sender passed its credit.
    #[error("the body passed its credit of {0} bytes")]
    CreditExceeded(u64),
    /// END states another length than what came.
    #[error("END states {stated} bytes but {received} came")]
    WrongTotal {
        /// What END says, bytes.
        stated: u64,
        /// What came, bytes.
        received: u64,
    },
    /// The stream ended without END, ABORT or RESET.
    #[error("the stream ended before its END frame: it was cut")]
    Cut,
}
