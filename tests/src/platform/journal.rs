//! What the platform saw: each call with its credential, its body, its time and its answer.

use serde_json::Value;
use std::time::Instant;

/// Whom the platform took a caller for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// None was shown.
    None,
    /// The admin token.
    Admin,
    /// A live token of this workspace.
    Workspace(String),
    /// One that opens nothing.
    Wrong,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// When its whole body was there.
    pub at: Instant,
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Who called.
    pub credential: Credential,
    /// The field `Origin`.
    pub origin: Option<String>,
    /// The field `X-Molecule-Org-Id`.
    pub org: Option<String>,
    /// Its JSON, or null.
    pub body: Value,
    /// What was answered, before any oddity.
    pub status: u16,
}

impl Call {
    /// Whether it has this method and path, in which `*` stands for one segment.
    #[must_use]
    pub fn is(&self, call: &str) -> bool {
        matches(call, &self.method, &self.path)
    }

    /// The workspace that it is about.
    #[must_use]
    pub fn workspace(&self) -> Option<String> {
        let named = |field: &str| self.body.get(field).and_then(Value::as_str).map(str::to_owned);
        let in_path =
            self.path.strip_prefix("/workspaces/").and_then(|rest| rest.split('/').next());
        in_path.map(str::to_owned).or_else(|| named("workspace_id")).or_else(|| named("id"))
    }
}

/// Whether a method and path are those of `call`.
pub(super) fn matches(call: &str, method: &str, path: &str) -> bool {
    let Some((wanted, pattern)) = call.split_once(' ') else { return false };
    let path = path.split('?').next().unwrap_or_default();
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    let fits = |(pattern, segment): (&&str, &&str)| *pattern == "*" || pattern == segment;
    wanted == method && pattern.len() == path.len() && pattern.iter().zip(&path).all(fits)
}
