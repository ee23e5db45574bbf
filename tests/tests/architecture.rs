//! The rules of the tree, held by reading it: who may name whom, how files begin, what is documented.

#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/tree.rs"]
mod tree;

use paths::{code, named};
use std::collections::BTreeSet;
use tree::{Manifest, files, read};

/// Sources below one of these folders never name one of these paths; but for these files, each of
/// which does.
struct Rule {
    sources: &'static [&'static str],
    never: &'static [&'static str],
    but: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        sources: &["shared/src"],
        never: &["quinn", "quinn_proto", "hyper", "hyper_util", "std::net", "tokio::net"],
        but: &[],
        why: "the protocol is a codec over bytes: it knows no socket and no HTTP library",
    },
    Rule {
        sources: &["shared/src"],
        never: &["std::time::Instant", "std::time::SystemTime", "tokio::time"],
        but: &[],
        why: "the protocol has no clock: whoever uses it says what time it is",
    },
    Rule {
        sources: &["certs/src"],
        never: &["hyper", "hyper_util", "http", "http_body", "quinn", "quinn_proto", "tokio"],
        but: &[],
        why: "identity is files and certificates, whatever carries it",
    },
    Rule {
        sources: &["relay"],
        never: &["agent_connector"],
        but: &["relay/src/demo/connector.rs"],
        why: "the two programs meet on the wire only; the demo alone shows both in one process",
    },
    Rule {
        sources: &["agent-connector"],
        never: &["relay"],
        but: &[],
        why: "the two programs meet on the wire only",
    },
    Rule {
        sources: &["relay/src/edge"],
        never: &["quinn", "quinn_proto"],
        but: &[],
        why: "the edge sees request streams, whatever carries them",
    },
    Rule {
        sources: &["relay/src/tunnel"],
        never: &["hyper", "hyper_util", "http_body", "http_body_util", "crate::edge"],
        but: &[],
        why: "the tunnel carries streams and reads no HTTP",
    },
    Rule {
        sources: &["relay/src/registry"],
        never: &["crate::tunnel", "crate::edge", "crate::admin", "quinn", "hyper"],
        but: &[],
        why: "the registry never asks who is connected: it is told",
    },
    Rule {
        sources: &["relay/src/admin"],
        never: &["quinn", "crate::edge"],
        but: &[],
        why: "the API answers calls, whoever took them in",
    },
    Rule {
        sources: &["relay/src/platform"],
        never: &["quinn", "quinn_proto", "crate::edge"],
        but: &[],
        why: "the bridge knows who is linked and what agents report, whatever carries it",
    },
    Rule {
        sources: &["agent-connector/src/forward"],
        never: &["crate::tunnel", "crate::identity", "certs"],
        but: &[],
        why: "what talks to the agent serves whatever link brings a request",
    },
    Rule {
        sources: &["agent-connector/src/platform"],
        never: &["quinn", "quinn_proto", "crate::forward"],
        but: &[],
        why: "the agent's own calls see streams of a link, whatever carries them",
    },
    Rule {
        sources: &["agent-connector/src/tunnel"],
        never: &["hyper", "hyper_util", "http_body_util", "crate::platform"],
        but: &[],
        why: "the link reads no HTTP",
    },
];

/// Crates that must not depend on one of these, directly, and why.
const DEPENDENCIES: &[(&str, &[&str], &str)] = &[
    ("shared", &["quinn", "hyper", "rustls", "certs"], "the protocol depends on nobody here"),
    ("certs", &["quinn", "hyper", "http", "tokio"], "identity is files and certificates"),
    ("agent-connector", &["relay", "tests"], "the two programs meet on the wire only"),
    ("relay", &["tests"], "nobody depends on the tests"),
    ("shared", &["tests"], "nobody depends on the tests"),
    ("certs", &["tests"], "nobody depends on the tests"),
    ("tests", &["relay", "agent-connector"], "stories run the binaries, as their users do"),
];

/// Folders whose files carry data, or speak to others: there a reader must find the way quickly.
const DATA_PATH: &[&str] = &[
    "relay/src/edge",
    "relay/src/platform",
    "relay/src/tunnel",
    "agent-connector/src/forward",
    "agent-connector/src/platform",
    "agent-connector/src/tunnel",
    "shared/src",
];
/// Where one file holds two ideas, lines.
const LINES_MAX: usize = 450;

/// What a visitor sees first; licences and dotfiles besides.
const TOP: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "agent-connector",
    "certs",
    "relay",
    "shared",
    "tests",
];

