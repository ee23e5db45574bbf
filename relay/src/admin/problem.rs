//! The noes of the API: their codes, statuses and bodies, and how the registry's become them.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use shared::ids::WorkspaceId;

use crate::registry::StoreError;

const RELAY_ERROR: HeaderName = HeaderName::from_static("x-relay-error");
/// Until the store is asked again, seconds: most of its trouble is a full disk or a long checkpoint.
const STORE_RETRY_SECONDS: u64 = 5;

/// A typed no of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No credential, or a wrong one: the answer does not tell which.
    Unauthenticated,
    /// The relay has no such path.
    NotFound,
    /// The path takes these methods only.
    MethodNotAllowed(&'static str),
    /// The body is not JSON.
    UnsupportedMediaType,
    /// Something in the request is wrong; the sentence says what.
    BadRequest(String),
    /// No workspace answers to this.
    UnknownWorkspace(String),
    /// No such thing of a workspace.
    Unknown(String),
    /// The workspace was removed.
    WorkspaceGone(String),
    /// Something that must be unique is taken.
    Duplicate(String),
    /// Several workspaces have this name.
    Ambiguous(String, Vec<WorkspaceId>),
    /// The store cannot do it now.
    StoreUnavailable(String),
    /// The relay is set up so that it cannot do it.
    Internal(String),
    /// A web page or a wrong name asks.
    Forbidden(String),
    /// Its source showed too many wrong credentials.
    RateLimited,
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The agent takes nothing now.
    AgentOffline(String),
    /// Every place is taken.
    Overloaded(String),
}

impl Problem {
    /// The status and the code.
    pub fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "RELAY_UNAUTHENTICATED"),
            Self::NotFound | Self::Unknown(_) => (StatusCode::NOT_FOUND, "RELAY_NOT_FOUND"),
            Self::MethodNotAllowed(_) => {
                (StatusCode::METHOD_NOT_ALLOWED, "RELAY_METHOD_NOT_ALLOWED")
            }
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "RELAY_UNSUPPORTED_MEDIA_TYPE")
            }
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "RELAY_BAD_REQUEST"),
            Self::UnknownWorkspace(_) => (StatusCode::NOT_FOUND, "RELAY_UNKNOWN_WORKSPACE"),
            Self::WorkspaceGone(_) => (StatusCode::GONE, "RELAY_WORKSPACE_GONE"),
            Self::Duplicate(_) | Self::Ambiguous(..) => (StatusCode::CONFLICT, "RELAY_DUPLICATE"),
            Self::StoreUnavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "RELAY_STORE_UNAVAILABLE")
            }
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "RELAY_INTERNAL"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "RELAY_FORBIDDEN"),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "RELAY_RATE_LIMITED"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "RELAY_BODY_TOO_LARGE"),
            Self::AgentOffline(_) => (StatusCode::SERVICE_UNAVAILABLE, "RELAY_AGENT_OFFLINE"),
            Self::Overloaded(_) => (StatusCode::SERVICE_UNAVAILABLE, "RELAY_OVERLOADED"),
        }
    }

    /// One sentence: what, on what, what next.
    pub fn detail(&self) -> String {
        match self {
            Self::Unauthenticated => {
                "This call needs a credential of the relay, such as its admin \
                 token or the workspace's own; send it as `Authorization: Bearer TOKEN`."
                    .into()
            }
            Self::NotFound => "The relay's API has no such path; check the URL.".into(),
            Self::MethodNotAllowed(allowed) => {
                format!("This path does not take that method; use one of {allowed}.")
            }
            Self::UnsupportedMediaType => "The body of this call must be plain JSON; send it with \
                 `Content-Type: application/json` and no Content-Encoding."
                .into(),
            Self::Ambiguous(name, ids) => format!(
                "{} workspaces have the name `{name}`; name one of them by its id.",
                ids.len()
            ),
            Self::BadRequest(detail)
            | Self::UnknownWorkspace(detail)
            | Self::Unknown(detail)
            | Self::WorkspaceGone(detail)
            | Self::Duplicate(detail)
            | Self::StoreUnavailable(detail)
            | Self::Internal(detail)
            | Self::Forbidden(detail)
            | Self::AgentOffline(detail)
            | Self::Overloaded(detail) => detail.clone(),
            Self::RateLimited => "Too many wrong tokens came from this address; wait a moment and \
                 check the token."
                .into(),
            Self::TooLarge(max) => {
                format!("The body of this call must not be larger than {max} bytes; shorten it.")
            }
        }
    }

    /// The no to a name that no workspace has.
    pub fn unknown(selector: &str) -> Self {
        Self::UnknownWorkspace(format!(
            "No workspace has the id, alias or name `{selector}`; list the workspaces to see which \
             there are."
        ))
    }

    /// The same no, where a field of the body names the workspace.
    pub fn of_field(self, field: &str) -> Self {
        let named = |detail| format!("The field `{field}`: {detail}");
        match self {
            Self::UnknownWorkspace(detail) => Self::UnknownWorkspace(named(detail)),
            Self::WorkspaceGone(detail) => Self::WorkspaceGone(named(detail)),
            Self::Forbidden(detail) => Self::Forbidden(named(detail)),
            other => other,
        }
    }

    /// The answer, as RFC 9457 has it, with the code and a plain `error` beside it.
    pub fn response(&self) -> Response<Bytes> {
        let (status, code) = self.kind();
        let detail = self.detail();
        let mut body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": detail,
            "error": detail,
            "code": code,
        });
        if let (Self::Ambiguous(_, ids), Value::Object(fields)) = (self, &mut body) {
            fields.insert("ids".into(), ids.iter().map(ToString::to_string).collect());
        }
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(RELAY_ERROR, HeaderValue::from_static(code));
        match self {
            Self::Unauthenticated => {
                headers
                    .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"relay\""));
            }
            Self::MethodNotAllowed(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::StoreUnavailable(_) | Self::AgentOffline(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(STORE_RETRY_SECONDS));
            }
            Self::RateLimited | Self::Overloaded(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(1));
            }
            _ => {}
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Unavailable { .. }
            | StoreError::Broken { .. }
            | StoreError::TokenSealed { .. }
            | StoreError::Sealed { .. } => Self::StoreUnavailable(detail),
            StoreError::UnknownWorkspace { .. } => Self::UnknownWorkspace(detail),
            StoreError::WorkspaceGone { .. } => Self::WorkspaceGone(detail),
            StoreError::AliasTaken { .. }
            | StoreError::KeyOfAnother { .. }
            | StoreError::KeyRevoked { .. }
            | StoreError::NoBond { .. }
            | StoreError::UpstreamTaken
            | StoreError::TooMany { .. } => Self::Duplicate(detail),
            StoreError::UnknownCredential { .. } | StoreError::UnknownSecret { .. } => {
                Self::Unknown(detail)
            }
            // Two equal values of 80 random bits and more: the next try has others.
            StoreError::NotFresh { .. } => Self::StoreUnavailable(detail),
            StoreError::BadName(_) => Self::BadRequest(format!("The field `name`: {detail}")),
            StoreError::BadRole(_) => Self::BadRequest(format!("The field `role`: {detail}")),
        }
    }
}
