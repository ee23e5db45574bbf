//! The commands of the binary, and how each of them ends.

mod child;
mod doctor;
mod exec;
mod http;
mod join;
mod papers;
mod run;
mod shared_args;
pub mod signals;
mod status;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::ConnectorError;
use signals::Signals;

/// Gives an A2A agent that nobody can dial a public URL: dials out to a relay, and forwards what
/// comes to the agent's local HTTP server.
#[derive(Debug, Parser)]
#[command(name = "agent-connector", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 clean, 2 usage, 3 configuration, 4 credentials refused (do \
    not restart), 5 relay unreachable (only with --once and doctor), 6 local agent down (only with \
    --require-local and doctor), 130 or 143 a second signal; exec ends with the agent's own.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Http(Box<http::HttpArgs>),
    Run(Box<run::RunArgs>),
    Exec(Box<exec::ExecArgs>),
    Join(join::JoinArgs),
    Status(status::StatusArgs),
    Doctor(Box<doctor::DoctorArgs>),
    Completions(papers::CompletionsArgs),
    Man(papers::ManArgs),
}

impl Cli {
    /// How the log is to look, where the command has one.
    pub fn log_format(&self) -> Option<LogFormat> {
        match &self.command {
            Command::Http(args) => args.log_format(),
            Command::Run(args) => args.log_format(),
            Command::Exec(args) => args.log_format(),
            Command::Join(_)
            | Command::Status(_)
            | Command::Doctor(_)
            | Command::Completions(_)
            | Command::Man(_) => None,
        }
    }

    /// Does what was asked; the code is that of the process.
    pub async fn run(self, signals: Signals) -> ExitCode {
        let done = match self.command {
            Command::Http(args) => http::run(*args, signals.shutdown()).await,
            Command::Run(args) => run::run(*args, signals.shutdown()).await,
            Command::Exec(args) => exec::run(*args, signals).await,
            Command::Join(args) => join::run(args, signals.shutdown()).await,
            Command::Status(args) => status::run(&args),
            Command::Doctor(args) => Box::pin(doctor::run(*args)).await,
            Command::Completions(args) => papers::complete(&args),
            Command::Man(args) => papers::describe(&args),
        };
        done.unwrap_or_else(|error| {
            terminal::complain(&error);
            error.exit_code()
        })
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// What a command ends with.
type Done = Result<ExitCode, ConnectorError>;
