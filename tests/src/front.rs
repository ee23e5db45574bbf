//! A recording front: an HTTP proxy that changes nothing, and writes down every exchange.
//!
//! Before the agent it tells what the agent got; before the relay, whose public URL it then is, it
//! tells what the caller got. Without anything behind it, it takes whatever comes: a webhook.

use crate::backstage::Backstage;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn as client;
use hyper::server::conn as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::net::{TcpListener, TcpStream};

/// One request and its answer, as far as they came.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The version of HTTP that the caller spoke.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// Raw path and query.
    pub path: String,
    /// What was asked.
    pub request: Message,
    /// The status of the answer, once it came.
    pub status: Option<StatusCode>,
    /// What was answered.
    pub answer: Message,
}

/// The fields and the body of a request or an answer.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The fields.
    pub fields: HeaderMap,
    /// The body as far as it came.
    pub body: Vec<u8>,
    /// The fields behind it.
    pub trailers: HeaderMap,
    /// Whether its end was seen.
    pub whole: bool,
}

impl Message {
    /// The first value of a field, if it is text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(|value| value.to_str().ok())
    }
}

#[derive(Clone, Copy)]
enum Side {
    Request,
    Answer,
}

/// Every exchange, in the order of their beginnings.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<Exchange>>>);

impl Tape {
    fn lock(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn edit(&self, number: usize, edit: impl FnOnce(&mut Exchange)) {
        if let Some(exchange) = self.lock().get_mut(number) {
            edit(exchange);
        }
    }
}

/// The front. Drop closes it and everything that goes through it.
pub struct Front {
    address: SocketAddr,
    upstream: Arc<Mutex<Option<SocketAddr>>>,
    tape: Tape,
    _backstage: Backstage,
}

impl Front {
    /// A front on a free port of loopback with nothing behind it yet.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start() -> Front {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (upstream, tape) = (Arc::<Mutex<Option<SocketAddr>>>::default(), Tape::default());
        let (behind, writer) = (upstream.clone(), tape.clone());
        let backstage = Backstage::open("front", move || serve(listener, behind, writer));
        Front { address, upstream, tape, _backstage: backstage }
    }

    /// What comes from now on goes there.
    pub fn lead_to(&self, upstream: SocketAddr) {
        *self.upstream.lock().unwrap_or_else(PoisonError::into_inner) = Some(upstream);
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its origin, without a final slash.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many exchanges have begun.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tape.lock().len()
    }

    /// The exchanges from this one on, in the order in which they began.
    #[must_use]
    pub fn since(&self, first: usize) -> Vec<Exchange> {
        self.tape.lock().iter().skip(first).cloned().collect()
    }
}

async fn serve(
    listener: std::net::TcpListener,
    upstream: Arc<Mutex<Option<SocketAddr>>>,
    tape: Tape,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (upstream, tape) = (upstream.clone(), tape.clone());
        tokio::spawn(async move {
            let pass = service_fn(move |request: Request<Incoming>| {
                let to = *upstream.lock().unwrap_or_else(PoisonError::into_inner);
                pass(request, to, tape.clone())
            });
            let mut first = [0; 4];
            let is_http2 = matches!(stream.peek(&mut first).await, Ok(4)) && first == *b"PRI ";
            let io = TokioIo::new(stream);
            // Whoever leaves in the middle ends here with an error.
            let _ = if is_http2 {
                server::http2::Builder::new(TokioExecutor::new()).serve_connection(io, pass).await
            } else {
                server::http1::Builder::new().serve_connection(io, pass).await
            };
        });
    }
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// One exchange. Without an answer from behind, the caller's connection breaks as that one did.
async fn pass(
    request: Request<Incoming>,
    upstream: Option<SocketAddr>,
    tape: Tape,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let number = {
        let mut exchanges = tape.lock();
        exchanges.push(Exchange {
            version: head.version,
            method: head.method.clone(),
            path: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            request: Message { fields: head.headers.clone(), ..Message::default() },
            status: None,
            answer: Message::default(),
        });
        exchanges.len() - 1
    };
    let body = Tap { inner: body, tape: tape.clone(), number, side: Side::Request };
    let Some(upstream) = upstream else {
        body.collect().await?;
        tape.edit(number, |exchange| exchange.status = Some(StatusCode::OK));
        return Ok(Response::new(Empty::new().map_err(|never: Infallible| match never {}).boxed()));
    };
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let io = TokioIo::new(stream);
    let is_http2 = head.version == Version::HTTP_2;
    let mut request = Request::from_parts(head, body);
    let response = if is_http2 {
        let (mut sender, connection) = client::http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    } else {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = path.parse::<Uri>()?;
        let (mut sender, connection) = client::http1::handshake(io).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    };
    let (head, body) = response.into_parts();
    tape.edit(number, |exchange| {
        exchange.status = Some(head.status);
        exchange.answer.fields = head.headers.clone();
    });
    let body = Tap { inner: body, tape, number, side: Side::Answer };
    Ok(Response::from_parts(head, body.boxed()))
}

/// A body that is written down as it passes.
struct Tap {
    inner: Incoming,
    tape: Tape,
    number: usize,
    side: Side,
}

impl Tap {
    fn write(&self, edit: impl FnOnce(&mut Message)) {
        self.tape.edit(self.number, |exchange| match self.side {
            Side::Request => edit(&mut exchange.request),
            Side::Answer => edit(&mut exchange.answer),
        });
    }
}

impl Body for Tap {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    self.write(|message| message.body.extend_from_slice(bytes));
                }
                if let Some(trailers) = frame.trailers_ref() {
                    self.write(|message| message.trailers = trailers.clone());
                }
            }
            Poll::Ready(None) => self.write(|message| message.whole = true),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body of a known length is over without being asked once more.
impl Drop for Tap {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.write(|message| message.whole = true);
        }
    }
}
