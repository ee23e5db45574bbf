//! The connector of the demonstration. The one file of the relay that uses the connector's library.

use std::path::Path;

use super::story::failed;
use crate::commands::exit::Failure;

/// A running connector.
pub(super) struct Connector;

impl Connector {
    /// Starts it towards the agent on `port`, with its state in `state_dir`.
    #[expect(clippy::unused_async, reason = "waits for the connector's library")]
    pub(super) async fn start(_join: &str, _port: u16, _state_dir: &Path) -> Result<Self, Failure> {
        Err(failed("This build has no connector yet."))
    }

    /// Ends it in order.
    pub(super) async fn stop(self) {}
}
