//! Becoming somebody: join strings that are good once, and certificates that end.

use crate::command;
use certs::{Authority, JoinString, KeyPair};
use shared::codes::RefusalCode;
use std::{
    path::Path,
    time::{Duration, SystemTime},
};
use tests::{
    Agent, Connector, RawIdentity, Relay, World, raw_connector::redeem, until, world::message,
};

const SOON: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

/// Runs a connector that must end with this code, and yields all that it said.
async fn ends_with(code: i32, join: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state").display().to_string();
    let args = ["http", "9", "--state-dir", &state, "--join", join];
    let ended = command::connector(&args, "").await;
    assert_eq!(ended.code, code, "{ended:?}");
    ended.stdout + &ended.stderr
}

#[tokio::test]
async fn a_join_string_lets_one_connector_in_and_says_how_to_get_another() {
    let world = World::new().await;
    let said = ends_with(4, &world.workspace.join).await;
    assert!(said.contains("relay workspace join"), "{said}");
    assert!(said.contains("JOIN_USED"), "{said}");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_join_string_ends_with_its_time() {
    let relay = Relay::start().await;
    relay.add_workspace("late", &[]).await;
    let args = ["workspace", "join", "late", "--expires", "1s", "--json"];
    let join = relay.cli(&args).await.json()["join"].as_str().expect("a string").to_owned();
    let parsed: JoinString = join.parse().expect("a join string");
    until("the join string expires", SOON, async || parsed.is_expired(SystemTime::now())).await;
    let said = ends_with(4, &join).await;
    assert!(said.contains("relay workspace join"), "{said}");
}

#[tokio::test]
async fn damaged_join_strings_are_told_from_good_ones() {
    let relay = Relay::start().await;
    let join = relay.add_workspace("whole", &[]).await.join;
    let cut = &join[..join.len() - 5];
    let mistyped = format!("{}A{}", &join[..20], &join[21..]);
    let mistyped = if mistyped == join { join.replacen('A', "B", 1) } else { mistyped };
    for damaged in [cut, &mistyped, "join1_", "not a join string", "join7_abc"] {
        let said = ends_with(4, damaged).await;
        assert!(said.to_lowercase().contains("join string"), "{damaged}: {said}");
        assert!(!said.contains(&join[20..60]), "the string itself is not repeated: {said}");
    }
    RawIdentity::join(&join).await;
}

#[tokio::test]
async fn a_join_string_of_another_relay_is_no_reason_to_trust_this_one() {
    let (ours, theirs) = (Relay::start().await, Relay::start().await);
    let mut join: JoinString = ours.add_workspace("a", &[]).await.join.parse().expect("a string");
    join.endpoints = vec![theirs.tunnel().to_string()];
    let said = ends_with(4, &join.reveal().expect("text")).await;
    assert!(said.contains(&join.ca.to_string()), "the sentence names whom it expected: {said}");
}

#[tokio::test]
async fn neither_end_needs_a_new_join_string_after_a_restart() {
    let mut world = World::builder().lasting_ports().start().await;
    let before = world.connector.until_online().await;
    world.relay.restart().await;
    world.connector.until_online_again(&before, SOON).await;
    // The used string stands in its environment still.
    world.connector.restart().await;
    assert_eq!(world.call(message("message/send", "r-1", "hello")).await.status, 200);
    world.until_quiet().await;
}

#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again_by_the_same_key_alone() {
    let relay = Relay::start().await;
    let join = relay.add_workspace("twice", &[]).await.join;
    let (mine, another) =
        (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    redeem(&join, &mine).await.expect("the first answer");
    let chain = redeem(&join, &mine).await.expect("the same answer again");
    let refused = redeem(&join, &another).await.expect_err("the string is used");
    assert_eq!(refused.code, RefusalCode::JoinUsed, "{refused:?}");
    let parsed: JoinString = join.parse().expect("a join string");
    let identity = RawIdentity {
        workspace: parsed.workspace,
        ca: parsed.ca,
        relay: relay.tunnel(),
        chain,
        key: mine,
    };
    identity.online().await;
}

#[tokio::test]
async fn a_join_string_comes_by_standard_input_and_by_file() {
    let relay = Relay::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let piped = relay.add_workspace("piped", &[]).await;
    let state = folder.path().join("piped").display().to_string();
    let joined = command::connector(&["join", "-", "--state-dir", &state], &piped.join).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    RawIdentity::load(Path::new(&state), relay.tunnel()).online().await;

    let filed = relay.add_workspace("filed", &[]).await;
    let file = folder.path().join("join.txt");
    std::fs::write(&file, format!("{}\n", filed.join)).expect("a file");
    let agent = Agent::start("a2a");
    let connector =
        Connector::without_join(agent.port()).arg("--join").arg(file.display().to_string());
    connector.start_online().await;
}

#[tokio::test]
async fn an_expired_certificate_of_a_known_key_is_renewed() {
    let mut world = World::new().await;
    assert_eq!(world.connector.stop().await, 0);
    let own = RawIdentity::load(&world.connector.state_dir(), world.relay.tunnel());
    expired(&world.relay, own).save(&world.connector.state_dir());
    world.connector.start_again();
    world.connector.until_online().await;
    assert_eq!(world.call(message("message/send", "x-1", "hello")).await.status, 200);
    assert_eq!(world.connector.stop().await, 0);
    let state = certs::StateDir::open(world.connector.state_dir()).expect("a state directory");
    let workspace = state.list().expect("a list")[0];
    let renewed = state.load(&workspace).expect("an identity");
    assert!(!renewed.is_expired(SystemTime::now()), "the new certificate is on disk");
}

#[tokio::test]
async fn a_certificate_past_half_its_time_is_renewed_without_losing_the_link() {
    let mut world = World::new().await;
    assert_eq!(world.connector.stop().await, 0);
    let own = RawIdentity::load(&world.connector.state_dir(), world.relay.tunnel());
    let (now, state_dir) = (SystemTime::now(), world.connector.state_dir());
    certified(&world.relay, own, now - 20 * 24 * HOUR, now + 10 * 24 * HOUR).save(&state_dir);
    world.connector.start_again();
    let online = world.connector.until_online().await;
    let state = certs::StateDir::open(&state_dir).expect("a state directory");
    let workspace = state.list().expect("a list")[0];
    let renewed = || state.load(&workspace).is_ok_and(|identity| !identity.needs_renewal(now));
    until("the certificate is a new one", SOON, async || renewed()).await;
    assert_eq!(world.call(message("message/send", "r-1", "hello")).await.status, 200);
    let after = world.connector.until_online().await;
    assert_eq!(after.since, online.since, "it is the same link");
    world.connector.restart().await;
    assert_eq!(world.call(message("message/send", "r-2", "hello")).await.status, 200);
}

#[tokio::test]
async fn an_expired_certificate_of_an_unknown_key_is_refused() {
    let mut world = World::new().await;
    assert_eq!(world.connector.stop().await, 0);
    let own = RawIdentity::load(&world.connector.state_dir(), world.relay.tunnel());
    let stranger = RawIdentity { key: KeyPair::generate().expect("a key"), ..own };
    expired(&world.relay, stranger).save(&world.connector.state_dir());
    world.connector.start_again();
    assert_eq!(world.connector.process().exit_code(SOON).await, 4);
    assert_eq!(
        world.connector.until_state("refused").await.reason.as_deref(),
        Some("UNKNOWN_CREDENTIAL")
    );
}

/// The same key with a certificate of the relay's authority that ended an hour ago.
fn expired(relay: &Relay, identity: RawIdentity) -> RawIdentity {
    let now = SystemTime::now();
    certified(relay, identity, now - 48 * HOUR, now - HOUR)
}

/// The same key with a certificate of the relay's authority for this time.
fn certified(
    relay: &Relay,
    identity: RawIdentity,
    from: SystemTime,
    until: SystemTime,
) -> RawIdentity {
    let authority =
        Authority::open_or_create(&relay.data_dir(), SystemTime::now()).expect("the authority");
    let csr = identity.key.csr_der().expect("a request");
    let signed = authority.sign_agent_valid(&csr, &identity.workspace, from, until);
    RawIdentity { chain: signed.expect("a certificate").chain, ..identity }
}
