//! What agents ask of the platform, over their own links: with the token that the relay keeps for each,
//! within the rate limit, behind the heartbeats.
//!
//! What the relay tells the platform itself, it answers itself: a registration, a heartbeat, a card. So an
//! agent that registers anew is never refused for a token that it does not hold, and never lifts a pause.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderName, Method, Response, StatusCode};
use serde_json::{Value, json};
use shared::codes::Delivery;
use shared::ids::WorkspaceId;
use shared::limits::ANSWER_HEAD_TIMEOUT;
use tokio::time::sleep;

use super::answer::CallError;
use super::asked::{Carried, Own};
use super::budget::Purpose;
use super::client::As;
use super::driver::SOON;
use super::{Bridge, NoToken};
use crate::registry::{BondStep, Workspace};

/// The longest body that the platform reads of a request, bytes: it cuts longer ones in silence.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// The longest answer that is read, bytes: the platform passes no longer ones on.
const ANSWER_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Patience for the answer to anything but a message.
const PATIENCE: Duration = Duration::from_secs(30);
/// Calls under way at a time, each with up to 1 MiB of an answer, or a place for a longer one.
pub(super) const CARRIED_MAX: usize = 512;
/// How long a call waits for its place in the rate limit.
const PLACE_WITHIN: Duration = Duration::from_secs(5);
/// What an agent gets for a token that registers anew: its calls go by its link, whatever they show.
const TOKEN_STAYS: &str = "kept-by-the-relay";

static X_WORKSPACE_ID: HeaderName = HeaderName::from_static("x-workspace-id");

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAnswered {
    /// The platform is away, or refuses what the relay shows it; the sentence says which.
    Away(String, Delivery),
    /// The rate limit is reached, for so many seconds.
    Busy(u32),
}

impl From<CallError> for NotAnswered {
    fn from(error: CallError) -> Self {
        let delivery = match &error {
            CallError::Unreachable(_) => Delivery::NotSent,
            _ => Delivery::Maybe,
        };
        match error {
            CallError::RateLimited(wait) => Self::busy(wait),
            error => Self::Away(error.to_string(), delivery),
        }
    }
}

impl From<NoToken> for NotAnswered {
    fn from(no: NoToken) -> Self {
        Self::Away(no.to_string(), Delivery::NotSent)
    }
}

impl NotAnswered {
    fn busy(wait: Duration) -> Self {
        Self::Busy(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
    }
}

impl Bridge {
    /// The ids of a workspace.
    pub fn own(&self, workspace: WorkspaceId) -> Own {
        Own { here: workspace, there: self.upstream_of(&workspace) }
    }

    /// What an agent that registers is answered from what is known, once the platform has it.
    pub fn registered(&self, workspace: &WorkspaceId) -> Result<Value, NotAnswered> {
        self.nudge();
        match self.bond(workspace).filter(|bond| bond.has_token) {
            Some(_) => Ok(json!({ "status": "registered", "auth_token": TOKEN_STAYS })),
            None => Err(NoToken::None.into()),
        }
    }

    /// How the platform sees a workspace, as far as it was seen: it is looked at for all agents together.
    /// 404 says that it is deleted, and nothing else does.
    pub fn state(&self, workspace: &Workspace) -> Result<(StatusCode, Value), NotAnswered> {
        let bond = self.bond(&workspace.id).ok_or(NoToken::None)?;
        if matches!(bond.step, BondStep::Leaving | BondStep::Gone) {
            return Ok((StatusCode::NOT_FOUND, json!({ "deleted": true })));
        }
        let word = self.board().tracks.get(&workspace.id).and_then(|track| track.word.clone());
        let paused = bond.paused || workspace.paused;
        let status = match (paused, word) {
            (true, _) => "paused".to_owned(),
            (false, word) => word.unwrap_or_else(|| "provisioning".to_owned()),
        };
        let id = bond.upstream.as_deref().unwrap_or_default();
        let state =
            json!({ "workspace_id": id, "status": status, "paused": paused, "deleted": false });
        Ok((StatusCode::OK, state))
    }

    /// The secrets of a workspace, in an object of their own.
    pub async fn secrets(&self, own: &Own) -> Result<Response<Bytes>, NotAnswered> {
        let there = own.there.as_deref().ok_or(NoToken::None)?;
        let path = format!("/workspaces/{there}/secrets/values");
        let values = Carried { name: "secrets", method: Method::GET, path };
        let answer = self.carry(own, &values, None, Bytes::new()).await?;
        if answer.status() != StatusCode::OK {
            return Ok(answer);
        }
        let values = serde_json::from_slice::<Value>(answer.body()).ok();
        let values = values.filter(Value::is_object);
        let values = values.ok_or(CallError::Strange(200, "it is no object of secrets"))?;
        let mut answer = Response::new(Bytes::from(json!({ "secrets": values }).to_string()));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(answer)
    }

