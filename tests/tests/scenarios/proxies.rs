//! Links through proxies: of HTTP, over TLS or not, and of SOCKS5; and what is not the relay on the way.

use crate::{command, tls::Files};
use certs::JoinString;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
};
use serde_json::Value;
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tests::{
    Agent, Connector, Direction, Middleman, Proxy, Relay, Weather, World, proxy::ProxyBuilder,
    until, world::message,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const SOON: Duration = Duration::from_secs(20);
/// Stands nowhere but in the proxies' own memory.
const PASSWORD: &str = "canary-p%40ss";
const PLAIN: &str = "canary-p@ss";

/// A server's TLS with these files, for any protocol that a link offers.
fn serving(files: &Files) -> ServerConfig {
    let chain = CertificateDer::from_pem_file(files.certificate()).expect("a certificate");
    server(vec![chain], PrivateKeyDer::from_pem_file(files.key()).expect("a key"))
}

fn server(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().expect("versions of TLS");
    let config = builder.with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.expect("a server");
    config.alpn_protocols = vec![b"a2a-tunnel/1".to_vec()];
    config
}

/// A world whose connector may take either transport, with this variable and these arguments.
async fn world(variable: (&str, &str), args: &[&str]) -> World {
    let world = World::builder().over("auto").connector_args(args);
    world.connector_env(variable.0, variable.1).start().await
}

fn assert_no_password(world: &World) {
    let logs = [world.connector.process().lines(), world.relay.process().lines()].concat();
    let status = std::fs::read_to_string(world.connector.state_dir().join("../status.json"));
    for text in logs.iter().chain(&status.ok()) {
        assert!(!text.contains("canary"), "{text}");
    }
}

/// Its link is over TCP, and it works.
async fn assert_carried(world: &World, proxy: &Proxy) {
    let status = world.connector.until_online().await;
    assert_eq!(status.transport.as_deref(), Some("tcp"));
    assert_eq!(proxy.asked().first(), Some(&world.relay.tunnel().to_string()));
    assert_eq!(world.call(message("message/send", "p-1", "hello")).await.status, 200);
    assert_no_password(world);
    world.until_quiet().await;
}

#[tokio::test]
async fn a_proxy_of_http_is_taken_from_the_environment_with_its_password() {
    let proxy = Proxy::http().login("user", PLAIN).start();
    let url = format!("http://user:{PASSWORD}@{}", proxy.address());
    let world = world(("HTTPS_PROXY", &url), &["--log-format", "json"]).await;
    assert_carried(&world, &proxy).await;
}

#[tokio::test]
async fn a_proxy_of_socks_is_named_by_a_flag_and_its_password_by_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, PLAIN).expect("a file");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("its mode");
    let proxy = Proxy::socks().login("user", PLAIN).start();
    let url = format!("socks5://user@{}", proxy.address());
    let file = file.to_str().expect("text");
    let args = ["--proxy", &url, "--proxy-password-file", file];
    // What is typed outweighs the variables.
    let world = world(("HTTPS_PROXY", "http://127.0.0.1:9"), &args).await;
    assert_carried(&world, &proxy).await;
}

#[tokio::test]
async fn a_proxy_over_tls_is_trusted_by_its_own_authority() {
    let files = Files::new();
    let proxy = Proxy::http().over_tls(serving(&files)).start();
    let ca = files.certificate().display().to_string();
    let url = format!("https://{}", proxy.address());
    let world = world(("ALL_PROXY", &url), &["--proxy-ca", &ca]).await;
    assert_carried(&world, &proxy).await;
}

#[tokio::test]
async fn a_relay_that_no_proxy_names_is_dialled_directly_and_over_quic() {
    let proxy = Proxy::http().start();
    let url = format!("http://{}", proxy.address());
    let world = World::builder().over("quic").connector_env("HTTPS_PROXY", &url);
    let world = world.connector_env("NO_PROXY", "127.0.0.0/8").start().await;
    let status = world.connector.until_online().await;
    assert_eq!(status.transport.as_deref(), Some("quic"));
    assert_eq!(proxy.asked(), [""; 0]);
}

