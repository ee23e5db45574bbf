//! Whether somebody who calls an agent with a credential of the platform's may do so: the platform tells.
//!
//! There are times when it takes any credential: for a workspace that has none on file, and while it cannot
//! look into its own. So a yes is worth something only where a credential that nobody has gets a no. What
//! it said is known for a moment, as a digest, so that a conversation costs two questions.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use sha2::{Digest, Sha256};
use shared::ids::WorkspaceId;
use tokio::sync::Semaphore;

use super::Bridge;
use super::answer::CallError;
use super::client::As;

/// How long a yes is known.
const YES_FOR: Duration = Duration::from_secs(60);
/// How long a no is, so that whoever repeats it costs the platform little.
const NO_FOR: Duration = Duration::from_secs(10);
/// Answers that are known at a time, some 100 bytes each.
const KNOWN_MAX: usize = 16 * 1024;
/// Questions under way at a time: they share the rate limit with all else.
const QUESTIONS_MAX: usize = 8;
/// The longest answer, bytes: an id, a URL and a name.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A credential that nobody has.
const NOBODYS: HeaderValue =
    HeaderValue::from_static("Bearer nobody-has-this-credential-of-the-relays");

static X_WORKSPACE_ID: HeaderName = HeaderName::from_static("x-workspace-id");

/// Why a peer is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unproved {
    /// Its credential is none of the workspace that it names.
    Wrong,
    /// It may not call this agent.
    NotAllowed,
    /// Too many others are asked about.
    Busy,
    /// The platform does not say; why, as a sentence.
    Away(String),
    /// The platform takes whatever the workspace shows that it names.
    Open,
}

/// What the platform said of one.
type Said = Result<(), Unproved>;

/// What the platform said of peers.
#[derive(Debug)]
pub(super) struct Peers {
    known: DashMap<[u8; 32], (Instant, Said)>,
    questions: Semaphore,
}

impl Default for Peers {
    fn default() -> Self {
        Self { known: DashMap::new(), questions: Semaphore::new(QUESTIONS_MAX) }
    }
}

impl Peers {
    fn said(&self, key: &[u8; 32], now: Instant) -> Option<Said> {
        let (at, said) = self.known.get(key)?.clone();
        let known_for = if said.is_ok() { YES_FOR } else { NO_FOR };
        (now.saturating_duration_since(at) <= known_for).then_some(said)
    }

    fn note(&self, key: [u8; 32], said: Said, now: Instant) {
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, (at, _)| now.saturating_duration_since(*at) <= NO_FOR);
        }
        if self.known.len() < KNOWN_MAX {
            self.known.insert(key, (now, said));
        }
    }
}

impl Bridge {
    /// Asks the platform whether whoever shows this credential, and says that it is the workspace
    /// `claimed`, may call the agent of `workspace`.
    pub async fn verify(
        &self,
        workspace: &WorkspaceId,
        shown: &HeaderValue,
        claimed: Option<&HeaderValue>,
    ) -> Result<(), Unproved> {
        let claimed = claimed.ok_or(Unproved::Wrong)?;
        let upstream = self
            .upstream_of(workspace)
            .ok_or_else(|| Unproved::Away("The agent is not on the platform yet.".to_owned()))?;
        let key = Sha256::new_with_prefix(shown.as_bytes())
            .chain_update([0])
            .chain_update(claimed.as_bytes())
            .chain_update([0])
            .chain_update(&upstream)
            .finalize()
            .into();
        let peers = &self.inner.peers;
        if let Some(said) = peers.said(&key, Instant::now()) {
            return said;
        }
        let _question = peers.questions.try_acquire().map_err(|_| Unproved::Busy)?;
        let mut said = self.ask_about(shown, claimed, &upstream).await;
        if said.is_ok() {
            said = match self.ask_about(&NOBODYS, claimed, &upstream).await {
                Ok(()) => Err(Unproved::Open),
                Err(Unproved::Wrong | Unproved::NotAllowed) => Ok(()),
                unsaid => unsaid,
            };
        }
        if !matches!(said, Err(Unproved::Busy | Unproved::Away(_))) {
            peers.note(key, said.clone(), Instant::now());
        }
        said
    }

    /// Asks the platform once.
    async fn ask_about(&self, shown: &HeaderValue, claimed: &HeaderValue, upstream: &str) -> Said {
        self.place().await.map_err(|_| Unproved::Busy)?;
        let away = |error: CallError| Unproved::Away(error.to_string());
        let path = format!("/registry/discover/{upstream}");
        let request = self.client().request(Method::GET, &path, As::Nobody, None);
        let mut request = request.map_err(away)?;
        let mut shown = shown.clone();
        shown.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, shown);
        request.headers_mut().insert(X_WORKSPACE_ID.clone(), claimed.clone());
        let answer = self.client().send(request, ANSWER_BYTES_MAX, false).await;
        let label = answer.as_ref().map_or_else(CallError::label, |_| "ok");
        self.inner.metrics.platform.call("verify", label);
        let answer = answer.map_err(away)?;
        match answer.status() {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED => Err(Unproved::Wrong),
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => Err(Unproved::NotAllowed),
            StatusCode::NOT_FOUND if !answer.body().is_empty() => Err(Unproved::NotAllowed),
            other => Err(Unproved::Away(format!("The platform cannot tell now ({other})."))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_known_for_a_moment_and_a_no_for_less() {
        let (peers, now) = (Peers::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        peers.note([1; 32], Ok(()), now);
        peers.note([2; 32], Err(Unproved::NotAllowed), now);
        assert_eq!(peers.said(&[1; 32], later(60)), Some(Ok(())));
        assert_eq!(peers.said(&[1; 32], later(61)), None);
        assert_eq!(peers.said(&[2; 32], later(10)), Some(Err(Unproved::NotAllowed)));
        assert_eq!(peers.said(&[2; 32], later(11)), None);
        assert_eq!(peers.said(&[3; 32], now), None);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let (peers, now) = (Peers::default(), Instant::now());
        for n in 0..=KNOWN_MAX {
            peers.note(Sha256::digest(n.to_string()).into(), Ok(()), now);
        }
        assert_eq!(peers.known.len(), KNOWN_MAX);
    }
}
