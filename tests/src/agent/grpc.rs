//! A server of gRPC that knows no schema: each call says what it shall do, and what became of it is kept.

use crate::until;
use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What a call may wait for at most.
const SOON: Duration = Duration::from_secs(15);
/// What a caller may send ahead.
const WINDOW: u32 = 1024 * 1024;

/// How a call of the agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// Not yet.
    Open,
    /// With the agent's own trailers, or its reset.
    Answered,
    /// With a reset of the caller's.
    Reset(Reason),
}

/// A call as it came.
#[derive(Clone, Debug)]
pub struct GrpcCall {
    /// Its path.
    pub path: String,
    /// Its metadata, and the fields beside it.
    pub fields: HeaderMap,
    /// Its messages with their prefixes, as far as they came.
    pub body: Vec<u8>,
    /// The connection on which it came, counted from 0.
    pub connection: usize,
    /// How it ended.
    pub end: CallEnd,
}

/// The server, on a port of its own. `x-test-do` of a call says what it does: `echo` (the default),
/// `parrot` (sends back what comes, as it comes), `stream:N` (so many messages, one each 20 ms), `fail`
/// (a message, and an error behind it), `refuse` (all trailers), `never`, `reset` (within its answer),
/// `reset-first` (in its place). It knows every method but `Dance`.
pub struct GrpcAgent {
    port: u16,
    calls: Calls,
    _server: JoinSet<()>,
}

type Calls = Arc<Mutex<Vec<GrpcCall>>>;

impl GrpcAgent {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start() -> GrpcAgent {
        GrpcAgent::start_on(0).await
    }

    /// Starts it on this port.
    ///
    /// # Panics
    /// When the port is taken.
    pub async fn start_on(port: u16) -> GrpcAgent {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let calls = Calls::default();
        let mut server = JoinSet::new();
        server.spawn(serve(listener, calls.clone()));
        GrpcAgent { port, calls, _server: server }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The calls that came, in their order.
    #[must_use]
    pub fn calls(&self) -> Vec<GrpcCall> {
        lock(&self.calls).clone()
    }

    /// Waits until the caller has reset the call with this `x-test-id`.
    pub async fn until_reset(&self, id: &str) -> Reason {
        until(&format!("{id} is reset at the agent"), SOON, async || {
            let call = self.calls().into_iter().find(|call| call.has_id(id))?;
            match call.end {
                CallEnd::Reset(reason) => Some(reason),
                CallEnd::Open | CallEnd::Answered => None,
            }
        })
        .await
    }
}

impl GrpcCall {
    /// Whether its caller named it so.
    #[must_use]
    pub fn has_id(&self, id: &str) -> bool {
        self.fields.get("x-test-id").is_some_and(|name| name == id)
    }
}

fn lock(calls: &Calls) -> MutexGuard<'_, Vec<GrpcCall>> {
    calls.lock().expect("nobody panics while it holds the calls")
}

async fn serve(listener: TcpListener, calls: Calls) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let (stream, _) = listener.accept().await.expect("a connection");
        connections.spawn(connection(stream, number, calls.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, number: usize, calls: Calls) {
    let _ = stream.set_nodelay(true);
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(4 * WINDOW);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let mut streams = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        streams.spawn(call(request, respond, number, calls.clone()));
    }
}

async fn call(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    connection: usize,
    calls: Calls,
) {
    let (head, mut body) = request.into_parts();
    let what = head.headers.get("x-test-do").and_then(|what| what.to_str().ok()).unwrap_or("echo");
    let what = if head.uri.path().ends_with("/Dance") { "unknown" } else { what };
    let what = what.to_owned();
    let index = {
        let mut calls = lock(&calls);
        calls.push(GrpcCall {
            path: head.uri.path().to_owned(),
            fields: head.headers,
            body: Vec::new(),
            connection,
            end: CallEnd::Open,
        });
        calls.len() - 1
    };
    let end = match answer(&what, &mut body, &mut respond, &calls, index).await {
        Ok(()) => CallEnd::Answered,
        Err(reason) => CallEnd::Reset(reason),
    };
    lock(&calls)[index].end = end;
}

