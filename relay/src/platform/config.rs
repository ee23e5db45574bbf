//! What the operator says of the platform that the relay bridges to: flags and environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::files;
use clap::Args;
use clap::builder::FalseyValueParser;
use shared::secret::Secret;

use super::url::PlatformUrl;
use crate::networks::Networks;

/// The variable that holds the admin or org token itself.
pub const PLATFORM_TOKEN_VARIABLE: &str = "RELAY_PLATFORM_TOKEN";

/// The flags of `relay serve` about the platform, as they were typed. An empty text is no text.
#[derive(Debug, Clone, Default, Args)]
pub struct PlatformArgs {
    /// Be no platform, but bring agents to this one: a running Molecule AI platform
    #[arg(long, value_name = "URL", env = "RELAY_PLATFORM_URL")]
    pub platform_url: Option<String>,
    /// A file with the platform's admin token or an org token, which nobody else may read;
    /// RELAY_PLATFORM_TOKEN holds the token itself
    #[arg(long, value_name = "FILE")]
    pub platform_token_file: Option<PathBuf>,
    /// Speak plain HTTP with a platform elsewhere: whoever is between reads its tokens
    #[arg(long)]
    pub platform_insecure_http: bool,
    /// The organisation's id, where the platform is hosted for many (SaaS)
    #[arg(long, value_name = "UUID", env = "RELAY_PLATFORM_ORG")]
    pub platform_org: Option<String>,
    /// Between two heartbeats of an agent to the platform, seconds, where it has room: it takes an
    /// agent for gone after 90 [default: 25]
    #[arg(long, value_name = "SECONDS", env = "RELAY_PLATFORM_BEAT")]
    pub platform_beat: Option<String>,
    /// Between two looks at what the platform thinks of all agents, seconds [default: 20]
    #[arg(long, value_name = "SECONDS", env = "RELAY_PLATFORM_LOOK")]
    pub platform_look: Option<String>,
    /// Requests a minute that the platform takes of the relay's address [default: 600]
    #[arg(long, value_name = "N", env = "RELAY_PLATFORM_RATE")]
    pub platform_rate: Option<String>,
    /// Take the platform's calls, which show no credential, from these networks alone, between commas
    /// [default: from everywhere]
    #[arg(long, value_name = "CIDR,...", env = "RELAY_PLATFORM_SOURCES")]
    pub platform_sources: Option<String>,
    /// Ask the platform about peers who call an agent with a credential of the platform's
    #[arg(long, env = "RELAY_PLATFORM_VERIFY", value_parser = FalseyValueParser::new())]
    pub platform_verify: bool,
}

/// The platform, and how to speak to it.
#[derive(Debug, Clone)]
pub struct PlatformConfig {
    /// Where it is.
    pub url: PlatformUrl,
    /// Where its admin or org token comes from.
    pub token: TokenSource,
    /// The organisation's id; `None` is a platform of the operator's own.
    pub org: Option<String>,
    /// How often it is called.
    pub pace: Pace,
    /// Who may call as it.
    pub callers: Callers,
}

/// Who may call agents at the URLs that the platform was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callers {
    /// Where calls without a credential come from; `None` is from everywhere.
    pub sources: Option<Networks>,
    /// Whether the platform is asked about those who show one.
    pub verify: bool,
}

/// How often the platform is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two heartbeats of an agent, where there is room.
    pub beat: Duration,
    /// Between two looks at all agents.
    pub look: Duration,
    /// Requests a minute that it takes.
    pub per_minute: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { beat: Duration::from_secs(25), look: Duration::from_secs(20), per_minute: 600 }
    }
}

/// Where the admin or org token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// The environment held it.
    Given(Secret),
    /// This file holds it.
    File(PathBuf),
}

impl TokenSource {
    /// The token; reads its file. The error is a sentence.
    pub fn read(&self) -> Result<Secret, String> {
        match self {
            Self::Given(token) => Ok(token.clone()),
            Self::File(path) => read_file(path),
        }
    }
}

fn read_file(path: &Path) -> Result<Secret, String> {
    let bytes = files::read_private(path).map_err(|error| format!("{error}."))?;
    let text = String::from_utf8(bytes).ok();
    text.and_then(|text| token(&text)).ok_or_else(|| {
        format!("The file {} holds no token of plain visible characters.", path.display())
    })
}

/// A credential that can stand in a header.
pub fn token(text: &str) -> Option<Secret> {
    let text = text.trim();
    let fits = (1..=4096).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| Secret::new(text.to_owned()))
}

