//! An `agent-connector http` or `exec` process with a state directory of its own.

use crate::{Namespace, Process, Relay, binaries, namespace::within, until};
use serde::Deserialize;
use std::{
    fs::File,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// How long a connector may take to be online (or to reach another state).
const ONLINE: Duration = Duration::from_secs(20);
/// How long it may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(40);

/// What is said to a connector when it starts.
#[derive(Clone, Debug)]
pub struct ConnectorBuilder {
    join: Option<String>,
    token: Option<String>,
    target: String,
    command: Option<Vec<String>>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log_file: Option<PathBuf>,
    namespace: Option<String>,
    transport: Option<&'static str>,
}

/// What carries links in this run, where a story leaves it open: `HARNESS_TRANSPORT`, or else QUIC.
///
/// # Panics
/// When it is set to something else than `quic` or `tcp`.
#[must_use]
pub fn transport() -> &'static str {
    match std::env::var("HARNESS_TRANSPORT").as_deref() {
        Err(_) | Ok("quic") => "quic",
        Ok("tcp") => "tcp",
        Ok(other) => panic!("HARNESS_TRANSPORT is quic or tcp, and not {other}"),
    }
}

impl ConnectorBuilder {
    /// Carries its links so, whatever the run says: `auto`, `quic` or `tcp`.
    #[must_use]
    pub fn over(mut self, transport: &'static str) -> ConnectorBuilder {
        self.transport = Some(transport);
        self
    }

    /// Adds an argument of `agent-connector http`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> ConnectorBuilder {
        self.args.push(arg.into());
        self
    }

    /// Dials this relay with the workspace token in a file of its own.
    #[must_use]
    pub fn token(mut self, token: &str, relay: &Relay, ca: &str) -> ConnectorBuilder {
        self.token = Some(token.to_owned());
        self.args(["--relay", &relay.tunnel().to_string(), "--relay-ca", ca])
    }

    /// Serves the platform on a free port, and knows this relay, but has no credential of its own.
    #[must_use]
    pub fn platform_of(self, relay: &Relay, ca: &str) -> ConnectorBuilder {
        let tunnel = relay.tunnel().to_string();
        self.args(["--platform-listen", "127.0.0.1:0", "--relay", &tunnel, "--relay-ca", ca])
    }

    /// Adds arguments of `agent-connector http`.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> ConnectorBuilder {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> ConnectorBuilder {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Appends what it writes to this file, instead of collecting it.
    #[must_use]
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> ConnectorBuilder {
        self.log_file = Some(path.into());
        self
    }

    /// Runs it in this namespace.
    #[must_use]
    pub fn within(mut self, namespace: &Namespace) -> ConnectorBuilder {
        self.namespace = Some(namespace.name().to_owned());
        self
    }

    /// Passes the join string by `--join` instead of the environment.
    #[must_use]
    pub fn join_by_argument(mut self) -> ConnectorBuilder {
        let join = self.join.take().expect("a join string");
        self.args.extend(["--join".to_owned(), join]);
        self
    }

    /// Starts its agent itself, by this command of the shell (`agent-connector exec`).
    #[must_use]
    pub fn exec(self, script: &str) -> ConnectorBuilder {
        self.exec_program(&["sh", "-c", script])
    }

    /// Starts its agent itself, by this program and its arguments.
    #[must_use]
    pub fn exec_program(mut self, command: &[&str]) -> ConnectorBuilder {
        self.command = Some(command.iter().map(|word| (*word).to_owned()).collect());
        self
    }

    /// Starts it; it need not be online yet.
    #[must_use]
    pub fn start(self) -> Connector {
        let folder = tempfile::tempdir().expect("a state directory");
        let process = spawn(&self, folder.path());
        Connector { process, builder: self, folder }
    }

    /// Starts it and waits until it is online.
    pub async fn start_online(self) -> Connector {
        let connector = self.start();
        connector.until_online().await;
        connector
    }
}

/// What the `--status-file` says.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Status {
    /// `dialing`, `online`, `waiting` or `refused`.
    pub state: String,
    /// The public base URL, once known.
    #[serde(default)]
    pub public_url: Option<String>,
    /// The workspace, once known.
    #[serde(default)]
    pub workspace_id: Option<String>,
    /// `quic` or `tcp`, while online.
    #[serde(default)]
    pub transport: Option<String>,
    /// When this state began.
    #[serde(default)]
    pub since: serde_json::Value,
    /// Why, where there is a reason.
    #[serde(default)]
    pub reason: Option<String>,
    /// Where the agent finds the platform, if it is served.
    #[serde(default)]
    pub platform: Option<String>,
}

