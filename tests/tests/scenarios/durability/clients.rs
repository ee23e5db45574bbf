//! Clients that change things one after the other, each its own, and hold the relay to its word.

use super::{
    known::{Desk, Known, Place},
    orders::Order,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use tests::{Relay, chance::Chance};
use tokio::task::JoinSet;

/// A client. It has at most one order open, whose outcome it may not know.
pub(super) struct Client {
    desk: Desk,
    chance: Chance,
    known: Known,
    open: Option<Order>,
    /// Where something was changed since the relay was last held to its word.
    touched: BTreeSet<Place>,
    tally: Tally,
}

/// What became of the orders.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Acknowledged, by kind.
    acknowledged: BTreeMap<&'static str, usize>,
    /// Refused for want of a store.
    pub(super) refused: usize,
    /// Without a word, or refused by a store that failed for good: found carried out, or not.
    pub(super) done: usize,
    pub(super) undone: usize,
    /// Places that were compared with what was acknowledged.
    compared: usize,
}

impl Tally {
    /// All that were acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} changes acknowledged {:?}; {} refused; {} with an unknown outcome, of which {} \
             were carried out; {} comparisons with what was acknowledged, all good",
            self.acknowledged(),
            self.acknowledged,
            self.refused,
            self.done + self.undone,
            self.done,
            self.compared
        )
    }
}

/// What a refusal by the store says of the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusals {
    /// Nothing was changed, and the client goes on.
    Certain,
    /// The relay is about to end, and nobody can tell.
    Last,
}

impl Client {
    fn new(relay: &Relay, prefix: String, chance: Chance) -> Client {
        Client {
            desk: Desk { api: relay.api_address(), admin_token: relay.admin_token() },
            chance,
            known: Known::of(prefix),
            open: None,
            touched: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    /// Makes one change. True while the relay answers.
    async fn step(&mut self, refusals: Refusals) -> bool {
        let order = Order::random(&self.known, &mut self.chance);
        let (call, body) = order.call(&self.known);
        self.touched.insert(order.place(&self.known));
        let answer = self.desk.call(&call, body.as_ref()).await;
        match answer.ok().filter(tests::RawResponse::is_complete) {
            Some(answer) if (200..300).contains(&answer.status) => {
                order.apply(&mut self.known, Some(&answer.json()));
                *self.tally.acknowledged.entry(order.kind()).or_default() += 1;
                true
            }
            Some(answer) => {
                let refusal = (answer.status, answer.relay_error(), answer.header("retry-after"));
                let expected = (503, Some("RELAY_STORE_UNAVAILABLE"), Some("5"));
                assert_eq!(refusal, expected, "{call}: {answer:?}");
                self.tally.refused += 1;
                if refusals == Refusals::Last {
                    self.open = Some(order);
                }
                refusals == Refusals::Certain
            }
            None => {
                self.open = Some(order);
                false
            }
        }
    }

    /// Finds out what became of the open order: all of it or nothing.
    async fn settle_open(&mut self) {
        let Some(order) = self.open.take() else { return };
        let place = order.place(&self.known);
        let mut after = self.known.clone();
        order.apply(&mut after, None);
        let Err(not_before) = self.known.settle(&self.desk, place).await else {
            self.tally.undone += 1;
            return;
        };
        if let Err(not_after) = after.settle(&self.desk, place).await {
            panic!("{order:?} was done by half: {not_before}, and {not_after}");
        }
        self.known = after;
        self.tally.done += 1;
    }

    /// Compares with what was acknowledged: where something was changed, and one place more.
    async fn compare(&mut self) {
        self.settle_open().await;
        let places: Vec<Place> = self.known.places().into_iter().collect();
        let one_more = places[self.chance.below(places.len() as u64) as usize];
        self.touched.insert(one_more);
        self.compare_touched().await;
    }

    /// Compares everything.
    async fn compare_all(&mut self) {
        self.settle_open().await;
        self.touched = self.known.places();
        self.compare_touched().await;
    }

    async fn compare_touched(&mut self) {
        for place in std::mem::take(&mut self.touched) {
            if let Err(lost) = self.known.settle(&self.desk, place).await {
                panic!("acknowledged, and not so: {lost}");
            }
            self.tally.compared += 1;
        }
    }
}

/// Several of them, at work at the same time.
pub(super) struct Clients(Vec<Client>);

impl Clients {
    /// So many clients of a relay.
    pub(super) fn of(relay: &Relay, count: usize, chance: &mut Chance) -> Clients {
        Clients::named(relay, "c", count, chance)
    }

    /// The same; what they make has names that begin with this.
    pub(super) fn named(relay: &Relay, name: &str, count: usize, chance: &mut Chance) -> Clients {
        let mut client = |number| {
            Client::new(relay, format!("{name}-{number}"), Chance::seeded(chance.next_u64()))
        };
        Clients((0..count).map(&mut client).collect())
    }

    /// Sets all to work until the relay answers no more, or `meanwhile` is over, which is then
    /// waited for.
    pub(super) async fn work_until(
        &mut self,
        refusals: Refusals,
        meanwhile: impl Future<Output = ()>,
    ) {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut tasks = JoinSet::new();
        for mut client in self.0.drain(..) {
            let stopped = stopped.clone();
            tasks.spawn(async move {
                while client.step(refusals).await && !*stopped.borrow() {}
                client
            });
        }
        meanwhile.await;
        stop.send_replace(true);
        self.0 = tasks.join_all().await;
    }

    /// Each makes so many changes, or none from the first that the store refuses.
    pub(super) async fn work(&mut self, changes: usize) {
        self.each(async move |client| {
            for _ in 0..changes {
                client.step(Refusals::Certain).await;
            }
        })
        .await;
    }

    /// Starts the relay again, and finds it where it now is.
    pub(super) async fn start_again(&mut self, relay: &mut Relay) {
        relay.start_again().await;
        for client in &mut self.0 {
            client.desk.api = relay.api_address();
        }
    }

    /// Holds the relay to its word where something was changed since the last time.
    pub(super) async fn compare(&mut self) {
        self.each(Client::compare).await;
    }

    /// Holds the relay to every word.
    pub(super) async fn compare_all(&mut self) {
        self.each(Client::compare_all).await;
    }

    async fn each(&mut self, what: impl AsyncFn(&mut Client)) {
        for client in &mut self.0 {
            what(client).await;
        }
    }

    /// What became of all orders.
    pub(super) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for Client { tally, .. } in &self.0 {
            for (kind, count) in &tally.acknowledged {
                *sum.acknowledged.entry(kind).or_default() += count;
            }
            sum.refused += tally.refused;
            sum.done += tally.done;
            sum.undone += tally.undone;
            sum.compared += tally.compared;
        }
        sum
    }
}