impl PlatformArgs {
    /// The configuration that the flags describe, `None` without a platform; or a sentence for each
    /// mistake. `given` is the token from the environment. Nothing is opened.
    pub fn build(self, given: Option<String>) -> Result<Option<PlatformConfig>, Vec<String>> {
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let mut mistakes = Vec::new();
        let Some(url) = filled(self.platform_url) else {
            return match self.platform_token_file {
                None => Ok(None),
                Some(_) => Err(vec!["--platform-token-file needs --platform-url.".into()]),
            };
        };
        let url = PlatformUrl::parse(&url).map_err(|why| {
            mistakes.push(format!(
                "--platform-url cannot be `{url}`: {why}. Give one like https://platform.example.com."
            ));
        });
        if let Ok(url) = &url
            && url.shows_secrets()
            && !self.platform_insecure_http
        {
            mistakes.push(format!(
                "--platform-url {} is plain HTTP and leads away from this machine, so others could \
                 read the platform's tokens; give its https:// URL, or say --platform-insecure-http \
                 if that is what you want.",
                url.as_str()
            ));
        }
        let source = match (self.platform_token_file, filled(given)) {
            (Some(file), _) => Some(TokenSource::File(file)),
            (None, Some(text)) => {
                let given = token(&text).map(TokenSource::Given);
                if given.is_none() {
                    mistakes.push(format!(
                        "{PLATFORM_TOKEN_VARIABLE} holds no token of plain visible characters."
                    ));
                }
                given
            }
            (None, None) => {
                mistakes.push(format!(
                    "--platform-url needs the platform's admin token or an org token: give \
                     --platform-token-file or {PLATFORM_TOKEN_VARIABLE}."
                ));
                None
            }
        };
        let org = filled(self.platform_org).map(|org| org.trim().to_owned());
        if let Some(org) = org.as_ref().filter(|org| !is_name(org)) {
            mistakes.push(format!(
                "--platform-org cannot be `{org}`; give the organisation's id, a UUID."
            ));
        }
        let usual = Pace::default();
        let mut seconds = |flag: &str, text: Option<String>, usual: Duration, most: f64| {
            let Some(text) = filled(text) else { return usual };
            match text.trim().parse::<f64>() {
                Ok(seconds) if seconds >= 0.05 && seconds <= most => {
                    Duration::from_secs_f64(seconds)
                }
                _ => {
                    mistakes
                        .push(format!("{flag} cannot be `{text}`; give seconds, at most {most}."));
                    usual
                }
            }
        };
        let beat = seconds("--platform-beat", self.platform_beat, usual.beat, 30.0);
        let look = seconds("--platform-look", self.platform_look, usual.look, 3600.0);
        let per_minute = match filled(self.platform_rate).map(|text| (text.trim().parse(), text)) {
            None => usual.per_minute,
            Some((Ok(rate), _)) if rate >= 10 => rate,
            Some((_, text)) => {
                mistakes.push(format!(
                    "--platform-rate cannot be `{text}`; give requests a minute, at least 10."
                ));
                usual.per_minute
            }
        };
        let sources = filled(self.platform_sources).and_then(|text| {
            let part = |part| {
                mistakes.push(format!(
                    "--platform-sources cannot have `{part}`; give networks like 192.0.2.0/24 \
                     between commas."
                ));
            };
            Networks::read(&text).map_err(part).ok()
        });
        match (url, source) {
            (Ok(url), Some(token)) if mistakes.is_empty() => {
                let pace = Pace { beat, look, per_minute };
                let callers = Callers { sources, verify: self.platform_verify };
                Ok(Some(PlatformConfig { url, token, org, pace, callers }))
            }
            _ => Err(mistakes),
        }
    }
}

/// Whether a text can stand as one segment of a path and in a header: the platform's ids are UUIDs.
pub fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(url: &str) -> PlatformArgs {
        PlatformArgs { platform_url: Some(url.into()), ..PlatformArgs::default() }
    }

    #[test]
    fn a_platform_is_a_url_and_a_token() {
        let org = Some(" 6b0fb1de-0a5f-4a2c-8a19-2f7d1f9f4f11 ".to_owned());
        let built = PlatformArgs { platform_org: org, ..args("https://Platform.example.com/api/") }
            .build(Some("secret\n".into()))
            .unwrap()
            .unwrap();
        assert_eq!(built.url.as_str(), "https://platform.example.com/api");
        assert_eq!((built.url.path(), built.url.port()), ("/api", 443));
        assert_eq!(built.url.origin(), "https://Platform.example.com");
        assert_eq!(built.token.read().unwrap().reveal(), "secret");
        assert_eq!(built.org.as_deref(), Some("6b0fb1de-0a5f-4a2c-8a19-2f7d1f9f4f11"));
        assert_eq!(built.pace, Pace::default());
        assert!(PlatformArgs::default().build(Some("secret".into())).unwrap().is_none());
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let wrong = PlatformArgs {
            platform_org: Some("../x".into()),
            platform_beat: Some("31".into()),
            platform_look: Some("never".into()),
            platform_rate: Some("0".into()),
            platform_sources: Some("10.0.0.0/99".into()),
            ..args("platform.example.com")
        };
        let mistakes = wrong.build(None).unwrap_err();
        assert_eq!(mistakes.len(), 7, "{mistakes:#?}");
        for (flag, mistake) in
            ["url", "TOKEN", "org", "beat", "look", "rate", "sources"].iter().zip(&mistakes)
        {
            assert!(mistake.contains(flag), "{mistake}");
        }
    }

    #[test]
    fn tokens_cross_in_clear_only_where_the_operator_says_so() {
        let given = || Some("secret".to_owned());
        for (url, clear) in [
            ("https://platform.example.com", false),
            ("http://127.0.0.1:8090", false),
            ("http://platform.example.com", true),
            ("http://10.0.0.7:8080", true),
        ] {
            let built = args(url).build(given());
            assert_eq!(built.is_err(), clear, "{url}");
            if let Err(mistakes) = built {
                assert!(mistakes[0].contains("--platform-insecure-http"), "{mistakes:?}");
            }
            let allowed = PlatformArgs { platform_insecure_http: true, ..args(url) };
            assert!(allowed.build(given()).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_token_stands_in_a_header_and_an_id_in_a_path() {
        for odd in ["", "two words", "höchst", "a\u{0}b", &"x".repeat(5000)] {
            assert!(token(odd).is_none(), "{odd:?}");
        }
        for odd in ["", "..", "a/b", "a%2fb", "a?b", &"x".repeat(65)] {
            assert!(!is_name(odd), "{odd:?}");
        }
        assert!(is_name("6b0fb1de-0a5f-4a2c-8a19-2f7d1f9f4f11"));
    }
}
