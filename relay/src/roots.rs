//! TLS towards servers that anybody may run: verified against the system's roots.

use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// How to verify a server; `SSL_CERT_FILE` names other roots than the system's. Reads files.
pub fn client_config() -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
