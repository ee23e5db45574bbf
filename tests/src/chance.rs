//! A small seeded source of chance (SplitMix64), so that a run can be repeated.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// SplitMix64: enough for bad weather, never for secrets.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream of numbers that belongs to this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Chance {
        Chance(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `[0, 1)`.
    pub fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// A number below `end`, which must not be zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// A time in `[0, most)`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.fraction())
    }
}

/// The seed of this run: `HARNESS_SEED`, else a new one. Always printed, with what it is for.
#[must_use]
pub fn seed(purpose: &str) -> u64 {
    let given = std::env::var("HARNESS_SEED").ok();
    let seed = given.map_or_else(
        || RandomState::new().hash_one(purpose),
        |text| text.parse().expect("HARNESS_SEED is a number"),
    );
    eprintln!("{purpose}: HARNESS_SEED={seed}");
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_fractions_are_fair() {
        let (mut one, mut two) = (Chance::seeded(7), Chance::seeded(7));
        assert!((0..100).all(|_| one.next_u64() == two.next_u64()));
        let hits = (0..10_000).filter(|_| one.happens(0.2)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
    }
}
