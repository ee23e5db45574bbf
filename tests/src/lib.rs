//! The harness: real `relay` and `agent-connector` processes, an agent that keeps a journal,
//! clients over HTTP/1.1 and HTTP/2, a seeded bad network, and a ledger that joins what the caller and the agent saw.
//!
//! Environment: `HARNESS_LOG` echoes what the processes write (a value other than `1` is also their
//! log filter), `HARNESS_SEED` repeats a run of chance, `HARNESS_SHARDS` sets the relay's shards,
//! `HARNESS_TRANSPORT` sets what carries links (quic or tcp) where a story leaves it open,
//! `HARNESS_HTTP` sets the version of HTTP (1 or 2) that callers speak where a story leaves it open,
//! `HARNESS_REBINDING_SECS` is how long a NAT forgets where a story is about that,
//! `HARNESS_SILENCE_SECS` is how long agents on an SDK are silent, `HARNESS_BIN_DIR` names a folder of
//! binaries that are already built, `HARNESS_REQUIRE_SDK`,
//! `HARNESS_REQUIRE_BROWSER`, `HARNESS_REQUIRE_DISK` and `HARNESS_REQUIRE_NETNS` make failures of stories
//! that would be skipped.

mod access_line;
pub mod agent;
pub mod api;
pub mod backstage;
pub mod baseline;
pub mod binaries;
pub mod browser;
pub mod chance;
pub mod connector;
pub mod disk;
pub mod fingerprint;
pub mod front;
pub mod http;
pub mod ledger;
pub mod metrics;
pub mod middleman;
pub mod namespace;
pub mod operator;
pub mod parity;
pub mod platform;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod raw_connector;
pub mod refusal;
pub mod relay;
pub mod sdk;
pub mod until;
pub mod world;

pub use agent::{Agent, AgentProcess, AnyAgent, Journal, RawAgent, RawBehaviour};
pub use connector::Connector;
pub use fingerprint::Fingerprint;
pub use front::Front;
pub use http::{Call, Cut, Ending, RawClient, RawResponse};
pub use ledger::{Ledger, Outcome};
pub use middleman::{Direction, Middleman, Weather};
pub use namespace::Namespace;
pub use platform::Platform;
pub use ports::Port;
pub use process::Process;
pub use proxy::Proxy;
pub use raw_connector::{RawExchange, RawIdentity, RawLink};
pub use refusal::Refusal;
pub use relay::Relay;
pub use until::until;
pub use world::World;
