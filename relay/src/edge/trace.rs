//! Begins a trace for a request that brings none (W3C Trace Context, 3.2).

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

static KEY: LazyLock<[RandomState; 3]> = LazyLock::new(Default::default);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// A `traceparent` with a new trace and span, not sampled.
pub fn traceparent() -> HeaderValue {
    // Keyed hashes of a counter: as unguessable as ids need be, and no system call per request.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [high, low, span] = KEY.each_ref().map(|key| key.hash_one(count));
    HeaderValue::from_str(&format!("00-{high:016x}{low:016x}-{span:016x}-00"))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_have_their_form_and_differ() {
        let (one, two) = (traceparent(), traceparent());
        assert_eq!(one.len(), 55);
        assert_ne!(one, two);
    }
}
