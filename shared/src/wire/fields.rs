//! A block of header fields or trailers: names by number where they are common, values without copying.

use bytes::{Buf, BufMut, Bytes};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::varint;
use crate::limits::{END_BYTES_MAX, HEADER_FIELDS_MAX, HEADER_LIST_BYTES_MAX};

/// Names that cross as one byte, and the number of each.
macro_rules! table {
    ($($number:literal => $name:literal,)*) => {
        static TABLE: [HeaderName; [$($number),*].len()] = [$(HeaderName::from_static($name)),*];

        /// The number of `name` in the table, from 1.
        fn number(name: &HeaderName) -> Option<u8> {
            match name.as_str() {
                $($name => Some($number),)*
                _ => None,
            }
        }
    };
}

// Number 0 means that the name follows in full. The table only ever grows at its end, with a new
// minor version.
table! {
    1 => "accept",
    2 => "accept-encoding",
    3 => "authorization",
    4 => "cache-control",
    5 => "content-encoding",
    6 => "content-length",
    7 => "content-type",
    8 => "cookie",
    9 => "date",
    10 => "etag",
    11 => "forwarded",
    12 => "host",
    13 => "if-none-match",
    14 => "last-modified",
    15 => "location",
    16 => "origin",
    17 => "server",
    18 => "set-cookie",
    19 => "user-agent",
    20 => "vary",
    21 => "via",
    22 => "a2a-version",
    23 => "a2a-extensions",
    24 => "traceparent",
    25 => "x-forwarded-for",
    26 => "x-forwarded-host",
    27 => "x-forwarded-proto",
    28 => "x-request-id",
    29 => "x-forwarded-prefix",
}

/// Room for the fields that whoever takes a block adds: growing a map hashes all of it again.
const ADDED: usize = 2;

/// Bytes of a header list as RFC 9113 6.5.2 counts them.
pub fn list_bytes(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// Whether a header list is within [`HEADER_LIST_BYTES_MAX`] and [`HEADER_FIELDS_MAX`].
pub fn within_limits(fields: &HeaderMap) -> bool {
    fields.len() <= HEADER_FIELDS_MAX && list_bytes(fields) <= HEADER_LIST_BYTES_MAX
}

/// Whether trailers fit into one END frame, whatever their total.
pub fn fit_in_end(trailers: &HeaderMap) -> bool {
    within_limits(trailers) && list_bytes(trailers) < END_BYTES_MAX - 16
}

/// Appends the block of `fields`: their count, then each name and value.
pub fn put(out: &mut impl BufMut, fields: &HeaderMap) {
    varint::put(out, fields.len() as u64);
    for (name, value) in fields {
        match number(name) {
            Some(number) => out.put_u8(number),
            None => {
                out.put_u8(0);
                put_bytes(out, name.as_str().as_bytes());
            }
        }
        put_bytes(out, value.as_bytes());
    }
}

/// Takes one block from the front of `input`; the error names the part that is wrong.
pub fn take(input: &mut Bytes) -> Result<HeaderMap, &'static str> {
    let count = varint::take(input).ok_or("field count")?;
    if count > HEADER_FIELDS_MAX as u64 {
        return Err("more than 100 fields");
    }
    let mut fields = HeaderMap::with_capacity(count as usize + ADDED);
    let mut list = 0;
    for _ in 0..count {
        let name = match input.try_get_u8().map_err(|_| "field name")? {
            0 => HeaderName::from_lowercase(&take_bytes(input).ok_or("field name")?)
                .map_err(|_| "field name")?,
            number => TABLE.get(usize::from(number) - 1).cloned().ok_or("field name number")?,
        };
        let value = take_bytes(input).ok_or("field value")?;
        list += name.as_str().len() + value.len() + 32;
        if list > HEADER_LIST_BYTES_MAX {
            return Err("header list over 32 KiB");
        }
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| "field value")?;
        fields.append(name, value);
    }
    Ok(fields)
}

/// Appends a length and as many bytes.
pub(crate) fn put_bytes(out: &mut impl BufMut, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Takes a length and as many bytes, sharing memory with `input`.
pub(crate) fn take_bytes(input: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(varint::take(input)?).ok()?;
    (length <= input.len()).then(|| input.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(fields: &[(&'static str, &'static str)]) -> (HeaderMap, Bytes) {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        let mut out = Vec::new();
        put(&mut out, &map);
        (map, out.into())
    }

    #[test]
    fn every_name_of_the_table_has_its_place_for_a_number() {
        for (place, name) in TABLE.iter().enumerate() {
            assert_eq!(number(name).map(usize::from), Some(place + 1), "{name}");
        }
        assert_eq!(number(&HeaderName::from_static("x-unknown")), None);
    }

    #[test]
    fn fields_cross_with_their_repetitions_in_order() {
        let (map, mut bytes) = block(&[
            ("content-type", "application/json"),
            ("x-unknown", "1"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ]);
        assert_eq!(take(&mut bytes).unwrap(), map);
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_common_name_costs_one_byte() {
        let (_, bytes) = block(&[("content-type", "")]);
        assert_eq!(bytes.as_ref(), [1, 7, 0]);
    }

    #[test]
    fn every_cut_is_refused() {
        let (_, bytes) = block(&[("content-type", "text/plain"), ("x-unknown", "1")]);
        for cut in 0..bytes.len() {
            assert!(take(&mut bytes.slice(..cut)).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn injected_lines_upper_case_and_unknown_numbers_are_refused() {
        for (wrong, what) in [
            (&[1, 7, 3, b'a', b'\n', b'b'][..], "field value"),
            (&[1, 0, 2, b'A', b'b', 0][..], "field name"),
            (&[1, 0, 0, 0][..], "field name"),
            (&[1, 30, 0][..], "field name number"),
            (&[0x40, 101][..], "more than 100 fields"),
        ] {
            assert_eq!(take(&mut Bytes::copy_from_slice(wrong)), Err(what));
        }
    }

    #[test]
    fn a_list_over_its_limit_is_refused() {
        let mut out = Vec::new();
        varint::put(&mut out, 2);
        for _ in 0..2 {
            out.put_u8(7);
            put_bytes(&mut out, &vec![b'x'; 17 * 1024]);
        }
        assert_eq!(take(&mut out.into()), Err("header list over 32 KiB"));
    }
}
