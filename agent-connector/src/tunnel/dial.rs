//! Dials the relay: each endpoint a moment after the one before, each address of one in turn.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::{CaFingerprint, Identity, Worked, connector_tls};
use quinn::Endpoint;
use shared::limits::{ALPN, ALPN_REFUSAL, HANDSHAKE_TIMEOUT, IN_FLIGHT_MAX};
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use transport::tcp::Driver;
use transport::{Connection, Kind};

use super::error::LinkError;
use super::race::{HEAD_START, race};
use crate::config::Way;

mod quic;
mod tcp;

pub(crate) use quic::Buffers;

/// Streams that the relay may open: those that are served, and a few above, so that a relay hears BUSY
/// instead of nothing.
const STREAMS_MAX: usize = IN_FLIGHT_MAX + 64;
/// The next endpoint is tried beside the one before, once that has not answered for so long.
const NEXT_ENDPOINT: Duration = Duration::from_millis(250);
/// For the last packet to leave.
const LAST_PACKET: Duration = Duration::from_millis(5);

/// Where to dial, and whom to expect there.
#[derive(Debug, Clone)]
pub(crate) struct Relay {
    pub(crate) endpoints: Vec<String>,
    pub(crate) ca: CaFingerprint,
    /// How its last link came about.
    pub(crate) worked: Option<Worked>,
}

impl Relay {
    /// How long TCP waits for QUIC: not at all where it was TCP that carried the last link.
    pub(crate) fn head_start(&self) -> Duration {
        match self.worked_over(Kind::Tcp) {
            Some(_) => Duration::ZERO,
            None => HEAD_START,
        }
    }

    /// The endpoint that answered last, if it was over this transport.
    fn worked_over(&self, kind: Kind) -> Option<&str> {
        let worked = self.worked.as_ref().filter(|worked| worked.transport == kind.name())?;
        Some(&worked.endpoint)
    }

    /// Every endpoint, in the order in which they are tried.
    fn in_order(&self, kind: Kind) -> Vec<String> {
        let mut endpoints = self.endpoints.clone();
        let worked = self.worked_over(kind);
        endpoints.sort_by_key(|endpoint| worked != Some(endpoint));
        endpoints
    }
}

/// A connection, with what carries it.
pub(crate) struct Dialed {
    pub(crate) connection: Connection,
    pub(crate) socket: Socket,
    /// The one of the relay's endpoints that answered.
    pub(crate) endpoint: String,
}

/// What a connection lives by: it is over when this is dropped.
#[derive(Debug)]
pub(crate) enum Socket {
    Quic(Endpoint),
    Tcp(Driver),
}

impl Socket {
    /// Moves to a new port of the address from which packets to `relay` leave now; `None` where the
    /// transport cannot. The relay is told by the next packet, which leaves at once.
    pub(crate) fn rebind(&self, relay: SocketAddr) -> Option<io::Result<()>> {
        match self {
            Self::Quic(endpoint) => Some(quic::rebind(endpoint, relay)),
            Self::Tcp(_) => None,
        }
    }

    /// Resolves when the close of its connection has left, within seconds.
    pub(crate) async fn closed(&mut self) {
        match self {
            // quinn sends it from a task of its own.
            Self::Quic(_) => sleep(LAST_PACKET).await,
            Self::Tcp(driver) => driver.over().await,
        }
    }
}

type Reached = (Connection, Socket);

/// One endpoint of a relay.
struct Target<'t> {
    endpoint: &'t str,
    ca: CaFingerprint,
}

/// How one transport is spoken.
enum Speech {
    Quic(Box<quinn::ClientConfig>),
    Tcp(Arc<rustls::ClientConfig>),
}

/// Dials with the credential of `identity`, or with none.
pub(crate) async fn dial(
    relay: &Relay,
    identity: Option<&Identity>,
    way: &Way,
) -> Result<Dialed, LinkError> {
    race(way.transport, relay.head_start(), |kind| dial_over(kind, relay, identity, way)).await
}

