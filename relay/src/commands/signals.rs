//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends at once. SIGHUP asks for
//! what can change to be read again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Code, Failure};

/// The signals that end the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                let sentence = format!("Signals cannot be received ({error}); try again.");
                Failure::new(Code::Failed, sentence)
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one that ends the process; tells the exit code that is its own. `hang_up` is
    /// called for each SIGHUP meanwhile. Cancel safe.
    pub async fn next(&mut self, hang_up: impl Fn()) -> Code {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Code::Terminated,
                _ = self.interrupt.recv() => return Code::Interrupted,
                _ = self.hang_up.recv() => hang_up(),
            }
        }
    }
}
