//! Accepts links over QUIC on one shard's endpoint, and carries each, and those over TCP, through its
//! first message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use certs::{AgentIdentity, Authority};
use quinn::{Endpoint, Incoming};
use shared::codes::{CloseCode, RefusalCode};
use shared::control::{Hello, Refusal, ToConnector, ToRelay};
use shared::control_stream::{ControlEvent, ControlReader, ControlWriter};
use shared::ids::{InstanceId, WorkspaceId};
use shared::limits::{ALPN_REFUSAL, HANDSHAKE_TIMEOUT};
use shared::secret::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use transport::{Connection, RecvStream, SendStream};

use super::admission::{check_hello, check_proof, no_common_version, refusal};
use super::live::LiveLinks;
use super::newcomers::Newcomers;
use super::outbound::Outbound;
use super::proof::Proof;
use super::{bootstrap, enrolment, session};
use crate::housekeeping::Diary;
use crate::metrics::Metrics;
use crate::public::PublicUrl;
use crate::registry::Registry;
use crate::shard::Home;

/// Handshakes that run at a time: each costs about a millisecond of one core.
pub(super) const HANDSHAKES_MAX: usize = 64;
/// Handshakes under way above which an unproven source address must come back with a Retry token.
const RETRY_ABOVE: usize = 128;
/// Handshakes waiting or running, above which new ones are refused.
pub(super) const PENDING_MAX: usize = 1024;

/// What every link of the relay shares. One for the process.
#[derive(Debug)]
pub struct Tunnel {
    /// Who may connect.
    pub registry: Registry,
    /// Who signs agents' certificates.
    pub authority: Arc<Authority>,
    /// The live links.
    pub live: LiveLinks,
    /// This relay process.
    pub instance: InstanceId,
    /// Counts its exchanges.
    pub exchanges: Arc<AtomicU64>,
    /// The public address of the edge.
    pub public: PublicUrl,
    /// Where connectors reach the tunnel, `host:port`.
    pub endpoints: Vec<String>,
    /// Where links that come and go are noted.
    pub diary: Diary,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the relay shuts down.
    pub draining: Arc<AtomicBool>,
    /// Who answers agents' own calls.
    pub outbound: Outbound,
    /// Who opens links without a credential.
    pub newcomers: Newcomers,
    /// Places for those.
    pub bootstraps: Arc<Semaphore>,
}

/// Accepts links until the endpoint is closed. Nothing heavy runs in the loop itself: port scans
/// and half-open handshakes stall nobody.
pub async fn run(endpoint: Endpoint, tunnel: Arc<Tunnel>, home: Home) {
    let running = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut links = JoinSet::new();
    // Of the tasks in `links`, those whose handshake is not over hold one of these permits.
    let pending = Arc::new(Semaphore::new(PENDING_MAX));
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                let Ok(place) = Arc::clone(&pending).try_acquire_owned() else {
                    incoming.refuse();
                    continue;
                };
                let waiting = PENDING_MAX - pending.available_permits();
                let crowded = waiting > RETRY_ABOVE || running.available_permits() == 0;
                if crowded && incoming.may_retry() && !incoming.remote_address_validated() {
                    // An error means that the address was validated after all.
                    let _ = incoming.retry();
                    continue;
                }
                let (tunnel, running) = (Arc::clone(&tunnel), Arc::clone(&running));
                links.spawn(accept(incoming, tunnel, running, place, home.clone()));
            }
            Some(_) = links.join_next(), if !links.is_empty() => {}
        }
    }
    links.shutdown().await;
}

/// Carries one connection through handshake, first message and life.
async fn accept(
    incoming: Incoming,
    tunnel: Arc<Tunnel>,
    running: Arc<Semaphore>,
    place: OwnedSemaphorePermit,
    home: Home,
) {
    let remote = incoming.remote_address();
    let connection = {
        let Ok(_turn) = running.acquire_owned().await else { return };
        let connecting = match incoming.accept() {
            Ok(connecting) => connecting,
            Err(error) => return tracing::debug!(%remote, %error, "a handshake was malformed"),
        };
        match timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => Connection::from(connection),
            Ok(Err(error)) => {
                tunnel.metrics.handshakes.failed.inc();
                return tracing::debug!(%remote, %error, "a handshake failed");
            }
            Err(_) => {
                tunnel.metrics.handshakes.timed_out.inc();
                return tracing::debug!(%remote, "a handshake took too long");
            }
        }
    };
    carry(connection, tunnel, place, home).await;
}

/// Carries a connection, whose handshake is over, through its first message and its life. `place` is
/// what it holds until that message has come.
pub(super) async fn carry<P>(connection: Connection, tunnel: Arc<Tunnel>, place: P, home: Home) {
    let first = timeout(HANDSHAKE_TIMEOUT, first_message(&connection, &tunnel)).await;
    drop(place);
    match first {
        Ok(Some(First::Hello(admitted))) => {
            tunnel.metrics.handshakes.admitted.inc();
            session::run(connection, *admitted, tunnel, home).await;
        }
        Ok(Some(First::Bootstrap(newcomer))) => {
            tunnel.metrics.handshakes.admitted.inc();
            bootstrap::run(connection, newcomer, tunnel, home).await;
        }
        Ok(None) => {}
        Err(_) => {
            tunnel.metrics.handshakes.timed_out.inc();
            connection.close(CloseCode::Timeout, "no first message came in time");
        }
    }
}

