//! Makes workspaces and join strings.

use std::time::Duration;

use certs::{JoinString, JoinToken};
use serde_json::{Value, json};
use shared::ids::{Alias, WorkspaceId};

use super::allowance::read_allowance;
use super::registration::read_url;
use super::{Answer, Api, Asker};
use crate::admin::body::{Fields, Given};
use crate::admin::problem::Problem;
use crate::clock::unix_ms;
use crate::push_egress::PushEgress;
use crate::registry::{
    CallerPolicy, ExposurePolicy, Lookup, NewJoinToken, NewWorkspace, Tier, Workspace,
    check_alias_has_policy, check_name, check_role,
};

/// How many connectors a join string lets in unless said otherwise.
const USES: u64 = 1;
/// The most that one lets in: as many keys as a workspace may have.
const USES_MAX: u64 = 8192;
/// How long a join string lives unless said otherwise: until tomorrow.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest life of one, seconds: a year, for an image that is built once and started often.
const LIFE_SECONDS_MAX: u64 = 366 * 24 * 60 * 60;

/// A join string that is not stored yet.
struct Invitation {
    text: String,
    token: NewJoinToken,
}

impl Api {
    /// Makes a workspace and its first join string.
    pub(super) async fn create(&self, fields: &Fields, asker: &Asker) -> Result<Answer, Problem> {
        let now_ms = unix_ms();
        let mut new = NewWorkspace::named(read_name(fields)?.unwrap_or_default(), now_ms)?;
        if new.name.is_empty() {
            return Err(Problem::BadRequest(
                "The field `name` is missing; say what the workspace is called.".into(),
            ));
        }
        new.role = read_role(fields)?.value();
        new.tier = read_tier(fields)?.value();
        new.alias = fields.parsed::<Alias>("alias")?.value();
        new.callers = fields.parsed::<CallerPolicy>("callers")?.value();
        new.expose = fields.parsed::<ExposurePolicy>("expose")?.value();
        new.strict_card = fields.flag("strict_card")?.unwrap_or_default();
        new.keep_alive = fields.flag("keep_alive")?.unwrap_or(true);
        new.jsonrpc_errors_as_200 = fields.flag("jsonrpc_errors_as_200")?.unwrap_or_default();
        new.allowance = read_allowance(fields)?;
        new.push_egress = fields.parsed::<PushEgress>("push_egress")?.value().unwrap_or_default();
        new.parent = self.read_parent(fields)?;
        let url = read_url(fields, self.looks.rules())?;
        new.url = url.as_ref().map(|url| url.text.clone());
        new.adoption = self.read_adoption(fields)?;
        check_external(fields)?;
        check_alias_policy(new.alias.as_ref(), new.callers)?;
        let invitation = self.invite(new.id, USES, LIFE, now_ms)?;
        let made =
            self.registry.create_workspace(new, Some(invitation.token), now_ms, asker.actor());
        let workspace = self.timed(made).await?;
        tracing::info!(workspace = %workspace.id, "workspace made");
        if let Some(platform) = &self.platform {
            platform.nudge();
        }
        let mut body = self.joined(&workspace, &invitation);
        if let Value::Object(body) = &mut body {
            body.insert("id".into(), json!(workspace.id));
            body.insert("status".into(), self.status_of(&workspace).name().into());
            body.insert("role".into(), json!(workspace.role));
            body.insert("tier".into(), json!(workspace.tier));
            body.insert("external".into(), true.into());
            body.insert("runtime".into(), "external".into());
            if let Some(url) = url {
                body.insert("url".into(), url.text.into());
                body.insert("warnings".into(), url.warnings.into());
            }
        }
        Ok(Answer::created(body))
    }

    /// Makes another join string for a workspace.
    pub(super) async fn join(
        &self,
        workspace: &Workspace,
        fields: &Fields,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        let now_ms = unix_ms();
        let uses = fields.count("uses", USES_MAX)?.unwrap_or(USES);
        let life =
            fields.count("expires_seconds", LIFE_SECONDS_MAX)?.map_or(LIFE, Duration::from_secs);
        let invitation = self.invite(workspace.id, uses, life, now_ms)?;
        let added =
            self.registry.add_join_token(workspace.id, invitation.token, now_ms, asker.actor());
        self.timed(added).await?;
        tracing::info!(workspace = %workspace.id, uses, "join string made");
        Ok(Answer::ok(self.joined(workspace, &invitation)))
    }

