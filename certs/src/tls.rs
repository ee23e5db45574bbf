//! Both ends' TLS of a link: 1.3 only, no early data, no resumption, so that each link proves itself anew.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};

use crate::authority::RelayIdentity;
use crate::fingerprint::CaFingerprint;

mod agents;
mod pinned;
pub mod public;

/// The TLS alert (`access_denied`, RFC 8446, 6.2) with which a connector leaves a relay whose
/// authority is not the one it was told. Nothing else in our TLS raises it, so whoever sees only
/// an alert's number, as over QUIC, can still tell.
pub const WRONG_AUTHORITY_ALERT: u8 = 49;

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The library refused keys, certificates or versions.
    #[error("TLS cannot be set up ({0}); check that key and certificates belong together")]
    Setup(#[from] rustls::Error),
    /// The authority cannot vouch for anybody.
    #[error("The authority's certificate cannot be used to verify agents ({0}); replace it")]
    Authority(#[from] VerifierBuilderError),
}

/// How a relay serves links: as `identity`, with one of the protocols `alpn`.
///
/// A client certificate is optional. One that is sent must be signed by `ca` for TLS clients, but
/// may be expired or not valid yet: its owner is told so in words after the handshake, so the
/// caller must judge [`AgentIdentity`](crate::AgentIdentity)'s dates. A client that offers
/// protocols none of which is ours is refused; over TCP, one that offers none is not.
pub fn relay_tls(
    identity: RelayIdentity,
    ca: &CertificateDer<'_>,
    alpn: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone().into_owned())?;
    let verifier = agents::AgentVerifier::new(roots, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = owned(alpn);
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// How a connector dials: offering the protocols `alpn`, showing `credential` if it has one.
///
/// The relay is whoever shows a certificate for [`RELAY_NAME`](crate::RELAY_NAME), for TLS
/// servers, signed by the authority `ca`, which must stand in the chain that it sends. The server
/// name that the caller dials with is not looked at.
pub fn connector_tls(
    ca: CaFingerprint,
    credential: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let verifier = pinned::RelayVerifier::new(ca, provider.clone())?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match credential {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = owned(alpn);
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Whether a connector's handshake failed because the relay does not belong to the authority
/// whose fingerprint it was told: another relay, or somebody in between.
pub fn is_wrong_authority(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
    )
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}

#[cfg(test)]
mod tests;