/// A connector process. Its state directory lives as long as this value, through all restarts.
pub struct Connector {
    process: Process,
    builder: ConnectorBuilder,
    folder: TempDir,
}

impl Connector {
    /// A connector that joins with this string and forwards to this port of loopback.
    #[must_use]
    pub fn builder(join: &str, port: u16) -> ConnectorBuilder {
        let (join, target) = (Some(join.to_owned()), port.to_string());
        let (args, env) = (Vec::new(), Vec::new());
        let (command, log_file, namespace) = (None, None, None);
        ConnectorBuilder {
            join,
            token: None,
            target,
            command,
            args,
            env,
            log_file,
            namespace,
            transport: None,
        }
    }

    /// A connector without a join string: by `--relay` and a token, or as it was enrolled.
    #[must_use]
    pub fn without_join(port: u16) -> ConnectorBuilder {
        ConnectorBuilder { join: None, ..Connector::builder("", port) }
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its state directory.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// What its status file says now; `None` before the first state.
    ///
    /// # Panics
    /// When the file is there but not whole.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let text = std::fs::read(self.folder.path().join("status.json")).ok()?;
        let status = serde_json::from_slice(&text);
        Some(status.unwrap_or_else(|e| {
            panic!("the --status-file is not whole ({e}): {}", String::from_utf8_lossy(&text))
        }))
    }

    /// Waits until it says that it is online.
    ///
    /// # Panics
    /// At once when the process ends.
    pub async fn until_online(&self) -> Status {
        until("the connector is online", ONLINE, async || {
            assert!(self.process.is_running(), "the connector ended before it was online");
            self.in_state("online")
        })
        .await
    }

    /// Waits until it is in this state; the process may have ended with it.
    pub async fn until_state(&self, state: &str) -> Status {
        let fact = format!("the connector is in state {state}");
        until(&fact, ONLINE, async || self.in_state(state)).await
    }

    /// Waits until it is online by another link than the one of `before`.
    pub async fn until_online_again(&self, before: &Status, deadline: Duration) -> Status {
        let newer = |now: Status| (now.since != before.since).then_some(now);
        until("the connector is online again", deadline, async || {
            self.in_state("online").and_then(newer)
        })
        .await
    }

    /// Where the agent finds the platform, once it is served.
    pub async fn platform(&self) -> String {
        until("the platform is served", ONLINE, async || self.status()?.platform).await
    }

    fn in_state(&self, state: &str) -> Option<Status> {
        self.status().filter(|status| status.state == state)
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

    /// Starts it again with its state directory; whatever ran is killed. It need not be online yet.
    pub fn start_again(&mut self) {
        self.process.kill9();
        self.process = spawn(&self.builder, self.folder.path());
    }

    /// The same with another join string.
    pub fn start_again_with_join(&mut self, join: &str) {
        self.builder.join = Some(join.to_owned());
        self.start_again();
    }

    /// The same with another token in its file.
    pub fn start_again_with_token(&mut self, token: &str) {
        self.builder.token = Some(token.to_owned());
        self.start_again();
    }

    /// Stops it in order, starts it again with its state directory, waits until it is online.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again();
        self.until_online().await;
    }
}

/// The status file of an earlier life is removed, or it would tell of that life.
fn spawn(builder: &ConnectorBuilder, folder: &Path) -> Process {
    let status = folder.join("status.json");
    let _ = std::fs::remove_file(&status);
    let mut command = within(builder.namespace.as_deref(), binaries::agent_connector());
    binaries::isolate(&mut command, "AGENT_CONNECTOR_");
    command.current_dir(folder);
    match &builder.command {
        Some(_) => command.arg("exec"),
        None => command.args(["http", &builder.target]),
    };
    command.args(["--inspect", "off"]);
    command.arg("--state-dir").arg(folder.join("state"));
    command.arg("--status-file").arg(status).args(&builder.args);
    if let Some(join) = &builder.join {
        command.env("AGENT_CONNECTOR_JOIN", join);
    }
    if let Some(token) = &builder.token {
        command.arg("--token-file").arg(private_file(folder, token));
    }
    command.env("AGENT_CONNECTOR_TRANSPORT", builder.transport.unwrap_or_else(transport));
    command.envs(builder.env.iter().map(|(name, value)| (name, value)));
    if let Some(agent) = &builder.command {
        command.arg("--").args(agent);
    }
    match &builder.log_file {
        Some(file) => Process::spawn_logging_to("connector", command, file),
        None => Process::spawn("connector", command),
    }
}

/// A token in a file that only its owner can read.
fn private_file(folder: &Path, token: &str) -> PathBuf {
    let path = folder.join("token");
    let _ = std::fs::remove_file(&path);
    let file = File::options().create_new(true).write(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(token.as_bytes())).expect("a token file");
    path
}
