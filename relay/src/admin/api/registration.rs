//! What an agent says of itself over HTTP: its registration, its heartbeats, its card.

use std::sync::Arc;

use http::Uri;
use serde_json::{Value, json};
use shared::ids::WorkspaceId;

use super::{Answer, Api, Asker};
use crate::admin::body::{Fields, Given};
use crate::admin::problem::Problem;
use crate::admin::pulse::Beat;
use crate::clock::unix_ms;
use crate::direct_url::Rules;
use crate::registry::{NewCredential, Registration, Workspace};

/// The longest URL of an agent, bytes: what browsers and proxies take.
const URL_BYTES_MAX: usize = 2048;
/// The longest card, bytes of JSON. The largest that were seen have a tenth of it.
const CARD_BYTES_MAX: usize = 256 * 1024;
/// The longest of a heartbeat's metadata, bytes of JSON: a dozen capabilities have a tenth of it.
const METADATA_BYTES_MAX: usize = 16 * 1024;
/// The most that an agent can have spent, in whatever currency.
const SPEND_MAX: f64 = 1e12;
/// The longest of a heartbeat's texts, bytes: a line or two of a page.
const TEXT_BYTES_MAX: usize = 4096;

/// Where an agent says that it can be reached.
pub(super) struct AgentUrl {
    pub(super) text: String,
    /// What its owner should know of it.
    pub(super) warnings: Vec<String>,
}

impl Api {
    /// Registers an agent. Its token is answered once: as long as one is live, no other is given.
    pub(super) async fn register(&self, fields: &Fields, asker: &Asker) -> Result<Answer, Problem> {
        let id = read_id(fields, "id")?;
        let url = read_url(fields, self.looks.rules())?;
        let card = read_card(fields)?;
        let administers = asker.principal.may_administer();
        let workspace = self.named_in(asker, "id", id)?;
        let (text, warnings) = match url {
            // Whoever registers through its link is reached by it, whatever it says.
            _ if asker.over_link => (self.public.base_of(&workspace), Vec::new()),
            Some(url) => (url.text, url.warnings),
            None => return Err(missing("url", "say where the agent can be reached")),
        };
        let now_ms = unix_ms();
        let (token, secret) = match administers {
            true => {
                let (token, secret) = NewCredential::workspace_token(id, now_ms)?;
                (Some(token), Some(secret))
            }
            false => (None, None),
        };
        let registration = Registration { url: Some(text), card: Some(card) };
        let register = self.registry.register(id, registration, token, now_ms, asker.actor());
        let registered = self.timed(register).await?;
        self.beat(&registered.workspace, Beat::default());
        tracing::info!(workspace = %id, issued = registered.issued, "agent registered");
        let mut body = json!({
            "status": "registered",
            "workspace_id": id,
            "org_id": registered.workspace.org,
            "expires_at": null,
            "public_url": self.public.base_of(&registered.workspace),
            "warnings": warnings,
        });
        if let Value::Object(body) = &mut body {
            match secret.filter(|_| registered.issued) {
                Some(secret) => body.insert("auth_token".into(), secret.into()),
                None => body.insert(
                    "note".into(),
                    "The workspace has a token already, which is shown once. If it is lost, revoke \
                     it (DELETE /workspaces/{id}/tokens) and register again."
                        .into(),
                ),
            };
        }
        Ok(Answer::ok(body))
    }

    /// Takes a heartbeat. What it does not say, the agent's connector may.
    pub(super) fn heartbeat(&self, fields: &Fields, asker: &Asker) -> Result<Answer, Problem> {
        let id = read_id(fields, "workspace_id")?;
        let workspace = self.named_in(asker, "workspace_id", id)?;
        self.beat(&workspace, read_beat(fields)?);
        Ok(Answer::ok(json!({ "status": "ok" })))
    }

    /// Takes a new card.
    pub(super) async fn update_card(
        &self,
        fields: &Fields,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        let id = read_id(fields, "workspace_id")?;
        let workspace = self.named_in(asker, "workspace_id", id)?;
        let card = read_card(fields)?;
        let update = self.registry.update_card(workspace.id, card, asker.actor());
        self.timed(update).await?;
        Ok(Answer::ok(json!({ "status": "updated" })))
    }

    /// Whether the workspace is there and lets calls through, for the agent's own loop.
    pub(super) fn state(&self, workspace: &Workspace) -> Answer {
        Answer::ok(json!({
            "workspace_id": workspace.id,
            "status": self.status_of(workspace).name(),
            "paused": workspace.paused,
            "deleted": false,
        }))
    }

