//! The systems under comparison: the agent itself, our tunnel in front of it, peers in front of it.

use crate::{
    load::Target,
    options::Options,
    peers::{PEERS, Peer, Ports},
};
use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tests::{Connector, Process, Relay, binaries, http, until};

/// How long a tunnel may take until it answers.
const START: Duration = Duration::from_secs(20);
/// The names of all systems, in the order of the table.
pub(crate) fn names() -> Vec<&'static str> {
    let peers = PEERS.iter().map(|peer| peer.name);
    ["ours"].into_iter().chain(peers).chain(["direct"]).collect()
}

/// A system that answers calls. It ends when it is dropped.
pub(crate) struct System {
    /// One of [`names`].
    pub(crate) name: &'static str,
    /// Where callers reach the agent through it.
    pub(crate) target: Target,
    running: Running,
    folder: TempDir,
}

enum Running {
    Direct,
    Ours(Box<Relay>, Box<Connector>),
    Peer([Process; 2]),
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

    /// Both ends of a peer.
    pub(crate) async fn peer(peer: &'static Peer, program: &Path, agent: u16) -> System {
        let folder = folder();
        // They take no port 0, so they get ports that were free a moment ago.
        let ports = Ports { control: free_port(), public: free_port(), agent };
        let ends = peer.start(program, &ports, folder.path());
        let url = format!("http://127.0.0.1:{}/a2a", ports.public);
        System::answering(peer.name, &url, Running::Peer(ends), folder).await
    }

    /// Waits until the agent answers through it.
    async fn answering(name: &'static str, url: &str, running: Running, folder: TempDir) -> System {
        let system = System { name, target: Target::new(url), running, folder };
        until(&format!("{name} carries a call"), START, async || {
            for (side, process) in system.sides() {
                assert!(process.is_running(), "{name}: the {side} ended: {}", system.log(side));
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
            Running::Peer([far, near]) => vec![("far end", far), ("near end", near)],
        }
    }

    /// Their ids.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.sides().iter().map(|(_, process)| process.pid()).collect()
    }

    /// What one of its sides has logged.
    fn log(&self, side: &str) -> String {
        let file = if side == "far end" { "far.log" } else { "near.log" };
        std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }

    /// Empties the logs, so that a long run fills no disk.
    pub(crate) fn forget_logs(&self) {
        for log in ["far.log", "near.log"] {
            let file = File::options().write(true).open(self.folder.path().join(log));
            let _ = file.and_then(|file| file.set_len(0));
        }
    }
}

/// The programs of each end of a system, far and near.
pub(crate) fn programs(name: &str) -> Vec<(&'static str, PathBuf)> {
    match name {
        "ours" => vec![("far end", binaries::relay()), ("near end", binaries::agent_connector())],
        other => PEERS
            .iter()
            .find(|peer| peer.name == other)
            .and_then(Peer::find)
            .into_iter()
            .flat_map(|program| [("far end", program.clone()), ("near end", program)])
            .collect(),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound port").port()
}
