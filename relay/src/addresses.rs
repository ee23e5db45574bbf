//! Where the relay listens: binding, port 0, and what outsiders are told.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Config;
use crate::public::PublicUrl;
use crate::tunnel::endpoint;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The port of an `https` URL that names none.
const HTTPS_PORT: u16 = 443;
/// Pairs of a UDP and a TCP port of one number that are tried, where any number will do.
const PAIR_TRIES: u32 = 16;

/// Where a running relay is found.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The public listener.
    pub http: SocketAddr,
    /// The tunnel.
    pub tunnel: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// What callers are told.
    pub public_url: PublicUrl,
    /// What connectors are told, `host:port`.
    pub endpoints: Vec<String>,
}

/// The relay's sockets, one of each kind per shard.
#[derive(Debug)]
pub struct Sockets {
    /// For callers.
    pub http: Vec<TcpListener>,
    /// For connectors.
    pub tunnel: Vec<UdpSocket>,
    /// For connectors that come over TCP; none where the public listener has that port.
    pub tunnel_tcp: Vec<TcpListener>,
    /// For the operator.
    pub admin: TcpListener,
}

/// A socket that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("The {what} address {address} cannot be used ({source}). Choose another with --{what}.")]
pub struct BindError {
    what: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Binds everything, then tells the real addresses. Port 0 takes any free one, and further shards
/// the number of the first.
pub fn bind(config: &Config) -> Result<(Sockets, Addresses), BindError> {
    let shared = config.shards > 1;
    let http = each(config, "http", config.http, |at| tcp(at, shared), TcpListener::local_addr)?;
    let (tunnel, tunnel_tcp) = tunnel(config, http.1)?;
    let failed = |source| BindError { what: "admin", address: config.admin, source };
    let admin = tcp(config.admin, false).map_err(failed)?;
    let admin_address = admin.local_addr().map_err(failed)?;
    let addresses = describe(config, http.1, tunnel.1, admin_address);
    Ok((Sockets { http: http.0, tunnel: tunnel.0, tunnel_tcp, admin }, addresses))
}

/// The tunnel's UDP sockets, and the TCP port of the same number. Where any port will do and TCP has
/// it already, another pair is tried.
#[expect(clippy::type_complexity, reason = "the sockets with their address, once")]
fn tunnel(
    config: &Config,
    http: SocketAddr,
) -> Result<((Vec<UdpSocket>, SocketAddr), Vec<TcpListener>), BindError> {
    let mut tries = if config.tunnel.port() == 0 { PAIR_TRIES } else { 1 };
    loop {
        tries -= 1;
        let udp = each(
            config,
            "tunnel",
            config.tunnel,
            |at| endpoint::bind(at, config.shards > 1),
            UdpSocket::local_addr,
        )?;
        if udp.1.port() == http.port() && config.tunnel.port() != 0 {
            return Ok((udp, Vec::new()));
        }
        let listen = |at| tcp(at, config.shards > 1);
        match each(config, "tunnel", udp.1, listen, TcpListener::local_addr) {
            Ok((tcp, _)) => return Ok((udp, tcp)),
            Err(error) if error.source.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

/// One socket per shard, all on the address of the first.
fn each<S>(
    config: &Config,
    what: &'static str,
    address: SocketAddr,
    bind: impl Fn(SocketAddr) -> io::Result<S>,
    local: impl Fn(&S) -> io::Result<SocketAddr>,
) -> Result<(Vec<S>, SocketAddr), BindError> {
    let failed = |source| BindError { what, address, source };
    let first = bind(address).map_err(failed)?;
    let real = local(&first).map_err(failed)?;
    let mut sockets = vec![first];
    for _ in 1..config.shards {
        sockets.push(bind(real).map_err(failed)?);
    }
    Ok((sockets, real))
}

fn tcp(address: SocketAddr, shared_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // After a restart the ports of old connections must not be in the way.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn describe(config: &Config, http: SocketAddr, tunnel: SocketAddr, admin: SocketAddr) -> Addresses {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let own = format!("{scheme}://{}", reachable(http));
    let public_url = match (&config.public_url, own.parse()) {
        (Some(public_url), _) => public_url.clone(),
        (None, Ok(own)) => own,
        // A socket address always makes a URL.
        (None, Err(_)) => PublicUrl::loopback(http.port()),
    };
    let public_url = public_url.with_domain(config.domain.clone());
    let host = match &config.tunnel_host {
        Some(host) if has_port(host) => host.clone(),
        Some(host) => format!("{host}:{}", tunnel.port()),
        None => format!("{}:{}", public_url.authority().host(), tunnel.port()),
    };
    let mut endpoints = vec![host];
    // Links are taken where callers are, if both are shown who the relay is.
    if config.tls.is_some() && public_url.as_str().starts_with("https://") {
        let authority = public_url.authority();
        let port = authority.port_u16().unwrap_or(HTTPS_PORT);
        endpoints.push(format!("{}:{port}", authority.host()));
        endpoints.dedup();
    }
    Addresses { http, tunnel, admin, public_url, endpoints }
}

/// An address that somebody on this host can use where the listener takes every one.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let ip = if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        SocketAddr::new(ip, address.port())
    } else {
        address
    }
}

fn has_port(host: &str) -> bool {
    let after_brackets = host.rsplit(']').next().unwrap_or(host);
    after_brackets.contains(':') && (host.starts_with('[') || host.matches(':').count() == 1)
}

impl Addresses {
    /// Writes them for scripts, atomically, as one JSON object.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        let json = json!({
            "http": self.http.to_string(),
            "tunnel": self.tunnel.to_string(),
            "admin": self.admin.to_string(),
            "public_url": self.public_url.as_str(),
            "pid": std::process::id(),
        });
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        std::fs::write(file.path(), format!("{json}\n"))?;
        file.persist(path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;
    use std::path::PathBuf;

    use super::*;
    use crate::config::{AdminTokenSource, ForeignUrls, SealingSource};
    use crate::direct_url::DirectUrls;
    use crate::networks::Networks;

    fn config(http: SocketAddr, tunnel: SocketAddr) -> Config {
        Config {
            data_dir: PathBuf::new(),
            http,
            tunnel,
            admin: ([127, 0, 0, 1], 0).into(),
            public_url: None,
            domain: None,
            tunnel_host: None,
            admin_token: AdminTokenSource::DataDir,
            sealing: SealingSource::DataDir,
            shards: 2,
            congestion: endpoint::Congestion::default(),
            tls: None,
            max_body_bytes: 1,
            trusted_proxies: Networks::default(),
            max_in_flight: 1,
            direct_urls: DirectUrls::default(),
            foreign_urls: ForeignUrls::default(),
            sign_cards: false,
            platform: None,
            url_file: None,
        }
    }

    #[test]
    fn the_tunnel_has_the_tcp_port_of_its_number_unless_callers_have_it() {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let (sockets, addresses) = bind(&config(free, free)).unwrap();
        assert_eq!(sockets.tunnel_tcp.len(), 2);
        let other = TcpListener::bind(addresses.tunnel).unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::AddrInUse);
        drop(sockets);
        let (sockets, shared) = bind(&config(addresses.http, addresses.http)).unwrap();
        assert!(sockets.tunnel_tcp.is_empty());
        assert_eq!(shared.http, shared.tunnel);
        let taken = TcpListener::bind(free).unwrap();
        let refused = bind(&config(free, taken.local_addr().unwrap())).unwrap_err();
        assert!(refused.to_string().contains("--tunnel"), "{refused}");
    }

    #[test]
    fn an_old_connection_is_not_in_the_way_of_the_tunnels_tcp_port() {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(free).unwrap();
        let address = listener.local_addr().unwrap();
        let mut caller = TcpStream::connect(address).unwrap();
        // Whoever closes first keeps the connection for a minute.
        drop((listener.accept().unwrap(), listener));
        assert_eq!(caller.read(&mut [0]).unwrap(), 0);
        drop(caller);
        let _again = tcp(address, false).unwrap();
        let other = TcpListener::bind(address).unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_port_is_told_from_an_ipv6_address() {
        for (host, has) in [
            ("relay.example", false),
            ("relay.example:443", true),
            ("[::1]", false),
            ("[::1]:443", true),
            ("192.0.2.1:1", true),
            ("::1", false),
        ] {
            assert_eq!(has_port(host), has, "{host}");
        }
    }
}
