//! Real handshakes in memory: who gets in, who does not, and what each side learns.

use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConnection, Connection, Error, ServerConnection};
use shared::ids::WorkspaceId;

use super::*;
use crate::agent::AgentIdentity;
use crate::authority::{Authority, RELAY_NAME};
use crate::csr::KeyPair;

const ALPN: &[&[u8]] = &[b"ours/1"];
const DAY: Duration = Duration::from_secs(86_400);

type Credential = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

struct Relay {
    _dir: tempfile::TempDir,
    authority: Authority,
}

impl Relay {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(dir.path(), SystemTime::now()).unwrap();
        Self { _dir: dir, authority }
    }

    fn config(&self) -> ServerConfig {
        self.config_as(self.authority.relay_identity(SystemTime::now()).unwrap())
    }

    fn config_as(&self, identity: RelayIdentity) -> ServerConfig {
        relay_tls(identity, self.authority.certificate(), ALPN).unwrap()
    }

    fn agent(&self) -> Credential {
        let now = SystemTime::now();
        self.agent_valid(now - DAY, now + DAY)
    }

    fn agent_valid(&self, not_before: SystemTime, not_after: SystemTime) -> Credential {
        let key = KeyPair::generate().unwrap();
        let csr = key.csr_der().unwrap();
        let signed =
            self.authority.sign_agent_valid(&csr, &workspace(), not_before, not_after).unwrap();
        (signed.chain, key.private_key())
    }

    fn connector(&self, credential: Option<Credential>) -> ClientConfig {
        connector_tls(self.authority.fingerprint(), credential, ALPN).unwrap()
    }
}

fn workspace() -> WorkspaceId {
    "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()
}

/// Both ends after a handshake, or what each of them failed with.
struct Outcome {
    client: Result<ClientConnection, Error>,
    server: Result<ServerConnection, Error>,
}

fn handshake(client: ClientConfig, server: ServerConfig) -> Outcome {
    let name = ServerName::try_from("dialled.example").unwrap();
    let client = ClientConnection::new(Arc::new(client), name).unwrap();
    let server = ServerConnection::new(Arc::new(server)).unwrap();
    let (mut client, mut server) = (Connection::Client(client), Connection::Server(server));
    let (mut client_error, mut server_error) = (None, None);
    loop {
        let there = pump(&mut client, &mut server, &mut server_error);
        let back = pump(&mut server, &mut client, &mut client_error);
        if there + back == 0 {
            break;
        }
    }
    let (Connection::Client(client), Connection::Server(server)) = (client, server) else {
        unreachable!()
    };
    let done = client_error.is_some() || !client.is_handshaking();
    assert!(done && (server_error.is_some() || !server.is_handshaking()), "stuck");
    Outcome {
        client: client_error.map_or(Ok(client), Err),
        server: server_error.map_or(Ok(server), Err),
    }
}

/// Carries what `from` has to say to `to`; how many bytes that were.
fn pump(from: &mut Connection, to: &mut Connection, failed: &mut Option<Error>) -> usize {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut unread = wire.as_slice();
    while !unread.is_empty() && failed.is_none() {
        to.read_tls(&mut unread).unwrap();
        *failed = to.process_new_packets().err();
    }
    wire.len()
}

