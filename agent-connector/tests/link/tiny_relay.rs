//! A relay that knows one workspace, welcomes it, and sends what the test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use certs::{Authority, CaFingerprint, JoinString, JoinToken, relay_tls};
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, Method};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, ConnectionError, Endpoint, ReadError, ReadToEndError, RecvStream, SendStream,
    ServerConfig, VarInt,
};
use shared::codes::{CloseCode, StreamCode};
use shared::control::{ToConnector, ToRelay, Version, Welcome};
use shared::control_stream::{ControlEvent, ControlReader, ControlWriter};
use shared::ids::{ExchangeId, Generation, InstanceId, WorkspaceId};
use shared::limits::{ALPN, FIRST_CREDIT};
use shared::secret::Secret;
use shared::wire::{
    Abort, Binding, Direction, Frame, FrameReader, MessageReader, RequestHead, Target,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
const WORKSPACE: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";

pub(crate) struct TinyRelay {
    endpoint: Endpoint,
    authority: Authority,
    address: SocketAddr,
}

/// A welcomed link; its control stream is served beside the test.
pub(crate) struct Link {
    connection: Connection,
    tell: mpsc::UnboundedSender<ToConnector>,
    drained: watch::Receiver<Option<u64>>,
    held: watch::Sender<Option<Vec<u64>>>,
    done: mpsc::UnboundedSender<Vec<u64>>,
    _control: JoinSet<()>,
}

/// The relay's end of one exchange.
pub(crate) struct Exchange {
    send: SendStream,
    recv: RecvStream,
    reader: MessageReader,
    bare: FrameReader,
    unread: Bytes,
}

impl TinyRelay {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(folder.path(), SystemTime::now()).unwrap();
        let identity = authority.relay_identity(SystemTime::now()).unwrap();
        let tls = relay_tls(identity, authority.certificate(), &[ALPN]).unwrap();
        let tls = QuicServerConfig::try_from(tls).unwrap();
        let config = ServerConfig::with_crypto(Arc::new(tls));
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = endpoint.local_addr().unwrap();
        Self { endpoint, authority, address }
    }

    pub(crate) fn join_string(&self) -> JoinString {
        JoinString {
            endpoints: vec![self.address.to_string()],
            ca: CaFingerprint::of(self.authority.certificate()),
            workspace: WORKSPACE.parse().unwrap(),
            token: JoinToken([7; 32]),
            expires_at: u64::MAX,
        }
    }

    /// Takes one JOIN.
    pub(crate) async fn enrol(&self) {
        let (connection, message, mut writer, _reader) = self.first_message().await;
        let ToRelay::Join { token, csr, .. } = message else { panic!("no JOIN but {message:?}") };
        assert_eq!(token, BASE64URL_NOPAD.encode(&[7; 32]));
        let csr = BASE64URL_NOPAD.decode(csr.as_bytes()).unwrap();
        let workspace: WorkspaceId = WORKSPACE.parse().unwrap();
        let signed = self.authority.sign_agent(&csr, &workspace, SystemTime::now()).unwrap();
        let certificate = ToConnector::Certificate {
            chain: signed.chain.iter().map(|der| BASE64URL_NOPAD.encode(der)).collect(),
            public_url: "http://relay.example/agents/a_x/".into(),
            endpoints: vec![self.address.to_string()],
        };
        writer.send(&certificate).await.unwrap();
        connection.closed().await;
    }

    /// Its authority, as connectors are told.
    pub(crate) fn ca(&self) -> CaFingerprint {
        CaFingerprint::of(self.authority.certificate())
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// Takes one HELLO and welcomes it.
    pub(crate) async fn link(&self) -> Link {
        self.link_by(None).await
    }

    /// Takes one HELLO, by this token in place of a certificate, and welcomes it.
    pub(crate) async fn link_by(&self, token: Option<&str>) -> Link {
        let (connection, message, mut writer, reader) = self.first_message().await;
        let ToRelay::Hello(hello) = message else { panic!("no HELLO but {message:?}") };
        assert_eq!(
            connection.peer_identity().is_some(),
            token.is_none(),
            "a certificate or a token"
        );
        assert_eq!(hello.token.as_ref().map(Secret::reveal), token);
        let welcome = ToConnector::Welcome(Box::new(Welcome {
            version: Version { major: 1, minor: 0 },
            software: "tiny-relay".into(),
            instance: InstanceId(1),
            workspace_id: WORKSPACE.parse().unwrap(),
            name: "tiny".into(),
            generation: Generation(1),
            public_url: "http://relay.example/agents/a_x/".into(),
            host_url: None,
            endpoints: vec![self.address.to_string()],
            ping_interval_ms: 5000,
            heartbeat_interval_ms: 30_000,
        }));
        writer.send(&welcome).await.unwrap();
        Self::served(connection, reader, writer)
    }

    /// Takes one BOOTSTRAP, for so many calls.
    pub(crate) async fn bootstrap(&self, calls: u64) -> Link {
        let (connection, message, mut writer, reader) = self.first_message().await;
        let ToRelay::Bootstrap { version } = message else {
            panic!("no BOOTSTRAP but {message:?}")
        };
        assert!(connection.peer_identity().is_none());
        let software = "tiny-relay".into();
        let ready = ToConnector::Ready { version, software, lifetime_ms: 60_000, calls };
        writer.send(&ready).await.unwrap();
        Self::served(connection, reader, writer)
    }

    fn served(
        connection: Connection,
        reader: ControlReader<RecvStream>,
        writer: ControlWriter<SendStream>,
    ) -> Link {
        let (tell, told) = mpsc::unbounded_channel();
        let (drained, watched) = watch::channel(None);
        let held = watch::Sender::new(None);
        let mut control = JoinSet::new();
        let (done, over) = mpsc::unbounded_channel();
        control.spawn(serve(reader, writer, told, over, drained, held.clone()));
        Link { connection, tell, drained: watched, held, done, _control: control }
    }

    async fn first_message(
        &self,
    ) -> (Connection, ToRelay, ControlWriter<SendStream>, ControlReader<RecvStream>) {
        let opened = async {
            let connection = self.endpoint.accept().await.unwrap().await.unwrap();
            let (send, recv) = connection.accept_bi().await.unwrap();
            let mut reader = ControlReader::new(recv);
            let event = reader.next::<ToRelay>().await.unwrap();
            let ControlEvent::Message(message) = event else { panic!("{event:?}") };
            (connection, message, ControlWriter::new(send), reader)
        };
        timeout(PATIENCE, opened).await.expect("a connector dials in time")
    }
}

async fn serve(
    mut reader: ControlReader<RecvStream>,
    mut writer: ControlWriter<SendStream>,
    mut told: mpsc::UnboundedReceiver<ToConnector>,
    mut over: mpsc::UnboundedReceiver<Vec<u64>>,
    drained: watch::Sender<Option<u64>>,
    held: watch::Sender<Option<Vec<u64>>>,
) {
    loop {
        let answer = tokio::select! {
            event = reader.next::<ToRelay>() => match event {
                Ok(ControlEvent::Message(ToRelay::Ping { seq })) => {
                    let hold = |held: &mut Option<Vec<u64>>| {
                        held.as_mut().map(|held| held.push(seq)).is_some()
                    };
                    if held.send_if_modified(hold) {
                        continue;
                    }
                    ToConnector::Pong { seq }
                }
                Ok(ControlEvent::Message(ToRelay::Drain { last_exchange })) => {
                    drained.send_replace(Some(last_exchange));
                    continue;
                }
                Ok(_) => continue,
                Err(_) => return,
            },
            Some(message) = told.recv() => message,
            Some(counters) = over.recv() => {
                let mut done = BytesMut::new();
                Frame::Done(counters).put(&mut done);
                if writer.send_frames(&done).await.is_err() {
                    return;
                }
                continue;
            }
        };
        if writer.send(&answer).await.is_err() {
            return;
        }
    }
}

impl Link {
    pub(crate) async fn open(&self) -> Exchange {
        let (send, recv) = self.connection.open_bi().await.unwrap();
        let reader = MessageReader::new(Direction::Response, FIRST_CREDIT);
        Exchange { send, recv, reader, bare: FrameReader::default(), unread: Bytes::new() }
    }

    /// The next call of the agent.
    pub(crate) async fn called(&self) -> Exchange {
        let accepted = timeout(PATIENCE, self.connection.accept_bi()).await;
        let (send, recv) = accepted.expect("a call comes in time").unwrap();
        let reader = MessageReader::new(Direction::Request, 0);
        Exchange { send, recv, reader, bare: FrameReader::default(), unread: Bytes::new() }
    }

    /// Says DONE.
    pub(crate) fn done(&self, counters: &[u64]) {
        self.done.send(counters.to_vec()).unwrap();
    }

    pub(crate) fn tell(&self, message: ToConnector) {
        self.tell.send(message).unwrap();
    }

    /// A stream whose first frame is CONTINUE.
    pub(crate) async fn go_on(
        &self,
        exchange: ExchangeId,
        has_head: bool,
        response_offset: u64,
    ) -> Exchange {
        let mut further = self.open().await;
        further.reader.go_on();
        further.send(&[Frame::Continue { exchange, has_head, response_offset }]).await;
        further
    }

    pub(crate) fn close(&self, code: CloseCode) {
        self.connection.close(VarInt::from_u32(code.number()), b"");
    }

    /// From now on the test answers each PING.
    pub(crate) fn hold_pongs(&self) {
        self.held.send_replace(Some(Vec::new()));
    }

    /// The number of the next PING that is not answered yet.
    pub(crate) async fn pinged(&self) -> u64 {
        let mut held = self.held.subscribe();
        let pinged = held.wait_for(|held| held.as_ref().is_some_and(|held| !held.is_empty()));
        drop(timeout(PATIENCE, pinged).await.expect("a PING comes in time").unwrap());
        let mut next = None;
        self.held.send_modify(|held| next = held.as_mut().map(|held| held.remove(0)));
        next.unwrap()
    }

    /// What the connector's DRAIN names as its last exchange.
    pub(crate) async fn drained(&self) -> u64 {
        let mut drained = self.drained.clone();
        let drained = drained.wait_for(Option::is_some);
        timeout(PATIENCE, drained).await.expect("DRAIN comes in time").unwrap().unwrap()
    }

    /// How the connector closed it.
    pub(crate) async fn closed(&self) -> Option<CloseCode> {
        let reason = timeout(PATIENCE, self.connection.closed()).await.expect("it is closed");
        match reason {
            ConnectionError::ApplicationClosed(close) => {
                CloseCode::from_number(close.error_code.into_inner())
            }
            _ => None,
        }
    }
}

impl Exchange {
    pub(crate) async fn send(&mut self, frames: &[Frame]) {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| frame.put(&mut bytes));
        self.send_bytes(&bytes).await;
    }

    /// Bytes of frames.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        // A connector that refuses does not read on.
        let _ = self.send.write_all(bytes).await;
    }

    pub(crate) fn finish(&mut self) {
        self.send.finish().unwrap();
    }

    pub(crate) fn reset(mut self, code: StreamCode) {
        self.send.reset(VarInt::from_u32(code.number())).unwrap();
        self.stop(code);
    }

    pub(crate) fn stop(mut self, code: StreamCode) {
        self.recv.stop(VarInt::from_u32(code.number())).unwrap();
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.reader.next(&mut self.unread).unwrap() {
                return Some(frame);
            }
            let read = timeout(PATIENCE, self.recv.read_chunk(65_536, true)).await;
            self.unread = read.expect("the answer goes on in time").unwrap()?.bytes;
        }
    }

    /// The same exchange on another stream: what came of it is known.
    pub(crate) async fn go_on(&mut self, link: &Link, name: ExchangeId) -> Frame {
        let (has_head, received) = (self.reader.has_head(), self.reader.received());
        let further = link.go_on(name, has_head, received).await;
        (self.send, self.recv, self.unread) = (further.send, further.recv, further.unread);
        self.reader.go_on();
        self.frame().await.unwrap()
    }

    /// The head of a call.
    pub(crate) async fn head(&mut self) -> Box<RequestHead> {
        match self.frame().await {
            Some(Frame::RequestHead(head)) => head,
            other => panic!("no head but {other:?}"),
        }
    }

    /// Resolves when the connector wants no answer any more.
    pub(crate) async fn stopped(&self) -> Option<u64> {
        let stopped = timeout(PATIENCE, self.send.stopped()).await.expect("it is stopped in time");
        stopped.unwrap().map(VarInt::into_inner)
    }

    /// The next frame, in whatever order; `None` at the end.
    pub(crate) async fn bare_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.bare.next(&mut self.unread).unwrap() {
                return Some(frame);
            }
            let read = timeout(PATIENCE, self.recv.read_chunk(65_536, true)).await;
            self.unread = read.expect("the answer goes on in time").unwrap()?.bytes;
        }
    }

    /// With which code the connector resets the stream.
    pub(crate) async fn reset_by(&mut self) -> Option<StreamCode> {
        match timeout(PATIENCE, self.recv.read_to_end(65_536)).await.expect("an end in time") {
            Err(ReadToEndError::Read(ReadError::Reset(code))) => {
                StreamCode::from_number(code.into_inner())
            }
            _ => None,
        }
    }

    /// The whole answer.
    pub(crate) async fn frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        self.reader.end_of_stream().unwrap();
        frames
    }

    /// The ABORT that the answer is.
    pub(crate) async fn abort(&mut self) -> Abort {
        match self.frames().await.pop() {
            Some(Frame::Abort(abort)) => abort,
            other => panic!("no ABORT but {other:?}"),
        }
    }
}

/// A request head; it has a body when it is a POST.
pub(crate) fn head(counter: u64, target: Target, method: Method, fields: HeaderMap) -> Frame {
    Frame::RequestHead(Box::new(RequestHead {
        exchange: ExchangeId { instance: InstanceId(1), counter },
        target,
        binding: Binding::JsonRpc,
        has_body: method == Method::POST,
        method,
        query: None,
        request_credit: FIRST_CREDIT,
        response_credit: FIRST_CREDIT,
        fields,
        head_timeout_ms: None,
    }))
}
