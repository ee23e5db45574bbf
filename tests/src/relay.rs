//! A `relay serve` process on free ports of loopback, with a data directory of its own.

use crate::{Port, Process, binaries, http, metrics, until};
use serde::Deserialize;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// How long the relay may take to listen.
const START: Duration = Duration::from_secs(20);
/// How long it may take to drain and end.
const STOP: Duration = Duration::from_secs(40);

/// What is said to a relay when it starts.
#[derive(Clone, Debug, Default)]
pub struct RelayBuilder {
    args: Vec<String>,
    env: Vec<(String, String)>,
    log_file: Option<PathBuf>,
    folder_in: Option<PathBuf>,
    host: Option<Ipv4Addr>,
    lasting_ports: bool,
    http_port: u16,
}

impl RelayBuilder {
    /// Adds an argument of `relay serve`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> RelayBuilder {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments of `relay serve`.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> RelayBuilder {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> RelayBuilder {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Appends what it writes to this file, instead of collecting it.
    #[must_use]
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> RelayBuilder {
        self.log_file = Some(path.into());
        self
    }

    /// Keeps its data below this folder, which must outlive it.
    #[must_use]
    pub fn folder_in(mut self, folder: impl Into<PathBuf>) -> RelayBuilder {
        self.folder_in = Some(folder.into());
        self
    }

    /// Listens for callers and links at this address of the machine, and not on loopback.
    #[must_use]
    pub fn host(mut self, host: Ipv4Addr) -> RelayBuilder {
        self.host = Some(host);
        self
    }

    /// Listens for callers on this port.
    #[must_use]
    pub fn http_port(mut self, port: u16) -> RelayBuilder {
        self.http_port = port;
        self
    }

    /// Listens on ports that stay its own while it is down, so that it can come back on them.
    #[must_use]
    pub fn lasting_ports(mut self) -> RelayBuilder {
        self.lasting_ports = true;
        self
    }

    /// Starts it and waits until it listens.
    pub async fn start(self) -> Relay {
        self.start_after_kills(&[]).await
    }

    /// The same after a start for each of these times, which is killed when that is over.
    pub async fn start_after_kills(self, kills: &[Duration]) -> Relay {
        let folder = self.folder_in.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in);
        let folder = folder.expect("a data directory");
        let ports = Ports::of(&self);
        for time in kills {
            let process = spawn(&self, folder.path(), &ports);
            tokio::time::sleep(*time).await;
            process.kill9();
        }
        let (process, urls) = serve(&self, folder.path(), &ports).await;
        Relay { process, urls, builder: self, ports, folder }
    }
}

/// Where a relay is told to listen: on ports that last, or on free ones.
struct Ports(Option<[Port; 3]>);

impl Ports {
    fn of(builder: &RelayBuilder) -> Ports {
        Ports(builder.lasting_ports.then(|| [Port::take(), Port::take(), Port::take()]))
    }

    /// The numbers for callers, links and the operator; 0 is any.
    fn numbers(&self) -> [u16; 3] {
        self.0.as_ref().map_or([0; 3], |ports| ports.each_ref().map(Port::number))
    }
}

/// What the `--url-file` says.
#[derive(Clone, Debug, Deserialize)]
struct Urls {
    http: SocketAddr,
    tunnel: SocketAddr,
    admin: SocketAddr,
    public_url: String,
    pid: u32,
}

/// A relay process. Its data directory lives as long as this value, through all restarts.
pub struct Relay {
    process: Process,
    urls: Urls,
    builder: RelayBuilder,
    ports: Ports,
    folder: TempDir,
}

impl Relay {
    /// What to say before it starts. `HARNESS_SHARDS` is said already.
    #[must_use]
    pub fn builder() -> RelayBuilder {
        let shards = std::env::var("HARNESS_SHARDS").ok();
        let args = shards.map(|shards| vec!["--shards".to_owned(), shards]).unwrap_or_default();
        RelayBuilder { args, ..RelayBuilder::default() }
    }

    /// Starts a relay with nothing but free ports and a fresh data directory.
    pub async fn start() -> Relay {
        Relay::builder().start().await
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its public listener.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.urls.http
    }

    /// Its tunnel listener, UDP and TCP.
    #[must_use]
    pub fn tunnel(&self) -> SocketAddr {
        self.urls.tunnel
    }

