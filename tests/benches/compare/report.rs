//! The report: a table for people, JSON for programs. It says what was measured and nothing more.

use crate::{
    options::Options,
    rows::{Row, Rows, Spread},
    setting::Setting,
    systems::{self, RATHOLE_INSTALL},
};
use serde_json::{Value, json};

const NOTES: &str = "\
Each figure is the median of its rounds, with the smallest and the largest in brackets; a ratio is
the median of the rounds' own ratios. All of it ran on this one machine over loopback: callers,
tunnel and agent share its cores, so ratios mean more than figures. Far end: relay, rathole server.
Near end: agent-connector, rathole client. CPU is what the scheduler counted for the tunnel's own
processes; for the whole machine it is sampled, callers, agent and others included. What others
used says how quiet the machine was: with more than a few percent, run it again. A latency counts
from the moment a request was due. The logs of all programs go to files.";

/// What is said when there is no rathole.
pub(crate) fn absence() -> String {
    format!(
        "rathole: not found, so not measured. Install it with\n  {RATHOLE_INSTALL}\n\
         (no OpenSSL needed; leave out --locked, its lock file no longer builds), or name it in RATHOLE."
    )
}

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
    if !setting.lines().any(|(name, what)| name == "rathole" && what != "absent") {
        text += &format!("\n{}\n", absence());
    }
    let mut section = "";
    for row in rows.iter() {
        if row.section() != section {
            section = row.section();
            text += &format!("\n{}\n", header(section));
        }
        text += &format!("{}\n", line(row));
    }
    text
}

fn header(section: &str) -> String {
    let [first, second, third] = systems::NAMES.map(|name| format!("{name:>26}"));
    format!("{section:<44}{first}{second}{third}{:>14}{:>13}", "ours/rathole", "ours/direct")
}

fn line(row: &Row) -> String {
    let mut line = format!("  {:<42}", row.title());
    for name in systems::NAMES {
        let cell = row.spread(name).map_or_else(|| "–".to_owned(), cell);
        line += &format!("{cell:>26}");
    }
    for (other, width) in [("rathole", 14), ("direct", 13)] {
        let ratio = row.ratio("ours", other);
        let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{:.2}", ratio.median));
        line += &format!("{ratio:>width$}");
    }
    line
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
