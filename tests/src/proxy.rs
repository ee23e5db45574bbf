//! A proxy as companies have them: HTTP CONNECT, over TLS or not, or SOCKS5; it knows whom it lets where.

use crate::backstage::Backstage;
use data_encoding::BASE64;
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What it is told before it starts.
#[derive(Clone)]
pub struct ProxyBuilder {
    at: IpAddr,
    socks: bool,
    tls: Option<Arc<ServerConfig>>,
    inspects: Option<Arc<ServerConfig>>,
    passes_on: Option<Arc<ClientConfig>>,
    login: Option<(String, String)>,
    ports: Option<Vec<u16>>,
    leads_to: Option<SocketAddr>,
}

impl ProxyBuilder {
    /// Listens at this address of the machine, and not on loopback.
    #[must_use]
    pub fn at(mut self, at: impl Into<IpAddr>) -> ProxyBuilder {
        self.at = at.into();
        self
    }

    /// Speaks over TLS with whoever asks it.
    #[must_use]
    pub fn over_tls(mut self, config: ServerConfig) -> ProxyBuilder {
        self.tls = Some(Arc::new(config));
        self
    }

    /// Answers TLS itself, in place of whoever was asked for.
    #[must_use]
    pub fn inspecting(mut self, config: ServerConfig) -> ProxyBuilder {
        self.inspects = Some(Arc::new(config));
        self
    }

    /// What it has read goes on to whoever was asked for, over TLS of its own.
    #[must_use]
    pub fn passing_on(mut self, config: ClientConfig) -> ProxyBuilder {
        self.passes_on = Some(Arc::new(config));
        self
    }

    /// Lets in only whoever says this.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> ProxyBuilder {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Leads to these ports alone.
    #[must_use]
    pub fn only_to(mut self, ports: &[u16]) -> ProxyBuilder {
        self.ports = Some(ports.to_vec());
        self
    }

    /// Knows every name as that of this address.
    #[must_use]
    pub fn leading_to(mut self, address: SocketAddr) -> ProxyBuilder {
        self.leads_to = Some(address);
        self
    }

    /// Starts it on a free port.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start(self) -> Proxy {
        let listener = std::net::TcpListener::bind((self.at, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let asked = Asked::default();
        let notes = asked.clone();
        let told = Arc::new(self);
        let backstage = Backstage::open("proxy", move || serve(listener, told, notes));
        Proxy { address, asked, _backstage: backstage }
    }

    fn allows(&self, target: &str) -> bool {
        let port = target.rsplit(':').next().and_then(|port| port.parse().ok());
        let among = |ports: &Vec<u16>| port.is_some_and(|port| ports.contains(&port));
        self.ports.as_ref().is_none_or(among)
    }

    async fn dial(&self, target: &str) -> io::Result<TcpStream> {
        match self.leads_to {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect(target).await,
        }
    }
}

/// What it was asked for, in order.
type Asked = Arc<Mutex<Vec<String>>>;

/// A running proxy. Drop ends it and every connection through it.
pub struct Proxy {
    address: SocketAddr,
    asked: Asked,
    _backstage: Backstage,
}

impl Proxy {
    /// HTTP CONNECT on loopback, for everybody and to everywhere.
    #[must_use]
    pub fn http() -> ProxyBuilder {
        ProxyBuilder {
            at: Ipv4Addr::LOCALHOST.into(),
            socks: false,
            tls: None,
            inspects: None,
            passes_on: None,
            login: None,
            ports: None,
            leads_to: None,
        }
    }

