//! The last event of a stream that ends early: why, as an error response with the caller's own id.

use bytes::Bytes;
use shared::codes::Delivery;

use super::exchange::Admitted;
use super::failure::{Failure, Verdict};
use super::render::json_rpc;

/// The code of a stream that broke off.
pub const STREAM_LOST: &str = "RELAY_STREAM_LOST";
/// The code of a stream whose caller's credential ended.
pub const CREDENTIAL_ENDED: &str = "RELAY_UNAUTHENTICATED";

/// The code of a stream whose caller allowed it no longer.
pub const DEADLINE: &str = "RELAY_DEADLINE";

/// The events that explain why a stream ends early.
#[derive(Debug)]
pub struct LastEvents {
    /// It broke off.
    pub lost: Bytes,
    /// The caller's credential ended; of those who showed one.
    pub ended: Option<Bytes>,
}

impl LastEvents {
    /// Those of an exchange, whose caller gave it this JSON-RPC id and the relay this name.
    pub fn of(admitted: &Admitted, id: Option<&[u8]>, request: &str) -> Self {
        let workspace = admitted.workspace.id;
        let message = format!(
            "The stream of agent {workspace} broke off. Its task may go on: resubscribe to it, or \
             get it."
        );
        let lost = Failure::TunnelLost(workspace).verdict();
        let lost = Verdict { code: STREAM_LOST, message, ..lost };
        let ended = Failure::CredentialEnded(workspace).verdict();
        let ended = admitted.validity.as_ref().map(|_| event(ended, id, request));
        Self { lost: event(lost, id, request), ended }
    }
}

fn event(verdict: Verdict, id: Option<&[u8]>, request: &str) -> Bytes {
    let verdict = Verdict { delivery: Delivery::Delivered, ..verdict };
    let event = json_rpc(&verdict, id, request);
    Bytes::from(format!("data: {event}\n\n"))
}
