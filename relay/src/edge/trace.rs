//! Begins a trace for a request that brings none (W3C Trace Context, 3.2).

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXLOWER;
use http::HeaderValue;

static KEY: LazyLock<[RandomState; 3]> = LazyLock::new(Default::default);
static COUNT: AtomicU64 = AtomicU64::new(0);

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
    fn traces_have_their_form_and_differ() {
        let (one, two) = (traceparent(), traceparent());
        let text = one.to_str().unwrap();
        let lengths: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(lengths, [2, 32, 16, 2], "{text}");
        assert!(text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()));
        assert_ne!(one, two);
    }
}
