//! Why there is no link, one sentence for each.

use std::io;

use certs::{CaFingerprint, IdentityError, KeyError, TlsError};
use quinn::{ConnectionError, TransportErrorCode};
use rustls::AlertDescription;
use shared::codes::{CloseCode, RefusalCode};
use shared::control::Refusal;
use transport::ConnectionEnd;

use super::reconnect::Trouble;
use crate::proxy::ProxyError;

/// TLS's alert for ends that share no protocol (RFC 7301, 3.2).
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// Why a link did not come about, or ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The relay's name means no address.
    #[error("The relay's name in {endpoint} does not resolve ({source}); check name and DNS.")]
    Unresolved {
        /// What was to be dialled.
        endpoint: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Nobody answers there.
    #[error(
        "No answer from the relay at {endpoint} over UDP; check that it runs, that the port is \
         right, and that no firewall blocks UDP."
    )]
    NoAnswer {
        /// What was dialled.
        endpoint: String,
    },
    /// Nobody answers there over TCP.
    #[error(
        "No answer from the relay at {endpoint} over TCP ({source}); check that it runs, that the \
         port is right, and that no firewall blocks it."
    )]
    NoConnection {
        /// What was dialled.
        endpoint: String,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else answers there.
    #[error(
        "Whoever answers at {endpoint} is not the relay whose authority is {ca}; check the \
         address, or join again if the relay was set up anew."
    )]
    WrongAuthority {
        /// What was dialled.
        endpoint: String,
        /// Who was expected.
        ca: CaFingerprint,
    },
    /// Somebody else answers there over TCP, and the relay is silent elsewhere: it may only be down.
    #[error(
        "Whoever answers at {endpoint} over TCP is not the relay: another server of HTTPS, or somebody on \
         the way who inspects TLS; and no other way to the relay is answered. Check that it runs."
    )]
    Stranger {
        /// What was dialled.
        endpoint: String,
    },
    /// Somebody else answers through the proxy.
    #[error(
        "Through the proxy {proxy} somebody else than the relay answers for {endpoint}: the proxy inspects \
         TLS, or leads elsewhere. Have the relay's host excepted from inspection; or, to let the proxy read all \
         that crosses, dial with a workspace token and name the proxy's authority as `--relay-ca`."
    )]
    Inspected {
        /// The proxy.
        proxy: String,
        /// What was to be reached.
        endpoint: String,
    },
    /// The proxy does not lead to the relay.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// QUIC goes through no proxy.
    #[error(
        "A proxy stands before {endpoint}, and QUIC goes through none: leave `--transport` at auto, or \
         name the relay's host in NO_PROXY."
    )]
    NotOverUdp {
        /// What was not dialled.
        endpoint: String,
    },
    /// The two ends share no version.
    #[error(
        "The server at {endpoint} does not speak this version of the tunnel; install an \
         agent-connector of the relay's version, and check the port."
    )]
    Version {
        /// What was dialled.
        endpoint: String,
    },
    /// The relay said no.
    #[error("The relay refused: {} ({})", .0.message, .0.code)]
    Refused(Refusal),
    /// The relay closed the link.
    #[error("The relay closed the link ({code}): {help}.", code = .0, help = help(*.0))]
    Closed(CloseCode),
    /// The relay revoked the credential.
    #[error("The relay revoked this agent's credential: {0}")]
    Revoked(String),
    /// The link was lost.
    #[error("The link was lost ({0}).")]
    Lost(String),
    /// The relay's answer makes no sense.
    #[error("The relay's answer cannot be used: {0}. Update relay and agent-connector.")]
    Malformed(String),
    /// No socket could be had.
    #[error("No UDP socket can be opened ({0}); check the limits of this system.")]
    Socket(#[source] io::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The identity cannot be used or kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No key can be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The words of the other end, without what a terminal would obey.
fn plain_text(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    text.chars().filter(|char| !char.is_control()).take(300).collect()
}

impl LinkError {
    /// Names the failed handshake with `endpoint`.
    pub(crate) fn of_handshake(error: &ConnectionError, endpoint: &str, ca: CaFingerprint) -> Self {
        let endpoint = endpoint.to_owned();
        let code = match error {
            ConnectionError::TransportError(error) => Some(error.code),
            ConnectionError::ConnectionClosed(close) => Some(close.error_code),
            _ => None,
        };
        match error {
            _ if code == Some(TransportErrorCode::crypto(certs::WRONG_AUTHORITY_ALERT)) => {
                Self::WrongAuthority { endpoint, ca }
            }
            _ if code == Some(TransportErrorCode::crypto(NO_APPLICATION_PROTOCOL)) => {
                Self::Version { endpoint }
            }
            ConnectionError::VersionMismatch => Self::Version { endpoint },
            ConnectionError::TimedOut => Self::NoAnswer { endpoint },
            other => Self::of_loss(&other.clone().into()),
        }
    }

    /// Names the failed handshake with `endpoint` over TCP.
    pub(crate) fn of_tls(error: io::Error, endpoint: &str, ca: CaFingerprint) -> Self {
        let endpoint = endpoint.to_owned();
        let told = error.get_ref().and_then(|told| told.downcast_ref::<rustls::Error>());
        match told {
            Some(told) if certs::is_wrong_authority(told) => Self::WrongAuthority { endpoint, ca },
            Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
                Self::Version { endpoint }
            }
            Some(rustls::Error::NoApplicationProtocol) => Self::Version { endpoint },
            _ => Self::NoConnection { endpoint, source: error },
        }
    }

    /// Names the end of a connection.
    pub(crate) fn of_loss(end: &ConnectionEnd) -> Self {
        match end {
            ConnectionEnd::Closed { code, reason } => match CloseCode::from_number(*code) {
                // REVOKED travels with the close itself, so its sentence stands there too.
                Some(CloseCode::Revoked) if !reason.is_empty() => Self::Revoked(plain_text(reason)),
                Some(code) => Self::Closed(code),
                None => Self::Lost(end.to_string()),
            },
            other => Self::Lost(other.to_string()),
        }
    }

    /// What kind of trouble it is.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::WrongAuthority { .. } => Trouble::WrongAuthority,
            Self::Version { .. } => Trouble::Version,
            Self::Refused(refusal) => Trouble::Refused(refusal.code.clone()),
            Self::Revoked(_) => Trouble::Closed(CloseCode::Revoked),
            Self::Closed(code) => Trouble::Closed(*code),
            Self::Unresolved { .. }
            | Self::NoAnswer { .. }
            | Self::NoConnection { .. }
            | Self::Stranger { .. }
            | Self::Inspected { .. }
            | Self::Proxy(_)
            | Self::NotOverUdp { .. }
            | Self::Lost(_)
            | Self::Malformed(_)
            | Self::Socket(_) => Trouble::Network,
            Self::Tls(_) | Self::Identity(_) | Self::Key(_) => Trouble::Local,
        }
    }

    /// Its short name, for the status.
    pub fn reason(&self) -> String {
        let name = match self {
            Self::Unresolved { .. } => "UNRESOLVED",
            Self::NoAnswer { .. } | Self::NoConnection { .. } => "NO_ANSWER",
            Self::WrongAuthority { .. } => "WRONG_AUTHORITY",
            Self::Stranger { .. } => "NOT_THE_RELAY",
            Self::Inspected { .. } => "PROXY_INSPECTS",
            Self::Proxy(error) => error.name(),
            Self::NotOverUdp { .. } => "PROXY_WITHOUT_UDP",
            Self::Version { .. } => "VERSION",
            Self::Refused(refusal) => return refusal.code.to_string(),
            Self::Revoked(_) => return RefusalCode::Revoked.to_string(),
            Self::Closed(code) => code.name(),
            Self::Lost(_) => "LINK_LOST",
            Self::Malformed(_) => "MALFORMED",
            Self::Socket(_) => "NO_SOCKET",
            Self::Tls(_) | Self::Identity(_) | Self::Key(_) => "IDENTITY",
        };
        name.to_owned()
    }

    /// Whether the credential itself is over: it was good once, and no relay will take it again.
    pub fn ends_the_credential(&self) -> bool {
        match self {
            Self::Revoked(_) | Self::Closed(CloseCode::Revoked) => true,
            Self::Refused(refusal) => {
                matches!(refusal.code, RefusalCode::Revoked | RefusalCode::WorkspaceGone)
            }
            _ => false,
        }
    }

    /// Whether somebody answered at all.
    pub fn reached_somebody(&self) -> bool {
        matches!(
            self,
            Self::WrongAuthority { .. } | Self::Version { .. } | Self::Refused(_) | Self::Closed(_)
        )
    }

    /// How much it tells, where several ways failed: somebody's wrong answer more than silence.
    fn weight(&self) -> u8 {
        match self {
            Self::NotOverUdp { .. } => 0,
            Self::Stranger { .. } | Self::Inspected { .. } | Self::Proxy(_) => 2,
            _ if self.reached_somebody() => 3,
            _ => 1,
        }
    }

    /// Of two failures the one that tells more.
    pub(crate) fn or(self, other: Self) -> Self {
        if other.weight() > self.weight() || (other.weight() == 1 && self.weight() == 1) {
            other
        } else {
            self
        }
    }

    /// As [`Self::or`], where one of both was over TCP: beside a way that is silent, a stranger's
    /// certificate there does not prove that the relay is another one.
    pub(crate) fn or_beside_silence(self, other: Self) -> Self {
        let proves = self.reached_somebody() == other.reached_somebody();
        match self.or(other) {
            Self::WrongAuthority { endpoint, .. } | Self::Version { endpoint } if !proves => {
                Self::Stranger { endpoint }
            }
            telling => telling,
        }
    }
}

/// What a close means, and what to do.
const fn help(code: CloseCode) -> &'static str {
    match code {
        CloseCode::Done => "it has nothing left to do on it",
        CloseCode::Replaced => {
            "another connector with this identity took over; stop one, or give each its own"
        }
        CloseCode::WrongWorkspace => "the credential is another workspace's; join again",
        CloseCode::Revoked => {
            "the credential was revoked, or the workspace removed; ask its operator"
        }
        CloseCode::Draining => "it is shutting down; the connector comes back to it",
        CloseCode::Version => "it speaks another version; install a connector of its version",
        CloseCode::Protocol => "it understood something wrong; update relay and agent-connector",
        CloseCode::Refused => "it refused; its log says why",
        CloseCode::Overloaded => "it has no room for another link now",
        CloseCode::Timeout => "a message came too late, or the path went silent; check the network",
    }
}
