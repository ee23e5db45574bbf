//! A connection over TLS over TCP, to one address.

use std::net::SocketAddr;
use std::sync::Arc;

use certs::RELAY_NAME;
use rustls::pki_types::ServerName;
use shared::limits::{CONNECTOR_STREAMS_MAX, IDLE_TIMEOUT};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use transport::tcp::{self, Peer, Role, Streams};

use super::{Reached, STREAMS_MAX, Target};
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
    let name = ServerName::try_from(RELAY_NAME)
        .map_err(|error| LinkError::Malformed(error.to_string()))?;
    let stream = TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await
        .map_err(|error| LinkError::of_tls(error, target.endpoint, target.ca))?;
    // Whoever chooses no protocol is a server of something else, which our authority vouches for.
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    if protocol.is_none() {
        return Err(LinkError::Version { endpoint: endpoint() });
    }
    let peer = Peer { remote: address, rtt, certificates: Vec::new(), protocol };
    let streams = Streams { ours: CONNECTOR_STREAMS_MAX as usize, theirs: STREAMS_MAX };
    let (connection, driver) = tcp::start(stream, Role::Connector, streams, peer);
    Ok((connection.into(), super::Socket::Tcp(driver)))
}
