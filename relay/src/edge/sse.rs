//! Where the events of a `text/event-stream` end (WHATWG HTML, 9.2.5), followed across chunks.

/// Follows a stream and knows whether it stands between two events.
#[derive(Debug, Clone)]
pub struct EventBoundary {
    line: Line,
    /// No line of a further event has begun.
    between: bool,
    /// The event that has begun has data; without, it is none.
    data: bool,
    events: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// At the start of a line.
    Empty,
    /// Within a line.
    Begun,
    /// Behind a CR, which ended a line; a LF that follows belongs to it.
    AfterCr,
}

impl Default for EventBoundary {
    fn default() -> Self {
        Self { line: Line::Empty, between: true, data: false, events: 0 }
    }
}

impl EventBoundary {
    /// Follows the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match (byte, self.line) {
                (b'\n', Line::AfterCr) => self.line = Line::Empty,
                (b'\n' | b'\r', line) => {
                    // An empty line ends an event.
                    self.between = line != Line::Begun;
                    if self.between && std::mem::take(&mut self.data) {
                        self.events += 1;
                    }
                    self.line = if *byte == b'\r' { Line::AfterCr } else { Line::Empty };
                }
                (first, line) => {
                    // Of the fields that mean something, `data` alone begins so.
                    self.data |= line != Line::Begun && *first == b'd';
                    self.line = Line::Begun;
                    self.between = false;
                }
            }
        }
    }

    /// Events that were complete so far, without comments.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Whether a further event may be put in here.
    pub const fn is_between_events(&self) -> bool {
        self.between
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(text: &str) -> bool {
        let mut whole = EventBoundary::default();
        whole.push(text.as_bytes());
        let mut pieces = EventBoundary::default();
        for byte in text.bytes() {
            pieces.push(&[byte]);
        }
        assert_eq!(whole.is_between_events(), pieces.is_between_events(), "{text:?}");
        whole.is_between_events()
    }

    #[test]
    fn events_are_counted_and_comments_are_not() {
        for (text, events) in [
            ("", 0),
            ("data: 1\n\n", 1),
            ("data: 1\r\n\r\nid: 2\rdata: 2\r\r: ping\n\n", 2),
            (": data\n\nid: 1\n\nretry: 9\n\n\n\n", 0),
            ("event: x\ndata\ndata:\n\ndata: half\n", 1),
            ("x: data\n\n", 0),
        ] {
            let mut boundary = EventBoundary::default();
            for byte in text.bytes() {
                boundary.push(&[byte]);
            }
            assert_eq!(boundary.events(), events, "{text:?}");
        }
    }

    #[test]
    fn an_empty_line_ends_an_event_in_each_of_the_three_spellings() {
        for text in
            ["", "data: 1\n\n", "data: 1\r\n\r\n", "data: 1\r\r", ": ping\n\n", "\n", "a\n\nb\n\n"]
        {
            assert!(between(text), "{text:?}");
        }
        for text in
            ["d", "data: 1\n", "data: 1\r\n", "data: 1\r", "a\n\nb", "a\n\nb\n", "a\n\nb\r\n"]
        {
            assert!(!between(text), "{text:?}");
        }
    }
}