fn below(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| {
        path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn nobody_names_what_it_must_not_know() {
    let mut broken = Vec::new();
    for rule in RULES {
        let sources = files("rs").into_iter().filter(|path| below(path, rule.sources));
        let sources: Vec<String> = sources.collect();
        assert!(!sources.is_empty(), "this rule has gone stale: {:?} are no more", rule.sources);
        for path in rule.but {
            let stands = sources.iter().any(|source| source == path);
            assert!(stands, "this exception has gone stale: {path} is no more");
        }
        for path in &sources {
            let named = named(path, &read(path));
            let found: Vec<_> = rule.never.iter().filter(|never| named.touches(never)).collect();
            match (rule.but.contains(&path.as_str()), found.is_empty()) {
                (true, true) => broken.push(format!("{path} needs its exception no more")),
                (false, false) => broken.push(format!("{path} names {found:?}: {}", rule.why)),
                _ => {}
            }
        }
    }
    assert_none("the layers are broken", &broken);
}

#[test]
fn nobody_depends_on_what_it_must_not_know() {
    let mut broken = Vec::new();
    for (name, never, why) in DEPENDENCIES {
        let manifest = Manifest::of(name);
        for other in never.iter().filter(|other| manifest.depends_on(other)) {
            broken.push(format!("{name} depends on {other}: {why}"));
        }
    }
    assert_none("the layers are broken", &broken);
    // Each crate's name is right, or the rows above would hold for nothing.
    for (name, ..) in DEPENDENCIES {
        assert_eq!(Manifest::of(name).name(), *name);
    }
    let shared = Manifest::of("shared").line_of("tokio");
    assert!(!shared.contains("\"net\"") && !shared.contains("\"time\""), "shared: {shared}");
}

#[test]
fn each_file_says_first_what_it_is_for() {
    let silent = |path: &String| !read(path).starts_with("//! ");
    let silent: Vec<String> = files("rs").into_iter().filter(silent).collect();
    assert_none("these do not begin with a line `//! …`", &silent);
}

#[test]
fn files_on_the_data_path_stay_short() {
    let lines = |path: &str| read(path).lines().count();
    let sources = files("rs").into_iter().filter(|path| below(path, DATA_PATH));
    let long = sources.filter(|path| lines(path) > LINES_MAX);
    let long: Vec<String> = long.map(|path| format!("{path}: {} lines", lines(&path))).collect();
    assert_none("two ideas live in each of these", &long);
    for folder in DATA_PATH {
        assert!(files("rs").iter().any(|path| below(path, &[folder])), "{folder} is no more");
    }
}

#[test]
fn lints_are_expected_and_not_allowed() {
    let allows = |path: &String| {
        let code = code(&read(path));
        code.contains("#[allow(") || code.contains("#![allow(")
    };
    let allows: Vec<String> = files("rs").into_iter().filter(allows).collect();
    assert_none("`#[expect(lint, reason = \"…\")]` says why and notices when it is over", &allows);
}

#[test]
fn the_top_level_is_what_it_should_be() {
    let all = files("");
    let first = all.iter().filter_map(|path| path.split('/').next());
    let visible = first.filter(|name| !name.starts_with('.') && !name.starts_with("LICENSE"));
    let visible: BTreeSet<&str> = visible.collect();
    assert_eq!(visible, TOP.iter().copied().collect());
}

#[test]
fn every_code_stands_in_the_readme_and_no_other() {
    let mut codes = BTreeSet::new();
    let sources = files("rs").into_iter();
    for path in
        sources.filter(|path| below(path, &["relay/src/edge", "relay/src/admin/problem.rs"]))
    {
        codes.extend(quoted_codes(&read(&path)));
    }
    let readme = read("README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `RELAY_")?.split_once('`'));
    let rows: BTreeSet<String> = rows.map(|(code, _)| format!("RELAY_{code}")).collect();
    assert!(codes.len() > 20, "the codes are not where they were: {codes:?}");
    let missing: Vec<&String> = codes.difference(&rows).collect();
    let stale: Vec<&String> = rows.difference(&codes).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "README.md lacks {missing:?}, and has {stale:?}"
    );

    let failure = read("relay/src/edge/failure.rs");
    for code in quoted_codes(&failure) {
        let status =
            status_before(&failure, &code).unwrap_or_else(|| panic!("{code} has no status"));
        let row = format!("| `{code}` | {status} |");
        assert!(readme.contains(&row), "README.md should have a row `{row} …`");
    }
}

/// The codes that stand in quotes.
fn quoted_codes(source: &str) -> BTreeSet<String> {
    let quoted = source.split('"').filter(|text| text.starts_with("RELAY_"));
    let is_code = |text: &&str| text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    quoted.filter(is_code).map(str::to_owned).collect()
}

/// The number in front of a code, as in `no(404, "RELAY_NOT_FOUND"`.
fn status_before(source: &str, code: &str) -> Option<String> {
    let before = &source[..source.find(&format!("\"{code}\""))?];
    let number = before.trim_end().trim_end_matches(',').trim_end();
    let number = &number[number.len().checked_sub(3)?..];
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.to_owned())
}

#[test]
fn every_limit_has_its_reason() {
    let limits = read("shared/src/limits.rs");
    let mut before = "";
    let mut bare = Vec::new();
    for line in limits.lines() {
        if line.starts_with("pub const") && !before.starts_with("///") {
            bare.push(line.to_owned());
        }
        before = line;
    }
    assert_none("these limits have no reason", &bare);
    assert!(limits.matches("pub const").count() > 20, "the limits are not where they were");
}
