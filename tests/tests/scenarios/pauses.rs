//! Links that are lost under exchanges: to callers a pause, to agents nothing.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};
use tests::{
    Call, Direction, Ending, Fingerprint, Middleman, RawResponse, Refusal, Weather, World,
    fingerprint::{Running, pattern},
    http::{self, Piece, Upload, send},
    refusal::call_with_id,
    until,
};
use tokio::{task::LocalSet, time::sleep};

/// More than any pause takes: a path over UDP is known to be dead after a few seconds.
const PATIENCE: Duration = Duration::from_secs(90);
const LARGE: u64 = 10_000_000;

/// A world whose links can be cut.
async fn over(transport: &'static str) -> World {
    let middleman = Middleman::with_tcp(Weather::default());
    World::builder().middleman(middleman).over(transport).start().await
}

fn cut(world: &World) {
    world.middleman.as_ref().expect("a middleman").cut_links();
}

/// Links that came up so far.
async fn links(world: &World) -> f64 {
    let up = [("event", "up"), ("kind", "agent")];
    world.relay.metric("relay_link_events_total", &up).await.expect("a number")
}

/// Cuts the link, and waits for the next one.
async fn cut_and_wait(world: &World) {
    let before = links(world).await;
    cut(world);
    until("there is another link", PATIENCE, async || links(world).await > before).await;
}

async fn begin(world: &World, id: &str, behaviour: &str, length: u64) -> (Call, Upload) {
    let headers =
        [("Content-Type", "application/json"), ("x-test-behaviour", behaviour), ("x-test-id", id)];
    let begun = http::begin("POST", &world.endpoint(), &headers, Some(length)).await;
    let (call, upload) = begun.expect("the relay");
    (call.patience(PATIENCE), upload)
}

async fn ask(world: &World, id: &str, behaviour: &str) -> Call {
    let headers =
        [("Content-Type", "application/json"), ("x-test-behaviour", behaviour), ("x-test-id", id)];
    let call = send("POST", &world.endpoint(), &headers, Some(&call_with_id("1"))).await;
    call.expect("the relay").patience(PATIENCE)
}

async fn continued(world: &World, answer: &RawResponse) -> u64 {
    world.relay.access_line(answer).await["continued"].as_u64().expect("a number")
}

#[tokio::test]
async fn a_link_that_is_lost_before_the_head_is_a_pause() {
    for transport in ["tcp", "quic"] {
        let world = over(transport).await;
        let mut call = ask(&world, "think", "slow-head:9000").await;
        world.agent.until_whole("think").await;
        cut_and_wait(&world).await;
        let answer = call.response().await.expect("an answer");
        assert!(answer.status == 200 && answer.is_complete(), "{transport}: {answer:?}");
        assert_eq!(continued(&world, &answer).await, 1, "{transport}");
        world.assert_seen_once("think");
        world.until_quiet().await;
    }
}

#[tokio::test]
async fn every_event_of_a_stream_comes_once_and_in_order_over_the_links_that_follow() {
    for (transport, cuts) in [("tcp", 5), ("quic", 1)] {
        let world = over(transport).await;
        let pace = [("x-test-events", "100"), ("x-test-interval-ms", "100")];
        let mut stream = world.open_stream("s", &pace).await.patience(PATIENCE);
        assert_eq!(stream.head().await.expect("a head").status, 200);
        let events = async {
            for sequence in 0..100 {
                let event = stream.next_event().await.expect("an event");
                assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence, "{transport}");
            }
            assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete);
        };
        let cutting = async {
            for _ in 0..cuts {
                sleep(Duration::from_millis(700)).await;
                cut_and_wait(&world).await;
            }
        };
        tokio::join!(events, cutting);
        world.assert_seen_once("s");
        world.until_quiet().await;
    }
}

#[tokio::test]
async fn large_bodies_arrive_whole_over_the_links_that_follow() {
    for transport in ["tcp", "quic"] {
        let world = over(transport).await;
        let (mut call, mut upload) = begin(&world, "up", "hash", LARGE).await;
        let mut download = ask(&world, "down", &format!("big:{LARGE}")).await;
        assert_eq!(download.head().await.expect("a head").status, 200);
        let mut received = Running::default();
        for part in 0..2 {
            upload.send(LARGE / 4).await.expect("sent");
            while received.length() < LARGE / 4 * (part + 1) {
                let Piece::Data(bytes) = download.piece().await else { panic!("{transport}: cut") };
                received.add(&bytes);
            }
            cut_and_wait(&world).await;
        }
        upload.send(LARGE / 2).await.expect("sent");
        let sent = upload.end().await.expect("sent");
        let answer = call.response().await.expect("an answer");
        let seen: Fingerprint = serde_json::from_value(answer.json()).expect("a fingerprint");
        assert_eq!(seen, sent, "{transport}");
        let ending = loop {
            match download.piece().await {
                Piece::Data(bytes) => received.add(&bytes),
                Piece::End(ending) => break ending,
            }
        };
        assert_eq!(ending, Ending::Complete, "{transport}");
        assert_eq!(received.done(), Fingerprint::of(&pattern(0, LARGE as usize)), "{transport}");
        assert!(continued(&world, &answer).await >= 1, "{transport}");
        world.assert_seen_once("up");
        world.assert_seen_once("down");
        world.until_quiet().await;
    }
}

