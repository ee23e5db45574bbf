//! Replaces what is made anew in each run, so that the rest can be compared byte by byte.

/// The text with UUIDs, times and the agent's bases replaced.
#[must_use]
pub fn mask(bytes: &[u8], bases: &[&str]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for base in bases {
        text = text.replace(base, "{base}");
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(next) = rest.find(|letter: char| letter.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(next);
        masked.push_str(before);
        let within_a_word =
            before.is_empty() && masked.ends_with(|c: char| c.is_ascii_alphanumeric());
        let (word, length) = match (within_a_word, uuid(from), time(from)) {
            (false, Some(length), _) => ("{uuid}", length),
            (false, None, Some(length)) => ("{time}", length),
            _ => {
                let end = from.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(from.len());
                (&from[..end], end)
            }
        };
        masked.push_str(word);
        rest = &from[length..];
    }
    masked + rest
}

/// The length of a UUID at the beginning: 8-4-4-4-12 hexadecimal digits.
fn uuid(text: &str) -> Option<usize> {
    let bytes = text.as_bytes().get(..36)?;
    let fits = bytes.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    fits.then_some(36)
}

/// The length of a time at the beginning, as RFC 3339 has it.
fn time(text: &str) -> Option<usize> {
    let shape = b"0000-00-00T00:00:00";
    let head = text.as_bytes().get(..shape.len())?;
    let fits = head.iter().zip(shape).all(|(byte, wanted)| match wanted {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    });
    if !fits {
        return None;
    }
    let tail = text[shape.len()..].find(|c: char| !(c.is_ascii_digit() || ".:+Z".contains(c)));
    Some(tail.map_or(text.len(), |tail| shape.len() + tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_made_anew_is_masked() {
        let text = br#"{"id":"3b5c0b1e-0000-4000-8000-00805f9b34fb","at":"2026-01-02T03:04:05.678901+00:00",
            "z":"2026-01-02T03:04:05Z","url":"http://a:1/a2a","day":"2026-01-02","n":12345678}"#;
        assert_eq!(
            mask(text, &["http://a:1"]),
            r#"{"id":"{uuid}","at":"{time}",
            "z":"{time}","url":"{base}/a2a","day":"2026-01-02","n":12345678}"#
        );
    }
}
