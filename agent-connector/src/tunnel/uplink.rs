//! The way up: the newest link, as the agent's own calls take it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use shared::flow::LinkFlow;
use shared::ids::{ExchangeId, InstanceId, OUTBOUND_COUNTER_MIN};
use shared::limits::OUTBOUND_MAX;
use shared::wire::RequestHead;
use shared::wire::frame::put_request_head;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use transport::Connection;

use super::call::{CallAnswer, CallUpload};

/// Every way up of this process. Clones are handles to the same.
#[derive(Debug, Clone)]
pub(crate) struct Uplinks {
    newest: watch::Sender<Option<Arc<Uplink>>>,
    names: Names,
    places: Arc<Semaphore>,
}

/// Names the exchanges of this process.
#[derive(Debug, Clone)]
struct Names {
    instance: InstanceId,
    counter: Arc<AtomicU64>,
}

/// One link, for calls.
#[derive(Debug)]
pub(crate) struct Uplink {
    connection: Connection,
    flow: LinkFlow,
    names: Names,
    /// Calls that are not over.
    open: watch::Sender<usize>,
}

/// Why a call could not be begun: the relay got nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoCall {
    /// The link is lost.
    Lost,
}

/// Counts one open call.
#[derive(Debug)]
pub(crate) struct InFlight {
    uplink: Arc<Uplink>,
    _place: OwnedSemaphorePermit,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.uplink.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

impl Uplinks {
    /// None yet. `instance` is this process.
    pub(crate) fn new(instance: InstanceId) -> Self {
        let names = Names { instance, counter: Arc::default() };
        let places = Arc::new(Semaphore::new(OUTBOUND_MAX as usize));
        Self { newest: watch::Sender::new(None), names, places }
    }

    /// A way over `connection`, which nobody finds by itself.
    pub(crate) fn over(&self, connection: Connection, flow: LinkFlow) -> Arc<Uplink> {
        let open = watch::Sender::new(0);
        Arc::new(Uplink { connection, flow, names: self.names.clone(), open })
    }

    /// Makes `uplink` the newest one, until the guard is dropped or a newer one comes.
    pub(crate) fn publish(&self, uplink: Arc<Uplink>) -> Published {
        self.newest.send_replace(Some(Arc::clone(&uplink)));
        Published { uplinks: self.clone(), uplink }
    }

    /// The newest link, if there is one.
    pub(crate) fn newest(&self) -> Option<Arc<Uplink>> {
        self.newest.borrow().clone().filter(|uplink| !uplink.is_closed())
    }

    /// Resolves when there is a link.
    pub(crate) async fn linked(&self) {
        // The sender lives as long as this does.
        let _ = self.newest.subscribe().wait_for(Option::is_some).await;
    }

    /// A place for one more call, unless all are taken.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }
}

/// Keeps a link the newest. Dropping it takes that link back, and no other.
#[derive(Debug)]
pub(crate) struct Published {
    uplinks: Uplinks,
    uplink: Arc<Uplink>,
}

impl Published {
    /// Takes it back, and answers it: what is open on it goes on.
    pub(crate) fn withdraw(&self) -> Arc<Uplink> {
        self.uplinks.newest.send_if_modified(|newest| {
            let ours = newest.as_ref().is_some_and(|newest| Arc::ptr_eq(newest, &self.uplink));
            if ours {
                *newest = None;
            }
            ours
        });
        Arc::clone(&self.uplink)
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Uplink {
    /// Whether the link has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Resolves when no call is open. Cancel safe.
    pub(crate) async fn idle(&self) {
        // The sender lives as long as this does.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Begins a call: writes its head, which gets its name and its first credits here.
    pub(crate) async fn open(
        self: &Arc<Self>,
        mut head: RequestHead,
        place: OwnedSemaphorePermit,
    ) -> Result<(CallUpload, CallAnswer), NoCall> {
        self.open.send_modify(|open| *open += 1);
        let in_flight = InFlight { uplink: Arc::clone(self), _place: place };
        let opened = self.connection.open_bi().await;
        let (send, recv) = opened.map_err(|_| NoCall::Lost)?;
        let counter = self.names.counter.fetch_add(1, Ordering::Relaxed) + OUTBOUND_COUNTER_MIN;
        head.exchange = ExchangeId { instance: self.names.instance, counter };
        let credit = self.flow.first_credit();
        (head.request_credit, head.response_credit) = (credit, credit);
        let mut bytes = BytesMut::with_capacity(1024);
        put_request_head(&mut bytes, &head);
        let mut upload = CallUpload::new(send, self.flow.sender(counter, credit));
        let answer = CallAnswer::new(recv, self.flow.receiver(counter, credit), in_flight);
        match upload.write(&mut [bytes.freeze()]).await {
            Ok(()) => Ok((upload, answer)),
            Err(_) if self.is_closed() => Err(NoCall::Lost),
            // The relay takes no more of it, and its answer tells why.
            Err(_) => Ok((upload, answer)),
        }
    }
}
