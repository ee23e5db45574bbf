//! The QUIC endpoint of a shard: its socket, its keys, its transport settings.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use certs::TunnelKeys;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{EndpointConfig, ServerConfig, TransportConfig, VarInt, congestion};
use ring::{hkdf, hmac};
use shared::limits::{
    CONNECTOR_STREAMS_MAX, IDLE_TIMEOUT, QUIC_CONNECTION_WINDOW, QUIC_STREAM_WINDOW,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::connection_ids::ShardConnectionIds;

/// Asked of the kernel for each direction of the tunnel's socket, bytes: the first flights of a
/// thousand connectors at once, each lost one of which costs a second.
const SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// Unacknowledged bytes that one link may keep in memory.
const SEND_WINDOW_BYTES: u64 = 4 * 1024 * 1024;
/// Handshakes that quinn keeps before they are accepted, and their bytes: memory before any proof.
const INCOMING_MAX: usize = 1024;
const INCOMING_BYTES_MAX: u64 = 64 * 1024;
const INCOMING_BYTES_TOTAL_MAX: u64 = 8 * 1024 * 1024;
/// A Retry token proves an address for this long.
const RETRY_TOKEN_LIFETIME: Duration = Duration::from_secs(15);
/// A restarted relay resets the links of the one before: at most one in this interval.
const RESET_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// How a link decides how fast to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Congestion {
    /// Keeps sending through random loss.
    #[default]
    Bbr,
    /// Slows down at each loss.
    Cubic,
}

impl Congestion {
    fn factory(self) -> Arc<dyn congestion::ControllerFactory + Send + Sync> {
        match self {
            Self::Bbr => Arc::new(congestion::BbrConfig::default()),
            Self::Cubic => Arc::new(congestion::CubicConfig::default()),
        }
    }
}

/// Binds the UDP socket of a shard. With `shared_port` several shards may bind the same address.
pub fn bind(address: SocketAddr, shared_port: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(shared_port)?;
    socket.set_nonblocking(true)?;
    // The kernel clamps both to its limits; what it granted is logged.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&address.into())?;
    let (receive, send) = (socket.recv_buffer_size()?, socket.send_buffer_size()?);
    tracing::info!(
        receive_bytes = receive,
        send_bytes = send,
        asked_bytes = SOCKET_BUFFER_BYTES,
        "the kernel granted the tunnel's socket buffers (net.core.rmem_max and wmem_max limit them)"
    );
    Ok(socket.into())
}

/// The endpoint's own settings: what survives a restart.
pub fn endpoint_config(keys: &TunnelKeys, shard: u8) -> EndpointConfig {
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, &keys.reset);
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    let ids = ShardConnectionIds::new(keys.connection_id, shard);
    config.cid_generator(move || Box::new(ids.clone()));
    config.min_reset_interval(RESET_INTERVAL_MIN);
    config
}

/// How connectors are accepted.
pub fn server_config(
    tls: rustls::ServerConfig,
    keys: &TunnelKeys,
    congestion: Congestion,
) -> Result<ServerConfig, quinn::crypto::rustls::NoInitialCipherSuite> {
    let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&keys.address_token);
    let mut config =
        ServerConfig::new(Arc::new(QuicServerConfig::try_from(tls)?), Arc::new(token_key));
    config
        .transport_config(Arc::new(transport(congestion)))
        .migration(true)
        .retry_token_lifetime(RETRY_TOKEN_LIFETIME)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX);
    Ok(config)
}

fn transport(congestion: Congestion) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(CONNECTOR_STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(QUIC_STREAM_WINDOW))
        .receive_window(VarInt::from_u32(QUIC_CONNECTION_WINDOW))
        .send_window(SEND_WINDOW_BYTES)
        .max_idle_timeout(IDLE_TIMEOUT.try_into().ok())
        .congestion_controller_factory(congestion.factory());
    transport
}
