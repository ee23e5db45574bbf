//! `schemathesis`, a fuzzer that reads the description, against a relay of its own.

use std::{path::Path, process::Stdio, time::Duration};

use tests::{World, http::Version, sdk};
use tokio::{process::Command, time::timeout};

use super::agent;

/// Fixed, so that every run tries the same. `HARNESS_SEED` tries something else.
const SEED: &str = "20260430";
/// How long one of its runs may take; on two quiet cores it is a quarter of a minute.
const RUN: Duration = Duration::from_secs(180);

/// One of its runs: with whose credential, and what it leaves out.
struct Run<'r> {
    of: &'r str,
    token: Option<&'r str>,
    args: &'r [&'r str],
}

#[tokio::test]
async fn a_fuzzer_that_reads_the_description_finds_nothing() {
    if Version::of_callers() != Version::Http1 {
        return eprintln!("SKIPPED: the fuzzer speaks HTTP/1.1 only, and the other pass runs it");
    }
    let Some(python) = sdk::python().await else { return };
    // The URLs that it makes up are nobody's to call.
    let world = World::builder().relay_args(&["--direct-urls", "off"]).start().await;
    let (relay, agent_id) = (&world.relay, world.workspace.workspace_id.as_str());
    let (own, token) = agent(relay, "own").await;
    let admin = relay.admin_token();
    let quick = ["--phases", "examples,coverage", "--max-examples", "5"];
    let without = |id: &'static str| ["--exclude-operation-id", id];
    // What would revoke the credential that it has, and a stream without end.
    let gently = [
        &["--phases", "examples,coverage,fuzzing", "--max-examples", "10"][..],
        &without("revokeTokens"),
        &without("revokeToken"),
        &without("followWorkspace"),
    ]
    .concat();
    let known = [("OWN_WORKSPACE", own.as_str()), ("AGENT_WORKSPACE", agent_id)];
    // It pauses and removes whatever it finds, so messages and tasks are not tried by it.
    let freely = [
        &["--exclude-path-regex", "/(a2a|delegate)$", "--max-examples", "10"][..],
        &without("followWorkspace"),
    ]
    .concat();
    for run in [
        Run { of: "nobody", token: None, args: &quick },
        Run { of: "an agent", token: Some(&token), args: &gently },
        Run { of: "the operator", token: Some(&admin), args: &freely },
    ] {
        run.run(&python, relay.public_url(), &known).await;
    }
    assert!(relay.process().is_running());
    let unavailable = [("code", "RELAY_STORE_UNAVAILABLE")];
    assert_eq!(relay.metric("relay_refusals_total", &unavailable).await.unwrap_or_default(), 0.0);
}

impl Run<'_> {
    async fn run(&self, python: &Path, url: &str, known: &[(&str, &str)]) {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        // It leaves a database of its own where it runs.
        let folder = tempfile::tempdir().expect("a folder");
        let seed = std::env::var("HARNESS_SEED").unwrap_or_else(|_| SEED.to_owned());
        eprintln!("schemathesis as {}: HARNESS_SEED={seed}", self.of);
        let mut command = Command::new(python.with_file_name("schemathesis"));
        command.arg("--no-color").arg("--config-file").arg(scripts.join("schemathesis.toml"));
        command.arg("run").arg(format!("{url}/openapi.json")).args(["--seed", &seed]);
        command.arg("--continue-on-failure").args(self.args);
        if let Some(token) = self.token {
            command.arg("--header").arg(format!("Authorization: Bearer {token}"));
        }
        command.env("PYTHONPATH", &scripts).env("SCHEMATHESIS_HOOKS", "api_hooks");
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*");
        command.envs(known.iter().copied());
        command.current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(RUN, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("as {}: it does not end", self.of));
        let output = output.expect("schemathesis starts");
        let report = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "as {}:\n{report}\n{complaints}", self.of);
        let count = report.lines().find(|line| line.contains(" generated"));
        eprintln!("as {}: {}", self.of, count.unwrap_or_default().trim());
    }
}
