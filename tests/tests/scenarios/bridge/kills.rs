//! A relay that is killed while it enrols: what is left is completed, and nothing is made twice.

use super::bridging;
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use tests::{
    Platform,
    chance::{Chance, seed},
    platform::{Credential, Oddity},
    until,
};

/// Workspaces that are enrolled.
const WORKSPACES: usize = 20;
/// How long the platform takes for each of the calls of an enrolment: all of them together outlast
/// several lives of the relay.
const SLOW: Duration = Duration::from_millis(150);
/// The relay lives at most so long each time.
const LIFE: Duration = Duration::from_millis(900);
/// How often it is killed.
const KILLS: usize = 10;
/// What the last life may take: creations whose answers were lost settle within it.
const DONE: Duration = Duration::from_secs(90);

/// Kills the relay at random moments while it enrols twenty workspaces.
async fn enrol_through_kills(chance: &mut Chance) {
    let platform = Platform::builder().per_minute(100_000).start();
    let mut relay = bridging(&platform).env("RELAY_PLATFORM_RATE", "100000").start().await;
    let calls = ["POST /workspaces", "POST /registry/register", "POST /workspaces/*/tokens"];
    for call in calls {
        platform.oddly(call, usize::MAX, true, Oddity::Late(SLOW));
    }
    let mut ids = BTreeSet::new();
    for n in 0..WORKSPACES {
        ids.insert(relay.add_workspace(&format!("agent-{n}"), &[]).await.workspace_id);
        // Some are enrolled before the first kill, and some are not even begun.
        if n == WORKSPACES / 2 {
            relay.kill9();
            relay.start_again_on_same_ports().await;
        }
    }
    for _ in 0..KILLS {
        relay.start_again_for(chance.up_to(LIFE)).await;
    }
    relay.start_again_on_same_ports().await;
    until("every workspace is registered", DONE, async || {
        let all = relay.operate("GET /workspaces", None).await;
        let registered = |row: &serde_json::Value| row["platform"]["step"] == json!("registered");
        all.as_array().is_some_and(|all| all.len() == WORKSPACES && all.iter().all(registered))
    })
    .await;

    let rows = platform.rows();
    assert_eq!(
        rows.len(),
        WORKSPACES,
        "{:?}",
        rows.iter().map(|row| &row.name).collect::<Vec<_>>()
    );
    let marked = |id: &String| rows.iter().filter(|row| row.role.contains(id)).count();
    assert!(ids.iter().all(|id| marked(id) == 1));
    assert!(rows.iter().all(|row| row.status == "online" && row.runtime == "external"), "{rows:?}");

    // A token is usable if a registration with it goes well.
    for row in &rows {
        platform.set_url(&row.id, "https://elsewhere.example.com");
    }
    let seen = platform.calls().len();
    let links = links_of(&relay, &ids).await;
    until("every token is used", DONE, async || {
        let calls = platform.calls().split_off(seen);
        let used: BTreeSet<_> = calls
            .iter()
            .filter(|call| call.is("POST /registry/register") && call.status == 200)
            .filter_map(|call| match &call.credential {
                Credential::Workspace(id) => Some(id.clone()),
                _ => None,
            })
            .collect();
        used.len() == WORKSPACES
    })
    .await;
    drop(links);
}

/// A link for each workspace, with a fresh join string, so that its agent is there.
async fn links_of(relay: &tests::Relay, ids: &BTreeSet<String>) -> Vec<tests::RawLink> {
    let mut links = Vec::new();
    for id in ids {
        let join = relay.operate(&format!("POST /workspaces/{id}/join"), Some(&json!({}))).await;
        let join = join["join"].as_str().expect("a join string").to_owned();
        let identity = tests::RawIdentity::join(&join).await;
        links.push(identity.online().await);
    }
    links
}

#[tokio::test]
async fn a_relay_that_is_killed_while_it_enrols_completes_what_is_left() {
    enrol_through_kills(&mut Chance::seeded(seed("kills during enrolment"))).await;
}

#[tokio::test]
#[ignore = "takes minutes; run by hand with --ignored"]
async fn a_hundred_kills_leave_twenty_workspaces_each_time() {
    let mut chance = Chance::seeded(seed("a hundred kills during enrolment"));
    for round in 0..10 {
        eprintln!("round {round}");
        enrol_through_kills(&mut chance).await;
    }
}
