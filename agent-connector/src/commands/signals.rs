//! The signals that tell a connector to end, in the order in which they come.

use std::io;
use std::process::{self, ExitCode};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell adds to a signal's number for an exit code.
const SIGNALLED: i32 = 128;

/// SIGINT and SIGTERM, from when it is made.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen. From here on neither ends the process by itself.
    pub fn listen() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// The next one. Cancel safe.
    pub async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }

    /// Resolves with the first; the second ends the process at once.
    pub async fn shutdown(mut self) {
        self.next().await;
        tokio::spawn(async move { process::exit(number(self.next().await).into()) });
    }
}

/// What a process ends with that a signal ended.
pub(super) fn exit_code(signal: SignalKind) -> ExitCode {
    ExitCode::from(number(signal))
}

fn number(signal: SignalKind) -> u8 {
    u8::try_from(SIGNALLED + signal.as_raw_value()).unwrap_or(u8::MAX)
}
