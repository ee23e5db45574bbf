//! A relay with a certificate: callers reach it over TLS alone, and so do the operator's commands.

mod hosts;
mod renewal;

use crate::command;
use bytes::Bytes;
use http::{Request, Response, Uri, request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tests::{
    Agent, Connector, Direction, Middleman, Relay, Weather,
    http::Version,
    operator::{Output, WorkspaceHandle},
    refusal::call_with_id,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A certificate that vouches for itself, and its key.
pub(crate) struct Files(TempDir);

impl Files {
    /// For loopback.
    pub(crate) fn new() -> Files {
        Files::of(&["127.0.0.1", "localhost"])
    }

    /// For these names.
    pub(crate) fn of(names: &[&str]) -> Files {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let files = Files(tempfile::tempdir().expect("a folder"));
        std::fs::write(files.certificate(), made.cert.pem()).expect("a file");
        std::fs::write(files.key(), made.signing_key.serialize_pem()).expect("a file");
        files.set_mode_of_key(0o600);
        files
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    fn set_mode_of_key(&self, mode: u32) {
        std::fs::set_permissions(self.key(), PermissionsExt::from_mode(mode)).expect("its mode");
    }

    /// What a relay is told of them.
    pub(crate) fn args(&self) -> [String; 4] {
        let text = |path: PathBuf| path.display().to_string();
        ["--tls-cert".into(), text(self.certificate()), "--tls-key".into(), text(self.key())]
    }

    /// Connects as a caller that trusts this certificate and offers these protocols.
    async fn dial(&self, relay: &Relay, protocols: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(self.certificate()).expect("a certificate");
        roots.add(own).expect("a root");
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().expect("versions of TLS");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(relay.http()).await?;
        let name = ServerName::from(relay.http().ip());
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

/// Runs `relay workspace add` against the relay's public URL.
async fn add_workspace(relay: &Relay, env: &[(&str, &str)], args: &[&str]) -> Output {
    let token = relay.data_dir().join("admin-token").display().to_string();
    let at = ["--url", relay.public_url(), "--admin-token-file", &token];
    let args = [&["workspace", "add", "first", "--json"], &at[..], args].concat();
    command::relay_with(env, &args).await
}

/// The same, trusting this certificate.
async fn workspace(relay: &Relay, files: &Files, args: &[&str]) -> WorkspaceHandle {
    let root = files.certificate().display().to_string();
    let json = add_workspace(relay, &[("SSL_CERT_FILE", &root)], args).await.json();
    serde_json::from_value(json.clone()).unwrap_or_else(|e| panic!("{e}: {json}"))
}

/// Sends one request by the version of HTTP that was agreed on.
async fn exchange(
    stream: TlsStream<TcpStream>,
    request: request::Builder,
    body: Vec<u8>,
) -> Response<Bytes> {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let mut request = request.body(Full::new(Bytes::from(body))).expect("a request");
    let stream = TokioIo::new(stream);
    let answer = if is_http2 {
        let opened = http2::handshake(TokioExecutor::new(), stream).await;
        let (mut sender, connection) = opened.expect("HTTP/2");
        tokio::spawn(connection);
        sender.send_request(request).await
    } else {
        let authority = request.uri().authority().expect("an absolute URL").to_string();
        let path = request.uri().path().parse::<Uri>().expect("a path");
        request.headers_mut().insert("host", authority.parse().expect("a host"));
        *request.uri_mut() = path;
        let (mut sender, connection) = http1::handshake(stream).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    let (head, body) = answer.expect("an answer").into_parts();
    Response::from_parts(head, body.collect().await.expect("a whole body").to_bytes())
}

#[tokio::test]
async fn callers_over_tls_agree_on_a_version_and_the_agent_is_told_https() {
    let (files, agent) = (Files::new(), Agent::start("a2a"));
    let relay = Relay::builder().args(files.args()).start().await;
    assert_eq!(relay.public_url(), format!("https://{}", relay.http()));
    let workspace = workspace(&relay, &files, &[]).await;
    assert!(workspace.base().starts_with(relay.public_url()), "{workspace:?}");
    let _connector = Connector::builder(&workspace.join, agent.port()).start_online().await;
    for (number, (offered, agreed)) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ]
    .into_iter()
    .enumerate()
    {
        let stream = files.dial(&relay, offered).await.expect("TLS");
        let got = stream.get_ref().1.alpn_protocol().map(String::from_utf8_lossy);
        assert_eq!(got.as_deref(), agreed, "{offered:?}");
        let id = format!("call-{number}");
        let request = Request::post(workspace.endpoint())
            .header("content-type", "application/json")
            .header("x-test-id", &id);
        let answer = exchange(stream, request, call_with_id("7")).await;
        let json: Value = serde_json::from_slice(answer.body()).expect("JSON");
        assert_eq!((answer.status().as_u16(), &json["id"]), (200, &7.into()), "{offered:?}");
        let [seen] = &agent.journal().of(&id)[..] else { panic!("{offered:?}: not seen once") };
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"), "{offered:?}");

        let stream = files.dial(&relay, offered).await.expect("TLS");
        let card = exchange(stream, Request::get(workspace.card()), Vec::new()).await;
        let text = String::from_utf8_lossy(card.body());
        assert!(text.contains(&workspace.base()), "{offered:?}: {text}");
    }
    assert!(files.dial(&relay, &["spdy/3"]).await.is_err(), "there is no such version");
}

/// The tunnel's port is out of reach for both transports; the join string names the public one too.
#[tokio::test]
async fn the_public_port_alone_is_enough_for_callers_and_connectors() {
    let (files, agent) = (Files::new(), Agent::start("a2a"));
    let away = Middleman::start(Weather::default());
    away.black_hole(Direction::Both, true);
    let tunnel_host = away.address().to_string();
    let relay = Relay::builder().args(files.args()).args(["--tunnel-host", &tunnel_host]);
    let relay = relay.start().await;
    let workspace = workspace(&relay, &files, &[]).await;
    let connector = Connector::builder(&workspace.join, agent.port()).over("auto");
    let connector = connector.start_online().await;
    assert_eq!(connector.status().expect("a status").transport.as_deref(), Some("tcp"));
    for (number, offered) in [&["h2"][..], &["http/1.1"]].into_iter().enumerate() {
        let stream = files.dial(&relay, offered).await.expect("TLS");
        let id = format!("beside-{number}");
        let request = Request::post(workspace.endpoint())
            .header("content-type", "application/json")
            .header("x-test-id", &id);
        let answer = exchange(stream, request, call_with_id("7")).await;
        assert_eq!(answer.status().as_u16(), 200, "{answer:?}");
        assert_eq!(agent.journal().of(&id).len(), 1);
    }
    // Whoever offers a protocol of the tunnel is shown the tunnel's certificate, which no caller trusts.
    assert!(files.dial(&relay, &["a2a-tunnel/1"]).await.is_err());
    // A link is no caller whom the relay waits for.
    let began = Instant::now();
    assert_eq!(relay.stop().await, 0);
    assert!(began.elapsed() < Duration::from_secs(8), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn plain_http_gets_no_answer_where_there_is_a_certificate() {
    let files = Files::new();
    let relay = Relay::builder().args(files.args()).start().await;
    for version in [Version::Http1, Version::Http2] {
        let answer = version.get(&format!("http://{}/healthz", relay.http())).await;
        assert!(answer.is_err(), "{version:?}: {answer:?}");
    }
    let stream = files.dial(&relay, &["h2"]).await.expect("TLS");
    let url = format!("{}/healthz", relay.public_url());
    let answer = exchange(stream, Request::get(url), Vec::new()).await;
    assert_eq!(answer.status().as_u16(), 200, "the listener lives");
}

#[tokio::test]
async fn a_relay_that_is_told_to_end_waits_for_no_handshake_and_for_nobody_who_is_silent_behind_it()
{
    let files = Files::new();
    let relay = Relay::builder().args(files.args()).start().await;
    // Connections are taken in their order, so this one is before the next is answered.
    let _silent = TcpStream::connect(relay.http()).await.expect("the relay");
    let _http1 = files.dial(&relay, &["http/1.1"]).await.expect("TLS");
    let _http2 = files.dial(&relay, &["h2"]).await.expect("TLS");
    let began = Instant::now();
    assert_eq!(relay.stop().await, 0);
    let took = began.elapsed();
    // A handshake may take 10 s, and a drain 30 s.
    assert!(took < Duration::from_secs(8), "it took {took:?}");
}

#[tokio::test]
async fn commands_trust_no_certificate_that_they_were_not_told_of() {
    let files = Files::new();
    let relay = Relay::builder().args(files.args()).start().await;
    let refused = add_workspace(&relay, &[], &[]).await;
    assert_eq!(refused.code, 5, "{refused:?}");
    let said = refused.stderr.trim();
    assert!(said.contains(relay.public_url()) && said.contains("certificate"), "{refused:?}");
    assert!(said.ends_with('.'), "no sentence: {refused:?}");
    let other = Files::new();
    let root = other.certificate().display().to_string();
    assert_eq!(add_workspace(&relay, &[("SSL_CERT_FILE", &root)], &[]).await.code, 5);
    assert!(workspace(&relay, &files, &[]).await.join.starts_with("join1_"));
}

/// What `relay serve` says that does not start, with these arguments besides free ports.
async fn refused_start(args: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data").display().to_string();
    let free = "127.0.0.1:0";
    let usual = ["serve", "--data-dir", &data_dir, "--admin", free, "--tunnel", free];
    let args = [&usual[..], args].concat();
    let ended = command::relay(&args).await;
    assert_eq!(ended.code, 3, "{args:?}: {ended:?}");
    ended.stderr
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused_at_start() {
    let files = Files::new();
    for mode in [0o644, 0o640, 0o604] {
        files.set_mode_of_key(mode);
        let args = files.args();
        let args = [&["--http", "127.0.0.1:0"][..], &args.each_ref().map(String::as_str)].concat();
        let said = refused_start(&args).await;
        let key = files.key().display().to_string();
        assert!(said.contains("chmod 600") && said.contains(&key), "mode {mode:o}: {said}");
    }
}

#[tokio::test]
async fn plain_http_that_others_could_reach_does_not_start_by_itself() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let said = refused_start(&["--http", address]).await;
        for way_out in ["--insecure-http", "--tls-cert", "--tls-key"] {
            assert!(said.contains(way_out), "{address}: {said}");
        }
    }
}
