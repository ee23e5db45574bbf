//! One GET, as callers send it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::Way;
use crate::proxy::Io;
use crate::trust;

/// From the first packet to the last byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// No card is read further, bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is none, in words.
pub(super) enum NoAnswer {
    /// No connection came about.
    Unreachable(String),
    /// One did, but no answer of HTTP.
    Unreadable(String),
}

/// Gets `url`, through the proxy that `way` has before it; over TLS from whom the system's roots vouch for.
pub(super) async fn get(url: &str, way: &Way) -> Result<Answer, NoAnswer> {
    match timeout(PATIENCE, fetch(url, way)).await {
        Ok(answer) => answer,
        Err(_) => Err(NoAnswer::Unreachable("no answer within 10 s".into())),
    }
}

async fn fetch(url: &str, way: &Way) -> Result<Answer, NoAnswer> {
    let unreachable = |error: &dyn std::fmt::Display| NoAnswer::Unreachable(error.to_string());
    let uri: Uri = url.parse().map_err(|error| unreachable(&error))?;
    let tls = uri.scheme_str() == Some("https");
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let endpoint = format!("{}:{port}", uri.host().unwrap_or_default());
    let socket: Box<dyn Io> = match way.proxy_before(&endpoint) {
        Some(proxy) => proxy.reach(&endpoint).await.map_err(|error| unreachable(&error))?.0,
        None => {
            let direct = TcpStream::connect((host, port)).await;
            Box::new(direct.map_err(|error| unreachable(&error))?)
        }
    };
    if !tls {
        return exchange(socket, &uri).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| unreachable(&error))?;
    let config = trust::verifying(&[]).map_err(|error| unreachable(&error))?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, socket).await.map_err(|error| unreachable(&error))?;
    exchange(stream, &uri).await
}

async fn exchange<S>(stream: S, uri: &Uri) -> Result<Answer, NoAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let unreadable = |error: hyper::Error| NoAnswer::Unreadable(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(unreadable)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(unreadable)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| NoAnswer::Unreadable(error.to_string()))?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    };
    tokio::pin!(answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        // What was read before the end is still there.
        _ = connection => answered.await,
    }
}
