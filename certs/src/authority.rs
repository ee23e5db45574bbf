//! The relay's certificate authority: kept in two files, it signs the relay and its agents.

use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use shared::ids::WorkspaceId;

use crate::agent::urn;
use crate::csr::{CsrError, KeyError, KeyPair, proven_key};
use crate::files;
use crate::fingerprint::{CaFingerprint, KeyHash};
use crate::pem;
use crate::random::{RandomError, random_bytes};
use crate::time::{DAY, HOUR, certificate_time, system_time};

mod stored;

pub use stored::AuthorityError;

/// The one name in the certificate of every relay. Connectors expect it whatever host they dial,
/// since they know a relay by its authority's fingerprint; `.internal` never resolves in public.
pub const RELAY_NAME: &str = "relay.a2a-tunnel.internal";

/// How long an agent's certificate is valid, in days: short enough that a lost one dies by itself,
/// long enough that a laptop closed for two weeks renews (which it may from half of it on).
pub const AGENT_CERTIFICATE_DAYS: u32 = 30;

const AUTHORITY_DAYS: u32 = 3650;
const RELAY_CERTIFICATE_DAYS: u32 = 365;
const KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "ca.pem";

/// Why nothing could be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// No serial number.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// No key for the certificate.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The dates cannot stand in a certificate.
    #[error(
        "The certificate would be valid until a moment that no certificate can hold; \
         check the system's clock"
    )]
    Clock,
    /// The library refused.
    #[error("The certificate could not be signed ({0}); check the authority's key")]
    Sign(#[from] rcgen::Error),
}

/// The relay's certificate authority, ready to sign.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, rcgen::KeyPair>,
    certificate: CertificateDer<'static>,
}

/// What the relay shows to connectors: a certificate with the authority's behind it, and its key.
#[derive(Debug)]
pub struct RelayIdentity {
    /// The relay's certificate, then the authority's, of which connectors know the hash only.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the first.
    pub key: PrivateKeyDer<'static>,
}

/// A certificate that was signed for an agent.
#[derive(Debug, Clone)]
pub struct AgentCertificate {
    /// The agent's certificate, then the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key that it is for.
    pub key_hash: KeyHash,
    /// It is not valid after.
    pub not_after: SystemTime,
}

impl Authority {
    /// The authority in the folder `dir`: the one whose `ca.key` (PKCS#8) and `ca.pem` are there,
    /// or a new one, valid for ten years from `now`, when neither is. Files that are there are
    /// never changed, however broken.
    pub fn open_or_create(dir: &Path, now: SystemTime) -> Result<Self, AuthorityError> {
        stored::open_or_create(&dir.join(KEY_FILE), &dir.join(CERTIFICATE_FILE), now)
    }

    /// What connectors know the authority by.
    pub fn fingerprint(&self) -> CaFingerprint {
        CaFingerprint::of(&self.certificate)
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A new key and certificate for the relay itself, for TLS servers only, valid for a year
    /// from `now` and, for clocks that are behind, a day before. Lives in memory only: a relay
    /// that runs for months asks for another one in time.
    pub fn relay_identity(&self, now: SystemTime) -> Result<RelayIdentity, SignError> {
        let key = KeyPair::generate()?;
        let name = SanType::DnsName(RELAY_NAME.try_into()?);
        let mut params = leaf(RELAY_NAME, name, now - DAY..now + DAY * RELAY_CERTIFICATE_DAYS)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let private = key.private_key();
        let chain = self.sign(&params, &key.into_signer())?;
        Ok(RelayIdentity { chain, key: private })
    }

    /// Signs the key in the certificate request `csr_der` as the agent of `workspace`, for TLS
    /// clients only, valid for [`AGENT_CERTIFICATE_DAYS`] from `now` and an hour before. Nothing
    /// but the key is taken from the request, and its sender must hold the private half.
    pub fn sign_agent(
        &self,
        csr_der: &[u8],
        workspace: &WorkspaceId,
        now: SystemTime,
    ) -> Result<AgentCertificate, CsrError> {
        let not_after = now + DAY * AGENT_CERTIFICATE_DAYS;
        self.sign_agent_valid(csr_der, workspace, now - HOUR, not_after)
    }

    /// Like [`Authority::sign_agent`], with a validity of the caller's choice, whole seconds.
    pub fn sign_agent_valid(
        &self,
        csr_der: &[u8],
        workspace: &WorkspaceId,
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<AgentCertificate, CsrError> {
        let key = proven_key(csr_der)?;
        let uri = urn(workspace).try_into().map_err(SignError::Sign)?;
        let mut params = leaf(&workspace.to_string(), SanType::URI(uri), not_before..not_after)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(AgentCertificate {
            chain: self.sign(&params, &key)?,
            key_hash: KeyHash::of(&key.subject_public_key_info()),
            not_after: certificate_time(not_after).and_then(system_time).ok_or(SignError::Clock)?,
        })
    }

    fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<Vec<CertificateDer<'static>>, SignError> {
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(vec![certificate.der().clone(), self.certificate.clone()])
    }
}

/// What the relay's and the agents' certificates have in common.
fn leaf(
    subject: &str,
    name: SanType,
    validity: Range<SystemTime>,
) -> Result<CertificateParams, SignError> {
    let mut params = certificate(subject, validity)?;
    params.subject_alt_names = vec![name];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// What all certificates have in common: a subject to read in listings, 128 random bits as serial
/// number (RFC 5280, 4.1.2.2), and dates.
fn certificate(subject: &str, validity: Range<SystemTime>) -> Result<CertificateParams, SignError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.serial_number = Some(random_bytes::<16>()?.to_vec().into());
    let date = |moment| certificate_time(moment).ok_or(SignError::Clock);
    params.not_before = date(validity.start)?.to_datetime();
    params.not_after = date(validity.end)?.to_datetime();
    Ok(params)
}

#[cfg(test)]
mod tests;
