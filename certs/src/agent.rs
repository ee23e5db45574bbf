//! Who an agent is, by its certificate alone.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use shared::ids::WorkspaceId;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::fingerprint::KeyHash;
use crate::time::system_time;

/// What stands before the workspace id in the one name of an agent's certificate.
const URN: &str = "urn:a2a-tunnel:workspace:";

/// What an agent's certificate says. Whether the relay's authority signed it is for TLS to check
/// ([`relay_tls`](crate::relay_tls)); whether it is expired or revoked is for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentIdentity {
    /// The workspace that the agent is.
    pub workspace: WorkspaceId,
    /// The key that the certificate is for.
    pub key_hash: KeyHash,
    /// The certificate is not valid before.
    pub not_before: SystemTime,
    /// The certificate is not valid after.
    pub not_after: SystemTime,
}

/// Why a certificate is not an agent's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAgent {
    /// It cannot be parsed.
    #[error("The certificate is not X.509 in DER; join again to get a new one")]
    Malformed,
    /// It has no name, several, or one that is no workspace.
    #[error(
        "The certificate does not name exactly one workspace as `urn:a2a-tunnel:workspace:ws_…`; \
         join again to get one that does"
    )]
    NoWorkspace,
    /// Its dates lie outside what can be told.
    #[error("The certificate's validity cannot be read; join again to get a new one")]
    Validity,
}

impl AgentIdentity {
    /// Reads the agent's certificate `der`, the first of its chain. Any bytes may be given.
    pub fn from_certificate(der: &CertificateDer<'_>) -> Result<Self, NotAnAgent> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| NotAnAgent::Malformed)?;
        if !rest.is_empty() {
            return Err(NotAnAgent::Malformed);
        }
        let validity = certificate.validity();
        Ok(Self {
            workspace: workspace_of(&certificate).ok_or(NotAnAgent::NoWorkspace)?,
            key_hash: KeyHash::of(certificate.public_key().raw),
            not_before: system_time(validity.not_before).ok_or(NotAnAgent::Validity)?,
            not_after: system_time(validity.not_after).ok_or(NotAnAgent::Validity)?,
        })
    }

    /// Whether the certificate's time is over at `now`.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        now > self.not_after
    }
}

/// The name by which [`AgentIdentity`] knows `workspace` in a certificate.
pub(crate) fn urn(workspace: &WorkspaceId) -> String {
    format!("{URN}{workspace}")
}

fn workspace_of(certificate: &X509Certificate<'_>) -> Option<WorkspaceId> {
    let names = certificate.subject_alternative_name().ok()??;
    match names.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => uri.strip_prefix(URN)?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rcgen::{CertificateParams, SanType};

    use super::*;
    use crate::csr::KeyPair;

    fn certificate(names: &[SanType]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        let key = KeyPair::generate().unwrap().into_signer();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    const NAME: &str = "urn:a2a-tunnel:workspace:ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    #[test]
    fn one_workspace_urn_is_the_identity() {
        let agent = AgentIdentity::from_certificate(&certificate(&[uri(NAME)])).unwrap();
        assert_eq!(urn(&agent.workspace), NAME);
        assert!(!agent.is_expired(agent.not_after));
        assert!(agent.is_expired(agent.not_after + Duration::from_secs(1)));
    }

    #[test]
    fn no_name_several_names_and_other_names_are_refused() {
        let dns = SanType::DnsName(NAME.try_into().unwrap());
        let lower = uri(&NAME.to_lowercase());
        let longer = uri(&format!("{NAME}/x"));
        for names in [
            vec![],
            vec![uri(NAME), uri(NAME)],
            vec![uri(NAME), dns.clone()],
            vec![dns],
            vec![lower],
            vec![longer],
            vec![uri("urn:a2a-tunnel:workspace:")],
        ] {
            let refused = AgentIdentity::from_certificate(&certificate(&names));
            assert_eq!(refused, Err(NotAnAgent::NoWorkspace), "{names:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(garbage: Vec<u8>, place in 0..400_usize, byte: u8, cut in 0..400_usize) {
            let read = |bytes: &[u8]| AgentIdentity::from_certificate(&bytes.into());
            prop_assert_eq!(read(&garbage), Err(NotAnAgent::Malformed));
            let mut der = certificate(&[uri(NAME)]).to_vec();
            let place = place % der.len();
            der[place] = byte;
            let _ = read(&der);
            prop_assert!(read(&der[..cut % der.len()]).is_err());
        }
    }
}
