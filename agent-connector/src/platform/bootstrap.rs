//! Begins without a credential: the agent's own registration, which crosses on a link that carries
//! nothing else, gives the connector its workspace.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use certs::{IdentityError, Profile, StateDir};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use shared::ids::WorkspaceId;
use shared::secret::Secret;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;

use super::answer::AnswerBody;
use super::carry::carry;
use super::refusal::Refusal;
use crate::config::Way;
use crate::identity;
use crate::taken::Held;
use crate::tunnel::Credential;
use crate::tunnel::bootstrap::{BootstrapLink, open};
use crate::tunnel::call::AnswerCut;
use crate::tunnel::dial::Relay;
use crate::tunnel::uplink::{Uplink, Uplinks};
use crate::tunnel::who::Token;

/// The answer to a registration is no longer, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// An agent that has registered goes on at once, so its link is waited for this long.
const LINK_PATIENCE: Duration = Duration::from_secs(5);

/// What crosses before there is a credential.
const CREATE: &str = "/workspaces";
const REGISTER: &str = "/registry/register";

/// Waits for the agent's registration, and carries it.
pub(crate) struct Bootstrap {
    relay: Relay,
    way: Way,
    uplinks: Uplinks,
    state: StateDir,
    link: tokio::sync::Mutex<Option<BootstrapLink>>,
    /// Told once.
    adopted: Mutex<Option<oneshot::Sender<Result<Held, IdentityError>>>>,
}

/// What a registration answers that a connector needs.
#[derive(Deserialize)]
struct Registered {
    workspace_id: WorkspaceId,
    auth_token: Secret,
}

impl Bootstrap {
    /// Waits for a registration at `relay`; the receiver is told what comes of it.
    pub(crate) fn new(
        relay: Relay,
        way: Way,
        uplinks: Uplinks,
        state: StateDir,
    ) -> (Self, oneshot::Receiver<Result<Held, IdentityError>>) {
        let (tell, told) = oneshot::channel();
        let (link, adopted) = (tokio::sync::Mutex::default(), Mutex::new(Some(tell)));
        (Self { relay, way, uplinks, state, link, adopted }, told)
    }

    /// Whether the connector has its workspace.
    pub(super) fn is_over(&self) -> bool {
        self.lock_adopted().is_none()
    }

    /// Answers one request: a registration crosses, everything else waits for it.
    pub(super) async fn answer(
        &self,
        place: OwnedSemaphorePermit,
        parts: Parts,
        body: Incoming,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let path = parts.uri.path();
        if parts.method != Method::POST || !(path == CREATE || path == REGISTER) {
            return Err(Refusal::not_registered());
        }
        let registers = path == REGISTER;
        let uplink = self.uplink().await?;
        let response = carry(&uplink, place, parts, body).await?;
        if !registers || response.status() != StatusCode::OK {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let whole = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        // A registration that was answered and cannot be read is one that nobody can use.
        let whole = whole.map_err(|_| Refusal::from(AnswerCut::LinkLost))?.to_bytes();
        self.adopt(&whole).await;
        Ok(Response::from_parts(parts, AnswerBody::whole(whole)))
    }

    /// The link for registrations: the one that is open, or a new one.
    async fn uplink(&self) -> Result<Arc<Uplink>, Refusal> {
        let mut link = self.link.lock().await;
        if let Some(uplink) = link.as_mut().and_then(BootstrapLink::take) {
            return Ok(uplink);
        }
        let opened = open(&self.relay, &self.way, &self.uplinks).await.map_err(|error| {
            tracing::warn!(%error, "the agent's registration cannot cross");
            Refusal::no_bootstrap(&error)
        })?;
        link.insert(opened).take().ok_or_else(Refusal::no_link)
    }

    /// Becomes the workspace that a registration made, if it gave a token. The token is on the disk
    /// before the agent hears of it.
    async fn adopt(&self, answer: &Bytes) {
        let Ok(Registered { workspace_id, auth_token }) = serde_json::from_slice(answer) else {
            return tracing::warn!("the registration gave no token; the workspace has one already");
        };
        let Some(tell) = self.lock_adopted().take() else { return };
        let kept = self.keep(workspace_id, auth_token).await;
        if kept.is_ok() {
            tracing::info!(workspace = %workspace_id, "registered: the connector dials as its agent");
        }
        // Nobody waits any more when the process ends.
        let _ = tell.send(kept);
        let _ = timeout(LINK_PATIENCE, self.uplinks.linked()).await;
        // Calls that are still on it keep it open until they end.
        drop(self.link.lock().await.take());
    }

    async fn keep(&self, workspace: WorkspaceId, token: Secret) -> Result<Held, IdentityError> {
        let lock = identity::lock(&self.state, &workspace).await?;
        let (endpoints, ca) = (self.relay.endpoints.clone(), self.relay.ca);
        let profile =
            Profile { workspace, endpoints, ca, public_url: None, host_url: None, worked: None };
        self.state.save_token(&profile, &token)?;
        let credential = Credential::Token(Arc::new(Token::kept(profile, token)));
        Ok(Held { credential, workspace: Some(workspace), lock: Some(lock) })
    }

    fn lock_adopted(
        &self,
    ) -> std::sync::MutexGuard<'_, Option<oneshot::Sender<Result<Held, IdentityError>>>> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_without_a_token_is_none() {
        let read = |json: &[u8]| serde_json::from_slice::<Registered>(json).ok();
        let right = br#"{"auth_token":"rtok_x","workspace_id":"ws_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "org_id":"org_01ARZ3NDEKTSV4RRFFQ69G5FAV","expires_at":null}"#;
        let registered = read(right).unwrap();
        assert_eq!(registered.auth_token.reveal(), "rtok_x");
        for json in [
            &br#"{"workspace_id":"ws_01ARZ3NDEKTSV4RRFFQ69G5FAV","note":"has one"}"#[..],
            br#"{"auth_token":"rtok_x"}"#,
            br#"{"auth_token":7,"workspace_id":"ws_01ARZ3NDEKTSV4RRFFQ69G5FAV"}"#,
            b"[]",
            b"",
        ] {
            assert!(read(json).is_none());
        }
    }
}
