//! The audit trail: who did what to whom, when and from where.

use std::fmt::Write as _;

use serde_json::json;

use super::peers::parameter;
use super::{Answer, Api, Asker, Content, Request, require};
use crate::admin::problem::Problem;
use crate::registry::EventQuery;

/// Events that are answered unless said otherwise, and at most.
const EVENTS: usize = 100;
const EVENTS_MAX: usize = 10_000;

impl Api {
    /// Lists events, the newest first; behind `after`, the oldest first. `format=jsonl` exports them.
    pub(super) async fn trail(
        &self,
        request: &Request<'_>,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        require(asker.principal.may_read(), "the admin token or a key of scope admin or read")?;
        let workspace = match parameter(request.query, "workspace") {
            Some(name) => Some(match name.parse() {
                // The events of a removed one are still there.
                Ok(id) => id,
                Err(_) => self.workspace(&name)?.id,
            }),
            None => None,
        };
        let query = EventQuery {
            workspace,
            before: number(request.query, "before")?,
            after: number(request.query, "after")?,
            limit: number(request.query, "limit")?
                .and_then(|limit| usize::try_from(limit).ok())
                .map_or(EVENTS, |limit| limit.min(EVENTS_MAX)),
        };
        let events = self.timed(self.registry.events(query)).await?;
        if parameter(request.query, "format").as_deref() == Some("jsonl") {
            let mut lines = String::new();
            for event in &events {
                let line = serde_json::to_string(event).unwrap_or_default();
                // Writing to a text cannot fail.
                let _ = writeln!(lines, "{line}");
            }
            return Ok(Answer { status: http::StatusCode::OK, content: Content::Lines(lines) });
        }
        Ok(Answer::ok(json!({ "events": events })))
    }
}

fn number(query: Option<&str>, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = parameter(query, name) else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|_| Problem::BadRequest(format!("The parameter `{name}` must be a whole number.")))
}
