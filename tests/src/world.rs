//! A whole world in one line: relay, workspace, agent and connector, online and ready for calls.

use crate::{
    Agent, AnyAgent, Call, Connector, Cut, Middleman, RawAgent, RawBehaviour, RawResponse, Relay,
    Weather, agent::Document, baseline::Baseline, connector::ConnectorBuilder, http,
    operator::WorkspaceHandle, relay::RelayBuilder,
};
use serde_json::{Value, json};
use std::path::Path;

/// What a world is made of, before it starts.
pub struct WorldBuilder {
    agent: AgentKind,
    middleman: Option<Middleman>,
    relay: RelayBuilder,
    workspace: Vec<String>,
    connector: Vec<String>,
    connector_env: Vec<(String, String)>,
    transport: Option<&'static str>,
    documents: Vec<Given>,
}

/// A document of the agent, made when its port is known.
type Given = (String, Box<dyn FnOnce(u16) -> Document + Send>);

enum AgentKind {
    Mock(String),
    Process(String),
    Raw(RawBehaviour),
}

impl WorldBuilder {
    /// The mock agent in this process, with this behaviour.
    #[must_use]
    pub fn agent(mut self, behaviour: &str) -> WorldBuilder {
        self.agent = AgentKind::Mock(behaviour.to_owned());
        self
    }

    /// The mock agent as a process that can be killed.
    #[must_use]
    pub fn agent_process(mut self, behaviour: &str) -> WorldBuilder {
        self.agent = AgentKind::Process(behaviour.to_owned());
        self
    }

    /// An agent that breaks the rules of HTTP.
    #[must_use]
    pub fn raw_agent(mut self, behaviour: RawBehaviour) -> WorldBuilder {
        self.agent = AgentKind::Raw(behaviour);
        self
    }

    /// The mock agent serves this document at `path`; it is made when the agent's port is known.
    #[must_use]
    pub fn document(
        mut self,
        path: &str,
        make: impl FnOnce(u16) -> Document + Send + 'static,
    ) -> WorldBuilder {
        self.documents.push((path.to_owned(), Box::new(make)));
        self
    }

    /// A bad network between connector and relay, for UDP alone.
    #[must_use]
    pub fn weather(self, weather: Weather) -> WorldBuilder {
        self.middleman(Middleman::start(weather))
    }

    /// This middleman between connector and relay.
    #[must_use]
    pub fn middleman(mut self, middleman: Middleman) -> WorldBuilder {
        self.middleman = Some(middleman);
        self
    }

    /// Further arguments of `relay serve`.
    #[must_use]
    pub fn relay_args(mut self, args: &[&str]) -> WorldBuilder {
        self.relay = self.relay.args(args.iter().copied());
        self
    }

    /// The relay keeps its data below this folder, which must outlive the world.
    #[must_use]
    pub fn relay_folder_in(mut self, folder: &Path) -> WorldBuilder {
        self.relay = self.relay.folder_in(folder);
        self
    }

    /// The relay listens on ports that stay its own while it is down.
    #[must_use]
    pub fn lasting_ports(mut self) -> WorldBuilder {
        self.relay = self.relay.lasting_ports();
        self
    }

    /// A variable of the relay's environment.
    #[must_use]
    pub fn relay_env(mut self, name: &str, value: &str) -> WorldBuilder {
        self.relay = self.relay.env(name, value);
        self
    }

