//! Configuration files: what they say, what outweighs them, and how their mistakes are told.

mod run;

use crate::command;
use std::{fs, path::Path};
use tempfile::TempDir;
use tests::operator::Output;

fn written(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("relay.toml");
    fs::write(&path, text).expect("written");
    let path = path.to_str().expect("text").to_owned();
    (folder, path)
}

async fn check(path: &str, env: &[(&str, &str)], args: &[&str]) -> Output {
    command::relay_with(env, &[&["check", "--config", path], args].concat()).await
}

fn line<'a>(output: &'a Output, name: &str) -> &'a str {
    let found = output.stdout.lines().find_map(|line| line.trim().strip_prefix(name));
    found.unwrap_or_else(|| panic!("no {name}: {output:?}")).trim()
}

#[tokio::test]
async fn a_flag_outweighs_the_environment_and_that_the_file() {
    let (folder, path) = written(
        "data-dir = \"data\"\nhttp = \"127.0.0.1:1001\"\nadmin = \"127.0.0.1:1002\"\n\
         tunnel = \"127.0.0.1:1003\"\nshards = 2\nsign-cards = true\n\
         admin-token = \"env:MY_TOKEN\"\n",
    );
    let token = ("MY_TOKEN", "an-admin-token-of-the-operator-0123456789");
    let env = [token, ("RELAY_HTTP", "127.0.0.1:2001"), ("RELAY_ADMIN", "127.0.0.1:2002")];
    let output = check(&path, &env, &["--http", "127.0.0.1:3001"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(line(&output, "http"), "127.0.0.1:3001");
    assert_eq!(line(&output, "admin"), "127.0.0.1:2002");
    assert_eq!(line(&output, "tunnel"), "127.0.0.1:1003");
    assert_eq!(line(&output, "shards"), "2");
    // Paths are relative to the file; an empty variable is none; the file may be named there too.
    assert_eq!(Path::new(line(&output, "data")), folder.path().join("data"));
    let env = [token, ("RELAY_TUNNEL", ""), ("RELAY_CONFIG", path.as_str())];
    let output = command::relay_with(&env, &["check"]).await;
    assert_eq!(line(&output, "tunnel"), "127.0.0.1:1003");
}

#[tokio::test]
async fn every_mistake_is_told_at_once_with_its_place() {
    let (_folder, path) = written(
        "http = \"somewhere\"\nshards = 999\nhtpp = 1\ntls_cert = \"x.pem\"\nsign-cards = 7\n\
         admin-token = \"canary-0123456789\"\nlog-format = \"loud\"\n\n[extra]\nshards = 1\n",
    );
    let output = check(&path, &[], &[]).await;
    assert_eq!((output.code, output.stdout.as_str()), (3, ""), "{output:?}");
    for (place, part) in [
        ("1:1", "--http cannot be `somewhere`"),
        ("2:1", "--shards cannot be `999`"),
        ("3:1", "did you mean `http`?"),
        ("4:1", "did you mean `tls-cert`?"),
        ("5:1", "`sign-cards` is to be true or false"),
        ("6:1", "write `admin-token = \"env:NAME\"`"),
        ("7:1", "loud"),
        ("9:2", "`[extra]` is no table"),
    ] {
        let told = format!("{path}:{place}: ");
        let told = output.stderr.lines().find(|line| line.contains(&told));
        assert!(told.is_some_and(|line| line.contains(part)), "{place} {part}: {}", output.stderr);
    }
    assert!(!output.stderr.contains("canary"), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 8, "{}", output.stderr);
}

#[tokio::test]
async fn secrets_come_by_reference_only() {
    for (text, part) in [
        ("data-dir = \"rtok_canary\"", "`data-dir` holds a secret"),
        ("platform-token = \"env:NOT_THERE\"", "is to be in NOT_THERE, which is not set"),
        ("sealing-key = [\"canary\"]", "`sealing-key` is a secret"),
    ] {
        let (_folder, path) = written(text);
        let output = check(&path, &[], &[]).await;
        assert_eq!(output.code, 3, "{output:?}");
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
        assert!(!output.stderr.contains("canary"), "{}", output.stderr);
    }
    let missing = check("/nowhere/relay.toml", &[], &[]).await;
    assert_eq!(missing.code, 3);
    assert!(missing.stderr.contains("no configuration /nowhere/relay.toml"), "{missing:?}");
}
