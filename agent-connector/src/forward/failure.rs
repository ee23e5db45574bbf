//! What the relay is told when the local agent fails: one place for codes, deliveries and sentences.

use std::error::Error;
use std::io;
use std::time::Duration;

use shared::codes::{AbortCode, Delivery, StreamCode};

use super::reply::Ending;
use super::request_stream::UploadError;
use super::target::NoTarget;

/// Nobody listens on the agent's port.
pub(crate) fn refused(agent: &str, error: &io::Error) -> Ending {
    let message = match error.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "The local agent at {agent} refuses connections. Start it, or check the port given to \
             agent-connector."
        ),
        _ => format!(
            "The local agent at {agent} cannot be reached ({error}). Start it, or check the \
             address given to agent-connector."
        ),
    };
    Ending::abort(AbortCode::UpstreamRefused, Delivery::NotSent, message)
}

/// The request was handed over, and no head of an answer came of it.
pub(crate) fn no_head(agent: &str, error: &hyper::Error) -> Ending {
    if let Some(upload) = upload_error(error) {
        return upload_failed(upload, Delivery::Maybe);
    }
    let (code, what) = if error.is_parse() {
        (AbortCode::UpstreamProtocol, "answered with something that is not HTTP; check its port")
    } else {
        (AbortCode::UpstreamReset, "closed the connection before it answered; read its log")
    };
    Ending::abort(code, Delivery::Maybe, format!("The local agent at {agent} {what}."))
}

/// The answer cannot cross.
pub(crate) fn bad_answer(agent: &str, what: &str) -> Ending {
    let message = format!("The answer of the local agent at {agent} cannot be passed on: {what}.");
    Ending::abort(AbortCode::UpstreamProtocol, Delivery::Delivered, message)
}

/// The end of the answer cannot cross.
pub(crate) fn bad_trailers(agent: &str, what: &str) -> Ending {
    bad_answer(agent, what)
}

/// The answer broke off. `failure` is why the connection broke, if it did.
pub(crate) fn cut_answer(
    agent: &str,
    failure: Option<&hyper::Error>,
    error: &hyper::Error,
) -> Ending {
    if let Some(upload) = failure.and_then(upload_error) {
        return upload_failed(upload, Delivery::Delivered);
    }
    tracing::debug!(%error, "an answer broke off");
    let message = format!(
        "The local agent at {agent} closed the connection within its answer; read its log."
    );
    Ending::abort(AbortCode::UpstreamReset, Delivery::Delivered, message)
}

/// The agent was silent for too long.
pub(crate) fn silent(agent: &str, limit: Duration, delivery: Delivery) -> Ending {
    let message = format!(
        "The local agent at {agent} sent nothing for {} s; check what it waits for.",
        limit.as_secs_f64()
    );
    Ending::abort(AbortCode::UpstreamTimeout, delivery, message)
}

/// The request did not come whole.
pub(crate) fn upload_failed(error: UploadError, delivery: Delivery) -> Ending {
    match error {
        UploadError::Cut(_) => Ending::Abandon(StreamCode::Cancelled),
        UploadError::Protocol(_) | UploadError::Length => protocol(delivery, &error.to_string()),
    }
}

/// The request is for nothing that the agent has.
pub(crate) fn no_target(agent: &str, why: NoTarget) -> Ending {
    match why {
        NoTarget::Denied(_) => Ending::abort(
            AbortCode::PathDenied,
            Delivery::NotSent,
            format!(
                "The connector of the agent at {agent} does not let this path through. Give \
                 agent-connector `--allow PATH` if it should."
            ),
        ),
        NoTarget::Malformed => {
            protocol(Delivery::NotSent, "path or query cannot stand in a request")
        }
    }
}

/// The relay broke the protocol within this exchange.
pub(crate) fn protocol(delivery: Delivery, what: &str) -> Ending {
    let message = format!("The exchange was ended: {what}. Update relay and agent-connector.");
    Ending::abort(AbortCode::Protocol, delivery, message)
}

/// What of an upload lies beneath an error of hyper.
fn upload_error(error: &hyper::Error) -> Option<UploadError> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(upload) = error.downcast_ref::<UploadError>() {
            return Some(*upload);
        }
        source = error.source();
    }
    None
}
