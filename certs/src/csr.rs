//! Certificate requests: how a connector makes one, and what the authority takes from it.

use rcgen::{CertificateParams, PublicKeyData, SubjectPublicKeyInfo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::authority::SignError;
use crate::fingerprint::KeyHash;
use crate::pem;

/// The largest certificate request that the authority reads, in bytes: ours have about 250, and
/// a request with every name and attribute one might add is still far below.
pub const CSR_BYTES_MAX: usize = 8 * 1024;

/// Why a key pair could not be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No key could be made.
    #[error("No key pair could be generated ({0}); start again where the random source works")]
    Generate(#[source] rcgen::Error),
    /// The key did not sign.
    #[error("The certificate request could not be signed with its own key ({0}); make a new key")]
    Request(#[source] rcgen::Error),
    /// The bytes hold no usable key.
    #[error("This is no private key in PKCS#8 that can sign ({0}); make a new key")]
    Unreadable(#[source] rcgen::Error),
}

/// An agent's key pair. The private half leaves it towards the state directory and TLS only.
#[derive(Debug)]
pub struct KeyPair(rcgen::KeyPair);

impl KeyPair {
    /// A new ECDSA P-256 key pair.
    pub fn generate() -> Result<Self, KeyError> {
        rcgen::KeyPair::generate().map(Self).map_err(KeyError::Generate)
    }

    /// The key pair in `pkcs8`, an unencrypted PKCS#8 document in DER.
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, KeyError> {
        rcgen::KeyPair::try_from(pkcs8).map(Self).map_err(KeyError::Unreadable)
    }

    /// A certificate request (PKCS#10, DER) that proves possession of the private key and asks
    /// for no name: the authority decides on the name.
    pub fn csr_der(&self) -> Result<Vec<u8>, KeyError> {
        let mut request = CertificateParams::default();
        request.distinguished_name = rcgen::DistinguishedName::new();
        let request = request.serialize_request(&self.0).map_err(KeyError::Request)?;
        Ok(request.der().to_vec())
    }

    /// The hash of the public key, as certificates for it show it.
    pub fn key_hash(&self) -> KeyHash {
        KeyHash::of(&self.0.subject_public_key_info())
    }

    /// The private key, for TLS.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }

    pub(crate) fn to_pem(&self) -> String {
        pem::block("PRIVATE KEY", self.0.serialized_der())
    }

    pub(crate) fn into_signer(self) -> rcgen::KeyPair {
        self.0
    }
}

/// Why the authority signs nothing for a certificate request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// It is too long.
    #[error(
        "The certificate request has {bytes} bytes where {CSR_BYTES_MAX} are the most; \
         send one that holds a key and nothing else"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// It is no request.
    #[error("The certificate request is not PKCS#10 in DER; send one that is")]
    Malformed,
    /// Its sender does not hold the private key.
    #[error(
        "The certificate request is not signed by the key that it names; sign it with that key"
    )]
    NotProven,
    /// Its key is of a kind that agents do not use.
    #[error(
        "The key in the certificate request is neither ECDSA P-256 nor Ed25519; make such a key"
    )]
    KeyKind,
    /// The authority failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// The public key of the certificate request `csr_der`, whose sender has proven to hold the
/// private half. Whatever else the request asks for is not looked at.
pub(crate) fn proven_key(csr_der: &[u8]) -> Result<SubjectPublicKeyInfo, CsrError> {
    if csr_der.len() > CSR_BYTES_MAX {
        return Err(CsrError::TooLarge { bytes: csr_der.len() });
    }
    let (rest, request) =
        X509CertificationRequest::from_der(csr_der).map_err(|_| CsrError::Malformed)?;
    if !rest.is_empty() {
        return Err(CsrError::Malformed);
    }
    let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
        .map_err(|_| CsrError::KeyKind)?;
    let kinds = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519];
    if !kinds.contains(&key.algorithm()) {
        return Err(CsrError::KeyKind);
    }
    request.verify_signature().map_err(|_| CsrError::NotProven)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(algorithm: &'static rcgen::SignatureAlgorithm) -> (rcgen::KeyPair, Vec<u8>) {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        (key, request.der().to_vec())
    }

    #[test]
    fn our_own_request_yields_our_own_key() {
        let key = KeyPair::generate().unwrap();
        let csr = key.csr_der().unwrap();
        assert!(csr.len() < 300, "{} bytes", csr.len());
        let proven = proven_key(&csr).unwrap();
        assert_eq!(KeyHash::of(&proven.subject_public_key_info()), key.key_hash());
    }

    #[test]
    fn a_key_survives_its_file_form() {
        let key = KeyPair::generate().unwrap();
        let again = KeyPair::from_pkcs8_der(key.private_key().secret_der()).unwrap();
        assert_eq!(again.key_hash(), key.key_hash());
        assert!(KeyPair::from_pkcs8_der(b"nothing").is_err());
    }

    #[test]
    fn the_two_kinds_of_keys_and_no_other_are_taken() {
        for kind in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
            assert!(proven_key(&request(kind).1).is_ok(), "{kind:?}");
        }
        let refused = proven_key(&request(&rcgen::PKCS_ECDSA_P384_SHA384).1);
        assert!(matches!(refused, Err(CsrError::KeyKind)));
    }

    #[test]
    fn a_request_for_the_key_of_another_is_refused() {
        let (victim, _) = request(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (own, mut csr) = request(&rcgen::PKCS_ECDSA_P256_SHA256);
        let place = csr.windows(65).position(|part| part == own.public_key_raw()).unwrap();
        csr[place..place + 65].copy_from_slice(victim.public_key_raw());
        assert!(matches!(proven_key(&csr), Err(CsrError::NotProven)));
    }

    #[test]
    fn oversized_and_padded_requests_are_refused() {
        let (_, mut csr) = request(&rcgen::PKCS_ECDSA_P256_SHA256);
        csr.push(0);
        assert!(matches!(proven_key(&csr), Err(CsrError::Malformed)));
        csr.resize(CSR_BYTES_MAX + 1, 0);
        assert!(matches!(proven_key(&csr), Err(CsrError::TooLarge { bytes: 8193 })));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_change_yields_another_key(
            garbage: Vec<u8>,
            place in 0..250_usize,
            byte: u8,
        ) {
            prop_assert!(proven_key(&garbage).is_err());
            let key = KeyPair::generate().unwrap();
            let mut csr = key.csr_der().unwrap();
            let place = place % csr.len();
            csr[place] = byte;
            if let Ok(proven) = proven_key(&csr) {
                prop_assert_eq!(KeyHash::of(&proven.subject_public_key_info()), key.key_hash());
            }
        }
    }
}
