//! Every way in which the relay itself says no to a caller: status, code, sentence, delivery.

use std::time::Duration;

use http::StatusCode;
use shared::codes::{AbortCode, Delivery};
use shared::ids::WorkspaceId;
use shared::limits::{CONTROL_BYTES_MAX, HEADER_FIELDS_MAX, HEADER_LIST_BYTES_MAX, URI_BYTES_MAX};
use shared::wire::Abort;

use super::budgets::Over;
use crate::direct_url::Rule;
use crate::methods::A2aMethod;
use crate::push_egress::Denied;

/// Why a request gets no answer from its agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No credential, or none that counts. One text for all, so that nothing can be guessed.
    Unauthenticated,
    /// The credential is good, and not for this.
    Forbidden,
    /// The caller may not use this method of the agent's.
    MethodDenied(A2aMethod),
    /// The caller may use some methods only, and nobody can tell which one its body calls: what it does
    /// ends the sentence.
    MethodUnclear(&'static str),
    /// No agent has this address, id or alias.
    UnknownWorkspace,
    /// The workspace was removed.
    WorkspaceGone(WorkspaceId),
    /// Nothing is served at this path.
    NotFound(&'static str),
    /// The connector does not expose the path.
    PathDenied,
    /// A link without a credential carries a registration only.
    RegistrationOnly,
    /// The relay does not post there for this agent.
    PushDenied(Denied),
    /// The path has other methods.
    MethodNotAllowed(&'static str),
    /// The request breaks HTTP, or what this edge takes of it.
    BadRequest(&'static str),
    /// A JSON-RPC endpoint takes JSON.
    UnsupportedMediaType,
    /// HTTP/1.0 callers cannot see a cut answer.
    HttpVersion,
    /// gRPC came by a version of HTTP that loses trailers.
    GrpcVersion,
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
    /// No link, since this long, and the agent's own URL is not called.
    Uncalled(WorkspaceId, Option<Duration>, Rule),
    /// The link was lost while the request was being opened on it.
    LinkLost(WorkspaceId),
    /// The operator paused the workspace.
    AgentPaused(WorkspaceId),
    /// The connector shuts down.
    AgentDraining(WorkspaceId),
    /// As many exchanges as the link takes.
    AgentBusy(WorkspaceId),
    /// As many requests are open as the relay takes.
    Overloaded,
    /// Too many requests of one source had no valid credential or named no agent.
    RateLimited,
    /// The agent posts notifications faster than it may.
    PushedTooFast,
    /// A caller that is known by its credential asks too much.
    CallerBusy(Over),
    /// All together ask an agent more than its operator lets them.
    AgentLimited(WorkspaceId, Over),
    /// The relay shuts down.
    Draining,
    /// The link was lost before the head of the answer.
    TunnelLost(WorkspaceId),
    /// The connector ended the exchange before the head of the answer.
    Aborted(WorkspaceId, Abort),
    /// The connector, or what it passed on, broke the protocol.
    Protocol(WorkspaceId),
    /// The caller's credential ended before the head of the answer.
    CredentialEnded(WorkspaceId),
    /// The card is longer than any that the relay reads.
    CardTooLong(WorkspaceId),
    /// The head of the answer did not come in time.
    Deadline(Duration),
    /// The store cannot do its work; the sentence says why.
    StoreUnavailable(String),
    /// The platform sent the message before; what became of it ends the sentence.
    Duplicate(WorkspaceId, &'static str),
    /// The answer is longer than the platform reads, bytes.
    AnswerTooLong(WorkspaceId, u64),
    /// The agent answered with a redirect, which the platform would follow anywhere.
    Redirected(WorkspaceId),
    /// The address of whoever calls as the platform is none of the platform's.
    SourceDenied,
    /// The platform does not answer an agent's own call, or refuses the relay; the sentence says why.
    PlatformAway(String, Delivery),
    /// The platform takes no more calls for so many seconds.
    PlatformBusy(u32),
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
    /// Whether the connector said, or the lack of a link shows, that the agent got nothing, and a
    /// newer link may take the request.
    pub const fn is_unbegun(&self) -> bool {
        match self {
            Self::LinkLost(_) => true,
            Self::Aborted(_, abort) => {
                matches!((abort.code, abort.delivery), (AbortCode::Refused, Delivery::NotSent))
            }
            _ => false,
        }
    }

    /// Whether nothing leads to the agent now.
    pub const fn is_offline(&self) -> bool {
        matches!(self, Self::AgentOffline(..) | Self::Uncalled(..) | Self::LinkLost(_))
    }

    /// What the caller is told.
    pub fn verdict(&self) -> Verdict {
        let (status, code) = self.status_and_code();
        Verdict {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            message: self.message(),
            delivery: self.delivery(),
            retry_after: self.retry_after(),
            allow: if let Self::MethodNotAllowed(allow) = self { Some(allow) } else { None },
            workspace: self.workspace(),
        }
    }

    const fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::BadRequest(_) => (400, "RELAY_BAD_REQUEST"),
            Self::Unauthenticated | Self::CredentialEnded(_) => (401, "RELAY_UNAUTHENTICATED"),
            Self::Forbidden | Self::MethodDenied(_) | Self::MethodUnclear(_) => {
                (403, "RELAY_FORBIDDEN")
            }
            Self::PathDenied => (403, "RELAY_PATH_DENIED"),
            Self::RegistrationOnly | Self::PushDenied(_) | Self::SourceDenied => {
                (403, "RELAY_FORBIDDEN")
            }
            Self::UnknownWorkspace => (404, "RELAY_UNKNOWN_WORKSPACE"),
            Self::NotFound(_) => (404, "RELAY_NOT_FOUND"),
            Self::MethodNotAllowed(_) => (405, "RELAY_METHOD_NOT_ALLOWED"),
            Self::Duplicate(..) => (409, "RELAY_DUPLICATE"),
            Self::WorkspaceGone(_) => (410, "RELAY_WORKSPACE_GONE"),
            Self::BodyTooLarge(_) => (413, "RELAY_BODY_TOO_LARGE"),
            Self::UriTooLong => (414, "RELAY_URI_TOO_LONG"),
            Self::UnsupportedMediaType => (415, "RELAY_UNSUPPORTED_MEDIA_TYPE"),
            Self::RateLimited
            | Self::PushedTooFast
            | Self::PlatformBusy(_)
            | Self::CallerBusy(_)
            | Self::AgentLimited(..) => (429, "RELAY_RATE_LIMITED"),
            Self::HeadersTooLarge => (431, "RELAY_HEADERS_TOO_LARGE"),
            Self::NotImplemented(_) => (501, "RELAY_NOT_IMPLEMENTED"),
            Self::TunnelLost(_) => (502, "RELAY_TUNNEL_LOST"),
            Self::Protocol(_)
            | Self::CardTooLong(_)
            | Self::AnswerTooLong(..)
            | Self::Redirected(_) => (502, "RELAY_UPSTREAM_PROTOCOL"),
            Self::AgentOffline(..) | Self::Uncalled(..) | Self::LinkLost(_) => {
                (503, "RELAY_AGENT_OFFLINE")
            }
            Self::AgentPaused(_) => (503, "RELAY_AGENT_PAUSED"),
            Self::AgentDraining(_) => (503, "RELAY_AGENT_DRAINING"),
            Self::AgentBusy(_) => (503, "RELAY_AGENT_BUSY"),
            Self::Overloaded => (503, "RELAY_OVERLOADED"),
            Self::Draining => (503, "RELAY_DRAINING"),
            Self::StoreUnavailable(_) => (503, "RELAY_STORE_UNAVAILABLE"),
            Self::PlatformAway(..) => (503, "RELAY_PLATFORM_UNAVAILABLE"),
            Self::Deadline(_) => (504, "RELAY_DEADLINE"),
            Self::HttpVersion | Self::GrpcVersion => (505, "RELAY_HTTP_VERSION"),
            Self::Aborted(_, abort) => match abort.code {
                AbortCode::PathDenied => (403, "RELAY_PATH_DENIED"),
                AbortCode::UpstreamReset => (502, "RELAY_UPSTREAM_RESET"),
                AbortCode::UpstreamProtocol | AbortCode::Protocol | AbortCode::UnknownExchange => {
                    (502, "RELAY_UPSTREAM_PROTOCOL")
                }
                AbortCode::Refused => (503, "RELAY_AGENT_DRAINING"),
                AbortCode::Busy => (503, "RELAY_AGENT_BUSY"),
                AbortCode::UpstreamRefused => (503, "RELAY_UPSTREAM_REFUSED"),
                AbortCode::UpstreamTimeout => (504, "RELAY_UPSTREAM_TIMEOUT"),
            },
        }
    }

    fn message(&self) -> String {
        match self {
            Self::BadRequest(what) | Self::NotFound(what) | Self::NotImplemented(what) => {
                (*what).into()
            }
            Self::Aborted(_, abort) if abort.code != AbortCode::PathDenied => abort.message.clone(),
            Self::Unauthenticated => "The request carries no credential that is valid here. Use \
                the whole URL, or the token, that the agent's operator gave you."
                .into(),
            Self::CredentialEnded(id) => format!(
                "The credential of this call was revoked, or its time ended, while agent {id} was \
                 at work. The work may go on: ask for its task with another credential."
            ),
            Self::Forbidden => "This credential is valid, and may not call this agent. An agent \
                may call its siblings, ancestors and descendants; a caller token its own workspace."
                .into(),
            Self::MethodDenied(method) => format!(
                "Callers may not use the method `{}` here. The agent's operator says which they may.",
                method.word()
            ),
            Self::MethodUnclear(doubt) => format!(
                "Only some methods may be used here, and the body {doubt}. Send one JSON-RPC request \
                 with one `method` near its beginning."
            ),
            Self::PathDenied | Self::Aborted(..) => "The agent's connector does not expose this \
                path. Its owner can allow it with --allow PATH."
                .into(),
            Self::RegistrationOnly => "This link has no credential: POST /workspaces and POST \
                /registry/register cross it, and nothing else does."
                .into(),
            Self::PushDenied(why) => format!("It is not posted: {why}."),
            Self::UnknownWorkspace => {
                "No agent is known by this URL. Check it with whoever gave it to you.".into()
            }
            Self::MethodNotAllowed(allow) => format!("This path takes {allow}."),
            Self::WorkspaceGone(id) => {
                format!("Workspace {id} was removed. Ask its operator for another URL.")
            }
            Self::BodyTooLarge(limit) => {
                format!("The body may have {limit} bytes here (messages: relay serve --max-body).")
            }
            Self::UriTooLong => format!("Path and query may have {URI_BYTES_MAX} bytes."),
            Self::UnsupportedMediaType => "A JSON-RPC endpoint takes application/json.".into(),
            Self::HeadersTooLarge => format!(
                "The header may have {HEADER_LIST_BYTES_MAX} bytes and {HEADER_FIELDS_MAX} fields."
            ),
            Self::TunnelLost(id) => format!(
                "The link of agent {id} was lost while it worked on the request. It may have been \
                 done: ask for its task before sending it again."
            ),
            Self::Protocol(id) => format!(
                "What came back from agent {id} is not a valid answer. Its owner finds more in \
                 agent-connector's log."
            ),
            Self::CardTooLong(id) => format!(
                "The card of agent {id} is over {CONTROL_BYTES_MAX} bytes, which is the most that \
                 the relay reads of one. Its owner has to shorten it."
            ),
            Self::AgentOffline(id, last_seen) => {
                let seen = last_seen.map_or_else(
                    || String::from("not seen since the relay started"),
                    |since| format!("last seen {} s ago", since.as_secs()),
                );
                format!("Agent {id} is offline ({seen}). Start agent-connector or read its log.")
            }
            Self::Uncalled(id, last_seen, rule) => {
                let offline = Self::AgentOffline(*id, *last_seen).message();
                format!("{offline} Its own URL is not called: {rule}.")
            }
            Self::LinkLost(id) => format!(
                "The link of agent {id} was lost before the request was sent on it. Try again in \
                 a moment."
            ),
            Self::AgentPaused(id) => {
                format!(
                    "Agent {id} is paused by its operator, or by its platform. Try again later."
                )
            }
            Self::AgentDraining(id) => {
                format!("The connector of agent {id} is shutting down. Try again in a moment.")
            }
            Self::AgentBusy(id) => {
                format!(
                    "Agent {id} has as many requests or event streams open as its link takes. Try \
                     again later."
                )
            }
            Self::Overloaded => "The relay has as many requests open as it takes (relay serve \
                --max-in-flight). Try again in a few seconds."
                .into(),
            Self::RateLimited => "Too many requests from this address named no agent or carried \
                no valid credential. Check the URL or the token, and try again in a second."
                .into(),
            Self::PushedTooFast => {
                "The holder of this credential has posted more than 10 notifications a second; \
                 slow down."
                    .into()
            }
            Self::CallerBusy(Over::InFlight(most)) => format!(
                "The holder of this credential has {most} requests open, which is the most; end one \
                 of them."
            ),
            Self::CallerBusy(Over::Pace(_)) => {
                "The holder of this credential sends requests faster \
                than it may; slow down."
                    .into()
            }
            Self::AgentLimited(id, Over::InFlight(most)) => format!(
                "Agent {id} has {most} requests open, which is the most that its operator lets it \
                 have. Try again when one has ended."
            ),
            Self::AgentLimited(id, Over::Pace(seconds)) => format!(
                "Agent {id} gets requests faster than its operator lets it. Try again in {seconds} s."
            ),
            Self::Draining => "The relay is shutting down. Try again in a moment.".into(),
            Self::StoreUnavailable(why) | Self::PlatformAway(why, _) => why.clone(),
            Self::Duplicate(id, became) => format!(
                "Agent {id} was given a message with this `messageId` before, and {became}. It is \
                 not run twice."
            ),
            Self::AnswerTooLong(id, limit) => format!(
                "The answer of agent {id} is over {limit} bytes, where the platform would cut it in \
                 silence. What was asked is done; ask for less of it at a time."
            ),
            Self::Redirected(id) => format!(
                "Agent {id} answered with a redirect, which is not passed on to the platform. Its \
                 owner can give agent-connector the right path with --local-path."
            ),
            Self::SourceDenied => "Calls of the platform are not taken from this address (relay \
                serve --platform-sources)."
                .into(),
            Self::PlatformBusy(seconds) => format!(
                "The platform's rate limit, or this agent's part of it, is reached; heartbeats go first. \
                 Try again in {seconds} s."
            ),
            Self::Deadline(waited) => {
                format!("The agent did not begin its answer within {} s.", waited.as_secs_f64())
            }
            Self::GrpcVersion => "gRPC needs HTTP/2: by ALPN, or with prior knowledge.".into(),
            Self::HttpVersion => {
                "HTTP/1.0 cannot show that an answer was cut. Use HTTP/1.1.".into()
            }
        }
    }

    const fn delivery(&self) -> Delivery {
        match self {
            Self::TunnelLost(_)
            | Self::Protocol(_)
            | Self::CardTooLong(_)
            | Self::CredentialEnded(_)
            | Self::Duplicate(..)
            | Self::Deadline(_) => Delivery::Maybe,
            Self::AnswerTooLong(..) | Self::Redirected(_) => Delivery::Delivered,
            Self::PlatformAway(_, delivery) => *delivery,
            // Before the head, "delivered" is more than a connector can know.
            Self::Aborted(_, abort) => match abort.delivery {
                Delivery::NotSent => Delivery::NotSent,
                Delivery::Maybe | Delivery::Delivered => Delivery::Maybe,
            },
            _ => Delivery::NotSent,
        }
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::AgentOffline(_, last_seen) | Self::Uncalled(_, last_seen, _) => {
                let long = last_seen.is_some_and(|since| since > LONG_OFFLINE);
                Some(if long { 30 } else { 5 })
            }
            Self::LinkLost(_)
            | Self::AgentDraining(_)
            | Self::Draining
            | Self::RateLimited
            | Self::PushedTooFast => Some(1),
            Self::CallerBusy(over) | Self::AgentLimited(_, over) => Some(match over {
                Over::InFlight(_) => 1,
                Over::Pace(seconds) => *seconds,
            }),
            // Spread, so that those who were refused together do not come back together.
            Self::Overloaded => Some(1 + getrandom::u32().unwrap_or_default() % 5),
            Self::AgentPaused(_) | Self::AgentBusy(_) => Some(30),
            Self::StoreUnavailable(_) | Self::PlatformAway(..) => Some(5),
            Self::PlatformBusy(seconds) => Some(*seconds),
            Self::Aborted(_, abort) => match abort.code {
                AbortCode::Refused => Some(1),
                AbortCode::Busy => Some(30),
                AbortCode::UpstreamRefused => Some(5),
                _ => None,
            },
            _ => None,
        }
    }

    /// The workspace, for refusals behind the door: before it, nobody is told whose URL it is.
    const fn workspace(&self) -> Option<WorkspaceId> {
        match self {
            Self::WorkspaceGone(id)
            | Self::AgentOffline(id, _)
            | Self::Uncalled(id, ..)
            | Self::LinkLost(id)
            | Self::AgentPaused(id)
            | Self::AgentDraining(id)
            | Self::AgentBusy(id)
            | Self::AgentLimited(id, _)
            | Self::TunnelLost(id)
            | Self::CredentialEnded(id)
            | Self::Aborted(id, _)
            | Self::Protocol(id)
            | Self::Duplicate(id, _)
            | Self::AnswerTooLong(id, _)
            | Self::Redirected(id)
            | Self::CardTooLong(id) => Some(*id),
            _ => None,
        }
    }
}
