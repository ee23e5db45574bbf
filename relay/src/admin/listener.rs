//! The admin listener: the canvas, health, readiness and metrics, for the operator.

use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::api::Api;
use super::canvas::answer::{AnyBody, strict, whole};
use super::canvas::{Canvas, is_foreign};
use super::problem::Problem;

/// Connections at a time: a scraper, a health check, and browsers, which take six each.
const CONNECTIONS_MAX: usize = 128;
/// From the start of a request to the end of its head; an idle connection ends by it too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the store may take to prove itself: probes give up after a few seconds themselves.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// Waits after a failed accept: without file descriptors it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the admin listener until the future is dropped, which ends its connections too.
pub async fn serve(listener: TcpListener, canvas: Arc<Canvas>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, remote)) => {
                let canvas = Arc::clone(&canvas);
                connections.spawn(async move {
                    let _place = place;
                    connection(stream, remote, canvas).await;
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

async fn connection(stream: TcpStream, remote: SocketAddr, canvas: Arc<Canvas>) {
    let Ok(local) = stream.local_addr() else { return };
    let ends = Ends { local, remote: remote.ip() };
    let service = service_fn(|request: Request<Incoming>| {
        let canvas = Arc::clone(&canvas);
        async move { Ok::<_, Infallible>(answer(request, ends, &canvas).await) }
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

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
struct Ends {
    local: SocketAddr,
    remote: IpAddr,
}

async fn answer<B>(request: Request<B>, ends: Ends, canvas: &Arc<Canvas>) -> Response<AnyBody>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    strict(match page(request, ends, canvas).await {
        Ok(response) => response,
        Err(problem) => {
            canvas.api().metrics.refusal(problem.kind().1);
            problem.response().map(whole)
        }
    })
}

async fn page<B>(
    request: Request<B>,
    ends: Ends,
    canvas: &Arc<Canvas>,
) -> Result<Response<AnyBody>, Problem>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    if !is_own_host(&request, ends.local.ip()) {
        return Err(Problem::Forbidden(format!(
            "The admin listener answers only to its own address and to localhost; ask http://{}.",
            ends.local
        )));
    }
    if is_foreign(request.headers()) {
        return Err(Problem::Forbidden(
            "The admin listener answers no web page but its own.".into(),
        ));
    }
    let path = request.uri().path();
    if !["/healthz", "/readyz", "/metrics"].contains(&path) {
        return canvas.answer(request, ends.remote).await;
    }
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        return Err(Problem::MethodNotAllowed("GET, HEAD"));
    }
    let api = canvas.api();
    match path {
        "/readyz" => match readiness(api).await {
            Ok(()) => Ok(plain("ready\n")),
            Err(reason) => Err(Problem::StoreUnavailable(reason)),
        },
        "/metrics" => {
            api.count_workspaces();
            Ok(plain(api.metrics.render()))
        }
        _ => Ok(plain("ok\n")),
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

fn plain(text: impl Into<Bytes>) -> Response<AnyBody> {
    let mut response = Response::new(whole(text));
    let value = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}

#[cfg(test)]
mod tests;
