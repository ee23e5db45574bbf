//! Streams that a connector opens: each is one call of its agent, handed to whoever answers those.
//!
//! A call harms nobody but itself: what breaks the protocol on its stream ends it alone, and all calls
//! of a link end with the link.

mod body;
mod reply;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::codes::StreamCode;
use shared::flow::LinkFlow;
use shared::ids::{Generation, InstanceId, OUTBOUND_COUNTER_MIN, WorkspaceId};
use shared::limits::{FIRST_CREDIT, OUTBOUND_MAX};
use shared::wire::{Frame, FrameKind, RequestHead, Target, WireError};
use tokio::task::JoinSet;
use tokio::time::timeout;
use transport::{RecvStream, SendStream};

pub use self::body::{BodyCut, CallBody, Part};
pub use self::reply::{CallReply, ReplyEnd};
use crate::registry::CredentialId;
use crate::shard::Home;

/// From the opening of a stream to the end of its head, which its connector writes at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// On whose link a call came.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// Whose agent calls; nobody knows on a link without a credential.
    pub workspace: Option<WorkspaceId>,
    /// Which link it is; one without a credential has no number.
    pub generation: Option<Generation>,
    /// The token that the link came with, unless it came with a certificate.
    pub token: Option<CredentialId>,
    /// Where the connector is.
    pub remote: SocketAddr,
    /// The shard that owns the link.
    pub home: Home,
}

/// One call of an agent.
#[derive(Debug)]
pub struct Call {
    /// Whose it is.
    pub speaker: Arc<Speaker>,
    /// What is asked: method, raw path, query and fields. Its target is a raw path.
    pub head: Box<RequestHead>,
    /// What comes with it.
    pub body: CallBody,
    /// Where the answer goes.
    pub reply: CallReply,
}

type Answering = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who answers the calls of agents. Dropping the future ends the call.
#[derive(Clone)]
pub struct Outbound(Arc<dyn Fn(Call) -> Answering + Send + Sync>);

impl Outbound {
    /// Calls are answered by `answer`.
    pub fn new<F>(answer: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move |call| Box::pin(answer(call))))
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbound")
    }
}

/// The calls that are open on one link. Dropping it ends them all.
#[derive(Debug)]
pub struct Calls {
    shared: Arc<Shared>,
    open: JoinSet<()>,
}

/// What the calls of one link share.
#[derive(Debug)]
struct Shared {
    speaker: Arc<Speaker>,
    /// The connector process, by which it names its exchanges, where it has said so.
    instance: Option<InstanceId>,
    flow: LinkFlow,
    outbound: Outbound,
    names: Mutex<BTreeSet<u64>>,
}

impl Calls {
    /// None are open yet. `flow` is the link's own.
    pub fn new(
        speaker: Speaker,
        instance: Option<InstanceId>,
        flow: LinkFlow,
        outbound: Outbound,
    ) -> Self {
        let (speaker, names) = (Arc::new(speaker), Mutex::default());
        Self {
            shared: Arc::new(Shared { speaker, instance, flow, outbound, names }),
            open: JoinSet::new(),
        }
    }

    /// Takes a stream that the connector opened.
    pub fn take(&mut self, (mut send, mut recv): (SendStream, RecvStream)) {
        while self.open.try_join_next().is_some() {}
        if self.open.len() >= OUTBOUND_MAX as usize {
            send.reset(StreamCode::Refused);
            recv.stop(StreamCode::Refused);
            return;
        }
        self.open.spawn(run(Arc::clone(&self.shared), send, recv));
    }

    /// Resolves when one has ended; never while none is open. Cancel safe.
    pub async fn ended(&mut self) {
        if self.open.join_next().await.is_none() {
            std::future::pending().await
        }
    }
}

