//! Every code that crosses a link: how streams and links end, why a HELLO is refused, what a caller got.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $value:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }
        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The number on the wire.
            pub const fn number(self) -> u32 {
                match self {
                    $(Self::$variant => $value,)*
                }
            }
            /// The code with this number, if this version knows it.
            pub const fn from_number(number: u64) -> Option<Self> {
                match number {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
            /// Its name in documents and logs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

codes! {
    /// How one direction of a request stream ends before its END: the code of a RESET or a STOP.
    StreamCode {
        /// Nothing is wrong; the rest is not needed.
        Ok = 0, "OK";
        /// The caller left.
        Cancelled = 1, "CANCELLED";
        /// The request was not begun.
        Refused = 2, "REFUSED";
        /// The other end was silent for too long.
        Timeout = 3, "TIMEOUT";
        /// A body passed its limit.
        TooLarge = 4, "TOO_LARGE";
        /// The other end broke the protocol.
        Protocol = 5, "PROTOCOL";
        /// The other end did not take bytes that it had given credit for.
        Slow = 6, "SLOW";
    }
}

codes! {
    /// Why a link was closed.
    CloseCode {
        /// The end that closed has nothing left to do.
        Done = 0x00, "DONE";
        /// A newer link of the same workspace took over.
        Replaced = 0x10, "REPLACED";
        /// The credential belongs to another workspace.
        WrongWorkspace = 0x11, "WRONG_WORKSPACE";
        /// The credential was revoked, or the workspace removed.
        Revoked = 0x12, "REVOKED";
        /// The end that closed is shutting down.
        Draining = 0x13, "DRAINING";
        /// The two ends share no major version.
        Version = 0x14, "VERSION";
        /// The other end broke the protocol.
        Protocol = 0x15, "PROTOCOL";
        /// A typed refusal went before.
        Refused = 0x16, "REFUSED";
        /// The relay has no room for another link.
        Overloaded = 0x17, "OVERLOADED";
        /// HELLO or WELCOME did not come in time, or the path of a link went silent that a newer one of the
        /// same process takes the place of.
        Timeout = 0x18, "TIMEOUT";
    }
}

codes! {
    /// Why a connector ends an exchange in band.
    AbortCode {
        /// The connector does not begin the request: it drains.
        Refused = 1, "REFUSED";
        /// The local agent refused the connection.
        UpstreamRefused = 2, "UPSTREAM_REFUSED";
        /// The local agent reset or closed the connection before its answer was complete.
        UpstreamReset = 3, "UPSTREAM_RESET";
        /// The local agent's answer is not HTTP, or over the limits.
        UpstreamProtocol = 4, "UPSTREAM_PROTOCOL";
        /// The local agent was silent for too long.
        UpstreamTimeout = 5, "UPSTREAM_TIMEOUT";
        /// The connector does not expose this path.
        PathDenied = 6, "PATH_DENIED";
        /// The relay or the connector broke the protocol within this exchange.
        Protocol = 7, "PROTOCOL";
        /// The connector has as many exchanges open as it takes.
        Busy = 8, "BUSY";
        /// CONTINUE named an exchange that the connector does not hold.
        UnknownExchange = 9, "UNKNOWN_EXCHANGE";
    }
}

/// Whether the local agent got a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Surely not: it may be sent again.
    NotSent,
    /// Nobody can tell.
    Maybe,
    /// Surely: the agent has begun to answer.
    Delivered,
}

impl Delivery {
    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::NotSent => 0,
            Self::Maybe => 1,
            Self::Delivered => 2,
        }
    }

    /// The state with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::NotSent),
            1 => Some(Self::Maybe),
            2 => Some(Self::Delivered),
            _ => None,
        }
    }

    /// Its name in headers and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not-sent",
            Self::Maybe => "maybe",
            Self::Delivered => "delivered",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the relay refuses the first message of a link.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefusalCode {
    /// The two ends share no major version.
    Version,
    /// The link brought no credential.
    Unauthenticated,
    /// The credential is unknown to this relay.
    UnknownCredential,
    /// The certificate's time is over; a known key may send RENEW.
    CertificateExpired,
    /// The credential was revoked.
    Revoked,
    /// The workspace was removed.
    WorkspaceGone,
    /// The credential belongs to another workspace than the one that HELLO names.
    WrongWorkspace,
    /// The join token is unknown to this relay.
    JoinUnknown,
    /// The join token was used up.
    JoinUsed,
    /// The join token's time is over.
    JoinExpired,
    /// The relay has no room for another link.
    Overloaded,
    /// The relay is shutting down.
    Draining,
    /// The relay cannot reach its store.
    StoreUnavailable,
    /// The message breaks the protocol.
    Malformed,
    /// A code of a newer version.
    #[serde(untagged)]
    Other(String),
}

impl RefusalCode {
    /// Whether trying again with the same credential cannot help.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Version
                | Self::Unauthenticated
                | Self::UnknownCredential
                | Self::Revoked
                | Self::WorkspaceGone
                | Self::WrongWorkspace
                | Self::JoinUnknown
                | Self::JoinUsed
                | Self::JoinExpired
        )
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(code) => f.write_str(code),
            known => known.serialize(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_one_code_each() {
        for code in StreamCode::ALL {
            assert_eq!(StreamCode::from_number(code.number().into()), Some(*code));
        }
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_number(code.number().into()), Some(*code));
        }
        for code in AbortCode::ALL {
            assert_eq!(AbortCode::from_number(code.number().into()), Some(*code));
        }
        assert_eq!(StreamCode::from_number(7), None);
        assert_eq!(Delivery::from_number(3), None);
    }

    #[test]
    fn a_refusal_code_of_a_newer_version_is_kept_as_text() {
        let code: RefusalCode = serde_json::from_str("\"SOLAR_FLARE\"").unwrap();
        assert_eq!(code, RefusalCode::Other("SOLAR_FLARE".into()));
        assert_eq!(code.to_string(), "SOLAR_FLARE");
        assert_eq!(RefusalCode::JoinUsed.to_string(), "JOIN_USED");
        assert_eq!(serde_json::to_string(&RefusalCode::JoinUsed).unwrap(), "\"JOIN_USED\"");
    }
}
