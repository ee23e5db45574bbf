//! Answers 429 to whoever tries too many URLs and credentials that do not fit.
//!
//! Only requests that were refused for them count, and only those get this answer in place of their
//! own: nobody with a valid one is ever held up, nor is a guess that fits. What keeps guesses from
//! fitting is the length of what has to be guessed.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use dashmap::DashMap;

/// Wrong guesses that one source has at once: a misconfigured fleet behind one address stays below.
const BURST: f64 = 1024.0;
/// And those that it gets back each second.
const REFILL_PER_S: f64 = 64.0;
/// Sources that are remembered, some 64 bytes each.
const SOURCES_MAX: usize = 16 * 1024;

/// The wrong guesses of each source.
#[derive(Debug, Default)]
pub struct Guesses {
    sources: DashMap<IpAddr, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    const fn full(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    fn at(self, now: Instant) -> Self {
        let regained = now.saturating_duration_since(self.at).as_secs_f64() * REFILL_PER_S;
        Self { left: (self.left + regained).min(BURST), at: now }
    }
}

impl Guesses {
    /// Notes a wrong guess; false when its source made too many.
    pub fn allow(&self, source: IpAddr, now: Instant) -> bool {
        if self.sources.len() >= SOURCES_MAX {
            self.forget_idle(now);
        }
        let mut bucket = self.sources.entry(network(source)).or_insert(Bucket::full(now));
        *bucket = bucket.at(now);
        let allowed = bucket.left >= 1.0;
        if allowed {
            bucket.left -= 1.0;
        }
        allowed
    }

    /// Makes room. A source that guesses on from many addresses is then forgotten with the others.
    fn forget_idle(&self, now: Instant) {
        self.sources.retain(|_, bucket| bucket.at(now).left < BURST);
        if self.sources.len() >= SOURCES_MAX {
            self.sources.clear();
        }
    }
}

/// Who has one IPv6 address has the 2^64 of its network as well.
fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_source_has_its_burst_and_what_time_gives_back() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let allowed = |source, now| (0..2_000).filter(|_| guesses.allow(source, now)).count();
        assert_eq!(allowed(one, now), 1_024);
        assert_eq!(allowed(other, now), 1_024, "each source has its own");
        assert_eq!(allowed(one, now + Duration::from_secs(2)), 128);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_source() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let allowed =
            (0..2_000u128).filter(|n| guesses.allow(Ipv6Addr::from_bits(*n).into(), now)).count();
        assert_eq!(allowed, 1_024);
    }

    #[test]
    fn the_memory_is_bounded() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for n in 0..2 * SOURCES_MAX as u32 {
            guesses.allow(IpAddr::V4(n.into()), now);
        }
        assert!(guesses.sources.len() <= SOURCES_MAX);
    }
}
