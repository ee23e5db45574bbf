//! What lies on disk: identities to choose from, locks, and files that somebody broke.

use crate::command;
use std::{fs, path::Path, time::Duration};
use tests::{RawIdentity, Relay, World};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn several_identities_without_a_choice_are_listed() {
    let relay = Relay::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let workspace = relay.add_workspace(name, &[]).await;
        RawIdentity::join(&workspace.join).await.save(folder.path());
        ids.push(workspace.workspace_id);
    }
    let state = folder.path().display().to_string();
    let refused = command::connector(&["http", "9", "--state-dir", &state], "").await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(ids.iter().all(|id| refused.stderr.contains(id)), "{refused:?}");
}

#[tokio::test]
async fn a_second_connector_with_the_same_state_directory_is_told_about_the_first() {
    let world = World::new().await;
    let state = world.connector.state_dir().display().to_string();
    let refused = command::connector(&["http", "9", "--state-dir", &state], "").await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("Another connector is running"), "{refused:?}");
    assert!(refused.stderr.contains(&world.workspace.workspace_id), "{refused:?}");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_broken_identity_is_named_and_left_as_it_is() {
    let mut world = World::new().await;
    assert_eq!(world.connector.stop().await, 0);
    let folder = world.connector.state_dir().join(&world.workspace.workspace_id);
    for (name, broken) in [
        ("identity.json", &b"{\"version\":1,"[..]),
        ("identity.json", b""),
        ("credential.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("credential.pem", b"\x00\xff\x00"),
    ] {
        let path = folder.join(name);
        let good = fs::read(&path).expect("a file");
        fs::write(&path, broken).expect("a broken file");
        world.connector.start_again();
        assert_eq!(world.connector.process().exit_code(SOON).await, 3, "{name}");
        let named = path.display().to_string();
        world.connector.process().wait_for_line(|line| line.contains(&named), SOON).await;
        assert_eq!(fs::read(&path).expect("a file"), broken, "{name} was touched");
        fs::write(&path, good).expect("the good file");
    }
    world.connector.start_again();
    world.connector.until_online().await;
}

#[tokio::test]
async fn a_broken_store_is_named_and_left_as_it_is() {
    let relay = Relay::start().await;
    relay.add_workspace("kept", &[]).await;
    assert_eq!(relay.stop().await, 0);
    let path = relay.data_dir().join("relay.db");
    let good = fs::read(&path).expect("a store");
    let mut torn = good.clone();
    torn.truncate(good.len() / 2);
    let flipped: Vec<u8> =
        good.iter().enumerate().map(|(at, byte)| if at >= 4096 { !byte } else { *byte }).collect();
    for (what, broken) in [
        ("empty", &[][..]),
        ("garbage", &b"no store at all"[..]),
        ("torn", &torn),
        ("flipped", &flipped),
    ] {
        fs::write(&path, broken).expect("a broken store");
        let refused = serve(&relay.data_dir()).await;
        assert_eq!(refused.code, 3, "{what}: {refused:?}");
        assert!(refused.stderr.contains(&path.display().to_string()), "{what}: {refused:?}");
        assert_eq!(fs::read(&path).expect("a store"), broken, "{what}: the store was touched");
    }
    let key = relay.data_dir().join("ca.key");
    fs::write(&path, good).expect("the good store");
    fs::write(&key, "no key").expect("a broken key");
    let refused = serve(&relay.data_dir()).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains(&key.display().to_string()), "{refused:?}");
    assert_eq!(fs::read(&key).expect("a file"), b"no key");
}

#[tokio::test]
async fn two_relays_do_not_share_a_data_directory() {
    let relay = Relay::start().await;
    let refused = serve(&relay.data_dir()).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("in use by another process"), "{refused:?}");
    relay.add_workspace("unharmed", &[]).await;
}

/// `relay serve` on free ports, which must end by itself.
async fn serve(data_dir: &Path) -> tests::operator::Output {
    let data_dir = data_dir.display().to_string();
    let free = "127.0.0.1:0";
    let args =
        ["serve", "--data-dir", &data_dir, "--http", free, "--tunnel", free, "--admin", free];
    command::relay(&args).await
}

#[tokio::test]
async fn a_connector_without_any_identity_says_how_to_get_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state").display().to_string();
    let refused = command::connector(&["http", "9", "--state-dir", &state], "").await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("relay workspace add"), "{refused:?}");
}
