//! A connector made by hand: it enrols in order, and then sends whatever a story wants.

pub mod calls;
pub mod frames;

use crate::until;
use bytes::Bytes;
use certs::{CaFingerprint, JoinString, KeyPair, Profile, RELAY_NAME, StateDir, connector_tls};
use data_encoding::BASE64URL_NOPAD;
use frames::{data, encode, end, head};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig,
    VarInt, WriteError,
};
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use shared::codes::{CloseCode, StreamCode};
use shared::control::{Hello, Refusal, Status, ToConnector, ToRelay, Version};
use shared::control_stream::{ControlEvent, ControlReader, ControlWriter};
use shared::exposure::Exposure;
use shared::ids::{InstanceId, WorkspaceId};
use shared::limits::{ALPN, VERSION_MAJOR, VERSION_MINOR};
use shared::wire::{Direction, Frame, MessageReader, RequestHead};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::time::timeout;

/// Patience for one step of the relay.
const STEP: Duration = Duration::from_secs(10);
/// The relay hears from an idle raw connector this often.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The version that this connector speaks unless a story says otherwise.
pub const VERSION: Version = Version { major: VERSION_MAJOR, minor: VERSION_MINOR };

/// An enrolled connector that is not connected.
pub struct RawIdentity {
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// The relay's authority.
    pub ca: CaFingerprint,
    /// Where it dials.
    pub relay: SocketAddr,
    /// Its certificate, then the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: KeyPair,
}

impl RawIdentity {
    /// Enrols with a fresh key.
    pub async fn join(join: &str) -> RawIdentity {
        let key = KeyPair::generate().expect("a key");
        let chain = redeem(join, &key).await.unwrap_or_else(|no| panic!("{no:?}"));
        let join = parse(join);
        RawIdentity { workspace: join.workspace, ca: join.ca, relay: relay_of(&join), chain, key }
    }

    /// Takes over what a connector keeps in its state directory.
    #[must_use]
    pub fn load(state_dir: &Path, relay: SocketAddr) -> RawIdentity {
        let state = StateDir::open(state_dir).expect("a state directory");
        let workspace = state.list().expect("a list")[0];
        let identity = state.load(&workspace).expect("an identity");
        let key = KeyPair::from_pkcs8_der(identity.key.secret_der()).expect("its key");
        RawIdentity { workspace, ca: identity.ca, relay, chain: identity.chain, key }
    }

    /// Puts it into a state directory, as a connector would.
    pub fn save(self, state_dir: &Path) {
        let profile = Profile {
            workspace: self.workspace,
            endpoints: vec![self.relay.to_string()],
            ca: self.ca,
            public_url: None,
            host_url: None,
            worked: None,
        };
        let state = StateDir::open(state_dir).expect("a state directory");
        state.save(&profile, self.key, self.chain).expect("an identity");
    }

    /// What it says first.
    #[must_use]
    pub fn hello(&self) -> Hello {
        Hello {
            version: VERSION,
            software: "raw-connector/0".to_owned(),
            instance: InstanceId(u64::from(std::process::id())),
            attempt: 1,
            workspace_id: Some(self.workspace),
            token: None,
            exposure: Exposure::default(),
            origin: String::new(),
            also: Vec::new(),
            card: Value::Null,
            status: Status::default(),
            beats_itself: false,
        }
    }

    /// Dials with its certificate and these protocols.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn dial(&self, protocols: &[&[u8]]) -> Result<RawLink, ConnectionError> {
        dial(self.relay, self.ca, Some(self), protocols).await
    }

    /// Dials with its certificate.
    pub async fn connect(&self) -> RawLink {
        self.dial(&[ALPN]).await.expect("a connection")
    }

    /// Dials, says HELLO, and is welcomed.
    pub async fn online(&self) -> RawLink {
        let mut link = self.connect().await;
        link.send(&ToRelay::Hello(Box::new(self.hello()))).await;
        let answer = link.next().await;
        assert!(matches!(answer, ToConnector::Welcome(_)), "{answer:?}");
        link
    }
}

/// Trades a join string for a certificate of this key.
///
/// # Errors
/// The relay's refusal.
pub async fn redeem(join: &str, key: &KeyPair) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let join = parse(join);
    let mut link = dial(relay_of(&join), join.ca, None, &[ALPN]).await.expect("a connection");
    let csr = key.csr_der().expect("a request");
    link.send(&ToRelay::Join {
        version: VERSION,
        workspace_id: join.workspace,
        token: BASE64URL_NOPAD.encode(&join.token.0),
        csr: BASE64URL_NOPAD.encode(&csr),
    })
    .await;
    match link.next().await {
        ToConnector::Certificate { chain, .. } => {
            let der = |text: &String| BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64url");
            Ok(chain.iter().map(|text| der(text).into()).collect())
        }
        ToConnector::Refusal(refusal) => Err(refusal),
        other => panic!("JOIN was answered by {other:?}"),
    }
}

/// Dials the relay of this join string without a certificate.
pub async fn connect_bare(join: &str) -> RawLink {
    let join = parse(join);
    dial(relay_of(&join), join.ca, None, &[ALPN]).await.expect("a connection")
}

fn parse(join: &str) -> JoinString {
    join.parse().unwrap_or_else(|e| panic!("{e}"))
}

