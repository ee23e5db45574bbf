//! A client sees through the relay what it sees without it: every exchange twice, and compared.

mod bases;
mod grpc;
mod raw;
mod sdks;
mod signed;
mod silence;

use tests::front::Exchange;
use tests::parity::{self, Bases, Places, Verdict};
use tests::sdk::{Sdk, SdkAgent};
use tests::{Connector, Front, Relay};

/// An agent on an SDK with fronts before it and another before the relay. The agent's card names the
/// ones, and the relay's public URL is the other, so that nobody has a reason to pass them by.
struct Stage {
    at_agent: Vec<Front>,
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
    /// At a base of its own. `None` where the SDK is not installed.
    async fn new(sdk: Sdk) -> Option<Stage> {
        Stage::with(sdk, None).await
    }

    /// At a host of its own, with gRPC.
    async fn with_host(sdk: Sdk) -> Option<Stage> {
        Stage::with(sdk, Some("sdk.agents.test")).await
    }

    async fn with(sdk: Sdk, host: Option<&str>) -> Option<Stage> {
        let (at_agent, at_relay) = (Front::start(), Front::start());
        let at_grpc = host.map(|_| Front::start());
        let place = |front: &Front| format!("127.0.0.1:{}", front.port());
        let grpc_url = at_grpc.as_ref().map(place);
        let env: Vec<_> = grpc_url.iter().map(|url| ("GRPC_URL", url.as_str())).collect();
        let local = at_agent.origin();
        let agent = SdkAgent::start_with(sdk, &local, &env).await?;
        at_agent.lead_to(agent.address);
        let relay = Relay::builder().args(["--public-url", &at_relay.origin()]);
        let domain = host.and_then(|host| host.split_once('.'));
        let relay = relay.args(domain.iter().flat_map(|(_, domain)| ["--domain", domain]));
        let relay = relay.start().await;
        at_relay.lead_to(relay.http());
        let alias = domain.map(|(alias, _)| ["--alias", alias, "--callers", "open"]);
        let workspace = relay.add_workspace("first", alias.as_ref().map_or(&[], |args| args)).await;
        let mut connector = Connector::builder(&workspace.join, at_agent.port());
        if let Some(front) = &at_grpc {
            front.lead_to(agent.grpc);
            connector = connector.args(["--also".to_owned(), format!("grpc={}", front.port())]);
        }
        let connector = connector.start_online().await;
        let public = match host {
            Some(host) => format!("http://{host}:{}", at_relay.port()),
            None => workspace.base().trim_end_matches('/').to_owned(),
        };
        let grpc = host
            .zip(grpc_url)
            .map(|(host, local)| Places { local, public: format!("{host}:{}", at_relay.port()) });
        Some(Stage {
            at_agent: std::iter::once(at_agent).chain(at_grpc).collect(),
            at_relay,
            bases: Bases { local, public, grpc },
            _connector: connector,
            _relay: relay,
            _agent: agent,
        })
    }

    /// Calls the agent itself, then through the relay, given each base with its final slash.
    async fn twice<T>(&self, mut call: impl AsyncFnMut(&str) -> T) -> (Twice, T, T) {
        let so_far = || -> Vec<usize> { self.at_agent.iter().map(Front::count).collect() };
        let since = |from: Vec<usize>| -> Vec<Exchange> {
            let seen = self.at_agent.iter().zip(from).flat_map(|(front, from)| front.since(from));
            callers(seen.collect())
        };
        let from = so_far();
        let alone = call(&format!("{}/", self.bases.local)).await;
        let direct = since(from);
        let (from, before) = (so_far(), self.at_relay.count());
        let through = call(&format!("{}/", self.bases.public)).await;
        let (outside, inside) = (self.at_relay.since(before), since(from));
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
        let below = self.bases.public.strip_prefix(&self.at_relay.origin()).unwrap_or_default();
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
