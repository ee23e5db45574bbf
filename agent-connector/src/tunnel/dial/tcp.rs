//! A connection over TLS over TCP, to one address or through a proxy.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::RELAY_NAME;
use rustls::pki_types::ServerName;
use shared::limits::{CONNECTOR_STREAMS_MAX, HANDSHAKE_TIMEOUT, IDLE_TIMEOUT};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use transport::tcp::{self, Peer, Role, Streams};

use super::{Reached, STREAMS_MAX, Target};
use crate::proxy::Proxy;
use crate::tunnel::error::LinkError;

/// Dials one address.
pub(super) async fn dial(
    tls: &Arc<rustls::ClientConfig>,
    address: SocketAddr,
    target: &Target<'_>,
) -> Result<Reached, LinkError> {
    let endpoint = || target.endpoint.to_owned();
    let began = Instant::now();
    let stream = TcpStream::connect(address)
        .await
        .map_err(|source| LinkError::NoConnection { endpoint: endpoint(), source })?;
    let rtt = began.elapsed();
    // Without it each small frame waits for an acknowledgement; the failure costs only that.
    let _ = stream.set_nodelay(true);
    // Not every system has it; then the idle limit alone ends a path that has died.
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(IDLE_TIMEOUT));
    speak(stream, tls, Path { remote: address, rtt }, target).await
}

/// Dials through a proxy.
pub(super) async fn dial_through(
    proxy: &Proxy<'_>,
    tls: &Arc<rustls::ClientConfig>,
    target: &Target<'_>,
) -> Result<Reached, LinkError> {
    let endpoint = || target.endpoint.to_owned();
    let began = Instant::now();
    let (stream, remote) = proxy.reach(target.endpoint).await?;
    let path = Path { remote, rtt: began.elapsed() };
    match timeout(HANDSHAKE_TIMEOUT, speak(stream, tls, path, target)).await {
        Ok(Err(LinkError::WrongAuthority { .. } | LinkError::Version { .. })) => {
            Err(LinkError::Inspected { proxy: proxy.name(), endpoint: endpoint() })
        }
        Ok(spoken) => spoken,
        Err(_) => {
            let source = io::ErrorKind::TimedOut.into();
            Err(LinkError::NoConnection { endpoint: endpoint(), source })
        }
    }
}

/// What is known of a connection before anything is said on it.
struct Path {
    remote: SocketAddr,
    rtt: Duration,
}

/// Shakes hands with the relay.
async fn speak<S>(
    stream: S,
    tls: &Arc<rustls::ClientConfig>,
    path: Path,
    target: &Target<'_>,
) -> Result<Reached, LinkError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let name = ServerName::try_from(RELAY_NAME)
        .map_err(|error| LinkError::Malformed(error.to_string()))?;
    let stream = TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await
        .map_err(|error| LinkError::of_tls(error, target.endpoint, target.ca))?;
    // Whoever chooses no protocol is a server of something else, which our authority vouches for.
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    if protocol.is_none() {
        return Err(LinkError::Version { endpoint: target.endpoint.to_owned() });
    }
    let peer = Peer { remote: path.remote, rtt: path.rtt, certificates: Vec::new(), protocol };
    let streams = Streams { ours: CONNECTOR_STREAMS_MAX as usize, theirs: STREAMS_MAX };
    let (connection, driver) = tcp::start(stream, Role::Connector, streams, peer);
    Ok((connection.into(), super::Socket::Tcp(driver)))
}