    /// Further arguments of `relay workspace add`.
    #[must_use]
    pub fn workspace_args(mut self, args: &[&str]) -> WorldBuilder {
        self.workspace.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Further arguments of `agent-connector http`.
    #[must_use]
    pub fn connector_args(mut self, args: &[&str]) -> WorldBuilder {
        self.connector.extend(args.iter().map(ToString::to_string));
        self
    }

    /// A variable of the connector's environment.
    #[must_use]
    pub fn connector_env(mut self, name: &str, value: &str) -> WorldBuilder {
        self.connector_env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The connector's links are carried so, whatever the run says: `auto`, `quic` or `tcp`.
    #[must_use]
    pub fn over(mut self, transport: &'static str) -> WorldBuilder {
        self.transport = Some(transport);
        self
    }

    /// Starts all of it and waits until the connector is online.
    pub async fn start(self) -> World {
        let agent = match self.agent {
            AgentKind::Mock(behaviour) => AnyAgent::Mock(Agent::start(&behaviour)),
            AgentKind::Process(behaviour) => AnyAgent::process(&behaviour).await,
            AgentKind::Raw(behaviour) => AnyAgent::Raw(RawAgent::start(behaviour)),
        };
        for (path, make) in self.documents {
            agent.documents().put(&path, make(agent.port()));
        }
        let mut relay = self.relay;
        if let Some(middleman) = &self.middleman {
            relay = relay.arg("--tunnel-host").arg(middleman.address().to_string());
        }
        let relay = relay.start().await;
        if let Some(middleman) = &self.middleman {
            middleman.lead_to(relay.tunnel());
        }
        let extra: Vec<&str> = self.workspace.iter().map(String::as_str).collect();
        let workspace = relay.add_workspace("first", &extra).await;
        let mut connector = Connector::builder(&workspace.join, agent.port()).args(self.connector);
        for (name, value) in &self.connector_env {
            connector = connector.env(name, value);
        }
        // The middleman's weather is one of UDP.
        let transport = self.transport.or(self.middleman.as_ref().map(|_| "quic"));
        if let Some(transport) = transport {
            connector = connector.over(transport);
        }
        let connector = connector.start_online().await;
        let public_url = workspace.base();
        World { connector, agent, relay, middleman: self.middleman, workspace, public_url }
    }
}

/// A running world; its parts end with it, the connector first.
pub struct World {
    /// The connector, online.
    pub connector: Connector,
    /// The agent.
    pub agent: AnyAgent,
    /// The relay.
    pub relay: Relay,
    /// The bad network, if there is one.
    pub middleman: Option<Middleman>,
    /// The agent's workspace.
    pub workspace: WorkspaceHandle,
    /// The agent's public base URL, with its final slash.
    pub public_url: String,
}

impl World {
    /// A world to be shaped first.
    #[must_use]
    pub fn builder() -> WorldBuilder {
        WorldBuilder {
            agent: AgentKind::Mock("a2a".to_owned()),
            middleman: None,
            relay: Relay::builder(),
            workspace: Vec::new(),
            connector: Vec::new(),
            connector_env: Vec::new(),
            transport: None,
            documents: Vec::new(),
        }
    }

    /// A world whose agent speaks A2A.
    pub async fn new() -> World {
        World::builder().start().await
    }

    /// A world whose agent behaves so.
    pub async fn with_agent(behaviour: &str) -> World {
        World::builder().agent(behaviour).start().await
    }

    /// The URL of the agent's JSON-RPC endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.workspace.endpoint()
    }

    /// Posts JSON to the agent through its public URL.
    ///
    /// # Panics
    /// When there is no answer at all.
    pub async fn call(&self, json: Value) -> RawResponse {
        let answer = http::post_json(&self.endpoint(), &json).await;
        answer.unwrap_or_else(|cut| panic!("no answer: {cut}"))
    }

    /// Posts a body under an id that the agent's journal knows it by.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn call_as(
        &self,
        id: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<RawResponse, Cut> {
        let headers =
            [&[("Content-Type", "application/json"), ("x-test-id", id)], headers].concat();
        http::post(&self.endpoint(), &headers, body).await
    }

    /// Posts a `message/stream` call; its head and events are still to be read.
    ///
    /// # Panics
    /// When the relay cannot be reached.
    pub async fn open_stream(&self, id: &str, headers: &[(&str, &str)]) -> Call {
        let headers =
            [&[("Content-Type", "application/json"), ("x-test-id", id)], headers].concat();
        let body = message("message/stream", id, "stream").to_string();
        let call = http::send("POST", &self.endpoint(), &headers, Some(body.as_bytes())).await;
        call.expect("the relay is there")
    }

    /// Another connector for the same agent, with a join string of its own.
    pub fn another_connector(&self, join: &str) -> ConnectorBuilder {
        Connector::builder(join, self.agent.port())
    }

    /// Waits until no exchange is left and the one link stands.
    pub async fn until_quiet(&self) {
        Baseline::links(1).until_back(&self.relay).await;
    }
}

/// A JSON-RPC call with one message in it; `id` is also its `messageId`.
#[must_use]
pub fn message(method: &str, id: &str, text: &str) -> Value {
    json!({
        "jsonrpc": "2.0", "id": id, "method": method,
        "params": {"message": {
            "kind": "message", "role": "user", "messageId": id,
            "parts": [{"kind": "text", "text": text}],
        }},
    })
}
