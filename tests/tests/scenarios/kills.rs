//! A hundred kills of relay, connector and agent under load: nothing doubled, cut or claimed wrongly.

use serde_json::json;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};
use tests::{
    Call, Cut, Ending, Fingerprint, Ledger, Outcome, RawResponse, World,
    chance::{Chance, seed},
    fingerprint::pattern,
    http::{Piece, Upload, begin, post_json, send},
    until,
    world::message,
};
use tokio::time::sleep;

const KILLS: usize = 100;
const CALLERS: u64 = 16;
/// Requests that are open at each kill, at least, and were begun after the one before.
const IN_FLIGHT: usize = 3;
/// How long the agent may be away after a kill.
const AWAY: Duration = Duration::from_secs(45);
/// More than all buffers on the way hold, so that a caller that pauses has the agent wait.
const BIG: u64 = 12_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Send,
    SlowHead,
    Big,
    Stream,
    Upload,
    Probe,
}

/// What the callers and the killer share.
struct Load {
    endpoint: String,
    stopped: Cell<bool>,
    /// How many kills were survived, and the requests open that were begun since the last.
    survived: Cell<usize>,
    in_flight: Cell<usize>,
    outcomes: RefCell<Vec<Outcome>>,
    counts: RefCell<BTreeMap<(Kind, String), usize>>,
    /// What no answer may be: not whole although complete, untyped, or never there.
    wrong: RefCell<Vec<String>>,
}

/// Counts one request that is open, until the next kill.
struct Open<'l> {
    load: &'l Load,
    begun: usize,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.begun == self.load.survived.get() {
            self.load.in_flight.set(self.load.in_flight.get() - 1);
        }
    }
}

