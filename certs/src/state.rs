//! The connector's state directory: one folder per workspace, each with a whole identity.
//!
//! `{state-dir}/{workspace}/` holds `identity.json` (where the relay is), `credential.pem` (key
//! and certificates, replaced as one) or `token` (a workspace token in their place), `pending.key`
//! (while an enrolment is under way) and `lock`.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use shared::ids::WorkspaceId;
use shared::secret::Secret;

use crate::csr::{KeyError, KeyPair};
use crate::files::{self, FileError};
use crate::identity::{
    Credential, Identity, IdentityError, Profile, ProfileFile, VERSION, check, key_from_pem,
};

const PROFILE: &str = "identity.json";
const CREDENTIAL: &str = "credential.pem";
const PENDING: &str = "pending.key";
const TOKEN: &str = "token";
const LOCK: &str = "lock";

/// A state directory. Cheap to clone; every call reads the disk anew.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// Keeps other connectors from using an identity until it is dropped, or its process ends.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// A new key for an identity that has a certificate already. Lives in memory until
/// [`PendingKey::complete`]; dropped before that, the old credential stays as it is.
#[derive(Debug)]
pub struct PendingKey {
    state: StateDir,
    workspace: WorkspaceId,
    key: KeyPair,
}

impl StateDir {
    /// The state directory at `path`, made with mode 0700 if it is missing.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, IdentityError> {
        let path = path.into();
        files::create_private_dir(&path)?;
        Ok(Self { path })
    }

    /// The state directory at `path`, which is made when something is first kept there.
    pub fn named(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The workspaces that have an identity here, in order; enrolments under way are not counted.
    pub fn list(&self) -> Result<Vec<WorkspaceId>, IdentityError> {
        let failed = |source| FileError::Read { path: self.path.clone(), source };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(workspace) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if [CREDENTIAL, TOKEN].iter().any(|name| self.file(&workspace, name).exists()) {
                found.push(workspace);
            }
        }
        found.sort();
        Ok(found)
    }

    /// The identity of `workspace`, checked to be whole. Files that are not are left as they are.
    pub fn load(&self, workspace: &WorkspaceId) -> Result<Identity, IdentityError> {
        let path = self.file(workspace, CREDENTIAL);
        let Some(credential) = self.credential(workspace)? else {
            let path = self.folder(workspace);
            return Err(IdentityError::Missing { workspace: *workspace, path });
        };
        Identity::new(self.profile(workspace)?, credential)
            .map_err(|why| IdentityError::Corrupt { path, why: why.to_string() })
    }

    /// The workspace token that is kept for `workspace`, and what is known of its relay. A certificate
    /// beside it outweighs it: then there is none.
    pub fn load_token(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Option<(Profile, Secret)>, IdentityError> {
        if self.file(workspace, CREDENTIAL).exists() {
            return Ok(None);
        }
        let path = self.token_file(workspace);
        let Some(bytes) = files::read_private_if_present(&path)? else { return Ok(None) };
        let text = String::from_utf8(bytes).unwrap_or_default();
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let why = "it holds no token".to_owned();
            return Err(IdentityError::Corrupt { path, why });
        }
        Ok(Some((self.profile(workspace)?, Secret::new(text.to_owned()))))
    }

    /// Keeps a workspace token and `profile` in place of an identity.
    pub fn save_token(&self, profile: &Profile, token: &Secret) -> Result<(), IdentityError> {
        self.save_profile(profile)?;
        let path = self.token_file(&profile.workspace);
        Ok(files::write_private(&path, token.reveal().as_bytes())?)
    }

    /// Where the workspace token of `workspace` is kept, if one is.
    pub fn token_file(&self, workspace: &WorkspaceId) -> PathBuf {
        self.file(workspace, TOKEN)
    }

    /// Forgets the workspace token that is kept for `workspace`, which must be locked; that there is
    /// none is no error.
    pub fn forget_token(&self, workspace: &WorkspaceId) -> Result<(), IdentityError> {
        Ok(files::remove(&self.token_file(workspace))?)
    }

    /// Removes what a killed process left half-written for `workspace`, which must be locked.
    pub fn sweep(&self, workspace: &WorkspaceId) -> Result<(), IdentityError> {
        Ok(files::sweep(&self.folder(workspace), files::STAGED)?)
    }

    /// Takes the identity of `workspace` for this process. The folder is made if it is missing,
    /// so that an enrolment can be locked too.
    pub fn lock(&self, workspace: &WorkspaceId) -> Result<StateLock, IdentityError> {
        files::create_private_dir(&self.folder(workspace))?;
        let path = self.file(workspace, LOCK);
        let failed = |path, source| FileError::Write { path, source };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| failed(path.clone(), source))?;
        match file.try_lock() {
            Ok(()) => Ok(StateLock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(IdentityError::Locked { workspace: *workspace, path })
            }
            Err(TryLockError::Error(source)) => Err(failed(path, source).into()),
        }
    }

    /// The key with which `workspace` is being enrolled: the one of an enrolment whose answer was
    /// lost, so that it may be asked for again, or else a new one, on disk before it is used.
    pub fn pending_key(&self, workspace: &WorkspaceId) -> Result<KeyPair, IdentityError> {
        let path = self.file(workspace, PENDING);
        if let Some(pem) = files::read_private_if_present(&path)? {
            let key = key_from_pem(&pem)
                .map_err(|why| IdentityError::Corrupt { path: path.clone(), why })?;
            // A crash may have left the key of an enrolment that was completed.
            let used = self.credential(workspace).ok().flatten();
            if used.is_none_or(|used| used.key.key_hash() != key.key_hash()) {
                return Ok(key);
            }
        }
        files::create_private_dir(&self.folder(workspace))?;
        let key = KeyPair::generate()?;
        files::write_private(&path, key.to_pem().as_bytes())?;
        Ok(key)
    }

    /// Completes an enrolment: keeps `profile`, `key` and `chain` as an identity, in place of
    /// any that was there, and forgets the pending key.
    pub fn save(
        &self,
        profile: &Profile,
        key: KeyPair,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<Identity, IdentityError> {
        let workspace = &profile.workspace;
        let credential = Credential { key, chain };
        refuse_mismatch(profile, &credential)?;
        self.save_profile(profile)?;
        self.write_credential(workspace, &credential)?;
        files::remove(&self.file(workspace, PENDING))?;
        self.load(workspace)
    }

    /// Keeps what is known of the relay, such as endpoints that it announced.
    pub fn save_profile(&self, profile: &Profile) -> Result<(), IdentityError> {
        files::create_private_dir(&self.folder(&profile.workspace))?;
        let path = self.file(&profile.workspace, PROFILE);
        let content = ProfileFile {
            version: VERSION,
            workspace_id: profile.workspace,
            endpoints: profile.endpoints.clone(),
            relay_ca: profile.ca,
            public_url: profile.public_url.clone(),
            host_url: profile.host_url.clone(),
            worked: profile.worked.clone(),
        };
        let json = serde_json::to_vec_pretty(&content)
            .map_err(|error| FileError::Write { path: path.clone(), source: error.into() })?;
        Ok(files::write_private(&path, &json)?)
    }

    /// A new key for the identity of `workspace`, which stays as it is until the renewal is
    /// completed.
    pub fn begin_renewal(&self, workspace: &WorkspaceId) -> Result<PendingKey, IdentityError> {
        self.load(workspace)?;
        let key = KeyPair::generate()?;
        Ok(PendingKey { state: self.clone(), workspace: *workspace, key })
    }

    fn folder(&self, workspace: &WorkspaceId) -> PathBuf {
        self.path.join(workspace.to_string())
    }

    fn file(&self, workspace: &WorkspaceId, name: &str) -> PathBuf {
        self.folder(workspace).join(name)
    }

    fn credential(&self, workspace: &WorkspaceId) -> Result<Option<Credential>, IdentityError> {
        let path = self.file(workspace, CREDENTIAL);
        let Some(pem) = files::read_private_if_present(&path)? else { return Ok(None) };
        let credential =
            Credential::from_pem(&pem).map_err(|why| IdentityError::Corrupt { path, why })?;
        Ok(Some(credential))
    }

    fn write_credential(
        &self,
        workspace: &WorkspaceId,
        credential: &Credential,
    ) -> Result<(), FileError> {
        let path = self.file(workspace, CREDENTIAL);
        files::write_private(&path, credential.to_pem().as_bytes())
    }

    fn profile(&self, workspace: &WorkspaceId) -> Result<Profile, IdentityError> {
        #[derive(serde::Deserialize)]
        struct Versioned {
            version: u32,
        }
        let path = self.file(workspace, PROFILE);
        let json = files::read_private(&path)?;
        let corrupt = |why| IdentityError::Corrupt { path: path.clone(), why };
        let not_json = |error: serde_json::Error| corrupt(error.to_string());
        let Versioned { version } = serde_json::from_slice(&json).map_err(not_json)?;
        if version != VERSION {
            return Err(IdentityError::NewerVersion { path, version });
        }
        let file: ProfileFile = serde_json::from_slice(&json).map_err(not_json)?;
        if file.workspace_id != *workspace {
            return Err(corrupt(format!("it is about {}", file.workspace_id)));
        }
        Ok(Profile {
            workspace: file.workspace_id,
            endpoints: file.endpoints,
            ca: file.relay_ca,
            public_url: file.public_url,
            host_url: file.host_url,
            worked: file.worked,
        })
    }
}

impl PendingKey {
    /// The certificate request (PKCS#10, DER) to send to the relay.
    pub fn csr_der(&self) -> Result<Vec<u8>, KeyError> {
        self.key.csr_der()
    }

    /// Keeps the new key with the certificates that the relay signed for it, in place of the old
    /// pair. On an error the old pair is still there, whole.
    pub fn complete(self, chain: Vec<CertificateDer<'static>>) -> Result<Identity, IdentityError> {
        let credential = Credential { key: self.key, chain };
        refuse_mismatch(&self.state.profile(&self.workspace)?, &credential)?;
        self.state.write_credential(&self.workspace, &credential)?;
        self.state.load(&self.workspace)
    }
}

fn refuse_mismatch(profile: &Profile, credential: &Credential) -> Result<(), IdentityError> {
    let workspace = profile.workspace;
    check(&credential.chain, &workspace, profile.ca, credential.key.key_hash())
        .map(|_| ())
        .map_err(|why| IdentityError::Refused { workspace, why })
}

#[cfg(test)]
mod tests;
