//! Server-sent events out of body bytes, however they are cut.

use std::time::Instant;

/// One event of a stream.
#[derive(Clone, Debug)]
pub struct Event {
    /// When its last byte came.
    pub at: Instant,
    /// Its `event:` name.
    pub name: Option<String>,
    /// Its `id:`.
    pub id: Option<String>,
    /// Its `data:` lines, joined by line feeds.
    pub data: String,
}

impl Event {
    /// The data as JSON.
    ///
    /// # Panics
    /// Shows the data when it is no JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let data = &self.data;
        serde_json::from_str(data).unwrap_or_else(|e| panic!("no JSON ({e}): {data}"))
    }
}

/// Collects bytes and yields events.
#[derive(Debug, Default)]
pub struct EventParser {
    buffer: Vec<u8>,
    comments: usize,
}

impl EventParser {
    /// Takes in the next bytes of the body.
    pub fn add(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Comment lines (keep-alives) seen so far.
    #[must_use]
    pub fn comments(&self) -> usize {
        self.comments
    }

    /// Bytes that belong to no whole event yet.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.buffer
    }

    /// The next whole event.
    pub fn next_event(&mut self) -> Option<Event> {
        while let Some(end) = block_end(&self.buffer) {
            let block: Vec<u8> = self.buffer.drain(..end).collect();
            if let Some(event) = self.read_block(&String::from_utf8_lossy(&block)) {
                return Some(event);
            }
        }
        None
    }

    /// The event of one block; comments alone make none.
    fn read_block(&mut self, block: &str) -> Option<Event> {
        let (mut name, mut id, mut data) = (None, None, Vec::new());
        for line in block.lines().filter(|line| !line.is_empty()) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => self.comments += 1,
                "event" => name = Some(value.to_owned()),
                "id" => id = Some(value.to_owned()),
                "data" => data.push(value),
                _ => {}
            }
        }
        (!data.is_empty()).then(|| Event { at: Instant::now(), name, id, data: data.join("\n") })
    }
}

/// The end of the first block with its blank line.
fn block_end(buffer: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    for (at, _) in buffer.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        if buffer[line_start..at].trim_ascii().is_empty() {
            return Some(at + 1);
        }
        line_start = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_and_comments_are_counted() {
        let wire =
            b": hello\n\nevent: a\nid: 7\ndata: one\ndata: two\n\ndata:three\r\n\r\ndata: hal";
        let mut parser = EventParser::default();
        let mut seen = Vec::new();
        for byte in wire {
            parser.add(&[*byte]);
            seen.extend(parser.next_event());
        }
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].name.as_deref(), seen[0].id.as_deref()), (Some("a"), Some("7")));
        assert_eq!((seen[0].data.as_str(), seen[1].data.as_str()), ("one\ntwo", "three"));
        assert_eq!((parser.comments(), parser.rest()), (1, &b"data: hal"[..]));
    }
}
