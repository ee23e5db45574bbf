//! The agent's own way to the platform: a workspace token in place of an identity, calls over the
//! link, and the platform on loopback.

mod bootstrap;
mod calls;
mod noted;
mod platform;
mod push;
mod tokens;

use certs::JoinString;
use tests::operator::WorkspaceHandle;

/// The relay's authority, as `--relay-ca` takes it.
pub(crate) fn ca_of(workspace: &WorkspaceHandle) -> String {
    workspace.join.parse::<JoinString>().expect("a join string").ca.to_string()
}
