//! Finds one whole HTTP/1.1 message at the front of a buffer, at little cost.

use std::borrow::Cow;

/// A head or a body larger than this is not ours.
const BYTES_MAX: usize = 64 * 1024;

/// A message that has arrived whole.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// Its first line, without the line end.
    pub(crate) first_line: &'a [u8],
    /// Its body, without framing.
    pub(crate) body: Cow<'a, [u8]>,
    /// How many bytes of the buffer it takes.
    pub(crate) bytes: usize,
}

/// The first message of the buffer; `None` until it is whole. Without a length it has no body.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn first(buffer: &[u8]) -> Result<Option<Message<'_>>, String> {
    let (mut at, mut first_line, mut framing) = (0, None, Framing::Length(0));
    loop {
        let rest = &buffer[at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return if at + rest.len() > BYTES_MAX {
                Err("no end of head".into())
            } else {
                Ok(None)
            };
        };
        let line = rest[..end].trim_ascii_end();
        at += end + 1;
        match first_line {
            None => first_line = Some(line),
            Some(_) if line.is_empty() => break,
            Some(_) => framing = framing.with(line)?,
        }
    }
    let first_line = first_line.unwrap_or_default();
    let body = match framing {
        Framing::Length(length) => {
            buffer.get(at..at + length).map(|body| (Cow::Borrowed(body), at + length))
        }
        Framing::Chunked => chunked(buffer, at)?,
    };
    Ok(body.map(|(body, bytes)| Message { first_line, body, bytes }))
}

enum Framing {
    Length(usize),
    Chunked,
}

impl Framing {
    /// What this field makes of it.
    fn with(self, line: &[u8]) -> Result<Framing, String> {
        if let Some(value) = value(line, b"content-length:") {
            let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            return match length {
                Some(length) if length <= BYTES_MAX => Ok(Framing::Length(length)),
                _ => Err("a length that is none".into()),
            };
        }
        let chunked = value(line, b"transfer-encoding:");
        Ok(if chunked.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
            Framing::Chunked
        } else {
            self
        })
    }
}

/// The value of a field line with this name and colon.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
}

type Body<'a> = Option<(Cow<'a, [u8]>, usize)>;

/// A chunked body that begins at `at`, and where it ends (RFC 9112, 7.1).
fn chunked(buffer: &[u8], mut at: usize) -> Result<Body<'_>, String> {
    let mut body = Vec::new();
    loop {
        let Some((size, next)) = line_at(buffer, at) else { return Ok(None) };
        let size = size.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().and_then(|t| usize::from_str_radix(t, 16).ok());
        let size = size.filter(|size| *size <= BYTES_MAX).ok_or("a chunk size that is none")?;
        at = next;
        if size == 0 {
            break;
        }
        let Some(chunk) = buffer.get(at..at + size) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some((_, next)) = line_at(buffer, at + size) else { return Ok(None) };
        at = next;
    }
    loop {
        let Some((trailer, next)) = line_at(buffer, at) else { return Ok(None) };
        at = next;
        if trailer.is_empty() {
            return Ok(Some((Cow::Owned(body), at)));
        }
    }
}

/// The line at this place, and where the next begins.
fn line_at(buffer: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = buffer.get(at..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    Some((rest[..end].trim_ascii_end(), at + end + 1))
}
