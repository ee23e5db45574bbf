//! The last words of a connection: a stream of its own, since the multiplexer's GO_AWAY has no codes.

use bytes::{BufMut, Bytes, BytesMut};
use shared::codes::CloseCode;
use shared::wire::varint;

/// Begins a stream that closes the connection: no frame is of this kind.
pub(super) const MARK: u8 = 0;
/// The longest reason that is sent or read, bytes.
const REASON_BYTES_MAX: usize = 1024;
/// The longest farewell: mark, code, reason.
pub(super) const BYTES_MAX: usize = 1 + 8 + REASON_BYTES_MAX;

/// The bytes of a farewell.
pub(super) fn encode(code: CloseCode, reason: &str) -> Bytes {
    let reason = reason.as_bytes();
    let mut bytes = BytesMut::with_capacity(16 + reason.len().min(REASON_BYTES_MAX));
    bytes.put_u8(MARK);
    varint::put(&mut bytes, code.number().into());
    bytes.put_slice(reason.get(..REASON_BYTES_MAX).unwrap_or(reason));
    bytes.freeze()
}

/// The code and the reason, if these are bytes of a farewell.
pub(super) fn decode(bytes: &[u8]) -> Option<(u64, Bytes)> {
    let (mark, mut rest) = bytes.split_first()?;
    let code = varint::take(&mut rest).filter(|_| *mark == MARK)?;
    Some((code, Bytes::copy_from_slice(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farewell_is_read_as_it_was_meant() {
        let bytes = encode(CloseCode::Revoked, "The credential was revoked.");
        assert_eq!(&bytes[..3], [0, 0x12, b'T']);
        assert_eq!(decode(&bytes), Some((0x12, Bytes::from("The credential was revoked."))));
        assert_eq!(decode(&encode(CloseCode::Done, &"x".repeat(5000))).unwrap().1.len(), 1024);
        assert_eq!((decode(&[]), decode(&[0]), decode(&[1, 0])), (None, None, None));
    }
}
