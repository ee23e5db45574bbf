//! Why a connector ends, other than by wish, and with which exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use certs::{IdentityError, JoinError};

use crate::forward::UnusableOrigin;
use crate::identity::NoChoice;
use crate::tunnel::error::LinkError;

/// Why a connector cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// What it was told cannot be used.
    #[error("{0}")]
    Config(String),
    /// It cannot tell which identity to take.
    #[error(transparent)]
    NoChoice(#[from] NoChoice),
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The local agent's address cannot be used.
    #[error(transparent)]
    Origin(#[from] UnusableOrigin),
    /// The join string cannot be used.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The relay refuses the credential for good.
    #[error("{0}")]
    Refused(#[source] LinkError),
    /// The token that the agent's registration gave is over, and was forgotten.
    #[error(
        "{0} The token came from the agent's registration, and is forgotten now: start the connector \
         again as before and let the agent register again, or give it a join string (`--join`)."
    )]
    Forgotten(#[source] LinkError),
    /// The relay does not take the token that the agent's registration gave; it is kept.
    #[error(
        "{error} The token came from the agent's registration and is kept in {}: if the relay is the \
         right one, move that file away, start the connector again as before, and let the agent \
         register again.",
        path.display()
    )]
    RefusedToken {
        /// What the relay said.
        #[source]
        error: LinkError,
        /// Where the token is.
        path: PathBuf,
    },
    /// This machine cannot keep or use the identity.
    #[error("{0}")]
    Local(#[source] LinkError),
    /// The two ends share no version.
    #[error("{0}")]
    Version(#[source] LinkError),
    /// The relay cannot be reached.
    #[error("{0}")]
    Unreachable(#[source] LinkError),
    /// The local agent does not answer.
    #[error(
        "The local agent at {0} does not answer. Start it, or check the port given to \
         agent-connector."
    )]
    LocalDown(String),
}

impl ConnectorError {
    /// The exit code that tells a supervisor what to do.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config(_)
            | Self::NoChoice(_)
            | Self::Identity(_)
            | Self::Origin(_)
            | Self::Local(_)
            | Self::Version(_) => 3,
            Self::Join(_) | Self::Refused(_) | Self::Forgotten(_) | Self::RefusedToken { .. } => 4,
            Self::Unreachable(_) => 5,
            Self::LocalDown(_) => 6,
        })
    }
}
