//! The agent as a process of its own: started, told, and ended with all that it started itself.

use std::ffi::OsString;
use std::future::pending;
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::SignalKind;
use tokio::time::timeout;

use super::signals::exit_code;
use crate::error::ConnectorError;
use crate::status::{PublicUrl, Report};

/// What an agent has to end in its own way.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The connector's own credentials, which are none of the agent's business.
const PRIVATE: [&str; 2] = ["AGENT_CONNECTOR_JOIN", "AGENT_CONNECTOR_TOKEN"];
/// Where the agent finds its public base at a host of its own.
const PUBLIC_HOST_URL: &str = "A2A_PUBLIC_HOST_URL";
/// Where the agent finds the platform.
const PLATFORM_URL: &str = "PLATFORM_URL";

/// An agent that the connector starts. It leads a process group: a signal reaches what it has
/// started too, and Ctrl-C at the terminal reaches the connector alone, which passes it on once.
#[derive(Debug)]
pub(super) struct Agent {
    command: Vec<OsString>,
    port: u16,
    public_url: Option<PublicUrl>,
    host_url: Option<PublicUrl>,
    platform: Option<String>,
    child: Option<Child>,
}

impl Agent {
    /// An agent that `command` starts, and that is to listen at `port`.
    pub(super) const fn new(command: Vec<OsString>, port: u16) -> Self {
        Self { command, port, public_url: None, host_url: None, platform: None, child: None }
    }

    /// Whether its process is there.
    pub(super) const fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Whether it could be told its public URL.
    pub(super) const fn has_url(&self) -> bool {
        self.public_url.is_some()
    }

    /// Learns what the agent is to know; true if its URL is another one than before.
    pub(super) fn learn(&mut self, report: &Report) -> bool {
        self.platform.clone_from(&report.platform);
        let known = (&self.public_url, &self.host_url);
        let moved = self.public_url.is_some() && known != (&report.public_url, &report.host_url);
        self.public_url.clone_from(&report.public_url);
        self.host_url.clone_from(&report.host_url);
        moved && self.public_url.is_some()
    }

    /// Starts it.
    pub(super) fn start(&mut self) -> Result<(), ConnectorError> {
        let Some((program, arguments)) = self.command.split_first() else { return Ok(()) };
        let mut command = Command::new(program);
        command.args(arguments).process_group(0).kill_on_drop(true);
        command.env("PORT", self.port.to_string());
        for name in PRIVATE {
            command.env_remove(name);
        }
        if let Some(url) = &self.public_url {
            command.env("A2A_PUBLIC_URL", url.reveal());
        }
        match &self.host_url {
            Some(url) => command.env(PUBLIC_HOST_URL, url.reveal()),
            // One of an agent around this connector is not this agent's.
            None => command.env_remove(PUBLIC_HOST_URL),
        };
        if let Some(platform) = &self.platform
            && std::env::var_os(PLATFORM_URL).is_none()
        {
            command.env(PLATFORM_URL, platform);
        }
        if std::io::stdin().is_terminal() {
            // A group of its own may not read from the terminal: it would be stopped.
            command.stdin(Stdio::null());
        }
        let started = command.spawn().map_err(|error| {
            let program = program.display();
            ConnectorError::Config(format!(
                "The agent cannot be started: `{program}` ({error}). Check the command behind `--`."
            ))
        });
        self.child = Some(started?);
        Ok(())
    }

    /// Its end, as the connector passes it on. Cancel safe. Waits for ever where none runs.
    pub(super) async fn ended(&mut self) -> ExitCode {
        let Some(child) = &mut self.child else { return pending().await };
        let status = child.wait().await;
        self.child = None;
        status.map_or(ExitCode::FAILURE, passed_on)
    }

    /// Passes a signal on.
    pub(super) fn tell(&self, signal: SignalKind) {
        self.signal(if signal == SignalKind::interrupt() { Signal::INT } else { Signal::TERM });
    }

    /// Ends it, in its own way or, after ten seconds, by force.
    pub(super) async fn stop(&mut self) {
        self.signal(Signal::TERM);
        if self.is_running() && timeout(STOP_TIMEOUT, self.ended()).await.is_err() {
            self.kill().await;
        }
    }

    /// Ends it by force.
    pub(super) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        if self.is_running() {
            self.ended().await;
        }
    }

    fn signal(&self, signal: Signal) {
        let leader = self.child.as_ref().and_then(Child::id);
        let group = leader.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            // An error means that it has ended.
            let _ = kill_process_group(group, signal);
        }
    }
}

/// The agent's own code, or what a shell makes of the signal that ended it.
fn passed_on(status: ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => exit_code(SignalKind::from_raw(signal)),
        (None, None) => ExitCode::FAILURE,
    }
}
