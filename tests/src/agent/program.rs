//! The mock agent as a process of its own, which can be killed at any moment.

use super::{Delivery, Journal};
use crate::{Port, Process, until};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// How long the program may take to listen.
const START: Duration = Duration::from_secs(10);

/// A mock agent in a process; its journal is a file that outlives it.
pub struct AgentProcess {
    process: Process,
    program: PathBuf,
    behaviour: String,
    port: Port,
    folder: TempDir,
}

impl AgentProcess {
    /// Starts the program on a port that stays its own, and waits until it listens.
    pub async fn start(program: impl Into<PathBuf>, behaviour: &str) -> AgentProcess {
        let program = program.into();
        let folder = tempfile::tempdir().expect("a folder for the journal");
        let port = Port::take();
        let process = spawn(&program, behaviour, port.number(), &folder);
        process.wait_for_line(|line| line.starts_with("port "), START).await;
        AgentProcess { process, program, behaviour: behaviour.to_owned(), port, folder }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The process, for signals.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// SIGKILL.
    pub fn kill9(&self) {
        self.process.kill9();
    }

    /// Starts it again on the port that it had, with the same journal.
    pub async fn start_again(&mut self) {
        self.kill9();
        self.process = spawn(&self.program, &self.behaviour, self.port(), &self.folder);
        self.process.wait_for_line(|line| line.starts_with("port "), START).await;
    }

    /// What reached it, in all its lives.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        Journal::read_file(&self.folder.path().join("journal"))
    }

    /// Waits until the head of this id is on record.
    pub async fn until_head(&self, id: &str, deadline: Duration) -> Delivery {
        let fact = format!("the head of {id} reaches the agent");
        let find = || self.deliveries().into_iter().find(|delivery| delivery.id == id);
        until(&fact, deadline, async || find()).await
    }
}

fn spawn(program: &Path, behaviour: &str, port: u16, folder: &TempDir) -> Process {
    let mut command = Command::new(program);
    command.args(["--behaviour", behaviour, "--port", &port.to_string(), "--journal"]);
    command.arg(folder.path().join("journal"));
    Process::spawn("mock-agent", command)
}
