//! The paths that a source file names: comments and strings left out, `use` trees taken apart.

use std::collections::BTreeSet;

/// The paths of one file, those that begin with `super` and `self` resolved.
pub(crate) struct Named(BTreeSet<String>);

impl Named {
    /// Whether one of the paths is this one or leads through it.
    pub(crate) fn touches(&self, path: &str) -> bool {
        let through = |named: &String| {
            named.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        self.0.iter().any(through)
    }
}

/// What the file at `path` names.
pub(crate) fn named(path: &str, source: &str) -> Named {
    let module = module_of(path);
    let tokens = tokens(&code(source));
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_field = at > 0 && matches!(tokens[at - 1].as_str(), "." | "::");
        if !is_field && is_name(&tokens[at]) {
            if at > 0 && tokens[at - 1] == "use" {
                found.insert(format!("{}::", tokens[at]));
            }
            at = path_from(&tokens, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    // One word alone is a variable; a crate is named by what it holds, or by `use`.
    let found = found.into_iter().filter(|path| path.contains("::"));
    Named(found.map(|path| resolved(&path, &module)).collect())
}

/// Adds the path that begins at `at`, or the paths of its tree; answers where it ends.
fn path_from(
    tokens: &[String],
    mut at: usize,
    before: &[String],
    found: &mut BTreeSet<String>,
) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some(name) if is_name(name) || name == "*" => path.push(name.to_owned()),
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    let next = path_from(tokens, at, &path, found);
                    at = if next == at { at + 1 } else { next };
                }
                return at + 1;
            }
            _ => break,
        }
        at += 1;
        match tokens.get(at).map(String::as_str) {
            Some("::") => at += 1,
            _ => break,
        }
    }
    if path.len() > before.len() {
        found.insert(path.join("::"));
    }
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

/// `crate::registry::open` for `relay/src/registry/open.rs`.
fn module_of(path: &str) -> Vec<String> {
    let inside = path.split_once("/src/").map_or("", |(_, inside)| inside);
    let inside = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    let names = inside.split('/').filter(|name| !["", "lib", "main"].contains(name));
    std::iter::once("crate").chain(names).map(str::to_owned).collect()
}

fn resolved(path: &str, module: &[String]) -> String {
    let mut names = path.split("::").peekable();
    let mut base = Vec::new();
    if matches!(names.peek(), Some(&"self" | &"super")) {
        base = module.to_vec();
        while let Some(name) = names.next_if(|name| ["self", "super"].contains(name)) {
            if name == "super" && base.len() > 1 {
                base.pop();
            }
        }
    }
    base.into_iter().chain(names.map(str::to_owned)).collect::<Vec<_>>().join("::")
}

fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = match first {
            ':' if rest.starts_with("::") => 2,
            letter if word(letter) => rest.find(|letter| !word(letter)).unwrap_or(rest.len()),
            letter => letter.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if !token.trim().is_empty() {
            tokens.push(token.to_owned());
        }
        rest = after;
    }
    tokens
}

/// A source without its comments, and with all its strings empty.
pub(crate) fn code(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '"' {
            string(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\'") {
            3
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.push_str(if first == '/' { " " } else { "\"\"" });
        rest = &rest[skipped..];
    }
    code
}

/// The length of a string with its quotes.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw string that begins here.
fn raw_string(text: &str) -> Option<usize> {
    let body = text.strip_prefix('r')?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let inside = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(1 + hashes + 1 + length)
}

#[test]
fn use_trees_are_taken_apart_and_relative_paths_resolved() {
    let source = r##"
        //! quinn::in_a_comment
        use std::time::{Duration, Instant as Now};
        use rustls;
        use super::super::{tunnel::{self, Link}, edge};
        fn x() { let s = "hyper::in_a_string"; self::deep::call(r#"hyper"x"#); a.quinn(); }
    "##;
    let named = named("relay/src/registry/open.rs", source);
    for path in ["std::time::Instant", "crate::tunnel", "crate::tunnel::Link", "crate::edge"] {
        assert!(named.touches(path), "{path} of {:?}", named.0);
    }
    assert!(named.touches("crate::registry::open::deep") && named.touches("rustls"));
    for path in ["hyper", "quinn", "std::time::SystemTime", "crate::edg"] {
        assert!(!named.touches(path), "{path} of {:?}", named.0);
    }
}
