//! Many event streams at once: each event at its time, each stream whole, none in another's way.

use std::time::{Duration, Instant};
use tests::{Ending, World};

const STREAMS: usize = 200;
const LEAVERS: usize = 20;
const EVENTS: u64 = 50;
const INTERVAL: Duration = Duration::from_millis(20);

/// Reads one stream to its end; yields when each event came.
async fn follow(world: &World, id: &str) -> Vec<Instant> {
    let (events, interval) = (EVENTS.to_string(), INTERVAL.as_millis().to_string());
    let pace = [("x-test-events", events.as_str()), ("x-test-interval-ms", &interval)];
    let mut stream = world.open_stream(id, &pace).await;
    assert_eq!(stream.head().await.expect("a head").status, 200, "{id}");
    let mut times = Vec::new();
    loop {
        match stream.next_event().await {
            Ok(event) => {
                let json = event.json();
                assert_eq!(json["id"], id, "an event of another stream");
                let sequence = &json["result"]["metadata"]["sequence"];
                assert_eq!(sequence.as_u64(), Some(times.len() as u64), "{id}");
                times.push(event.at);
            }
            Err(ending) => {
                assert_eq!(ending, Ending::Complete, "{id} after {} events", times.len());
                return times;
            }
        }
    }
}

/// Reads a few events of a stream that would go on for long, and leaves.
async fn leave_early(world: &World, id: &str) {
    let pace = [("x-test-events", "100000"), ("x-test-interval-ms", "20")];
    let mut stream = world.open_stream(id, &pace).await;
    assert_eq!(stream.head().await.expect("a head").status, 200, "{id}");
    for _ in 0..5 {
        stream.next_event().await.expect("an event");
    }
}

#[tokio::test]
async fn two_hundred_streams_arrive_event_by_event_while_others_come_and_go() {
    let world = std::rc::Rc::new(World::with_agent("a2a").await);
    let tasks = tokio::task::LocalSet::new();
    let (mut streams, mut leavers) = (Vec::new(), Vec::new());
    for number in 0..STREAMS {
        let world = world.clone();
        let follow = async move { follow(&world, &format!("s-{number}")).await };
        streams.push(tasks.spawn_local(follow));
    }
    for number in 0..LEAVERS {
        let world = world.clone();
        let leave = async move { leave_early(&world, &format!("leaver-{number}")).await };
        leavers.push(tasks.spawn_local(leave));
    }
    let mut spreads = Vec::new();
    tasks
        .run_until(async {
            for stream in streams {
                let times = stream.await.expect("a stream");
                assert_eq!(times.len() as u64, EVENTS);
                spreads.push(times[times.len() - 1] - times[0]);
            }
            for leaver in leavers {
                leaver.await.expect("a leaver");
            }
        })
        .await;
    spreads.sort();
    let nominal = INTERVAL * (EVENTS as u32 - 1);
    let (least, median) = (spreads[0], spreads[STREAMS / 2]);
    eprintln!("spread of {EVENTS} events each {INTERVAL:?}: least {least:?}, median {median:?}");
    assert!(least >= nominal.mul_f64(0.6), "events were held back: all within {least:?}");
    for number in 0..LEAVERS {
        world.agent.until_abandoned(&format!("leaver-{number}")).await;
    }
    world.until_quiet().await;
}

/// Some clients give up on a stream that says nothing for five seconds, even without a relay.
#[tokio::test]
async fn a_silent_stream_is_kept_alive_with_comments_and_nothing_else() {
    let world = World::with_agent("a2a").await;
    let comments_of = async |id: &str, more: &[(&'static str, &'static str)]| {
        let pace = [&[("x-test-events", "2"), ("x-test-interval-ms", "7000")], more].concat();
        let mut stream = world.open_stream(id, &pace).await;
        stream.head().await.expect("a head");
        for sequence in 0..2 {
            let event = stream.next_event().await.expect("an event");
            assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence, "{id}");
        }
        assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete, "{id}");
        stream.comments()
    };
    let (kept, left_alone) = tokio::join!(
        comments_of("kept", &[]),
        comments_of("off", &[("x-relay-keep-alive", "off")])
    );
    assert!((1..=2).contains(&kept), "{kept} comments in seven seconds");
    assert_eq!(left_alone, 0);
    assert_eq!(world.agent.of("kept").len(), 1, "the agent sees one request");
    let fields = &world.agent.of("off")[0].headers;
    assert!(fields.iter().all(|(name, _)| !name.starts_with("x-relay-keep")), "{fields:?}");
}

#[tokio::test]
async fn an_operator_may_leave_the_silences_of_an_agent_alone() {
    let world = World::builder().workspace_args(&["--keep-alive", "off"]).start().await;
    let pace = [("x-test-events", "2"), ("x-test-interval-ms", "4000")];
    let mut stream = world.open_stream("s-1", &pace).await;
    stream.head().await.expect("a head");
    while stream.next_event().await.is_ok() {}
    assert_eq!(stream.comments(), 0);
    let shown = world.relay.show_workspace(&world.workspace.workspace_id).await;
    assert_eq!(shown["keep_alive"], false);
}
