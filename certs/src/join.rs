//! The join string: the one line that an operator gives to an agent's owner.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use data_encoding::BASE64URL_NOPAD;
use shared::ids::WorkspaceId;

use crate::fingerprint::{CaFingerprint, sha256};
use crate::join_token::JoinToken;
use crate::time::unix_seconds;

const PREFIX: &str = "join1_";
/// A workspace id without its `ws_`: the 26 characters of a ULID.
const ULID_BYTES: usize = 26;
const CHECKSUM_BYTES: usize = 4;
/// Enough for the QUIC, TCP and HTTPS endpoints of a relay under two names, and still a string
/// that a terminal takes in one paste.
pub const ENDPOINTS_MAX: usize = 8;
/// A DNS name has at most 253 bytes (RFC 1035, 2.3.4), and one byte holds the length.
pub const ENDPOINT_BYTES_MAX: usize = 255;
/// No join string is longer than this many characters, so nothing longer is decoded.
const TEXT_BYTES_MAX: usize = 3072;

/// Everything that a connector needs to join: where the relay is, how to know it, as which
/// workspace, and by what token.
///
/// `Display` and `Debug` hide the token; [`JoinString::reveal`] is for whom it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinString {
    /// Where the relay takes links, as `host:port`; 1 to [`ENDPOINTS_MAX`] of them.
    pub endpoints: Vec<String>,
    /// The relay's certificate authority.
    pub ca: CaFingerprint,
    /// The workspace that the agent becomes.
    pub workspace: WorkspaceId,
    /// Traded for the agent's first certificate.
    pub token: JoinToken,
    /// From when on the token is void, in seconds since 1970.
    pub expires_at: u64,
}

/// Why a text is not a usable join string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// It is something else.
    #[error(
        "This is not a join string, which begins with `join1_`; paste the whole line that the \
         relay printed, or ask for a new one with `relay workspace join NAME`"
    )]
    NotAJoinString,
    /// Its checksum does not fit.
    #[error(
        "This join string was cut or mistyped, as its checksum shows; paste the whole line again, \
         or ask for a new one with `relay workspace join NAME`"
    )]
    Damaged,
    /// Its checksum fits, but what it holds is not what a relay writes.
    #[error(
        "This join string is whole but holds no endpoints and token that this connector \
         understands; ask for a new one with `relay workspace join NAME`"
    )]
    Malformed,
    /// It is of a later format.
    #[error(
        "This join string is of a newer version (`join{version}_`) than this connector \
         understands (`join1_`); update the connector, or ask for a new one with \
         `relay workspace join NAME` on a relay of this version"
    )]
    NewerVersion {
        /// The number behind `join`.
        version: u32,
    },
}

/// Why endpoints cannot stand in a join string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoints {
    /// None, or too many.
    #[error(
        "A join string holds 1 to {ENDPOINTS_MAX} endpoints, not {count}; name the tunnel's \
         endpoints accordingly"
    )]
    Count {
        /// How many there are.
        count: usize,
    },
    /// One is not `host:port`.
    #[error(
        "`{endpoint}` cannot stand in a join string; write `host:port` with a port from 1 to \
         65535 and at most {ENDPOINT_BYTES_MAX} bytes"
    )]
    Shape {
        /// The text in question.
        endpoint: String,
    },
}

impl JoinString {
    /// The text to paste, token included. Never log it.
    pub fn reveal(&self) -> Result<String, InvalidEndpoints> {
        check(&self.endpoints)?;
        let mut bytes = Vec::new();
        bytes.push(length_byte(self.endpoints.len()));
        for endpoint in &self.endpoints {
            bytes.push(length_byte(endpoint.len()));
            bytes.extend_from_slice(endpoint.as_bytes());
        }
        bytes.extend_from_slice(&self.ca.0);
        bytes.extend_from_slice(self.workspace.to_string().trim_start_matches("ws_").as_bytes());
        bytes.extend_from_slice(&self.token.0);
        bytes.extend_from_slice(&self.expires_at.to_be_bytes());
        bytes.extend_from_slice(&checksum(&bytes));
        Ok(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
    }

    /// Whether the token is void at `now`.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        unix_seconds(now) >= self.expires_at
    }
}

impl fmt::Display for JoinString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "join string for {} at {}", self.workspace, self.endpoints.join(", "))
    }
}

impl FromStr for JoinString {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, JoinError> {
        let text = text.trim();
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return Err(match later_version(text) {
                Some(version) => JoinError::NewerVersion { version },
                None => JoinError::NotAJoinString,
            });
        };
        if encoded.len() > TEXT_BYTES_MAX {
            return Err(JoinError::Damaged);
        }
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| JoinError::Damaged)?;
        let (payload, sum) =
            bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(JoinError::Damaged)?;
        if checksum(payload) != *sum {
            return Err(JoinError::Damaged);
        }
        Reader(payload).join_string().ok_or(JoinError::Malformed)
    }
}

/// The number of a `join{number}_` string later than ours.
fn later_version(text: &str) -> Option<u32> {
    let (digits, _) = text.strip_prefix("join")?.split_once('_')?;
    digits.parse().ok().filter(|version| *version > 1)
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = sha256(payload);
    [a, b, c, d]
}

/// [`check`] bounds every length below 256.
fn length_byte(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

fn check(endpoints: &[String]) -> Result<(), InvalidEndpoints> {
    if !(1..=ENDPOINTS_MAX).contains(&endpoints.len()) {
        return Err(InvalidEndpoints::Count { count: endpoints.len() });
    }
    match endpoints.iter().find(|endpoint| !is_host_and_port(endpoint)) {
        Some(endpoint) => Err(InvalidEndpoints::Shape { endpoint: endpoint.clone() }),
        None => Ok(()),
    }
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits && port.parse::<u16>().is_ok_and(|port| port != 0);
    let host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
    port && host && text.len() <= ENDPOINT_BYTES_MAX
}

/// Takes a payload apart from its front; every step is `None` when bytes are missing.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn join_string(mut self) -> Option<JoinString> {
        let count = self.byte()?;
        let endpoints = (0..count).map(|_| self.endpoint()).collect::<Option<Vec<_>>>()?;
        check(&endpoints).ok()?;
        let ca = CaFingerprint(self.array()?);
        let ulid: [u8; ULID_BYTES] = self.array()?;
        let workspace = format!("ws_{}", std::str::from_utf8(&ulid).ok()?).parse().ok()?;
        let token = JoinToken(self.array()?);
        let expires_at = u64::from_be_bytes(self.array()?);
        let whole = self.0.is_empty();
        whole.then_some(JoinString { endpoints, ca, workspace, token, expires_at })
    }

    fn endpoint(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }
}

#[cfg(test)]
mod tests;