fn certificate_error(outcome: Result<ServerConnection, Error>) -> CertificateError {
    match outcome {
        Err(Error::InvalidCertificate(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn agent_seen_by(server: &ServerConnection) -> AgentIdentity {
    AgentIdentity::from_certificate(&server.peer_certificates().unwrap()[0]).unwrap()
}

#[test]
fn an_agent_is_known_by_its_certificate() {
    let relay = Relay::new();
    let outcome = handshake(relay.connector(Some(relay.agent())), relay.config());
    let (client, server) = (outcome.client.unwrap(), outcome.server.unwrap());
    let agent = agent_seen_by(&server);
    assert_eq!(agent.workspace, workspace());
    assert!(!agent.is_expired(SystemTime::now()));
    for protocol in [client.alpn_protocol(), server.alpn_protocol()] {
        assert_eq!(protocol, Some(&b"ours/1"[..]));
    }
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(client.tls13_tickets_received(), 0);
}

#[test]
fn a_connector_without_a_certificate_may_connect() {
    let relay = Relay::new();
    let outcome = handshake(relay.connector(None), relay.config());
    outcome.client.unwrap();
    assert!(outcome.server.unwrap().peer_certificates().is_none());
}

#[test]
fn a_certificate_out_of_its_time_passes_tls_and_shows() {
    let relay = Relay::new();
    let now = SystemTime::now();
    let expired = relay.agent_valid(now - DAY * 31, now - DAY);
    let outcome = handshake(relay.connector(Some(expired)), relay.config());
    outcome.client.unwrap();
    let agent = agent_seen_by(&outcome.server.unwrap());
    assert!(agent.is_expired(now));
    assert_eq!(agent.workspace, workspace());

    let early = relay.agent_valid(now + DAY, now + DAY * 2);
    let outcome = handshake(relay.connector(Some(early)), relay.config());
    assert!(agent_seen_by(&outcome.server.unwrap()).not_before > now);
}

#[test]
fn another_authority_s_certificate_is_refused_expired_or_not() {
    let (relay, other) = (Relay::new(), Relay::new());
    let now = SystemTime::now();
    for credential in [other.agent(), other.agent_valid(now - DAY * 31, now - DAY / 2)] {
        let outcome = handshake(relay.connector(Some(credential)), relay.config());
        let error = certificate_error(outcome.server);
        // Both authorities have the same subject, so the signature is what gives it away.
        assert!(
            matches!(error, CertificateError::BadSignature | CertificateError::UnknownIssuer),
            "{error:?}"
        );
    }
}

#[test]
fn a_certificate_never_valid_is_refused() {
    let relay = Relay::new();
    let now = SystemTime::now();
    let never = relay.agent_valid(now + DAY, now - DAY);
    let outcome = handshake(relay.connector(Some(never)), relay.config());
    certificate_error(outcome.server);
}

#[test]
fn the_relay_s_own_certificate_is_no_agent_s() {
    let relay = Relay::new();
    let stolen = relay.authority.relay_identity(SystemTime::now()).unwrap();
    let outcome = handshake(relay.connector(Some((stolen.chain, stolen.key))), relay.config());
    let error = certificate_error(outcome.server);
    assert!(matches!(error, CertificateError::InvalidPurposeContext { .. }), "{error:?}");
}

#[test]
fn an_agent_s_certificate_does_not_pass_for_the_relay() {
    let relay = Relay::new();
    let (chain, key) = relay.agent();
    let impostor = relay.config_as(RelayIdentity { chain, key });
    let error = handshake(relay.connector(None), impostor).client.unwrap_err();
    assert!(
        matches!(error, Error::InvalidCertificate(CertificateError::InvalidPurposeContext { .. })),
        "{error:?}"
    );
    assert!(!is_wrong_authority(&error));
}

#[test]
fn a_relay_of_another_authority_is_told_apart() {
    let (relay, other) = (Relay::new(), Relay::new());
    let outcome = handshake(relay.connector(None), other.config());
    assert!(is_wrong_authority(&outcome.client.unwrap_err()));
    let alert = AlertDescription::from(WRONG_AUTHORITY_ALERT);
    assert_eq!(outcome.server.unwrap_err(), Error::AlertReceived(alert));
}

#[test]
fn a_relay_cannot_borrow_the_right_authority_s_certificate() {
    let (relay, other) = (Relay::new(), Relay::new());
    let mut identity = other.authority.relay_identity(SystemTime::now()).unwrap();
    identity.chain.push(relay.authority.certificate().clone());
    let outcome = handshake(relay.connector(None), other.config_as(identity));
    let error = outcome.client.unwrap_err();
    assert!(matches!(error, Error::InvalidCertificate(_)) && !is_wrong_authority(&error));

    let mut bare = relay.authority.relay_identity(SystemTime::now()).unwrap();
    bare.chain.truncate(1);
    let outcome = handshake(relay.connector(None), relay.config_as(bare));
    assert!(is_wrong_authority(&outcome.client.unwrap_err()));
}

#[test]
fn an_expired_relay_is_refused() {
    let relay = Relay::new();
    let old = relay.authority.relay_identity(SystemTime::now() - DAY * 400).unwrap();
    let error = handshake(relay.connector(None), relay.config_as(old)).client.unwrap_err();
    assert!(
        matches!(error, Error::InvalidCertificate(CertificateError::ExpiredContext { .. })),
        "{error:?}"
    );
}

#[test]
fn tls_1_2_is_refused_by_both_ends() {
    let relay = Relay::new();
    let mut roots = RootCertStore::empty();
    roots.add(relay.authority.certificate().clone()).unwrap();
    let old_client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let outcome = handshake(old_client, relay.config());
    assert!(matches!(outcome.server, Err(Error::PeerIncompatible(_))));

    let identity = relay.authority.relay_identity(SystemTime::now()).unwrap();
    let old_server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    let outcome = handshake(relay.connector(None), old_server);
    assert!(outcome.client.is_err() && outcome.server.is_err());
}

#[test]
fn protocols_without_overlap_are_refused() {
    let relay = Relay::new();
    let stranger = connector_tls(relay.authority.fingerprint(), None, &[b"theirs/9"]).unwrap();
    let outcome = handshake(stranger, relay.config());
    assert_eq!(outcome.server.unwrap_err(), Error::NoApplicationProtocol);
    let alert = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(outcome.client.unwrap_err(), alert);
}

#[test]
fn both_configurations_serve_quic() {
    use rustls::quic::{ClientConnection, ServerConnection, Version};
    let relay = Relay::new();
    let name = ServerName::try_from(RELAY_NAME).unwrap();
    let server = Arc::new(relay.config());
    assert_eq!(server.max_early_data_size, 0);
    assert_eq!(server.send_tls13_tickets, 0);
    ServerConnection::new(server, Version::V1, vec![]).unwrap();
    ClientConnection::new(Arc::new(relay.connector(None)), Version::V1, name, vec![]).unwrap();
}
