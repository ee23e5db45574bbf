//! Decides what becomes of a first message and of the link that it came on. Pure.

use std::time::SystemTime;

use certs::AgentIdentity;
use shared::codes::RefusalCode;
use shared::control::{Hello, Refusal, ToRelay, Version};
use shared::ids::{InstanceId, WorkspaceId};
use shared::limits::{VERSION_MAJOR, VERSION_MINOR};

use super::proof::Proof;

/// What the registry knows of the credential behind a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No workspace ever had it.
    Unknown,
    /// It belongs to this workspace and is good.
    Good(WorkspaceId),
    /// It belonged to a workspace and was revoked, or its time is over.
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
        Some(ToRelay::Join { version, .. } | ToRelay::Bootstrap { version }) => Some(*version),
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
pub fn check_proof(
    proof: &Proof,
    standing: Standing,
    now: SystemTime,
) -> Result<WorkspaceId, Refusal> {
    match proof {
        Proof::Certificate(identity) => check_identity(identity, standing, now, false),
        Proof::Token(_) => check_token(standing),
        Proof::Nothing => Err(refusal(
            RefusalCode::Unauthenticated,
            "The connector brought neither a certificate nor a token. Enrol it with a join string \
             (agent-connector join STRING), or give it the workspace's token (--token-file).",
        )),
    }
}

/// Judges the credential of a link that asks for a new certificate.
pub fn check_renewal(
    proof: &Proof,
    standing: Standing,
    now: SystemTime,
) -> Result<(WorkspaceId, &AgentIdentity), Refusal> {
    match proof {
        Proof::Certificate(identity) => {
            check_identity(identity, standing, now, true).map(|workspace| (workspace, identity))
        }
        Proof::Token(_) | Proof::Nothing => Err(refusal(
            RefusalCode::Unauthenticated,
            "Only a link that came with a certificate can have one renewed. Enrol with a join \
             string: agent-connector join STRING.",
        )),
    }
}

fn check_token(standing: Standing) -> Result<WorkspaceId, Refusal> {
    let (code, message) = match standing {
        Standing::Good(workspace) => return Ok(workspace),
        Standing::Unknown => (
            RefusalCode::UnknownCredential,
            "This token is no workspace token of this relay. Register the agent again for a new one.",
        ),
        Standing::Revoked => (
            RefusalCode::Revoked,
            "This workspace token was revoked, or its time is over. Ask the operator for a new one.",
        ),
        Standing::Gone => (
            RefusalCode::WorkspaceGone,
            "The workspace of this token was removed. Ask the operator for a new one.",
        ),
    };
    Err(refusal(code, message))
}

