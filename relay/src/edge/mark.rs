//! What a caller calls a task or a context, as far as it may stand in the log: short, harmless and no
//! secret of ours. Kept in place, since every request may have two.

use std::fmt;

use super::access::NEVER_CROSS;

/// Bytes that are kept: ids are UUIDs, or not much longer.
const BYTES_MAX: usize = 64;
/// Characters of an address behind its `a_`.
const ADDRESS_CHARS: usize = 26;

/// The beginning of an id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    bytes: [u8; BYTES_MAX],
    length: usize,
}

impl Mark {
    /// What of an id may be told; `None` where it is empty, has anything but plain printable characters,
    /// or looks like a credential or an address.
    pub fn of(id: &[u8]) -> Option<Self> {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        let secret = |bytes: &[u8]| {
            let ours = NEVER_CROSS.iter().chain(&[&b"join1_"[..]]).any(|it| bytes.starts_with(it));
            ours || is_address(bytes)
        };
        let tail = |at| id.get(at..).unwrap_or_default();
        // Each of the secrets has an underscore, and few ids have.
        let may = id.contains(&b'_');
        if id.is_empty() || !id.iter().all(plain) || may && (0..id.len()).any(|at| secret(tail(at)))
        {
            return None;
        }
        let mut bytes = [0; BYTES_MAX];
        let length = id.len().min(BYTES_MAX);
        bytes.get_mut(..length)?.copy_from_slice(id.get(..length)?);
        Some(Self { bytes, length })
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// Whether an address begins here.
fn is_address(bytes: &[u8]) -> bool {
    let random = bytes.strip_prefix(b"a_").and_then(|rest| rest.get(..ADDRESS_CHARS));
    random.is_some_and(|random| random.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')))
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::Address;

    use super::*;

    #[test]
    fn an_id_is_told_if_it_is_harmless() {
        let long = "x".repeat(100);
        for (id, told) in [
            ("0f8fad5b-d9cb-469f-a165-70867728950e", Some("0f8fad5b-d9cb-469f-a165-70867728950e")),
            ("urn:task:1/2", Some("urn:task:1/2")),
            (
                "data_0f8fad5bd9cb469fa16570867728950e",
                Some("data_0f8fad5bd9cb469fa16570867728950e"),
            ),
            (&long, Some(&long[..64])),
            ("", None),
            ("two words", None),
            ("a\"b", None),
            ("a\\u0041", None),
            ("line\nbreak", None),
            ("ü", None),
            ("rcall_01ARZ3NDEKTSV4RRFFQ69G5FAVx", None),
            ("x-rtok_1", None),
        ] {
            assert_eq!(Mark::of(id.as_bytes()).as_ref().map(Mark::as_str), told, "{id}");
        }
        let address = format!("of-{}", Address::new([7; 16]).reveal());
        assert_eq!(Mark::of(address.as_bytes()), None);
    }
}
