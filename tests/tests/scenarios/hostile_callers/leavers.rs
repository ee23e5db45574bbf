//! Callers that reset their connection at any moment: nothing of them stays.

use super::Paths;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tests::{
    RawClient, World,
    chance::{Chance, seed},
    refusal::call_with_id,
    until,
};
use tokio::task::JoinSet;

const LEAVERS: usize = 300;
/// How many are there at a time.
const CROWD: usize = 30;
/// Between two events of a stream.
const PACE: Duration = Duration::from_millis(10);
const SOON: Duration = Duration::from_secs(10);

/// What a leaver has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    InTheHead,
    InTheBody,
    InTheChunks,
    BeforeTheAnswer,
    InTheAnswer,
    InTheEvents,
}
use Moment::{BeforeTheAnswer, InTheAnswer, InTheBody, InTheChunks, InTheEvents, InTheHead};

const MOMENTS: [Moment; 6] =
    [InTheHead, InTheBody, InTheChunks, BeforeTheAnswer, InTheAnswer, InTheEvents];

/// A whole request for a moment: its head, and its body.
fn request(moment: Moment) -> (String, Vec<u8>) {
    let (behaviour, body) = match moment {
        InTheHead | InTheBody => ("hash", vec![b'x'; 200_000]),
        InTheChunks => ("hash", [&b"30d40\r\n"[..], &[b'x'; 200_000], b"\r\n0\r\n\r\n"].concat()),
        BeforeTheAnswer => ("never", call_with_id("1")),
        InTheAnswer => ("big:10000000", call_with_id("1")),
        InTheEvents => ("a2a", br#"{"id":1,"method":"message/stream"}"#.to_vec()),
    };
    let framing = match moment {
        InTheChunks => "Transfer-Encoding: chunked".to_owned(),
        _ => format!("Content-Length: {}", body.len()),
    };
    let pace = "x-test-events: 100000\r\nx-test-interval-ms: 10";
    let head = format!("{{post}}x-test-behaviour: {behaviour}\r\n{pace}\r\n{framing}\r\n\r\n");
    (head, body)
}

/// Comes, and leaves by a reset at a random point.
async fn leave(paths: Arc<Paths>, moment: Moment, mut chance: Chance) {
    let (head, body) = request(moment);
    let head = paths.fill(&head);
    let mut part = |whole: &[u8]| -> Vec<u8> {
        let length = chance.below(whole.len() as u64) as usize;
        whole[..length].to_vec()
    };
    let bytes = match moment {
        InTheHead => part(&head),
        InTheBody | InTheChunks => [&head[..], &part(&body)].concat(),
        _ => [&head[..], &body].concat(),
    };
    let mut client = RawClient::connect(&paths.host).await.expect("the relay");
    let _ = client.send(&bytes).await;
    if matches!(moment, InTheAnswer | InTheEvents) {
        assert_eq!(client.head().await.expect("a head").status, 200);
        for _ in 0..chance.below(20) {
            assert!(!client.is_closed_within(PACE).await, "the answer broke off");
        }
    }
    tokio::time::sleep(chance.up_to(Duration::from_millis(50))).await;
    client.reset();
}

#[tokio::test]
async fn three_hundred_callers_that_reset_at_any_moment_leave_nothing_behind() {
    let world = World::new().await;
    let paths = Arc::new(Paths::of(&world));
    assert_eq!(world.call_as("before", &[], b"{}").await.expect("an answer").status, 200);
    let (files, rss) = (world.relay.process().open_files(), world.relay.process().rss_bytes());
    let mut chance = Chance::seeded(seed("leavers"));
    let mut left = BTreeMap::new();
    for _ in 0..LEAVERS / CROWD {
        let mut crowd = JoinSet::new();
        for _ in 0..CROWD {
            let moment = MOMENTS[chance.below(MOMENTS.len() as u64) as usize];
            *left.entry(moment).or_insert(0) += 1;
            crowd.spawn(leave(Arc::clone(&paths), moment, Chance::seeded(chance.next_u64())));
        }
        crowd.join_all().await;
    }
    eprintln!("{LEAVERS} callers left: {left:?}");
    world.until_quiet().await;
    until("the relay has let go of their connections", SOON, async || {
        world.relay.process().open_files() <= files + 2
    })
    .await;
    let grown = world.relay.process().rss_bytes().saturating_sub(rss);
    assert!(grown < 64 << 20, "the relay grew by {grown} bytes");
    assert_eq!(world.call_as("after", &[], b"{}").await.expect("an answer").status, 200);
    world.assert_seen_once("after");
}
