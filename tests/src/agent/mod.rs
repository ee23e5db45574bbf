//! The mock A2A agent: answers as told, and keeps a journal of what reached it.

mod answers;
mod behaviour;
mod card;
mod documents;
mod feed;
mod grpc;
mod journal;
mod program;
mod raw;
mod server;
#[cfg(test)]
mod tests;

pub use behaviour::Behaviour;
pub use card::{hybrid_card, texts};
pub use documents::{Document, Documents};
pub use grpc::{CallEnd, GrpcAgent, GrpcCall};
pub use journal::{Answer, BodySeen, Delivery, Entry, Journal};
pub use program::AgentProcess;
pub use raw::{End, RawAgent, RawBehaviour};
pub use server::{Settings, serve};

use crate::{backstage::Backstage, binaries, until};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

/// How long something may take to reach the agent, a lost link's idle limit included.
const NOTICED: Duration = Duration::from_secs(45);

/// The mock agent in this process, on a thread of its own.
pub struct Agent {
    address: SocketAddr,
    journal: Journal,
    documents: Documents,
    _server: Backstage,
}

impl Agent {
    /// Starts it on a free port of loopback, with what it does unless a request says otherwise
    /// (the words are those of [`Behaviour`]).
    #[must_use]
    pub fn start(behaviour: &str) -> Agent {
        Agent::start_on(0, behaviour)
    }

    /// Starts it on this port, for an agent that comes back.
    #[must_use]
    pub fn start_on(port: u16, behaviour: &str) -> Agent {
        let listener = listen(port);
        let address = listener.local_addr().expect("a bound port");
        let journal = Journal::default();
        let mut settings = Settings::new(address.port(), behaviour, journal.clone());
        let documents = Documents::default();
        settings.documents = documents.clone();
        let server = Backstage::open("mock-agent", move || serve(listener, settings));
        Agent { address, journal, documents, _server: server }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its origin, such as `http://127.0.0.1:4711`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What reached it.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Lets the answers go that are held.
    pub fn release(&self) {
        self.documents.put(behaviour::HELD_UNTIL, Document::json("{}"));
    }

    /// What it serves besides.
    #[must_use]
    pub fn documents(&self) -> &Documents {
        &self.documents
    }
}

/// A listener on loopback, ready for another runtime.
pub(crate) fn listen(port: u16) -> TcpListener {
    // The standard library's listener allows an address whose old connections linger.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a port of loopback");
    listener.set_nonblocking(true).expect("a socket that does not block");
    listener
}

/// Whichever agent a world has.
pub enum AnyAgent {
    /// In this process.
    Mock(Agent),
    /// A process that can be killed.
    Process(AgentProcess),
    /// One that does not speak HTTP properly.
    Raw(RawAgent),
}

impl AnyAgent {
    /// Starts the mock agent as a process of its own.
    pub async fn process(behaviour: &str) -> AnyAgent {
        AnyAgent::Process(AgentProcess::start(binaries::mock_agent(), behaviour).await)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            AnyAgent::Mock(agent) => agent.port(),
            AnyAgent::Process(agent) => agent.port(),
            AnyAgent::Raw(agent) => agent.port(),
        }
    }

    /// What reached it, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        match self {
            AnyAgent::Mock(agent) => agent.journal().deliveries(),
            AnyAgent::Process(agent) => agent.deliveries(),
            AnyAgent::Raw(agent) => agent.journal().deliveries(),
        }
    }

    /// The heads that came for one id, oldest first.
    #[must_use]
    pub fn of(&self, id: &str) -> Vec<Delivery> {
        self.deliveries().into_iter().filter(|delivery| delivery.id == id).collect()
    }

    /// Waits until the whole body of this id has reached it.
    pub async fn until_whole(&self, id: &str) -> Delivery {
        let fact = format!("the whole body of {id} reaches the agent");
        let whole = |delivery: &Delivery| delivery.whole_body().is_some();
        until(&fact, NOTICED, async || self.of(id).into_iter().find(whole)).await
    }

    /// Waits until it has noticed that the body of this id broke off.
    pub async fn until_cut(&self, id: &str) -> Delivery {
        let fact = format!("the agent notices that the body of {id} broke off");
        let cut = |delivery: &Delivery| matches!(delivery.body, BodySeen::Cut { .. });
        until(&fact, NOTICED, async || self.of(id).into_iter().find(cut)).await
    }

    /// Waits until it has noticed that whoever asked with this id went away.
    pub async fn until_abandoned(&self, id: &str) {
        let fact = format!("the agent notices that the caller of {id} left");
        let left = |delivery: &Delivery| delivery.answer == Answer::Abandoned;
        until(&fact, NOTICED, async || self.of(id).iter().any(left)).await;
    }

    /// What it serves besides.
    ///
    /// # Panics
    /// When it is not in this process.
    #[must_use]
    pub fn documents(&self) -> &Documents {
        match self {
            AnyAgent::Mock(agent) => agent.documents(),
            AnyAgent::Process(_) | AnyAgent::Raw(_) => panic!("this agent serves no documents"),
        }
    }

    /// The agent as a process.
    ///
    /// # Panics
    /// When it is none.
    pub fn as_process(&mut self) -> &mut AgentProcess {
        match self {
            AnyAgent::Process(agent) => agent,
            AnyAgent::Mock(_) | AnyAgent::Raw(_) => panic!("this agent is no process"),
        }
    }
}
