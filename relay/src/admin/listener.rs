//! The admin listener: health, readiness and metrics, for who sits on the same machine.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::api::Api;
use super::problem::Problem;

/// Connections at a time: a scraper, a health check and some browsers.
const CONNECTIONS_MAX: usize = 64;
/// From the start of a request to the end of its head; an idle connection ends by it too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the store may take to prove itself: probes give up after a few seconds themselves.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// Waits after a failed accept: without file descriptors it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const INDEX: &str = "This is the admin listener of a relay for A2A agents.\n\n\
    /healthz   200 while the process answers\n\
    /readyz    200 while the store commits\n\
    /metrics   for Prometheus\n\n\
    Workspaces are managed on the public listener: relay workspace --help\n";

/// Serves the admin listener until the future is dropped, which ends its connections too.
pub async fn serve(listener: TcpListener, api: Arc<Api>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let api = Arc::clone(&api);
                connections.spawn(async move {
                    let _place = place;
                    connection(stream, api).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the relay can do its work: its store commits.
pub async fn readiness(api: &Api) -> Result<(), String> {
    match tokio::time::timeout(READY_TIMEOUT, api.store_is_ready()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(problem)) => Err(problem.detail()),
        Err(_) => Err(format!(
            "The registry's store has not committed for {} s; look into the relay's log.",
            READY_TIMEOUT.as_secs()
        )),
    }
}

async fn connection(stream: TcpStream, api: Arc<Api>) {
    let Ok(local) = stream.local_addr() else { return };
    let service = service_fn(|request: Request<Incoming>| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(answer(&request, local, &api).await.map(Full::new)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the admin listener failed");
    }
}

async fn answer<B>(request: &Request<B>, local: SocketAddr, api: &Api) -> Response<Bytes> {
    match page(request, local, api).await {
        Ok(text) => plain(text),
        Err(problem) => {
            api.metrics.refusal(problem.kind().1);
            problem.response()
        }
    }
}

async fn page<B>(request: &Request<B>, local: SocketAddr, api: &Api) -> Result<String, Problem> {
    if !is_own_host(request, local.ip()) {
        return Err(Problem::Forbidden(format!(
            "The admin listener answers only to its own address and to localhost; ask \
             http://{local}."
        )));
    }
    let path = request.uri().path();
    if !["/", "/healthz", "/readyz", "/metrics"].contains(&path) {
        return Err(Problem::NotFound);
    }
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        return Err(Problem::MethodNotAllowed("GET, HEAD"));
    }
    match path {
        "/readyz" => match readiness(api).await {
            Ok(()) => Ok("ready\n".into()),
            Err(reason) => Err(Problem::StoreUnavailable(reason)),
        },
        "/metrics" => {
            api.count_workspaces();
            Ok(api.metrics.render())
        }
        "/healthz" => Ok("ok\n".into()),
        _ => Ok(INDEX.into()),
    }
}

/// Whether the request names this listener by an address of its own. A web page whose name was
/// made to point here (DNS rebinding) names itself, and gets nothing.
fn is_own_host<B>(request: &Request<B>, local: IpAddr) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let name = authority.host();
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.parse::<IpAddr>().is_ok_and(|ip| {
        ip.to_canonical().is_loopback() || ip.to_canonical() == local.to_canonical()
    })
}

fn plain(text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    let value = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}

#[cfg(test)]
mod tests;
