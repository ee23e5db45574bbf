//! What can go wrong with the registry: at opening, at an intent, at joining.

use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};
use shared::ids::{Alias, WorkspaceId};

use super::credential::CredentialId;
use super::model::{BadName, BadRole};
use super::secret::SecretName;

/// Why the store could not be opened. The file is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refused to read or make the file.
    #[error(
        "The store {} cannot be opened: {detail}. Check that its folder exists and that this \
         user may write there.", path.display()
    )]
    Unreachable {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Another process has it open.
    #[error(
        "The store {} is in use by another process; stop that relay first, or give this one a \
         store of its own.", path.display()
    )]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// The file is no SQLite database, or a database of something else.
    #[error(
        "The file {} is not a relay's store: {detail}. It was not changed; name another file, \
         or put a backup in its place (relay restore BACKUP).", path.display()
    )]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// How it is known.
        detail: String,
    },
    /// The store is damaged.
    #[error(
        "The store {} is damaged: {detail}. It was not changed; put a backup in its place (relay \
         restore BACKUP), which keeps this one under another name.", path.display()
    )]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The write-ahead log is there, the store is not.
    #[error(
        "The store {path} is missing, but its log {path}-wal is there; put the store back beside \
         its log, or move the log away to begin with an empty store.", path = path.display()
    )]
    Missing {
        /// The store's file.
        path: PathBuf,
    },
    /// A newer relay wrote it.
    #[error(
        "The store {} has version {found} and this relay knows versions up to {known}. It was \
         not changed; start it with the newer relay that wrote it.", path.display()
    )]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// The version it has.
        found: i64,
        /// The last version this relay knows.
        known: i64,
    },
}

impl OpenError {
    /// The same of another file, of which the first was a copy.
    pub(super) fn about(mut self, file: &Path) -> Self {
        let (Self::Unreachable { path, .. }
        | Self::InUse { path }
        | Self::NotAStore { path, .. }
        | Self::Damaged { path, .. }
        | Self::Missing { path }
        | Self::Newer { path, .. }) = &mut self;
        file.clone_into(path);
        self
    }
}

/// Why an intent was not carried out. Nothing of it was stored, unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store could not be written or read.
    #[error(
        "The registry's store cannot do this now: {reason}. Try again, and look into the relay's \
         log if it lasts."
    )]
    Unavailable {
        /// What the store said.
        reason: String,
    },
    /// The store failed for good, see [`super::Registry::failed`]. Whether the intent was stored
    /// shows after the next start.
    #[error(
        "The registry's store has failed: {reason}. The relay ends; see whether this was done when \
         it is back."
    )]
    Broken {
        /// What the store said.
        reason: String,
    },
    /// There is no such workspace.
    #[error("There is no workspace {id}; list the workspaces to see which there are.")]
    UnknownWorkspace {
        /// The id that was asked for.
        id: WorkspaceId,
    },
    /// The workspace was there and has been removed.
    #[error("The workspace {id} has been removed for good; make a new one.")]
    WorkspaceGone {
        /// The id that was asked for.
        id: WorkspaceId,
    },
    /// Another workspace has the alias.
    #[error("The alias {alias} is taken by another workspace; choose another or free it there.")]
    AliasTaken {
        /// The alias that was asked for.
        alias: Alias,
    },
    /// An id, an address or a token that should be fresh has been used before.
    #[error("The new {what} has been used before; make a fresh one and try again.")]
    NotFresh {
        /// What should be fresh.
        what: &'static str,
    },
    /// The name cannot be the name of a workspace or of a credential.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// The role cannot be the role of a workspace.
    #[error(transparent)]
    BadRole(#[from] BadRole),
    /// The key speaks for another workspace.
    #[error(
        "This key already speaks for another workspace; make a key of its own for the workspace \
         {id}."
    )]
    KeyOfAnother {
        /// The workspace it was brought to.
        id: WorkspaceId,
    },
    /// The key was revoked, so it cannot be renewed.
    #[error("This key of the workspace {id} was revoked; join again with a new join string.")]
    KeyRevoked {
        /// The workspace it spoke for.
        id: WorkspaceId,
    },
    /// There would be more than there may be.
    #[error("There can be {most} {what} and no more; take some away first.")]
    TooMany {
        /// What there would be too many of.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// There is no such credential, or it is another's.
    #[error("There is no credential {id}; list the credentials to see which there are.")]
    UnknownCredential {
        /// The id that was asked for.
        id: CredentialId,
    },
    /// The workspace has no such secret.
    #[error("There is no secret {name}; list the workspace's secrets to see which there are.")]
    UnknownSecret {
        /// The name that was asked for.
        name: SecretName,
    },
    /// The workspace has no counterpart on the platform.
    #[error("The workspace {id} has no counterpart on the platform yet; try again in a moment.")]
    NoBond {
        /// Which one.
        id: WorkspaceId,
    },
    /// Another workspace has that counterpart.
    #[error("Another workspace of this relay has that id on the platform; each can have one only.")]
    UpstreamTaken,
    /// The platform's token does not open: its sealing key is missing, or it is damaged.
    #[error(
        "The platform's token of the workspace {id} cannot be opened; start the relay with the \
         sealing key that was used for it, or give the token again."
    )]
    TokenSealed {
        /// Whose it is.
        id: WorkspaceId,
    },
    /// Secrets do not open: their sealing key is missing, or they are damaged.
    #[error(
        "The secrets {} cannot be opened; start the relay with the sealing key that was used for \
         them, or set them again.",
        names.iter().map(SecretName::as_str).collect::<Vec<_>>().join(", ")
    )]
    Sealed {
        /// Which ones.
        names: Vec<SecretName>,
    },
}

/// Why a join token let nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// No such token, or it was revoked, or it expired long ago.
    #[error("This join string is not known here; ask the relay's operator for a new one.")]
    Unknown,
    /// Other keys have used it up.
    #[error("This join string has been used; ask the relay's operator for a new one.")]
    Used,
    /// Its time is over.
    #[error("This join string has expired; ask the relay's operator for a new one.")]
    Expired,
    /// Its workspace was removed.
    #[error("The workspace of this join string was removed; ask the relay's operator for another.")]
    WorkspaceGone,
}

/// Anything that the database did not do, where the intent has no better name for it.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if is_final(&error) {
            return Self::Broken { reason: told(&error) };
        }
        Self::Unavailable { reason: told(&error) }
    }
}

/// Whether nobody knows any longer what the disk holds. After a failed sync a second one may claim
/// success for what the first one lost. What may heal is not final: a full disk, and a disk that
/// takes no writes for a while.
fn is_final(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_extended_error_code(),
        Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
    ) || matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// SQLite has one sentence for all that a disk can do; its number tells them apart.
fn told(error: &rusqlite::Error) -> String {
    match error.sqlite_extended_error_code() {
        Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC) => {
            format!("the disk did not confirm what was written ({error})")
        }
        Some(code) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
            format!("{error} ({code})")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sync_is_final_and_what_may_heal_is_not() {
        let of = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into();
        for code in [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_DIR_FSYNC,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
        ] {
            assert!(matches!(of(code), StoreError::Broken { .. }), "{code}");
        }
        for code in [
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_IOERR_TRUNCATE,
            ffi::SQLITE_BUSY,
            ffi::SQLITE_CANTOPEN,
        ] {
            assert!(matches!(of(code), StoreError::Unavailable { .. }), "{code}");
        }
    }
}
