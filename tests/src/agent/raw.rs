//! An agent that breaks the rules of HTTP, each in one way, below the level of a server library.

use super::{Entry, Journal, listen};
use crate::{
    Fingerprint,
    backstage::Backstage,
    http::framing::{BodyDecoder, Decoded, Framing, Head, take_head},
};
use bytes::BytesMut;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// How a raw agent ends its connection.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// In order.
    Fin,
    /// With a reset, which may overtake what was written.
    Reset,
}

/// What a raw agent does with each POST. A GET gets a plain 404, so that no card is found.
#[derive(Clone, Debug)]
pub enum RawBehaviour {
    /// The port is taken but nobody listens: the connection is refused.
    Refuse,
    /// A reset once the request's head is here, before any answer.
    Reset,
    /// An orderly end once the request is here, without any answer.
    Hangup,
    /// Bytes that are no HTTP.
    Garbage,
    /// A head and a part of its `Content-Length`.
    Half {
        /// What the head promises.
        promised: usize,
        /// What comes.
        sent: usize,
        /// What follows.
        end: End,
    },
    /// So many chunks and no last one.
    ChunksCut {
        /// Chunks of 5 bytes.
        chunks: usize,
        /// What follows.
        end: End,
    },
    /// An HTTP/1.0 answer without a length: only the end of the connection ends it.
    Http10 {
        /// Its body.
        body: String,
        /// What follows.
        end: End,
    },
    /// So many interim answers, then a 200.
    InterimFlood {
        /// How many.
        count: usize,
    },
    /// A 200 with hop-by-hop fields and forged fields of the relay.
    Forged,
    /// These bytes, and an orderly end.
    Bytes(Vec<u8>),
}

/// A raw agent on a thread of its own.
pub struct RawAgent {
    port: u16,
    journal: Journal,
    _held: Option<socket2::Socket>,
    _server: Option<Backstage>,
}

impl RawAgent {
    /// Starts it on a free port of loopback.
    #[must_use]
    pub fn start(behaviour: RawBehaviour) -> RawAgent {
        let journal = Journal::default();
        if matches!(behaviour, RawBehaviour::Refuse) {
            let (port, socket) = closed_port();
            return RawAgent { port, journal, _held: Some(socket), _server: None };
        }
        let listener = listen(0);
        let port = listener.local_addr().expect("a bound port").port();
        let (kept, behaviour) = (journal.clone(), Arc::new(behaviour));
        let server = Backstage::open("raw-agent", move || async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, behaviour.clone(), kept.clone()));
            }
        });
        RawAgent { port, journal, _held: None, _server: Some(server) }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What reached it.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}

/// A port that refuses connections for as long as the socket is held, since nobody else can have it.
#[must_use]
fn closed_port() -> (u16, socket2::Socket) {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).expect("a free port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    (address.expect("a bound port").port(), socket)
}

async fn connection(mut stream: TcpStream, behaviour: Arc<RawBehaviour>, journal: Journal) {
    let _ = stream.set_nodelay(true);
    let mut buffer = BytesMut::new();
    let Some(head) = read_head(&mut stream, &mut buffer).await else { return };
    let mut words = head.start_line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let fields = head.headers.iter().map(|(name, value)| (name.to_lowercase(), text(value)));
    let entry = journal.head(method, path, fields.collect());
    if method != "POST" {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n").await;
        let _ = stream.write_all(b"Connection: close\r\n\r\n").await;
    } else {
        if !matches!(*behaviour, RawBehaviour::Reset) {
            read_body(&mut stream, &mut buffer, &head, &entry).await;
        }
        let (bytes, end) = wire(&behaviour);
        let _ = stream.write_all(&bytes).await;
        if matches!(end, End::Reset) {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            return;
        }
    }
    // Unread bytes would turn the orderly end into a reset: take them until the peer is done too.
    let _ = stream.shutdown().await;
    while matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
        buffer.clear();
    }
}

/// All that the behaviour writes, and how it ends.
fn wire(behaviour: &RawBehaviour) -> (Vec<u8>, End) {
    let text = |text: String| text.into_bytes();
    match behaviour {
        RawBehaviour::Refuse | RawBehaviour::Reset => (Vec::new(), End::Reset),
        RawBehaviour::Hangup => (Vec::new(), End::Fin),
        RawBehaviour::Garbage => (b"\x00\xff\xfe no HTTP at all \r\n\r\n".to_vec(), End::Fin),
        RawBehaviour::Half { promised, sent, end } => {
            let body = "x".repeat(*sent);
            (text(format!("HTTP/1.1 200 OK\r\nContent-Length: {promised}\r\n\r\n{body}")), *end)
        }
        RawBehaviour::ChunksCut { chunks, end } => {
            let chunks = "5\r\nchunk\r\n".repeat(*chunks);
            (text(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")), *end)
        }
        RawBehaviour::Http10 { body, end } => {
            (text(format!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{body}")), *end)
        }
        RawBehaviour::InterimFlood { count } => {
            let flood = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(*count);
            (text(flood + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), End::Fin)
        }
        RawBehaviour::Forged => (FORGED.as_bytes().to_vec(), End::Fin),
        RawBehaviour::Bytes(bytes) => (bytes.clone(), End::Fin),
    }
}

/// `X-Hop` is hop-by-hop because `Connection` names it.
const FORGED: &str = "HTTP/1.1 200 OK\r\n\
    Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\n\
    Upgrade: h2c\r\nX-Relay-Error: RELAY_FORGED\r\nX-Relay-Delivery: not-sent\r\n\
    X-Relay-Card: cached\r\nX-Relay-Caller: forged\r\nX-End-To-End: kept\r\n\
    Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

async fn read_head(stream: &mut TcpStream, buffer: &mut BytesMut) -> Option<Head> {
    loop {
        if let Some(head) = take_head(buffer).ok()? {
            return Some(head);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

async fn read_body(stream: &mut TcpStream, buffer: &mut BytesMut, head: &Head, entry: &Entry) {
    let framing = match head.framing() {
        Framing::Unframed => Framing::Empty,
        framed => framed,
    };
    let mut decoder = BodyDecoder::new(framing);
    let mut hash = crate::fingerprint::Running::default();
    loop {
        match decoder.next(buffer) {
            Ok(Decoded::Data { bytes, .. }) => hash.add(&bytes),
            Ok(Decoded::End { .. }) => {
                let whole: Fingerprint = hash.done();
                return entry.complete(whole);
            }
            Ok(Decoded::NeedMore) => match stream.read_buf(buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return entry.cut(hash.length()),
            },
            Err(_) => return entry.cut(hash.length()),
        }
    }
}
