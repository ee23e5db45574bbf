//! Every way in which the relay itself says no to a caller: status, code, sentence, delivery.

use std::time::Duration;

use http::StatusCode;
use shared::codes::{AbortCode, Delivery};
use shared::ids::WorkspaceId;
use shared::limits::{HEADER_FIELDS_MAX, HEADER_LIST_BYTES_MAX, URI_BYTES_MAX};
use shared::wire::Abort;

/// Why a request gets no answer from its agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No credential, or none that counts. One text for all, so that nothing can be guessed.
    Unauthenticated,
    /// No agent has this address, id or alias.
    UnknownWorkspace,
    /// The workspace was removed.
    WorkspaceGone(WorkspaceId),
    /// Nothing is served at this path.
    NotFound(&'static str),
    /// The connector does not expose the path.
    PathDenied,
    /// The path has other methods.
    MethodNotAllowed(&'static str),
    /// The request breaks HTTP, or what this edge takes of it.
    BadRequest(&'static str),
    /// A JSON-RPC endpoint takes JSON.
    UnsupportedMediaType,
    /// HTTP/1.0 callers cannot see a cut answer.
    HttpVersion,
    /// The URI is too long.
    UriTooLong,
    /// The header list is too long.
    HeadersTooLarge,
    /// The body is over the limit, bytes.
    BodyTooLarge(u64),
    /// A transfer coding that nobody here decodes.
    NotImplemented(&'static str),
    /// No link, since this long.
    AgentOffline(WorkspaceId, Option<Duration>),
    /// The link was lost while the request was being opened on it.
    LinkLost(WorkspaceId),
    /// The operator paused the workspace.
    AgentPaused(WorkspaceId),
    /// The connector shuts down.
    AgentDraining(WorkspaceId),
    /// As many exchanges as the link takes.
    AgentBusy(WorkspaceId),
    /// The relay shuts down.
    Draining,
    /// The link was lost before the head of the answer.
    TunnelLost(WorkspaceId),
    /// The connector ended the exchange before the head of the answer.
    Aborted(WorkspaceId, Abort),
    /// The connector, or what it passed on, broke the protocol.
    Protocol(WorkspaceId),
    /// The head of the answer did not come in time.
    Deadline(Duration),
    /// The store cannot be reached.
    StoreUnavailable,
}

/// What a caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable code, `X-Relay-Error`.
    pub code: &'static str,
    /// One sentence: what happened, to what, what to do next.
    pub message: String,
    /// Whether the agent got the request.
    pub delivery: Delivery,
    /// Seconds after which trying again can help.
    pub retry_after: Option<u32>,
    /// `Allow`, for a method that is not.
    pub allow: Option<&'static str>,
    /// The workspace, where the caller may know its id.
    pub workspace: Option<WorkspaceId>,
}

/// After so long without a link, callers are asked to wait longer.
const LONG_OFFLINE: Duration = Duration::from_secs(90);

impl Failure {
    /// What the caller is told.
    pub fn verdict(&self) -> Verdict {
        use Delivery::{Maybe, NotSent};
        match self {
            Self::Unauthenticated => no(401, "RELAY_UNAUTHENTICATED", "The request carries no credential that is valid here. Send the caller token that the agent's operator gave you."),
            Self::UnknownWorkspace => no(404, "RELAY_UNKNOWN_WORKSPACE", "No agent is known by this URL. Check it with whoever gave it to you."),
            Self::WorkspaceGone(id) => no(410, "RELAY_WORKSPACE_GONE", format!("Workspace {id} was removed. Ask its operator for another URL.")).of(*id),
            Self::NotFound(hint) => no(404, "RELAY_NOT_FOUND", *hint),
            Self::PathDenied => no(403, "RELAY_PATH_DENIED", "The agent's connector does not expose this path. Its owner can allow it with --allow PATH."),
            Self::MethodNotAllowed(allow) => Verdict { allow: Some(allow), ..no(405, "RELAY_METHOD_NOT_ALLOWED", format!("This path takes {allow}.")) },
            Self::BadRequest(what) => no(400, "RELAY_BAD_REQUEST", *what),
            Self::UnsupportedMediaType => no(415, "RELAY_UNSUPPORTED_MEDIA_TYPE", "A JSON-RPC endpoint takes application/json."),
            Self::HttpVersion => no(505, "RELAY_HTTP_VERSION", "HTTP/1.0 cannot show that an answer was cut. Use HTTP/1.1."),
            Self::UriTooLong => no(414, "RELAY_URI_TOO_LONG", format!("Path and query may have {URI_BYTES_MAX} bytes.")),
            Self::HeadersTooLarge => no(431, "RELAY_HEADERS_TOO_LARGE", format!("The header may have {HEADER_LIST_BYTES_MAX} bytes and {HEADER_FIELDS_MAX} fields.")),
            Self::BodyTooLarge(limit) => no(413, "RELAY_BODY_TOO_LARGE", format!("The body may have {limit} bytes (relay serve --max-body).")),
            Self::NotImplemented(what) => no(501, "RELAY_NOT_IMPLEMENTED", *what),
            Self::AgentOffline(id, last_seen) => {
                let long = last_seen.is_some_and(|since| since > LONG_OFFLINE);
                let seen = last_seen.map_or_else(
                    || String::from("not seen since the relay started"),
                    |since| format!("last seen {} s ago", since.as_secs()),
                );
                no(503, "RELAY_AGENT_OFFLINE", format!("Agent {id} is offline ({seen}). Start agent-connector or read its log.")).of(*id).retry(if long { 30 } else { 5 })
            }
            Self::LinkLost(id) => no(503, "RELAY_AGENT_OFFLINE", format!("The link of agent {id} was lost before the request was sent on it. Try again in a moment.")).of(*id).retry(1),
            Self::AgentPaused(id) => no(503, "RELAY_AGENT_PAUSED", format!("Agent {id} is paused by its operator. Try again later.")).of(*id).retry(30),
            Self::AgentDraining(id) => no(503, "RELAY_AGENT_DRAINING", format!("The connector of agent {id} is shutting down. Try again in a moment.")).of(*id).retry(1),
            Self::AgentBusy(id) => no(503, "RELAY_AGENT_BUSY", format!("Agent {id} has as many requests open as its link takes. Try again later.")).of(*id).retry(30),
            Self::Draining => no(503, "RELAY_DRAINING", "The relay is shutting down. Try again in a moment.").retry(1),
            Self::StoreUnavailable => no(503, "RELAY_STORE_UNAVAILABLE", "The relay cannot reach its store. Try again in a moment.").retry(5),
            Self::TunnelLost(id) => no(502, "RELAY_TUNNEL_LOST", format!("The link of agent {id} was lost while it worked on the request. It may have been done: ask for its task before sending it again.")).of(*id).after(Maybe),
            Self::Protocol(id) => no(502, "RELAY_UPSTREAM_PROTOCOL", format!("What came back from agent {id} is not a valid answer. Its owner finds more in agent-connector's log.")).of(*id).after(Maybe),
            Self::Deadline(waited) => no(504, "RELAY_DEADLINE", format!("The agent did not begin its answer within {} s.", waited.as_secs())).after(Maybe),
            Self::Aborted(id, abort) => {
                let (status, code, retry) = match abort.code {
                    AbortCode::Refused => (503, "RELAY_AGENT_DRAINING", Some(1)),
                    AbortCode::Busy => (503, "RELAY_AGENT_BUSY", Some(30)),
                    AbortCode::UpstreamRefused => (503, "RELAY_UPSTREAM_REFUSED", Some(5)),
                    AbortCode::UpstreamReset => (502, "RELAY_UPSTREAM_RESET", None),
                    AbortCode::UpstreamTimeout => (504, "RELAY_UPSTREAM_TIMEOUT", None),
                    AbortCode::PathDenied => return Self::PathDenied.verdict(),
                    AbortCode::UpstreamProtocol | AbortCode::Protocol | AbortCode::UnknownExchange => {
                        (502, "RELAY_UPSTREAM_PROTOCOL", None)
                    }
                };
                // Before the head, "delivered" is more than a connector can know.
                let delivery = if abort.delivery == NotSent { NotSent } else { Maybe };
                let mut verdict = no(status, code, abort.message.clone()).of(*id).after(delivery);
                verdict.retry_after = retry;
                verdict
            }
        }
    }
}

/// A refusal of a request that surely was not sent.
fn no(status: u16, code: &'static str, message: impl Into<String>) -> Verdict {
    Verdict {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        code,
        message: message.into(),
        delivery: Delivery::NotSent,
        retry_after: None,
        allow: None,
        workspace: None,
    }
}

impl Verdict {
    fn of(self, workspace: WorkspaceId) -> Self {
        Self { workspace: Some(workspace), ..self }
    }

    fn after(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    fn retry(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}
