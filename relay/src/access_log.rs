//! The access log: one line per exchange, gathered and written by a thread of its own.
//!
//! A line of the ordinary log is formatted and written where it arises. At thousands of requests a
//! second that was an eighth of all work, and whoever read the log slowly held up the requests.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::Level;
use tracing_subscriber::filter::Targets;

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
    clock: Clock,
}

/// What a field of a line says. Nothing is escaped: words are ours or of harmless bytes.
#[derive(Clone, Copy)]
pub enum Value<'v> {
    /// A word.
    Word(&'v str),
    /// Something that shows itself as a word.
    Name(&'v dyn Display),
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// There is none: `null`, or `-` for people.
    Nothing,
}

impl Value<'_> {
    /// A time, in whole milliseconds.
    pub fn milliseconds(time: Duration) -> Self {
        Self::Number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(word: Option<&'v str>) -> Self {
        word.map_or(Self::Nothing, Self::Word)
    }
}

impl From<Option<u64>> for Value<'_> {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Nothing, Self::Number)
    }
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

/// Adds a line of these fields.
pub fn line(fields: &[(&str, Value<'_>)]) {
    let Some(log) = LOG.get() else { return };
    let mut waiting = log.lock();
    let Waiting { lines, lost, clock } = &mut *waiting;
    if lines.len() > BYTES_MAX {
        *lost += 1;
        return;
    }
    if lines.is_empty() {
        log.news.notify_one();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    log.format.write(lines, clock, now, fields);
}

/// Writes what waits. For the end of the process.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.write_waiting();
    }
}

impl Format {
    /// Appends a line of the time `now`, since 1970.
    fn write(self, out: &mut String, clock: &mut Clock, now: Duration, line: &[(&str, Value<'_>)]) {
        match self {
            Self::Json => {
                out.push_str("{\"timestamp\":\"");
                clock.write(out, now);
                out.push_str("\",\"level\":\"INFO\",\"fields\":{");
                let mut before = "\"";
                for (name, value) in line {
                    out.push_str(before);
                    out.push_str(name);
                    out.push_str("\":");
                    value.write(out, "\"", "null");
                    before = ",\"";
                }
                out.push_str("},\"target\":\"");
                out.push_str(TARGET);
                out.push_str("\"}\n");
            }
            Self::Text => {
                clock.write(out, now);
                out.push_str("  INFO ");
                out.push_str(TARGET);
                out.push(':');
                for (name, value) in line {
                    out.push(' ');
                    out.push_str(name);
                    out.push('=');
                    value.write(out, "", "-");
                }
                out.push('\n');
            }
        }
    }
}

impl Value<'_> {
    fn write(self, out: &mut String, quote: &str, nothing: &str) {
        match self {
            Self::Nothing => return out.push_str(nothing),
            Self::Flag(true) => return out.push_str("true"),
            Self::Flag(false) => return out.push_str("false"),
            Self::Number(number) => return out.push_str(itoa::Buffer::new().format(number)),
            Self::Word(word) => {
                out.push_str(quote);
                out.push_str(word);
            }
            Self::Name(name) => {
                out.push_str(quote);
                // Writing to a string does not fail.
                let _ = write!(out, "{name}");
            }
        }
        out.push_str(quote);
    }
}

/// Tells the time, RFC 3339 with microseconds. A second is made into text once for all its lines.
#[derive(Debug, Default)]
struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    fn write(&mut self, out: &mut String, now: Duration) {
        let second = now.as_secs();
        if self.second != second || self.text.is_empty() {
            let moment = i64::try_from(second).ok();
            let moment = moment.and_then(|second| UtcDateTime::from_unix_timestamp(second).ok());
            let text = moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default();
            *self = Self { second, text: text.trim_end_matches('Z').to_owned() };
        }
        out.push_str(&self.text);
        out.push('.');
        // Its seven digits are a one and the microseconds with their zeros.
        let mut digits = itoa::Buffer::new();
        let micros = digits.format(1_000_000 + now.subsec_micros()).get(1..);
        out.push_str(micros.unwrap_or_default());
        out.push('Z');
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
            // About as much comes next.
            None => {
                let room = String::with_capacity(self.lines.len());
                mem::replace(&mut self.lines, room)
            }
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
        let line = |format: Format, clock: &mut Clock, now| {
            let mut out = String::new();
            let name = &"ws_1";
            let fields = [
                ("request", Value::Word("r-1")),
                ("workspace", Value::Name(name)),
                ("link", Value::Nothing),
                ("status", Value::Number(200)),
            ];
            format.write(&mut out, clock, now, &fields);
            out
        };
        let clock = &mut Clock::default();
        let json = line(Format::Json, clock, Duration::from_micros(1_700_000_000_000_042));
        assert_eq!(
            json,
            "{\"timestamp\":\"2023-11-14T22:13:20.000042Z\",\"level\":\"INFO\",\"fields\":\
             {\"request\":\"r-1\",\"workspace\":\"ws_1\",\"link\":null,\"status\":200},\
             \"target\":\"relay::access\"}\n"
        );
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
        for (micros, time) in [
            (1_700_000_000_999_999, "2023-11-14T22:13:20.999999Z"),
            (1_700_000_001_000_000, "2023-11-14T22:13:21.000000Z"),
            (0, "1970-01-01T00:00:00.000000Z"),
        ] {
            let text = line(Format::Text, clock, Duration::from_micros(micros));
            let words = "request=r-1 workspace=ws_1 link=- status=200";
            assert_eq!(text, format!("{time}  INFO relay::access: {words}\n"));
        }
    }
}
