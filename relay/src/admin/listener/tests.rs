//! Tests of the admin listener: its pages, and who may ask.

use certs::CaFingerprint;
use http::StatusCode;

use super::*;
use crate::admin::AdminToken;
use crate::admin::pulse::Pulses;
use crate::clock::unix_ms;
use crate::metrics::Metrics;
use crate::principal::Doorman;
use crate::registry::{Registry, SealingKeys};
use crate::tunnel::LiveLinks;

fn api(folder: &std::path::Path) -> Api {
    let keys = SealingKeys::read_or_make(folder).unwrap();
    let registry = Registry::open(folder.join("relay.db"), keys, unix_ms()).unwrap();
    Api {
        registry: registry.clone(),
        pulses: Pulses::default(),
        live: LiveLinks::default(),
        public: "http://127.0.0.1:8080".parse().unwrap(),
        endpoints: vec!["127.0.0.1:4433".into()],
        relay_ca: CaFingerprint::of(b"ca"),
        doorman: Doorman { registry, token: AdminToken::new("x").unwrap() },
        metrics: Arc::new(Metrics::default()),
    }
}

fn request(method: Method, path: &str, host: &str) -> Request<()> {
    Request::builder().method(method).uri(path).header(HOST, host).body(()).unwrap()
}

#[tokio::test]
async fn each_page_answers() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(folder.path());
    let local: SocketAddr = "127.0.0.1:8081".parse().unwrap();
    for (path, part) in [
        ("/", "/metrics"),
        ("/healthz", "ok"),
        ("/readyz", "ready"),
        ("/metrics", "relay_workspaces{status=\"offline\"} 0"),
    ] {
        let answer = answer(&request(Method::GET, path, "localhost:8081"), local, &api).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(text.contains(part), "{path}: {text}");
    }
    for (method, path, status) in
        [(Method::GET, "/workspaces", 404), (Method::POST, "/metrics", 405)]
    {
        let answer = answer(&request(method, path, "localhost"), local, &api).await;
        assert_eq!(answer.status(), status, "{path}");
    }
    api.registry.close().await;
    let answer = answer(&request(Method::GET, "/readyz", "localhost"), local, &api).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn only_its_own_addresses_are_answered() {
    let local: IpAddr = "192.0.2.7".parse().unwrap();
    for own in ["localhost", "LOCALHOST:1", "127.0.0.1:8081", "[::1]:8081", "192.0.2.7:8081"] {
        assert!(is_own_host(&request(Method::GET, "/", own), local), "{own}");
    }
    for other in ["", "evil.example", "evil.example:8081", "192.0.2.8", "localhost.evil.example"] {
        assert!(!is_own_host(&request(Method::GET, "/", other), local), "{other}");
    }
    let nobody = Request::builder().uri("/").body(()).unwrap();
    assert!(!is_own_host(&nobody, local));
}