/// Carries one call from its head on.
async fn run(shared: Arc<Shared>, send: SendStream, recv: RecvStream) {
    let (mut body, mut reply) = (CallBody::new(recv), CallReply::new(send));
    let head = match timeout(HEAD_TIMEOUT, body.head()).await {
        Ok(Ok(head)) => head,
        Ok(Err(BodyCut::Protocol(error))) => return reply.broke_protocol(&error).await,
        Ok(Err(BodyCut::Lost)) => return,
        Err(_) => return reply.reset(StreamCode::Timeout),
    };
    let name = match shared.judge(&head) {
        Ok(name) => name,
        Err(error) => {
            body.stop(StreamCode::Protocol);
            return reply.broke_protocol(&error).await;
        }
    };
    let counter = name.counter;
    body.receive_with(shared.flow.receiver(counter, head.request_credit));
    reply.send_with(shared.flow.sender(counter, head.response_credit));
    let speaker = Arc::clone(&shared.speaker);
    let left = reply.given_up();
    tokio::select! {
        () = (shared.outbound.0)(Call { speaker, head, body, reply }) => {}
        () = left => tracing::debug!(counter, "an agent left its call"),
    }
}

/// Keeps a call's name from another one of the link. Dropping it frees the name.
struct Name<'s> {
    names: &'s Mutex<BTreeSet<u64>>,
    counter: u64,
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        lock(self.names).remove(&self.counter);
    }
}

impl Shared {
    /// Holds a head to what a connector may say.
    fn judge(&self, head: &RequestHead) -> Result<Name<'_>, WireError> {
        let counter = head.exchange.counter;
        if let Some(what) = wrong(head, self.instance) {
            return Err(WireError::Malformed { kind: FrameKind::RequestHead, what });
        }
        if !lock(&self.names).insert(counter) {
            let what = "the name of an open exchange";
            return Err(WireError::Malformed { kind: FrameKind::RequestHead, what });
        }
        Ok(Name { names: &self.names, counter })
    }
}

/// What of a head no connector may say.
fn wrong(head: &RequestHead, instance: Option<InstanceId>) -> Option<&'static str> {
    if instance.is_some_and(|instance| head.exchange.instance != instance) {
        Some("the instance")
    } else if head.exchange.counter < OUTBOUND_COUNTER_MIN {
        Some("a counter of the relay's")
    } else if !matches!(head.target, Target::Raw(_)) {
        Some("a target that is no path")
    } else if head.request_credit > FIRST_CREDIT {
        Some("more credit than the relay gives")
    } else {
        None
    }
}

fn lock(names: &Mutex<BTreeSet<u64>>) -> MutexGuard<'_, BTreeSet<u64>> {
    // Nothing panics while it holds this lock, so a poisoned one is still whole.
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a connector may send behind the head of a call, apart from STOP.
fn part_of(frame: Frame) -> Result<Part, WireError> {
    match frame {
        Frame::Data(bytes) => Ok(Part::Data(bytes)),
        Frame::End { trailers, .. } => Ok(Part::End(trailers)),
        frame => Err(WireError::Unexpected(frame.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::loopback::head;
    use shared::ids::ExchangeId;
    use shared::limits::CREDIT_MAX;

    #[test]
    fn a_connector_names_its_own_exchanges_paths_and_little_credit() {
        let instance = InstanceId(7);
        let right = RequestHead {
            exchange: ExchangeId { instance, counter: OUTBOUND_COUNTER_MIN },
            target: Target::Raw("/a2a".into()),
            request_credit: FIRST_CREDIT,
            response_credit: CREDIT_MAX,
            ..head()
        };
        assert_eq!(wrong(&right, Some(instance)), None);
        assert_eq!(wrong(&right, None), None);
        let named = |instance, counter| ExchangeId { instance, counter };
        for bad in [
            RequestHead { exchange: named(InstanceId(8), OUTBOUND_COUNTER_MIN), ..right.clone() },
            RequestHead { exchange: named(instance, OUTBOUND_COUNTER_MIN - 1), ..right.clone() },
            RequestHead { target: Target::Endpoint, ..right.clone() },
            RequestHead { target: Target::Card, ..right.clone() },
            RequestHead { request_credit: FIRST_CREDIT + 1, ..right.clone() },
        ] {
            assert!(wrong(&bad, Some(instance)).is_some(), "{bad:?}");
        }
    }
}
