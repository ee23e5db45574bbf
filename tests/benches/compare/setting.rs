//! What a figure depends on: the machine, the day, the versions.

use crate::peers::PEERS;
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};
use tests::binaries;

/// Where and with what a run took place, in the order to print it.
pub(crate) struct Setting(Vec<(&'static str, String)>);

impl Setting {
    /// Reads it now, before any load.
    pub(crate) fn read() -> Setting {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let memory = field("/proc/meminfo", "MemTotal:").and_then(|text| {
            let kib: u64 = text.split_whitespace().next()?.parse().ok()?;
            Some(format!("{:.1} GiB", kib as f64 / 1_048_576.0))
        });
        let unknown = || "unknown".to_owned();
        let version =
            |program: &Path| said(program, &["--version"]).unwrap_or_else(|| "unknown".to_owned());
        let mut setting = Setting(vec![
            ("date", date()),
            ("processor", field("/proc/cpuinfo", "model name").unwrap_or_else(unknown)),
            ("cores", cores.to_string()),
            ("memory", memory.unwrap_or_else(unknown)),
            ("kernel", file("/proc/sys/kernel/osrelease").unwrap_or_else(unknown)),
            ("load average before", file("/proc/loadavg").unwrap_or_else(unknown)),
            ("relay", version(&binaries::relay())),
            ("agent-connector", version(&binaries::agent_connector())),
            ("log filter", std::env::var("HARNESS_LOG").unwrap_or_else(|_| "default".to_owned())),
        ]);
        for peer in &PEERS {
            setting.0.push((peer.name, peer.version().unwrap_or_else(|| "not here".to_owned())));
        }
        setting
    }

    /// Each name and what it is.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (*name, text.as_str()))
    }

    /// All of it.
    pub(crate) fn json(&self) -> Value {
        self.0.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect()
    }
}

fn file(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = file(path)?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.trim_start_matches([':', ' ', '\t']).to_owned())
}

/// The first line that a command prints.
fn said(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

/// Today in UTC, by the calendar's cycle of 400 years.
fn date() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let days = since / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let (hour, minute) = (since / 3_600 % 24, since / 60 % 60);
    format!("{:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC", era * 400 + year + next)
}
