//! A relay that is no platform itself: its agents are workspaces of one that runs elsewhere.

mod calls_in;
mod calls_out;
mod enrolment;
mod following;
mod heartbeats;
mod hostile;
mod kills;
mod operator;
mod repeats;
mod sdk;

use tests::{
    Agent, Connector, Platform, RawResponse, Relay, http, operator::WorkspaceHandle,
    relay::RelayBuilder,
};

/// What the platform is told of the relay; names below this domain are public in its world.
const PUBLIC: &str = "https://relay.example.com";

/// A platform, and a relay that bridges to it, which looks there often.
struct Bridge {
    relay: Relay,
    platform: Platform,
}

impl Bridge {
    async fn start() -> Bridge {
        Bridge::with(Platform::start(), |relay| relay).await
    }

    async fn with(platform: Platform, shape: impl FnOnce(RelayBuilder) -> RelayBuilder) -> Bridge {
        let relay = shape(bridging(&platform)).start().await;
        Bridge { relay, platform }
    }

    /// Adds a workspace, with an agent behind a connector that is online.
    async fn agent(&self, name: &str) -> BridgedAgent {
        let workspace = self.relay.add_workspace(name, &[]).await;
        let agent = Agent::start("a2a");
        let connector = Connector::builder(&workspace.join, agent.port()).start_online().await;
        BridgedAgent { workspace, connector, agent }
    }

    /// The object `platform` of a workspace.
    async fn shown(&self, name: &str) -> serde_json::Value {
        self.relay.show_workspace(name).await["platform"].clone()
    }

    /// Calls an agent by its own address, as a caller who needs no platform.
    async fn call(&self, agent: &BridgedAgent, id: &str) -> RawResponse {
        let path = agent.workspace.public_url.strip_prefix(PUBLIC).expect("a public URL");
        let url = format!("http://{}{path}", self.relay.http());
        let answer =
            http::post_json(&url, &tests::world::message("message/send", id, "hello")).await;
        answer.unwrap_or_else(|cut| panic!("no answer: {cut}"))
    }
}

/// An agent of a bridge, online.
struct BridgedAgent {
    workspace: WorkspaceHandle,
    connector: Connector,
    agent: Agent,
}

/// A relay that bridges to this platform, before it starts.
fn bridging(platform: &Platform) -> RelayBuilder {
    Relay::builder()
        .args(platform.relay_args())
        .env("RELAY_PLATFORM_TOKEN", &platform.admin_token())
        .args(["--public-url", PUBLIC, "--tunnel-host", "127.0.0.1"])
        .env("RELAY_PLATFORM_LOOK", "0.3")
        .lasting_ports()
}

/// What is registered of a workspace: the relay's URL for it, and nothing behind it.
fn is_registered_url(url: &str) -> bool {
    let address = url.strip_prefix(PUBLIC).and_then(|path| path.strip_prefix("/molecule/a_"));
    address.is_some_and(|address| address.len() == 26 && !address.contains('/'))
}
