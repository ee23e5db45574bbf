//! ACKS and DONE: what the receiver of bodies tells their senders, in batches on the control stream.

use bytes::{Buf, BufMut, Bytes};

use super::varint;
use crate::limits::ACKS_PER_FRAME_MAX;

/// Acknowledges the body of one exchange up to `offset`, and lets it go on to `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The exchange, by its counter; the instance is the link's.
    pub exchange: u64,
    /// Bytes that the receiver has handed on: their sender may forget them.
    pub offset: u64,
    /// Bytes, from the start of the body, that the sender may have sent. Never shrinks.
    pub limit: u64,
}

/// Appends the payload of an ACKS frame; at most [`ACKS_PER_FRAME_MAX`] entries.
pub fn put_acks(out: &mut impl BufMut, acks: &[Ack]) {
    for ack in acks.iter().take(ACKS_PER_FRAME_MAX) {
        varint::put(out, ack.exchange);
        varint::put(out, ack.offset);
        varint::put(out, ack.limit.saturating_sub(ack.offset));
    }
}

/// Reads the payload of an ACKS frame.
pub fn take_acks(mut input: Bytes) -> Result<Vec<Ack>, &'static str> {
    let mut acks = Vec::new();
    while input.has_remaining() {
        if acks.len() == ACKS_PER_FRAME_MAX {
            return Err("more than 512 entries");
        }
        let exchange = varint::take(&mut input).ok_or("exchange")?;
        let offset = varint::take(&mut input).ok_or("offset")?;
        let credit = varint::take(&mut input).ok_or("credit")?;
        let limit = offset.checked_add(credit).filter(|limit| *limit <= varint::MAX);
        acks.push(Ack { exchange, offset, limit: limit.ok_or("credit")? });
    }
    Ok(acks)
}

/// Appends the payload of a DONE frame; at most [`ACKS_PER_FRAME_MAX`] entries.
pub fn put_done(out: &mut impl BufMut, exchanges: &[u64]) {
    for exchange in exchanges.iter().take(ACKS_PER_FRAME_MAX) {
        varint::put(out, *exchange);
    }
}

/// Reads the payload of a DONE frame.
pub fn take_done(mut input: Bytes) -> Result<Vec<u64>, &'static str> {
    let mut exchanges = Vec::new();
    while input.has_remaining() {
        if exchanges.len() == ACKS_PER_FRAME_MAX {
            return Err("more than 512 entries");
        }
        exchanges.push(varint::take(&mut input).ok_or("exchange")?);
    }
    Ok(exchanges)
}
