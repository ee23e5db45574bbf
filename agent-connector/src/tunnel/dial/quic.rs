//! A connection over QUIC, to one address.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Once};

use certs::RELAY_NAME;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt, congestion,
};
use shared::limits::{IDLE_TIMEOUT, QUIC_CONNECTION_WINDOW, QUIC_STREAM_WINDOW};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Reached, STREAMS_MAX, Target};
use crate::config::Congestion;
use crate::tunnel::error::LinkError;

/// Asked of the kernel for each direction of the socket, bytes: a window of one fast link.
const SOCKET_BUFFER_BYTES: usize = 2 * 1024 * 1024;
/// Unacknowledged bytes that the link may keep in memory: what its agent sends at 100 ms.
const SEND_WINDOW_BYTES: u64 = 16 * 1024 * 1024;

/// How QUIC is spoken, over this TLS.
pub(super) fn config(
    tls: rustls::ClientConfig,
    congestion: Congestion,
) -> Result<ClientConfig, LinkError> {
    let tls =
        QuicClientConfig::try_from(tls).map_err(|error| LinkError::Malformed(error.to_string()))?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport(congestion)));
    Ok(config)
}

/// Dials one address.
pub(super) async fn dial(
    config: &ClientConfig,
    address: SocketAddr,
    target: &Target<'_>,
) -> Result<Reached, LinkError> {
    let socket = bind(address).map_err(LinkError::Socket)?;
    let runtime = Arc::new(TokioRuntime);
    let socket = Endpoint::new(EndpointConfig::default(), None, socket, runtime)
        .map_err(LinkError::Socket)?;
    let connecting = socket
        .connect_with(config.clone(), address, RELAY_NAME)
        .map_err(|error| LinkError::Lost(error.to_string()))?;
    match connecting.await {
        Ok(connection) => Ok((connection.into(), super::Socket::Quic(socket))),
        Err(error) => Err(LinkError::of_handshake(&error, target.endpoint, target.ca)),
    }
}

/// Goes on with a new socket. On an error the old one stays.
pub(super) fn rebind(endpoint: &Endpoint, relay: SocketAddr) -> io::Result<()> {
    endpoint.rebind(bind(relay)?)
}

fn bind(relay: SocketAddr) -> io::Result<UdpSocket> {
    let local: SocketAddr = match relay {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The kernel clamps both to its limits, and says nothing.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&local.into())?;
    let buffers = Buffers::of(&socket)?;
    match buffers.advice() {
        Some(advice) => TOLD.call_once(|| tracing::info!("{advice}")),
        None => tracing::debug!(?buffers, "the kernel granted the socket's buffers"),
    }
    Ok(socket.into())
}

/// Once for each process is enough: the kernel's limits stay as they are.
static TOLD: Once = Once::new();

/// What the kernel grants a link's socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffers {
    receive_bytes: usize,
    send_bytes: usize,
}

impl Buffers {
    /// Asks for a socket as a link to `relay` would have, and looks.
    pub(crate) fn granted(relay: SocketAddr) -> io::Result<Self> {
        Self::of(&Socket::from(bind(relay)?))
    }

    fn of(socket: &Socket) -> io::Result<Self> {
        Ok(Self {
            receive_bytes: socket.recv_buffer_size()?,
            send_bytes: socket.send_buffer_size()?,
        })
    }

    /// What to do where they are smaller than a fast link needs.
    pub(crate) fn advice(self) -> Option<String> {
        let least = self.receive_bytes.min(self.send_bytes);
        (least < SOCKET_BUFFER_BYTES).then(|| {
            format!(
                "the kernel grants the link {} bytes to receive and {} to send, and {SOCKET_BUFFER_BYTES} \
                 were asked for: large bodies lose packets in bursts; set net.core.rmem_max and \
                 net.core.wmem_max to {SOCKET_BUFFER_BYTES} (sysctl -w)",
                self.receive_bytes, self.send_bytes
            )
        })
    }
}

fn transport(choice: Congestion) -> TransportConfig {
    let streams = u32::try_from(STREAMS_MAX).unwrap_or(u32::MAX);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_grants_is_known_and_advised_on_where_it_is_little() {
        let (little, much) = (212_992, SOCKET_BUFFER_BYTES);
        for (receive_bytes, send_bytes, advised) in
            [(much, much, false), (little, much, true), (much, little, true)]
        {
            let advice = Buffers { receive_bytes, send_bytes }.advice();
            assert_eq!(advice.is_some(), advised);
            assert!(advice.is_none_or(|text| text.contains("net.core.rmem_max")));
        }
        let granted = Buffers::granted(([127, 0, 0, 1], 9).into()).unwrap();
        assert!(granted.receive_bytes > 0 && granted.send_bytes > 0);
    }
}
