//! HTTP CONNECT (RFC 9110, 9.3.6): a proxy of HTTP opens a connection and steps aside.

use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::upgrade::{self, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::{Io, Proxy, ProxyError};

/// No answer of a proxy has a longer head, bytes; hyper takes no smaller limit.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Asks for a connection to `endpoint`; what is behind the answer is the endpoint's own. Cancel safe: the
/// connection is closed with the future.
pub(super) async fn ask(
    stream: impl Io + 'static,
    endpoint: &str,
    login: Option<&HeaderValue>,
    proxy: &Proxy<'_>,
) -> Result<TokioIo<Upgraded>, ProxyError> {
    let garbled = |why: String| ProxyError::Garbled { proxy: proxy.name(), why };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| garbled(error.to_string()))?;
    let mut request =
        Request::builder().method(Method::CONNECT).uri(endpoint).header(HOST, endpoint);
    if let Some(login) = login {
        request = request.header(PROXY_AUTHORIZATION, login);
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|error| garbled(error.to_string()))?;
    // Dropped with this future, it ends; it is over by itself once the connection is handed on.
    let mut driving = JoinSet::new();
    driving.spawn(connection.with_upgrades());
    let answer = sender.send_request(request).await.map_err(|error| garbled(error.to_string()))?;
    match answer.status() {
        status if status.is_success() => {
            let upgraded = upgrade::on(answer).await.map_err(|error| garbled(error.to_string()))?;
            Ok(TokioIo::new(upgraded))
        }
        status @ StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Err(ProxyError::Login { proxy: proxy.name(), why: status.to_string() })
        }
        status => {
            let endpoint = endpoint.to_owned();
            Err(ProxyError::Refused { proxy: proxy.name(), endpoint, why: status.to_string() })
        }
    }
}
