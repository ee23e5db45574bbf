//! What the workspace commands say to people.

use std::net::IpAddr;

use certs::JoinString;
use serde_json::Value;

use crate::commands::output;
use crate::commands::text::field;

pub(super) fn added(answer: &Value) -> String {
    format!(
        "Workspace {} is made.\n\n  id            {}\n  alias         {}\n  public URL    {}\n\n{}",
        field(answer, "name"),
        field(answer, "workspace_id"),
        field(answer, "alias"),
        field(answer, "public_url"),
        how_to_join(answer),
    )
}

pub(super) fn joined(answer: &Value) -> String {
    format!(
        "A new join string for {} at {}\n\n{}",
        field(answer, "name"),
        field(answer, "public_url"),
        how_to_join(answer),
    )
}

/// The line to paste where the agent runs.
fn how_to_join(answer: &Value) -> String {
    let uses = match answer.get("join_uses").and_then(Value::as_u64) {
        Some(1) | None => "once".to_owned(),
        Some(uses) => format!("for {uses} connectors"),
    };
    let until = match answer.get("join_expires_at_ms").and_then(Value::as_i64) {
        Some(at_ms) => {
            format!(", for {}", duration((at_ms - crate::clock::unix_ms() + 999) / 1000))
        }
        None => String::new(),
    };
    format!(
        "Run this where the agent listens, with the agent's own port for 8000:\n\n  \
         agent-connector http 8000 --join {}\n\nThe join string works {uses}{until}.",
        field(answer, "join"),
    )
}

/// The largest unit that says it without a lie.
fn duration(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", (seconds + 59) / 3600),
        _ => format!("{} days", (seconds + 59) / 86_400),
    }
}

/// Says on standard error that other machines cannot use a join string, where that is so.
pub(super) fn warn_of_loopback(answer: &Value) {
    let Some(Ok(join)) = answer.get("join").and_then(Value::as_str).map(str::parse::<JoinString>)
    else {
        return;
    };
    if join.endpoints.iter().all(|endpoint| is_loopback(endpoint)) {
        output::note(&format!(
            "The join string names {}, which only connectors on the relay's own machine can reach; \
             start the relay with --tunnel-host HOST for others.",
            output::plain(&join.endpoints.join(", "))
        ));
    }
}

/// Says on standard error which other workspaces have the name of one that was just made.
pub(super) fn tell_of_namesakes(name: &str, made: &Value, all: &Value) {
    let others = namesakes(name, made, all);
    if others.is_empty() {
        return;
    }
    let (are, them) = if others.len() == 1 { ("is", "one") } else { ("are", "ones") };
    output::note(&format!(
        "There {are} {} other workspace{} of this name; commands need the id of the {them} they \
         mean:\n  {}",
        others.len(),
        if others.len() == 1 { "" } else { "s" },
        others.join("\n  "),
    ));
}

/// The ids of the other workspaces that have this name.
fn namesakes(name: &str, made: &Value, all: &Value) -> Vec<String> {
    let own = made.get("workspace_id");
    let rows = all.as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let others = rows.filter(|row| {
        row.get("name").and_then(Value::as_str) == Some(name) && row.get("workspace_id") != own
    });
    others.map(|row| field(row, "workspace_id")).collect()
}

fn is_loopback(endpoint: &str) -> bool {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// A table of all workspaces, as wide as its widest texts.
pub(super) fn list(answer: &Value) -> String {
    let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "There are no workspaces yet; make one with `relay workspace add NAME`.".into();
    }
    let columns = [
        ("NAME", "name"),
        ("STATUS", "status"),
        ("CALLERS", "callers"),
        ("ALIAS", "alias"),
        ("ID", "workspace_id"),
    ];
    let widths = columns.map(|(title, name)| {
        let cells = rows.iter().map(|row| field(row, name).chars().count());
        cells.max().unwrap_or_default().max(title.len())
    });
    let line = |cells: [String; 5]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(columns.map(|(title, _)| title.to_owned()))];
    lines.extend(rows.iter().map(|row| line(columns.map(|(_, name)| field(row, name)))));
    lines.join("\n")
}

