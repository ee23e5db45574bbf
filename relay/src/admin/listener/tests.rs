//! Tests of the admin listener: its pages, and who may ask.

use http::StatusCode;
use http::header::ORIGIN;
use http_body_util::{BodyExt, Empty};

use super::*;
use crate::admin::feed::Feed;
use crate::admin::testing::{api, echo};

fn request(method: Method, path: &str, host: &str) -> Request<Empty<Bytes>> {
    Request::builder().method(method).uri(path).header(HOST, host).body(Empty::new()).unwrap()
}

fn ends() -> Ends {
    Ends { local: "127.0.0.1:8081".parse().unwrap(), remote: "127.0.0.1".parse().unwrap() }
}

#[tokio::test]
async fn each_page_answers() {
    let folder = tempfile::tempdir().unwrap();
    let api = Arc::new(api(folder.path()));
    let feed = Arc::new(Feed::new(Arc::clone(&api)));
    let canvas = Arc::new(Canvas::new(Arc::clone(&api), feed, echo()));
    for (path, part) in [
        ("/", "Admin token"),
        ("/healthz", "ok"),
        ("/readyz", "ready"),
        ("/metrics", "relay_workspaces{status=\"offline\"} 0"),
    ] {
        let response = answer(request(Method::GET, path, "localhost:8081"), ends(), &canvas).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.contains(part), "{path}: {text}");
    }
    for (method, path, status) in [
        (Method::GET, "/workspaces", 404),
        (Method::GET, "/assets/none.js", 404),
        (Method::POST, "/metrics", 405),
        (Method::GET, "/login", 405),
        (Method::PUT, "/", 405),
    ] {
        let response = answer(request(method, path, "localhost"), ends(), &canvas).await;
        assert_eq!(response.status(), status, "{path}");
    }
    for path in ["/", "/healthz", "/metrics", "/assets/main.js", "/api/relay"] {
        let foreign = request(Method::GET, path, "evil.example:8081");
        assert_eq!(answer(foreign, ends(), &canvas).await.status(), 403, "{path}");
        let mut foreign = request(Method::GET, path, "localhost:8081");
        foreign.headers_mut().insert(ORIGIN, "http://localhost:3000".parse().unwrap());
        assert_eq!(answer(foreign, ends(), &canvas).await.status(), 403, "{path}");
    }
    api.registry.close().await;
    let response = answer(request(Method::GET, "/readyz", "localhost"), ends(), &canvas).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
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
