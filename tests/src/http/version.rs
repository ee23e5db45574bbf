//! Requests by either version of HTTP: by the one that a story needs, or by the one of this run.

use super::{Call, Connection, Cut, RawClient, RawResponse, Upload, request_bytes};
use std::net::SocketAddr;

/// A version of HTTP that callers speak. All verbs use a connection of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

impl Version {
    /// The version of ordinary callers in this run: `HARNESS_HTTP`, or else HTTP/1.1.
    ///
    /// # Panics
    /// When the variable names no version.
    #[must_use]
    pub fn of_callers() -> Version {
        match std::env::var("HARNESS_HTTP").as_deref() {
            Err(_) | Ok("1") => Version::Http1,
            Ok("2") => Version::Http2,
            Ok(other) => panic!("HARNESS_HTTP is 1 or 2, and not {other}"),
        }
    }

    /// Sends one request, with its length where there is a body; its answer is still to be read.
    ///
    /// # Errors
    /// Why the server cannot be reached.
    pub async fn send(
        self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Call, Cut> {
        match self {
            Version::Http1 => Ok(RawClient::request(method, url, headers, body).await?.into()),
            Version::Http2 => {
                let connection = Connection::to(url).await?;
                connection.send(method, url, headers, body).await
            }
        }
    }

    /// Begins a request whose body is still to be sent, of this length or of one not said before.
    ///
    /// # Errors
    /// Why the server cannot be reached.
    ///
    /// # Panics
    /// When the system has no handle left.
    pub async fn begin(
        self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        length: Option<u64>,
    ) -> Result<(Call, Upload), Cut> {
        match self {
            Version::Http1 => {
                let text = length.map(|length| length.to_string());
                let framing = match &text {
                    Some(length) => ("Content-Length", length.as_str()),
                    None => ("Transfer-Encoding", "chunked"),
                };
                let headers = [headers, &[framing]].concat();
                let client = RawClient::request(method, url, &headers, None).await?;
                let upload = client.upload(length.is_none()).expect("a handle");
                Ok((client.into(), upload))
            }
            Version::Http2 => {
                let connection = Connection::to(url).await?;
                connection.begin(method, url, headers, length).await
            }
        }
    }

    /// One request and its answer.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn exchange(
        self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<RawResponse, Cut> {
        self.send(method, url, headers, body).await?.response().await
    }

    /// One request for the host of the URL, sent to the server at `address`.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn exchange_at(
        self,
        address: SocketAddr,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<RawResponse, Cut> {
        match self {
            Version::Http1 => {
                let (_, bytes) = request_bytes(method, url, headers, body);
                let mut client = RawClient::connect(address).await.map_err(|_| Cut::Unreachable)?;
                // A server may answer and close before it has read all; the answer tells.
                let _ = client.send(&bytes).await;
                client.response().await
            }
            Version::Http2 => {
                let connection = Connection::connect(&address.to_string()).await?;
                connection.send(method, url, headers, body).await?.response().await
            }
        }
    }

    /// A GET.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn get(self, url: &str) -> Result<RawResponse, Cut> {
        self.exchange("GET", url, &[], None).await
    }

    /// A POST.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post(
        self,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<RawResponse, Cut> {
        self.exchange("POST", url, headers, Some(body)).await
    }

    /// A POST of JSON.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post_json(self, url: &str, json: &serde_json::Value) -> Result<RawResponse, Cut> {
        let headers = [("Content-Type", "application/json")];
        self.post(url, &headers, json.to_string().as_bytes()).await
    }
}

/// [`Version::send`] by the version of this run.
///
/// # Errors
/// Why the server cannot be reached.
pub async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Result<Call, Cut> {
    Version::of_callers().send(method, url, headers, body).await
}

/// [`Version::begin`] by the version of this run.
///
/// # Errors
/// Why the server cannot be reached.
pub async fn begin(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    length: Option<u64>,
) -> Result<(Call, Upload), Cut> {
    Version::of_callers().begin(method, url, headers, length).await
}

/// [`Version::exchange`] by the version of this run.
///
/// # Errors
/// Why there is no answer.
pub async fn exchange(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Result<RawResponse, Cut> {
    Version::of_callers().exchange(method, url, headers, body).await
}

/// [`Version::get`] by the version of this run.
///
/// # Errors
/// Why there is no answer.
pub async fn get(url: &str) -> Result<RawResponse, Cut> {
    Version::of_callers().get(url).await
}

/// [`Version::post`] by the version of this run.
///
/// # Errors
/// Why there is no answer.
pub async fn post(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<RawResponse, Cut> {
    Version::of_callers().post(url, headers, body).await
}

/// [`Version::post_json`] by the version of this run.
///
/// # Errors
/// Why there is no answer.
pub async fn post_json(url: &str, json: &serde_json::Value) -> Result<RawResponse, Cut> {
    Version::of_callers().post_json(url, json).await
}
