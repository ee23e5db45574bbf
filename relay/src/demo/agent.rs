//! The sample agent: a small A2A server on a free port of loopback.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use shared::exposure::CARD_PATHS;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

mod events;
mod replies;

/// A request with a picture or two; a sample needs no more.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

type Body = BoxBody<Bytes, Infallible>;

/// A running sample agent; dropping it ends it with all its connections.
#[derive(Debug)]
pub(super) struct Agent {
    address: SocketAddr,
    task: AbortHandle,
}

impl Agent {
    /// Starts it on the runtime of the caller.
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(serve(listener, address)).abort_handle();
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, address: SocketAddr) {
    let mut connections = JoinSet::new();
    // It serves one demonstration: an accept that fails ends it, and the calls say so.
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(stream, address));
    }
}

async fn connection(stream: TcpStream, address: SocketAddr) {
    // An event must not wait until the one before it is acknowledged; without it only slower.
    let _ = stream.set_nodelay(true);
    let service =
        service_fn(|request| async move { Ok::<_, Infallible>(answer(request, address).await) });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    {
        tracing::debug!(%error, "a connection to the sample agent failed");
    }
}

async fn answer(request: Request<Incoming>, address: SocketAddr) -> Response<Body> {
    let path = request.uri().path();
    match (request.method(), path) {
        (&Method::GET, path) if CARD_PATHS.contains(&path) => json(replies::card(address)),
        (&Method::POST, "/a2a") => {
            match Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await {
                Ok(body) => match replies::reply(&body.to_bytes()) {
                    replies::Reply::One(text) => json(text),
                    replies::Reply::Events(texts) => stream(texts),
                    replies::Reply::Nothing => status(StatusCode::ACCEPTED),
                },
                Err(_) => status(StatusCode::PAYLOAD_TOO_LARGE),
            }
        }
        (_, "/a2a") => status(StatusCode::METHOD_NOT_ALLOWED),
        _ => status(StatusCode::NOT_FOUND),
    }
}

fn json(text: String) -> Response<Body> {
    with_type("application/json", Full::from(text).boxed())
}

fn stream(texts: Vec<String>) -> Response<Body> {
    let mut response = with_type("text/event-stream", events::Events::new(texts).boxed());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = status;
    response
}

fn with_type(media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
