//! Links in networks of their own: UDP that a firewall drops, one way out through a proxy.

use crate::{command, tls::Files};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tests::{
    Call, Connector, Ending, Namespace, Process, Proxy, Relay, http, operator::WorkspaceHandle,
    proxy::ProxyBuilder, until, world::message,
};

/// Nobody else is in there.
const AGENT: u16 = 8000;
const AGAIN: Duration = Duration::from_secs(30);

/// A relay at the outer end of the wire, and an agent with its connector at the inner one.
struct Scene {
    connector: Connector,
    workspace: WorkspaceHandle,
    relay: Relay,
    _agent: Process,
    _folder: TempDir,
    /// Last, so that it goes when nobody is left in it.
    namespace: Namespace,
}

impl Scene {
    async fn new() -> Option<Scene> {
        let namespace = Namespace::make()?;
        let relay = Relay::builder().host(namespace.outer()).arg("--insecure-http").start().await;
        let workspace = relay.add_workspace("first", &[]).await;
        let folder = tempfile::tempdir().expect("a folder");
        let agent = namespace.agent(AGENT, folder.path()).await;
        let connector = Connector::builder(&workspace.join, AGENT).within(&namespace).over("auto");
        let connector = connector.start_online().await;
        Some(Scene { connector, workspace, relay, _agent: agent, _folder: folder, namespace })
    }

    async fn until_over(&self, transport: &str) -> Duration {
        let began = Instant::now();
        until(&format!("the link is over {transport}"), AGAIN, async || {
            self.connector.status()?.transport.filter(|now| now == transport).map(drop)
        })
        .await;
        began.elapsed()
    }

    /// Streams with so many events, one each tenth of a second; their heads have come.
    async fn streams(&self, name: &str, events: usize) -> Vec<Call> {
        let mut streams = Vec::new();
        for number in 0..20 {
            let id = format!("{name}-{number}");
            let headers = [
                ("Content-Type", "application/json"),
                ("x-test-id", &id),
                ("x-test-events", &events.to_string()),
                ("x-test-interval-ms", "100"),
            ];
            let body = message("message/stream", &id, "stream").to_string();
            let endpoint = self.workspace.endpoint();
            let call = http::send("POST", &endpoint, &headers, Some(body.as_bytes()));
            let mut stream = call.await.expect("the relay is there");
            stream.head().await.expect("a head");
            streams.push(stream);
        }
        streams
    }
}

/// Every event came, once, in order, and the end was one.
async fn assert_whole(streams: Vec<Call>, events: usize) {
    for mut stream in streams {
        for sequence in 0..events {
            let event = stream.next_event().await.expect("an event");
            assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence);
        }
        assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete);
    }
}

#[tokio::test]
async fn where_a_firewall_drops_udp_links_are_over_tcp_until_it_comes_back() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.namespace.drop_udp(true);
    let began = Instant::now();
    scene.connector.start_again();
    let online = scene.connector.until_online().await;
    let took = began.elapsed();
    assert_eq!(online.transport.as_deref(), Some("tcp"));
    println!("online over TCP {} ms after its start", took.as_millis());
    // A tenth of that where the machine is not busy; a handshake of QUIC goes on for five seconds.
    assert!(took < Duration::from_secs(3), "online after {took:?}");
    let over_tcp = scene.streams("tcp", 250).await;

    scene.namespace.drop_udp(false);
    println!("back on QUIC after {} ms", scene.until_over("quic").await.as_millis());
    let over_quic = scene.streams("quic", 150).await;
    scene.namespace.drop_udp(true);
    println!("on TCP again after {} ms", scene.until_over("tcp").await.as_millis());
    scene.namespace.drop_udp(false);
    assert_whole(over_quic, 150).await;
    assert_whole(over_tcp, 250).await;
    scene.until_over("quic").await;
    assert_eq!(scene.relay.show_workspace("first").await["transport"], "quic");
}

#[tokio::test]
async fn what_worked_is_tried_at_once_by_the_next_process() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.namespace.drop_udp(true);
    for _ in 0..2 {
        scene.connector.stop().await;
        let began = Instant::now();
        scene.connector.start_again();
        let online = scene.connector.until_online().await;
        assert_eq!(online.transport.as_deref(), Some("tcp"));
        println!("online over TCP {} ms after its start", began.elapsed().as_millis());
        let id = &scene.workspace.workspace_id;
        let kept = scene.connector.state_dir().join(id).join("identity.json");
        let worked = json!({"transport": "tcp", "endpoint": scene.relay.tunnel().to_string()});
        until("it is kept for the next process", AGAIN, async || {
            let kept = std::fs::read(&kept).expect("a file");
            serde_json::from_slice::<Value>(&kept).expect("JSON")["worked"] == worked
        })
        .await;
    }
    // Whoever joins has dialled once already.
    let second = scene.relay.add_workspace("second", &[]).await;
    let began = Instant::now();
    let second = Connector::builder(&second.join, AGENT).within(&scene.namespace).over("auto");
    let second = second.start_online().await;
    println!("joined and online over TCP {} ms after its start", began.elapsed().as_millis());
    assert_eq!(second.status().expect("a status").transport.as_deref(), Some("tcp"));
    drop(second);
    // It is never the only way.
    scene.namespace.drop_udp(false);
    scene.until_over("quic").await;
}

