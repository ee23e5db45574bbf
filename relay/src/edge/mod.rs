//! The public face: callers' HTTP in, agents' answers or typed refusals out.
//!
//! `listener` accepts a caller, `connection` speaks HTTP/1.1 or (`http2`) HTTP/2 with it, `service` answers
//! a request (of whom `proxied` tells behind a proxy): `judge` its head, `route` its path, check its
//! `access`, hold it for an agent that is away (`waiting`), then `exchange` carries it to a link of
//! [`crate::tunnel`], on the shard that owns it (`handed`), or `direct` to the agent's own URL while there
//! is none. Whatever goes wrong is a `failure`, which `render` alone turns into an answer. The only bodies
//! that are read are the first bytes of a request (`prefix`, `envelope`; all of it for its method, where a
//! policy says which may be used: `called`, `method_guard`, `method_policy`) and an agent's card:
//! `card_request` tells who asks for one, `card_answer` serves it, edited by [`crate::card`], with the
//! validator of `card_tag`. `own_api` serves the registration API, and `send` what agents say to each
//! other. Where the relay bridges to a platform, `bridged` takes its calls, by `message_id` and none twice
//! (`remembered`, in `turns`), and `upstream` those of agents to it.

pub mod access;
mod admission;
pub mod answer_body;
pub mod answer_source;
#[cfg(test)]
pub(crate) mod arriving;
pub mod body_source;
pub mod bridged;
pub mod budgets;
pub mod called;
pub mod caller_body;
pub mod card_answer;
pub mod card_request;
mod card_tag;
mod cards;
mod chat;
pub mod connection;
pub mod deadline;
pub mod delegate;
pub mod direct;
pub mod envelope;
pub mod exchange;
pub mod failure;
pub mod forwarded;
pub mod frames;
pub mod glance;
mod grpc;
mod grpc_card;
pub mod handed;
mod http2;
pub mod judge;
pub mod keep_alive;
pub mod last_event;
pub mod listener;
pub mod load;
pub mod mark;
pub mod message_id;
pub mod method_guard;
pub mod method_policy;
pub mod observed;
pub mod outbound;
mod own_api;
mod own_call;
pub mod prefix;
pub mod proxied;
pub mod push;
pub mod record;
pub mod remembered;
pub mod render;
pub mod request_name;
pub mod route;
mod send;
pub mod service;
pub mod sse;
pub mod trace;
mod turns;
pub mod upload;
mod upstream;
pub mod waiting;
pub mod watch;

pub use service::Edge;
