//! Messages that begin in the relay itself: those of the operator, from the canvas, and tasks.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use shared::ids::WorkspaceId;

use super::answer_body::AnswerBody;
use super::body_source::Source;
use super::caller_body::CallerBody;
use super::forwarded::Caller;
use super::service::Edge;
use crate::principal::Principal;

impl Edge {
    /// Sends an A2A request, a whole JSON-RPC object, to the agent of a workspace; the answer is the
    /// agent's, or a refusal like any caller's.
    pub async fn chat(&self, workspace: WorkspaceId, json: Bytes) -> Response<AnswerBody> {
        self.say(Principal::Operator, workspace, json).await
    }

    /// The same from anybody whom the relay knows.
    pub(super) async fn say(
        &self,
        principal: Principal,
        workspace: WorkspaceId,
        json: Bytes,
    ) -> Response<AnswerBody> {
        let request_id = self.names.next();
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = Method::POST;
        parts.headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT, HeaderValue::from_static("application/json, text/event-stream")),
        ]);
        let body = CallerBody::of(Source::Whole(Some(json)), self.max_body_bytes);
        let caller = Caller::new(IpAddr::V4(Ipv4Addr::LOCALHOST), None, &self.public);
        let (target, principal) = (workspace.to_string(), Ok(Some(principal)));
        let sent = self.send(&mut parts, body, Some(&target), &caller, &request_id, principal);
        match Box::pin(sent).await {
            Ok(response) => response,
            Err(no) => self.refuse(&no, &request_id),
        }
    }
}
