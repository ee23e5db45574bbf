//! TLS of the public listener: the operator's own certificate, for callers with any HTTPS client.
//!
//! Such a certificate is renewed every few weeks. The one that is shown to callers is exchanged
//! where it stands, so that no connection ends for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{owned, provider};
use crate::files::{FileError, read_private, read_public};

/// Why the public listener has no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublicTlsError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file has no certificate in PEM.
    #[error(
        "The file {} holds no certificate in PEM; give the whole chain, the relay's own first",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file has no private key in PEM.
    #[error("The file {} holds no private key in PEM (PKCS #8, PKCS #1 or SEC 1)", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Key and certificate do not fit.
    #[error(
        "The certificate in {} and the key in {} cannot be used together ({source})",
        certificate.display(), key.display()
    )]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the library said.
        source: rustls::Error,
    },
}

/// The certificate of a public listener, with its key, as two files hold them.
#[derive(Debug)]
pub struct PublicCertificate {
    certificate: PathBuf,
    key: PathBuf,
    shown: RwLock<Arc<CertifiedKey>>,
}

impl PublicCertificate {
    /// Reads the chain in the file `certificate`, and its key in the file `key`, which nobody else may
    /// read. Both are PEM. Blocks for a moment.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, PublicTlsError> {
        let shown = RwLock::new(Arc::new(certified(certificate, key)?));
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), shown })
    }

    /// Reads the files again. From then on new callers are shown what is in them; true if that is
    /// another certificate. After an error it is still the old one. Blocks for a moment.
    pub fn read_again(&self) -> Result<bool, PublicTlsError> {
        let new = certified(&self.certificate, &self.key)?;
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        let differs = shown.cert != new.cert;
        *shown = Arc::new(new);
        Ok(differs)
    }

    /// The file of the chain.
    pub fn path(&self) -> &Path {
        &self.certificate
    }
}

impl ResolvesServerCert for PublicCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// How a relay serves callers: with this certificate; TLS 1.2 and 1.3; with one of the protocols
/// `alpn`, or none.
pub fn public_tls(
    certificate: Arc<PublicCertificate>,
    alpn: &[&[u8]],
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = owned(alpn);
    config.max_early_data_size = 0;
    Ok(config)
}

fn certified(certificate: &Path, key: &Path) -> Result<CertifiedKey, PublicTlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read_public(certificate)?)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    if chain.is_empty() {
        return Err(PublicTlsError::NoCertificate { path: certificate.to_owned() });
    }
    let private_key = PrivateKeyDer::from_pem_slice(&read_private(key)?)
        .map_err(|_| PublicTlsError::NoKey { path: key.to_owned() })?;
    CertifiedKey::from_der(chain, private_key, &provider()).map_err(|source| {
        PublicTlsError::Unusable {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A chain and a key that fit, in files of a folder.
    fn files(folder: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed([String::from("relay.example")]).unwrap();
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        (certificate, key)
    }

    #[test]
    fn files_that_fit_serve_and_each_mistake_has_its_sentence() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (certificate, key) = files(folder.path());
        let (_, other_key) = files(other.path());
        let read = Arc::new(PublicCertificate::read(&certificate, &key).unwrap());
        let config = public_tls(read, &[b"h2", b"http/1.1"]).unwrap();
        assert_eq!(config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
        let refused = |certificate: &Path, key: &Path| {
            PublicCertificate::read(certificate, key).unwrap_err().to_string()
        };
        assert!(refused(&key, &key).contains("no certificate"));
        assert!(refused(&certificate, &other_key).contains("together"));
        assert!(refused(&folder.path().join("none"), &key).contains("none"));
        std::fs::write(&other_key, "not a key").unwrap();
        assert!(refused(&certificate, &other_key).contains("no private key"));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refused(&certificate, &key).contains("chmod 600"));
    }

    #[test]
    fn what_the_files_hold_is_shown_from_the_next_reading_on_unless_it_is_of_no_use() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (certificate, key) = files(folder.path());
        let (new_certificate, new_key) = files(other.path());
        let read = PublicCertificate::read(&certificate, &key).unwrap();
        let shown = || read.shown.read().unwrap().cert.clone();
        let first = shown();
        assert!(!read.read_again().unwrap(), "they are the same");
        std::fs::copy(&new_certificate, &certificate).unwrap();
        assert!(read.read_again().unwrap_err().to_string().contains("together"));
        assert_eq!(shown(), first);
        std::fs::copy(&new_key, &key).unwrap();
        assert!(read.read_again().unwrap());
        assert_ne!(shown(), first);
    }
}