    fn joined(&self, workspace: &Workspace, invitation: &Invitation) -> Value {
        json!({
            "workspace_id": workspace.id,
            "name": workspace.name,
            "alias": workspace.alias,
            "public_url": self.public.base_of(workspace),
            "join": invitation.text,
            "join_uses": invitation.token.uses,
            "join_expires_at_ms": invitation.token.expires_at_ms,
        })
    }

    fn invite(
        &self,
        workspace: WorkspaceId,
        uses: u64,
        life: Duration,
        now_ms: i64,
    ) -> Result<Invitation, Problem> {
        let token =
            JoinToken::random().map_err(|error| Problem::StoreUnavailable(format!("{error}.")))?;
        let now_seconds = u64::try_from(now_ms / 1000).unwrap_or_default();
        let expires_at = now_seconds.saturating_add(life.as_secs());
        let new = NewJoinToken {
            hash: token.hash(),
            uses: u32::try_from(uses).unwrap_or(u32::MAX),
            expires_at_ms: i64::try_from(expires_at).unwrap_or(i64::MAX).saturating_mul(1000),
        };
        let string = JoinString {
            endpoints: self.endpoints.clone(),
            ca: self.relay_ca,
            workspace,
            token,
            expires_at,
        };
        let text = string.reveal().map_err(|error| Problem::Internal(format!("{error}.")))?;
        Ok(Invitation { text, token: new })
    }

    fn read_parent(&self, fields: &Fields) -> Result<Option<WorkspaceId>, Problem> {
        let Given::Value(parent) = fields.parsed::<WorkspaceId>("parent_id")? else {
            return Ok(None);
        };
        match self.registry.by_id(&parent) {
            Lookup::Live(_) => Ok(Some(parent)),
            Lookup::Gone | Lookup::Unknown => Err(Problem::BadRequest(format!(
                "The field `parent_id`: there is no workspace {parent}."
            ))),
        }
    }
}

/// The name, if one is given.
pub(super) fn read_name(fields: &Fields) -> Result<Option<String>, Problem> {
    let Some(name) = fields.text("name")?.value() else { return Ok(None) };
    match check_name(name) {
        Ok(()) if !name.trim().is_empty() => Ok(Some(name.to_owned())),
        Ok(()) => Err(Problem::BadRequest("The field `name` is blank; give a name.".into())),
        Err(error) => Err(Problem::BadRequest(format!("The field `name`: {error}"))),
    }
}

/// What a workspace is for, as its operator says.
pub(super) fn read_role(fields: &Fields) -> Result<Given<String>, Problem> {
    let role = fields.text("role")?;
    if let Given::Value(role) = role {
        check_role(role)
            .map_err(|error| Problem::BadRequest(format!("The field `role`: {error}")))?;
    }
    Ok(role.map(str::to_owned))
}

/// How much it matters.
pub(super) fn read_tier(fields: &Fields) -> Result<Given<Tier>, Problem> {
    Ok(match fields.given_count("tier", Tier::MAX.into())?.map(Tier::new) {
        Given::Value(Some(tier)) => Given::Value(tier),
        Given::Value(None) | Given::Null => Given::Null,
        Given::Absent => Given::Absent,
    })
}

/// An alias comes with a word on who may call by it.
pub(super) fn check_alias_policy(
    alias: Option<&Alias>,
    callers: Option<CallerPolicy>,
) -> Result<(), Problem> {
    check_alias_has_policy(alias, callers)
        .map_err(|error| Problem::BadRequest(format!("The field `callers`: {error}")))
}

/// Every agent here runs elsewhere; who asks for another kind must not believe to have got it.
fn check_external(fields: &Fields) -> Result<(), Problem> {
    let runtime = fields.text("runtime")?.value();
    if runtime.is_some_and(|runtime| runtime != "external") {
        return Err(Problem::BadRequest(
            "The field `runtime` can only be `external`: this relay starts no agents.".into(),
        ));
    }
    if fields.flag("external")? == Some(false) {
        return Err(Problem::BadRequest(
            "The field `external` can only be true: this relay starts no agents.".into(),
        ));
    }
    Ok(())
}
