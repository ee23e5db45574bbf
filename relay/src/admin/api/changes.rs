//! Changes workspaces, revokes their credentials, removes them.

use shared::control::ToConnector;
use shared::ids::{Alias, WorkspaceId};

use super::allowance::{read_in_flight, read_methods, read_rate};
use super::joining::{check_alias_policy, read_name, read_role, read_tier};
use super::{Answer, Api, Asker, done};
use crate::admin::body::{Fields, Given};
use crate::admin::problem::Problem;
use crate::clock::unix_ms;
use crate::push_egress::PushEgress;
use crate::registry::{CallerPolicy, Edit, ExposurePolicy, PolicyChange, Workspace, fresh_address};

impl Api {
    /// Changes what is given and keeps the rest.
    pub(super) async fn change(
        &self,
        workspace: &Workspace,
        fields: &Fields,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        let id = workspace.id;
        let change = read_change(fields)?;
        self.take_platform_token(id, fields, asker).await?;
        let host_url = self.public.host_base_of(workspace);
        let new_address = change.new_address.is_some();
        let set = self.registry.set_policies(id, change, unix_ms(), asker.actor());
        let now = self.timed(set).await?;
        self.kept_cards.forget(&id);
        let now_at = self.public.host_base_of(&now);
        if (new_address || now_at != host_url)
            && let Some(link) = self.live.newest(&id)
        {
            let public_url = self.public.base_of(&now);
            link.tell(ToConnector::PublicUrl { public_url, host_url: now_at });
        }
        tracing::info!(workspace = %id, "workspace changed");
        Ok(Answer::ok(self.view(&now)))
    }

    /// Holds the calls of a workspace back, or lets them through again.
    pub(super) async fn set_paused(
        &self,
        id: WorkspaceId,
        paused: bool,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        let change = PolicyChange { paused: Some(paused), ..PolicyChange::default() };
        let set = self.registry.set_policies(id, change, unix_ms(), asker.actor());
        let now = self.timed(set).await?;
        tracing::info!(workspace = %id, paused, "workspace paused or resumed");
        Ok(done(id, self.status_of(&now).name()))
    }

    /// Revokes every credential of a workspace and ends its link.
    pub(super) async fn revoke(&self, id: WorkspaceId, asker: &Asker) -> Result<Answer, Problem> {
        let actor = asker.actor();
        self.timed(self.registry.revoke_workspace_credentials(id, unix_ms(), actor)).await?;
        self.cut(
            id,
            "The operator revoked the credentials of this workspace. Ask for a new join string \
             (relay workspace join).",
        );
        tracing::info!(workspace = %id, "credentials revoked");
        Ok(done(id, "revoked"))
    }

    /// Removes a workspace for good and ends its link.
    pub(super) async fn remove(&self, id: WorkspaceId, asker: &Asker) -> Result<Answer, Problem> {
        self.timed(self.registry.remove_workspace(id, unix_ms(), asker.actor())).await?;
        self.cut(id, "The operator removed this workspace. Ask for another one.");
        self.live.forget(&id);
        self.pulses.forget(&id);
        self.refusals.forget(&id);
        self.looks.forget(&id);
        self.kept_cards.forget(&id);
        tracing::info!(workspace = %id, "workspace removed");
        Ok(done(id, "removed"))
    }

    /// Ends every link of a workspace and what was done under keys of its caller's, at once.
    pub fn cut(&self, id: WorkspaceId, message: &str) {
        self.repeats.revoke(&id);
        self.live.revoke(&id, message);
    }
}

fn read_change(fields: &Fields) -> Result<PolicyChange, Problem> {
    let name = read_name(fields)?;
    let callers = fields.parsed::<CallerPolicy>("callers")?.value();
    let alias = fields.parsed::<Alias>("alias")?;
    if let Given::Value(alias) = &alias {
        check_alias_policy(Some(alias), callers)?;
    }
    let alias = edit(alias);
    let (role, tier) = (edit(read_role(fields)?), edit(read_tier(fields)?));
    let new_address = match fields.flag("new_address")? {
        Some(true) => Some(fresh_address()?),
        Some(false) | None => None,
    };
    let expose = fields.parsed::<ExposurePolicy>("expose")?.value();
    let strict_card = fields.flag("strict_card")?;
    Ok(PolicyChange {
        name,
        role,
        tier,
        alias,
        callers,
        expose,
        strict_card,
        keep_alive: fields.flag("keep_alive")?,
        jsonrpc_errors_as_200: fields.flag("jsonrpc_errors_as_200")?,
        rate: edit(read_rate(fields)?),
        in_flight: edit(read_in_flight(fields)?),
        methods: read_methods(fields)?,
        push_egress: fields.parsed::<PushEgress>("push_egress")?.value(),
        paused: None,
        new_address,
    })
}

/// What a field makes of something that a workspace may have or not.
fn edit<T>(given: Given<T>) -> Edit<T> {
    match given {
        Given::Value(value) => Edit::Give(value),
        Given::Null => Edit::Free,
        Given::Absent => Edit::Keep,
    }
}
