//! Holds back who opens links without a credential again and again.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Links that one source may open at once: the agents of a machine that starts.
const BURST: f64 = 16.0;
/// And those that it gets back each second.
const REFILL_PER_S: f64 = 1.0;
/// Sources that are remembered.
const SOURCES_MAX: usize = 4096;

/// The links without a credential that each source opened.
#[derive(Debug, Default)]
pub struct Newcomers(Mutex<HashMap<IpAddr, Bucket>>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn at(self, now: Instant) -> Self {
        let regained = now.saturating_duration_since(self.at).as_secs_f64() * REFILL_PER_S;
        Self { left: (self.left + regained).min(BURST), at: now }
    }
}

impl Newcomers {
    /// Notes another link of `source`; false when it opened too many. With too many sources at a time
    /// a new one has to wait, too: those that are known keep their count.
    pub fn allow(&self, source: IpAddr, now: Instant) -> bool {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES_MAX {
            sources.retain(|_, bucket| bucket.at(now).left < BURST);
        }
        let source = network(source);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&source) {
            return false;
        }
        let bucket = sources.entry(source).or_insert(Bucket { left: BURST, at: now });
        *bucket = bucket.at(now);
        let allowed = bucket.left >= 1.0;
        if allowed {
            bucket.left -= 1.0;
        }
        allowed
    }
}

/// Who has one IPv6 address has the 2^64 of its network as well.
pub(super) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_source_opens_one_a_second_and_a_few_at_once() {
        let (newcomers, now) = (Newcomers::default(), Instant::now());
        let allowed =
            |source: [u8; 4], now| (0..100).filter(|_| newcomers.allow(source.into(), now)).count();
        assert_eq!(allowed([192, 0, 2, 1], now), 16);
        assert_eq!(allowed([192, 0, 2, 2], now), 16, "each source has its own");
        assert_eq!(allowed([192, 0, 2, 1], now + Duration::from_secs(3)), 3);
    }

    #[test]
    fn the_memory_is_bounded_and_nobody_is_forgotten_for_it() {
        let (newcomers, now) = (Newcomers::default(), Instant::now());
        let first = IpAddr::from([10, 0, 0, 1]);
        while newcomers.allow(first, now) {}
        for n in 0..2 * SOURCES_MAX as u32 {
            newcomers.allow(IpAddr::V4(n.into()), now);
        }
        assert_eq!(newcomers.0.lock().unwrap().len(), SOURCES_MAX);
        assert!(!newcomers.allow(first, now));
        assert!(newcomers.allow(first, now + Duration::from_secs(20)));
    }
}
