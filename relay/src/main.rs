//! The `relay` program: its arguments and exit codes.

use std::process::ExitCode;

use clap::Parser;
use relay::commands::{Cli, output};

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for sentence in &failure.sentences {
                output::note(&format!("relay: {sentence}"));
            }
            failure.code.into()
        }
    }
}
