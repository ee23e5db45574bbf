//! A message from one agent to another, or from an orchestrator: told by its credential and a target.

use http::header::{EXPECT, HeaderMap, HeaderValue};
use http::{Method, Response, request};
use percent_encoding::percent_decode_str;
use shared::ids::WorkspaceId;

use super::answer_body::AnswerBody;
use super::caller_body::CallerBody;
use super::failure::Failure;
use super::forwarded::Caller;
use super::render::Dialect;
use super::route::AgentName;
use super::service::{Asked, Edge, No, id_of};
use crate::principal::{BadCredential, Principal};

impl Edge {
    /// Forwards a message to the workspace that its URL or a field names, for a sender that its
    /// credential names.
    pub(super) async fn send(
        &self,
        parts: &mut request::Parts,
        mut body: Box<CallerBody>,
        target: Option<&str>,
        caller: &Caller,
        request_id: &HeaderValue,
        principal: Result<Option<Principal>, BadCredential>,
    ) -> Result<Response<AnswerBody>, No> {
        let dialect = Dialect::JsonRpc;
        if parts.method != Method::POST {
            return Err(No::new(Failure::MethodNotAllowed("POST"), dialect, None));
        }
        let named = match (target, &principal) {
            (_, Ok(None) | Err(BadCredential)) => Err(Failure::Unauthenticated),
            // As the API reads its paths.
            (Some(raw), Ok(Some(principal))) => {
                named(&percent_decode_str(raw).decode_utf8_lossy(), principal)
            }
            (None, Ok(Some(principal))) => in_field(&parts.headers, principal),
        };
        match named {
            Ok(id) => {
                let prefix = format!("/agents/{id}");
                let (name, prefix) = (AgentName::Id(id), prefix.as_str());
                let asked = Asked { name, prefix, rest: "", dialect, caller, principal };
                self.forward(parts, body, &asked, request_id).await
            }
            Err(failure) => {
                let expects = parts.headers.contains_key(EXPECT);
                let id = Box::pin(id_of(&mut body, dialect, expects)).await;
                Err(No::new(failure, dialect, id))
            }
        }
    }
}

/// The workspace that the one field for it names.
fn in_field(fields: &HeaderMap, principal: &Principal) -> Result<WorkspaceId, Failure> {
    let mut names = fields.get_all("x-workspace-id").iter();
    match (names.next(), names.next()) {
        (Some(text), None) => named(text.to_str().unwrap_or_default(), principal),
        _ => Err(Failure::BadRequest(
            "Name the workspace that the message is for: POST to /workspaces/{id}/a2a, or send one \
             `X-Workspace-ID`.",
        )),
    }
}

/// The workspace that a sender names, where it may know of it.
fn named(text: &str, principal: &Principal) -> Result<WorkspaceId, Failure> {
    text.parse().map_err(|_| match principal.may_call() {
        true => Failure::UnknownWorkspace,
        false => Failure::Forbidden,
    })
}
