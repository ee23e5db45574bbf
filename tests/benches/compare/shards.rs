//! How two shards share the work: one relay with several agents, each thread's time apart.

use crate::{
    load::{self, Kind, Target},
    rounds::complaint,
    rows::Rows,
};
use std::time::Duration;
use tests::{Connector, Relay};

const SECTION: &str = "relay with --shards 2, four agents, 64 callers";
/// Enough that chance rarely puts all links on one shard.
const AGENTS: usize = 4;

/// Saturates such a relay once and notes how busy each shard was.
pub(crate) async fn run(agent: u16, length: Duration, rows: &mut Rows) {
    let logs = tempfile::tempdir().expect("a folder");
    let log = |name: String| logs.path().join(name);
    let relay = Relay::builder().args(["--shards", "2"]).log_file(log("far.log".into()));
    let relay = relay.start().await;
    let (mut connectors, mut targets) = (Vec::new(), Vec::new());
    for number in 0..AGENTS {
        let workspace = relay.add_workspace(&format!("agent-{number}"), &[]).await;
        targets.push(Target::new(&workspace.endpoint()));
        let connector = Connector::builder(&workspace.join, agent);
        let connector = connector.log_file(log(format!("near-{number}.log")));
        connectors.push(connector.start_online().await);
    }
    let pid = relay.process().pid();
    let stretch = load::run(Kind::Closed(64), &targets, length, &[pid]).await;
    eprintln!("{SECTION}: {:.0}/s{}", stretch.per_second(), complaint(&stretch));
    let mut add = |name: &str, unit, value| rows.add(SECTION, name, unit, "ours", value);
    add("answers", "1/s", stretch.per_second());
    add("errors", "", stretch.errors as f64);
    let wall_us = stretch.took.as_secs_f64() * 1e6;
    for shard in ["shard-0", "shard-1"] {
        let busy = stretch.used.thread_us(pid, shard) / wall_us;
        add(&format!("{shard} busy"), "% of a core", busy * 100.0);
    }
}
