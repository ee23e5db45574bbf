//! Waiting for a fact with a deadline: the only kind of waiting that a test may do.

use std::{future::Future, panic::Location, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// How often a probe is asked.
const POLL: Duration = Duration::from_millis(10);

/// What a probe may answer: `bool`, or an `Option` with what was found.
pub trait Fact {
    /// What the wait yields once the fact holds.
    type Found;
    /// The finding, or `None` while the fact does not hold.
    fn found(self) -> Option<Self::Found>;
}

impl Fact for bool {
    type Found = ();
    fn found(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Fact for Option<T> {
    type Found = T;
    fn found(self) -> Option<T> {
        self
    }
}

/// Asks `probe` every 10 ms until it says yes, and yields what it found.
///
/// # Panics
/// Names the fact and the caller's line when `deadline` has passed; a probe that hangs is cut off.
#[track_caller]
pub fn until<P, F>(fact: &str, deadline: Duration, mut probe: P) -> impl Future<Output = Found<F>>
where
    P: FnMut() -> F,
    F: Future<Output: Fact>,
{
    let (at, end) = (Location::caller(), Instant::now() + deadline);
    let late = format!("not within {deadline:?}: {fact} (waited for at {at})");
    async move {
        loop {
            match timeout_at(end, probe()).await.ok().and_then(Fact::found) {
                Some(found) => return found,
                None if Instant::now() >= end => panic!("{late}"),
                None => sleep(POLL).await,
            }
        }
    }
}

/// What waiting for a probe of this kind yields.
pub type Found<F> = <<F as Future>::Output as Fact>::Found;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn yields_what_was_found() {
        let mut asked = 0;
        let found = until("third time", Duration::from_secs(5), || {
            asked += 1;
            let now = asked;
            async move { (now == 3).then_some(now) }
        })
        .await;
        assert_eq!(found, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "pigs fly")]
    async fn names_the_fact_that_did_not_come() {
        until("pigs fly", Duration::from_millis(30), async || false).await;
    }

    #[tokio::test]
    #[should_panic(expected = "a probe that hangs")]
    async fn cuts_off_a_probe_that_hangs() {
        until("a probe that hangs", Duration::from_millis(30), std::future::pending::<bool>).await;
    }
}
