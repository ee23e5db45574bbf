//! Renders refusals in the caller's own dialect. The only place where a failure becomes an answer.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use shared::codes::Delivery;

use super::failure::Verdict;
use super::grpc;
use crate::registry::Workspace;

/// How errors look to a caller; a route decides it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// JSON-RPC 2.0: an error object with the caller's id.
    JsonRpc,
    /// The same with status 200, as the agent's own errors have it.
    JsonRpcOk,
    /// The HTTP+JSON binding: an error as AIP-193 has it.
    HttpJson,
    /// gRPC: a status in trailers.
    Grpc,
    /// As a platform reads it that is bridged to: of a refusal's body it keeps nothing but a string
    /// `error`, and none of its fields; what was refused with 502 it sends again.
    Molecule,
    /// Everything else: problem details (RFC 9457).
    Problem,
}

impl Dialect {
    /// Whether it is JSON-RPC, whose calls have an id.
    pub const fn is_json_rpc(self) -> bool {
        matches!(self, Self::JsonRpc | Self::JsonRpcOk)
    }

    /// As the workspace that is called wants it.
    pub fn wished_by(self, workspace: &Workspace) -> Self {
        match self {
            Self::JsonRpc if workspace.jsonrpc_errors_as_200 => Self::JsonRpcOk,
            other => other,
        }
    }

    /// The status of a refusal.
    pub fn status(self, verdict: &Verdict) -> StatusCode {
        match self {
            Self::JsonRpcOk | Self::Grpc => StatusCode::OK,
            Self::JsonRpc | Self::HttpJson | Self::Problem => verdict.status,
            Self::Molecule => match (verdict.status, verdict.delivery) {
                // What surely never reached the agent may be sent again.
                (_, Delivery::NotSent) if verdict.code == "RELAY_UPSTREAM_REFUSED" => {
                    StatusCode::BAD_GATEWAY
                }
                (StatusCode::BAD_GATEWAY, Delivery::Maybe | Delivery::Delivered) => {
                    StatusCode::GATEWAY_TIMEOUT
                }
                (status, _) => status,
            },
        }
    }
}

/// JSON-RPC's "internal error": A2A keeps −32001 to −32099 for itself, and names this one for a
/// service that is not available (A2A 3.3.2).
const INTERNAL_ERROR: i64 = -32603;

/// A refusal as an answer. `id` is the caller's JSON-RPC id as it stood in the request.
pub fn refusal(
    verdict: &Verdict,
    dialect: Dialect,
    id: Option<&[u8]>,
    request: &str,
) -> Response<Bytes> {
    let (content_type, body) = match dialect {
        Dialect::Grpc => {
            let mut response = grpc::refusal(verdict, request);
            mark(response.headers_mut(), verdict);
            return response;
        }
        Dialect::JsonRpc | Dialect::JsonRpcOk => {
            ("application/json", json_rpc(verdict, id, request))
        }
        Dialect::HttpJson => ("application/json", http_json(verdict, request).to_string()),
        Dialect::Molecule => ("application/json", molecule(verdict).to_string()),
        Dialect::Problem => ("application/problem+json", problem(verdict, request).to_string()),
    };
    let body = Bytes::from(body);
    let mut response = Response::new(body.clone());
    *response.status_mut() = dialect.status(verdict);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    mark(headers, verdict);
    response
}

/// The fields by which a caller knows the relay's own refusals.
fn mark(headers: &mut HeaderMap, verdict: &Verdict) {
    headers.insert("x-relay-error", HeaderValue::from_static(verdict.code));
    headers.insert("x-relay-delivery", HeaderValue::from_static(verdict.delivery.name()));
    if let Some(seconds) = verdict.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = verdict.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if verdict.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"relay\""));
    }
}

/// A JSON-RPC error response as text, so that the id stays byte for byte what the caller sent.
pub fn json_rpc(verdict: &Verdict, id: Option<&[u8]>, request: &str) -> String {
    let id = id.and_then(|id| std::str::from_utf8(id).ok()).unwrap_or("null");
    let error = json!({
        "code": INTERNAL_ERROR,
        "message": verdict.message,
        "data": details(verdict, request),
    });
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}")
}

/// Typed details, as A2A 9.5 wants them.
fn details(verdict: &Verdict, request: &str) -> Value {
    let mut metadata = json!({ "requestId": request, "delivery": verdict.delivery.name() });
    if let (Some(workspace), Some(metadata)) = (verdict.workspace, metadata.as_object_mut()) {
        metadata.insert("workspaceId".into(), workspace.to_string().into());
    }
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": verdict.code,
        "domain": "relay",
        "metadata": metadata,
    })];
    if let Some(seconds) = verdict.retry_after {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{seconds}s"),
        }));
    }
    details.into()
}

fn http_json(verdict: &Verdict, request: &str) -> Value {
    json!({ "error": {
        "code": verdict.status.as_u16(),
        "status": grpc_status_name(verdict.status),
        "message": verdict.message,
        "details": details(verdict, request),
    }})
}

