//! The systems under comparison: the agent itself, our tunnel in front of it, rathole in front of it.

use crate::{load::Target, options::Options};
use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use tests::{Connector, Process, Relay, binaries, http, until};

/// How long a tunnel may take until it answers.
const START: Duration = Duration::from_secs(20);
/// What rathole's own build needs; its other features pull in OpenSSL.
pub(crate) const RATHOLE_INSTALL: &str =
    "cargo install rathole --version 0.5.0 --no-default-features --features server,client";

/// The names of all systems, in the order of the table's columns.
pub(crate) const NAMES: [&str; 3] = ["ours", "rathole", "direct"];

/// A system that answers calls. It ends when it is dropped.
pub(crate) struct System {
    /// One of [`NAMES`].
    pub(crate) name: &'static str,
    /// Where callers reach the agent through it.
    pub(crate) target: Target,
    running: Running,
    folder: TempDir,
}

enum Running {
    Direct,
    Ours(Box<Relay>, Box<Connector>),
    Rathole(Process, Process),
}

impl System {
    /// The agent itself.
    pub(crate) fn direct(agent: u16) -> System {
        let target = Target::new(&format!("http://127.0.0.1:{agent}/a2a"));
        System { name: "direct", target, running: Running::Direct, folder: folder() }
    }

    /// Our relay as `relay serve` starts it, and one connector, but for what the options add.
    pub(crate) async fn ours(agent: u16, options: &Options) -> System {
        let folder = folder();
        let log = |name: &str| folder.path().join(name);
        let relay = Relay::builder().args(options.relay_args.iter().cloned());
        let relay = relay.log_file(log("far.log")).start().await;
        let workspace = relay.add_workspace("bench", &[]).await;
        let connector = Connector::builder(&workspace.join, agent);
        let connector = connector.args(options.connector_args.iter().cloned());
        let connector = connector.log_file(log("near.log")).start_online().await;
        let running = Running::Ours(Box::new(relay), Box::new(connector));
        System::answering("ours", &workspace.endpoint(), running, folder).await
    }

    /// rathole's server and client with its plain TCP transport.
    pub(crate) async fn rathole(program: &Path, agent: u16) -> System {
        let folder = folder();
        // It takes no port 0, so it gets ports that were free a moment ago.
        let (control, public) = (free_port(), free_port());
        let start = |side: &str, template: &str, log: &str| {
            let config = [("{control}", control), ("{public}", public), ("{agent}", agent)]
                .iter()
                .fold(template.to_owned(), |text, (name, port)| {
                    text.replace(name, &port.to_string())
                });
            let path = folder.path().join(format!("{side}.toml"));
            std::fs::write(&path, config).expect("the configuration is written");
            let mut command = Command::new(program);
            command.arg(format!("--{side}")).arg(path);
            let name = format!("rathole {side}");
            Process::spawn_logging_to(&name, command, &folder.path().join(log))
        };
        let server = start("server", include_str!("rathole-server.toml"), "far.log");
        let client = start("client", include_str!("rathole-client.toml"), "near.log");
        let url = format!("http://127.0.0.1:{public}/a2a");
        System::answering("rathole", &url, Running::Rathole(server, client), folder).await
    }

    /// Waits until the agent answers through it.
    async fn answering(name: &'static str, url: &str, running: Running, folder: TempDir) -> System {
        let system = System { name, target: Target::new(url), running, folder };
        until(&format!("{name} carries a call"), START, async || {
            for (side, process) in system.sides() {
                assert!(process.is_running(), "{name}: the {side} ended");
            }
            let answer = http::post_json(url, &serde_json::json!({"jsonrpc": "2.0"})).await;
            answer.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        system
    }

    /// Its processes: the one that callers reach, and the one beside the agent.
    pub(crate) fn sides(&self) -> Vec<(&'static str, &Process)> {
        match &self.running {
            Running::Direct => Vec::new(),
            Running::Ours(relay, connector) => {
                vec![("far end", relay.process()), ("near end", connector.process())]
            }
            Running::Rathole(server, client) => vec![("far end", server), ("near end", client)],
        }
    }

    /// Their ids.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.sides().iter().map(|(_, process)| process.pid()).collect()
    }

    /// Empties the logs, so that a long run fills no disk.
    pub(crate) fn forget_logs(&self) {
        for log in ["far.log", "near.log"] {
            let file = File::options().write(true).open(self.folder.path().join(log));
            let _ = file.and_then(|file| file.set_len(0));
        }
    }
}

/// The rathole to compare with: `$RATHOLE`, or the one on the path.
pub(crate) fn find_rathole() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("RATHOLE") {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "RATHOLE names no file: {}", named.display());
        return Some(named);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("rathole")).find(|file| file.is_file())
}

/// The programs of each end of a system, far and near.
pub(crate) fn programs(name: &str) -> Vec<(&'static str, PathBuf)> {
    match name {
        "ours" => vec![("far end", binaries::relay()), ("near end", binaries::agent_connector())],
        "rathole" => find_rathole()
            .into_iter()
            .flat_map(|program| [("far end", program.clone()), ("near end", program)])
            .collect(),
        _ => Vec::new(),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound port").port()
}
