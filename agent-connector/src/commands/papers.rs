//! `agent-connector completions` and `man`: what shells and `man` are told of the commands.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Done};
use crate::error::ConnectorError;

/// Writes the script with which a shell completes what is typed
#[derive(Debug, Args)]
#[command(after_help = "For instance:\n  \
    agent-connector completions bash > ~/.local/share/bash-completion/completions/agent-connector\n  \
    agent-connector completions zsh > \"${fpath[1]}/_agent-connector\"\n  \
    agent-connector completions fish > ~/.config/fish/completions/agent-connector.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell that is to complete
    shell: Shell,
}

/// Writes the manual page, or with --dir one for each command
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this folder, which is made; else the first goes to
    /// standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes the shell's script to standard output.
pub(super) fn complete(args: &CompletionsArgs) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "agent-connector", &mut script);
    print(&script)
}

/// Writes the manual, to standard output or into a folder.
pub(super) fn describe(args: &ManArgs) -> Done {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        // A page in memory cannot fail to be written.
        let _ = Man::new(whole()).render(&mut page);
        return print(&page);
    };
    let written = std::fs::create_dir_all(dir);
    match written.and_then(|()| clap_mangen::generate_to(whole(), dir)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(ConnectorError::Config(format!(
            "The manual cannot be written to {} ({error}).",
            dir.display()
        ))),
    }
}

/// The commands as they are; `help` needs no pages of its own.
fn whole() -> Command {
    Cli::command().disable_help_subcommand(true)
}

/// Whoever closed the other end of a pipe wants no more; a full disk is told.
fn print(bytes: &[u8]) -> Done {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(ConnectorError::Config(format!("Standard output cannot be written ({error}).")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
