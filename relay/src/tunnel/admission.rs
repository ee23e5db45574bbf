//! Decides what becomes of a first message and of the link that it came on. Pure.

use std::time::SystemTime;

use certs::AgentIdentity;
use shared::codes::RefusalCode;
use shared::control::{Hello, Refusal, ToRelay, Version};
use shared::ids::{InstanceId, WorkspaceId};
use shared::limits::{VERSION_MAJOR, VERSION_MINOR};

/// What the registry knows of the key behind a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStanding {
    /// No workspace ever had it.
    Unknown,
    /// It belongs to this workspace and is good.
    Good(WorkspaceId),
    /// It belonged to a workspace and was revoked.
    Revoked,
    /// Its workspace was removed.
    Gone,
}

/// This relay's version.
pub const fn version() -> Version {
    Version { major: VERSION_MAJOR, minor: VERSION_MINOR }
}

/// A refusal in this relay's name.
pub fn refusal(code: RefusalCode, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into(), version: version(), retry_after_ms: None }
}

/// Refuses another major version, naming both.
pub fn check_version(theirs: Version) -> Result<(), Refusal> {
    if theirs.major == VERSION_MAJOR {
        return Ok(());
    }
    Err(refusal(
        RefusalCode::Version,
        format!(
            "This relay speaks tunnel protocol {VERSION_MAJOR}, the connector speaks {}. \
             Install an agent-connector of the relay's version.",
            theirs.major
        ),
    ))
}

/// Refuses whoever agreed on no version in TLS. Its first message names its own, if it can be read.
pub fn no_common_version(first: Option<&ToRelay>) -> Refusal {
    let theirs = match first {
        Some(ToRelay::Hello(hello)) => Some(hello.version),
        Some(ToRelay::Join { version, .. }) => Some(*version),
        _ => None,
    };
    theirs.and_then(|theirs| check_version(theirs).err()).unwrap_or_else(|| {
        refusal(
            RefusalCode::Version,
            format!(
                "This relay speaks tunnel protocol {VERSION_MAJOR}. Install an agent-connector of \
                 its version."
            ),
        )
    })
}

/// Judges the credential of a link: who it is, or why not.
pub fn check_identity(
    identity: Option<&AgentIdentity>,
    standing: KeyStanding,
    now: SystemTime,
    renewing: bool,
) -> Result<WorkspaceId, Refusal> {
    let Some(identity) = identity else {
        return Err(refusal(
            RefusalCode::Unauthenticated,
            "The connector brought no certificate. Enrol it with a join string: \
             agent-connector join STRING.",
        ));
    };
    let workspace = match standing {
        KeyStanding::Good(workspace) if workspace == identity.workspace => workspace,
        KeyStanding::Good(_) => {
            return Err(refusal(
                RefusalCode::WrongWorkspace,
                format!(
                    "The certificate names {}, its key belongs to another.",
                    identity.workspace
                ),
            ));
        }
        KeyStanding::Unknown => {
            return Err(refusal(
                RefusalCode::UnknownCredential,
                format!(
                    "The key of this certificate for {} is unknown to this relay. \
                     Enrol again with a new join string (relay workspace join).",
                    identity.workspace
                ),
            ));
        }
        KeyStanding::Revoked => {
            return Err(refusal(
                RefusalCode::Revoked,
                format!(
                    "The credential of {} was revoked. Ask the operator for a new join string \
                     (relay workspace join).",
                    identity.workspace
                ),
            ));
        }
        KeyStanding::Gone => {
            return Err(refusal(
                RefusalCode::WorkspaceGone,
                format!(
                    "Workspace {} was removed. Ask the operator for a new one (relay workspace add).",
                    identity.workspace
                ),
            ));
        }
    };
    if !renewing && now >= identity.not_after {
        return Err(refusal(
            RefusalCode::CertificateExpired,
            format!("The certificate of {workspace} has expired. Its key is known: renew it."),
        ));
    }
    Ok(workspace)
}

/// Holds HELLO to the credential: identity never comes from a claim.
pub fn check_hello(hello: &Hello, workspace: WorkspaceId) -> Result<(), Refusal> {
    check_version(hello.version)?;
    if hello.workspace_id != workspace {
        return Err(refusal(
            RefusalCode::WrongWorkspace,
            format!("The certificate is that of {workspace}, HELLO names {}.", hello.workspace_id),
        ));
    }
    if !hello.exposure.is_bounded() {
        return Err(refusal(RefusalCode::Malformed, "The exposure list has more than 256 rules."));
    }
    Ok(())
}