/// A first message that begins something.
enum First {
    Hello(Box<Admitted>),
    Bootstrap(bootstrap::Newcomer),
}

/// A link that was admitted, with its control stream.
#[derive(Debug)]
pub struct Admitted {
    /// Its first message.
    pub hello: Hello,
    /// Whose link it is.
    pub workspace: WorkspaceId,
    /// By what it showed that.
    pub proof: Proof,
    /// From the connector.
    pub reader: ControlReader<RecvStream>,
    /// To the connector.
    pub writer: ControlWriter<SendStream>,
}

/// Reads and answers the first message. `None`: the connection has done its work, or was refused.
async fn first_message(connection: &Connection, tunnel: &Tunnel) -> Option<First> {
    let (send, recv) = connection.accept_bi().await.ok()?;
    let (mut reader, writer) = (ControlReader::new(recv), ControlWriter::new(send));
    let identity = peer_identity(connection);
    let event = reader.next::<ToRelay>().await;
    let answer = match event {
        first if connection.speaks(ALPN_REFUSAL) => Err(no_common_version(match &first {
            Ok(ControlEvent::Message(message)) => Some(message),
            _ => None,
        })),
        _ if tunnel.draining.load(Ordering::Relaxed) => Err(refusal(
            RefusalCode::Draining,
            "The relay is shutting down; try again in a moment.",
        )),
        Ok(ControlEvent::Message(ToRelay::Hello(hello))) => {
            let proof = Proof::of(identity, hello.token.as_ref().map(Secret::reveal));
            let admitted = check_proof(&proof, proof.standing(&tunnel.registry), SystemTime::now())
                .and_then(|workspace| check_hello(&hello, workspace).map(|()| workspace));
            match admitted {
                Ok(workspace) => {
                    let hello = *hello;
                    let admitted = Admitted { hello, workspace, proof, reader, writer };
                    return Some(First::Hello(Box::new(admitted)));
                }
                Err(refused) => Err(refused),
            }
        }
        Ok(ControlEvent::Message(ToRelay::Bootstrap { version })) => {
            match bootstrap::admit(tunnel, connection, version) {
                Ok(place) => {
                    return Some(First::Bootstrap(bootstrap::Newcomer { reader, writer, place }));
                }
                Err(refused) => Err(refused),
            }
        }
        Ok(ControlEvent::Message(ToRelay::Join { version, workspace_id, token, csr })) => {
            enrolment::join(tunnel, version, workspace_id, &token, &csr).await
        }
        Ok(ControlEvent::Message(ToRelay::Renew { csr })) => {
            enrolment::renew(tunnel, &Proof::of(identity, None), &csr).await
        }
        Ok(_) => Err(refusal(
            RefusalCode::Malformed,
            "The first message of a link is hello, join, renew or bootstrap.",
        )),
        Err(error) => Err(refusal(RefusalCode::Malformed, format!("The first message: {error}."))),
    };
    conclude(connection, writer, answer, tunnel).await;
    None
}

/// Sends the answer to a first message that begins no session, and closes behind it.
async fn conclude(
    connection: &Connection,
    mut writer: ControlWriter<SendStream>,
    answer: Result<ToConnector, Refusal>,
    tunnel: &Tunnel,
) {
    let (message, code) = match answer {
        Ok(message) => {
            tunnel.metrics.handshakes.enrolled.inc();
            (message, CloseCode::Done)
        }
        Err(refused) => {
            tunnel.metrics.handshakes.refused.inc();
            tracing::info!(remote = %connection.remote_address(), code = %refused.code,
                reason = %refused.message, "a connector was refused");
            let code = match refused.code {
                RefusalCode::Version => CloseCode::Version,
                RefusalCode::Revoked | RefusalCode::WorkspaceGone => CloseCode::Revoked,
                RefusalCode::WrongWorkspace => CloseCode::WrongWorkspace,
                RefusalCode::Malformed => CloseCode::Protocol,
                _ => CloseCode::Refused,
            };
            (ToConnector::Refusal(refused), code)
        }
    };
    if writer.send(&message).await.is_ok() {
        let mut send = writer.into_inner();
        // Closing discards what is not delivered yet, so the answer is waited for.
        send.finish();
        let _ = send.stopped().await;
    }
    connection.close(code, code.name());
}

/// The agent that the client certificate names, if one came and is an agent's.
fn peer_identity(connection: &Connection) -> Option<AgentIdentity> {
    AgentIdentity::from_certificate(connection.peer_certificates().first()?).ok()
}
