//! Agents that serve HTTPS at their own URLs, with a certificate of somebody's own authority.

use std::{convert::Infallible, path::PathBuf, sync::Arc};

use super::Homed;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::TempDir;
use tests::{Refusal, Relay, backstage::Backstage};
use tokio_rustls::TlsAcceptor;

/// An authority that no system knows.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("a file");
        Authority { folder, issuer: Issuer::new(params, key) }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A relay that knows this authority and no other.
    async fn relay(&self) -> Relay {
        let file = self.file().display().to_string();
        let relay = Relay::builder().args(["--direct-urls", "all"]);
        relay.env("SSL_CERT_FILE", &file).start().await
    }

    /// An agent on loopback with a certificate for `localhost`, and its port. It answers with the
    /// name by which it was asked in TLS, and in HTTP.
    fn agent(&self) -> (Backstage, u16) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions of TLS");
        let config = builder.with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], key).expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let port = listener.local_addr().expect("a bound port").port();
        let server = Backstage::open("tls-agent", move || async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                // Who does not trust this agent leaves in the middle of it.
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let name = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
                let service = service_fn(|request: Request<Incoming>| {
                    let host = request.headers()["host"].to_str().expect("a host").to_owned();
                    let answer = format!("{name} {host} {}", request.uri().path());
                    async move { Ok::<_, Infallible>(Response::new(answer)) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        });
        (server, port)
    }
}

#[tokio::test]
async fn a_certificate_of_a_private_authority_is_good_where_the_relay_was_told_of_it() {
    let authority = Authority::new();
    let (relay, (_agent, port)) = (authority.relay().await, authority.agent());
    let homed = Homed::at(&relay, &format!("https://localhost:{port}")).await;
    let answer = homed.say("t").await;
    assert_eq!(answer.text(), format!("localhost localhost:{port} /a2a"), "{answer:?}");
    assert!(answer.is_complete());
    homed.until_status(&relay, "online", "It answers at its own URL.").await;
}

#[tokio::test]
async fn a_certificate_that_is_not_for_the_host_or_not_known_gets_no_request() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (relay, (_agent, port)) = (authority.relay().await, authority.agent());
    let (stranger, foreign) = (other.relay().await, format!("https://localhost:{port}"));
    let refused = Refusal::new(503, "RELAY_UPSTREAM_REFUSED").retry_after("5");
    for (relay, url) in [(&relay, format!("https://127.0.0.1:{port}")), (&stranger, foreign)] {
        let homed = Homed::at(relay, &url).await;
        let sentence = refused.assert_json_rpc(&homed.say("t").await, "\"t\"");
        assert!(sentence.contains("certificate"), "{url}: {sentence}");
        homed.until_status(relay, "offline", "certificate").await;
    }
}
