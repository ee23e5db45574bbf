//! Posts an agent's push notifications to its callers' webhooks, for an agent that cannot get there.
//!
//! An agent asks for it over its own link alone: `POST /push`, with the URL in `X-Push-Url`. The operator
//! says for each workspace where that may lead ([`crate::push_egress`]); nothing but what the agent gave
//! for this webhook goes there, and nothing but a status comes back.

use std::time::Instant;

use bytes::Bytes;
use dashmap::DashMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Response};
use shared::codes::{AbortCode, Delivery};
use shared::ids::WorkspaceId;
use shared::wire::Abort;

use super::access::remove_relay_credentials;
use super::answer_body::AnswerBody;
use super::direct::push::Unposted;
use super::failure::Failure;
use super::service::Edge;
use crate::direct_url::{DirectUrl, Rules};
use crate::push_egress::Denied;
use crate::registry::Lookup;

/// What an agent posts to.
pub const PATH: &str = "/push";
/// Largest notification, bytes: a task with a long history is a few KiB.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Where the URL of the webhook stands.
static PUSH_URL: HeaderName = HeaderName::from_static("x-push-url");
/// All that goes to a webhook of what the agent sent: the credentials that its caller gave for it among
/// them (A2A 1.0, 4.3.3; the token is of 0.3).
static CROSSING: [HeaderName; 9] = [
    CONTENT_TYPE,
    AUTHORIZATION,
    HeaderName::from_static("x-a2a-notification-token"),
    HeaderName::from_static("a2a-version"),
    HeaderName::from_static("a2a-extensions"),
    HeaderName::from_static("x-a2a-extensions"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Notifications that an agent may post at once…
const BURST: f64 = 100.0;
/// … and those that it gets back each second: one for each event of a few lively tasks.
const REFILL_PER_S: f64 = 10.0;
/// Agents that are remembered, some 64 bytes each.
const AGENTS_MAX: usize = 16 * 1024;

/// How fast each agent posts.
#[derive(Debug, Default)]
pub struct Paces {
    agents: DashMap<WorkspaceId, Pace>,
}

#[derive(Debug, Clone, Copy)]
struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    fn at(self, now: Instant) -> Self {
        let regained = now.saturating_duration_since(self.at).as_secs_f64() * REFILL_PER_S;
        Self { left: (self.left + regained).min(BURST), at: now }
    }
}

impl Paces {
    /// Notes one more; false when it comes too fast.
    fn allow(&self, agent: WorkspaceId, now: Instant) -> bool {
        if self.agents.len() >= AGENTS_MAX {
            self.agents.retain(|_, pace| pace.at(now).left < BURST);
        }
        let mut pace = self.agents.entry(agent).or_insert(Pace { left: BURST, at: now });
        *pace = pace.at(now);
        let allowed = pace.left >= 1.0;
        if allowed {
            pace.left -= 1.0;
        }
        allowed
    }
}

/// A webhook that was judged.
pub(super) struct Webhook {
    workspace: WorkspaceId,
    to: (DirectUrl, Rules),
    path: PathAndQuery,
}

impl Edge {
    /// The webhook that the agent of this link names, if the relay posts there for it.
    pub(super) fn webhook(
        &self,
        workspace: Option<WorkspaceId>,
        method: &Method,
        fields: &HeaderMap,
    ) -> Result<Webhook, Failure> {
        let id = workspace.ok_or(Failure::RegistrationOnly)?;
        let Lookup::Live(workspace) = self.registry.by_id(&id) else {
            return Err(Failure::WorkspaceGone(id));
        };
        if *method != Method::POST {
            return Err(Failure::MethodNotAllowed("POST"));
        }
        let mut urls = fields.get_all(&PUSH_URL).iter();
        let (Some(url), None) = (urls.next().and_then(|url| url.to_str().ok()), urls.next()) else {
            return Err(Failure::BadRequest("Name the webhook in one `X-Push-Url`."));
        };
        let judged = workspace.push_egress.judge(url, self.api.looks.rules());
        let to = judged.map_err(Failure::PushDenied)?;
        let unfit = |_| Failure::BadRequest("The URL of the webhook cannot be called.");
        let path = url.parse::<Uri>().map_err(unfit)?.into_parts().path_and_query;
        if !self.paces.allow(id, Instant::now()) {
            return Err(Failure::PushedTooFast);
        }
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Webhook { workspace: id, to, path })
    }

    /// Posts a notification; answers with the webhook's status, and nothing else of its answer.
    pub(super) async fn post(
        &self,
        webhook: Webhook,
        mut given: HeaderMap,
        body: Bytes,
    ) -> Result<Response<AnswerBody>, Failure> {
        let Webhook { workspace, to, path } = webhook;
        let admin = &self.api.doorman.token;
        remove_relay_credentials(&mut given, admin.bytes(), |word| admin.is(word));
        let mut fields = HeaderMap::new();
        for name in &CROSSING {
            for value in given.get_all(name) {
                fields.append(name, value.clone());
            }
        }
        let posted = Box::pin(self.direct.push(to, path, fields, body)).await;
        let status = posted.map_err(|why| failure(workspace, why))?;
        let mut response = Response::new(AnswerBody::whole(Bytes::new()));
        *response.status_mut() = status;
        Ok(response)
    }
}

fn failure(workspace: WorkspaceId, why: Unposted) -> Failure {
    let (code, delivery, message) = match why {
        Unposted::Broken(rule) => return Failure::PushDenied(Denied::Broken(rule)),
        Unposted::Unreached(why) => (
            AbortCode::UpstreamRefused,
            Delivery::NotSent,
            format!("The webhook cannot be reached: {why}."),
        ),
        Unposted::Unanswered => (
            AbortCode::UpstreamReset,
            Delivery::Maybe,
            "The webhook closed the connection before it answered; it may have got it.".into(),
        ),
        Unposted::Silent => (
            AbortCode::UpstreamTimeout,
            Delivery::Maybe,
            "The webhook did not answer within 10 s; it may have got it.".into(),
        ),
    };
    Failure::Aborted(workspace, Abort { code, delivery, message })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_agent_that_posts_too_fast_waits_for_its_refill() {
        let (paces, now) = (Paces::default(), Instant::now());
        let [one, other] = ["ws_01ARZ3NDEKTSV4RRFFQ69G5FAV", "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ"]
            .map(|id| id.parse::<WorkspaceId>().unwrap());
        let posts = |agent, now| (0..1_000).filter(|_| paces.allow(agent, now)).count();
        assert_eq!(posts(one, now), 100);
        assert_eq!(posts(one, now), 0);
        assert_eq!(posts(other, now), 100, "each has its own");
        assert_eq!(posts(one, now + Duration::from_secs(2)), 20);
    }
}