/// What a new link of a workspace is to the one that is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// There is none: serve the new one.
    First,
    /// Same process, a later attempt: the new one takes new exchanges, the old one drains.
    Succeed,
    /// Another process: the old one is told REPLACED and drains.
    Replace,
    /// Same process, and not a later attempt: the old one was registered first and stays.
    Redundant,
}

/// Decides between a live link and a new one of the same workspace.
pub fn succession(live: Option<(InstanceId, u64)>, new: (InstanceId, u64)) -> Succession {
    match live {
        None => Succession::First,
        Some((instance, _)) if instance != new.0 => Succession::Replace,
        Some((_, attempt)) if new.1 > attempt => Succession::Succeed,
        Some(_) => Succession::Redundant,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certs::KeyHash;
    use shared::control::Status;
    use shared::exposure::Exposure;
    use std::time::Duration;

    const MINE: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const OTHER: &str = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ";

    fn id(text: &str) -> WorkspaceId {
        text.parse().unwrap()
    }

    fn identity() -> AgentIdentity {
        let start = SystemTime::UNIX_EPOCH;
        AgentIdentity {
            workspace: id(MINE),
            key_hash: KeyHash([1; 32]),
            not_before: start,
            not_after: start + Duration::from_secs(100),
        }
    }

    #[test]
    fn a_credential_is_judged_by_key_then_by_time() {
        let early = SystemTime::UNIX_EPOCH + Duration::from_secs(50);
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let me = identity();
        let good = KeyStanding::Good(id(MINE));
        let cases = [
            (Some(&me), good, early, false, Ok(id(MINE))),
            (Some(&me), good, late, false, Err(RefusalCode::CertificateExpired)),
            (Some(&me), good, late, true, Ok(id(MINE))),
            (Some(&me), KeyStanding::Revoked, late, true, Err(RefusalCode::Revoked)),
            (Some(&me), KeyStanding::Unknown, late, true, Err(RefusalCode::UnknownCredential)),
            (Some(&me), KeyStanding::Gone, early, false, Err(RefusalCode::WorkspaceGone)),
            (
                Some(&me),
                KeyStanding::Good(id(OTHER)),
                early,
                false,
                Err(RefusalCode::WrongWorkspace),
            ),
            (None, KeyStanding::Unknown, early, false, Err(RefusalCode::Unauthenticated)),
        ];
        for (identity, standing, now, renewing, expected) in cases {
            let verdict = check_identity(identity, standing, now, renewing).map_err(|r| r.code);
            assert_eq!(verdict, expected, "{standing:?} at {now:?}, renewing {renewing}");
        }
    }

    #[test]
    fn a_claim_does_not_outweigh_the_credential() {
        let mut hello = Hello {
            version: version(),
            software: String::new(),
            instance: InstanceId(1),
            attempt: 1,
            workspace_id: id(OTHER),
            exposure: Exposure::default(),
            origin: String::new(),
            card: serde_json::Value::Null,
            status: Status::default(),
        };
        let refused = check_hello(&hello, id(MINE)).unwrap_err();
        assert_eq!(refused.code, RefusalCode::WrongWorkspace);
        hello.workspace_id = id(MINE);
        assert_eq!(check_hello(&hello, id(MINE)), Ok(()));
        hello.version.minor += 1;
        assert_eq!(check_hello(&hello, id(MINE)), Ok(()));
        hello.version.major += 1;
        let refused = check_hello(&hello, id(MINE)).unwrap_err();
        assert_eq!(refused.code, RefusalCode::Version);
    }

    #[test]
    fn the_newest_process_wins_and_one_attempts_first_link() {
        let (a, b) = (InstanceId(1), InstanceId(2));
        for (live, new, expected) in [
            (None, (a, 1), Succession::First),
            (Some((a, 1)), (a, 1), Succession::Redundant),
            (Some((a, 2)), (a, 1), Succession::Redundant),
            (Some((a, 1)), (a, 2), Succession::Succeed),
            (Some((a, 9)), (b, 1), Succession::Replace),
        ] {
            assert_eq!(succession(live, new), expected);
        }
    }
}