/// A connector that gets no link through this proxy, in its relay's world; and why.
async fn kept_out(proxy: ProxyBuilder, userinfo: &str, args: &[&str]) -> (Connector, String) {
    let (relay, agent) = (Relay::start().await, Agent::start("a2a"));
    let proxy = proxy.start();
    let workspace = relay.add_workspace("first", &[]).await;
    let url = format!("http://{userinfo}{}", proxy.address());
    let connector =
        Connector::builder(&workspace.join, agent.port()).over("auto").args(args.to_vec());
    let connector = connector.env("HTTPS_PROXY", &url).start();
    let reason = until("it says why it is not online", SOON, async || {
        connector.status().filter(|status| status.state == "dialing")?.reason
    })
    .await;
    assert!(connector.process().is_running(), "what stands on the way may go: nothing is final");
    (connector, reason)
}

#[tokio::test]
async fn what_a_proxy_refuses_is_told_in_the_status_and_tried_again() {
    let files = Files::new();
    for (proxy, userinfo, reason, word) in [
        (Proxy::http().login("user", PLAIN), "user:canary-wrong@", "PROXY_LOGIN", "407"),
        (Proxy::http().only_to(&[1]), "", "PROXY_REFUSED", "403"),
        (Proxy::http().inspecting(serving(&files)), "", "PROXY_INSPECTS", "inspects TLS"),
    ] {
        let (connector, told) = kept_out(proxy, userinfo, &[]).await;
        assert_eq!(told, reason);
        let lines = connector.process().lines();
        assert!(lines.iter().any(|line| line.contains(word)), "{reason}: {lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("canary")), "{lines:#?}");
    }
    let (_connector, told) = kept_out(Proxy::http(), "", &["--transport", "quic"]).await;
    assert_eq!(told, "PROXY_WITHOUT_UDP");
}

/// An authority of a proxy's own: its file, and what it shows in the relay's place.
fn proxys_own(folder: &Path) -> (PathBuf, ServerConfig) {
    let (mut params, key) = (CertificateParams::default(), KeyPair::generate().expect("a key"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("a certificate");
    let file = folder.join("proxy.pem");
    std::fs::write(&file, authority.pem()).expect("a file");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let mut shown = CertificateParams::new(vec![certs::RELAY_NAME.to_owned()]).expect("a name");
    shown.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let shown = shown.signed_by(&key, &issuer).expect("a certificate");
    let chain = vec![shown.der().clone(), authority.der().clone()];
    (file, server(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
}

/// Whoever lets the proxy read all that crosses says so, by naming its authority as the relay's.
#[tokio::test]
async fn a_proxy_that_inspects_is_trusted_by_whoever_names_its_authority_as_the_relays() {
    let (relay, agent) = (Relay::start().await, Agent::start("a2a"));
    let id = relay.add_workspace("first", &[]).await.workspace_id;
    let made = relay.operate(&format!("POST /workspaces/{id}/tokens"), None).await;
    let token = made["auth_token"].as_str().expect("a token");
    let known = relay.show_workspace(&id).await["relay_ca"].as_str().expect("a CA").to_owned();

    let folder = tempfile::tempdir().expect("a folder");
    let (authority, shown) = proxys_own(folder.path());
    let to_relay = certs::connector_tls(known.parse().expect("a CA"), None, &[b"a2a-tunnel/1"]);
    let proxy = Proxy::http().inspecting(shown).passing_on(to_relay.expect("TLS")).start();
    let url = format!("http://{}", proxy.address());
    let link = |ca: &str| {
        let connector = Connector::without_join(agent.port()).token(token, &relay, ca);
        connector.over("auto").env("HTTPS_PROXY", &url).start()
    };
    let refused = link(&known);
    until("it is told", SOON, async || refused.status()?.reason).await;
    assert_eq!(refused.status().expect("a status").reason.as_deref(), Some("PROXY_INSPECTS"));
    drop(refused);
    let trusting = link(authority.to_str().expect("text"));
    assert_eq!(trusting.until_online().await.transport.as_deref(), Some("tcp"));
}

#[tokio::test]
async fn a_password_among_the_arguments_is_refused_at_once() {
    let args = ["http", "9", "--state-dir", "/nowhere", "--proxy", "http://user:canary@proxy:3128"];
    let output = command::connector(&args, "").await;
    assert_eq!(output.code, 3, "{output:?}");
    assert!(output.stderr.contains("--proxy-password-file"), "{output:?}");
    assert!(!format!("{output:?}").contains("canary"), "{output:?}");
}

/// The tunnel's port is silent, and another server has the port of HTTPS: the relay may only be down.
#[tokio::test]
async fn a_stranger_on_one_port_is_not_the_end_while_the_others_are_silent() {
    let files = Files::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let stranger = listener.local_addr().expect("an address");
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(serving(&files)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(acceptor.accept(stream).await);
        }
    });
    let middleman = Middleman::with_tcp(Weather::default());
    middleman.black_hole(Direction::Both, true);
    middleman.block_tcp(true);
    let relay = Relay::builder().arg("--tunnel-host").arg(middleman.address().to_string());
    let relay = relay.start().await;
    middleman.lead_to(relay.tunnel());
    let (agent, workspace) = (Agent::start("a2a"), relay.add_workspace("first", &[]).await);
    let mut join: JoinString = workspace.join.parse().expect("a join string");
    join.endpoints.push(stranger.to_string());
    let join = join.reveal().expect("a join string");
    let connector = Connector::builder(&join, agent.port()).over("auto").start();
    until("it says who answers", SOON, async || {
        connector.status()?.reason.filter(|reason| reason == "NOT_THE_RELAY").map(drop)
    })
    .await;
    middleman.block_tcp(false);
    assert_eq!(connector.until_online().await.transport.as_deref(), Some("tcp"));
}

/// What the doctor says of this connector's path through a proxy: its code, all steps, those that failed.
async fn look(
    world: &World,
    proxy: ProxyBuilder,
    args: &[&str],
) -> (i32, Vec<String>, Vec<String>) {
    let proxy = proxy.start();
    let state = world.connector.state_dir();
    let args = [&["doctor", "--json", "--state-dir", state.to_str().expect("text")], args].concat();
    let url = format!("http://user:canary@{}", proxy.address());
    let output = command::connector_with(&[("HTTPS_PROXY", &url)], &args).await;
    assert!(!format!("{output:?}").contains("canary"), "{output:?}");
    let told: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let steps = told["steps"].as_array().expect("steps");
    let name = |step: &Value| step["step"].as_str().expect("a name").to_owned();
    let failed = steps.iter().filter(|step| step["ok"] == false).map(name).collect();
    (output.code, steps.iter().map(name).collect(), failed)
}

#[tokio::test]
async fn the_doctor_names_a_proxy_at_its_own_step() {
    let world = World::with_agent("echo").await;
    let files = Files::new();
    let (code, steps, failed) = look(&world, Proxy::http(), &[]).await;
    assert_eq!((code, failed.len()), (0, 0), "{failed:?}");
    assert_eq!(steps[1..4], ["proxy", "udp", "tls"], "a proxy resolves the relay's name");
    for (proxy, args, step, expected) in [
        (Proxy::http().login("user", PLAIN), &[][..], "proxy", 5),
        (Proxy::http().only_to(&[1]), &[], "proxy", 5),
        (Proxy::http().inspecting(serving(&files)), &[], "tls", 5),
        (Proxy::http(), &["--transport", "quic"], "udp", 3),
    ] {
        let (code, _, failed) = look(&world, proxy, args).await;
        assert_eq!((code, failed.as_slice()), (expected, &[step.to_owned()][..]));
    }
}
