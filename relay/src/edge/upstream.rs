//! Answers what an agent asks, over its own link, of the platform that the relay bridges to.

use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode, request};
use serde_json::Value;
use shared::ids::WorkspaceId;
use shared::wire::RequestHead;

use super::answer_body::AnswerBody;
use super::budgets::{Limits, Over, Pace};
use super::failure::Failure;
use super::service::Edge;
use crate::admin::api::{self, Asker};
use crate::platform::Bridge;
use crate::platform::asked::{self, Asked, Own};
use crate::platform::outward::NotAnswered;
use crate::principal::{BadCredential, Principal};
use crate::registry::Lookup;

/// What one agent may have asked at a time, and how fast: messages to a few others, each of which may take
/// half an hour, out of a limit that all share.
const OF_ONE: Limits = Limits { in_flight: Some(32), pace: Some(Pace { per_s: 2.0, burst: 60.0 }) };

impl From<NotAnswered> for Failure {
    fn from(not: NotAnswered) -> Self {
        match not {
            NotAnswered::Away(why, delivery) => Self::PlatformAway(why, delivery),
            NotAnswered::Busy(seconds) => Self::PlatformBusy(seconds),
        }
    }
}

/// What the agent of `workspace` asks of the platform, and as whom. `None` is for the relay itself: so is
/// what somebody else asks through this link, who shows a credential of the relay's.
pub(super) fn asked(
    bridge: &Bridge,
    workspace: WorkspaceId,
    shown: &Result<Option<Principal>, BadCredential>,
    head: &RequestHead,
    path: &str,
) -> Option<(Own, Asked)> {
    let itself = match shown {
        Ok(None) | Err(BadCredential) => true,
        Ok(Some(Principal::Workspace(shown, _))) => *shown == workspace,
        Ok(Some(_)) => false,
    };
    if !itself {
        return None;
    }
    let own = bridge.own(workspace);
    let target = head.fields.get("x-workspace-id").and_then(|id| id.to_str().ok());
    let asked = asked::read(&head.method, path, head.query.as_deref(), &own, target)?;
    Some((own, asked))
}

impl Edge {
    /// Answers it. `body` is all of the call's.
    pub(super) async fn ask_platform(
        &self,
        bridge: &Bridge,
        own: &Own,
        asked: Asked,
        parts: &request::Parts,
        body: Bytes,
    ) -> Result<Response<AnswerBody>, Failure> {
        let whole = |answer: Response<Bytes>| answer.map(AnswerBody::whole);
        let _asking = match asked {
            Asked::Secrets | Asked::Carried(_) => {
                let asking = self.asking.enter(own.here, OF_ONE, Instant::now());
                Some(asking.map_err(|over| match over {
                    Over::InFlight(_) => Failure::PlatformBusy(1),
                    Over::Pace(seconds) => Failure::PlatformBusy(seconds),
                })?)
            }
            Asked::Register | Asked::Heartbeat | Asked::Card | Asked::State => None,
        };
        match asked {
            Asked::Register => self.noted(bridge, own, parts, "id", body).await,
            Asked::Heartbeat | Asked::Card => {
                self.noted(bridge, own, parts, "workspace_id", body).await
            }
            Asked::State => {
                let Lookup::Live(workspace) = self.registry.by_id(&own.here) else {
                    return Err(Failure::WorkspaceGone(own.here));
                };
                let (status, state) = bridge.state(&workspace)?;
                Ok(whole(json(status, &state)))
            }
            Asked::Secrets => Ok(whole(plain(bridge.secrets(own).await?))),
            Asked::Carried(call) => {
                let media = parts.headers.get(CONTENT_TYPE);
                Ok(whole(plain(bridge.carry(own, &call, media, body).await?)))
            }
        }
    }

    /// Notes what an agent says of itself as the relay's own API does, from where the bridge takes it to
    /// the platform.
    async fn noted(
        &self,
        bridge: &Bridge,
        own: &Own,
        parts: &request::Parts,
        field: &str,
        body: Bytes,
    ) -> Result<Response<AnswerBody>, Failure> {
        let mut said: Value = serde_json::from_slice(&body)
            .map_err(|_| Failure::BadRequest("The body of the call is no JSON."))?;
        if !own.put_here(&mut said, field) {
            return Err(Failure::Forbidden);
        }
        let path = parts.uri.path();
        let (body, principal) = (said.to_string(), Principal::Workspace(own.here, None));
        let (method, headers, body) = (&parts.method, &parts.headers, body.as_bytes());
        let request = api::Request { method, path, query: None, headers, body };
        let asker = Asker { principal, source: None, over_link: true };
        let answer = self.api.handle(&request, Some(&asker)).await;
        if !answer.status().is_success() || path != "/registry/register" {
            return Ok(answer.map(AnswerBody::whole));
        }
        let registered = bridge.registered(&own.here)?;
        Ok(json(StatusCode::OK, &registered).map(AnswerBody::whole))
    }
}

fn json(status: StatusCode, json: &Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(json.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// What of the platform's answer is the agent's business.
fn plain(answer: Response<Bytes>) -> Response<Bytes> {
    let (mut parts, body) = answer.into_parts();
    let kept = [CONTENT_TYPE, RETRY_AFTER].map(|name| (parts.headers.remove(&name), name));
    parts.headers.clear();
    for (value, name) in kept {
        if let Some(value) = value {
            parts.headers.insert(name, value);
        }
    }
    Response::from_parts(parts, body)
}
