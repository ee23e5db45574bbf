//! The page's own files, which are part of the program.

use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::answer::{AnyBody, text};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// One file.
struct Asset {
    name: &'static str,
    media: &'static str,
    content: &'static str,
}

macro_rules! assets {
    ($($media:ident: $($name:literal),+;)+) => {
        [$($(Asset {
            name: $name,
            media: $media,
            content: include_str!(concat!("assets/", $name)),
        }),+),+]
    };
}

/// The page for whoever has no session; see [`super::login`].
pub(super) const LOGIN: &str = include_str!("assets/login.html");
/// The page itself: a shell that its scripts fill.
pub(super) const SHELL: &str = include_str!("assets/index.html");

static ASSETS: [Asset; 32] = assets! [
    STYLE: "base.css", "canvas.css", "login.css", "panel.css";
    SCRIPT: "access.js", "activity.js", "answers.js", "api.js", "card.js", "chat.js", "confirm.js", "connect.js", "copy.js", "credentials.js", "dialog.js", "dom.js", "feed.js", "grid.js", "list.js", "login.js", "main.js", "once.js", "overview.js", "panel.js", "platform.js", "policies.js", "relay.js", "snippets.js", "status.js", "store.js", "tabs.js", "toolbar.js";
];

/// The validator of each file, in their order.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |asset: &Asset| {
        let digest: [u8; 32] = Sha256::digest(asset.content.as_bytes()).into();
        format!("\"{}\"", HEXLOWER.encode(&digest))
    };
    ASSETS.iter().map(tag).collect()
});

/// The file of this name. A browser may keep it, and asks whether it is still the same.
pub(super) fn asset(name: &str, fields: &HeaderMap) -> Option<Response<AnyBody>> {
    let (asset, tag) = ASSETS.iter().zip(&*TAGS).find(|(asset, _)| asset.name == name)?;
    let known = fields.get_all(IF_NONE_MATCH).iter().any(|value| value == tag.as_str());
    let mut response = if known {
        text(StatusCode::NOT_MODIFIED, asset.media, "")
    } else {
        text(StatusCode::OK, asset.media, asset.content)
    };
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        fields.insert(ETAG, tag);
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What stands between the quotes behind each of these words.
    fn behind<'t>(text: &'t str, words: &[&str]) -> BTreeSet<&'t str> {
        let rest = words.iter().flat_map(|word| text.split(word).skip(1).collect::<Vec<_>>());
        rest.filter_map(|rest| rest.split(['"', '\'']).next()).collect()
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_named() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/canvas/assets");
        let files = std::fs::read_dir(folder).unwrap();
        let names: BTreeSet<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let served = ASSETS.iter().map(|asset| asset.name.to_owned());
        let pages = ["index.html", "login.html"].map(str::to_owned);
        assert_eq!(names, served.chain(pages).collect());

        let mut named = behind(SHELL, &["src=\"/assets/", "href=\"/assets/"]);
        named.extend(behind(LOGIN, &["src=\"/assets/", "href=\"/assets/"]));
        for asset in &ASSETS {
            named.extend(behind(asset.content, &["from \"./", "import \"./"]));
        }
        let served: BTreeSet<&str> = ASSETS.iter().map(|asset| asset.name).collect();
        assert_eq!(named, served, "a file that nobody names, or a name without its file");
    }

    #[test]
    fn nothing_is_written_into_the_page_as_markup() {
        for asset in &ASSETS {
            let first = asset.content.lines().next().unwrap();
            assert!(first.starts_with("//! ") || first.starts_with("/*! "), "{}", asset.name);
            assert!(asset.content.lines().count() <= 450, "{}", asset.name);
            for word in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("] {
                assert!(!asset.content.contains(word), "{} has {word}", asset.name);
            }
        }
        for page in [SHELL, LOGIN] {
            for word in ["style=", "<style", "onclick", "http://", "https://"] {
                assert!(!page.contains(word), "the policy would refuse {word}");
            }
        }
    }

    #[test]
    fn a_browser_that_has_a_file_is_told_so() {
        let mut fields = HeaderMap::new();
        let first = asset(ASSETS[0].name, &fields).unwrap();
        assert_eq!(
            (first.status(), &first.headers()[CACHE_CONTROL]),
            (StatusCode::OK, &"no-cache".parse().unwrap())
        );
        fields.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(asset(ASSETS[0].name, &fields).unwrap().status(), StatusCode::NOT_MODIFIED);
        assert!(asset("../mod.rs", &fields).is_none());
    }
}
