//! The report: a table for people, JSON for programs. It says what was measured and nothing more.

use crate::{
    options::Options,
    peers::PEERS,
    rows::{Row, Rows, Spread},
    setting::Setting,
    systems,
};
use serde_json::{Value, json};

const NOTES: &str = "\
Each figure is the median of its rounds, with the smallest and the largest in brackets; a ratio is
the median of the rounds' own ratios. All of it ran on this one machine over loopback: callers,
tunnel and agent share its cores, so ratios mean more than figures. Far end: what callers reach, as
our relay. Near end: what is beside the agent, as our agent-connector. CPU is what the scheduler counted for the tunnel's own
processes; for the whole machine it is sampled, callers, agent and others included. What others
used says how quiet the machine was: with more than a few percent, run it again. A latency counts
from the moment a request was due. The logs of all programs go to files.";

/// The table.
pub(crate) fn table(options: &Options, setting: &Setting, rows: &Rows) -> String {
    let mut text = String::new();
    for (name, what) in setting.lines() {
        text += &format!("{name:<20} {what}\n");
    }
    text += &format!(
        "{:<20} {} rounds of {} s for each system and kind of load\n\n{NOTES}\n",
        "run",
        options.rounds,
        options.length.as_secs()
    );
    for (name, args) in [("relay", &options.relay_args), ("connector", &options.connector_args)] {
        if !args.is_empty() {
            text += &format!("\nThe {name} under load ran with: {}\n", args.join(" "));
        }
    }
    let absent =
        options.only.iter().filter_map(|name| PEERS.iter().find(|peer| peer.name == *name));
    for peer in absent {
        let said = if peer.find().is_some() {
            format!("{}: {}", peer.name, peer.what)
        } else {
            peer.absence()
        };
        text += &format!("\n{said}\n");
    }
    let mut section = "";
    for row in rows.iter() {
        if row.section() != section {
            section = row.section();
            text += &format!("\n{section}\n");
        }
        text += &format!("{}\n", line(row));
    }
    text
}

fn line(row: &Row) -> String {
    let mut text = format!("  {}", row.title());
    for name in systems::names() {
        let Some(spread) = row.spread(name) else { continue };
        text += &format!("\n    {name:<16}{:>26}", cell(spread));
        if let Some(ratio) = row.ratio("ours", name).filter(|_| name != "ours") {
            text += &format!("   ours/{name} {:.2}", ratio.median);
        }
    }
    text
}

fn cell(spread: Spread) -> String {
    let Spread { median, min, max } = spread;
    if min.total_cmp(&max).is_eq() {
        return short(median);
    }
    format!("{} ({}–{})", short(median), short(min), short(max))
}

/// Three digits or so.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        0.0 | 100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// All of it for programs.
pub(crate) fn json(options: &Options, setting: &Setting, rows: &Rows) -> Value {
    json!({
        "setting": setting.json(),
        "rounds": options.rounds,
        "seconds": options.length.as_secs(),
        "systems": options.only,
        "idle_agents": options.agents,
        "relay_args": options.relay_args,
        "connector_args": options.connector_args,
        "rows": rows.iter().map(Row::json).collect::<Value>(),
    })
}
