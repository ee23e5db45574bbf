//! What was last seen of agents at URLs of their own, by probes and by calls.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use shared::ids::WorkspaceId;

use super::presence::OwnUrl;
use crate::direct_url::{DirectUrl, Rule, Rules};
use crate::registry::Workspace;

/// Between two looks at an agent, give or take [`JITTER`].
const EVERY: Duration = Duration::from_secs(60);
/// Spreads the looks at agents that were registered together.
const JITTER: Duration = Duration::from_secs(6);
/// What was seen before two missed looks says nothing of now.
const FRESH: Duration = Duration::from_secs(150);

/// The last look at each agent that has a URL of its own. At most one for each workspace.
#[derive(Debug)]
pub struct Looks {
    rules: Rules,
    last: DashMap<WorkspaceId, Look>,
}

#[derive(Debug)]
struct Look {
    /// At this URL: another one is another agent.
    url: String,
    at: Instant,
    next: Instant,
    /// Why there was no answer.
    failure: Option<String>,
}

impl Looks {
    /// No look yet, at agents that these rules allow.
    pub fn new(rules: Rules) -> Self {
        Self { rules, last: DashMap::new() }
    }

    /// What is called here.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The URL of a workspace, judged; `None` where it has none of its own, or none at all are called.
    pub fn judge(&self, workspace: &Workspace) -> Option<Result<DirectUrl, Rule>> {
        let url = workspace.url.as_deref()?;
        let below = url.strip_prefix(self.rules.public.as_str());
        // Whoever registers through its link has its public base for a URL.
        if below.is_some_and(|rest| rest.starts_with("/agents/")) {
            return None;
        }
        let judged = self.rules.judge_url(url);
        (judged != Err(Rule::Off)).then_some(judged)
    }

    /// Notes what became of an attempt to reach a workspace's agent at its URL.
    pub fn note(&self, workspace: &Workspace, seen: Result<(), String>) {
        let Some(url) = workspace.url.clone() else { return };
        let at = Instant::now();
        let spread = JITTER.mul_f64(f64::from(getrandom::u32().unwrap_or_default() % 1000) / 500.0);
        let next = at + EVERY - JITTER + spread;
        self.last.insert(workspace.id, Look { url, at, next, failure: seen.err() });
    }

    /// Whether it is time to look at a workspace's agent, for one that may be called.
    pub fn is_due(&self, workspace: &Workspace) -> bool {
        let last = self.last.get(&workspace.id);
        last.filter(|look| workspace.url.as_ref() == Some(&look.url))
            .is_none_or(|look| look.next <= Instant::now())
    }

    /// Since a workspace's agent last answered at its URL, where that was the last thing it did.
    pub fn last_answer(&self, workspace: &Workspace) -> Option<Duration> {
        let look = self.last.get(&workspace.id)?;
        let counts = look.failure.is_none() && workspace.url.as_ref() == Some(&look.url);
        counts.then(|| look.at.elapsed())
    }

    /// What is known of a workspace's agent at its own URL.
    pub fn own_url(&self, workspace: &Workspace) -> OwnUrl {
        let Some(Ok(_)) = self.judge(workspace) else { return OwnUrl::Uncalled };
        let Some(look) = self.last.get(&workspace.id) else { return OwnUrl::Unseen };
        if look.at.elapsed() > FRESH || workspace.url.as_ref() != Some(&look.url) {
            return OwnUrl::Unseen;
        }
        look.failure.clone().map_or(OwnUrl::Answers, OwnUrl::Fails)
    }

    /// Forgets a workspace that was removed.
    pub fn forget(&self, workspace: &WorkspaceId) {
        self.last.remove(workspace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direct_url::DirectUrls;

    fn workspace(url: Option<&str>) -> Workspace {
        Workspace { url: url.map(str::to_owned), ..Workspace::sample() }
    }

    fn looks(policy: DirectUrls) -> Looks {
        let public = "https://relay.example.com".parse().unwrap();
        Looks::new(Rules { policy, listeners: Vec::new(), public })
    }

    #[test]
    fn a_look_is_of_one_url() {
        let looks = looks(DirectUrls::Public);
        let (old, new) =
            (workspace(Some("https://a.example")), workspace(Some("https://b.example")));
        assert!(looks.is_due(&old));
        assert_eq!(looks.own_url(&old), OwnUrl::Unseen);
        looks.note(&old, Ok(()));
        assert!(!looks.is_due(&old) && looks.is_due(&new));
        assert_eq!(looks.own_url(&old), OwnUrl::Answers);
        assert_eq!((looks.own_url(&new), looks.last_answer(&new)), (OwnUrl::Unseen, None));
        looks.note(&new, Err("it refuses".into()));
        assert_eq!(looks.own_url(&new), OwnUrl::Fails("it refuses".into()));
        assert!(looks.last_answer(&new).is_none() && looks.is_due(&old));
        looks.forget(&new.id);
        assert!(looks.is_due(&new));
    }

    #[test]
    fn what_is_not_called_is_not_looked_at() {
        for (policy, url) in [
            (DirectUrls::Public, None),
            (DirectUrls::Public, Some("http://a.example")),
            (DirectUrls::Public, Some("https://127.0.0.1")),
            (DirectUrls::Public, Some("https://relay.example.com/agents/a_x/")),
            (DirectUrls::Off, Some("https://a.example")),
        ] {
            assert_eq!(looks(policy).own_url(&workspace(url)), OwnUrl::Uncalled, "{url:?}");
        }
    }
}
