//! The bridge: agents of this relay as workspaces of a platform that runs elsewhere.

pub mod answer;
pub mod budget;
pub mod client;
pub mod config;
mod transport;
