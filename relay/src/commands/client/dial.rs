//! Reaches a relay by its URL: plain, or over TLS verified against the system's roots.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::commands::exit::{Code, Failure};
use crate::roots;

/// To a relay that drops packets.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a relay is: the scheme, host and port of its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    tls: bool,
    authority: Authority,
}

impl Origin {
    /// The origin of an `http://` or `https://` URL that names a relay.
    pub fn of(url: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            let sentence = format!("`{url}` cannot be the relay's URL: {why}.");
            Failure::new(Code::Configuration, sentence)
        };
        let uri: Uri =
            url.trim().parse().map_err(|_| wrong("it is no URL, like http://127.0.0.1:8080"))?;
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let known = tls || uri.scheme() == Some(&Scheme::HTTP);
        let authority = uri.authority().filter(|_| known);
        let authority = authority
            .ok_or_else(|| wrong("it does not begin with http:// or https:// and a host"))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("it has a path or a query"));
        }
        Ok(Self { tls, authority: authority.clone() })
    }

    /// Host, and port if the URL has one.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Opens a connection.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        let unreachable = |sentence| Failure::new(Code::Unreachable, sentence);
        match timeout(CONNECT_TIMEOUT, self.dial()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                Err(unreachable(format!(
                    "No relay answers at {self}; start one with `relay serve`, or name another \
                     with --url."
                )))
            }
            Ok(Err(error)) => Err(unreachable(format!(
                "The relay at {self} cannot be reached ({error}); check --url."
            ))),
            Err(_) => Err(unreachable(format!(
                "The relay at {self} cannot be reached: nothing came back for {} s; check --url \
                 and the firewalls between.",
                CONNECT_TIMEOUT.as_secs()
            ))),
        }
    }

    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = self.authority.port_u16().unwrap_or(if self.tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        if !self.tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let tls = TlsConnector::from(Arc::new(roots::client_config()?));
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

/// A connection, plain or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_named_by_an_origin() {
        for url in ["http://127.0.0.1:8080", "https://relay.example.com"] {
            assert_eq!(Origin::of(&format!("{url}/")).unwrap().to_string(), url);
        }
        for wrong in ["", "x", "ftp://x", "http://x/path", "127.0.0.1:8080"] {
            assert_eq!(Origin::of(wrong).unwrap_err().code, Code::Configuration, "{wrong}");
        }
    }
}
