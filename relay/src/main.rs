//! The `relay` program: its arguments and exit codes.

use std::process::ExitCode;

use relay::commands::{Cli, output};

/// Requests allocate much that is large and short-lived, on which the system's own allocator spends an
/// eighth of all work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::read().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for sentence in &failure.sentences {
                output::note(&format!("relay: {sentence}"));
            }
            failure.code.into()
        }
    }
}
