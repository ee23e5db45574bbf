//! The platform on loopback: an agent whose only way out is the tunnel calls the relay's API here.
//!
//! Every request crosses as a stream on the newest link, as it is; the relay knows whose link that is.
//! A web page that knows the port can use nothing of it (`guard`).

mod answer;
mod bootstrap;
mod carry;
mod guard;
mod listener;
mod refusal;
mod watch;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use answer::AnswerBody;
pub(crate) use bootstrap::Bootstrap;
use refusal::Refusal;

use crate::error::ConnectorError;
use crate::tunnel::uplink::Uplinks;

/// The platform of one process.
pub(crate) struct Platform {
    port: u16,
    uplinks: Uplinks,
    /// Until the agent has registered, where the connector began without a credential.
    bootstrap: Option<Bootstrap>,
}

impl Platform {
    /// Answers one request.
    async fn answer(&self, request: Request<Incoming>) -> Response<AnswerBody> {
        match self.try_answer(request).await {
            Ok(response) => response,
            Err(refusal) => {
                tracing::debug!(code = refusal.code, "a call of the agent was refused");
                refusal.response()
            }
        }
    }

    async fn try_answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let (parts, body) = request.into_parts();
        guard::judge(&parts, self.port)?;
        let place = self.uplinks.place().ok_or_else(Refusal::busy)?;
        if let Some(uplink) = self.uplinks.newest() {
            return carry::carry(&uplink, place, parts, body).await;
        }
        match &self.bootstrap {
            Some(bootstrap) if !bootstrap.is_over() => bootstrap.answer(place, parts, body).await,
            Some(_) | None => Err(Refusal::no_link()),
        }
    }
}

/// A platform whose port is open, and which nobody serves yet.
pub(crate) struct Opened {
    listener: TcpListener,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// Opens the port. Only this machine can reach it.
pub(crate) async fn open(address: SocketAddr) -> Result<Opened, ConnectorError> {
    let address = of_loopback(address)?;
    let failed = |error| {
        ConnectorError::Config(format!(
            "The platform cannot listen on {address} ({error}); give another port to \
             `--platform-listen`."
        ))
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Opened { listener, address })
}

impl Opened {
    /// Serves it until this is dropped, whatever becomes of the links.
    pub(crate) async fn serve(self, uplinks: Uplinks, bootstrap: Option<Bootstrap>) {
        let platform = Platform { port: self.address.port(), uplinks, bootstrap };
        listener::serve(self.listener, Arc::new(platform)).await;
    }
}

/// The address of `--platform-listen`: one of loopback, or nothing.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, ConnectorError> {
    let by_name = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address: Option<SocketAddr> = by_name.as_deref().unwrap_or(text).parse().ok();
    match address {
        Some(address) => of_loopback(address),
        None => Err(ConnectorError::Config(format!(
            "`--platform-listen {text}` is no address. Give one of loopback with its port, such as \
             127.0.0.1:9100."
        ))),
    }
}

fn of_loopback(address: SocketAddr) -> Result<SocketAddr, ConnectorError> {
    if is_loopback(address.ip()) {
        return Ok(address);
    }
    Err(ConnectorError::Config(format!(
        "A platform on {address} would let other machines act as this agent. Give an address of \
         loopback to `--platform-listen`, such as 127.0.0.1:9100."
    )))
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on() {
        for (text, right) in [
            ("127.0.0.1:9100", true),
            ("127.8.8.8:0", true),
            ("[::1]:9100", true),
            ("localhost:9100", true),
            ("0.0.0.0:9100", false),
            ("[::]:9100", false),
            ("192.168.0.7:9100", false),
            ("9100", false),
            ("agent.example:9100", false),
            ("localhost", false),
            ("", false),
        ] {
            assert_eq!(listen_address(text).is_ok(), right, "{text}");
        }
    }
}
