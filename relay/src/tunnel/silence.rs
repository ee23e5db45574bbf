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

/// A link that was left for a newer one of the same process is asked again after so long a silence. While
/// it carries exchanges, its connector is silent for two seconds at most.
const PATH_LOOK: Duration = Duration::from_secs(3);

/// What a silence calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silent {
    /// The process that was replaced is no more: the link is to be closed.
    Connector,
    /// The path of a link whose process has another one is no more: the same.
    Path,
    /// Perhaps that: PING is to be sent.
    Perhaps,
}

/// The wait for a sign of life.
#[derive(Debug, Default)]
pub(super) struct Silence(Option<Wait>);

#[derive(Debug)]
struct Wait {
    end: Instant,
    /// What had come when it began.
    heard: u64,
    /// What it means if nothing more has come.
    means: Silent,
}

impl Silence {
    /// Begins the wait where `message`, as it goes out, says that another link takes the place: REPLACED,
    /// or PING, which the relay sends for nothing else.
    pub(super) fn heard_by(&mut self, message: &ToConnector, connection: &Connection) {
        match message {
            ToConnector::Replaced { .. } => {
                self.begin(connection, SILENCE_MAX, Silent::Connector);
            }
            ToConnector::Ping { .. } => {
                let rounds = connection.rtt().saturating_mul(PATH_SILENCE_ROUNDS);
                let longest = rounds.clamp(PATH_SILENCE_MIN, SILENCE_MAX);
                self.begin(connection, longest, Silent::Path);
            }
            _ => {}
        }
    }

    fn begin(&mut self, connection: &Connection, longest: Duration, means: Silent) {
        self.0 = Some(Wait { end: Instant::now() + longest, heard: connection.heard(), means });
    }

    /// Resolves when nothing came back, and never otherwise. Cancel safe.
    pub(super) async fn lasted(&mut self, connection: &Connection) -> Silent {
        while let Some(wait) = &self.0 {
            sleep_until(wait.end).await;
            let means = wait.means;
            if connection.heard() == wait.heard {
                self.0 = None;
                return means;
            }
            match means {
                Silent::Connector => self.0 = None,
                Silent::Path | Silent::Perhaps => {
                    self.begin(connection, PATH_LOOK, Silent::Perhaps);
                }
            }
        }
        pending().await
    }
}
