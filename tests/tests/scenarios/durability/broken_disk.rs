//! A disk that errs: a sync that fails ends the relay, which never claims what it does not know; a
//! write that fails is refused, and works again when the disk does.

use super::{
    clients::{Clients, Refusals},
    full_disk::readiness,
};
use std::{path::PathBuf, time::Duration};
use tests::{
    Relay, World,
    chance::{Chance, seed},
    disk::Faults,
    until,
    world::message,
};

/// How long a relay may take to end by itself.
const END: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(20);

fn store(relay: &Relay) -> PathBuf {
    relay.data_dir().join("relay.db")
}

fn log(relay: &Relay) -> PathBuf {
    relay.data_dir().join("relay.db-wal")
}

/// Waits until the relay has ended, which must be with an error that says what became of the disk.
async fn ends_with_a_sentence(relay: &Relay) {
    assert_eq!(relay.process().exit_code(END).await, 1, "{:?}", relay.process().lines());
    let named = store(relay).display().to_string();
    let told = |line: &str| {
        let parts = [
            "relay: The store failed for good",
            named.as_str(),
            "did not confirm",
            "start the relay again",
        ];
        parts.iter().all(|part| line.contains(part))
    };
    relay.process().wait_for_line(told, SOON).await;
}

#[tokio::test]
async fn a_log_that_is_not_synced_ends_the_relay_and_nothing_is_claimed() {
    const TIMES: usize = 12;
    let mut relay = Relay::start().await;
    let mut chance = Chance::seeded(seed("syncs of the log that fail"));
    let mut clients = Clients::of(&relay, 4, &mut chance);
    clients.work(20).await;
    for time in 0..TIMES {
        // The first time already, or after some that went well.
        let first = 1 + if time % 2 == 0 { 0 } else { chance.below(40) };
        let inject = format!("fsync,fdatasync:error=EIO:when={first}+");
        let files = [log(&relay)];
        let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
        let Some(faults) = Faults::inject(relay.process(), &inject, &files).await else { return };
        let before = clients.tally().acknowledged();
        clients.work_until(Refusals::Last, ends_with_a_sentence(&relay)).await;
        let acknowledged = clients.tally().acknowledged() - before;
        assert!(first > 1 || acknowledged == 0, "{acknowledged} were claimed");
        faults.end().await;
        clients.start_again(&mut relay).await;
        clients.compare().await;
    }
    clients.compare_all().await;
    eprintln!("{TIMES} syncs of the log failed: {}", clients.tally());
}

#[tokio::test]
async fn a_store_that_is_not_synced_ends_the_relay_when_it_takes_the_log_in() {
    let mut relay = Relay::start().await;
    let mut chance = Chance::seeded(seed("a sync of the store that fails"));
    let mut clients = Clients::of(&relay, 4, &mut chance);
    let inject = "fsync,fdatasync:error=EIO";
    // While it works, the log being long; and at its orderly end.
    for at_the_end in [false, true] {
        let file = store(&relay);
        let Some(faults) = Faults::inject(relay.process(), inject, &[&file]).await else { return };
        if at_the_end {
            clients.work(20).await;
            relay.process().terminate();
            ends_with_a_sentence(&relay).await;
        } else {
            clients.work_until(Refusals::Last, ends_with_a_sentence(&relay)).await;
        }
        faults.end().await;
        clients.start_again(&mut relay).await;
        clients.compare_all().await;
    }
    eprintln!("the store was not synced: {}", clients.tally());
}

#[tokio::test]
async fn a_disk_that_takes_no_writes_for_a_while_refuses_changes_and_heals() {
    const TIMES: usize = 5;
    let mut world = World::new().await;
    let mut chance = Chance::seeded(seed("writes that fail"));
    let mut clients = Clients::of(&world.relay, 3, &mut chance);
    for time in 0..TIMES {
        clients.work(20).await;
        let (first, files) = (1 + chance.below(3), [store(&world.relay), log(&world.relay)]);
        let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
        let inject = format!("write,pwrite64,pwritev,ftruncate:error=EIO:when={first}+");
        let injected = Faults::inject(world.relay.process(), &inject, &files).await;
        let Some(faults) = injected else { return };
        until("the relay is not ready", SOON, async || readiness(&world.relay).await == [503; 2])
            .await;
        let refused = clients.tally().refused;
        clients.work(10).await;
        assert_eq!(clients.tally().refused, refused + 30, "time {time}");
        let answer = world.call(message("message/send", "m", "hello")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(faults.count() > 0, "nothing was injected");
        faults.end().await;
        assert_eq!(readiness(&world.relay).await, [200; 2]);
        clients.compare().await;
    }
    clients.work(20).await;
    clients.compare_all().await;
    assert_eq!(world.relay.stop().await, 0);
    clients.start_again(&mut world.relay).await;
    clients.compare_all().await;
    eprintln!("the disk took no writes {TIMES} times: {}", clients.tally());
}
