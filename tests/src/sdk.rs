//! An agent and a caller on the official A2A SDK for Python, in a virtual environment of their own.
//!
//! The environment is made once, beside the built binaries. Where it cannot be made, for want of
//! Python or of its packages, the stories that need it say so and are skipped; with
//! `HARNESS_REQUIRE_SDK` set, which CI does, they fail instead.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
    time::Duration,
};

use crate::{Process, binaries};

/// The Python of the environment; `None`, having said why, where there is none.
pub async fn python() -> Option<PathBuf> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = tokio::task::spawn_blocking(|| PYTHON.get_or_init(make).clone()).await;
    match made.expect("making an environment does not panic") {
        Ok(python) => Some(python),
        Err(why) => {
            let required = std::env::var_os("HARNESS_REQUIRE_SDK").is_some();
            assert!(!required, "the A2A SDK is required here: {why}");
            eprintln!("SKIPPED: no A2A SDK for Python ({why})");
            None
        }
    }
}

/// The agent on the SDK, and the file in which it writes down each request.
pub struct SdkAgent {
    /// The port of its HTTP server.
    pub port: u16,
    /// The port of its gRPC server.
    pub grpc_port: u16,
    _process: Process,
    folder: tempfile::TempDir,
}

impl SdkAgent {
    /// Starts it.
    pub async fn start(python: &Path) -> SdkAgent {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(python);
        command.arg(script("agent.py")).arg(folder.path().join("journal"));
        let process = Process::spawn("sdk-agent", command);
        let ports = |line: &str| -> Option<(u16, u16)> {
            let (port, grpc_port) = line.split_once(' ')?;
            Some((port.parse().ok()?, grpc_port.parse().ok()?))
        };
        let is_ports = |line: &str| ports(line).is_some();
        let line = process.wait_for_line(is_ports, Duration::from_secs(60)).await;
        let (port, grpc_port) = ports(&line).expect("two ports");
        SdkAgent { port, grpc_port, _process: process, folder }
    }

    /// Every request that it got, one JSON object each.
    #[must_use]
    pub fn journal(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.folder.path().join("journal")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a journal line")).collect()
    }
}

/// Runs the caller on the SDK against a public base; answers what it saw.
pub async fn call(python: &Path, base: &str) -> serde_json::Value {
    run(python, "client.py", &[base]).await
}

/// Runs the gRPC caller on the SDK against the relay at `address`, for this host; answers what it saw.
pub async fn call_by_grpc(python: &Path, address: SocketAddr, host: &str) -> serde_json::Value {
    run(python, "grpc_client.py", &[&address.to_string(), host]).await
}

/// Verifies the signature of the card at this URL; answers what came of it.
pub async fn verify(python: &Path, card: &str) -> serde_json::Value {
    run(python, "verify.py", &[card]).await
}

async fn run(python: &Path, name: &str, arguments: &[&str]) -> serde_json::Value {
    let mut command = tokio::process::Command::new(python);
    command.arg(script(name)).args(arguments).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output());
    let output = output.await.expect("the client ends").expect("the client starts");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{complaints}");
    serde_json::from_slice(&output.stdout).expect("the client prints JSON")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// Makes the environment, or finds the one of an earlier run with the same requirements.
fn make() -> Result<PathBuf, String> {
    let requirements = script("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).map_err(|error| error.to_string())?;
    let home = binaries::folder().join("a2a-sdk");
    let (python, stamp) = (home.join("bin/python"), home.join("made-from"));
    if std::fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == wanted) {
        return Ok(python);
    }
    succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home).output())?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    succeed(pip.arg(&requirements).output())?;
    std::fs::write(&stamp, wanted).map_err(|error| error.to_string())?;
    Ok(python)
}

fn succeed(ran: std::io::Result<Output>) -> Result<(), String> {
    let output = ran.map_err(|error| format!("python3 does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
