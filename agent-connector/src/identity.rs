//! Which identity a connector takes: the one it was told, the only one, or one that it joins for.

use std::time::Duration;

use certs::{IdentityError, JoinString, StateDir, StateLock};
use shared::ids::WorkspaceId;
use tokio::time::{Instant, sleep};

/// A look at an identity's lock, such as that of `status`, holds it for a moment.
const LOCK_PATIENCE: Duration = Duration::from_millis(300);
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// The identity to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// One that is there.
    Stored(WorkspaceId),
    /// The one of the join string, which is there not yet.
    Join(WorkspaceId),
}

impl Choice {
    /// The workspace of the identity.
    pub const fn workspace(self) -> WorkspaceId {
        match self {
            Self::Stored(workspace) | Self::Join(workspace) => workspace,
        }
    }
}

/// Why no identity can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    /// There is none.
    #[error(
        "There is no identity here yet. Ask the relay's operator for a join string (`relay \
         workspace add NAME`) and give it with `--join`."
    )]
    None,
    /// There are several.
    #[error("There are several identities here ({}); choose one with `--workspace`.", list(.0))]
    Several(Vec<WorkspaceId>),
    /// The one that was asked for is not there.
    #[error("There is no identity for {0} here; join with its join string, or choose another.")]
    Unknown(WorkspaceId),
    /// The join string is for another workspace than the one that was asked for.
    #[error("The join string is for {join}, but `--workspace` names {wanted}; give one of them.")]
    Contradiction {
        /// What the join string is for.
        join: WorkspaceId,
        /// What was asked for.
        wanted: WorkspaceId,
    },
}

fn list(workspaces: &[WorkspaceId]) -> String {
    let names: Vec<String> = workspaces.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Chooses among the `stored` identities. A join string beside an identity of its workspace says
/// nothing new: it was used.
pub fn choose(
    stored: &[WorkspaceId],
    join: Option<WorkspaceId>,
    wanted: Option<WorkspaceId>,
) -> Result<Choice, NoChoice> {
    match (join, wanted, stored) {
        (Some(join), Some(wanted), _) if join != wanted => {
            Err(NoChoice::Contradiction { join, wanted })
        }
        (Some(join), _, _) if stored.contains(&join) => Ok(Choice::Stored(join)),
        (Some(join), _, _) => Ok(Choice::Join(join)),
        (None, Some(wanted), _) if stored.contains(&wanted) => Ok(Choice::Stored(wanted)),
        (None, Some(wanted), _) => Err(NoChoice::Unknown(wanted)),
        (None, None, []) => Err(NoChoice::None),
        (None, None, [only]) => Ok(Choice::Stored(*only)),
        (None, None, several) => Err(NoChoice::Several(several.to_vec())),
    }
}

/// The choice for a state directory and what was given on the command line.
pub(crate) fn choose_from(
    state: &StateDir,
    join: Option<&JoinString>,
    wanted: Option<WorkspaceId>,
) -> Result<Result<Choice, NoChoice>, IdentityError> {
    Ok(choose(&state.list()?, join.map(|join| join.workspace), wanted))
}

/// Takes the identity for this process, and clears away what a killed one left half-written.
pub(crate) async fn lock(
    state: &StateDir,
    workspace: &WorkspaceId,
) -> Result<StateLock, IdentityError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match state.lock(workspace) {
            Err(IdentityError::Locked { .. }) if Instant::now() < deadline => {
                sleep(LOCK_INTERVAL).await;
            }
            outcome => {
                let lock = outcome?;
                if let Err(error) = state.sweep(workspace) {
                    tracing::warn!(%error, "leftovers of a killed connector could not be removed");
                }
                return Ok(lock);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_chosen_or_the_reason_named() {
        let a: WorkspaceId = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let b: WorkspaceId = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ".parse().unwrap();
        for (stored, join, wanted, expected) in [
            (&[][..], None, None, Err(NoChoice::None)),
            (&[a][..], None, None, Ok(Choice::Stored(a))),
            (&[a, b][..], None, None, Err(NoChoice::Several(vec![a, b]))),
            (&[a, b][..], None, Some(b), Ok(Choice::Stored(b))),
            (&[a][..], None, Some(b), Err(NoChoice::Unknown(b))),
            (&[][..], Some(a), None, Ok(Choice::Join(a))),
            (&[a][..], Some(a), None, Ok(Choice::Stored(a))),
            (&[a][..], Some(b), None, Ok(Choice::Join(b))),
            (&[a, b][..], Some(b), Some(b), Ok(Choice::Stored(b))),
            (&[][..], Some(a), Some(b), Err(NoChoice::Contradiction { join: a, wanted: b })),
        ] {
            assert_eq!(choose(stored, join, wanted), expected);
        }
    }
}
