//! TLS of the public listener: the operator's own certificate, for callers with any HTTPS client.

use std::path::{Path, PathBuf};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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

/// How a relay serves callers: with the chain in the file `certificate` and the key in the file
/// `key`, which nobody else may read; TLS 1.2 and 1.3; with one of the protocols `alpn`, or none.
pub fn public_tls(
    certificate: &Path,
    key: &Path,
    alpn: &[&[u8]],
) -> Result<ServerConfig, PublicTlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read_public(certificate)?)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    if chain.is_empty() {
        return Err(PublicTlsError::NoCertificate { path: certificate.to_owned() });
    }
    let private_key = PrivateKeyDer::from_pem_slice(&read_private(key)?)
        .map_err(|_| PublicTlsError::NoKey { path: key.to_owned() })?;
    let unusable = |source| PublicTlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private_key)
        .map_err(unusable)?;
    config.alpn_protocols = owned(alpn);
    config.max_early_data_size = 0;
    Ok(config)
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
        let config = public_tls(&certificate, &key, &[b"h2", b"http/1.1"]).unwrap();
        assert_eq!(config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
        let refused = |certificate: &Path, key: &Path| {
            public_tls(certificate, key, &[]).map(|_| ()).unwrap_err().to_string()
        };
        assert!(refused(&key, &key).contains("no certificate"));
        assert!(refused(&certificate, &other_key).contains("together"));
        assert!(refused(&folder.path().join("none"), &key).contains("none"));
        std::fs::write(&other_key, "not a key").unwrap();
        assert!(refused(&certificate, &other_key).contains("no private key"));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refused(&certificate, &key).contains("chmod 600"));
    }
}
