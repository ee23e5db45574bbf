//! What an exchange needs of a connection to the agent, whichever version of HTTP that speaks.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::request_body::RequestBody;
use super::server::Server;

/// One connection to the agent, or a share of one.
pub(crate) trait Connection: Sized {
    /// One that is open already.
    async fn take(server: &Server) -> Option<Self>;

    /// A new one.
    async fn connect(server: &Server) -> io::Result<Self>;

    /// Whether it has carried a request before.
    fn is_reused(&self) -> bool;

    /// Hands a request over; the answer comes while the connection is driven.
    fn request(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>
    + Send
    + use<Self>;

    /// Does what the connection has to do now. Nothing, where a task of its own drives it.
    fn drive(&mut self, cx: &mut Context<'_>);

    /// Why the connection broke, if it did.
    fn failure(&self) -> Option<&hyper::Error>;

    /// Takes it back whose answer is complete.
    async fn give_back(self, server: &Server);
}

/// Does `work` while driving the connection.
pub(crate) async fn beside<C: Connection, F: Future>(connection: &mut C, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        connection.drive(cx);
        // What the connection has brought forth does not always wake this task again.
        work.as_mut().poll(cx)
    })
    .await
}

/// The next frame of an answer's body.
pub(crate) fn poll_frame(
    connection: &mut impl Connection,
    body: &mut Incoming,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
        return Poll::Ready(frame);
    }
    connection.drive(cx);
    Pin::new(body).poll_frame(cx)
}
