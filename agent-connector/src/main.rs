//! The binary: arguments, logging, signals and exit codes.

use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;

use agent_connector::commands::Cli;
use agent_connector::logging;
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// What a shell adds to a signal's number.
const SIGNALLED: i32 = 128;
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
        match signals() {
            Ok(first) => cli.run(first).await,
            Err(error) => fail(&format!("Signals cannot be received ({error}).")),
        }
    })
}

/// Resolves with the first SIGINT or SIGTERM; the second ends the process at once.
fn signals() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        // Nobody listens any more when the process ends by itself.
        let _ = tell.send(());
        std::process::exit(SIGNALLED + either(&mut interrupt, &mut terminate).await);
    });
    Ok(async {
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// The number of the next signal.
async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> i32 {
    tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
    }
}

fn fail(sentence: &str) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "agent-connector: {sentence}");
    ExitCode::from(UNUSABLE)
}
