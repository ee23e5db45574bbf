//! The one place that writes to standard output and standard error, besides the log.

use std::io::{self, Write};

use serde_json::Value;

/// Writes one line for people or programs. Who closed the other end of a pipe wants no more.
pub fn line(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Writes JSON, indented.
pub fn json(value: &Value) {
    line(&format!("{value:#}"));
}

/// Writes one line beside the output, for people.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What an agent or a remote relay says, safe to show: no escape sequence reaches the terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_pass() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
