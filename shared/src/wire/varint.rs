//! Variable-length integers of 1, 2, 4 or 8 bytes (RFC 9000, 16).

use bytes::{Buf, BufMut};

/// Largest number that fits: 2^62 − 1.
pub const MAX: u64 = (1 << 62) - 1;

/// Writes `value` in its shortest form; values above [`MAX`] are written as [`MAX`].
pub fn put(out: &mut impl BufMut, value: u64) {
    let value = value.min(MAX);
    if value < 1 << 6 {
        out.put_u8(value as u8);
    } else if value < 1 << 14 {
        out.put_u16(value as u16 | 1 << 14);
    } else if value < 1 << 30 {
        out.put_u32(value as u32 | 2 << 30);
    } else {
        out.put_u64(value | 3 << 62);
    }
}

/// Bytes of an integer that begins with `first`.
pub const fn length(first: u8) -> usize {
    1 << (first >> 6)
}

/// Takes one integer from the front of `input`; `None`, and nothing taken, when it is cut short.
pub fn take(input: &mut impl Buf) -> Option<u64> {
    let first = *input.chunk().first()?;
    if input.remaining() < length(first) {
        return None;
    }
    Some(match first >> 6 {
        0 => u64::from(input.get_u8()),
        1 => u64::from(input.get_u16() & 0x3fff),
        2 => u64::from(input.get_u32() & 0x3fff_ffff),
        _ => input.get_u64() & MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_put_is_taken(value in 0..=MAX) {
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), length(out[0]));
            for cut in 0..out.len() {
                prop_assert_eq!(take(&mut &out[..cut]), None);
            }
            prop_assert_eq!(take(&mut out.as_slice()), Some(value));
        }
    }

    #[test]
    fn the_examples_of_the_rfc_hold() {
        assert_eq!(take(&mut &[0x9d, 0x7f, 0x3e, 0x7d][..]), Some(494_878_333));
        assert_eq!(take(&mut &[0x7b, 0xbd][..]), Some(15_293));
        assert_eq!(take(&mut &[0x25][..]), Some(37));
        assert_eq!(take(&mut &[0x40, 0x25][..]), Some(37));
    }
}
