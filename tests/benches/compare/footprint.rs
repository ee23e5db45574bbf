//! What a tunnel weighs: programs on disk, time to start, resident memory idle and after load.

use crate::{
    rows::Rows,
    systems::{self, System},
};
use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use tests::{Connector, Process, Relay, relay};

const SECTION: &str = "footprint";
/// How long a start may take.
const START: Duration = Duration::from_secs(20);
/// Between two looks at whether it has started: the resolution of the figure.
const LOOK: Duration = Duration::from_micros(200);

/// The sizes of a system's programs.
pub(crate) fn sizes(name: &'static str, rows: &mut Rows) {
    for (side, program) in systems::programs(name) {
        let size = fs::metadata(&program).unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let row = format!("program file, {side}");
        rows.add(SECTION, &row, "MB", name, size.len() as f64 / 1e6);
    }
}

/// The resident memory of a system's processes; `when` is part of the rows' names.
pub(crate) fn memory(system: &System, when: &str, rows: &mut Rows) {
    for (side, process) in system.sides() {
        let row = format!("resident memory {when}, {side}");
        rows.add(SECTION, &row, "MB", system.name, process.rss_bytes() as f64 / 1e6);
    }
}

/// From the start of a process to its readiness: a relay that listens, a connector that is online.
/// Each is started new, and again with what it keeps on disk.
pub(crate) async fn starts(agent: u16, rows: &mut Rows) {
    let mut add = |name: &str, ms| rows.add(SECTION, name, "ms", "ours", ms);
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["first start to listening, far end", "later start to listening, far end"] {
        let file = folder.path().join("urls.json");
        let mut command: Command = relay::program(folder.path());
        command.args(["serve", "--data-dir", "data", "--http", "127.0.0.1:0"]);
        command.args(["--tunnel", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.arg("--url-file").arg(&file);
        let begun = Instant::now();
        let process = Process::spawn("relay", command);
        add(name, until_ms(begun, "the relay listens", || file.exists()));
        process.terminate();
        assert_eq!(process.exit_code(START).await, 0, "the relay ends in order");
        let _ = fs::remove_file(file);
    }
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("bench", &[]).await;
    let online =
        |connector: &Connector| connector.status().is_some_and(|status| status.state == "online");
    let begun = Instant::now();
    let mut connector = Connector::builder(&workspace.join, agent).start();
    let took = until_ms(begun, "the connector is online", || online(&connector));
    add("first start to online, near end", took);
    connector.stop().await;
    let begun = Instant::now();
    connector.start_again();
    let took = until_ms(begun, "the connector is online", || online(&connector));
    add("later start to online, near end", took);
}

/// How long it took from `begun` until the fact held.
fn until_ms(begun: Instant, fact: &str, holds: impl Fn() -> bool) -> f64 {
    while !holds() {
        assert!(begun.elapsed() < START, "not within {START:?}: {fact}");
        thread::sleep(LOOK);
    }
    begun.elapsed().as_secs_f64() * 1_000.0
}
