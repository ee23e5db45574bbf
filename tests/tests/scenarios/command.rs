//! Runs one of the binaries to its end, with nothing of the tester's own surroundings.

use std::{path::PathBuf, process::Stdio, time::Duration};
use tests::{binaries, operator::Output};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// How long one command may take.
const COMMAND: Duration = Duration::from_secs(20);

/// `agent-connector ARGS…`, with this on its standard input.
pub(crate) async fn connector(args: &[&str], stdin: &str) -> Output {
    run(binaries::agent_connector(), args, &[], stdin).await
}

/// `agent-connector ARGS…`, with these variables.
pub(crate) async fn connector_with(env: &[(&str, &str)], args: &[&str]) -> Output {
    run(binaries::agent_connector(), args, env, "").await
}

/// `relay ARGS…`.
pub(crate) async fn relay(args: &[&str]) -> Output {
    relay_with(&[], args).await
}

/// `relay ARGS…`, with these variables.
pub(crate) async fn relay_with(env: &[(&str, &str)], args: &[&str]) -> Output {
    run(binaries::relay(), args, env, "").await
}

async fn run(program: PathBuf, args: &[&str], env: &[(&str, &str)], stdin: &str) -> Output {
    let mut command = Command::new(&program);
    command.args(args).env_clear().envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().expect("the program runs");
    let mut input = child.stdin.take().expect("a pipe");
    // A command that reads nothing may be gone by now.
    let _ = input.write_all(stdin.as_bytes()).await;
    drop(input);
    let output = timeout(COMMAND, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{} {args:?} does not end", program.display()));
    let output = output.expect("the program ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Output { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}
