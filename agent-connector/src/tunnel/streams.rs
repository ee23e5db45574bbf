//! The request streams of one link: accepts them, counts them, and lets what they began outlive the link.

use std::sync::Arc;

use shared::codes::AbortCode;
use shared::flow::LinkFlow;
use tokio::task::JoinSet;
use transport::{Connection, RecvStream, SendStream};

use crate::forward::carrier::{Carrier, UnderWay};
use crate::forward::exchanges::Exchanges;
use crate::forward::{Agent, exchange};

/// The exchanges that began on a link. Dropping it stops them all, and ends the link.
pub(crate) struct Streams {
    carrier: Arc<Carrier>,
    /// The task that accepts; it owns those of the exchanges, and ends once link and exchanges have.
    acceptor: JoinSet<()>,
}

impl Streams {
    /// Accepts the relay's streams until the link is lost.
    pub(crate) fn accept(
        connection: Connection,
        flow: LinkFlow,
        exchanges: Arc<Exchanges>,
        agent: Arc<Agent>,
    ) -> Self {
        let carrier = Carrier::new(connection.clone(), flow);
        let site = Site { carrier: Arc::clone(&carrier), exchanges, agent };
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(connection, site));
        Self { carrier, acceptor }
    }

    /// How many exchanges the link carries, those that went on over it included.
    pub(crate) fn open(&self) -> usize {
        self.carrier.under_way()
    }

    /// Refuses new exchanges from now on; answers the counter of the last one that was begun.
    pub(crate) fn refuse_new(&self) -> u64 {
        self.carrier.refuse_new()
    }

    /// Ends what the link carries when the link ends: the relay broke the protocol.
    pub(crate) fn give_up(&self) {
        self.carrier.give_up();
    }

    /// Resolves once the relay has every answer: closing the link would discard the rest. Cancel
    /// safe.
    pub(crate) fn idle(&self) -> impl Future<Output = ()> + Send + use<> {
        let carrier = Arc::clone(&self.carrier);
        async move { carrier.idle().await }
    }

    /// Lets what began on the link, which is over, end on whichever link goes on with it.
    pub(crate) async fn outlive(mut self) {
        self.acceptor.join_next().await;
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.carrier.close();
    }
}

/// What the exchanges of a link need.
struct Site {
    carrier: Arc<Carrier>,
    exchanges: Arc<Exchanges>,
    agent: Arc<Agent>,
}

async fn accept(connection: Connection, site: Site) {
    let mut exchanges = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept_bi() => match accepted {
                Ok((send, recv)) => begin(&mut exchanges, send, recv, &site),
                // The control stream tells why.
                Err(_) => break,
            },
            Some(_) = exchanges.join_next(), if !exchanges.is_empty() => {}
        }
    }
    while exchanges.join_next().await.is_some() {}
}

fn begin(tasks: &mut JoinSet<()>, send: SendStream, recv: RecvStream, site: &Site) {
    let (link, has_place) = UnderWay::enter(&site.carrier);
    if has_place {
        let (exchanges, agent) = (Arc::clone(&site.exchanges), Arc::clone(&site.agent));
        // In a box: tokio moves a task's future about, and this one is large.
        tasks.spawn(Box::pin(async move {
            exchange::run(send, recv, link, &exchanges, &agent).await;
        }));
        return;
    }
    tasks.spawn(async move {
        // Kept until the refusal is out: dropping it stops the request.
        let _recv = recv;
        let message = "The agent's connector has 4,096 exchanges open. Try again later.";
        exchange::refuse(send, link, AbortCode::Busy, message).await;
    });
}
