//! Proxies: the way to the relay from networks that let nothing out directly.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Intercept;
use rustls::pki_types::ServerName;
use shared::limits::HANDSHAKE_TIMEOUT;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

mod connect;
mod error;
mod settings;
mod socks;
#[cfg(test)]
mod tests;

pub use error::ProxyError;
pub use settings::Proxies;
pub(crate) use settings::ProxyWishes;

use crate::trust;

/// A stream of bytes, whatever carries it.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection through a proxy, and the proxy's address.
pub(crate) type Reached = (Box<dyn Io>, SocketAddr);

/// The proxy that stands before one endpoint.
pub(crate) struct Proxy<'p> {
    told: &'p Proxies,
    intercept: Intercept,
}

/// What is spoken with a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    /// HTTP CONNECT (RFC 9110, 9.3.6).
    Http,
    /// The same over TLS.
    Https,
    /// SOCKS5 (RFC 1928, 1929).
    Socks,
}

impl Speech {
    fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            "socks5" | "socks5h" => Some(Self::Socks),
            _ => None,
        }
    }

    /// The port of a proxy whose URL names none.
    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks => 1080,
        }
    }
}

impl Proxy<'_> {
    /// Its host and port; never what it is logged in with.
    pub(crate) fn name(&self) -> String {
        let (host, port) = self.address();
        format!("{host}:{port}")
    }

    /// Opens a connection to `endpoint` (`host:port`), whose name the proxy resolves, within
    /// [`HANDSHAKE_TIMEOUT`]. Cancel safe: the connection is closed with the future.
    pub(crate) async fn reach(&self, endpoint: &str) -> Result<Reached, ProxyError> {
        match timeout(HANDSHAKE_TIMEOUT, self.ask(endpoint)).await {
            Ok(reached) => reached,
            Err(_) => Err(ProxyError::Silent { proxy: self.name() }),
        }
    }

    async fn ask(&self, endpoint: &str) -> Result<Reached, ProxyError> {
        let unreachable = |source| ProxyError::Unreachable { proxy: self.name(), source };
        let (host, port) = self.address();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
        let address = stream.peer_addr().map_err(unreachable)?;
        // Without it each small frame waits for an acknowledgement; the failure costs only that.
        let _ = stream.set_nodelay(true);
        // Not every system has it; then the idle limit alone ends a path that has died.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(shared::limits::IDLE_TIMEOUT));
        let login = self.intercept.basic_auth();
        let stream: Box<dyn Io> = match self.speech() {
            Speech::Http => Box::new(connect::ask(stream, endpoint, login, self).await?),
            Speech::Https => {
                let untrusted = |why: String| ProxyError::Untrusted { proxy: self.name(), why };
                let name = ServerName::try_from(host.to_owned());
                let name = name.map_err(|error| untrusted(error.to_string()))?;
                let tls = trust::verifying(self.told.authorities());
                let tls = tls.map_err(|error| untrusted(error.to_string()))?;
                let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
                let stream = stream.map_err(|error| untrusted(error.to_string()))?;
                Box::new(connect::ask(stream, endpoint, login, self).await?)
            }
            Speech::Socks => {
                let login = self.intercept.raw_auth();
                Box::new(socks::ask(stream, endpoint, login, self).await?)
            }
        };
        Ok((stream, address))
    }

    fn speech(&self) -> Speech {
        // The settings take no other.
        self.intercept.uri().scheme_str().and_then(Speech::of).unwrap_or(Speech::Http)
    }

    fn address(&self) -> (&str, u16) {
        let uri = self.intercept.uri();
        (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(self.speech().port()))
    }
}