    /// Its admin listener.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.urls.admin
    }

    /// Its public URL, without a final slash.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.urls.public_url
    }

    /// Its working directory, above its data directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The admin token that it made.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn admin_token(&self) -> String {
        let path = self.data_dir().join("admin-token");
        let token = std::fs::read_to_string(&path);
        token.unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
    }

    /// The text of `/metrics`.
    ///
    /// # Panics
    /// When the admin listener does not answer.
    pub async fn metrics(&self) -> String {
        let answer = http::Version::Http1.get(&format!("http://{}/metrics", self.urls.admin)).await;
        let answer = answer.expect("metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text()
    }

    /// One value of the metrics: the sum over all series with this name and these labels.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        metrics::value(&self.metrics().await, name, labels)
    }

    /// SIGKILL.
    pub fn kill9(&self) {
        self.process.kill9();
    }

    /// SIGTERM, and waits for the end; yields the exit code.
    pub async fn stop(&self) -> i32 {
        self.process.terminate();
        self.process.exit_code(STOP).await
    }

    /// Starts it again with its data, on the ports that it had. Whatever ran is killed.
    ///
    /// # Panics
    /// Without [`RelayBuilder::lasting_ports`]: others may have been taken meanwhile.
    pub async fn start_again_on_same_ports(&mut self) {
        assert!(self.builder.lasting_ports, "a relay that comes back has lasting ports");
        self.start_again().await;
    }

    /// Starts it again with its data, on ports that are free unless they last. Whatever ran is killed.
    pub async fn start_again(&mut self) {
        self.process.kill9();
        (self.process, self.urls) = serve(&self.builder, self.folder.path(), &self.ports).await;
    }

    /// The same, but it is killed after this time, which may be before it listens.
    pub async fn start_again_for(&mut self, time: Duration) {
        self.process.kill9();
        self.process = spawn(&self.builder, self.folder.path(), &self.ports);
        tokio::time::sleep(time).await;
        self.process.kill9();
    }

    /// Stops it in order and starts it again on the ports that it had.
    pub async fn restart(&mut self) {
        assert_eq!(self.stop().await, 0, "the relay drains");
        self.start_again_on_same_ports().await;
    }
}

/// The relay with nothing of the tester's own surroundings.
#[must_use]
pub fn program(folder: &Path) -> Command {
    let mut command = Command::new(binaries::relay());
    binaries::isolate(&mut command, "RELAY_");
    command.current_dir(folder);
    command
}

/// What it would have written of an earlier life is removed first.
fn spawn(builder: &RelayBuilder, folder: &Path, ports: &Ports) -> Process {
    let file = folder.join("urls.json");
    let _ = std::fs::remove_file(&file);
    let [http, tunnel, admin] = ports.numbers();
    let http = if builder.http_port == 0 { http } else { builder.http_port };
    let host = builder.host.unwrap_or(Ipv4Addr::LOCALHOST);
    let mut command = program(folder);
    command.arg("serve").arg("--data-dir").arg(folder.join("data"));
    command.args(["--http", &format!("{host}:{http}")]);
    command.args(["--tunnel", &format!("{host}:{tunnel}")]);
    command.args(["--admin", &format!("127.0.0.1:{admin}")]);
    command.arg("--url-file").arg(&file).args(&builder.args);
    command.envs(builder.env.iter().map(|(name, value)| (name, value)));
    match &builder.log_file {
        Some(file) => Process::spawn_logging_to("relay", command, file),
        None => Process::spawn("relay", command),
    }
}

async fn serve(builder: &RelayBuilder, folder: &Path, ports: &Ports) -> (Process, Urls) {
    let process = spawn(builder, folder, ports);
    let file = folder.join("urls.json");
    let urls = until("the relay writes its --url-file", START, async || {
        assert!(process.is_running(), "the relay ended before it listened");
        let text = std::fs::read(&file).ok()?;
        let urls: Urls = serde_json::from_slice(&text).unwrap_or_else(|e| {
            panic!("the --url-file is not whole ({e}): {}", String::from_utf8_lossy(&text))
        });
        Some(urls)
    })
    .await;
    assert_eq!(urls.pid, process.pid(), "the --url-file names another process");
    (process, urls)
}
