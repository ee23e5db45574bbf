//! The protocol between connector and relay: names, messages, frames, codes, header rules and limits.
//!
//! Pure: a codec over [`bytes::Bytes`] that knows no socket, no clock and no HTTP library. Only
//! `control_stream` reads and writes, and any byte stream will do for it.
//! `PROTOCOL.md`, beside this crate's manifest, is the same protocol in prose, complete enough to
//! write a connector in another language.

pub mod codes;
pub mod control;
pub mod control_stream;
pub mod exposure;
pub mod flow;
pub mod headers;
pub mod ids;
pub mod limits;
pub mod secret;
#[cfg(feature = "settings")]
pub mod settings;
pub mod wire;
