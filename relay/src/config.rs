//! What the operator says to `relay serve`: flags and environment, checked all at once.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use shared::settings::Laid;

use self::values::filled;
use crate::admin::token::{ADMIN_TOKEN_VARIABLE, AdminToken};
use crate::direct_url::DirectUrls;
use crate::networks::Networks;
use crate::platform::config::{PLATFORM_TOKEN_VARIABLE, PlatformArgs, PlatformConfig};
use crate::public::PublicUrl;
use crate::public::domain::Domain;
use crate::registry::SealingKeys;
use crate::tunnel::endpoint::Congestion;

/// The largest request body that crosses unless configured: a document or two in base64.
pub const BODY_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Requests that are open at a time unless configured: with 64 KiB of credit each way, 2 GiB at worst.
pub const IN_FLIGHT_MAX: usize = 16 * 1024;

/// The most shards: a connection id has one byte for its shard.
pub const SHARDS_MAX: usize = 256;

/// What the composition root needs to build a relay.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything that lasts is kept.
    pub data_dir: PathBuf,
    /// The public listener.
    pub http: SocketAddr,
    /// The tunnel's listener.
    pub tunnel: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// Where callers reach the edge; `None` is the public listener's own address.
    pub public_url: Option<PublicUrl>,
    /// The domain below which agents have hosts of their own; `None` is no such domain.
    pub domain: Option<Domain>,
    /// What join strings name, `host` or `host:port`; `None` is the host of the public URL.
    pub tunnel_host: Option<String>,
    /// Where the admin token comes from.
    pub admin_token: AdminTokenSource,
    /// Where the keys of the secrets come from.
    pub sealing: SealingSource,
    /// Threads that own links and callers, at least 1.
    pub shards: usize,
    /// How links decide how fast to send.
    pub congestion: Congestion,
    /// The public listener's TLS; `None` is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Proxies whose word on who calls is taken.
    pub trusted_proxies: Networks,
    /// The largest request body, bytes.
    pub max_body_bytes: u64,
    /// Requests to agents that may be open at a time, all agents together.
    pub max_in_flight: usize,
    /// Which agents without a link are called at their own URLs.
    pub direct_urls: DirectUrls,
    /// What becomes of public URLs in cards by which callers pass the relay by.
    pub foreign_urls: ForeignUrls,
    /// Whether the relay signs cards that were signed and that it had to edit.
    pub sign_cards: bool,
    /// The platform that agents are brought to; `None`: the relay is the platform.
    pub platform: Option<PlatformConfig>,
    /// Where the real addresses are written once the relay listens.
    pub url_file: Option<PathBuf>,
}

/// What becomes of public URLs in cards by which callers pass the relay by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ForeignUrls {
    /// They stay: the agent says that it can be reached there.
    #[default]
    Keep,
    /// They are left out.
    Drop,
}

/// The operator's own certificate, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the relay's own certificate first.
    pub certificate: PathBuf,
    /// Its key, which nobody else may read.
    pub key: PathBuf,
}

/// Where the admin token comes from.
#[derive(Debug, Clone)]
pub enum AdminTokenSource {
    /// The environment held it.
    Given(AdminToken),
    /// This file holds it.
    File(PathBuf),
    /// `admin-token` in the data directory holds it, and is made on first start.
    DataDir,
}

/// Where the keys come from under which secrets are sealed.
#[derive(Debug, Clone)]
pub enum SealingSource {
    /// The environment held them.
    Given(SealingKeys),
    /// This file holds them.
    File(PathBuf),
    /// `sealing-key` in the data directory holds one, and is made on first start.
    DataDir,
}

/// The variable that holds the keys themselves.
pub const SEALING_KEY_VARIABLE: &str = "RELAY_SEALING_KEY";

