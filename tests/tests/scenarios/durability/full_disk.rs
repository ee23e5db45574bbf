//! A full disk: changes are refused, forwarding goes on, and all is well when there is room again.

use super::clients::{Clients, Refusals};
use serde_json::{Value, json};
use std::time::Duration;
use tests::{
    Connector, RawResponse, Refusal, Relay, World,
    chance::{Chance, seed},
    disk::SmallDisk,
    http::{self, Version},
    until,
    world::message,
};

/// How long changes go on between two times.
const SHORT: Duration = Duration::from_millis(300);
const MIB: u64 = 1 << 20;
const SOON: Duration = Duration::from_secs(20);
/// When the relay takes its log into its store.
const LOG: u64 = 4 * MIB;

/// The status of `/readyz` on both listeners.
pub(super) async fn readiness(relay: &Relay) -> [u16; 2] {
    let public = http::get(&format!("http://{}/readyz", relay.http())).await;
    let admin = Version::Http1.get(&format!("http://{}/readyz", relay.admin())).await;
    [public, admin].map(|answer| {
        let answer = answer.expect("an answer");
        if answer.status != 200 {
            assert_unavailable("/readyz", &answer);
            assert_eq!(answer.json()["code"], "RELAY_STORE_UNAVAILABLE", "{answer:?}");
        }
        answer.status
    })
}

fn assert_unavailable(call: &str, answer: &RawResponse) {
    assert!(answer.is_complete(), "{call}: {answer:?}");
    let marks = (answer.status, answer.relay_error(), answer.header("retry-after"));
    assert_eq!(marks, (503, Some("RELAY_STORE_UNAVAILABLE"), Some("5")), "{call}: {answer:?}");
}

/// What callers, agents and the operator have when the disk is full.
struct Held {
    token: String,
    revoked: String,
    caller: String,
    key: String,
}

async fn made(relay: &Relay, call: &str, body: Option<Value>, field: &str) -> String {
    let made = relay.operate(call, body.as_ref()).await;
    made[field].as_str().unwrap_or_else(|| panic!("no {field} in {made}")).to_owned()
}

impl Held {
    async fn of(world: &World) -> Held {
        let (relay, id) = (&world.relay, &world.workspace.workspace_id);
        let secret = json!({"value": "sk-before"});
        relay.operate(&format!("PUT /workspaces/{id}/secrets/KEPT"), Some(&secret)).await;
        let tokens = format!("POST /workspaces/{id}/tokens");
        let revoked = made(relay, &tokens, None, "auth_token").await;
        relay.operate(&format!("DELETE /workspaces/{id}/tokens/{}", &revoked[5..31]), None).await;
        let name = Some(json!({"name": "held", "scope": "call"}));
        Held {
            token: made(relay, &tokens, None, "auth_token").await,
            revoked,
            caller: {
                let call = format!("POST /workspaces/{id}/callers");
                made(relay, &call, name.clone(), "caller_token").await
            },
            key: made(relay, "POST /keys", name, "key").await,
        }
    }

    /// Every change that there is, each of which the store must take.
    fn changes(&self, id: &str) -> Vec<(String, Option<Value>)> {
        let of = |method: &str, rest: &str| format!("{method} /workspaces/{id}{rest}");
        vec![
            ("POST /workspaces".into(), Some(json!({"name": "too much"}))),
            (of("PATCH", ""), Some(json!({"name": "too much", "callers": "open"}))),
            (of("POST", "/join"), None),
            (of("POST", "/pause"), None),
            (of("POST", "/resume"), None),
            (of("POST", "/tokens"), None),
            (of("DELETE", &format!("/tokens/{}", &self.token[5..31])), None),
            (of("DELETE", "/tokens"), None),
            (of("POST", "/callers"), Some(json!({"name": "too much"}))),
            (of("DELETE", &format!("/callers/{}", &self.caller[6..32])), None),
            (of("PUT", "/secrets/KEPT"), Some(json!({"value": "too much"}))),
            (of("DELETE", "/secrets/KEPT"), None),
            ("POST /keys".into(), Some(json!({"name": "too much", "scope": "read"}))),
            (format!("DELETE /keys/{}", &self.key[5..31]), None),
            ("POST /registry/register".into(), {
                Some(json!({"id": id, "url": "https://too.much", "agent_card": {"name": "x"}}))
            }),
            ("POST /registry/update-card".into(), {
                Some(json!({"workspace_id": id, "agent_card": {"name": "too much"}}))
            }),
            ("POST /backups".into(), None),
            (of("DELETE", ""), None),
        ]
    }
}

