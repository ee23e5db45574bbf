//! SOCKS5 (RFC 1928, and 1929 for the password): a proxy that is told a name and a port.

use tokio::net::TcpStream;
use tokio_socks::Error;
use tokio_socks::tcp::Socks5Stream;

use super::{Proxy, ProxyError};

/// Asks for a connection to `endpoint`, by its name if it has one. Cancel safe: the connection is
/// closed with the future.
pub(super) async fn ask(
    stream: TcpStream,
    endpoint: &str,
    login: Option<(&str, &str)>,
    proxy: &Proxy<'_>,
) -> Result<TcpStream, ProxyError> {
    let asked = match login {
        Some((user, password)) => {
            Socks5Stream::connect_with_password_and_socket(stream, endpoint, user, password).await
        }
        None => Socks5Stream::connect_with_socket(stream, endpoint).await,
    };
    asked.map(Socks5Stream::into_inner).map_err(|error| name(&error, endpoint, proxy))
}

/// Whose fault it is.
fn name(error: &Error, endpoint: &str, proxy: &Proxy<'_>) -> ProxyError {
    let (proxy, why) = (proxy.name(), error.to_string());
    match error {
        Error::NoAcceptableAuthMethods
        | Error::PasswordAuthFailure(_)
        | Error::AuthorizationRequired
        | Error::InvalidAuthValues(_) => ProxyError::Login { proxy, why },
        Error::GeneralSocksServerFailure
        | Error::ConnectionNotAllowedByRuleset
        | Error::NetworkUnreachable
        | Error::HostUnreachable
        | Error::ConnectionRefused
        | Error::TtlExpired
        | Error::CommandNotSupported
        | Error::AddressTypeNotSupported
        | Error::InvalidTargetAddress(_) => {
            ProxyError::Refused { proxy, endpoint: endpoint.to_owned(), why }
        }
        _ => ProxyError::Garbled { proxy, why },
    }
}
