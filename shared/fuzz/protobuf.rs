//! What must hold of every protobuf message that the relay reads, such as a card by gRPC.
//!
//! The reader is the relay's own; it needs nothing of the relay, so it is taken by its path.

use super::Verdict;

#[expect(unreachable_pub, dead_code, reason = "the relay makes more of it")]
#[path = "../../relay/src/protobuf.rs"]
mod reader;

/// Deeper than a card has messages within messages.
const DEPTH_MAX: usize = 8;

/// Input: one message.
pub(crate) fn message(input: &[u8]) -> Verdict {
    let expected = read(input);
    let Some(fields) = reader::fields(input) else {
        assert_eq!(expected, None, "a message was refused");
        return Verdict::Refused;
    };
    let seen: Vec<_> = fields.iter().map(|field| (field.number, field.content)).collect();
    assert_eq!(Some(seen), expected, "a message was read as another");
    let whole: Vec<u8> = fields.iter().flat_map(|field| field.raw.to_vec()).collect();
    assert_eq!(whole, input, "bytes were lost or made up");
    written_again(&fields);
    within(&fields, DEPTH_MAX);
    Verdict::Taken
}

/// What is written of a field is read as that field.
fn written_again(fields: &[reader::Field<'_>]) {
    let mut written = Vec::new();
    for field in fields {
        match field.content {
            Some(content) => reader::put(&mut written, field.number, content),
            None => reader::put_number(&mut written, field.number, 300),
        }
    }
    let read = reader::fields(&written).expect("what was written is a message");
    let parts = |fields: &[reader::Field<'_>]| -> Vec<(u64, Option<Vec<u8>>)> {
        fields.iter().map(|field| (field.number, field.content.map(<[u8]>::to_vec))).collect()
    };
    assert_eq!(parts(&read), parts(fields));
}

/// The same of messages within.
fn within(fields: &[reader::Field<'_>], depth: usize) {
    for content in fields.iter().filter_map(|field| field.content) {
        assert_eq!(reader::fields(content).is_some(), read(content).is_some());
        if let (Some(inner), true) = (reader::fields(content), depth > 0) {
            within(&inner, depth - 1);
        }
    }
}

/// Number and content of a field.
type Part<'m> = (u64, Option<&'m [u8]>);

/// The same of each field, by other means: the whole varint first, then its range.
fn read(message: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut fields = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let (tag, length) = varint(&message[at..])?;
        at += length;
        let (number, wire) = (tag / 8, tag % 8);
        let (skip, kept) = match wire {
            0 => (varint(&message[at..])?.1, false),
            1 => (8, false),
            2 => {
                let (content, length) = varint(&message[at..])?;
                at += length;
                (usize::try_from(content).ok()?, true)
            }
            5 => (4, false),
            _ => return None,
        };
        let content = message.get(at..at.checked_add(skip)?)?;
        at += skip;
        if number == 0 {
            return None;
        }
        fields.push((number, kept.then_some(content)));
    }
    Some(fields)
}

/// A number of at most 64 bits in at most ten bytes, and its length.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let length = 1 + bytes.iter().take(10).position(|byte| *byte < 0x80)?;
    let value = bytes[..length]
        .iter()
        .rev()
        .fold(0u128, |value, byte| value * 128 + u128::from(byte % 128));
    Some((u64::try_from(value).ok()?, length))
}
