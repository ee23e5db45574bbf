//! A body fed piece by piece, which tells the journal whether all of it was taken.

use super::Entry;
use bytes::Bytes;
use hyper::body::{Body, Frame};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// The answer's body. An error in it breaks the connection, so the client sees a cut.
pub(super) struct Feed {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    watch: Watch,
}

/// Says `abandoned` when it is dropped before it was told `finished`.
pub(super) struct Watch {
    entry: Entry,
    finished: bool,
}

impl Watch {
    /// Watches the answer of this entry.
    pub(super) fn new(entry: &Entry) -> Watch {
        Watch { entry: entry.clone(), finished: false }
    }

    /// The whole answer was taken.
    pub(super) fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            self.entry.finished();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.finished {
            self.entry.abandoned();
        }
    }
}

impl Feed {
    /// A body and the sender that feeds it; dropping the sender ends the body in order.
    pub(super) fn new(watch: Watch) -> (mpsc::Sender<io::Result<Bytes>>, Feed) {
        let (sender, pieces) = mpsc::channel(8);
        (sender, Feed { pieces, watch })
    }

    /// A body that is there at once.
    pub(super) fn whole(watch: Watch, body: impl Into<Bytes>) -> Feed {
        let (sender, feed) = Feed::new(watch);
        sender.try_send(Ok(body.into())).expect("a new channel has room");
        feed
    }
}

impl Body for Feed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = std::task::ready!(self.pieces.poll_recv(cx));
        if piece.is_none() {
            self.watch.finish();
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }
}
