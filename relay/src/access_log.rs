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
/// Bytes that are written at a time: whoever reads them slowly must not keep others from standard
/// error for long.
const PIECE_BYTES: usize = 64 * 1024;
/// Between two pieces, so that others come in between.
const PAUSE: Duration = Duration::from_millis(1);
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

    /// Writes what waits by now, in pieces.
    fn write_waiting(&self) {
        let mut left = self.lock().lines.len();
        loop {
            let written = self.write_piece();
            left = left.saturating_sub(written);
            if written == 0 || left == 0 {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        let lost = mem::take(&mut self.lock().lost);
        if lost > 0 {
            tracing::warn!(lost, "access lines were lost: whatever reads the log is too slow");
        }
    }

    /// Writes some lines, and tells how many bytes they had. They are taken behind the lock of standard
    /// error: whoever finds none at the end of the process has waited until the last were written.
    fn write_piece(&self) -> usize {
        let mut stderr = io::stderr().lock();
        let lines = self.lock().take_piece();
        // Nobody can be told that the log cannot be written.
        let _ = stderr.write_all(lines.as_bytes());
        lines.len()
    }
}

impl Waiting {
    /// The first lines, as many as go into one piece.
    fn take_piece(&mut self) -> String {
        let piece = self.lines.as_bytes().get(..PIECE_BYTES);
        match piece.and_then(|piece| piece.iter().rposition(|byte| *byte == b'\n')) {
            Some(newline) => {
                let rest = self.lines.split_off(newline + 1);
                mem::replace(&mut self.lines, rest)
            }
            None => mem::take(&mut self.lines),
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
    fn lines_are_taken_in_pieces_and_none_is_torn() {
        let mut waiting = Waiting::default();
        for number in 0..10_000 {
            writeln!(waiting.lines, "line {number} für alle").unwrap();
        }
        let (all, mut taken) = (waiting.lines.clone(), String::new());
        while !waiting.lines.is_empty() {
            let piece = waiting.take_piece();
            assert!(piece.ends_with('\n') && piece.len() <= PIECE_BYTES, "{}", piece.len());
            taken.push_str(&piece);
        }
        assert!(taken == all && taken.len() > 2 * PIECE_BYTES, "{}", taken.len());
        assert_eq!(waiting.take_piece(), "");
    }

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
