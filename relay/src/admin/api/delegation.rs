//! An agent gives another one a task, and goes on.

use http::StatusCode;
use serde_json::json;
use shared::ids::WorkspaceId;

use super::peers::not_for_you;
use super::{Answer, Api, Asker, Content};
use crate::admin::body::{Fields, Given};
use crate::admin::presence::Status;
use crate::admin::problem::Problem;
use crate::registry::Lookup;

/// The longest task, bytes of text: a message with more is sent as one, to `/a2a`.
const TASK_BYTES_MAX: usize = 64 * 1024;
/// The longest key, bytes.
const KEY_BYTES_MAX: usize = 256;

impl Api {
    /// Accepts a task for another agent: it is sent as a message, whose answer nobody waits for.
    pub(super) fn delegate(
        &self,
        sender: &str,
        fields: &Fields,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        let sender = self.owned(asker, sender)?.id;
        let target = match fields.parsed::<WorkspaceId>("target_id")? {
            Given::Value(target) => target,
            Given::Null | Given::Absent => return Err(missing("target_id")),
        };
        let task = match text(fields, "task", TASK_BYTES_MAX)? {
            Some(task) if !task.is_empty() => task,
            _ => return Err(missing("task")),
        };
        let key = text(fields, "idempotency_key", KEY_BYTES_MAX)?;
        if !self.registry.may_talk(&sender, &target) {
            return Err(not_for_you());
        }
        let Lookup::Live(workspace) = self.registry.by_id(&target) else {
            return Err(not_for_you());
        };
        if !matches!(self.status_of(&workspace), Status::Online | Status::Degraded) {
            return Err(Problem::AgentOffline(format!(
                "The agent of {target} takes no tasks now; try again when it is online."
            )));
        }
        let accepted = self.delegations.accept(sender, target, task, key);
        let id = accepted.map_err(|_| {
            Problem::Overloaded("Too many tasks wait to be carried; try again in a moment.".into())
        })?;
        let body = json!({ "delegation_id": id, "status": "delegated", "target_id": target });
        Ok(Answer { status: StatusCode::ACCEPTED, content: Content::Json(body) })
    }
}

fn missing(field: &str) -> Problem {
    Problem::BadRequest(format!("The field `{field}` is missing; say who is to do what."))
}

fn text<'f>(fields: &'f Fields, field: &str, max: usize) -> Result<Option<&'f str>, Problem> {
    match fields.text(field)?.value() {
        Some(text) if text.len() > max => {
            Err(Problem::BadRequest(format!("The field `{field}` is longer than {max} bytes.")))
        }
        text => Ok(text),
    }
}
