//! Tokens of workspaces, tokens of callers, keys of the organisation: made, listed, revoked.

use std::time::Duration;

use serde_json::{Value, json};
use shared::ids::WorkspaceId;

use super::allowance::read_allowance;
use super::joining::read_name;
use super::{Answer, Api, Asker, Request, require_admin};
use crate::admin::body::{Fields, Given};
use crate::admin::problem::Problem;
use crate::admin::route::{Resource, Verb};
use crate::admin::view::rfc3339;
use crate::clock::unix_ms;
use crate::registry::{Allowance, Credential, CredentialId, CredentialKind, NewCredential, Scope};

/// The longest life of a caller token, seconds: ten years. Without one it lives until it is revoked.
const LIFE_SECONDS_MAX: u64 = 10 * 366 * 24 * 60 * 60;

impl Api {
    pub(super) async fn credentials(
        &self,
        resource: Resource,
        verb: Verb,
        request: &Request<'_>,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        use CredentialKind::{CallerToken, OrgKey, WorkspaceToken};
        match (resource, verb) {
            (Resource::Tokens(name), Verb::Read) => {
                let id = self.owned(asker, &name)?.id;
                Ok(Answer::ok(json!({ "tokens": self.listed(WorkspaceToken, Some(&id)) })))
            }
            (Resource::Tokens(name), Verb::Remove) => {
                self.revoke(self.owned(asker, &name)?.id, asker).await
            }
            (Resource::Tokens(name), _) => {
                self.add_token(self.owned(asker, &name)?.id, asker).await
            }
            (Resource::Token(name, id), _) => {
                let workspace = self.owned(asker, &name)?.id;
                self.revoke_one(WorkspaceToken, Some(workspace), &id, asker).await
            }
            (Resource::Callers(name), Verb::Read) => {
                let id = self.administered(asker, &name)?.id;
                Ok(Answer::ok(json!({ "callers": self.listed(CallerToken, Some(&id)) })))
            }
            (Resource::Callers(name), _) => {
                let id = self.administered(asker, &name)?.id;
                self.add_caller(id, &request.fields()?, asker).await
            }
            (Resource::CallerToken(name, id), _) => {
                let workspace = self.administered(asker, &name)?.id;
                self.revoke_one(CallerToken, Some(workspace), &id, asker).await
            }
            (Resource::Keys, Verb::Read) => {
                require_admin(asker)?;
                Ok(Answer::ok(json!({ "keys": self.listed(OrgKey, None) })))
            }
            (Resource::Keys, _) => {
                require_admin(asker)?;
                self.add_key(&request.fields()?, asker).await
            }
            (Resource::Key(id), _) => {
                require_admin(asker)?;
                self.revoke_one(OrgKey, None, &id, asker).await
            }
            _ => Err(Problem::NotFound),
        }
    }

    async fn add_token(&self, workspace: WorkspaceId, asker: &Asker) -> Result<Answer, Problem> {
        let (new, secret) = NewCredential::workspace_token(workspace, unix_ms())?;
        let mut body = self.add(new, asker).await?;
        if let Value::Object(body) = &mut body {
            body.insert("auth_token".into(), secret.into());
            body.insert("workspace_id".into(), json!(workspace));
            body.insert("message".into(), "The token is shown once; store it now.".into());
        }
        Ok(Answer::created(body))
    }

    async fn add_caller(
        &self,
        workspace: WorkspaceId,
        fields: &Fields,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        let now_ms = unix_ms();
        let name = label(fields)?;
        let life = fields.count("expires_seconds", LIFE_SECONDS_MAX)?.map(Duration::from_secs);
        let expires_at_ms = life
            .map(|life| now_ms.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX)));
        let (new, secret) = NewCredential::caller_token(workspace, name, expires_at_ms, now_ms)?;
        let new = new.allowed(read_allowance(fields)?);
        let mut body = self.add(new, asker).await?;
        if let Value::Object(body) = &mut body {
            body.insert("caller_token".into(), secret.into());
            body.insert("workspace_id".into(), json!(workspace));
        }
        Ok(Answer::created(body))
    }

    async fn add_key(&self, fields: &Fields, asker: &Asker) -> Result<Answer, Problem> {
        let scope = match fields.parsed::<Scope>("scope")? {
            Given::Value(scope) => scope,
            Given::Null | Given::Absent => {
                return Err(Problem::BadRequest(
                    "The field `scope` is missing; choose admin, call or read.".into(),
                ));
            }
        };
        let (new, secret) = NewCredential::org_key(label(fields)?, scope, unix_ms())?;
        let mut body = self.add(new, asker).await?;
        if let Value::Object(body) = &mut body {
            body.insert("key".into(), secret.into());
        }
        Ok(Answer::created(body))
    }

    async fn add(&self, new: NewCredential, asker: &Asker) -> Result<Value, Problem> {
        let added = self.timed(self.registry.add_credential(new, asker.actor())).await?;
        tracing::info!(credential = %added.prefix(), "credential made");
        Ok(self.row(&added))
    }

    async fn revoke_one(
        &self,
        kind: CredentialKind,
        workspace: Option<WorkspaceId>,
        id: &str,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        let unknown =
            || Problem::Unknown(format!("There is no credential `{id}` here; list them first."));
        let id = id.parse::<CredentialId>().map_err(|_| unknown())?;
        let revoke = self.registry.revoke_credential(kind, workspace, id, unix_ms(), asker.actor());
        let revoked = self.timed(revoke).await?;
        if let (CredentialKind::WorkspaceToken, Some(workspace)) = (kind, workspace) {
            self.repeats.revoke(&workspace);
            let why = "This token was revoked. Give the connector another one.";
            self.live.revoke_credential(&workspace, id, why);
        }
        tracing::info!(credential = %revoked.prefix(), "credential revoked");
        Ok(Answer::ok(json!({ "status": "revoked", "id": id.to_string() })))
    }

    /// Those that are neither revoked nor expired, the oldest first.
    fn listed(&self, kind: CredentialKind, workspace: Option<&WorkspaceId>) -> Vec<Value> {
        let now_ms = unix_ms();
        let all = self.registry.credentials(kind, workspace);
        all.iter().filter(|one| one.is_live(now_ms)).map(|one| self.row(one)).collect()
    }

    fn row(&self, credential: &Credential) -> Value {
        let Allowance { rate, in_flight, methods } = credential.allowance;
        json!({
            "id": credential.id.to_string(),
            "prefix": credential.prefix(),
            "name": credential.label,
            "scope": credential.scope.map(Scope::as_str),
            "created_at": rfc3339(credential.created_at_ms),
            "expires_at": credential.expires_at_ms.map(rfc3339),
            "last_used_at": self.registry.last_used(credential.id).map(rfc3339),
            "rate": rate,
            "in_flight": in_flight,
            "methods": methods,
        })
    }
}

fn label(fields: &Fields) -> Result<String, Problem> {
    read_name(fields)?.ok_or_else(|| {
        Problem::BadRequest("The field `name` is missing; say who will hold it.".into())
    })
}
