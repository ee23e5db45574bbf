//! Length and SHA-256 of a body: what two ends compare to prove that they saw the same bytes.

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// Length and lower-case hexadecimal SHA-256 of some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Bytes seen.
    pub length: u64,
    /// Their SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

impl Fingerprint {
    /// The fingerprint of bytes at hand.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Fingerprint {
        let mut running = Running::default();
        running.add(bytes);
        running.done()
    }
}

/// A fingerprint that grows with the bytes.
#[derive(Default)]
pub struct Running {
    length: u64,
    hash: Sha256,
}

impl Running {
    /// Takes in the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// Bytes taken in so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The fingerprint of all bytes so far.
    #[must_use]
    pub fn done(&self) -> Fingerprint {
        let digest = self.hash.clone().finalize();
        Fingerprint { length: self.length, sha256: HEXLOWER.encode(&digest) }
    }
}

/// The content repeats after so many bytes: a prime, so that no lost piece of a round size is missed.
const PERIOD: usize = 1_048_583;

/// Deterministic content: the byte at each offset depends on the offset alone, with no short period,
/// so that a lost, doubled or shifted piece always changes the hash.
#[must_use]
pub fn pattern(offset: u64, length: usize) -> Bytes {
    static CONTENT: LazyLock<Bytes> = LazyLock::new(|| {
        (0..PERIOD as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
    });
    let mut at = (offset % PERIOD as u64) as usize;
    if at + length <= PERIOD {
        return CONTENT.slice(at..at + length);
    }
    let mut bytes = BytesMut::with_capacity(length);
    while bytes.len() < length {
        let size = (PERIOD - at).min(length - bytes.len());
        bytes.extend_from_slice(&CONTENT[at..at + size]);
        at = (at + size) % PERIOD;
    }
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_whole_agree() {
        let mut running = Running::default();
        running.add(&pattern(0, 1000));
        running.add(&pattern(1000, 500));
        assert_eq!(running.done(), Fingerprint::of(&pattern(0, 1500)));
        assert_ne!(running.done(), Fingerprint::of(&pattern(1, 1500)));
        let long = pattern(0, 3 * PERIOD);
        assert_eq!(long[PERIOD + 5..2 * PERIOD + 9], pattern(PERIOD as u64 + 5, PERIOD + 4));
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Fingerprint::of(b"").sha256, empty);
    }
}