/// Does what the call asks for; an error is the caller's reset.
async fn answer(
    what: &str,
    body: &mut RecvStream,
    respond: &mut SendResponse<Bytes>,
    calls: &Calls,
    index: usize,
) -> Result<(), Reason> {
    let reset = |error: h2::Error| error.reason().unwrap_or(Reason::NO_ERROR);
    if what == "never" {
        return Err(poll_fn(|cx| respond.poll_reset(cx)).await.map_err(reset)?);
    }
    let head = || Response::builder().header("content-type", "application/grpc");
    let mut parrot = match what {
        "parrot" => {
            let head = head().header("x-initial", "1").body(()).expect("a head");
            Some(respond.send_response(head, false).map_err(reset)?)
        }
        _ => None,
    };
    while let Some(data) = body.data().await {
        let data = data.map_err(reset)?;
        body.flow_control().release_capacity(data.len()).map_err(reset)?;
        lock(calls)[index].body.extend_from_slice(&data);
        if let Some(parrot) = &mut parrot {
            parrot.send_data(data, false).map_err(reset)?;
        }
    }
    if let Some(mut parrot) = parrot {
        return parrot.send_trailers(trailers("0")).map_err(reset);
    }
    match what.split_once(':').unwrap_or((what, "")) {
        ("refuse", _) => {
            let head = head().header("grpc-status", "5").header("grpc-message", "no such task");
            let head = head.header("x-relay-error", "forged").header("x-of-agent-bin", "AAEC");
            respond.send_response(head.body(()).expect("a head"), true).map_err(reset)?;
            return Ok(());
        }
        ("unknown", _) => {
            let head = head().header("grpc-status", "12").header("grpc-message", "no such method");
            respond.send_response(head.body(()).expect("a head"), true).map_err(reset)?;
            return Ok(());
        }
        ("reset-first", _) => {
            respond.send_reset(Reason::CANCEL);
            return Ok(());
        }
        _ => {}
    }
    let mut sending = respond
        .send_response(head().header("x-initial", "1").body(()).expect("a head"), false)
        .map_err(reset)?;
    match what.split_once(':').unwrap_or((what, "")) {
        ("stream", count) => {
            for number in 0..count.parse::<u32>().expect("a number") {
                let text = format!("message {number}");
                let frame = [&[0, 0, 0, 0, text.len() as u8][..], text.as_bytes()].concat();
                sending.send_data(frame.into(), false).map_err(reset)?;
                tokio::select! {
                    reason = poll_fn(|cx| sending.poll_reset(cx)) => return Err(reason.map_err(reset)?),
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
            }
        }
        ("reset", _) => {
            sending.send_data(Bytes::from_static(&[0, 0, 0, 0, 1, 7]), false).map_err(reset)?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            sending.send_reset(Reason::CANCEL);
            return Ok(());
        }
        ("fail", _) => {
            sending.send_data(Bytes::from_static(&[0, 0, 0, 0, 1, 7]), false).map_err(reset)?;
            let mut trailers = trailers("9");
            trailers.insert("grpc-message", HeaderValue::from_static("not%20now%2C later"));
            trailers.insert("grpc-status-details-bin", HeaderValue::from_static("CAkSB25vdCBub3c"));
            return sending.send_trailers(trailers).map_err(reset);
        }
        _ => {
            let message = lock(calls)[index].body.clone();
            sending.send_data(message.into(), false).map_err(reset)?;
        }
    }
    sending.send_trailers(trailers("0")).map_err(reset)
}

/// Trailers with this status, and some metadata of the agent's own.
fn trailers(status: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    trailers.insert("x-last-bin", HeaderValue::from_static("AwQF"));
    trailers.append("x-twice", HeaderValue::from_static("one"));
    trailers.append("x-twice", HeaderValue::from_static("two"));
    trailers
}