/// The flags of `relay serve`, as they were typed. An empty text is no text.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Read what is said neither here nor in the environment from this file: the long names of these
    /// flags as keys [default: ./relay.toml, else /etc/relay/relay.toml, if present]
    #[arg(long, value_name = "FILE", env = "RELAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// What the file said.
    #[arg(skip)]
    pub file: Laid,
    /// Where everything that lasts is kept; made for its owner alone
    #[arg(long, value_name = "DIR", env = "RELAY_DATA_DIR", default_value = "./relay-data")]
    pub data_dir: PathBuf,
    /// The public listener, for callers and the API
    #[arg(long, value_name = "ADDR", env = "RELAY_HTTP", default_value = "127.0.0.1:8080")]
    pub http: String,
    /// The tunnel's listener, for connectors (UDP, and TCP on the same number)
    #[arg(long, value_name = "ADDR", env = "RELAY_TUNNEL", default_value = "0.0.0.0:4433")]
    pub tunnel: String,
    /// The admin listener: health and metrics
    #[arg(long, value_name = "ADDR", env = "RELAY_ADMIN", default_value = "127.0.0.1:8081")]
    pub admin: String,
    /// Serve HTTPS with the certificate chain in this PEM file; needs --tls-key
    #[arg(long, value_name = "FILE", env = "RELAY_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key, in a PEM file that nobody else may read
    #[arg(long, value_name = "FILE", env = "RELAY_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Proxies and load balancers in front of the relay, as addresses or networks between commas: who
    /// calls is then read from their Forwarded or X-Forwarded-For [default: nobody is believed]
    #[arg(long, value_name = "NETWORKS", env = "RELAY_TRUSTED_PROXIES")]
    pub trusted_proxies: Option<String>,
    /// Where callers reach the relay [default: the public listener, https:// if it has TLS]
    #[arg(long, value_name = "URL", env = "RELAY_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Give each agent with an alias a host of its own, ALIAS.DOMAIN, which gRPC needs; point *.DOMAIN
    /// here, and let the certificate cover it
    #[arg(long, value_name = "DOMAIN", env = "RELAY_DOMAIN")]
    pub domain: Option<String>,
    /// What join strings name, HOST or HOST:PORT [default: host of the public URL, port of --tunnel]
    #[arg(long, value_name = "HOST[:PORT]", env = "RELAY_TUNNEL_HOST")]
    pub tunnel_host: Option<String>,
    /// A file with the admin token; RELAY_ADMIN_TOKEN holds the token itself
    /// [default: admin-token in the data directory, made on first start]
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// A file with the keys of the secrets, one a line, the first for new ones;
    /// RELAY_SEALING_KEY holds the keys themselves
    /// [default: sealing-key in the data directory, made on first start]
    #[arg(long, value_name = "FILE")]
    pub sealing_key_file: Option<PathBuf>,
    /// Threads that carry the data [default: one per core, 1 on two cores or fewer]
    #[arg(long, value_name = "N", env = "RELAY_SHARDS")]
    pub shards: Option<String>,
    /// How links decide how fast to send: bbr or cubic [default: bbr]
    #[arg(long, value_name = "NAME", env = "RELAY_CONGESTION")]
    pub congestion: Option<String>,
    /// The largest request body, bytes [default: 33554432]
    #[arg(long, value_name = "BYTES", env = "RELAY_MAX_BODY")]
    pub max_body: Option<String>,
    /// Requests to agents that may be open at a time, all agents together [default: 16384]
    #[arg(long, value_name = "N", env = "RELAY_MAX_IN_FLIGHT")]
    pub max_in_flight: Option<String>,
    /// Which agents without a link are called at the URLs they registered: off, public (https and
    /// public addresses alone) or all (private ones and http too, for laboratories) [default: public]
    #[arg(long, value_name = "WHICH", env = "RELAY_DIRECT_URLS")]
    pub direct_urls: Option<String>,
    /// What becomes of public URLs in agents' cards by which callers would pass the relay by: keep or
    /// drop [default: keep]
    #[arg(long, value_name = "WHAT", env = "RELAY_FOREIGN_URLS")]
    pub foreign_urls: Option<String>,
    /// Sign cards that were signed before the relay had to edit them; callers find the key at
    /// /.well-known/jwks.json
    #[arg(long, env = "RELAY_SIGN_CARDS", value_parser = FalseyValueParser::new())]
    pub sign_cards: bool,
    /// The platform that agents are brought to, if any.
    #[command(flatten)]
    pub platform: PlatformArgs,
    /// Serve plain HTTP on an address that others can reach, such as behind a proxy with TLS
    #[arg(long)]
    pub insecure_http: bool,
    /// How to log: text or json [default: text on a terminal, json otherwise]; RELAY_LOG filters
    #[arg(long, value_name = "FORMAT", env = "RELAY_LOG_FORMAT")]
    pub log_format: Option<String>,
    /// Once it listens, write the real addresses here as one JSON object
    #[arg(long, value_name = "FILE")]
    pub url_file: Option<PathBuf>,
}

