//! What the operator sees of the relay: its API, its token, its listener, who is present.

pub mod api;
mod body;
pub mod canvas;
pub mod delegations;
mod description;
pub mod feed;
pub mod listener;
pub mod looks;
pub mod presence;
pub mod problem;
pub mod pulse;
pub mod refusals;
mod route;
#[cfg(test)]
mod testing;
pub mod token;
mod view;

pub use api::Api;
pub use listener::readiness;
pub use token::{AdminToken, AdminTokenError};
