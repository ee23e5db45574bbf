//! A client sees through the relay what it sees without it: every exchange twice, and compared.

mod grpc;
mod raw;
mod sdks;
mod signed;
mod silence;

use tests::front::Exchange;
use tests::parity::{self, Bases, Verdict};
use tests::sdk::{Sdk, SdkAgent};
use tests::{Connector, Front, Relay};

/// An agent on an SDK with one front before it and another before the relay. The agent's card names
/// the one, and the relay's public URL is the other, so that nobody has a reason to pass them by.
struct Stage {
    at_agent: Front,
    at_relay: Front,
    bases: Bases,
    _connector: Connector,
    _relay: Relay,
    _agent: SdkAgent,
}

/// The same calls, made twice.
struct Twice {
    /// To the agent itself.
    direct: Vec<Exchange>,
    /// Through the relay, as the caller saw them.
    outside: Vec<Exchange>,
    /// Through the relay, as the agent saw them.
    inside: Vec<Exchange>,
}

impl Stage {
    /// `None` where the SDK is not installed.
    async fn new(sdk: Sdk) -> Option<Stage> {
        let (at_agent, at_relay) = (Front::start(), Front::start());
        let local = at_agent.origin();
        let agent = SdkAgent::start(sdk, &local).await?;
        at_agent.lead_to(agent.address);
        let relay = Relay::builder().args(["--public-url", &at_relay.origin()]).start().await;
        at_relay.lead_to(relay.http());
        let workspace = relay.add_workspace("first", &[]).await;
        let connector = Connector::builder(&workspace.join, at_agent.port()).start_online().await;
        let public = workspace.base().trim_end_matches('/').to_owned();
        let bases = Bases { local, public };
        Some(Stage {
            at_agent,
            at_relay,
            bases,
            _connector: connector,
            _relay: relay,
            _agent: agent,
        })
    }

    /// Calls the agent itself, then through the relay, given each base with its final slash.
    async fn twice<T>(&self, mut call: impl AsyncFnMut(&str) -> T) -> (Twice, T, T) {
        let from = self.at_agent.count();
        let alone = call(&format!("{}/", self.bases.local)).await;
        let direct = callers(self.at_agent.since(from));
        let (from, before) = (self.at_agent.count(), self.at_relay.count());
        let through = call(&format!("{}/", self.bases.public)).await;
        let (outside, inside) = (self.at_relay.since(before), callers(self.at_agent.since(from)));
        (Twice { direct, outside, inside }, alone, through)
    }

    /// What differs without a reason between the two.
    fn compare(&self, twice: &Twice) -> Verdict {
        let Twice { direct, outside, inside } = twice;
        let mut verdict = parity::crossing(outside, inside, &self.bases);
        let runs = parity::runs(direct, outside, inside, &self.bases);
        verdict.differences.extend(runs.differences);
        verdict
    }

    /// Nobody has gone round the relay: what the agent got, the relay sent, and below the base.
    fn assert_nobody_went_round(&self, twice: &Twice) {
        for call in &twice.inside {
            let via = call.request.field("via").unwrap_or_default();
            assert!(via.ends_with(" a2a-relay"), "round the relay: {} {}", call.method, call.path);
        }
        let below = self.bases.public.trim_start_matches(&self.at_relay.origin());
        for call in &twice.outside {
            assert!(
                call.path.starts_with(below),
                "outside the base: {} {}",
                call.method,
                call.path
            );
        }
    }
}

/// Without the connector's own looks at the card: it does not say what it is.
fn callers(exchanges: Vec<Exchange>) -> Vec<Exchange> {
    exchanges.into_iter().filter(|call| call.request.field("user-agent").is_some()).collect()
}
