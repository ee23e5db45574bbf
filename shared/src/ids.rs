//! The names of things: workspaces, their addresses and aliases, processes and exchanges.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Why a text is not one of our names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must look like {shape}")]
pub struct NameError {
    what: &'static str,
    shape: &'static str,
}

/// The registered identity of an agent: `ws_` and a ULID in upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkspaceId(Ulid);

/// The organisation that owns the workspaces of a relay: `org_` and a ULID in upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrgId(Ulid);

macro_rules! prefixed_ulid {
    ($type:ident, $prefix:literal, $what:literal) => {
        impl $type {
            /// Gives the ULID `ulid` its prefix.
            pub const fn new(ulid: Ulid) -> Self {
                Self(ulid)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(self.0.array_to_str(&mut [0; ulid::ULID_LEN]))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                text.strip_prefix($prefix)
                    .and_then(|rest| Ulid::from_string(rest).ok().map(|ulid| (rest, ulid)))
                    // One spelling only: two spellings of one id would be two keys in a map.
                    .filter(|(rest, ulid)| ulid.to_string() == *rest)
                    .map(|(_, ulid)| Self(ulid))
                    .ok_or(NameError {
                        what: $what,
                        shape: concat!($prefix, "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
                    })
            }
        }
        via_text!($type);
    };
}

macro_rules! via_text {
    ($type:ident) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.reveal())
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

impl WorkspaceId {
    fn reveal(&self) -> Self {
        *self
    }
}

impl OrgId {
    fn reveal(&self) -> Self {
        *self
    }
}

prefixed_ulid!(WorkspaceId, "ws_", "a workspace id");
prefixed_ulid!(OrgId, "org_", "an organisation id");

/// The random public handle of a workspace: `a_` and 128 random bits in lower-case base32.
///
/// Under the caller policy `link` whoever knows it may call, so it prints as its first six
/// characters only; [`Address::reveal`] is for the places that hand it to its owner.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address([u8; 16]);

impl Address {
    /// Makes an address of 128 random bits.
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The whole address. Never log it.
    pub fn reveal(&self) -> String {
        format!("a_{}", BASE32_NOPAD.encode(&self.0).to_lowercase())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reveal().get(..6).unwrap_or_default())?;
        f.write_str("…")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let decode = |rest: &str| {
            let mut upper: [u8; 26] = rest.as_bytes().try_into().ok()?;
            upper.make_ascii_uppercase();
            let mut bytes = [0; 16];
            BASE32_NOPAD.decode_mut(&upper, &mut bytes).ok().map(|_| Self(bytes))
        };
        text.strip_prefix("a_")
            .filter(|rest| !rest.bytes().any(|byte| byte.is_ascii_uppercase()))
            .and_then(decode)
            .ok_or(NameError { what: "an address", shape: "a_ and 26 characters a-z2-7" })
    }
}

via_text!(Address);

/// A chosen public name of a workspace: one DNS label in lower case (RFC 1035, 2.3.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias(String);

impl Alias {
    /// The label itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Alias {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let letters =
            text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let edges = !text.starts_with('-') && !text.ends_with('-');
        if (1..=63).contains(&text.len()) && letters && edges {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError {
                what: "an alias",
                shape: "a DNS label: 1 to 63 characters a-z, 0-9 and -, no - at either end",
            })
        }
    }
}

via_text!(Alias);

/// One running process of a connector or a relay: 64 random bits, made at start.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceId(pub u64);

impl InstanceId {
    fn reveal(&self) -> String {
        HEXLOWER.encode(&self.0.to_be_bytes())
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reveal())
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InstanceId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(|bytes| Self(u64::from_be_bytes(bytes)))
            .ok_or(NameError { what: "an instance id", shape: "16 lower-case hexadecimal digits" })
    }
}

via_text!(InstanceId);

/// One request and its answer, named by the process that opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExchangeId {
    /// The process that opened the exchange: a relay's, or a connector's for its agent's own calls.
    pub instance: InstanceId,
    /// Counts the exchanges of that process: a relay's from 1, a connector's from
    /// [`OUTBOUND_COUNTER_MIN`]; at most 2^62 − 1.
    pub counter: u64,
}

/// From here on a connector counts: so one number names each exchange of a link, whoever opened it.
pub const OUTBOUND_COUNTER_MIN: u64 = 1 << 61;

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.instance, self.counter)
    }
}

/// Which of a workspace's links a link is: 1 for the first, growing with each that is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_id_has_one_spelling() {
        let id: WorkspaceId = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        assert_eq!(id.to_string(), "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV");
        for wrong in [
            "ws_01arz3ndektsv4rrffq69g5fav",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "ws_",
            "ws_81ARZ3NDEKTSV4RRFFQ69G5FAV0",
        ] {
            assert!(wrong.parse::<WorkspaceId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_prints_six_characters_and_reveals_all() {
        let address = Address::new([0xA5; 16]);
        assert_eq!(address.reveal().len(), 28);
        assert_eq!(address.reveal().parse::<Address>().unwrap(), address);
        assert_eq!(format!("{address}"), format!("{}…", &address.reveal()[..6]));
        assert!(address.reveal().to_uppercase().parse::<Address>().is_err());
        assert!("a_".parse::<Address>().is_err());
    }

    #[test]
    fn an_alias_is_a_dns_label() {
        for right in ["a", "my-agent", "0", &"x".repeat(63)] {
            assert!(right.parse::<Alias>().is_ok(), "{right}");
        }
        for wrong in ["", "-a", "a-", "A", "a.b", "a_b", &"x".repeat(64)] {
            assert!(wrong.parse::<Alias>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_cross_json_as_text() {
        let instance = InstanceId(0x0123_4567_89ab_cdef);
        let json = serde_json::to_string(&instance).unwrap();
        assert_eq!(json, "\"0123456789abcdef\"");
        assert_eq!(serde_json::from_str::<InstanceId>(&json).unwrap(), instance);
    }
}