#[tokio::test]
async fn an_exchange_goes_from_one_transport_to_the_other_and_back() {
    let world = over("auto").await;
    let transport = || world.connector.status().and_then(|status| status.transport);
    let on = async |name: &str| {
        let fact = format!("the link is over {name}");
        until(&fact, PATIENCE, async || transport().as_deref() == Some(name)).await;
    };
    on("quic").await;
    let pace = [("x-test-events", "200"), ("x-test-interval-ms", "100")];
    let mut stream = world.open_stream("s", &pace).await.patience(PATIENCE);
    assert_eq!(stream.head().await.expect("a head").status, 200);
    let events = async {
        for sequence in 0..200 {
            let event = stream.next_event().await.expect("an event");
            assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence);
        }
        assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete);
    };
    let changing = async {
        let middleman = world.middleman.as_ref().expect("a middleman");
        for _ in 0..2 {
            middleman.black_hole(Direction::Both, true);
            on("tcp").await;
            middleman.black_hole(Direction::Both, false);
            middleman.block_tcp(true);
            on("quic").await;
            middleman.block_tcp(false);
        }
    };
    tokio::join!(events, changing);
    assert!(stream.comments() > 0, "a pause is filled with comments");
    world.assert_seen_once("s");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_link_that_does_not_come_back_in_time_ends_its_exchanges_as_lost() {
    let world = over("tcp").await;
    let mut thought = ask(&world, "never", "never").await;
    world.agent.until_whole("never").await;
    let pace = [("x-test-events", "100000"), ("x-test-interval-ms", "100")];
    let mut stream = world.open_stream("s", &pace).await.patience(PATIENCE);
    assert_eq!(stream.head().await.expect("a head").status, 200);
    let middleman = world.middleman.as_ref().expect("a middleman");
    middleman.block_tcp(true);
    let began = Instant::now();
    let lost = Refusal::maybe(502, "RELAY_TUNNEL_LOST");
    lost.assert_json_rpc(&thought.response().await.expect("an answer"), "1");
    assert!(began.elapsed() > Duration::from_secs(25), "after {:?}", began.elapsed());
    let last = loop {
        match stream.next_event().await {
            Ok(event) if event.json().get("error").is_some() => break event.json(),
            Ok(_) => {}
            Err(end) => panic!("no last event, but {end:?}"),
        }
    };
    assert_eq!(last["error"]["data"][0]["reason"], "RELAY_STREAM_LOST");
    world.agent.until_abandoned("never").await;
    world.agent.until_abandoned("s").await;
    middleman.block_tcp(false);
    world.until_quiet().await;
}

#[tokio::test]
async fn a_caller_that_leaves_within_the_pause_is_heard_of_once_the_exchange_goes_on() {
    let world = over("tcp").await;
    let call = ask(&world, "left", "never").await;
    world.agent.until_whole("left").await;
    let middleman = world.middleman.as_ref().expect("a middleman");
    middleman.block_tcp(true);
    world.connector.until_state("dialing").await;
    drop(call);
    middleman.block_tcp(false);
    world.agent.until_abandoned("left").await;
    world.until_quiet().await;
}

/// What callers do while links are cut, and what came of it.
struct Load {
    world: Rc<World>,
    stopped: Cell<bool>,
    counts: RefCell<BTreeMap<&'static str, usize>>,
}

impl Load {
    fn count(&self, what: &'static str) {
        *self.counts.borrow_mut().entry(what).or_default() += 1;
    }

