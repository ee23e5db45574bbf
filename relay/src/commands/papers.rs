//! `relay completions` and `relay man`: what shells and `man` are told of the commands.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;
use super::exit::{Code, Failure};

/// For which shell.
#[derive(Debug, Args)]
#[command(after_help = "For instance:\n  \
    relay completions bash > ~/.local/share/bash-completion/completions/relay\n  \
    relay completions zsh > \"${fpath[1]}/_relay\"\n  \
    relay completions fish > ~/.config/fish/completions/relay.fish")]
pub struct CompletionsArgs {
    /// The shell that is to complete
    shell: Shell,
}

/// Which pages.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command into this folder, which is made; else the first goes to
    /// standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes the shell's script to standard output.
pub fn complete(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "relay", &mut script);
    print(&script)
}

/// Writes the manual, to standard output or into a folder.
pub fn describe(args: &ManArgs) -> Result<(), Failure> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        // A page in memory cannot fail to be written.
        let _ = Man::new(whole()).render(&mut page);
        return print(&page);
    };
    let written = std::fs::create_dir_all(dir);
    written.and_then(|()| clap_mangen::generate_to(whole(), dir)).map_err(|error| {
        let dir = dir.display();
        Failure::new(Code::Failed, format!("The manual cannot be written to {dir} ({error})."))
    })
}

/// The commands as they are; `help` needs no pages of its own.
fn whole() -> Command {
    Cli::command().disable_help_subcommand(true)
}

/// Whoever closed the other end of a pipe wants no more; a full disk is told.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Failed, format!("Standard output cannot be written ({error}).")))
        }
        _ => Ok(()),
    }
}
