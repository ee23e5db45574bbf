//! Whether a replaced connector is still there: one that lives acknowledges what it is told.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use transport::Connection;

/// From REPLACED to the first packet that comes back. A connector that was restarted leaves a link
/// that nobody serves, and its callers should not wait for the idle limit; one that lives answers
/// within a round trip, after losses a few.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// The wait for a sign of life.
#[derive(Debug, Default)]
pub(super) struct Silence(Option<Wait>);

#[derive(Debug)]
struct Wait {
    end: Instant,
    /// What had come when it began.
    heard: u64,
}

impl Silence {
    /// Begins the wait, as REPLACED goes out.
    pub(super) fn begin(&mut self, connection: &Connection) {
        self.0 = Some(Wait { end: Instant::now() + SILENCE_MAX, heard: connection.heard() });
    }

    /// Resolves when nothing came back, and never otherwise. Cancel safe.
    pub(super) async fn lasted(&mut self, connection: &Connection) {
        if let Some(wait) = &self.0 {
            sleep_until(wait.end).await;
            if connection.heard() == wait.heard {
                return;
            }
            self.0 = None;
        }
        pending().await
    }
}