    /// Uploads again and again, a piece at a time.
    async fn upload_on(self: Rc<Load>, caller: usize) {
        for number in 0.. {
            if self.stopped.get() {
                return;
            }
            let id = format!("up-{caller}-{number}");
            loop {
                let (mut call, mut upload) = begin(&self.world, &id, "hash", LARGE).await;
                let sending = async {
                    for _ in 0..20 {
                        upload.send(LARGE / 20).await.ok()?;
                        sleep(Duration::from_millis(50)).await;
                    }
                    upload.end().await.ok()
                };
                let (sent, answer) = tokio::join!(sending, call.response());
                let answer = answer.expect("an answer");
                if answer.delivery() == Some("not-sent") {
                    self.count("uploads not begun");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
                assert_eq!(answer.status, 200, "{id}: {answer:?}");
                let seen: Fingerprint = serde_json::from_value(answer.json()).expect("JSON");
                assert_eq!(Some(seen), sent, "{id}");
                break;
            }
            self.world.assert_seen_once(&id);
            self.count("uploads");
        }
    }

    /// Downloads again and again.
    async fn download_on(self: Rc<Load>, caller: usize) {
        let whole = Fingerprint::of(&pattern(0, LARGE as usize));
        for number in 0.. {
            if self.stopped.get() {
                return;
            }
            let id = format!("down-{caller}-{number}");
            loop {
                let mut call = ask(&self.world, &id, &format!("big:{LARGE}")).await;
                let head = call.head().await.expect("a head");
                if head.status != 200 {
                    let answer = call.rest_of(head).await;
                    assert_eq!(answer.delivery(), Some("not-sent"), "{id}: {answer:?}");
                    self.count("downloads not begun");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
                let (mut received, mut next) = (Running::default(), LARGE / 40);
                let ending = loop {
                    match call.piece().await {
                        Piece::Data(bytes) => received.add(&bytes),
                        Piece::End(ending) => break ending,
                    }
                    // Some two seconds in all.
                    if received.length() >= next {
                        next += LARGE / 40;
                        sleep(Duration::from_millis(50)).await;
                    }
                };
                assert_eq!(ending, Ending::Complete, "{id} after {} bytes", received.length());
                assert_eq!(received.done(), whole, "{id}");
                break;
            }
            self.world.assert_seen_once(&id);
            self.count("downloads");
        }
    }

    /// Reads one stream of events for as long as it lasts.
    async fn stream(self: Rc<Load>, caller: usize, events: usize) {
        let (id, events_text) = (format!("s-{caller}"), events.to_string());
        let pace = [("x-test-events", events_text.as_str()), ("x-test-interval-ms", "100")];
        let mut stream = self.world.open_stream(&id, &pace).await.patience(PATIENCE);
        assert_eq!(stream.head().await.expect("a head").status, 200);
        for sequence in 0..events {
            let event = stream.next_event().await.expect("an event");
            assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence, "{id}");
        }
        assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete, "{id}");
        self.world.assert_seen_once(&id);
        self.count("streams");
    }
}

/// How often links are cut, five seconds apart: four times, or for the seconds in `HARNESS_CUT_SECONDS`.
fn cuts() -> usize {
    let seconds = std::env::var("HARNESS_CUT_SECONDS").ok();
    seconds.map_or(4, |text| text.parse::<usize>().expect("seconds") / 5)
}

#[tokio::test]
async fn links_cut_every_five_seconds_lose_no_byte_and_no_event_on_either_transport() {
    let world = Rc::new(over("auto").await);
    let load = Rc::new(Load {
        world: world.clone(),
        stopped: Cell::new(false),
        counts: RefCell::default(),
    });
    let tasks = LocalSet::new();
    let mut callers = Vec::new();
    for caller in 0..20 {
        callers.push(tasks.spawn_local(load.clone().stream(caller, 50 * cuts())));
    }
    for caller in 0..2 {
        callers.push(tasks.spawn_local(load.clone().upload_on(caller)));
        callers.push(tasks.spawn_local(load.clone().download_on(caller)));
    }
    let mut transports = BTreeMap::new();
    tasks
        .run_until(async {
            let middleman = world.middleman.as_ref().expect("a middleman");
            for number in 0..cuts() {
                sleep(Duration::from_secs(5)).await;
                let transport = world.connector.status().and_then(|status| status.transport);
                *transports.entry(transport).or_insert(0) += 1;
                // Each in its turn: where UDP vanishes, the next link is over TCP.
                middleman.black_hole(Direction::Both, number % 2 == 0);
                middleman.cut_links();
            }
            middleman.black_hole(Direction::Both, false);
            sleep(Duration::from_secs(5)).await;
            load.stopped.set(true);
            for caller in callers {
                caller.await.expect("a caller");
            }
        })
        .await;
    let times = world.relay.metric("relay_exchanges_continued_total", &[]).await.expect("times");
    eprintln!("cut while over {transports:?}; continued {times} times; {:?}", load.counts.borrow());
    assert!(times > 0.0);
    assert_eq!(load.counts.borrow().get("streams"), Some(&20));
    world.until_quiet().await;
}