/// Dials over one transport.
pub(crate) async fn dial_over(
    kind: Kind,
    relay: &Relay,
    identity: Option<&Identity>,
    way: &Way,
) -> Result<Dialed, LinkError> {
    let tls = connector_tls(relay.ca, identity.map(Identity::credential), &[ALPN, ALPN_REFUSAL])?;
    let speech = match kind {
        Kind::Quic => Speech::Quic(Box::new(quic::config(tls, way.congestion)?)),
        Kind::Tcp => Speech::Tcp(Arc::new(tls)),
    };
    let speech = Arc::new(speech);
    let mut dialling = JoinSet::new();
    let mut rest = relay.in_order(kind).into_iter();
    let mut worst: Option<LinkError> = None;
    loop {
        let ended = if let Some(endpoint) = rest.next() {
            let (speech, ca) = (Arc::clone(&speech), relay.ca);
            let way = way.clone();
            dialling.spawn(async move {
                let target = Target { endpoint: &endpoint, ca };
                let dialed = dial_endpoint(&speech, &target, &way).await;
                dialed.inspect_err(|error| {
                    tracing::debug!(%endpoint, %kind, %error, "an endpoint did not answer as it should");
                })
            });
            timeout(NEXT_ENDPOINT, dialling.join_next()).await
        } else {
            Ok(dialling.join_next().await)
        };
        match ended {
            Ok(Some(Ok(Ok(dialed)))) => return Ok(dialed),
            Ok(Some(Ok(Err(error)))) => {
                worst = Some(match worst {
                    // A port of HTTPS may be anybody's, while the tunnel's own is down.
                    Some(worst) if kind == Kind::Tcp => worst.or_beside_silence(error),
                    Some(worst) => worst.or(error),
                    None => error,
                });
            }
            Ok(Some(Err(error))) => worst = Some(LinkError::Lost(error.to_string())),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    Err(worst.unwrap_or_else(|| LinkError::Malformed("it has no endpoint to dial".into())))
}

async fn dial_endpoint(
    speech: &Speech,
    target: &Target<'_>,
    way: &Way,
) -> Result<Dialed, LinkError> {
    let endpoint = target.endpoint;
    if let Some(proxy) = way.proxy_before(endpoint) {
        let Speech::Tcp(tls) = speech else {
            return Err(LinkError::NotOverUdp { endpoint: endpoint.to_owned() });
        };
        let (connection, socket) = tcp::dial_through(&proxy, tls, target).await?;
        return Ok(Dialed { connection, socket, endpoint: endpoint.to_owned() });
    }
    let unresolved = |source| LinkError::Unresolved { endpoint: endpoint.to_owned(), source };
    let addresses = timeout(HANDSHAKE_TIMEOUT, lookup_host(endpoint))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(unresolved)?;
    let mut error = None;
    for address in addresses {
        match timeout(HANDSHAKE_TIMEOUT, dial_address(speech, address, target)).await {
            Ok(Ok((connection, socket))) => {
                return Ok(Dialed { connection, socket, endpoint: endpoint.to_owned() });
            }
            Ok(Err(failed)) => error = Some(failed),
            Err(_) => error = error.or_else(|| Some(no_answer(speech, endpoint))),
        }
    }
    Err(error.unwrap_or_else(|| unresolved(io::ErrorKind::NotFound.into())))
}

async fn dial_address(
    speech: &Speech,
    address: SocketAddr,
    target: &Target<'_>,
) -> Result<Reached, LinkError> {
    match speech {
        Speech::Quic(config) => quic::dial(config, address, target).await,
        Speech::Tcp(tls) => tcp::dial(tls, address, target).await,
    }
}

fn no_answer(speech: &Speech, endpoint: &str) -> LinkError {
    let endpoint = endpoint.to_owned();
    match speech {
        Speech::Quic(_) => LinkError::NoAnswer { endpoint },
        Speech::Tcp(_) => {
            LinkError::NoConnection { endpoint, source: io::ErrorKind::TimedOut.into() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_worked_is_tried_first_and_nothing_is_left_out() {
        let of = |worked: Option<(&str, &str)>| Relay {
            endpoints: ["a:1", "b:443", "c:2"].map(String::from).to_vec(),
            ca: CaFingerprint::of(&[]),
            worked: worked.map(|(transport, endpoint)| Worked {
                transport: transport.into(),
                endpoint: endpoint.into(),
            }),
        };
        let usual = ["a:1", "b:443", "c:2"];
        for (worked, quic, tcp, head_start) in [
            (None, usual, usual, HEAD_START),
            (Some(("tcp", "b:443")), usual, ["b:443", "a:1", "c:2"], Duration::ZERO),
            (Some(("quic", "c:2")), ["c:2", "a:1", "b:443"], usual, HEAD_START),
            (Some(("tcp", "gone:1")), usual, usual, Duration::ZERO),
            (Some(("pigeon", "b:443")), usual, usual, HEAD_START),
        ] {
            let relay = of(worked);
            assert_eq!(relay.in_order(Kind::Quic), quic, "{worked:?}");
            assert_eq!(relay.in_order(Kind::Tcp), tcp, "{worked:?}");
            assert_eq!(relay.head_start(), head_start, "{worked:?}");
        }
    }
}
