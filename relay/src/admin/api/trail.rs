//! The audit trail: who did what to whom, when and from where.

use std::fmt::Write as _;

use serde_json::json;

use super::peers::parameter;
use super::{Answer, Api, Asker, Content, Request, require};
use crate::admin::problem::Problem;
use crate::registry::{EVENTS_PAGE_MAX, EventQuery};

/// Events that are answered unless said otherwise.
const EVENTS: usize = 100;

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
            limit: limit(request.query)?,
        };
        let as_lines = match parameter(request.query, "format").as_deref() {
            None | Some("json") => false,
            Some("jsonl") => true,
            Some(_) => return Err(wrong("format", "json or jsonl")),
        };
        let events = self.timed(self.registry.events(query)).await?;
        if as_lines {
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
    text.parse().map(Some).map_err(|_| wrong(name, "a whole number"))
}

fn limit(query: Option<&str>) -> Result<usize, Problem> {
    match number(query, "limit")?.map(usize::try_from) {
        None => Ok(EVENTS),
        Some(Ok(limit)) if (1..=EVENTS_PAGE_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(wrong("limit", &format!("a whole number from 1 to {EVENTS_PAGE_MAX}"))),
    }
}

fn wrong(name: &str, must: &str) -> Problem {
    Problem::BadRequest(format!("The parameter `{name}` must be {must}."))
}
