//! The commands of `relay`: what was typed, what runs, and with which code it ends.

mod allowance;
pub mod backup;
pub mod caller;
pub mod check;
pub mod client;
pub mod exit;
pub mod expiry;
pub mod key;
pub mod operator;
pub mod output;
pub mod papers;
mod private;
pub mod secret;
pub mod serve;
mod settings;
pub mod signals;
pub mod text;
pub mod workspace;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::exit::Failure;
use crate::config::ServeArgs;
use crate::demo;

/// A relay for A2A agents that nobody can dial: their connectors dial in, callers find them here.
#[derive(Debug, Parser)]
#[command(name = "relay", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay in the foreground; SIGTERM drains, a second one forces
    Serve(Box<ServeArgs>),
    /// Show everything at work: a relay, a connector and a sample agent, and real messages
    Demo(demo::DemoArgs),
    /// Add, show, change and remove workspaces of a running relay
    #[command(visible_alias = "workspaces")]
    Workspace(workspace::WorkspaceArgs),
    /// Make, list and revoke tokens for those who call one agent
    #[command(visible_alias = "callers")]
    Caller(caller::CallerArgs),
    /// Set, list and remove the secrets that an agent pulls
    #[command(visible_alias = "secrets")]
    Secret(secret::SecretArgs),
    /// Make, list and revoke keys for orchestrators and tools
    #[command(visible_alias = "keys")]
    Key(key::KeyArgs),
    /// Have a running relay write a backup of its store, below its data directory
    Backup(backup::BackupArgs),
    /// Put a backup in the place of the store, which is kept; the relay must not run
    Restore(backup::RestoreArgs),
    /// Read the configuration of `serve`, report every mistake, open nothing
    Check(Box<ServeArgs>),
    /// Write the script with which a shell completes what is typed
    Completions(papers::CompletionsArgs),
    /// Write the manual page, or with --dir one for each command
    Man(papers::ManArgs),
}

impl Cli {
    /// Reads what was typed, over the environment, over `relay.toml` where there is one. Ends the
    /// process with code 2 where that is no command.
    pub fn read() -> Self {
        let typed = Self::command().get_matches();
        let (mut commands, laid) = settings::lay_file(Self::command(), &typed);
        let Some(laid) = laid else {
            return Self::from_arg_matches(&typed).unwrap_or_else(|error| error.exit());
        };
        let matches = commands.get_matches_mut();
        let read = Self::from_arg_matches(&matches);
        let mut cli = read.unwrap_or_else(|error| error.format(&mut commands).exit());
        if let Command::Serve(args) | Command::Check(args) = &mut cli.command {
            args.file = laid;
        }
        cli
    }

    /// Runs the command to its end.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve(args) => serve::run(*args),
            Command::Demo(args) => demo::run(&args),
            Command::Workspace(args) => workspace::run(args),
            Command::Caller(args) => caller::run(args),
            Command::Secret(args) => secret::run(args),
            Command::Key(args) => key::run(args),
            Command::Backup(args) => backup::back_up(&args),
            Command::Restore(args) => backup::put_back(&args),
            Command::Check(args) => check::run(*args),
            Command::Completions(args) => papers::complete(&args),
            Command::Man(args) => papers::describe(&args),
        }
    }
}
