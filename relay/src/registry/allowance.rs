//! What an agent may be asked, of all together or of one: how fast, how much at a time, and what.

use crate::methods::Methods;

/// The most requests that a policy may let be open at a time: as many as a link takes.
pub const IN_FLIGHT_MAX: u32 = 4096;

/// What may be asked. The default is everything, as far as a link takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowance {
    /// How fast requests may begin; `None` where nobody has said.
    pub rate: Option<Rate>,
    /// How many may be open at a time, 1 to [`IN_FLIGHT_MAX`]; `None` where nobody has said.
    pub in_flight: Option<u32>,
    /// Which methods may be used.
    pub methods: Methods,
}

/// So many requests in 1,000 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(u32);

impl Rate {
    /// The lowest, requests per second: nearly four an hour.
    pub const PER_S_MIN: f64 = 0.001;
    /// The highest, requests per second: more than a relay carries.
    pub const PER_S_MAX: f64 = 100_000.0;
    /// Seconds' worth that may begin at once.
    const BURST_S: f64 = 2.0;

    /// So many requests per second, to three places; `None` beyond the lowest and the highest.
    pub fn per_second(requests: f64) -> Option<Self> {
        let fits = (Self::PER_S_MIN..=Self::PER_S_MAX).contains(&requests);
        format!("{:.0}", requests * 1000.0).parse().ok().filter(|_| fits).map(Self)
    }

    /// As it is stored: requests in 1,000 seconds.
    pub const fn per_1000_s(self) -> u32 {
        self.0
    }

    /// As it was stored.
    pub(super) const fn stored(per_1000_s: u32) -> Self {
        Self(per_1000_s)
    }

    /// Requests per second.
    pub fn requests_per_s(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// Requests that may begin at once: two seconds' worth, and one at least.
    pub fn burst(self) -> f64 {
        (self.requests_per_s() * Self::BURST_S).max(1.0)
    }
}

/// As a number of requests per second; a whole one is written as one.
impl serde::Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 % 1000 {
            0 => serializer.serialize_u32(self.0 / 1000),
            _ => serializer.serialize_f64(self.requests_per_s()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_as_it_was_given() {
        for (given, told, burst) in [
            (0.001, "0.001", 1.0),
            (0.5, "0.5", 1.0),
            (1.0, "1", 2.0),
            (2.5, "2.5", 5.0),
            (100_000.0, "100000", 200_000.0),
        ] {
            let rate = Rate::per_second(given).unwrap();
            assert_eq!(serde_json::to_string(&rate).unwrap(), told);
            assert_eq!((rate.burst(), Rate::stored(rate.per_1000_s())), (burst, rate));
        }
        for wrong in [0.0, 0.000_9, -1.0, 100_000.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Rate::per_second(wrong), None, "{wrong}");
        }
    }
}
