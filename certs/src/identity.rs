//! What a connector is: its workspace, its relay, and the certificate that proves it.

use std::path::PathBuf;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use shared::ids::WorkspaceId;

use crate::agent::{AgentIdentity, NotAnAgent};
use crate::csr::{KeyError, KeyPair};
use crate::files::FileError;
use crate::fingerprint::{CaFingerprint, KeyHash};
use crate::pem;

/// The version of `identity.json` that this connector writes and reads.
pub(crate) const VERSION: u32 = 1;

/// Why an identity could not be read, kept or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is none for this workspace.
    #[error(
        "There is no identity for {workspace} in {}; join with `--join`, or name the right \
         state directory",
        path.display()
    )]
    Missing {
        /// The workspace.
        workspace: WorkspaceId,
        /// Where its identity would be.
        path: PathBuf,
    },
    /// A file does not hold what it should.
    #[error(
        "The file {} is unusable: {why}; it was left as it is, so put a good copy in its place, \
         or move its folder away and join again",
        path.display()
    )]
    Corrupt {
        /// The file, left as it is.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file was written by a later connector.
    #[error(
        "The file {} is of version {version}, but this connector reads version {VERSION}; \
         update the connector",
        path.display()
    )]
    NewerVersion {
        /// The file, left as it is.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Another process uses the identity.
    #[error(
        "Another connector is running with the identity of {workspace} (it holds {}); stop it, \
         or give this one another identity or state directory",
        path.display()
    )]
    Locked {
        /// The workspace.
        workspace: WorkspaceId,
        /// The lock's file.
        path: PathBuf,
    },
    /// What the relay signed is not what was asked for.
    #[error(
        "The certificate that the relay sent for {workspace} is unusable: {why}; nothing was \
         changed, so try again, and tell the relay's operator if it stays"
    )]
    Refused {
        /// The workspace.
        workspace: WorkspaceId,
        /// What is wrong with it.
        why: CredentialMismatch,
    },
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why a certificate chain and a key are not the credential of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialMismatch {
    /// There is no certificate at all.
    #[error("the chain holds no certificate")]
    Empty,
    /// The first certificate is not an agent's.
    #[error("its first certificate is not an agent's ({0})")]
    NotAnAgent(#[from] NotAnAgent),
    /// It names another workspace.
    #[error("it names {named}")]
    Workspace {
        /// The workspace that it names.
        named: WorkspaceId,
    },
    /// It is for another key.
    #[error("it is for another key")]
    Key,
    /// It comes from another relay.
    #[error("the relay's authority {ca} is not in its chain")]
    Authority {
        /// The authority that was expected.
        ca: CaFingerprint,
    },
}

/// What a connector knows of its relay, apart from secrets. Kept in `identity.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The workspace that the agent is.
    pub workspace: WorkspaceId,
    /// Where the relay takes links, as `host:port`.
    pub endpoints: Vec<String>,
    /// The relay's certificate authority.
    pub ca: CaFingerprint,
    /// The agent's public URL, once the relay has told it.
    pub public_url: Option<String>,
    /// The agent's URL at a host of its own, if the relay has told one.
    pub host_url: Option<String>,
    /// How the last link came about, once there was one.
    pub worked: Option<Worked>,
}

/// How a link came about: tried first the next time, and never alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worked {
    /// The name of what carried it.
    pub transport: String,
    /// The one of the relay's endpoints that answered.
    pub endpoint: String,
}

/// A complete identity: with it a connector can dial.
#[derive(Debug)]
pub struct Identity {
    /// The workspace that the agent is.
    pub workspace: WorkspaceId,
    /// Where the relay takes links, as `host:port`.
    pub endpoints: Vec<String>,
    /// The relay's certificate authority.
    pub ca: CaFingerprint,
    /// The agent's public URL, once the relay has told it.
    pub public_url: Option<String>,
    /// The agent's URL at a host of its own, if the relay has told one.
    pub host_url: Option<String>,
    /// How the last link came about, once there was one.
    pub worked: Option<Worked>,
    /// The agent's certificate, then the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the first.
    pub key: PrivateKeyDer<'static>,
    /// The certificate is not valid before.
    pub not_before: SystemTime,
    /// The certificate is not valid after.
    pub not_after: SystemTime,
}

