//! SHA-256 names of certificates and keys.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a text is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must look like `{prefix}` and 64 lower-case hexadecimal digits; copy it again")]
pub struct FingerprintError {
    what: &'static str,
    prefix: &'static str,
}

/// SHA-256 of the DER of a relay's CA certificate, written `sha256:<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaFingerprint(pub [u8; 32]);

/// SHA-256 of a certificate's SubjectPublicKeyInfo in DER: one key pair, whatever certificates it
/// is given. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl CaFingerprint {
    /// The fingerprint of the certificate `der`.
    pub fn of(der: &[u8]) -> Self {
        Self(sha256(der))
    }
}

impl KeyHash {
    /// The hash of the public key `spki`, a SubjectPublicKeyInfo in DER.
    pub fn of(spki: &[u8]) -> Self {
        Self(sha256(spki))
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

macro_rules! as_text {
    ($type:ident, $prefix:literal, $what:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), HEXLOWER.encode(&self.0))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $type {
            type Err = FingerprintError;
            fn from_str(text: &str) -> Result<Self, FingerprintError> {
                text.strip_prefix($prefix)
                    .and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok())
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or(FingerprintError { what: $what, prefix: $prefix })
            }
        }
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(CaFingerprint, "sha256:", "The fingerprint of a relay's certificate authority");
as_text!(KeyHash, "", "The hash of a key");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_crosses_text_and_json() {
        let fingerprint = CaFingerprint::of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(text.parse(), Ok(fingerprint));
        let json = serde_json::to_string(&fingerprint).unwrap();
        assert_eq!(serde_json::from_str::<CaFingerprint>(&json).unwrap(), fingerprint);
        assert_eq!(KeyHash::of(b"abc").to_string(), text[7..]);
    }

    #[test]
    fn other_texts_are_refused() {
        let good = CaFingerprint::of(b"abc").to_string();
        for wrong in
            ["", "sha256:", &good[7..], &good[..70], &good.to_uppercase(), &format!("{good}0")]
        {
            assert!(wrong.parse::<CaFingerprint>().is_err(), "{wrong}");
        }
    }
}
