//! The stories: real binaries, real sockets, one harness.

mod agents;
mod bodies;
mod callers;
mod canvas;
mod cards;
mod command;
mod credentials;
mod enrolment;
mod facade;
mod first_light;
mod hostile_callers;
mod hostile_connector;
mod hostile_links;
mod http2;
mod kills;
mod links;
mod operator;
mod real_agent;
mod refusals;
mod replays;
mod revocation;
mod state_files;
mod streams;
mod tls;
mod tutorial;
mod versions;
