//! Callers' bodies as hyper brings them, for tests of what takes bodies.

use std::convert::Infallible;

use http::{Response, Version};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::caller_body::CallerBody;

/// A request in chunks that arrives over HTTP/1.1.
pub(crate) struct Arriving {
    caller: DuplexStream,
    connection: JoinSet<()>,
}

impl Arriving {
    /// Its body, of at most `limit` bytes.
    pub(crate) async fn body(limit: u64) -> (Box<CallerBody>, Self) {
        let (caller, here) = tokio::io::duplex(64 * 1024);
        let (give, mut given) = mpsc::channel::<Incoming>(1);
        let mut connection = JoinSet::new();
        connection.spawn(async move {
            let service = service_fn(|request: http::Request<Incoming>| {
                let give = give.clone();
                async move {
                    give.send(request.into_body()).await.unwrap();
                    std::future::pending::<Result<Response<Empty<&[u8]>>, Infallible>>().await
                }
            });
            // An error is what a cut body leads to.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(here), service).await;
        });
        let mut arriving = Self { caller, connection };
        arriving.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let incoming = given.recv().await.unwrap();
        (CallerBody::new(incoming, Version::HTTP_11, limit), arriving)
    }

    /// Sends one chunk.
    pub(crate) async fn chunk(&mut self, bytes: &[u8]) {
        let head = format!("{:x}\r\n", bytes.len());
        self.send(&[head.as_bytes(), bytes, b"\r\n"].concat()).await;
    }

    /// Ends the body with a trailer.
    pub(crate) async fn end(&mut self) {
        self.send(b"0\r\nx-sum: 1\r\n\r\n").await;
    }

    /// Ends the connection, which the body knows at once.
    pub(crate) async fn leave(mut self) {
        self.connection.shutdown().await;
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.caller.write_all(bytes).await.unwrap();
    }
}
