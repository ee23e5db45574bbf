//! What people see: results on standard output, complaints on standard error.

use std::error::Error;
use std::io::{IsTerminal, Write, stderr, stdout};

use crate::status::{PublicUrl, Report, State};

/// One line on standard output.
pub(crate) fn say(line: &str) {
    // Nobody may be reading.
    let _ = writeln!(stdout().lock(), "{line}");
}

/// Why a command failed, on standard error.
pub(crate) fn complain(error: &dyn Error) {
    let _ = writeln!(stderr().lock(), "agent-connector: {error}");
}

/// Something that its owner should know, on standard error.
pub(crate) fn note(sentence: &str) {
    let _ = writeln!(stderr().lock(), "agent-connector: {sentence}");
}

/// Tells the state of a connector as it changes: a block once it is online, then one line each.
#[derive(Debug)]
pub(crate) struct Block {
    /// Which agent it is, where there are several.
    name: Option<String>,
    agent: String,
    coloured: bool,
    shown: Option<Shown>,
    was_online: bool,
    /// Told once.
    platform: Option<String>,
}

/// What of a report is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    state: State,
    reason: Option<String>,
    /// By the address, and at a host of its own.
    urls: [Option<PublicUrl>; 2],
}

impl Shown {
    fn of(report: &Report) -> Self {
        let urls = [report.public_url.clone(), report.host_url.clone()];
        Self { state: report.state, reason: report.reason.clone(), urls }
    }
}

impl Block {
    pub(crate) fn new(agent: String) -> Self {
        Self {
            name: None,
            agent,
            coloured: stdout().is_terminal(),
            shown: None,
            was_online: false,
            platform: None,
        }
    }

    /// Tells of this one among several agents.
    pub(crate) fn named(name: String, agent: String) -> Self {
        Self { name: Some(name), ..Self::new(agent) }
    }

    /// Tells what is dialled, if nothing else has happened since the beginning.
    pub(crate) fn tell_silence(&self, report: &Report) {
        if let Some(line) = self.silence(report) {
            say(&line);
        }
    }

    fn silence(&self, report: &Report) -> Option<String> {
        let waits = report.state == State::Dialing && report.reason.is_none();
        let line = format!("dialing {}; nobody has answered yet", report.dialled.join(", "));
        (waits && !report.dialled.is_empty()).then(|| self.of_agent(line))
    }

    /// A line, after the name of the agent where there are several.
    fn of_agent(&self, line: String) -> String {
        match &self.name {
            Some(name) => format!("{name}: {line}"),
            None => line,
        }
    }

    pub(crate) fn tell(&mut self, report: &Report) {
        if let Some(platform) = report.platform.as_ref().filter(|_| self.platform.is_none()) {
            say(&format!("\n  Platform    {platform} (for the agent's own calls)"));
            self.platform = Some(platform.clone());
        }
        let now = Shown::of(report);
        if self.shown.as_ref() != Some(&now) {
            if let Some(text) = self.text(report) {
                say(&text);
            }
            self.shown = Some(now);
        }
    }

    fn text(&mut self, report: &Report) -> Option<String> {
        let before = self.shown.take();
        match (report.state, &report.public_url) {
            (State::Online, Some(url)) => {
                let moved = before.is_none_or(|before| before.urls != Shown::of(report).urls);
                let first = !std::mem::replace(&mut self.was_online, true);
                let online = self.of_agent(self.paint("32", "online"));
                let host = report.host_url.as_ref();
                let host = host.map(|url| format!("\n  Host URL    {}", url.reveal()));
                Some(if first || moved {
                    format!(
                        "\n  {online}\n  Public URL  {}{}\n  Forwards to {}\n  Ctrl-C to stop\n",
                        self.paint("1", url.reveal()),
                        host.unwrap_or_default(),
                        self.agent
                    )
                } else {
                    online
                })
            }
            // The beginning needs no words.
            (State::Dialing, _) if report.reason.is_none() => None,
            (state, _) => {
                let colour = if state == State::Refused { "31" } else { "33" };
                let name = self.paint(colour, state.name());
                Some(self.of_agent(match &report.reason {
                    Some(reason) => format!("{name} ({reason})"),
                    None => name,
                }))
            }
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_shown_first_and_when_it_changes() {
        let mut block = Block { coloured: false, ..Block::new("http://127.0.0.1:8000".into()) };
        let report = |state: &str, url: Option<&str>, reason: Option<&str>| -> Report {
            serde_json::from_value(serde_json::json!({
                "state": state, "public_url": url, "workspace_id": null, "transport": null,
                "since": "", "reason": reason,
            }))
            .unwrap()
        };
        let mut tell = |report: &Report| {
            let text = block.text(report);
            block.shown = Some(Shown::of(report));
            text
        };
        assert_eq!(tell(&report("dialing", None, None)), None);
        let first = tell(&report("online", Some("http://r/a/"), None)).unwrap();
        assert!(first.contains("Public URL  http://r/a/\n") && first.contains("Ctrl-C"), "{first}");
        let lost = tell(&report("dialing", Some("http://r/a/"), Some("LINK_LOST")));
        assert_eq!(lost.as_deref(), Some("dialing (LINK_LOST)"));
        assert_eq!(tell(&report("online", Some("http://r/a/"), None)).as_deref(), Some("online"));
        assert!(tell(&report("online", Some("http://r/b/"), None)).unwrap().contains("/b/"));
        let mut hosted = report("online", Some("http://r/b/"), None);
        hosted.set_urls("http://r/b/", Some("http://x.r/"));
        let text = tell(&hosted).unwrap();
        assert!(text.contains("Host URL    http://x.r/\n  Forwards"), "{text}");
    }

    #[test]
    fn who_waits_is_told_what_is_dialled_until_something_happens() {
        let block = Block::named("one".into(), "http://127.0.0.1:8000".into());
        let mut report = Report::beginning();
        assert_eq!(block.silence(&report), None);
        report.dialled = vec!["r:1".into()];
        let told = block.silence(&report);
        assert_eq!(told.as_deref(), Some("one: dialing r:1; nobody has answered yet"));
        report.reason = Some("NO_ANSWER".into());
        assert_eq!(block.silence(&report), None);
    }
}
