//! Holds a request for an agent that is about to return, where its caller prefers to wait (RFC 7240, 4.3).

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use shared::ids::WorkspaceId;
use tokio::time::timeout;

use super::deadline::{Deadline, patience};
use crate::tunnel::LiveLinks;

static PREFER: HeaderName = HeaderName::from_static("prefer");

/// The longest that a request is held: as long as an agent of ours takes to come back after a restart
/// of either end, and some more.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a caller prefers to wait for an agent that is away; what is no number of seconds is not
/// meant (RFC 7240, 2).
pub fn wished(fields: &HeaderMap) -> Option<Duration> {
    let rows = fields.get_all(&PREFER).iter().filter_map(|row| row.to_str().ok());
    let mut preferences = rows.flat_map(|row| row.split(','));
    let seconds = preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
    })?;
    let wait = Duration::from_secs(seconds.parse().ok()?).min(WAIT_MAX);
    (!wait.is_zero()).then_some(wait)
}

/// Waits for a link of this workspace so long, but no longer than the caller waits for the whole answer.
/// Nothing of the request was sent, so that it is sent once. Cancel safe.
pub async fn hold(
    live: &LiveLinks,
    workspace: &WorkspaceId,
    wait: Duration,
    deadline: Option<&Deadline>,
) {
    let (wait, _) = patience(deadline, wait);
    // What comes of it shows when a link is looked for.
    let _ = timeout(wait, live.arrival(workspace)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_bounded_number_of_seconds_among_other_preferences() {
        for (rows, expected) in [
            (&[][..], None),
            (&["wait=5"], Some(5)),
            (&["Wait = 5"], Some(5)),
            (&["respond-async, wait=5; foo=bar"], Some(5)),
            (&["return=minimal", "wait=\"5\""], Some(5)),
            // The first of several is meant.
            (&["wait=5, wait=7"], Some(5)),
            (&["wait=86400"], Some(30)),
            (&["wait=18446744073709551615"], Some(30)),
            (&["wait=0"], None),
            (&["wait=-1"], None),
            (&["wait=1.5"], None),
            (&["wait=soon"], None),
            (&["wait"], None),
            (&["await=5"], None),
        ] {
            let mut fields = HeaderMap::new();
            for row in rows {
                fields.append(&PREFER, row.parse().unwrap());
            }
            assert_eq!(wished(&fields), expected.map(Duration::from_secs), "{rows:?}");
        }
    }
}
