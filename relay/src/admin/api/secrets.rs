//! Secrets: set by the operator, who sees their names; pulled by the agent, who gets their values.

use serde_json::{Map, Value, json};

use super::{Answer, Api, Asker, Request};
use crate::admin::body::{Fields, Given};
use crate::admin::problem::Problem;
use crate::admin::route::{Resource, Verb};
use crate::admin::view::rfc3339;
use crate::clock::unix_ms;
use crate::registry::{SECRET_BYTES_MAX, SecretName, Workspace};

/// The last segment of the SDK's path: a secret of this name could not be named by its own.
const TAKEN_NAME: &str = "values";

impl Api {
    pub(super) async fn secrets(
        &self,
        resource: Resource,
        verb: Verb,
        request: &Request<'_>,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        match (resource, verb) {
            (Resource::Secrets(name), Verb::Read) if asker.principal.may_administer() => {
                self.secret_names(&*self.workspace(&name)?).await
            }
            (Resource::Secrets(name), Verb::Read) => {
                let values = self.secret_values(&*self.own(asker, &name)?).await?;
                Ok(Answer::ok(json!({ "secrets": values })))
            }
            (Resource::SecretValues(name), _) => {
                // The operator has set them and sees their names; only their agent reads them.
                let values = self.secret_values(&*self.own(asker, &name)?).await?;
                Ok(Answer::ok(values.into()))
            }
            (Resource::Secrets(name), _) => {
                let workspace = self.administered(asker, &name)?;
                let fields = request.fields()?;
                let key = required(&fields, "key")?.to_owned();
                self.set_secret(&workspace, &key, &fields, asker).await
            }
            (Resource::Secret(name, key), Verb::Put) => {
                let workspace = self.administered(asker, &name)?;
                self.set_secret(&workspace, &key, &request.fields()?, asker).await
            }
            (Resource::Secret(name, key), Verb::Remove) => {
                let workspace = self.administered(asker, &name)?;
                let (id, secret) = (workspace.id, secret_name(&key)?);
                let remove = self.registry.remove_secret(id, secret, asker.actor(), unix_ms());
                self.timed(remove).await?;
                tracing::info!(workspace = %id, "secret removed");
                Ok(Answer::ok(json!({ "status": "removed", "key": key })))
            }
            _ => Err(Problem::NotFound),
        }
    }

    async fn set_secret(
        &self,
        workspace: &Workspace,
        key: &str,
        fields: &Fields,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        let (id, name) = (workspace.id, secret_name(key)?);
        let value = required(fields, "value")?.to_owned();
        if value.len() > SECRET_BYTES_MAX {
            return Err(Problem::BadRequest(
                "The field `value` is longer than 65,536 bytes; shorten it.".into(),
            ));
        }
        let set = self.registry.set_secret(id, name, value, unix_ms(), asker.actor());
        self.timed(set).await?;
        tracing::info!(workspace = %id, "secret set");
        Ok(Answer::ok(json!({ "status": "saved", "key": key })))
    }

    async fn secret_names(&self, workspace: &Workspace) -> Result<Answer, Problem> {
        let secrets = self.timed(self.registry.secret_names(workspace.id)).await?;
        let secrets: Vec<_> = secrets
            .iter()
            .map(|secret| {
                json!({ "key": secret.name.as_str(), "updated_at": rfc3339(secret.updated_at_ms) })
            })
            .collect();
        Ok(Answer::ok(json!({ "secrets": secrets })))
    }

    async fn secret_values(&self, workspace: &Workspace) -> Result<Map<String, Value>, Problem> {
        let secrets = self.timed(self.registry.secrets(workspace.id)).await?;
        Ok(secrets.into_iter().map(|(name, value)| (name, value.into())).collect())
    }
}

fn secret_name(text: &str) -> Result<SecretName, Problem> {
    if text == TAKEN_NAME {
        return Err(Problem::BadRequest(
            "The field `key`: `values` is the name of a path; choose another name.".into(),
        ));
    }
    text.parse().map_err(|error| Problem::BadRequest(format!("The field `key`: {error}")))
}

fn required<'f>(fields: &'f Fields, field: &str) -> Result<&'f str, Problem> {
    match fields.text(field)? {
        Given::Value(text) => Ok(text),
        Given::Null | Given::Absent => {
            Err(Problem::BadRequest(format!("The field `{field}` is missing; it is a text.")))
        }
    }
}
