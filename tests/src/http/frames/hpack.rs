//! As much of HPACK (RFC 7541) as raw frames need: literals out, an answer's few fields in.

/// The names of the static table that an answer of the relay may refer to.
const STATIC_NAMES: [(usize, &str); 9] = [
    (22, "allow"),
    (24, "cache-control"),
    (28, "content-length"),
    (31, "content-type"),
    (33, "date"),
    (53, "retry-after"),
    (54, "server"),
    (60, "via"),
    (61, "www-authenticate"),
];
/// The statuses of the static table, from its entry 8 on.
const STATUSES: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];
/// Huffman's code is canonical: these symbols have codes of so many bits, in this order. Longer
/// codes are of symbols that no field of an answer has.
const SYMBOLS: [(u32, &str); 9] = [
    (5, "012aceiost"),
    (6, " %-./3456789=A_bdfghlmnpru"),
    (7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, "&*,;XZ"),
    (10, "!\"()?"),
    (11, "'+|"),
    (12, "#>"),
    (13, "\0$@[]~"),
    (14, "^}"),
];

/// One field as a literal that is never indexed, its name as given.
#[must_use]
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0x10];
    for text in [name, value] {
        integer(&mut bytes, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// Fields in this order.
#[must_use]
pub fn fields(list: &[(&str, &str)]) -> Vec<u8> {
    list.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A length with a prefix of 7 bits, and no Huffman code behind it.
fn integer(bytes: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        return bytes.push(value as u8);
    }
    bytes.push(127);
    value -= 127;
    while value >= 128 {
        bytes.push(0x80 | (value % 128) as u8);
        value /= 128;
    }
    bytes.push(value as u8);
}

/// The fields of a block that refers to nothing but the static table.
pub(super) fn decode(block: &[u8]) -> Vec<(String, String)> {
    let mut reader = Reader { rest: block };
    let mut fields = Vec::new();
    while let Some(first) = reader.rest.first().copied() {
        match first {
            0x80.. => {
                let index = reader.integer(7);
                fields.push((name_of(index), value_of(index)));
            }
            0x20..0x40 => {
                reader.integer(5);
            }
            _ => {
                let index = reader.integer(if first >= 0x40 { 6 } else { 4 });
                let name = if index == 0 { reader.text() } else { name_of(index) };
                fields.push((name, reader.text()));
            }
        }
    }
    fields
}

fn name_of(index: usize) -> String {
    let known = STATIC_NAMES.iter().find(|(at, _)| *at == index);
    match index {
        8..15 => ":status".to_owned(),
        _ => known.map_or_else(|| format!("static {index}"), |(_, name)| (*name).to_owned()),
    }
}

fn value_of(index: usize) -> String {
    index.checked_sub(8).and_then(|at| STATUSES.get(at)).copied().unwrap_or_default().to_owned()
}

struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> &'b [u8] {
        let (taken, rest) = self.rest.split_at_checked(length).expect("a whole header block");
        self.rest = rest;
        taken
    }

    fn integer(&mut self, bits: u32) -> usize {
        let most = (1 << bits) - 1;
        let mut value = usize::from(self.take(1)[0]) & most;
        if value == most {
            for shift in (0..).step_by(7) {
                let byte = usize::from(self.take(1)[0]);
                value += (byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
        }
        value
    }

    fn text(&mut self) -> String {
        let huffman = self.rest.first().is_some_and(|byte| *byte >= 0x80);
        let length = self.integer(7);
        let bytes = self.take(length);
        if huffman { huffman_text(bytes) } else { String::from_utf8_lossy(bytes).into_owned() }
    }
}

/// Reads bit by bit; what is left at the end is padding.
fn huffman_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut code, mut length) = (0_u32, 0);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        (code, length) = (code << 1 | u32::from(bit), length + 1);
        if let Some(symbol) = symbol(code, length) {
            text.push(symbol);
            (code, length) = (0, 0);
        }
    }
    text
}

fn symbol(code: u32, length: u32) -> Option<char> {
    let (mut first, mut bits) = (0, 0);
    for (row_bits, symbols) in SYMBOLS {
        first <<= row_bits - bits;
        bits = row_bits;
        if bits == length {
            let at = code.checked_sub(first)?;
            return symbols.chars().nth(usize::try_from(at).ok()?);
        }
        first += u32::try_from(symbols.len()).ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_are_read() {
        // RFC 7541, C.4.1 and C.6.1, the values of literals.
        for (code, text) in [
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
                "www.example.com",
            ),
            (&[0x64, 0x02], "302"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
        ] {
            assert_eq!(huffman_text(code), text);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let long = "v".repeat(1_000);
        let list = [(":status", "431"), ("x-relay-error", "RELAY_X"), ("x-long", &long)];
        let read = decode(&[&[0x20, 0x88][..], &fields(&list)].concat());
        assert_eq!(read[0], (":status".to_owned(), "200".to_owned()));
        for (read, (name, value)) in read[1..].iter().zip(list) {
            assert_eq!((read.0.as_str(), read.1.as_str()), (name, value));
        }
    }
}