/// The code stands in the sentence too, which is all that the platform passes on.
fn molecule(verdict: &Verdict) -> Value {
    json!({
        "error": format!("{} ({})", verdict.message, verdict.code),
        "code": verdict.code,
        "delivery": verdict.delivery.name(),
    })
}

fn problem(verdict: &Verdict, request: &str) -> Value {
    json!({
        "type": "about:blank",
        "title": verdict.status.canonical_reason().unwrap_or_default(),
        "status": verdict.status.as_u16(),
        "detail": verdict.message,
        "error": verdict.message,
        "code": verdict.code,
        "delivery": verdict.delivery.name(),
        "request_id": request,
    })
}

/// The name of the gRPC status that stands for an HTTP one in the HTTP+JSON binding (A2A 11.6).
const fn grpc_status_name(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 405 | 414 | 415 | 431 | 505 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 | 410 => "NOT_FOUND",
        409 => "ABORTED",
        413 | 429 => "RESOURCE_EXHAUSTED",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::failure::Failure;
    use std::time::Duration;

    const WORKSPACE: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn offline(seconds: u64) -> Verdict {
        let last_seen = Some(Duration::from_secs(seconds));
        Failure::AgentOffline(WORKSPACE.parse().unwrap(), last_seen).verdict()
    }

    #[test]
    fn a_json_rpc_refusal_keeps_the_id_byte_for_byte() {
        for id in ["1", "12345678901234567890", "1.0", "\"a\\u00e9\"", "null"] {
            let text = json_rpc(&offline(41), Some(id.as_bytes()), "r-1");
            assert!(text.starts_with(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":")));
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["error"]["code"], -32603);
            assert_eq!(value["error"]["data"][0]["reason"], "RELAY_AGENT_OFFLINE");
            assert_eq!(value["error"]["data"][0]["metadata"]["workspaceId"], WORKSPACE);
            assert_eq!(value["error"]["data"][1]["retryDelay"], "5s");
        }
    }

    #[test]
    fn an_agent_that_is_long_away_is_waited_for_longer() {
        assert_eq!(offline(90).retry_after, Some(5));
        assert_eq!(offline(91).retry_after, Some(30));
    }

    #[test]
    fn each_dialect_has_its_form_and_the_same_marks() {
        for (dialect, status, pointer) in [
            (Dialect::JsonRpc, 503, "/error/message"),
            (Dialect::JsonRpcOk, 200, "/error/message"),
            (Dialect::HttpJson, 503, "/error/message"),
            (Dialect::Problem, 503, "/detail"),
            (Dialect::Molecule, 503, "/code"),
        ] {
            let response = refusal(&offline(1), dialect, None, "r-1");
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["x-relay-error"], "RELAY_AGENT_OFFLINE");
            assert_eq!(response.headers()["x-relay-delivery"], "not-sent");
            assert_eq!(response.headers()["retry-after"], "5");
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            let said = body.pointer(pointer).unwrap();
            match dialect {
                Dialect::Molecule => assert_eq!(said, "RELAY_AGENT_OFFLINE"),
                _ => assert_eq!(said, &Value::from(offline(1).message)),
            }
        }
    }

    #[test]
    fn the_platform_reads_a_sentence_and_sends_again_only_what_was_never_sent() {
        use shared::codes::AbortCode::{Busy, Refused, UpstreamProtocol, UpstreamRefused};
        use shared::codes::AbortCode::{UpstreamReset, UpstreamTimeout};
        let id = WORKSPACE.parse().unwrap();
        let aborted = |code, delivery| {
            let message = "It says why.".to_owned();
            Failure::Aborted(id, shared::wire::Abort { code, delivery, message })
        };
        let (maybe, not) = (Delivery::Maybe, Delivery::NotSent);
        for (failure, status) in [
            (aborted(UpstreamRefused, not), 502),
            (aborted(UpstreamReset, maybe), 504),
            (aborted(UpstreamReset, not), 502),
            (aborted(UpstreamProtocol, maybe), 504),
            (aborted(UpstreamTimeout, maybe), 504),
            (aborted(Refused, not), 503),
            (aborted(Busy, not), 503),
            (Failure::TunnelLost(id), 504),
            (Failure::Protocol(id), 504),
            (Failure::AnswerTooLong(id, 10), 504),
            (Failure::Redirected(id), 504),
            (Failure::Deadline(Duration::from_secs(1)), 504),
            (Failure::AgentOffline(id, None), 503),
            (Failure::LinkLost(id), 503),
            (Failure::AgentPaused(id), 503),
            (Failure::AgentBusy(id), 503),
            (Failure::Overloaded, 503),
            (Failure::Draining, 503),
            (Failure::Duplicate(id, "it still works on it"), 409),
            (Failure::UnknownWorkspace, 404),
            (Failure::SourceDenied, 403),
        ] {
            let verdict = failure.verdict();
            let response = refusal(&verdict, Dialect::Molecule, None, "r-1");
            assert_eq!(response.status(), status, "{failure:?}");
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            let said = body["error"].as_str().unwrap();
            assert!(said.ends_with(&format!("({})", verdict.code)), "{said}");
        }
    }
}