#[tokio::test]
async fn a_link_goes_along_to_another_network_and_no_event_of_its_streams_is_lost() {
    let Some(scene) = Scene::new().await else { return };
    scene.until_over("quic").await;
    let before = scene.connector.until_online().await;
    let streams = scene.streams("along", 80).await;
    scene.namespace.switch_uplink();
    let went = |line: &str| line.contains("address changed; the link goes along");
    scene.connector.process().wait_for_line(went, Duration::from_secs(10)).await;
    assert_whole(streams, 80).await;
    assert_eq!(scene.connector.until_online().await.since, before.since, "the link is the same");
}

#[tokio::test]
async fn a_link_that_goes_to_a_network_without_udp_is_on_tcp_long_before_it_is_lost() {
    let Some(scene) = Scene::new().await else { return };
    scene.until_over("quic").await;
    scene.namespace.drop_udp(true);
    scene.namespace.switch_uplink();
    let took = scene.until_over("tcp").await;
    println!("on TCP in the other network after {} ms", took.as_millis());
    assert!(
        took < Duration::from_secs(15),
        "nobody waits on it, and it is lost after 20 s: {took:?}"
    );
}

#[tokio::test]
async fn over_tcp_a_link_from_another_network_is_dialled_at_once() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.namespace.drop_udp(true);
    scene.connector.start_again();
    let before = scene.connector.until_online().await;
    scene.namespace.switch_uplink();
    let began = Instant::now();
    scene.connector.until_online_again(&before, Duration::from_secs(10)).await;
    println!("online from another network after {} ms", began.elapsed().as_millis());
    let call = message("message/send", "moved", "hello");
    let answer = http::post_json(&scene.workspace.endpoint(), &call).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A link through this proxy and nothing else; the relay's name is known to the proxy alone.
async fn through(
    proxy: impl Fn(ProxyBuilder) -> ProxyBuilder,
    of: ProxyBuilder,
    variable: (&str, &str),
) {
    let Some(namespace) = Namespace::make() else { return };
    let outer = namespace.outer();
    let files = Files::of(&["relay.example", &outer.to_string()]);
    let relay = Relay::builder().host(outer).http_port(443).args(files.args());
    let relay = relay.args(["--public-url", "https://relay.example"]).start().await;
    let public = SocketAddr::from((outer, 443));
    let proxy = proxy(of).at(outer).only_to(&[443]).leading_to(public).start();
    namespace.allow_only_tcp_to(proxy.address());

    let folder = tempfile::tempdir().expect("a folder");
    let _agent = namespace.agent(AGENT, folder.path()).await;
    let url = format!("https://{public}");
    let token = relay.data_dir().join("admin-token").display().to_string();
    let root = files.certificate().display().to_string();
    let add = ["workspace", "add", "first", "--json", "--url", &url, "--admin-token-file", &token];
    let added = command::relay_with(&[("SSL_CERT_FILE", &root)], &add).await.json();
    let workspace: WorkspaceHandle = serde_json::from_value(added).expect("a workspace");

    let way_out = variable.1.replace("PROXY", &proxy.address().to_string());
    let connector = Connector::builder(&workspace.join, AGENT).within(&namespace).over("auto");
    let began = Instant::now();
    let connector = connector.env(variable.0, &way_out).start_online().await;
    let took = began.elapsed();
    println!("joined and online through the proxy {} ms after its start", took.as_millis());
    assert!(took < Duration::from_secs(5), "online after {took:?}");
    assert_eq!(connector.status().expect("a status").transport.as_deref(), Some("tcp"));
    assert!(proxy.asked().contains(&"relay.example:443".to_owned()), "{:?}", proxy.asked());

    // Callers are answered on the same port, through the same proxy.
    let mut curl = tokio::process::Command::from(namespace.command("curl"));
    curl.args([
        "--silent",
        "--fail",
        "--cacert",
        &root,
        "--proxy",
        &way_out.replace("socks5", "socks5h"),
    ]);
    curl.arg(workspace.card()).stdin(Stdio::null()).kill_on_drop(true);
    let card = curl.output().await.expect("curl runs");
    assert!(card.status.success(), "{card:?}");
    let lines = [connector.process().lines(), relay.process().lines()].concat();
    assert!(!lines.iter().any(|line| line.contains("canary")), "{lines:#?}");
}

#[tokio::test]
async fn a_proxy_of_http_that_lets_443_alone_through_is_enough() {
    through(|proxy| proxy, Proxy::http(), ("HTTPS_PROXY", "http://PROXY")).await;
}

#[tokio::test]
async fn a_proxy_of_socks_with_a_password_is_enough() {
    let login = |proxy: ProxyBuilder| proxy.login("user", "canary");
    through(login, Proxy::socks(), ("ALL_PROXY", "socks5://user:canary@PROXY")).await;
}