    /// The same by SOCKS5.
    #[must_use]
    pub fn socks() -> ProxyBuilder {
        ProxyBuilder { socks: true, ..Proxy::http() }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `host:port` that it was asked for so far, whether it led there or not.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: std::net::TcpListener, told: Arc<ProxyBuilder>, asked: Asked) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (told, asked) = (told.clone(), asked.clone());
        // Whoever leaves in the middle ends here with an error.
        connections.spawn(async move {
            let _: io::Result<()> = match &told.tls {
                Some(tls) => match TlsAcceptor::from(tls.clone()).accept(stream).await {
                    Ok(stream) => attend(stream, &told, &asked).await,
                    Err(error) => Err(error),
                },
                None => attend(stream, &told, &asked).await,
            };
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn attend<S>(mut near: S, told: &ProxyBuilder, asked: &Asked) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let target = match told.socks {
        true => hear_socks(&mut near, told).await?,
        false => hear_connect(&mut near, told).await?,
    };
    let Some(target) = target else { return near.shutdown().await };
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(target.clone());
    let far = match told.allows(&target) {
        true => told.dial(&target).await.map_err(|_| (4, "502 Bad Gateway")),
        false => Err((2, "403 Forbidden")),
    };
    let (code, status) = far.as_ref().err().copied().unwrap_or((0, "200 Connection established"));
    match told.socks {
        true => near.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await?,
        false => near.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await?,
    }
    match (far, &told.inspects) {
        (Ok(far), Some(tls)) => {
            let mut inside = TlsAcceptor::from(tls.clone()).accept(near).await?;
            let Some(tls) = &told.passes_on else { return inside.read_u8().await.map(drop) };
            let name = ServerName::try_from(certs::RELAY_NAME).expect("a name");
            let mut far = TlsConnector::from(tls.clone()).connect(name, far).await?;
            copy_bidirectional(&mut inside, &mut far).await.map(drop)
        }
        (Ok(mut far), None) => {
            let _ = far.set_nodelay(true);
            copy_bidirectional(&mut near, &mut far).await.map(drop)
        }
        (Err(_), _) => near.shutdown().await,
    }
}

/// Where a CONNECT is to lead; nowhere, once its caller was refused.
async fn hear_connect<S>(near: &mut S, told: &ProxyBuilder) -> io::Result<Option<String>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
        head.push(near.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let told_login = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": Basic ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
    });
    let login = told.login.as_ref();
    let login =
        login.map(|(user, password)| BASE64.encode(format!("{user}:{password}").as_bytes()));
    if login.is_some() && told_login != login.as_deref() {
        let words = "HTTP/1.1 407 Proxy Authentication Required\r\n\
                     Proxy-Authenticate: Basic realm=\"way out\"\r\nContent-Length: 0\r\n\r\n";
        near.write_all(words.as_bytes()).await?;
        return Ok(None);
    }
    let mut words = head.split(' ');
    Ok((words.next() == Some("CONNECT")).then(|| words.next().unwrap_or_default().to_owned()))
}

/// The same by SOCKS5 (RFC 1928, 1929).
async fn hear_socks<S>(near: &mut S, told: &ProxyBuilder) -> io::Result<Option<String>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _version = near.read_u8().await?;
    let methods = text(near).await?;
    match &told.login {
        None => near.write_all(&[5, 0]).await?,
        Some(_) if !methods.contains(&2) => {
            near.write_all(&[5, 0xff]).await?;
            return Ok(None);
        }
        Some((user, password)) => {
            near.write_all(&[5, 2]).await?;
            let _version = near.read_u8().await?;
            let login = (text(near).await?, text(near).await?);
            let known = login == (user.clone().into_bytes(), password.clone().into_bytes());
            near.write_all(&[1, u8::from(!known)]).await?;
            if !known {
                return Ok(None);
            }
        }
    }
    let mut request = [0; 4];
    near.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => Ipv4Addr::from(near.read_u32().await?).to_string(),
        _ => String::from_utf8_lossy(&text(near).await?).into_owned(),
    };
    Ok(Some(format!("{host}:{}", near.read_u16().await?)))
}

/// Bytes behind their length.
async fn text<S: AsyncRead + Unpin>(near: &mut S) -> io::Result<Vec<u8>> {
    let mut text = vec![0; near.read_u8().await?.into()];
    near.read_exact(&mut text).await?;
    Ok(text)
}