fn relay_of(join: &JoinString) -> SocketAddr {
    join.endpoints[0].parse().expect("an address")
}

async fn dial(
    relay: SocketAddr,
    ca: CaFingerprint,
    identity: Option<&RawIdentity>,
    protocols: &[&[u8]],
) -> Result<RawLink, ConnectionError> {
    let credential = identity.map(|own| (own.chain.clone(), own.key.private_key()));
    let tls = connector_tls(ca, credential, protocols).expect("TLS");
    let tls = QuicClientConfig::try_from(tls).expect("TLS for QUIC");
    let mut config = ClientConfig::new(Arc::new(tls));
    let mut transport = TransportConfig::default();
    // Small, so that a connector that never reads shows soon.
    transport.keep_alive_interval(Some(KEEP_ALIVE)).stream_receive_window(VarInt::from_u32(65_536));
    config.transport_config(Arc::new(transport));
    let socket = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
    let connecting = socket.connect_with(config, relay, RELAY_NAME).expect("a configuration");
    let connection = timeout(STEP, connecting).await.expect("the relay answers")?;
    let (send, recv) = connection.open_bi().await?;
    let (reader, writer) = (ControlReader::new(recv), ControlWriter::new(send));
    Ok(RawLink { connection, reader, writer, _socket: socket })
}

/// A connection whose control stream is open.
pub struct RawLink {
    /// The connection, for what has no verb here.
    pub connection: Connection,
    reader: ControlReader<RecvStream>,
    writer: ControlWriter<SendStream>,
    _socket: Endpoint,
}

impl RawLink {
    /// Sends a message on the control stream.
    pub async fn send(&mut self, message: &ToRelay) {
        self.writer.send(message).await.expect("the control stream is open");
    }

    /// Sends JSON as a message, whatever it is.
    pub async fn send_json(&mut self, json: &Value) {
        let frame = Frame::Control(Bytes::from(json.to_string()));
        assert!(self.send_bytes(&encode(&[frame])).await, "the control stream is open");
    }

    /// Sends bytes on the control stream; false when nobody takes them any more.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.writer.send_frames(bytes).await.is_ok()
    }

    /// The relay's next message; ACKs are passed over.
    pub async fn next(&mut self) -> ToConnector {
        loop {
            let event = timeout(STEP, self.reader.next()).await.expect("the relay says something");
            match event.expect("a message") {
                ControlEvent::Message(message) => return message,
                ControlEvent::Unknown(kind) => panic!("the relay sent {kind}"),
                ControlEvent::Acks(_) | ControlEvent::Done(_) => {}
            }
        }
    }

    /// True until the relay closes the link.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Waits until the relay closes the link, and tells with which code and words.
    pub async fn until_closed(&self, deadline: Duration) -> (Option<CloseCode>, String) {
        let reason =
            until("the relay closes the link", deadline, async || self.connection.close_reason());
        match reason.await {
            ConnectionError::ApplicationClosed(close) => (
                CloseCode::from_number(close.error_code.into_inner()),
                String::from_utf8_lossy(&close.reason).into_owned(),
            ),
            other => panic!("the link ended otherwise: {other}"),
        }
    }

    /// Takes the next request, whole. Its body must fit the first credit.
    pub async fn accept(&self) -> RawExchange {
        let accepted = timeout(STEP, self.connection.accept_bi()).await.expect("a request comes");
        let (send, mut recv) = accepted.expect("a stream");
        let mut reader = MessageReader::new(Direction::Request, 0);
        let (mut head, mut body) = (None, Vec::new());
        while !reader.is_over() {
            let chunk = timeout(STEP, recv.read_chunk(4096, true)).await.expect("more comes");
            let mut bytes = chunk.expect("a chunk").expect("not the end").bytes;
            while let Some(frame) = reader.next(&mut bytes).expect("a frame") {
                match frame {
                    Frame::RequestHead(request) => head = Some(*request),
                    Frame::Data(data) => body.extend_from_slice(&data),
                    _ => {}
                }
            }
        }
        RawExchange { head: head.expect("a head"), body, send }
    }

    /// Takes the next request as a stream whose bytes nobody has read.
    pub async fn accept_unread(&self) -> (SendStream, RecvStream) {
        let accepted = timeout(STEP, self.connection.accept_bi()).await.expect("a request comes");
        accepted.expect("a stream")
    }
}

/// A request that waits for its answer.
pub struct RawExchange {
    /// Its head.
    pub head: RequestHead,
    /// Its body.
    pub body: Vec<u8>,
    send: SendStream,
}

impl RawExchange {
    /// Sends bytes as the answer; false when the relay wants no more of it.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.send.write_all(bytes).await.is_ok()
    }

    /// Ends the stream in order, whatever was sent.
    pub fn finish(&mut self) {
        // The relay may have stopped it.
        let _ = self.send.finish();
    }

    /// Resets the stream.
    pub fn reset(&mut self, code: StreamCode) {
        let _ = self.send.reset(VarInt::from_u32(code.number()));
    }

    /// Answers as it should be.
    pub async fn answer(mut self, body: &str) {
        let frames = [head(200, &[]), data(body), end(body.len() as u64)];
        match self.send.write_all(&encode(&frames)).await {
            Ok(()) | Err(WriteError::Stopped(_)) => self.finish(),
            Err(error) => panic!("the answer cannot be sent: {error}"),
        }
    }
}
