//! One connection: opens and accepts streams, and ends with a code.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use quinn::VarInt;
use quinn::crypto::rustls::HandshakeData;
use rustls::pki_types::CertificateDer;
use shared::codes::CloseCode;

use crate::{ConnectionEnd, RecvStream, SendStream, tcp};

/// Which transport carries a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// QUIC, over UDP.
    Quic,
    /// TLS over TCP.
    Tcp,
}

impl Kind {
    /// Its name in files, metrics and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A connection whose handshake is over. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub enum Connection {
    /// Over QUIC.
    Quic(quinn::Connection),
    /// Over TLS over TCP.
    Tcp(tcp::Connection),
}

impl From<quinn::Connection> for Connection {
    fn from(connection: quinn::Connection) -> Self {
        Self::Quic(connection)
    }
}

impl From<tcp::Connection> for Connection {
    fn from(connection: tcp::Connection) -> Self {
        Self::Tcp(connection)
    }
}

impl Connection {
    /// Opens a stream; the other end hears of it with its first bytes. Waits, without a limit, while as
    /// many are open as the other end takes. Cancel safe.
    #[inline]
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionEnd> {
        match self {
            Self::Quic(connection) => {
                let (send, recv) = connection.open_bi().await?;
                Ok((SendStream::Quic(send), RecvStream::Quic(recv)))
            }
            Self::Tcp(connection) => {
                let (send, recv) = connection.open_bi().await?;
                Ok((SendStream::Tcp(send), RecvStream::Tcp(recv)))
            }
        }
    }

    /// The next stream that the other end opened. Cancel safe.
    #[inline]
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionEnd> {
        match self {
            Self::Quic(connection) => {
                let (send, recv) = connection.accept_bi().await?;
                Ok((SendStream::Quic(send), RecvStream::Quic(recv)))
            }
            Self::Tcp(connection) => {
                let (send, recv) = connection.accept_bi().await?;
                Ok((SendStream::Tcp(send), RecvStream::Tcp(recv)))
            }
        }
    }

    /// Ends it with every stream on it, at once. What is not delivered yet may be lost. Only the first
    /// call counts.
    pub fn close(&self, code: CloseCode, reason: &str) {
        match self {
            // A later call would take the place of the reason: a lost connection would seem closed by us.
            Self::Quic(connection) => {
                if connection.close_reason().is_none() {
                    connection.close(VarInt::from_u32(code.number()), reason.as_bytes());
                }
            }
            Self::Tcp(connection) => connection.close(code, reason),
        }
    }

    /// Why it is over, if it is.
    pub fn close_reason(&self) -> Option<ConnectionEnd> {
        match self {
            Self::Quic(connection) => connection.close_reason().map(ConnectionEnd::from),
            Self::Tcp(connection) => connection.close_reason(),
        }
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Quic(connection) => connection.close_reason().is_some(),
            Self::Tcp(connection) => connection.is_closed(),
        }
    }

    /// Where the other end is, as far as packets show.
    pub fn remote_address(&self) -> SocketAddr {
        match self {
            Self::Quic(connection) => connection.remote_address(),
            Self::Tcp(connection) => connection.peer().remote,
        }
    }

    /// The round trip, as measured last.
    pub fn rtt(&self) -> Duration {
        match self {
            Self::Quic(connection) => connection.rtt(),
            Self::Tcp(connection) => connection.peer().rtt,
        }
    }

    /// Grows whenever anything at all came from the other end.
    pub fn heard(&self) -> u64 {
        match self {
            Self::Quic(connection) => connection.stats().udp_rx.datagrams,
            Self::Tcp(connection) => connection.heard(),
        }
    }

    /// Which transport carries it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Quic(_) => Kind::Quic,
            Self::Tcp(_) => Kind::Tcp,
        }
    }

    /// The certificates that the other end showed, its own first; none where it showed none.
    pub fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        match self {
            Self::Quic(connection) => {
                let chain = connection.peer_identity().and_then(|chain| chain.downcast().ok());
                chain.map_or_else(Vec::new, |chain| *chain)
            }
            Self::Tcp(connection) => connection.peer().certificates.clone(),
        }
    }

    /// Whether the ends agreed on this protocol (ALPN).
    pub fn speaks(&self, protocol: &[u8]) -> bool {
        match self {
            Self::Quic(connection) => {
                let data = connection.handshake_data();
                let data = data.and_then(|data| data.downcast::<HandshakeData>().ok());
                data.is_some_and(|data| data.protocol.as_deref() == Some(protocol))
            }
            Self::Tcp(connection) => connection.peer().protocol.as_deref() == Some(protocol),
        }
    }
}
