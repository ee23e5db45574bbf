//! The little of Protocol Buffers that gRPC's errors and cards need: fields on the wire. Pure.
//!
//! A message is read as a list of fields, and what is not looked at stays byte for byte.

/// The wire type of varints.
const VARINT: u64 = 0;
/// That of eight bytes.
const FIXED64: u64 = 1;
/// That of strings, bytes and messages.
const BYTES: u64 = 2;
/// That of four bytes.
const FIXED32: u64 = 5;

/// One field as it stood in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'m> {
    /// Its number.
    pub number: u64,
    /// The content of a string, of bytes, or of a message; `None` for a number.
    pub content: Option<&'m [u8]>,
    /// All of it, with its tag.
    pub raw: &'m [u8],
}

impl<'m> Field<'m> {
    /// The content, if it is text.
    pub fn text(&self) -> Option<&'m str> {
        std::str::from_utf8(self.content?).ok()
    }
}

/// The fields of a message in their order; `None` for what is no message. Groups are none: no schema of
/// this age has them.
pub fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let begun = rest;
        let tag = varint(&mut rest)?;
        let number = tag >> 3;
        let content = match tag & 7 {
            VARINT => {
                varint(&mut rest)?;
                None
            }
            FIXED64 => take(&mut rest, 8).map(|_| None)?,
            FIXED32 => take(&mut rest, 4).map(|_| None)?,
            BYTES => {
                let length = varint(&mut rest)?;
                Some(take(&mut rest, usize::try_from(length).ok()?)?)
            }
            _ => return None,
        };
        let raw = begun.get(..begun.len().checked_sub(rest.len())?)?;
        if number == 0 {
            return None;
        }
        fields.push(Field { number, content, raw });
    }
    Some(fields)
}

fn take<'m>(rest: &mut &'m [u8], bytes: usize) -> Option<&'m [u8]> {
    let (taken, left) = rest.split_at_checked(bytes)?;
    *rest = left;
    Some(taken)
}

/// A varint of ten bytes at most.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        let bits = u64::from(byte & 0x7f);
        value |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The low seven bits: nothing is lost.
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number.
pub fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3 | VARINT);
    put_varint(out, value);
}

/// Appends a string, bytes, or a message.
pub fn put(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_varint(out, number << 3 | BYTES);
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_come_back_as_they_were_put() {
        let mut message = Vec::new();
        put(&mut message, 3, b"text");
        put_number(&mut message, 1, 300);
        message.extend_from_slice(&[0x15, 1, 2, 3, 4]);
        put(&mut message, 1_000, &[7; 200]);
        let fields = fields(&message).unwrap();
        let seen: Vec<_> = fields.iter().map(|field| (field.number, field.content)).collect();
        let long = [7; 200];
        assert_eq!(seen, [(3, Some(&b"text"[..])), (1, None), (2, None), (1_000, Some(&long[..]))]);
        let raw: Vec<u8> = fields.iter().flat_map(|field| field.raw.to_vec()).collect();
        assert_eq!(raw, message);
    }

    #[test]
    fn what_is_no_message_is_none() {
        for wrong in [
            &[0x0a][..],
            &[0x0a, 5, 1],
            &[0x0b],
            &[0x00, 1],
            &[0x80; 11],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert_eq!(fields(wrong), None, "{wrong:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_lost_or_made_up(message in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(fields) = fields(&message) {
                let raw: Vec<u8> = fields.iter().flat_map(|field| field.raw.to_vec()).collect();
                prop_assert_eq!(raw, message);
            }
        }
    }
}
