//! What was done under an `Idempotency-Key`: whoever lost the answer asks again, and gets the same one.
//!
//! The work goes on when its caller leaves, since the loss of an answer is what keys are for. Answers
//! hold secrets that are shown once, so they are kept in memory alone, for a while, and not beyond a
//! revocation.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderName;
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared::ids::WorkspaceId;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{Answer, Asker, Content, Request};
use crate::admin::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest key, bytes: a UUID and much to spare.
const KEY_BYTES_MAX: usize = 255;
/// How long an answer is kept: a caller that has tried for so long has given up.
const KEPT_FOR: Duration = Duration::from_secs(5 * 60);
/// Keys that are known of one credential; the oldest make way, so that nobody takes another's place…
const KEYS_OF_ONE: usize = 64;
/// … before there are so many of all. An answer has some kilobytes.
const KEYS_MAX: usize = 1024;

/// What is asked under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Whose key it is.
    credential: String,
    /// The SHA-256 of path and key.
    key: [u8; 32],
    /// The SHA-256 of the body.
    body: [u8; 32],
}

impl Asked {
    /// What a request asks, if it has a key.
    pub(super) fn read(request: &Request<'_>, asker: &Asker) -> Result<Option<Self>, Problem> {
        let mut keys = request.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(key) = keys.next() else { return Ok(None) };
        let fits = (1..=KEY_BYTES_MAX).contains(&key.len())
            && key.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte));
        if !fits || keys.next().is_some() {
            return Err(Problem::BadRequest(format!(
                "The field `Idempotency-Key` must come once and have 1 to {KEY_BYTES_MAX} \
                 characters of ASCII."
            )));
        }
        let path = Sha256::new_with_prefix(request.path).chain_update([0]);
        Ok(Some(Self {
            credential: asker.principal.credential_id(),
            key: path.chain_update(key.as_bytes()).finalize().into(),
            body: Sha256::digest(request.body).into(),
        }))
    }
}

type Outcome = Result<Answer, Problem>;

/// What is done, and what came of it.
#[derive(Debug)]
struct Work {
    outcome: watch::Receiver<Option<Outcome>>,
    task: AbortHandle,
}

impl Drop for Work {
    fn drop(&mut self) {
        // Nobody waits for it, and nobody can ask for it again.
        self.task.abort();
    }
}

impl Work {
    fn begin(work: impl Future<Output = Outcome> + Send + 'static) -> Self {
        let (done, outcome) = watch::channel(None);
        let task = tokio::spawn(async move { drop(done.send(Some(work.await))) });
        Self { outcome, task: task.abort_handle() }
    }

    /// Waits for the outcome. Cancel safe: the work goes on.
    async fn outcome(&self) -> Outcome {
        let mut outcome = self.outcome.clone();
        let done = outcome.wait_for(Option::is_some).await.ok().and_then(|done| done.clone());
        done.unwrap_or_else(|| {
            Err(Problem::Internal("The relay did not finish this; try again.".into()))
        })
    }

    /// Whether nothing came of it, so that asking again may help.
    fn failed(&self) -> bool {
        matches!(*self.outcome.borrow(), Some(Err(_)))
    }

    /// The workspace that the answer is about.
    fn is_about(&self, workspace: &WorkspaceId) -> bool {
        let outcome = self.outcome.borrow();
        let Some(Ok(Answer { content: Content::Json(body), .. })) = &*outcome else { return false };
        let id = body.get("workspace_id").and_then(Value::as_str);
        id.and_then(|id| id.parse().ok()) == Some(*workspace)
    }
}

/// What is known of a key.
#[derive(Debug)]
enum Known {
    Work(Arc<Work>),
    /// What was answered opens nothing any more.
    Revoked,
}

#[derive(Debug)]
struct Entry {
    asked: Asked,
    at: Instant,
    known: Known,
}

/// The keys that are known, the oldest first.
#[derive(Debug, Default)]
pub struct Repeats {
    entries: Mutex<VecDeque<Entry>>,
}

impl Repeats {
    /// Answers what came of `work` or, if the same was asked before, of the work of that time. A key
    /// that came before with another body is refused.
    ///
    /// Cancel safe: the work goes on.
    pub(super) async fn once(
        &self,
        asked: Asked,
        work: impl Future<Output = Outcome> + Send + 'static,
        now: Instant,
    ) -> Outcome {
        let work = self.find_or_begin(asked, work, now)?;
        work.outcome().await
    }

    fn find_or_begin(
        &self,
        asked: Asked,
        work: impl Future<Output = Outcome> + Send + 'static,
        now: Instant,
    ) -> Result<Arc<Work>, Problem> {
        let mut entries = self.entries();
        sweep(&mut entries, now);
        let same = |entry: &&Entry| {
            entry.asked.key == asked.key && entry.asked.credential == asked.credential
        };
        match entries.iter().find(same) {
            Some(entry) if entry.asked.body != asked.body => return Err(used("another body")),
            Some(Entry { known: Known::Revoked, .. }) => {
                return Err(used("an answer that was revoked since"));
            }
            Some(Entry { known: Known::Work(work), .. }) => return Ok(Arc::clone(work)),
            None => {}
        }
        let is_own = |entry: &Entry| entry.asked.credential == asked.credential;
        if entries.iter().filter(|entry| is_own(entry)).count() >= KEYS_OF_ONE
            && let Some(oldest) = entries.iter().position(is_own)
        {
            entries.remove(oldest);
        }
        if entries.len() >= KEYS_MAX {
            entries.pop_front();
        }
        let work = Arc::new(Work::begin(work));
        entries.push_back(Entry { asked, at: now, known: Known::Work(Arc::clone(&work)) });
        Ok(work)
    }

    /// Forgets the answers about a workspace whose credentials were revoked.
    pub(super) fn revoke(&self, workspace: &WorkspaceId) {
        for entry in self.entries().iter_mut() {
            if matches!(&entry.known, Known::Work(work) if work.is_about(workspace)) {
                entry.known = Known::Revoked;
            }
        }
    }

    /// Forgets what is older than it may be.
    pub fn sweep(&self, now: Instant) {
        sweep(&mut self.entries(), now);
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sweep(entries: &mut VecDeque<Entry>, now: Instant) {
    entries.retain(|entry| {
        let failed = matches!(&entry.known, Known::Work(work) if work.failed());
        !failed && now.saturating_duration_since(entry.at) < KEPT_FOR
    });
}

fn used(with: &str) -> Problem {
    Problem::Duplicate(format!(
        "This `Idempotency-Key` came before, with {with}; use a new key for what is new."
    ))
}

#[cfg(test)]
mod tests;
