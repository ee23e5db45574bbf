//! Links over real QUIC on loopback, for tests of what uses links.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use bytes::BytesMut;
use certs::Authority;
use http::{HeaderMap, Method};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, Endpoint, ReadError, ReadToEndError, ServerConfig, TransportConfig,
    VarInt,
};
use shared::codes::StreamCode;
use shared::control::Status;
use shared::ids::{ExchangeId, InstanceId, WorkspaceId};
use shared::limits::ALPN;
use shared::wire::{Binding, Frame, FrameReader, RequestHead, Target};
use tokio::sync::mpsc;

use super::link::Founding;
use super::{Announced, Link, LiveLinks};
use crate::registry::CredentialId;
use crate::shard::Home;

/// The head of a request that means nothing.
pub(crate) fn head() -> RequestHead {
    RequestHead {
        exchange: ExchangeId { instance: InstanceId(0), counter: 0 },
        target: Target::Endpoint,
        binding: Binding::JsonRpc,
        has_body: false,
        method: Method::POST,
        query: None,
        request_credit: 0,
        response_credit: 0,
        fields: HeaderMap::new(),
        head_timeout_ms: None,
    }
}

/// Both ends of real QUIC connections over loopback, as links have them.
pub(crate) struct Wire {
    relay: Endpoint,
    connector: Endpoint,
    client: ClientConfig,
    _folder: tempfile::TempDir,
}

impl Wire {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(folder.path(), SystemTime::now()).unwrap();
        let identity = authority.relay_identity(SystemTime::now()).unwrap();
        let tls = certs::relay_tls(identity, authority.certificate(), &[ALPN]).unwrap();
        let server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let tls = certs::connector_tls(authority.fingerprint(), None, &[ALPN]).unwrap();
        let client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let here = (Ipv4Addr::LOCALHOST, 0).into();
        let relay = Endpoint::server(server, here).unwrap();
        Self { relay, connector: Endpoint::client(here).unwrap(), client, _folder: folder }
    }

    /// The link of a new connector process that lets the relay open so many streams, and its end.
    pub(crate) async fn link(
        &self,
        live: &LiveLinks,
        workspace: WorkspaceId,
        instance: u64,
        streams: u32,
    ) -> (Arc<Link>, FarEnd) {
        self.link_by(live, workspace, instance, streams, None).await
    }

    /// The same for a connector that came with this token.
    pub(crate) async fn link_by(
        &self,
        live: &LiveLinks,
        workspace: WorkspaceId,
        instance: u64,
        streams: u32,
        token: Option<CredentialId>,
    ) -> (Arc<Link>, FarEnd) {
        let mut transport = TransportConfig::default();
        transport.max_concurrent_bidi_streams(VarInt::from_u32(streams));
        self.link_of(live, workspace, instance, token, transport).await
    }

    /// The same, whose end has these settings.
    pub(crate) async fn link_with(
        &self,
        live: &LiveLinks,
        workspace: WorkspaceId,
        instance: u64,
        transport: TransportConfig,
    ) -> (Arc<Link>, FarEnd) {
        self.link_of(live, workspace, instance, None, transport).await
    }

    async fn link_of(
        &self,
        live: &LiveLinks,
        workspace: WorkspaceId,
        instance: u64,
        token: Option<CredentialId>,
        transport: TransportConfig,
    ) -> (Arc<Link>, FarEnd) {
        let mut client = self.client.clone();
        client.transport_config(Arc::new(transport));
        let address = self.relay.local_addr().unwrap();
        let dialling = self.connector.connect_with(client, address, certs::RELAY_NAME).unwrap();
        let accepting = async { self.relay.accept().await.unwrap().await.unwrap() };
        let (there, here) = tokio::join!(dialling, accepting);
        let founding = Founding {
            workspace,
            token,
            generation: live.next_generation(),
            instance: InstanceId(instance),
            attempt: 1,
            home: Home::here(0),
            live: live.clone(),
            relay: InstanceId(0),
            exchanges: Arc::new(AtomicU64::new(0)),
            control: mpsc::channel(1).0,
            announced: Announced::default(),
            status: Status::default(),
        };
        (Arc::new(Link::new(here.into(), founding)), FarEnd(there.unwrap()))
    }
}

/// The connector's end of a link.
pub(crate) struct FarEnd(Connection);

impl FarEnd {
    /// Whether the relay opens a stream.
    pub(crate) async fn got_a_stream(&self) -> bool {
        self.0.accept_bi().await.is_ok()
    }

    /// Reads the stream that the relay opens; tells with which code it was reset, if it was.
    pub(crate) async fn got_a_reset(&self) -> Option<StreamCode> {
        let (_send, mut recv) = self.0.accept_bi().await.ok()?;
        match recv.read_to_end(usize::MAX).await {
            Err(ReadToEndError::Read(ReadError::Reset(code))) => {
                StreamCode::from_number(code.into_inner())
            }
            _ => None,
        }
    }

    /// Reads the first frame of the stream that the relay opens, and answers it with these.
    pub(crate) async fn answer_with(&self, frames: &[Frame]) -> (Frame, quinn::SendStream) {
        let (mut send, mut recv) = self.0.accept_bi().await.unwrap();
        let (mut reader, mut first) = (FrameReader::default(), None);
        while first.is_none() {
            let mut bytes = recv.read_chunk(65_536, true).await.unwrap().unwrap().bytes;
            first = reader.next(&mut bytes).unwrap();
        }
        let mut out = BytesMut::new();
        frames.iter().for_each(|frame| frame.put(&mut out));
        send.write_all(&out).await.unwrap();
        (first.unwrap(), send)
    }
}
