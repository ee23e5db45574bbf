//! A backup is taken from a relay at work, and put back by one command.

use super::clients::{Clients, Refusals};
use crate::command;
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tests::{
    Relay, World,
    chance::{Chance, seed},
    operator::Output,
    world::message,
};

const SOON: Duration = Duration::from_secs(20);
/// How long changes go on around a backup, at most.
const AROUND: Duration = Duration::from_millis(200);

/// Has the relay write a backup, and yields its file.
async fn back_up(relay: &Relay) -> PathBuf {
    let made = relay.cli(&["backup", "--json"]).await.json();
    let path = PathBuf::from(made["path"].as_str().expect("a path"));
    let found = fs::metadata(&path).expect("a backup");
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(found.len(), made["bytes"].as_u64().expect("its length"));
    path
}

/// `relay restore`.
async fn put_back(backup: &Path, data_dir: &Path) -> Output {
    let (backup, data_dir) = (backup.display().to_string(), data_dir.display().to_string());
    command::relay(&["restore", &backup, "--data-dir", &data_dir]).await
}

#[tokio::test]
async fn backups_of_a_relay_at_work_hold_all_that_was_acknowledged_before() {
    const BACKUPS: usize = 8;
    let mut relay = Relay::start().await;
    let mut chance = Chance::seeded(seed("backups at work"));
    let mut quiet = Clients::named(&relay, "quiet", 2, &mut chance);
    for number in 0..BACKUPS {
        quiet.work(25).await;
        // Others go on meanwhile, and of them nothing can be said.
        let mut busy = Clients::named(&relay, &format!("busy{number}"), 3, &mut chance);
        let (mut backup, wait) = (PathBuf::new(), chance.up_to(AROUND));
        let meanwhile = async {
            tokio::time::sleep(wait).await;
            backup = back_up(&relay).await;
        };
        busy.work_until(Refusals::Certain, meanwhile).await;
        let in_use = put_back(&backup, &relay.data_dir()).await;
        assert_eq!(in_use.code, 3, "{in_use:?}");
        assert!(in_use.stderr.contains("in use by another process"), "{in_use:?}");
        // It may also have ended without order, its log beside its store.
        relay.kill9();
        let restored = put_back(&backup, &relay.data_dir()).await;
        assert_eq!(restored.code, 0, "{restored:?}");
        quiet.start_again(&mut relay).await;
        quiet.compare_all().await;
    }
    eprintln!("{BACKUPS} backups put back: {}", quiet.tally());
}

#[tokio::test]
async fn a_backup_put_back_brings_back_agents_tokens_and_secrets_by_their_key_alone() {
    let mut world = World::builder().lasting_ports().start().await;
    let id = world.workspace.workspace_id.clone();
    let secrets = format!("GET /workspaces/{id}/secrets/values");
    let set = async |relay: &Relay, value: &str| {
        let body = json!({"value": value});
        relay.operate(&format!("PUT /workspaces/{id}/secrets/KEY"), Some(&body)).await;
    };
    let new_token = async |relay: &Relay| {
        let made = relay.operate(&format!("POST /workspaces/{id}/tokens"), None).await;
        made["auth_token"].as_str().expect("a token").to_owned()
    };
    set(&world.relay, "canary-before").await;
    let kept = new_token(&world.relay).await;
    let said = world.relay.cli(&["backup"]).await;
    assert!(said.code == 0 && said.stdout.contains("sealing-key"), "{said:?}");
    let backup = back_up(&world.relay).await;
    let bytes = fs::read(&backup).expect("a backup");
    for canary in ["canary-before", kept.as_str()] {
        let found = bytes.windows(canary.len()).any(|bytes| bytes == canary.as_bytes());
        assert!(!found, "the backup alone tells {canary:.6}…");
    }

    set(&world.relay, "canary-after").await;
    let later = new_token(&world.relay).await;
    let link = world.connector.status().expect("a status");
    assert_eq!(world.relay.stop().await, 0);
    let data_dir = world.relay.data_dir();
    let restored = put_back(&backup, &data_dir).await;
    assert_eq!(restored.code, 0, "{restored:?}");
    assert!(restored.stdout.contains("relay.db.replaced-"), "{restored:?}");
    world.relay.start_again_on_same_ports().await;
    world.connector.until_online_again(&link, SOON).await;
    let answer = world.call(message("message/send", "m", "hello")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let before = json!({"KEY": "canary-before"});
    assert_eq!(world.relay.api(&kept, &secrets, None).await.json(), before);
    assert_eq!(world.relay.api(&later, &secrets, None).await.status, 401);

    // Without the key that sealed them, secrets are told to be shut, and stay what they are.
    assert_eq!(world.relay.stop().await, 0);
    let (key, away) = (data_dir.join("sealing-key"), data_dir.join("sealing-key.away"));
    fs::rename(&key, &away).expect("the key");
    world.relay.start_again_on_same_ports().await;
    let shut = world.relay.api(&kept, &secrets, None).await;
    assert_eq!((shut.status, shut.relay_error()), (503, Some("RELAY_STORE_UNAVAILABLE")));
    let detail: Value = shut.json();
    assert!(detail["detail"].as_str().is_some_and(|text| text.contains("KEY")), "{detail}");
    assert_eq!(world.relay.stop().await, 0);
    fs::rename(&away, &key).expect("the key");
    world.relay.start_again_on_same_ports().await;
    assert_eq!(world.relay.api(&kept, &secrets, None).await.json(), before);
}