/// Calls the agent by its alias with this credential.
async fn call(world: &World, credential: &str, id: &str) -> RawResponse {
    let url = format!("http://{}/agents/held/", world.relay.http());
    let bearer = format!("Bearer {credential}");
    let headers = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
    let body = message("message/send", id, "hello").to_string();
    http::post(&url, &headers, body.as_bytes()).await.expect("an answer")
}

/// Everything that needs no writing works: calls by address and by every kind of token, with those
/// that are revoked refused; heartbeats; reading.
async fn all_but_changes_works(world: &World, held: &Held) {
    let (relay, id) = (&world.relay, &world.workspace.workspace_id);
    for credential in [&held.token, &held.caller, &held.key] {
        assert_eq!(call(world, credential, "m").await.status, 200, "{credential:.6}");
    }
    let refused = call(world, &held.revoked, "m").await;
    Refusal::new(401, "RELAY_UNAUTHENTICATED").assert_marks(&refused);
    let sent = message("message/send", "m", "hello");
    for (credential, call, body) in [
        (&held.token, format!("POST /workspaces/{id}/a2a"), Some(sent)),
        (&held.token, "POST /registry/heartbeat".into(), Some(json!({"workspace_id": id}))),
        (&held.token, format!("GET /workspaces/{id}/state"), None),
        (&relay.admin_token(), "GET /workspaces".into(), None),
        (&relay.admin_token(), "GET /events".into(), None),
    ] {
        let answer = relay.api(credential, &call, body.as_ref()).await;
        assert_eq!(answer.status, 200, "{call}: {answer:?}");
    }
    let call = format!("GET /workspaces/{id}/secrets/values");
    let secrets = relay.api(&held.token, &call, None).await.json();
    assert_eq!(secrets, json!({"KEPT": "sk-before"}));
    let healthy = Version::Http1.get(&format!("http://{}/healthz", relay.admin())).await;
    assert_eq!(healthy.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_nothing_else_until_there_is_room() {
    let Some(disk) = SmallDisk::mount(16 * MIB) else { return };
    let mut world = World::builder()
        .lasting_ports()
        .relay_folder_in(disk.path())
        .workspace_args(&["--alias", "held", "--callers", "token"])
        .start()
        .await;
    let id = world.workspace.workspace_id.clone();
    let held = Held::of(&world).await;
    let late = world.relay.add_workspace("late", &[]).await;
    let before = world.relay.show_workspace(&id).await;

    disk.fill(0);
    let fallen = async || readiness(&world.relay).await == [503; 2];
    until("the relay is not ready", SOON, fallen).await;
    let admin = world.relay.admin_token();
    for (call, body) in held.changes(&id) {
        let answer = world.relay.api(&admin, &call, body.as_ref()).await;
        assert_unavailable(&call, &answer);
    }
    all_but_changes_works(&world, &held).await;
    let same = world.relay.show_workspace(&id).await;
    for field in ["name", "callers", "paused", "url", "status"] {
        assert_eq!(same[field], before[field], "{field} of what was refused");
    }
    // Who is known comes back all the same; who is new waits until it can be written down.
    world.connector.restart().await;
    all_but_changes_works(&world, &held).await;
    let newcomer = Connector::builder(&late.join, world.agent.port()).start();
    newcomer.until_state("waiting").await;

    disk.free();
    newcomer.until_online().await;
    until("the relay is ready", SOON, async || readiness(&world.relay).await == [200; 2]).await;
    all_but_changes_works(&world, &held).await;
    for (call, body) in held.changes(&id) {
        let answer = world.relay.api(&admin, &call, body.as_ref()).await;
        assert!((200..300).contains(&answer.status), "{call}: {answer:?}");
    }
    let lines = world.relay.process().lines();
    for said in ["the store cannot be written", "the store can be written again"] {
        let count = lines.iter().filter(|line| line.contains(said)).count();
        assert_eq!(count, 1, "one line an outage: {said}");
    }
    let backups = std::fs::read_dir(world.relay.data_dir().join("backups")).expect("a folder");
    assert_eq!(backups.count(), 1, "nothing is left of the one that found no room");
    assert_eq!(newcomer.stop().await, 0);
    world.relay.restart().await;
    let gone = world.relay.api(&admin, &format!("GET /workspaces/{id}"), None).await;
    assert_eq!(gone.status, 410, "{gone:?}");
}

#[tokio::test]
async fn a_disk_that_fills_up_at_any_write_loses_nothing_that_was_acknowledged() {
    const TIMES: usize = 15;
    let Some(disk) = SmallDisk::mount(24 * MIB) else { return };
    let mut relay = Relay::builder().folder_in(disk.path()).start().await;
    let mut chance = Chance::seeded(seed("a disk that fills up"));
    let mut clients = Clients::of(&relay, 3, &mut chance);
    for time in 0..TIMES {
        disk.fill(chance.below(MIB / 4));
        let refused = clients.tally().refused;
        while clients.tally().refused < refused + 10 {
            clients.work(10).await;
        }
        // What was refused was not done, also as the relay sees it that reads the disk anew.
        if chance.happens(0.3) {
            relay.kill9();
            disk.free();
            clients.start_again(&mut relay).await;
        } else {
            disk.free();
        }
        // The room is there at once; that a write finds it is the file system's affair.
        let fact = format!("the relay is ready again, time {time}");
        until(&fact, SOON, async || readiness(&relay).await == [200; 2]).await;
        clients.compare().await;
        clients.work_until(Refusals::Certain, tokio::time::sleep(chance.up_to(SHORT))).await;
    }
    clients.compare_all().await;
    assert_eq!(relay.stop().await, 0);
    clients.start_again(&mut relay).await;
    clients.compare_all().await;
    eprintln!("the disk filled up {TIMES} times: {}", clients.tally());
}

#[tokio::test]
async fn a_log_that_finds_no_room_in_the_store_waits_for_it() {
    let Some(disk) = SmallDisk::mount(16 * MIB) else { return };
    let mut relay = Relay::builder().folder_in(disk.path()).start().await;
    let workspace = relay.add_workspace("wide", &[]).await.workspace_id;
    let token = format!("POST /workspaces/{workspace}/tokens");
    let token = made(&relay, &token, None, "auth_token").await;
    assert_eq!(relay.stop().await, 0);
    relay.start_again().await;
    // Enough for the log to be taken in, and not for what the store would grow by.
    disk.fill(LOG + MIB / 2);
    let admin = relay.admin_token();
    let (mut stored, mut refused) = (serde_json::Map::new(), 0);
    for number in 0..200 {
        let (name, value) = (format!("WIDE_{number}"), "w".repeat(60_000));
        let call = format!("PUT /workspaces/{workspace}/secrets/{name}");
        let answer = relay.api(&admin, &call, Some(&json!({"value": value}))).await;
        if answer.status == 200 {
            stored.insert(name, value.into());
        } else {
            assert_unavailable(&call, &answer);
            refused += 1;
        }
    }
    let log = std::fs::metadata(relay.data_dir().join("relay.db-wal")).expect("a log").len();
    assert!(log > LOG && refused > 0, "the log has {log} bytes, {refused} were refused");
    let read = format!("GET /workspaces/{workspace}/secrets/values");
    let stored = Value::from(stored);
    assert!(relay.api(&token, &read, None).await.json() == stored, "all that was acknowledged");
    disk.free();
    assert_eq!(readiness(&relay).await, [200; 2]);
    let log = std::fs::metadata(relay.data_dir().join("relay.db-wal")).expect("a log").len();
    assert!(log < LOG, "the log still has {log} bytes");
    relay.start_again().await;
    assert!(relay.api(&token, &read, None).await.json() == stored, "all that was acknowledged");
}