fn check_identity(
    identity: &AgentIdentity,
    standing: Standing,
    now: SystemTime,
    renewing: bool,
) -> Result<WorkspaceId, Refusal> {
    let workspace = match standing {
        Standing::Good(workspace) if workspace == identity.workspace => workspace,
        Standing::Good(_) => {
            return Err(refusal(
                RefusalCode::WrongWorkspace,
                format!(
                    "The certificate names {}, its key belongs to another.",
                    identity.workspace
                ),
            ));
        }
        Standing::Unknown => {
            return Err(refusal(
                RefusalCode::UnknownCredential,
                format!(
                    "The key of this certificate for {} is unknown to this relay. \
                     Enrol again with a new join string (relay workspace join).",
                    identity.workspace
                ),
            ));
        }
        Standing::Revoked => {
            return Err(refusal(
                RefusalCode::Revoked,
                format!(
                    "The credential of {} was revoked. Ask the operator for a new join string \
                     (relay workspace join).",
                    identity.workspace
                ),
            ));
        }
        Standing::Gone => {
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
    match hello.workspace_id {
        Some(named) if named != workspace => {
            return Err(refusal(
                RefusalCode::WrongWorkspace,
                format!("The credential is that of {workspace}, HELLO names {named}."),
            ));
        }
        None if hello.token.is_none() => {
            return Err(refusal(
                RefusalCode::Malformed,
                "HELLO without a token names a workspace.",
            ));
        }
        Some(_) | None => {}
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
    use shared::secret::Secret;
    use std::time::Duration;

    const MINE: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const OTHER: &str = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ";

    fn id(text: &str) -> WorkspaceId {
        text.parse().unwrap()
    }

    fn identity() -> Proof {
        let start = SystemTime::UNIX_EPOCH;
        Proof::Certificate(AgentIdentity {
            workspace: id(MINE),
            key_hash: KeyHash([1; 32]),
            not_before: start,
            not_after: start + Duration::from_secs(100),
        })
    }

    #[test]
    fn a_credential_is_judged_by_key_then_by_time() {
        let early = SystemTime::UNIX_EPOCH + Duration::from_secs(50);
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let me = identity();
        let good = Standing::Good(id(MINE));
        let other = Standing::Good(id(OTHER));
        for (standing, now, admitted, renewed) in [
            (good, early, Ok(id(MINE)), Ok(id(MINE))),
            (good, late, Err(RefusalCode::CertificateExpired), Ok(id(MINE))),
            (Standing::Revoked, late, Err(RefusalCode::Revoked), Err(RefusalCode::Revoked)),
            (
                Standing::Unknown,
                late,
                Err(RefusalCode::UnknownCredential),
                Err(RefusalCode::UnknownCredential),
            ),
            (
                Standing::Gone,
                early,
                Err(RefusalCode::WorkspaceGone),
                Err(RefusalCode::WorkspaceGone),
            ),
            (other, early, Err(RefusalCode::WrongWorkspace), Err(RefusalCode::WrongWorkspace)),
        ] {
            let verdict = check_proof(&me, standing, now).map_err(|refusal| refusal.code);
            assert_eq!(verdict, admitted, "{standing:?} at {now:?}");
            let verdict = check_renewal(&me, standing, now).map(|(workspace, _)| workspace);
            assert_eq!(verdict.map_err(|refusal| refusal.code), renewed, "{standing:?} at {now:?}");
        }
    }

    #[test]
    fn a_token_is_judged_like_a_key_and_is_never_renewed() {
        let (now, token) = (SystemTime::UNIX_EPOCH, Proof::of(None, Some("rtok_canary")));
        for (standing, expected) in [
            (Standing::Good(id(MINE)), Ok(id(MINE))),
            (Standing::Unknown, Err(RefusalCode::UnknownCredential)),
            (Standing::Revoked, Err(RefusalCode::Revoked)),
            (Standing::Gone, Err(RefusalCode::WorkspaceGone)),
        ] {
            let verdict = check_proof(&token, standing, now);
            assert!(!format!("{verdict:?}{token:?}").contains("canary"), "{verdict:?}");
            assert_eq!(verdict.map_err(|refusal| refusal.code), expected, "{standing:?}");
            let renewed = check_renewal(&token, standing, now).map_err(|refusal| refusal.code);
            assert_eq!(renewed.err(), Some(RefusalCode::Unauthenticated), "{standing:?}");
        }
        let nothing = check_proof(&Proof::Nothing, Standing::Unknown, now).unwrap_err();
        assert_eq!(nothing.code, RefusalCode::Unauthenticated);
    }

    #[test]
    fn a_certificate_outweighs_a_token_beside_it() {
        let Proof::Certificate(me) = identity() else { panic!("no certificate") };
        assert!(matches!(Proof::of(Some(me), Some("rtok_x")), Proof::Certificate(_)));
    }

    #[test]
    fn a_claim_does_not_outweigh_the_credential() {
        let mut hello = Hello {
            version: version(),
            software: String::new(),
            instance: InstanceId(1),
            attempt: 1,
            workspace_id: Some(id(OTHER)),
            token: None,
            exposure: Exposure::default(),
            origin: String::new(),
            also: Vec::new(),
            card: serde_json::Value::Null,
            status: Status::default(),
            beats_itself: false,
        };
        let refused = check_hello(&hello, id(MINE)).unwrap_err();
        assert_eq!(refused.code, RefusalCode::WrongWorkspace);
        hello.workspace_id = None;
        assert_eq!(check_hello(&hello, id(MINE)).unwrap_err().code, RefusalCode::Malformed);
        hello.token = Some(Secret::new("rtok_x".into()));
        assert_eq!(check_hello(&hello, id(MINE)), Ok(()));
        hello.workspace_id = Some(id(MINE));
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
