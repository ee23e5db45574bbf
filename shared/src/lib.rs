//! The protocol between connector and relay: names, messages, frames, codes, header rules and limits.
//!
//! Pure: a codec over bytes that knows no socket, no clock and no HTTP library.

pub mod ids;
