//! Ties workspaces to counterparts that the platform has already, and takes tokens for them.

use shared::ids::WorkspaceId;

use super::{Api, Asker};
use crate::admin::body::Fields;
use crate::admin::problem::Problem;
use crate::clock::unix_ms;
use crate::platform::{Bridge, config};
use crate::registry::{Adoption, BondChange, BondStep, Edit};

/// The counterpart's id there.
const ID: &str = "platform_id";
/// Its token.
const TOKEN: &str = "platform_token";

impl Api {
    /// The counterpart that a new workspace is to adopt, if one is named.
    pub(super) fn read_adoption(&self, fields: &Fields) -> Result<Option<Adoption>, Problem> {
        let (id, token) = (fields.text(ID)?.value(), fields.text(TOKEN)?.value());
        let (id, token) = match (id, token) {
            (None, None) => return Ok(None),
            (Some(id), Some(token)) => (id, token),
            (Some(_), None) => {
                return Err(wrong(TOKEN, "it is missing; give the workspace's token"));
            }
            (None, Some(_)) => {
                return Err(wrong(ID, "it is missing; give the workspace's id there"));
            }
        };
        let platform = self.bridge(ID)?.platform();
        if !config::is_name(id) {
            return Err(wrong(ID, "it is no id of the platform, a UUID"));
        }
        let token = config::token(token).ok_or_else(bad_token)?;
        Ok(Some(Adoption { platform, upstream: id.to_owned(), token }))
    }

    /// Takes a token for a workspace's counterpart in the place of the one there was, if one is given.
    /// Answers whether it was.
    pub(super) async fn take_platform_token(
        &self,
        id: WorkspaceId,
        fields: &Fields,
        asker: &Asker,
    ) -> Result<bool, Problem> {
        let Some(token) = fields.text(TOKEN)?.value() else { return Ok(false) };
        let bridge = self.bridge(TOKEN)?;
        let token = config::token(token).ok_or_else(bad_token)?;
        let bond = self.registry.bond(&bridge.platform(), &id);
        if bond.is_some_and(|bond| matches!(bond.step, BondStep::Gone | BondStep::Leaving)) {
            return Err(Problem::Duplicate(
                "The platform deleted this workspace. Remove it, and add another one.".into(),
            ));
        }
        let change = BondChange { token: Edit::Give(token), ..BondChange::default() };
        let platform = bridge.platform();
        let stored = self.registry.change_bond(platform, id, change, unix_ms(), asker.actor());
        self.timed(stored).await?;
        bridge.nudge();
        Ok(true)
    }

    fn bridge(&self, field: &str) -> Result<&Bridge, Problem> {
        self.platform.as_ref().ok_or_else(|| {
            wrong(field, "this relay bridges to no platform (relay serve --platform-url)")
        })
    }
}

fn bad_token() -> Problem {
    wrong(TOKEN, "it is no token of plain visible characters")
}

fn wrong(field: &str, why: &str) -> Problem {
    Problem::BadRequest(format!("The field `{field}`: {why}."))
}
