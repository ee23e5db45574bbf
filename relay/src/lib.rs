//! The relay: where connectors dial in and callers find their agents.

pub mod clock;
pub mod metrics;
pub mod public;
pub mod registry;
pub mod tunnel;