impl Identity {
    /// What is known of the relay, to be changed and saved again.
    pub fn profile(&self) -> Profile {
        Profile {
            workspace: self.workspace,
            endpoints: self.endpoints.clone(),
            ca: self.ca,
            public_url: self.public_url.clone(),
            host_url: self.host_url.clone(),
            worked: self.worked.clone(),
        }
    }

    /// Chain and key, as [`connector_tls`](crate::connector_tls) takes them.
    pub fn credential(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), self.key.clone_key())
    }

    /// Whether half of the certificate's validity is over at `now`.
    pub fn needs_renewal(&self, now: SystemTime) -> bool {
        let validity = self.not_after.duration_since(self.not_before).unwrap_or_default();
        now.duration_since(self.not_before).is_ok_and(|age| age >= validity / 2)
    }

    /// Whether the certificate's time is over at `now`.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        now > self.not_after
    }

    pub(crate) fn new(
        profile: Profile,
        credential: Credential,
    ) -> Result<Self, CredentialMismatch> {
        let key_hash = credential.key.key_hash();
        let agent = check(&credential.chain, &profile.workspace, profile.ca, key_hash)?;
        Ok(Self {
            workspace: profile.workspace,
            endpoints: profile.endpoints,
            ca: profile.ca,
            public_url: profile.public_url,
            host_url: profile.host_url,
            worked: profile.worked,
            chain: credential.chain,
            key: credential.key.private_key(),
            not_before: agent.not_before,
            not_after: agent.not_after,
        })
    }
}

/// Whether `chain` is what the authority `ca` signs for the key of `workspace`.
pub(crate) fn check(
    chain: &[CertificateDer<'_>],
    workspace: &WorkspaceId,
    ca: CaFingerprint,
    key: KeyHash,
) -> Result<AgentIdentity, CredentialMismatch> {
    let (first, issuers) = chain.split_first().ok_or(CredentialMismatch::Empty)?;
    let agent = AgentIdentity::from_certificate(first)?;
    if agent.workspace != *workspace {
        return Err(CredentialMismatch::Workspace { named: agent.workspace });
    }
    if agent.key_hash != key {
        return Err(CredentialMismatch::Key);
    }
    if !issuers.iter().any(|issuer| CaFingerprint::of(issuer) == ca) {
        return Err(CredentialMismatch::Authority { ca });
    }
    Ok(agent)
}

/// A key and its certificates, as they stand together in `credential.pem`, so that no moment
/// exists at which one is of another renewal than the other.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) key: KeyPair,
    pub(crate) chain: Vec<CertificateDer<'static>>,
}

impl Credential {
    pub(crate) fn to_pem(&self) -> String {
        let certificates = self.chain.iter().map(|der| pem::block("CERTIFICATE", der));
        std::iter::once(self.key.to_pem()).chain(certificates).collect()
    }

    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        Ok(Self {
            key: key_from_pem(pem)?,
            chain: chain.map_err(|error| format!("its certificates are damaged ({error})"))?,
        })
    }
}

pub(crate) fn key_from_pem(pem: &[u8]) -> Result<KeyPair, String> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem)
        .map_err(|error| format!("it holds no private key in PKCS#8 PEM ({error})"))?;
    KeyPair::from_pkcs8_der(der.secret_pkcs8_der()).map_err(|error| error.to_string())
}

/// `identity.json` as it stands in the file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProfileFile {
    pub(crate) version: u32,
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) endpoints: Vec<String>,
    pub(crate) relay_ca: CaFingerprint,
    pub(crate) public_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worked: Option<Worked>,
}
