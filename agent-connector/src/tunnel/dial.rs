//! Dials the relay over QUIC: each address of each endpoint in turn.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use certs::{CaFingerprint, Identity, RELAY_NAME, connector_tls};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt, congestion,
};
use shared::limits::{
    ALPN, ALPN_REFUSAL, HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, IN_FLIGHT_MAX, QUIC_CONNECTION_WINDOW,
    QUIC_STREAM_WINDOW,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::lookup_host;
use tokio::time::timeout;
use transport::Connection;

use super::error::LinkError;
use crate::config::Congestion;

/// Asked of the kernel for each direction of the socket, bytes: a window of one fast link.
const SOCKET_BUFFER_BYTES: usize = 2 * 1024 * 1024;
/// Unacknowledged bytes that the link may keep in memory: what its agent sends at 100 ms.
const SEND_WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// Streams above the most that are served, so that a relay hears BUSY instead of nothing.
const SPARE_STREAMS: u32 = 64;

/// Where to dial, and whom to expect there.
#[derive(Debug, Clone)]
pub(crate) struct Relay {
    pub(crate) endpoints: Vec<String>,
    pub(crate) ca: CaFingerprint,
}

/// A connection, with the endpoint that carries it.
pub(crate) struct Dialed {
    pub(crate) connection: Connection,
    /// Its socket lives as long as this.
    pub(crate) socket: Endpoint,
    /// The one of the relay's endpoints that answered.
    pub(crate) endpoint: String,
}

/// Dials with the credential of `identity`, or with none.
pub(crate) async fn dial(
    relay: &Relay,
    identity: Option<&Identity>,
    congestion: Congestion,
) -> Result<Dialed, LinkError> {
    let tls = connector_tls(relay.ca, identity.map(Identity::credential), &[ALPN, ALPN_REFUSAL])?;
    let tls =
        QuicClientConfig::try_from(tls).map_err(|error| LinkError::Malformed(error.to_string()))?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport(congestion)));

    let mut worst: Option<LinkError> = None;
    for endpoint in &relay.endpoints {
        let error = match dial_endpoint(&config, endpoint, relay.ca).await {
            Ok(dialed) => return Ok(dialed),
            Err(error) => error,
        };
        tracing::debug!(%endpoint, %error, "an endpoint did not answer as it should");
        // Somebody's wrong answer tells more than silence.
        if worst.as_ref().is_none_or(|worst| !worst.reached_somebody()) {
            worst = Some(error);
        }
    }
    Err(worst.unwrap_or_else(|| LinkError::Malformed("it has no endpoint to dial".into())))
}

async fn dial_endpoint(
    config: &ClientConfig,
    endpoint: &str,
    ca: CaFingerprint,
) -> Result<Dialed, LinkError> {
    let unresolved = |source| LinkError::Unresolved { endpoint: endpoint.to_owned(), source };
    let no_answer = || LinkError::NoAnswer { endpoint: endpoint.to_owned() };
    let addresses = timeout(HANDSHAKE_TIMEOUT, lookup_host(endpoint))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(unresolved)?;
    let mut error = None;
    for address in addresses {
        match timeout(HANDSHAKE_TIMEOUT, dial_address(config, address, endpoint, ca)).await {
            Ok(Ok((connection, socket))) => {
                return Ok(Dialed { connection, socket, endpoint: endpoint.to_owned() });
            }
            Ok(Err(failed)) => error = Some(failed),
            Err(_) => error = error.or_else(|| Some(no_answer())),
        }
    }
    Err(error.unwrap_or_else(|| unresolved(io::ErrorKind::NotFound.into())))
}

async fn dial_address(
    config: &ClientConfig,
    address: SocketAddr,
    endpoint: &str,
    ca: CaFingerprint,
) -> Result<(Connection, Endpoint), LinkError> {
    let socket = bind(address).map_err(LinkError::Socket)?;
    let runtime = Arc::new(TokioRuntime);
    let socket = Endpoint::new(EndpointConfig::default(), None, socket, runtime)
        .map_err(LinkError::Socket)?;
    let connecting = socket
        .connect_with(config.clone(), address, RELAY_NAME)
        .map_err(|error| LinkError::Lost(error.to_string()))?;
    match connecting.await {
        Ok(connection) => Ok((connection.into(), socket)),
        Err(error) => Err(LinkError::of_handshake(&error, endpoint, ca)),
    }
}

fn bind(relay: SocketAddr) -> io::Result<UdpSocket> {
    let local: SocketAddr = match relay {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The kernel clamps both to its limits; what it granted is logged.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&local.into())?;
    tracing::debug!(
        receive_bytes = socket.recv_buffer_size()?,
        send_bytes = socket.send_buffer_size()?,
        asked_bytes = SOCKET_BUFFER_BYTES,
        "the kernel granted the socket's buffers"
    );
    Ok(socket.into())
}

fn transport(choice: Congestion) -> TransportConfig {
    let streams = u32::try_from(IN_FLIGHT_MAX).unwrap_or(u32::MAX).saturating_add(SPARE_STREAMS);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(QUIC_STREAM_WINDOW))
        .receive_window(VarInt::from_u32(QUIC_CONNECTION_WINDOW))
        .send_window(SEND_WINDOW_BYTES)
        .max_idle_timeout(IDLE_TIMEOUT.try_into().ok());
    match choice {
        Congestion::Bbr => {
            transport.congestion_controller_factory(Arc::new(congestion::BbrConfig::default()))
        }
        Congestion::Cubic => {
            transport.congestion_controller_factory(Arc::new(congestion::CubicConfig::default()))
        }
    };
    transport
}
