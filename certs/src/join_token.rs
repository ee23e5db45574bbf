//! The one-time token of a join string.

use std::fmt;

use crate::fingerprint::sha256;
use crate::random::{RandomError, random_bytes};

/// 256 random bits that may be traded for an agent's certificate. Prints as a placeholder.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken(pub [u8; 32]);

impl JoinToken {
    /// A fresh token.
    pub fn random() -> Result<Self, RandomError> {
        random_bytes().map(Self)
    }

    /// SHA-256 of the token: what the relay keeps, since it never needs the token itself.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&self.0)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(…)")
    }
}
