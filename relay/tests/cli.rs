//! The program as it is typed: help, usage, and the exit codes of what cannot work.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

fn relay(folder: &Path, words: &[&str]) -> std::io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RELAY_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).args(words).output()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_command_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    for words in [
        &["--help"][..],
        &["--version"],
        &["serve", "--help"],
        &["demo", "--help"],
        &["check", "--help"],
        &["workspace", "--help"],
        &["workspace", "add", "--help"],
        &["workspace", "list", "--help"],
        &["workspace", "show", "--help"],
        &["workspace", "join", "--help"],
        &["workspace", "rename", "--help"],
        &["workspace", "set", "--help"],
        &["workspace", "revoke", "--help"],
        &["workspace", "remove", "--help"],
    ] {
        let output = relay(folder.path(), words).unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        assert!(text(&output.stdout).contains("relay"), "{words:?}: {output:?}");
    }
}

#[test]
fn what_cannot_be_understood_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for words in [
        &[][..],
        &["nonsense"],
        &["serve", "--nonsense"],
        &["workspace"],
        &["workspace", "add"],
        &["workspace", "add", "x", "--callers", "nobody"],
        &["workspace", "join", "x", "--expires", "soon"],
    ] {
        let output = relay(folder.path(), words).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    }
}

#[test]
fn a_wrong_configuration_lists_every_mistake_and_ends_with_3() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["serve", "check"] {
        let words = [command, "--http", "here", "--shards", "0", "--log-format", "xml"];
        let output = relay(folder.path(), &words).unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let told = text(&output.stderr);
        for flag in ["--http", "--shards", "--log-format"] {
            assert!(told.contains(flag), "{command} does not name {flag}: {told}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_right_configuration_is_checked_and_nothing_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        relay(folder.path(), &["check", "--public-url", "https://relay.example.com"]).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn without_a_relay_the_workspace_commands_end_with_5() {
    let folder = tempfile::tempdir().unwrap();
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("http://127.0.0.1:{port}");
    for words in [
        &["add", "x"][..],
        &["list"],
        &["show", "x"],
        &["join", "x"],
        &["rename", "x", "y"],
        &["set", "x", "--new-address"],
        &["revoke", "x"],
        &["remove", "x"],
    ] {
        let words = [&["workspace"], words, &["--url", &url]].concat();
        let output = relay(folder.path(), &words).unwrap();
        assert_eq!(output.status.code(), Some(5), "{words:?}: {output:?}");
        assert!(text(&output.stderr).contains("relay serve"), "{output:?}");
    }
    let output =
        relay(folder.path(), &["workspace", "list", "--url", "ftp://127.0.0.1:1"]).unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn the_demonstration_works_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    command.args(["demo", "--once"]).env("TMPDIR", folder.path()).current_dir(folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = text(&output.stdout);
    assert!(told.contains("event 5: completed") && told.contains("curl"), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left");
}
