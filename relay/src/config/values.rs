//! Reads one value of the configuration each, or says in a sentence what is wrong with it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use http::uri::Authority;

use super::{
    AdminTokenSource, BODY_BYTES_MAX, ForeignUrls, IN_FLIGHT_MAX, SEALING_KEY_VARIABLE, SHARDS_MAX,
    SealingSource, TlsFiles,
};
use crate::admin::token::{ADMIN_TOKEN_VARIABLE, AdminToken};
use crate::direct_url::DirectUrls;
use crate::networks::Networks;
use crate::public::PublicUrl;
use crate::public::domain::Domain;
use crate::registry::SealingKeys;
use crate::tunnel::endpoint::Congestion;

/// An empty variable in an environment file means that nothing is set.
pub(super) fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

pub(super) fn address(flag: &str, text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        format!("{flag} cannot be `{text}`; give an IP address and a port, like 127.0.0.1:8080.")
    })
}

pub(super) fn check_listeners(
    http: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    clear: bool,
) -> Result<(), String> {
    let Some(http) = http else { return Ok(()) };
    if Some(http) == admin && http.port() != 0 {
        return Err(format!("--http and --admin are both {http}; give each its own port."));
    }
    if !http.ip().is_loopback() && clear {
        return Err(format!(
            "--http {http} can be reached by others and has no TLS; give --tls-cert and --tls-key, \
             listen on 127.0.0.1 behind a proxy that has TLS, or say --insecure-http if that is \
             what you want."
        ));
    }
    Ok(())
}

pub(super) fn tls_files(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<TlsFiles>, String> {
    let named = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
    match (named(certificate), named(key)) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err("--tls-cert needs --tls-key, the certificate's key.".into()),
        (None, Some(_)) => Err("--tls-key needs --tls-cert, the certificate's chain.".into()),
    }
}

pub(super) fn domain(text: &str) -> Result<Domain, String> {
    text.trim().parse().map_err(|error| format!("--domain: {error}"))
}

pub(super) fn public_url(text: &str) -> Result<PublicUrl, String> {
    text.trim().parse().map_err(|error| format!("--public-url: {error}"))
}

/// `HOST` or `HOST:PORT`, as it will stand in join strings.
pub(super) fn tunnel_host(text: String) -> Result<String, String> {
    let fits = text.parse::<Authority>().is_ok_and(|authority| {
        let host = authority.host();
        let port_fits = match text.strip_prefix(host) {
            Some("") => true,
            Some(rest) => rest
                .strip_prefix(':')
                .and_then(|port| port.parse::<u16>().ok())
                .is_some_and(|port| port != 0),
            // A user stands before the host.
            None => false,
        };
        port_fits && !host.is_empty()
    });
    if fits {
        return Ok(text);
    }
    Err(format!(
        "--tunnel-host cannot be `{text}`; give a host name or an IP address (IPv6 in brackets), \
         with a port if it is not that of --tunnel."
    ))
}

pub(super) fn given_token(text: &str) -> Result<AdminTokenSource, String> {
    AdminToken::new(text)
        .map(AdminTokenSource::Given)
        .map_err(|error| format!("{ADMIN_TOKEN_VARIABLE}: {error}"))
}

pub(super) fn given_keys_of(text: &str) -> Result<SealingSource, String> {
    SealingKeys::parse(text)
        .map(SealingSource::Given)
        .map_err(|error| format!("{SEALING_KEY_VARIABLE}: {error}"))
}

pub(super) fn shards(text: Option<String>) -> Result<usize, String> {
    let Some(text) = text else { return Ok(default_shards()) };
    match text.trim().parse() {
        Ok(shards) if (1..=SHARDS_MAX).contains(&shards) => Ok(shards),
        _ => Err(format!("--shards cannot be `{text}`; give a number from 1 to {SHARDS_MAX}.")),
    }
}

/// One per core. On two cores or fewer a second shard only takes turns with callers and the
/// system.
fn default_shards() -> usize {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        0..=2 => 1,
        cores => cores.min(SHARDS_MAX),
    }
}

pub(super) fn congestion(text: Option<String>) -> Result<Congestion, String> {
    let Some(text) = text else { return Ok(Congestion::default()) };
    Congestion::from_str(text.trim(), true)
        .map_err(|_| format!("--congestion cannot be `{text}`; choose bbr or cubic."))
}

pub(super) fn max_body(text: Option<String>) -> Result<u64, String> {
    let Some(text) = text else { return Ok(BODY_BYTES_MAX) };
    match text.trim().parse() {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(format!("--max-body cannot be `{text}`; give a number of bytes, at least 1.")),
    }
}

pub(super) fn max_in_flight(text: Option<String>) -> Result<usize, String> {
    let Some(text) = text else { return Ok(IN_FLIGHT_MAX) };
    match text.trim().parse() {
        Ok(requests) if requests > 0 => Ok(requests),
        _ => Err(format!("--max-in-flight cannot be `{text}`; give a number, at least 1.")),
    }
}

pub(super) fn direct_urls(text: Option<String>) -> Result<DirectUrls, String> {
    let Some(text) = text else { return Ok(DirectUrls::default()) };
    DirectUrls::from_str(text.trim(), true)
        .map_err(|_| format!("--direct-urls cannot be `{text}`; choose off, public or all."))
}

pub(super) fn foreign_urls(text: Option<String>) -> Result<ForeignUrls, String> {
    let Some(text) = text else { return Ok(ForeignUrls::default()) };
    ForeignUrls::from_str(text.trim(), true)
        .map_err(|_| format!("--foreign-urls cannot be `{text}`; choose keep or drop."))
}

/// Networks between commas.
pub(super) fn trusted_proxies(text: Option<String>) -> Result<Networks, String> {
    Networks::read(text.as_deref().unwrap_or_default()).map_err(|part| {
        format!(
            "--trusted-proxies cannot have `{part}`; give addresses or networks between commas, like \
             10.0.0.7,192.168.0.0/16."
        )
    })
}