    /// The workspace that a field of the body names, for its own agent and the operator.
    fn named_in(
        &self,
        asker: &Asker,
        field: &str,
        id: WorkspaceId,
    ) -> Result<Arc<Workspace>, Problem> {
        self.owned(asker, &id.to_string()).map_err(|problem| problem.of_field(field))
    }

    fn beat(&self, workspace: &Workspace, beat: Beat) {
        let before = self.degraded_before(workspace);
        self.pulses.beat(workspace.id, beat, before);
        self.registry.note_seen(workspace.id, unix_ms());
        self.metrics.heartbeats.inc();
    }
}

/// The id of a workspace in a body.
fn read_id(fields: &Fields, field: &str) -> Result<WorkspaceId, Problem> {
    match fields.parsed(field)? {
        Given::Value(id) => Ok(id),
        Given::Null | Given::Absent => Err(missing(field, "name the workspace by its id")),
    }
}

fn missing(field: &str, next: &str) -> Problem {
    Problem::BadRequest(format!("The field `{field}` is missing; {next}."))
}

/// The URL of an agent. One that the relay does not call is taken too: its connector may be the way.
pub(super) fn read_url(fields: &Fields, rules: &Rules) -> Result<Option<AgentUrl>, Problem> {
    let Some(text) = fields.text("url")?.value() else { return Ok(None) };
    let wrong = |why: &str| Problem::BadRequest(format!("The field `url`: {why}."));
    if text.len() > URL_BYTES_MAX {
        return Err(wrong("it is longer than 2,048 bytes"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("it has characters that no URL has; write them as %-escapes"));
    }
    let uri: Uri =
        text.parse().map_err(|_| wrong("it is no URL like https://agent.example.com"))?;
    let (Some(_), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(wrong("it needs a scheme and a host, like https://agent.example.com"));
    };
    if authority.as_str().contains('@') {
        return Err(wrong("it holds a user or a password; give it without"));
    }
    let has_port = authority.as_str().len() > authority.host().len();
    if has_port && authority.port_u16().is_none() {
        return Err(wrong("its port is no number from 0 to 65535"));
    }
    let mut warnings = Vec::new();
    if let Err(rule) = rules.judge_url(text) {
        warnings.push(format!(
            "The URL is not called: {rule}. Calls reach the agent through its connector."
        ));
    }
    Ok(Some(AgentUrl { text: text.to_owned(), warnings }))
}

fn read_card(fields: &Fields) -> Result<Value, Problem> {
    let Some(card) = fields.object("agent_card")? else {
        return Err(missing("agent_card", "give the agent's card, an object with its name"));
    };
    if card.to_string().len() > CARD_BYTES_MAX {
        return Err(Problem::BadRequest(
            "The field `agent_card` is longer than 262,144 bytes; shorten it.".into(),
        ));
    }
    Ok(card)
}

fn read_beat(fields: &Fields) -> Result<Beat, Problem> {
    Ok(Beat {
        error_rate: fields.number("error_rate", 0.0, 1.0)?,
        active_tasks: fields
            .natural("active_tasks", u64::from(u32::MAX))?
            .and_then(|tasks| u32::try_from(tasks).ok()),
        uptime_seconds: fields.natural("uptime_seconds", u64::MAX)?,
        current_task: read_text(fields, "current_task")?,
        sample_error: read_text(fields, "sample_error")?,
        runtime_state: read_text(fields, "runtime_state")?,
        runtime_metadata: read_metadata(fields)?,
        monthly_spend: fields.number("monthly_spend", 0.0, SPEND_MAX)?,
    })
}

fn read_metadata(fields: &Fields) -> Result<Option<Value>, Problem> {
    let metadata = fields.object("runtime_metadata")?;
    if metadata.as_ref().is_some_and(|metadata| metadata.to_string().len() > METADATA_BYTES_MAX) {
        return Err(Problem::BadRequest(
            "The field `runtime_metadata` is longer than 16,384 bytes; shorten it.".into(),
        ));
    }
    Ok(metadata)
}

fn read_text(fields: &Fields, field: &str) -> Result<Option<String>, Problem> {
    let Some(text) = fields.text(field)?.value() else { return Ok(None) };
    if text.len() > TEXT_BYTES_MAX {
        return Err(Problem::BadRequest(format!(
            "The field `{field}` is longer than 4,096 bytes; shorten it."
        )));
    }
    Ok(Some(text.to_owned()))
}
