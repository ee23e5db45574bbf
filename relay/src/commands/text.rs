//! What the operator's commands say to people.

use serde_json::Value;

use super::output;

/// The text of a field; a dash where there is none.
pub fn field(answer: &Value, name: &str) -> String {
    match answer.get(name) {
        Some(Value::String(text)) if !text.is_empty() => output::plain(text),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(true)) => "yes".into(),
        Some(Value::Bool(false)) => "no".into(),
        _ => "-".into(),
    }
}

/// A credential that was made.
pub fn shown_once(made: &Value, secret: &str) -> String {
    format!(
        "{}\n\nIt is shown once; store it now. Its id is {}.",
        field(made, secret),
        field(made, "id")
    )
}

/// Rows with a head, in columns as wide as their longest text.
pub fn table(rows: Option<&Value>, columns: &[&str], none: &str) -> String {
    let rows = rows.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return none.to_owned();
    }
    let head = columns.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|name| field(row, name)).collect());
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(cells).collect();
    let width = |at: usize| {
        lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns.len()).map(|at| width(at).unwrap_or_default()).collect();
    let lines = lines.iter().map(|line| {
        let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_cells() {
        let rows = json!([{"id": "1", "name": "a\u{1b}[2J"}, {"id": "22", "name": null}]);
        let text = table(Some(&rows), &["id", "name"], "none");
        assert_eq!(text, "ID  NAME\n1   a\u{fffd}[2J\n22  -");
        assert_eq!(table(Some(&json!([])), &["id"], "none"), "none");
    }
}
