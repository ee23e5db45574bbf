//! The operator's commands against a running relay, and what they print.

use crate::{Relay, relay};
use serde::Deserialize;
use serde_json::Value;
use std::{process::Stdio, time::Duration};
use tokio::{io::AsyncWriteExt, time::timeout};

/// How long one command may take.
const COMMAND: Duration = Duration::from_secs(20);

/// What `relay workspace add --json` prints.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkspaceHandle {
    /// `ws_…`.
    pub workspace_id: String,
    /// Its alias, if it has one.
    #[serde(default)]
    pub alias: Option<String>,
    /// The base URL for callers, as printed.
    pub public_url: String,
    /// The join string.
    pub join: String,
}

impl WorkspaceHandle {
    /// The base URL with its final slash.
    #[must_use]
    pub fn base(&self) -> String {
        format!("{}/", self.public_url.trim_end_matches('/'))
    }

    /// The URL of the JSON-RPC endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.base() + "a2a"
    }

    /// The URL of the agent card.
    #[must_use]
    pub fn card(&self) -> String {
        self.base() + ".well-known/agent-card.json"
    }
}

/// What a command of the operator printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// The standard output as JSON, of a command that ended well.
    ///
    /// # Panics
    /// Shows the whole output otherwise.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

impl Relay {
    /// Runs `relay ARGS… --url … --admin-token-file …`.
    pub async fn cli(&self, args: &[&str]) -> Output {
        self.cli_with_stdin(args, "").await
    }

    /// The same, with something on its standard input.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn cli_with_stdin(&self, args: &[&str], stdin: &str) -> Output {
        let mut command = tokio::process::Command::from(relay::program(self.folder()));
        command.args(args).args(["--url", &format!("http://{}", self.http())]);
        command.arg("--admin-token-file").arg(self.data_dir().join("admin-token"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("relay runs");
        let mut input = child.stdin.take().expect("a pipe");
        // A command that reads nothing may be gone by now.
        let _ = input.write_all(stdin.as_bytes()).await;
        drop(input);
        let output = timeout(COMMAND, child.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("relay {args:?} does not end"));
        let output = output.expect("relay ends");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Output { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Adds a workspace, with further arguments such as `["--callers", "open"]`.
    pub async fn add_workspace(&self, name: &str, args: &[&str]) -> WorkspaceHandle {
        let args = [&["workspace", "add", name, "--json"], args].concat();
        let json = self.cli(&args).await.json();
        serde_json::from_value(json.clone()).unwrap_or_else(|e| panic!("{e}: {json}"))
    }

    /// What `relay workspace show --json` says.
    pub async fn show_workspace(&self, name: &str) -> Value {
        self.cli(&["workspace", "show", name, "--json"]).await.json()
    }
}
