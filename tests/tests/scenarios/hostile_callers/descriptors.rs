//! More connections than the relay has descriptors: it goes on accepting once there are some again.

use super::{Paths, is_usable};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::time::{Duration, Instant};
use tests::{RawClient, World, until};
use tokio::time::sleep;

/// Descriptors that are left when the flood begins, and its connections.
const LEFT: usize = 20;
const FLOOD: usize = 120;
/// How long there is none.
const SHORTAGE: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(5);

/// From now on the process has so many descriptors at most.
fn limit_open_files(world: &World, files: usize) {
    let pid = i32::try_from(world.relay.process().pid()).ok().and_then(Pid::from_raw);
    let files = u64::try_from(files).ok();
    let limit = Rlimit { current: files, maximum: files };
    prlimit(pid, Resource::Nofile, limit).expect("a limit for a process of our own");
}

#[tokio::test]
async fn a_relay_that_runs_out_of_descriptors_serves_again_when_it_has_some() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let mut old = RawClient::connect(&paths.host).await.expect("the relay");
    assert!(is_usable(&mut old, &paths).await);
    limit_open_files(&world, world.relay.process().open_files() + LEFT);
    let lines = world.relay.process().lines().len();

    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        // The kernel takes them in for a listener that does not.
        flood.push(RawClient::connect(&paths.host).await.expect("the listener's queue"));
    }
    sleep(SHORTAGE).await;
    assert!(is_usable(&mut old, &paths).await, "a connection from before was lost");
    let said = world.relay.process().lines()[lines..].to_vec();
    assert!(!said.is_empty(), "nobody is told that descriptors are short");
    assert!(said.len() < 10, "{} lines within {SHORTAGE:?}: {said:#?}", said.len());

    drop(flood);
    let freed = Instant::now();
    until("a new caller is served again", SOON, async || {
        let mut new = RawClient::connect(&paths.host).await.expect("the relay");
        is_usable(&mut new, &paths).await
    })
    .await;
    eprintln!("{FLOOD} connections beside {LEFT} descriptors: served {:?} later", freed.elapsed());
    world.until_quiet().await;
}
