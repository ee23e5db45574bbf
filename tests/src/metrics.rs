//! Reads Prometheus text: one value by its name and labels.

/// The sum of all series with this name whose labels include those given; `None` without any.
#[must_use]
pub fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let series = text.lines().filter_map(parse).filter(|series| {
        series.name == name
            && labels
                .iter()
                .all(|(key, value)| series.labels.iter().any(|(k, v)| k == key && v == value))
    });
    series.map(|series| series.value).reduce(|sum, value| sum + value)
}

struct Series<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

/// One line, or `None` for comments and what is no series.
fn parse(line: &str) -> Option<Series<'_>> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (key, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquote(quoted)?;
            labels.push((key, value));
            rest = after;
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Series { name, labels, value })
}

/// A label value up to its closing quote, escapes undone, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# TYPE relay_links gauge
relay_links{transport="quic"} 2
relay_links{transport="tcp"} 1
relay_streams_in_flight 0
relay_requests_total{binding="jsonrpc",outcome="a \"b\", c}"} 5 # {id="x"} 1.0
relay_links_more 9
"#;

    #[test]
    fn reads_by_name_and_labels() {
        assert_eq!(value(TEXT, "relay_links", &[("transport", "quic")]), Some(2.0));
        assert_eq!(value(TEXT, "relay_links", &[]), Some(3.0));
        assert_eq!(value(TEXT, "relay_links", &[("transport", "carrier pigeon")]), None);
        assert_eq!(value(TEXT, "relay_streams_in_flight", &[]), Some(0.0));
        assert_eq!(value(TEXT, "relay_requests_total", &[("outcome", "a \"b\", c}")]), Some(5.0));
    }
}
