//! Agents and callers on the official A2A SDKs for Python and JavaScript, current and of the 0.3 line.

mod installed;

pub use installed::Sdk;

use crate::Process;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long an agent may take to listen: Python reads a lot before.
const START: Duration = Duration::from_secs(60);
/// How long a caller may take for its tour, its silences apart.
const TOUR: Duration = Duration::from_secs(120);

/// The Python of the current SDK; `None`, having said why, where there is none.
pub async fn python() -> Option<PathBuf> {
    Sdk::Python.interpreter().await
}

/// An agent on an SDK.
pub struct SdkAgent {
    /// Where it serves.
    pub address: SocketAddr,
    /// Where it serves gRPC; port 0 on JavaScript, where it does not.
    pub grpc: SocketAddr,
    _process: Process,
}

impl SdkAgent {
    /// Starts it; its card names `origin`. `None` where the SDK is not installed.
    ///
    /// # Panics
    /// When it does not listen in time, or there is no agent on this SDK.
    pub async fn start(sdk: Sdk, origin: &str) -> Option<SdkAgent> {
        SdkAgent::start_with(sdk, origin, &[]).await
    }

    /// The same, in this environment: `GRPC_URL` is what its card says of gRPC, and with a `SIGNING_KEY`
    /// it signs its cards.
    ///
    /// # Panics
    /// When it does not listen in time, or there is no agent on this SDK.
    pub async fn start_with(sdk: Sdk, origin: &str, env: &[(&str, &str)]) -> Option<SdkAgent> {
        let mut command = Command::new(sdk.interpreter().await?);
        command.arg(agent_script(sdk)).arg(origin).envs(env.iter().copied());
        let process = Process::spawn("sdk-agent", command);
        let ports = |line: &str| -> Option<(u16, u16)> {
            let (port, grpc) = line.split_once(' ')?;
            Some((port.parse().ok()?, grpc.parse().ok()?))
        };
        let line = process.wait_for_line(|line| ports(line).is_some(), START).await;
        let (port, grpc) = ports(&line).expect("two ports");
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Some(SdkAgent { address: at(port), grpc: at(grpc), _process: process })
    }
}

/// The script of the agent on an SDK.
///
/// # Panics
/// There is none on the SDK for JavaScript of the 0.3 line.
#[must_use]
pub fn agent_script(sdk: Sdk) -> PathBuf {
    match sdk {
        Sdk::Python => sdk.script("agent.py"),
        Sdk::Python03 => sdk.script("agent_03.py"),
        Sdk::Js => sdk.script("agent.mjs"),
        Sdk::Js03 => panic!("{sdk:?} has no agent"),
    }
}

/// A caller on an SDK, and what it is asked to do.
#[derive(Clone, Debug)]
pub struct SdkCaller {
    /// The SDK.
    pub sdk: Sdk,
    /// `JSONRPC`, `HTTP+JSON` or, in Python, `GRPC`.
    pub binding: &'static str,
    /// `all`, `first`, `silence` or `card`.
    pub tour: &'static str,
    /// Whether it speaks HTTP/2, which the SDKs for Python can without TLS.
    pub http2: bool,
    /// The agent's own origin, which it says in a message.
    pub mention: String,
    /// Where it wants to be told of its tasks.
    pub webhook: String,
    /// How long its silences are.
    pub seconds: u64,
    /// Whether the agent is of the 0.3 line: callers on the current SDKs must know.
    pub older: bool,
    /// The key by which it verifies the agent's card, if it does.
    pub key: Option<String>,
    /// The certificate that it trusts, if the agent is called over TLS.
    pub ca: Option<PathBuf>,
}

impl SdkCaller {
    /// A caller that does all there is to do, by this binding.
    #[must_use]
    pub fn new(sdk: Sdk, binding: &'static str) -> SdkCaller {
        let (mention, webhook) = (String::new(), String::new());
        SdkCaller {
            sdk,
            binding,
            tour: "all",
            http2: false,
            mention,
            webhook,
            seconds: 0,
            older: false,
            key: None,
            ca: None,
        }
    }

    /// Calls an agent of which it knows nothing but this base; answers what it saw, step by step.
    /// `None` where the SDK is not installed.
    ///
    /// # Panics
    /// When it fails as a program, or does not end in time.
    pub async fn call(&self, base: &str) -> Option<Value> {
        let seen = self.try_call(base).await?;
        Some(seen.unwrap_or_else(|complaints| panic!("{self:?} of {base}: {complaints}")))
    }

    /// The same; an error is what it complains of.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn try_call(&self, base: &str) -> Option<Result<Value, String>> {
        let asked = json!({
            "base": base, "binding": self.binding, "tour": self.tour, "http2": self.http2,
            "mention": self.mention, "webhook": self.webhook, "seconds": self.seconds, "key": self.key,
            "ca": self.ca, "older": self.older,
        });
        let script = match self.sdk {
            Sdk::Python => "client.py",
            Sdk::Python03 => "client_03.py",
            Sdk::Js => "client.mjs",
            Sdk::Js03 => "client_03.mjs",
        };
        let patience = TOUR + 2 * Duration::from_secs(self.seconds);
        run(self.sdk, script, &[&asked.to_string()], patience).await
    }
}

/// Verifies the signature of the card at this URL with the current SDK for Python; answers what came
/// of it. `None` where it is not installed.
///
/// # Panics
/// When the verifier fails as a program, or does not end in time.
pub async fn verify(card: &str) -> Option<Value> {
    let seen = run(Sdk::Python, "verify.py", &[card], TOUR).await?;
    Some(seen.unwrap_or_else(|complaints| panic!("the verifier: {complaints}")))
}

/// Runs a script on an SDK; answers the JSON that it prints, or what it complains of.
async fn run(
    sdk: Sdk,
    script: &str,
    arguments: &[&str],
    patience: Duration,
) -> Option<Result<Value, String>> {
    let mut command = tokio::process::Command::new(sdk.interpreter().await?);
    command.arg(sdk.script(script)).args(arguments).kill_on_drop(true);
    let output = tokio::time::timeout(patience, command.output());
    let output = output.await.expect("the script ends").expect("the script starts");
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Some(Ok(serde_json::from_slice(&output.stdout).expect("the script prints JSON")))
}
