//! Finds the binaries beside the running test, built afresh once for each test process.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The `relay` binary.
#[must_use]
pub fn relay() -> PathBuf {
    folder().join("relay")
}

/// The `agent-connector` binary.
#[must_use]
pub fn agent_connector() -> PathBuf {
    folder().join("agent-connector")
}

/// The mock agent as a program of its own.
#[must_use]
pub fn mock_agent() -> PathBuf {
    folder().join("mock-agent")
}

/// Keeps the tester's own surroundings out of a program: its variables (by their prefix) and all
/// proxies. `HARNESS_LOG=FILTER` becomes its log filter.
pub fn isolate(command: &mut Command, prefix: &str) {
    const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with(prefix) || PROXIES.contains(&text.to_lowercase().as_str()) {
            command.env_remove(&name);
        }
    }
    if let Some(filter) = std::env::var("HARNESS_LOG").ok().filter(|filter| filter != "1") {
        command.env(format!("{prefix}LOG"), filter);
    }
}

/// The folder of the binaries. The first use builds them, so that they are never stale.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(ready) = std::env::var_os("HARNESS_BIN_DIR") {
            return PathBuf::from(ready);
        }
        let folder = profile_folder(&std::env::current_exe().expect("this program has a path"));
        build(&folder);
        folder
    })
}

/// `…/target/debug` of `…/target/debug/deps/test-1234` (or of `…/target/debug/program`).
fn profile_folder(program: &Path) -> PathBuf {
    let folder = program.parent().expect("a program is in a folder");
    let nested = folder.ends_with("deps") || folder.ends_with("examples");
    if nested { folder.parent().expect("deps is in a folder") } else { folder }.to_owned()
}

/// Variables that cargo sets for a test. Build scripts of dependencies watch some of them, and would
/// be run anew, with all that depends on them, if the nested cargo saw them.
const OF_THE_TEST: [&str; 6] = [
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_BIN_",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_TARGET_TMPDIR",
];

/// The selection includes this crate, so that features are unified as in the test build and little
/// is compiled twice.
fn build(folder: &Path) {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(profile) => profile,
        None => panic!("{} is no target folder", folder.display()),
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-p", "relay", "-p", "agent-connector", "-p", "tests", "--bins"]);
    cargo.args(["--profile", profile]).current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.env("CARGO_TARGET_DIR", folder.parent().expect("a profile is in a target folder"));
    for (name, _) in std::env::vars_os() {
        if OF_THE_TEST.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    let output = cargo.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the binaries do not build:\n{said}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_profile_folder() {
        for program in ["/t/debug/deps/x-1", "/t/debug/x", "/t/debug/examples/x"] {
            assert_eq!(profile_folder(Path::new(program)), Path::new("/t/debug"));
        }
    }
}