impl Load {
    /// Calls again and again until it is stopped.
    async fn call_on(self: Rc<Load>, caller: u64, mut chance: Chance) {
        const KINDS: [Kind; 5] =
            [Kind::Send, Kind::SlowHead, Kind::Big, Kind::Stream, Kind::Upload];
        for number in 0_u64.. {
            if self.stopped.get() {
                return;
            }
            let kind = KINDS[chance.below(5) as usize];
            let id = format!("{kind:?}-{caller}-{number}");
            if self.call(kind, &id, &mut chance).await != Some(200) {
                // What fails fast must not become a flood.
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// One call; yields the status of its answer.
    async fn call(&self, kind: Kind, id: &str, chance: &mut Chance) -> Option<u16> {
        let body =
            message(if kind == Kind::Stream { "message/stream" } else { "message/send" }, id, id);
        let body = body.to_string().into_bytes();
        let number = |chance: &mut Chance, least: u64, most: u64| {
            (least + chance.below(most - least)).to_string()
        };
        let (behaviour, body) = match kind {
            Kind::Send | Kind::Stream | Kind::Probe => ("a2a".to_owned(), Some(body)),
            Kind::SlowHead => (format!("slow-head:{}", number(chance, 50, 400)), Some(body)),
            Kind::Big if chance.happens(0.5) => (format!("big:{BIG}"), Some(body)),
            Kind::Big => (format!("big-chunked:{BIG}"), Some(body)),
            Kind::Upload => ("hash".to_owned(), None),
        };
        let headers = [
            ("Content-Type", "application/json".to_owned()),
            ("x-test-id", id.to_owned()),
            ("x-test-behaviour", behaviour),
            ("x-test-events", number(chance, 5, 40)),
            ("x-test-interval-ms", number(chance, 5, 30)),
        ];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let begun = match &body {
            Some(body) => {
                send("POST", &self.endpoint, &headers, Some(body)).await.map(Begun::Whole)
            }
            None => begin("POST", &self.endpoint, &headers, None).await.map(Begun::Upload),
        };
        let (answer, sent) = match begun {
            Err(cut) => (Err(cut), None),
            Ok(begun) => {
                self.in_flight.set(self.in_flight.get() + 1);
                let _open = Open { load: self, begun: self.survived.get() };
                match begun {
                    Begun::Upload(begun) => upload(begun, chance).await,
                    Begun::Whole(call) => {
                        (read(call, kind, chance).await, body.map(|body| Fingerprint::of(&body)))
                    }
                }
            }
        };
        let outcome = Outcome { sent, ..Outcome::of(id, &answer) };
        self.note(kind, &answer, &outcome);
        self.outcomes.borrow_mut().push(outcome);
        answer.ok().map(|answer| answer.status)
    }

    fn note(&self, kind: Kind, answer: &Result<RawResponse, Cut>, outcome: &Outcome) {
        let (result, wrong) = match answer {
            Err(cut) => (format!("no answer: {cut:?}"), *cut == Cut::Timeout),
            Ok(answer) => match (&answer.ending, answer.relay_error()) {
                (Ending::Complete, Some(code)) => (format!("{} {code}", answer.status), false),
                (Ending::Complete, None) => {
                    let whole = answer.status == 200 && is_whole(kind, outcome, answer);
                    (answer.status.to_string(), !whole)
                }
                (Ending::Cut(cut), _) => {
                    let told = outcome.delivery.as_deref().unwrap_or("nothing");
                    (format!("cut, told {told}"), *cut == Cut::Timeout)
                }
            },
        };
        if wrong {
            self.wrong.borrow_mut().push(format!("{}: {answer:?}", outcome.id));
        }
        *self.counts.borrow_mut().entry((kind, result)).or_default() += 1;
    }
}

/// A request that was sent, or whose body is still to be sent.
enum Begun {
    Whole(Call),
    Upload((Call, Upload)),
}

/// Whether a complete answer is all that the agent says to such a call.
fn is_whole(kind: Kind, outcome: &Outcome, answer: &RawResponse) -> bool {
    match kind {
        Kind::Send | Kind::SlowHead | Kind::Probe => {
            let json = answer.json();
            json["id"] == *outcome.id && json["result"]["parts"][0]["text"] == *outcome.id
        }
        Kind::Stream => answer.text().contains(r#""final":true"#),
        Kind::Big => answer.body == pattern(0, BIG as usize),
        Kind::Upload => answer.json() == json!(outcome.sent),
    }
}

/// Reads an answer; a big one with a pause within it.
async fn read(mut call: Call, kind: Kind, chance: &mut Chance) -> Result<RawResponse, Cut> {
    let head = call.head().await?;
    if kind != Kind::Big || head.header("x-relay-error").is_some() {
        return Ok(call.rest_of(head).await);
    }
    sleep(chance.up_to(Duration::from_millis(300))).await;
    let Piece::Data(first) = call.piece().await else { return Err(Cut::Eof(None)) };
    let mut rest = call.rest_of(head).await;
    rest.body = [first, rest.body].concat().into();
    Ok(rest)
}

/// Sends a body slowly and reads the answer; what was meant to be sent counts as sent.
async fn upload(
    (mut call, mut upload): (Call, Upload),
    chance: &mut Chance,
) -> (Result<RawResponse, Cut>, Option<Fingerprint>) {
    let pieces = 1 + chance.below(8);
    let sent = Fingerprint::of(&pattern(0, (pieces * 40_000) as usize));
    for _ in 0..pieces {
        if upload.send(40_000).await.is_err() {
            break;
        }
        sleep(chance.up_to(Duration::from_millis(60))).await;
    }
    let _ = upload.end().await;
    (call.response().await, Some(sent))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Connector,
    Relay,
    Agent,
}

/// Kills one process and starts it again with what it had.
async fn kill(world: &mut World, victim: Victim) {
    match victim {
        Victim::Connector => {
            world.connector.start_again();
            world.connector.until_online().await;
        }
        Victim::Relay => world.relay.start_again_on_same_ports().await,
        Victim::Agent => world.agent.as_process().start_again().await,
    }
}

/// Kills at random moments at which enough is open; yields how long the agent was away each time.
async fn kill_on(
    world: &mut World,
    load: &Load,
    mut chance: Chance,
) -> BTreeMap<Victim, Vec<Duration>> {
    let mut away: BTreeMap<Victim, Vec<Duration>> = BTreeMap::new();
    for number in 0..KILLS {
        let enough = || load.in_flight.get() >= IN_FLIGHT;
        loop {
            until("requests are open", AWAY, async || enough()).await;
            sleep(chance.up_to(Duration::from_millis(500))).await;
            if enough() {
                break;
            }
        }
        let victim = [Victim::Connector, Victim::Relay, Victim::Agent][chance.below(3) as usize];
        let killed = Instant::now();
        kill(world, victim).await;
        let attempt = Cell::new(0);
        let fact = format!("the agent answers after kill {number}, of {victim:?}");
        until(&fact, AWAY, async || {
            attempt.set(attempt.get() + 1);
            let id = format!("Probe-{number}-{}", attempt.get());
            load.call(Kind::Probe, &id, &mut Chance::seeded(0)).await == Some(200)
        })
        .await;
        load.survived.set(load.survived.get() + 1);
        load.in_flight.set(0);
        away.entry(victim).or_default().push(killed.elapsed());
    }
    away
}

#[tokio::test]
async fn a_hundred_kills_double_nothing_cut_nothing_unseen_and_claim_nothing_wrong() {
    let mut world = World::builder().agent_process("a2a").lasting_ports().start().await;
    let load = Rc::new(Load {
        endpoint: world.endpoint(),
        stopped: Cell::new(false),
        survived: Cell::new(0),
        in_flight: Cell::new(0),
        outcomes: RefCell::default(),
        counts: RefCell::default(),
        wrong: RefCell::default(),
    });
    let (mut chance, started) = (Chance::seeded(seed("kills")), Instant::now());
    let tasks = tokio::task::LocalSet::new();
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let chance = Chance::seeded(chance.next_u64());
        callers.push(tasks.spawn_local(load.clone().call_on(caller, chance)));
    }
    let away = tasks
        .run_until(async {
            let away = kill_on(&mut world, &load, chance).await;
            load.stopped.set(true);
            for caller in callers {
                caller.await.expect("a caller");
            }
            away
        })
        .await;
    for (victim, mut times) in away.clone() {
        times.sort();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        eprintln!(
            "{victim:?}: killed {} times, away for {median:?} (median), {worst:?}",
            times.len()
        );
    }
    let outcomes = load.outcomes.take();
    let ledger = Ledger::join(&outcomes, &world.agent.deliveries());
    eprintln!("{:#?}\nin {:?}: {ledger}", load.counts.borrow(), started.elapsed());
    assert!(load.wrong.borrow().is_empty(), "{:#?}", load.wrong.borrow());
    ledger.assert_clean();
    for told in ["not-sent", "maybe", "delivered"] {
        let told = outcomes.iter().filter(|outcome| outcome.delivery.as_deref() == Some(told));
        assert!(told.count() > 0, "no call was told what became of it");
    }
    assert_eq!(load.survived.get(), KILLS);
    let answer = post_json(&load.endpoint, &message("message/send", "last", "last")).await;
    assert_eq!(answer.expect("an answer").status, 200);
    world.until_quiet().await;
}
