//! Whether a link that another took the place of is still there: an end that lives acknowledges what it is
//! told.

use std::future::pending;
use std::time::Duration;

use shared::control::ToConnector;
use tokio::time::{Instant, sleep_until};
use transport::Connection;

/// From REPLACED to the first packet that comes back. A connector that was restarted leaves a link
/// that nobody serves, and its callers should not wait for the idle limit; one that lives answers
/// within a round trip, after losses a few.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// From PING to the first packet that comes back, where the same connector process has a newer link: it
/// has already waited for three seconds if it suspects the path, and what the link carries goes on over
/// the newer one. At least so long, and so many round trips.
const PATH_SILENCE_MIN: Duration = Duration::from_secs(1);
const PATH_SILENCE_ROUNDS: u32 = 4;

/// What is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// The process that was replaced.
    Connector,
    /// The path of a link whose process has another one.
    Path,
}

/// The wait for a sign of life.
#[derive(Debug, Default)]
pub(super) struct Silence(Option<Wait>);

#[derive(Debug)]
struct Wait {
    end: Instant,
    /// What had come when it began.
    heard: u64,
    means: Gone,
}

impl Silence {
    /// Begins the wait where `message`, as it goes out, says that another link takes the place: REPLACED,
    /// or PING, which the relay sends for nothing else.
    pub(super) fn heard_by(&mut self, message: &ToConnector, connection: &Connection) {
        let (means, longest) = match message {
            ToConnector::Replaced { .. } => (Gone::Connector, SILENCE_MAX),
            ToConnector::Ping { .. } => {
                let rounds = connection.rtt().saturating_mul(PATH_SILENCE_ROUNDS);
                (Gone::Path, rounds.clamp(PATH_SILENCE_MIN, SILENCE_MAX))
            }
            _ => return,
        };
        self.0 = Some(Wait { end: Instant::now() + longest, heard: connection.heard(), means });
    }

    /// Resolves when nothing came back, and never otherwise. Cancel safe.
    pub(super) async fn lasted(&mut self, connection: &Connection) -> Gone {
        if let Some(wait) = &self.0 {
            sleep_until(wait.end).await;
            if connection.heard() == wait.heard {
                return wait.means;
            }
            self.0 = None;
        }
        pending().await
    }
}