impl ServeArgs {
    /// The configuration that the flags, and the credentials in the environment, describe; or a
    /// sentence for each mistake. Nothing is opened.
    pub fn into_config(self) -> Result<Config, Vec<String>> {
        let keys = self.secret("sealing-key", SEALING_KEY_VARIABLE);
        let token = self.secret("admin-token", ADMIN_TOKEN_VARIABLE);
        let file = self.file.clone();
        let platform_token = self.secret("platform-token", PLATFORM_TOKEN_VARIABLE);
        let read = self.with_credentials(token, keys, platform_token);
        let mut mistakes = file.mistakes.clone();
        match read {
            Ok(config) if mistakes.is_empty() => Ok(config),
            Ok(_) => Err(mistakes),
            Err(more) => {
                mistakes.extend(more.into_iter().map(|sentence| file.located(sentence)));
                Err(mistakes)
            }
        }
    }

    /// What the environment holds, in this variable or in the one that the file names.
    fn secret(&self, key: &str, variable: &str) -> Option<String> {
        let named = self.file.variable(key).unwrap_or(variable);
        std::env::var(named).ok()
    }

    fn with_credentials(
        self,
        given: Option<String>,
        given_keys: Option<String>,
        given_platform_token: Option<String>,
    ) -> Result<Config, Vec<String>> {
        let mut mistakes = Mistakes::default();
        if self.data_dir.as_os_str().is_empty() {
            mistakes.add("--data-dir is empty; name a folder.".into());
        }
        let http = mistakes.of(values::address("--http", &self.http));
        let tunnel = mistakes.of(values::address("--tunnel", &self.tunnel));
        let admin = mistakes.of(values::address("--admin", &self.admin));
        let tls = mistakes.of(values::tls_files(self.tls_cert, self.tls_key));
        let clear = tls == Some(None) && !self.insecure_http;
        mistakes.of(values::check_listeners(http, admin, clear));
        let public_url =
            filled(self.public_url).and_then(|text| mistakes.of(values::public_url(&text)));
        let domain = filled(self.domain).and_then(|text| mistakes.of(values::domain(&text)));
        let tunnel_host =
            filled(self.tunnel_host).and_then(|text| mistakes.of(values::tunnel_host(text)));
        let admin_token = match (self.admin_token_file, filled(given)) {
            (Some(file), _) => Some(AdminTokenSource::File(file)),
            (None, Some(text)) => mistakes.of(values::given_token(&text)),
            (None, None) => Some(AdminTokenSource::DataDir),
        };
        let sealing = match (self.sealing_key_file, filled(given_keys)) {
            (Some(file), _) => Some(SealingSource::File(file)),
            (None, Some(text)) => mistakes.of(values::given_keys_of(&text)),
            (None, None) => Some(SealingSource::DataDir),
        };
        let shards = mistakes.of(values::shards(filled(self.shards)));
        let congestion = mistakes.of(values::congestion(filled(self.congestion)));
        let trusted = mistakes.of(values::trusted_proxies(filled(self.trusted_proxies)));
        let max_body_bytes = mistakes.of(values::max_body(filled(self.max_body)));
        let max_in_flight = mistakes.of(values::max_in_flight(filled(self.max_in_flight)));
        let direct_urls = mistakes.of(values::direct_urls(filled(self.direct_urls)));
        let foreign_urls = mistakes.of(values::foreign_urls(filled(self.foreign_urls)));
        let platform = self.platform.build(given_platform_token);
        let platform = platform.map_err(|more| mistakes.0.extend(more)).ok();
        let whole = (|| {
            Some(Config {
                data_dir: self.data_dir,
                http: http?,
                tunnel: tunnel?,
                admin: admin?,
                public_url,
                domain,
                tunnel_host,
                admin_token: admin_token?,
                sealing: sealing?,
                shards: shards?,
                congestion: congestion?,
                tls: tls?,
                trusted_proxies: trusted?,
                max_body_bytes: max_body_bytes?,
                max_in_flight: max_in_flight?,
                direct_urls: direct_urls?,
                foreign_urls: foreign_urls?,
                sign_cards: self.sign_cards,
                platform: platform?,
                url_file: self.url_file,
            })
        })();
        match whole {
            Some(config) if mistakes.0.is_empty() => Ok(config),
            _ => Err(mistakes.0),
        }
    }
}

/// Collects sentences about what is wrong.
#[derive(Debug, Default)]
struct Mistakes(Vec<String>);

impl Mistakes {
    fn add(&mut self, sentence: String) {
        self.0.push(sentence);
    }

    fn of<T>(&mut self, read: Result<T, String>) -> Option<T> {
        read.map_err(|sentence| self.add(sentence)).ok()
    }
}

mod values;

#[cfg(test)]
mod tests;
