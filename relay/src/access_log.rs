//! The access log: one line per exchange, gathered and written by a thread of its own.
//!
//! A line of the ordinary log is formatted and written where it arises. At thousands of requests a
//! second that was an eighth of all work, and whoever read the log slowly held up the requests.

use std::fmt::{Arguments, Write as _};
use std::io::{self, Write as _};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::logging::Format;

/// The target of its lines, for the filter.
const TARGET: &str = "relay::access";
/// Lines are gathered for this long before they are written.
const GATHERING: Duration = Duration::from_millis(20);
/// Bytes of lines that may wait, some ten thousand: whoever reads them slowly loses the rest.
const BYTES_MAX: usize = 2 * 1024 * 1024;

static LOG: OnceLock<AccessLog> = OnceLock::new();

/// Where lines wait until they are written.
#[derive(Debug)]
struct AccessLog {
    format: Format,
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: String,
    lost: u64,
}

/// Begins to write lines, if the filter wants them. The first call of the process holds.
pub fn begin(format: Format, filter: &Targets) {
    if !filter.would_enable(TARGET, &Level::INFO) {
        return;
    }
    let log = AccessLog { format, waiting: Mutex::default(), news: Condvar::new() };
    if LOG.set(log).is_ok() {
        // It ends with the process. Where no thread can be had, lines are written at the end.
        let _ = std::thread::Builder::new().name("access-log".into()).spawn(write_for_ever);
    }
}

/// Whether anybody wants lines.
pub fn is_on() -> bool {
    LOG.get().is_some()
}

/// Adds a line. `json` are its fields as members of an object, `text` as words.
pub fn line(json: Arguments<'_>, text: Arguments<'_>) {
    let Some(log) = LOG.get() else { return };
    let mut waiting = log.lock();
    if waiting.lines.len() > BYTES_MAX {
        waiting.lost += 1;
        return;
    }
    if waiting.lines.is_empty() {
        log.news.notify_one();
    }
    // Writing to a string does not fail.
    let _ = log.format.write(&mut waiting.lines, json, text);
}

/// Writes what waits. For the end of the process.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.write_waiting();
    }
}

impl Format {
    fn write(self, out: &mut String, json: Arguments<'_>, text: Arguments<'_>) -> std::fmt::Result {
        match self {
            Self::Json => {
                out.push_str("{\"timestamp\":\"");
                SystemTime.format_time(&mut Writer::new(out))?;
                writeln!(
                    out,
                    "\",\"level\":\"INFO\",\"fields\":{{{json}}},\"target\":\"{TARGET}\"}}"
                )
            }
            Self::Text => {
                SystemTime.format_time(&mut Writer::new(out))?;
                writeln!(out, "  INFO {TARGET}: {text}")
            }
        }
    }
}

impl AccessLog {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_waiting(&self) {
        let Waiting { lines, lost } = mem::take(&mut *self.lock());
        // Nobody can be told that the log cannot be written.
        let _ = io::stderr().lock().write_all(lines.as_bytes());
        if lost > 0 {
            tracing::warn!(lost, "access lines were lost: whatever reads the log is too slow");
        }
    }
}

fn write_for_ever() {
    let Some(log) = LOG.get() else { return };
    loop {
        let waiting = log.lock();
        let none = |waiting: &mut Waiting| waiting.lines.is_empty();
        drop(log.news.wait_while(waiting, none).unwrap_or_else(PoisonError::into_inner));
        std::thread::sleep(GATHERING);
        log.write_waiting();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_or_one_line_of_words() {
        let mut json = String::new();
        Format::Json
            .write(&mut json, format_args!("\"status\":{}", 200), format_args!(""))
            .unwrap();
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(line["fields"]["status"], 200);
        assert_eq!((&line["level"], &line["target"]), (&"INFO".into(), &TARGET.into()));
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{json}");
        let mut text = String::new();
        Format::Text.write(&mut text, format_args!(""), format_args!("status={}", 200)).unwrap();
        assert!(text.ends_with("INFO relay::access: status=200\n"), "{text}");
    }
}
