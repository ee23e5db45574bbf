//! The description of the API, in OpenAPI: of what a relay of this kind serves, and of nothing else.

use std::sync::LazyLock;

use serde_json::Value;

/// All that any relay serves.
const WHOLE: &str = include_str!("openapi.json");
/// What an operation has that is served beside a platform alone.
const BESIDE: &str = "x-served";

static ALONE: LazyLock<String> = LazyLock::new(|| alone().unwrap_or_else(|| WHOLE.to_owned()));

/// The description of a relay that brings its agents to a platform, or of one that is the platform.
pub(super) fn of(beside_a_platform: bool) -> &'static str {
    if beside_a_platform { WHOLE } else { &ALONE }
}

/// Without what is served beside a platform alone.
fn alone() -> Option<String> {
    let mut description: Value = serde_json::from_str(WHOLE).ok()?;
    let paths = description.get_mut("paths")?.as_object_mut()?;
    let beside = |item: &Value| {
        let mut parts = item.as_object().into_iter().flatten();
        parts.any(|(_, operation)| operation.get(BESIDE).is_some())
    };
    paths.retain(|_, item| !beside(item));
    serde_json::to_string_pretty(&description).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(description: &str) -> Vec<String> {
        let description: Value = serde_json::from_str(description).unwrap();
        description["paths"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn a_relay_describes_what_it_serves() {
        let (alone, beside) = (paths(of(false)), paths(of(true)));
        let more: Vec<_> = beside.iter().filter(|path| !alone.contains(path)).collect();
        assert_eq!(more, ["/molecule/{address}", "/molecule/{address}/a2a"]);
        assert_eq!(alone.len() + more.len(), beside.len());
    }
}