pub(super) fn show(answer: &Value) -> String {
    let mut lines = vec![format!("{}: {}", field(answer, "name"), field(answer, "status"))];
    if let Some(reason) = answer.get("reason").and_then(Value::as_str) {
        lines.push(format!("  {}", output::plain(reason)));
    }
    for (title, name) in [
        ("id", "workspace_id"),
        ("role", "role"),
        ("tier", "tier"),
        ("alias", "alias"),
        ("public URL", "public_url"),
        ("alias URL", "alias_url"),
        ("host URL", "host_url"),
        ("callers", "callers"),
        ("expose", "expose"),
        ("strict card", "strict_card"),
        ("keep-alive", "keep_alive"),
        ("errors as 200", "jsonrpc_errors_as_200"),
        ("rate", "rate"),
        ("in flight", "in_flight"),
        ("methods", "methods"),
        ("push egress", "push_egress"),
        ("connected", "connected"),
        ("transport", "transport"),
        ("tunnel", "tunnel"),
        ("relay CA", "relay_ca"),
        ("active tasks", "active_tasks"),
        ("current task", "current_task"),
        ("sample error", "sample_error"),
    ] {
        lines.push(format!("  {title:<14}{}", field(answer, name)));
    }
    lines.extend(answer.get("platform").filter(|platform| platform.is_object()).map(platform));
    lines.join("\n")
}

/// What the platform thinks of it, next to what the relay does there.
fn platform(platform: &Value) -> String {
    let mut lines = vec!["on the platform".to_owned()];
    for (title, name) in
        [("platform", "url"), ("id there", "id"), ("status there", "status"), ("step", "step")]
    {
        lines.push(format!("  {title:<14}{}", field(platform, name)));
    }
    let call = |of: &str| platform.get(of).filter(|call| call.is_object());
    if let Some(last) = call("last") {
        let (ago, answer) = (seconds(last, -1), field(last, "answer"));
        lines.push(format!("  {:<14}{}: {answer}, {ago} s ago", "last call", field(last, "call")));
    }
    if let Some(next) = call("next") {
        lines.push(format!(
            "  {:<14}{}, in {} s",
            "next call",
            field(next, "call"),
            seconds(next, 1)
        ));
    }
    if platform.get("late").and_then(Value::as_bool) == Some(true) {
        lines.push("  Its heartbeat to the platform is late.".to_owned());
    }
    if let Some(trouble) = platform.get("trouble").and_then(Value::as_str) {
        lines.push(format!("  {}", output::plain(trouble)));
    }
    lines.join("\n")
}

/// Seconds until a call, or since it with -1.
fn seconds(call: &Value, sign: i64) -> i64 {
    let at_ms = call.get("at_ms").and_then(Value::as_i64).unwrap_or_default();
    (at_ms.saturating_sub(crate::clock::unix_ms()).saturating_mul(sign) / 1000).max(0)
}

pub(super) fn changed(answer: &Value) -> String {
    format!("Changed. {}", show(answer))
}

pub(super) fn revoked(answer: &Value) -> String {
    format!(
        "Every credential of {id} is revoked and its link is cut. A new join string comes from \
         `relay workspace join {id}`.",
        id = field(answer, "workspace_id")
    )
}

pub(super) fn removed(answer: &Value) -> String {
    format!("{} is removed for good.", field(answer, "workspace_id"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_table() {
        let rows = json!([
            {"name": "a", "status": "online", "callers": "link", "alias": null, "workspace_id": "ws_1"},
            {"name": "long name", "status": "offline", "callers": "open", "alias": "b",
             "workspace_id": "ws_2"},
        ]);
        assert_eq!(
            list(&rows),
            "NAME       STATUS   CALLERS  ALIAS  ID\n\
             a          online   link     -      ws_1\n\
             long name  offline  open     b      ws_2"
        );
        assert!(list(&json!([])).contains("relay workspace add"));
    }

    #[test]
    fn others_of_the_same_name_are_found_by_it_alone() {
        let row = |id: &str, name: &str| json!({"workspace_id": id, "name": name});
        let all = json!([row("ws_1", "twin"), row("ws_2", "twin"), row("ws_3", "Twin")]);
        assert_eq!(namesakes("twin", &row("ws_2", "twin"), &all), ["ws_1"]);
        assert!(namesakes("Twin", &row("ws_3", "Twin"), &all).is_empty());
        assert!(namesakes("twin", &row("ws_1", "twin"), &json!({"detail": "no"})).is_empty());
    }

    #[test]
    fn loopback_hosts_are_known() {
        for own in ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.9.9.9:1"] {
            assert!(is_loopback(own), "{own}");
        }
        for other in ["192.0.2.1:1", "relay.example.com:1", "[2001:db8::1]:1"] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn a_time_is_told_in_its_unit() {
        for (seconds, told) in [
            (30, "30 s"),
            (3600, "60 min"),
            (86_400, "24 h"),
            (86_399, "24 h"),
            (604_799, "7 days"),
        ] {
            assert_eq!(duration(seconds), told);
        }
    }
}
