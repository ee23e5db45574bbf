//! The rounds: every system in turn under every kind of load, in an order that rotates.

use crate::{
    load::{self, Kind, Stretch},
    rows::Rows,
    systems::System,
};
use std::time::Duration;
use tokio::time::sleep;

/// Between two stretches, so that one's last packets are not the next one's.
const REST: Duration = Duration::from_millis(200);

const SATURATED: &str = "64 callers, keep-alive, closed loop";
const ALONE: &str = "one caller, one request at a time";
const PACED: &str = "2,000 requests a second, open loop";

/// The kinds of load, by the section of the table that tells of them.
const KINDS: [(&str, Kind); 3] =
    [(SATURATED, Kind::Closed(64)), (ALONE, Kind::Closed(1)), (PACED, Kind::Paced(2_000))];

/// Runs all rounds, with the agent's process beside those of each system.
pub(crate) async fn run(
    systems: &[System],
    agent: u32,
    rounds: usize,
    length: Duration,
    rows: &mut Rows,
) {
    for round in 0..rounds {
        for (section, kind) in KINDS {
            for turn in 0..systems.len() {
                let system = &systems[(turn + round) % systems.len()];
                let targets = std::slice::from_ref(&system.target);
                let pids = [system.pids(), vec![agent]].concat();
                let stretch = load::run(kind, targets, length, &pids).await;
                eprintln!(
                    "round {} of {rounds}, {section}, {}: {:.0}/s, p50 {:.0} µs{}",
                    round + 1,
                    system.name,
                    stretch.per_second(),
                    stretch.latency_us(0.5),
                    complaint(&stretch),
                );
                note(section, kind, system, &stretch, rows);
                system.forget_logs();
                sleep(REST).await;
            }
        }
    }
}

/// What went wrong, if something did.
pub(crate) fn complaint(stretch: &Stretch) -> String {
    let example = stretch.example.as_deref().unwrap_or_default();
    if stretch.errors > 0 {
        format!(", {} ERRORS ({example})", stretch.errors)
    } else {
        String::new()
    }
}

fn note(section: &'static str, kind: Kind, system: &System, stretch: &Stretch, rows: &mut Rows) {
    let mut add = |name: &str, unit, value| rows.add(section, name, unit, system.name, value);
    if !matches!(kind, Kind::Closed(1)) {
        add("answers", "1/s", stretch.per_second());
    }
    add("p50", "µs", stretch.latency_us(0.5));
    add("p99", "µs", stretch.latency_us(0.99));
    add("errors", "", stretch.errors as f64);
    if matches!(kind, Kind::Closed(_)) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let others = stretch.used.others_us() / (stretch.took.as_secs_f64() * 1e6 * cores);
        add("machine used by others or stolen", "%", others * 100.0);
        add("CPU per request, whole machine", "µs", stretch.per_answer(stretch.used.machine_us()));
    }
    let sides = system.sides();
    if !sides.is_empty() {
        let total: f64 =
            sides.iter().map(|(_, process)| stretch.used.process_us(process.pid())).sum();
        add("CPU per request, both ends", "µs", stretch.per_answer(total));
    }
    for (side, process) in sides {
        let used = stretch.used.process_us(process.pid());
        add(&format!("CPU per request, {side}"), "µs", stretch.per_answer(used));
    }
}
