//! Two hundred kills of a relay under changes of every kind: nothing acknowledged is lost.

use super::clients::{Clients, Refusals};
use crate::command;
use std::time::{Duration, Instant};
use tests::{
    Relay,
    chance::{Chance, seed},
};
use tokio::time::sleep;

const KILLS: usize = 200;
const CLIENTS: usize = 4;
/// The longest that the clients are at work before a kill: some dozens of commits, now and then
/// with the log going into the file.
const WORK: Duration = Duration::from_millis(150);
const FIRST_STARTS: usize = 40;
/// How long a start may go on before it is killed too: a whole one takes a little longer.
const START: Duration = Duration::from_millis(60);

/// What a data directory holds while no relay runs.
const WHOLE: [&str; 6] =
    ["admin-token", "ca.key", "ca.pem", "relay.db", "sealing-key", "tunnel.keys"];

#[tokio::test]
async fn two_hundred_kills_lose_nothing_that_was_acknowledged() {
    let mut relay = Relay::start().await;
    let (mut chance, begun) = (Chance::seeded(seed("kills under changes")), Instant::now());
    let mut clients = Clients::of(&relay, CLIENTS, &mut chance);
    let mut starts_killed = 0;
    for _ in 0..KILLS {
        let time = chance.up_to(WORK);
        let kill = async {
            sleep(time).await;
            relay.kill9();
        };
        clients.work_until(Refusals::Last, kill).await;
        while chance.happens(0.2) {
            relay.start_again_for(chance.up_to(START)).await;
            starts_killed += 1;
        }
        clients.start_again(&mut relay).await;
        clients.compare().await;
    }
    clients.start_again(&mut relay).await;
    clients.compare_all().await;
    let tally = clients.tally();
    let took = begun.elapsed();
    eprintln!("{KILLS} kills at work, {starts_killed} while starting, in {took:?}: {tally}");
    assert!(tally.acknowledged() > 5 * KILLS, "too little was going on");
    assert!(tally.done + tally.undone > KILLS, "too few kills came in the middle of something");
    assert_eq!(relay.stop().await, 0, "it closes its store in order");
    assert_eq!(names(&relay.data_dir()), WHOLE, "nothing half-made is left behind");
}

#[tokio::test]
async fn a_first_start_that_is_killed_at_any_moment_is_carried_on() {
    let mut chance = Chance::seeded(seed("kills of first starts"));
    for _ in 0..FIRST_STARTS {
        let relay = Relay::builder().start_after_kills(&[chance.up_to(START)]).await;
        let made = relay.add_workspace("kept", &[]).await;
        assert_eq!(relay.stop().await, 0);
        assert_eq!(names(&relay.data_dir()), WHOLE, "{}", made.workspace_id);
    }
}

#[tokio::test]
async fn what_a_killed_start_left_half_made_is_swept_and_nothing_else_is() {
    let mut relay = Relay::start().await;
    assert_eq!(relay.stop().await, 0);
    let data = relay.data_dir();
    std::fs::create_dir_all(data.join("backups")).expect("a folder");
    let left = [".staged-a1B2c3", ".relay-store-x", ".relay-store-x-wal", "backups/.relay-store-y"];
    let others = ["backups/relay-20260101T000000.000Z.db", "notes", ".keep"];
    for name in left.iter().chain(&others) {
        std::fs::write(data.join(name), "x").expect("a file");
    }
    relay.start_again().await;
    for name in left {
        assert!(!data.join(name).exists(), "{name} is left");
    }
    for name in others {
        assert!(data.join(name).exists(), "{name} is gone");
    }
    std::fs::write(data.join(left[0]), "x").expect("a file");
    let (free, place) = ("127.0.0.1:0", data.display().to_string());
    let serve = ["serve", "--data-dir", &place, "--http", free, "--tunnel", free, "--admin", free];
    let second = command::relay(&serve).await;
    assert_eq!(second.code, 3, "{second:?}");
    assert!(data.join(left[0]).exists(), "whoever does not have the store sweeps nothing");
}

/// The names of the files in a folder, in their order.
fn names(folder: &std::path::Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("a name"));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
