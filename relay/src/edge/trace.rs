//! The trace of a request: begun for one that brings none, and told from its field (W3C Trace Context, 3.2).

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue};

static KEY: LazyLock<[RandomState; 3]> = LazyLock::new(Default::default);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The field that names a trace.
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id of a trace: 32 hexadecimal digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The id of the trace that a request belongs to; `None` for a field that is not of the form.
pub fn id_in(fields: &HeaderMap) -> Option<TraceId> {
    let (version, rest) = fields.get(&TRACEPARENT)?.as_bytes().split_at_checked(3)?;
    let (id, rest) = rest.split_first_chunk::<32>()?;
    let is_hex = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let fits = is_hex(version.get(..2)?) && version.ends_with(b"-") && rest.starts_with(b"-");
    (fits && is_hex(id) && id.iter().any(|byte| *byte != b'0')).then_some(TraceId(*id))
}

/// A `traceparent` with a new trace and span, not sampled.
pub fn traceparent() -> HeaderValue {
    // Keyed hashes of a counter: as unguessable as ids need be, and no system call per request.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [high, low, span] = KEY.each_ref().map(|key| key.hash_one(count).to_be_bytes());
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    for (place, bytes) in [(3..19, high), (19..35, low), (36..52, span)] {
        if let Some(place) = text.get_mut(place) {
            HEXLOWER.encode_mut(&bytes, place);
        }
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_read_from_a_field_of_the_form() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let of = |text: &str| {
            let fields = HeaderMap::from_iter([(TRACEPARENT.clone(), text.parse().unwrap())]);
            id_in(&fields).map(|id| id.as_str().to_owned())
        };
        for version in ["00", "cc"] {
            let text = format!("{version}-{id}-b7ad6b7169203331-01");
            assert_eq!(of(&text).as_deref(), Some(id));
        }
        assert_eq!(of(traceparent().to_str().unwrap()).map(|id| id.len()), Some(32));
        let (upper, zeros) = (id.to_uppercase(), "0".repeat(32));
        for wrong in
            ["", "00-aa-bb-01", id, &format!("00-{upper}-b7-01"), &format!("00-{zeros}-b-1")]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(id_in(&HeaderMap::new()), None);
    }

    #[test]
    fn traces_have_their_form_and_differ() {
        let (one, two) = (traceparent(), traceparent());
        let text = one.to_str().unwrap();
        let lengths: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(lengths, [2, 32, 16, 2], "{text}");
        assert!(text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()));
        assert_ne!(one, two);
    }
}