    /// Carries a call to the platform, as the agent of `own`, and its answer back. Only what does nothing
    /// is ever sent twice.
    pub async fn carry(
        &self,
        own: &Own,
        call: &Carried,
        media: Option<&HeaderValue>,
        body: Bytes,
    ) -> Result<Response<Bytes>, NotAnswered> {
        let there = own.there.as_deref().ok_or(NoToken::None)?;
        let room = self.inner.carried.try_acquire();
        let _room = room.map_err(|_| NotAnswered::busy(PLACE_WITHIN))?;
        let mut tries = 0;
        loop {
            tries += 1;
            let token = self.token_of(&own.here).await?;
            let who = As::Workspace(&token);
            let mut request = self.client().request(call.method.clone(), &call.path, who, None)?;
            *request.body_mut() = body.clone();
            let fields = request.headers_mut();
            if let Some(media) = media.filter(|_| !body.is_empty()) {
                fields.insert(CONTENT_TYPE, media.clone());
            }
            if let Ok(id) = HeaderValue::try_from(there) {
                fields.insert(X_WORKSPACE_ID.clone(), id);
            }
            self.place().await.map_err(NotAnswered::busy)?;
            let patience = if call.name == "a2a" { ANSWER_HEAD_TIMEOUT } else { PATIENCE };
            let once = call.method != Method::GET;
            let answer = self.client().send_for(request, ANSWER_BYTES_MAX, once, patience).await;
            let answer = answer.and_then(of_the_api);
            let label = answer.as_ref().map_or_else(CallError::label, |_| "ok");
            self.inner.metrics.platform.call(call.name, label);
            match answer {
                // It may have been rotated since: what the store has is tried once.
                Err(CallError::Unauthorized(_)) if tries == 1 => {
                    self.inner.tokens.remove(&own.here);
                }
                Err(CallError::Unauthorized(_)) => {
                    self.nudge();
                    return Err(NotAnswered::Away(
                        "The platform refuses the workspace's token; the relay's operator finds more \
                         in relay workspace show."
                            .to_owned(),
                        Delivery::NotSent,
                    ));
                }
                answer => return Ok(answer?),
            }
        }
    }

    /// Waits for a moment for a place in the rate limit, behind all that the relay does itself; an error is after how long
    /// there may be one.
    pub(super) async fn place(&self) -> Result<(), Duration> {
        let mut waited = Duration::ZERO;
        loop {
            let beats_soon = self.board().beats.soon(std::time::Instant::now(), SOON);
            match self.client().take(Purpose::Asked { beats_soon }) {
                Ok(()) => return Ok(()),
                Err(wait) if waited + wait > PLACE_WITHIN => return Err(wait),
                Err(wait) => {
                    sleep(wait).await;
                    // Others may have been quicker.
                    waited += wait.max(Duration::from_millis(1));
                }
            }
        }
    }
}

/// An answer of the platform's API; what stands in its place, a page or a redirect, is none. A 401 is about
/// the token that the relay keeps.
fn of_the_api(answer: Response<Bytes>) -> Result<Response<Bytes>, CallError> {
    let status = answer.status();
    match status.as_u16() {
        300..=399 => Err(CallError::Redirect(status.as_u16())),
        401 => Err(CallError::Unauthorized(401)),
        404 if answer.body().is_empty() => Err(CallError::OrgMissing),
        404 if serde_json::from_slice::<Value>(answer.body()).is_err() => {
            Err(CallError::Strange(404, "it is a page, and not of the API"))
        }
        _ => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_of_the_api_is_never_passed_on() {
        let judged = |status: u16, body: &'static str| {
            let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            of_the_api(answer).map_or_else(|error| error.label(), |_| "ok")
        };
        for (status, body, expected) in [
            (200, "{}", "ok"),
            (404, "{\"error\":\"workspace not found\"}", "ok"),
            (404, "", "org_missing"),
            (404, "<!doctype html>", "strange"),
            (307, "", "redirect"),
            (401, "{}", "unauthorized"),
            (403, "{}", "ok"),
            (503, "{}", "ok"),
        ] {
            assert_eq!(judged(status, body), expected, "{status} {body}");
        }
    }
}
