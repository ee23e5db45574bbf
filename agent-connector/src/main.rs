//! The binary: arguments, logging, signals and exit codes.

use std::io::{self, Write};
use std::process::ExitCode;

use agent_connector::commands::Cli;
use agent_connector::commands::signals::Signals;
use agent_connector::logging;
use clap::Parser;

/// A configuration that cannot be used.
const UNUSABLE: u8 = 3;

/// Requests allocate much that is large and short-lived, on which the system's own allocator spends an
/// eighth of all work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(sentence) = logging::begin(cli.log_format()) {
        return fail(&sentence);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("The process cannot start ({error}).")),
    };
    runtime.block_on(async {
        match Signals::listen() {
            Ok(signals) => cli.run(signals).await,
            Err(error) => fail(&format!("Signals cannot be received ({error}).")),
        }
    })
}

fn fail(sentence: &str) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "agent-connector: {sentence}");
    ExitCode::from(UNUSABLE)
}
