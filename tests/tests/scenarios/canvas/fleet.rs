//! The canvas with 2,000 agents: it finds, filters and follows them, and prints how fast.

use super::{Operator, SOON, pause, reads};
use std::{sync::Arc, time::Instant};
use tests::{Relay, http, until};
use tokio::task::JoinSet;

const AGENTS: usize = 2_000;
/// Requests at a time, so that many are committed together.
const AT_A_TIME: usize = 32;

/// Milliseconds from a change of the page until it is drawn and the next frame could be.
const DRAWN: &str = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))";

/// When the page showed anything, ms after it was asked for.
const PAINT_AT: &str = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime";
/// And when it shows agents, if it does now.
const CARDS_AT: &str = "document.querySelector('agent-card') ? performance.now() : null";
/// When the list of all agents was there, and its bytes.
const LIST: &str = "(({responseEnd, encodedBodySize}) => [Math.round(responseEnd), encodedBodySize]) \
    (performance.getEntriesByName(new URL('/api/workspaces', location).href)[0])";

/// Makes the workspaces `agent-0` and so on through the API.
async fn fill(relay: &Relay) {
    let token = Arc::new(format!("Bearer {}", relay.admin_token()));
    let url = format!("http://{}/api/workspaces", relay.admin());
    let mut makers = JoinSet::new();
    for maker in 0..AT_A_TIME {
        let (token, url) = (Arc::clone(&token), url.clone());
        makers.spawn(async move {
            for n in (maker..AGENTS).step_by(AT_A_TIME) {
                let headers = [("Authorization", &**token), ("Content-Type", "application/json")];
                let body = format!("{{\"name\":\"agent-{n}\"}}");
                let answer = http::Version::Http1.post(&url, &headers, body.as_bytes()).await;
                assert_eq!(answer.expect("an answer").status, 201);
            }
        });
    }
    while let Some(made) = makers.join_next().await {
        made.expect("a maker");
    }
}

impl Operator {
    async fn number(&self, script: &str) -> Option<f64> {
        self.browser.eval(script).await.as_f64()
    }

    /// How long a step of the page takes until it is drawn, ms.
    async fn time(&self, step: &str) -> f64 {
        let script = format!(
            "(async () => {{ const begun = performance.now(); {step}; await {DRAWN}; \
             return performance.now() - begun; }})()"
        );
        self.browser.eval(&script).await.as_f64().expect("a number")
    }
}

#[tokio::test]
async fn two_thousand_agents_are_found_filtered_and_followed() {
    let relay = Relay::start().await;
    let Some(operator) = Operator::at(&relay).await else { return };
    let begun = Instant::now();
    fill(&relay).await;
    let made = begun.elapsed();
    let all = "document.querySelector('agent-toolbar .count').textContent === '2000'";
    operator.sees("all of them", all).await;

    operator.browser.open("about:blank").await;
    operator.browser.open(&operator.page).await;
    let cards = until("its cards", SOON, async || operator.number(CARDS_AT).await).await;
    operator.sees("all of them, anew", all).await;
    let paint = operator.number(PAINT_AT).await.expect("a first paint");
    let list = operator.browser.eval(LIST).await;
    let drawn = operator.browser.eval("document.querySelectorAll('agent-card').length").await;

    let search = operator.time(&search("agent-19")).await;
    let found = "document.querySelector('agent-card').getAttribute('aria-setsize')";
    assert_eq!(operator.browser.eval(found).await, "111", "agent-19, and those that begin so");
    let clear = operator.time(&self::search("")).await;
    let status = operator.time(&by_status("offline")).await;
    operator.sees("that there are none", &reads("agent-grid h2", "No agent matches")).await;
    operator.time(&by_status("")).await;
    let scroll = operator.time("scrollTo(0, document.body.scrollHeight / 2)").await;
    operator.time("scrollTo(0, 0)").await;

    // One change on the relay until the page has it, through the poll and the feed.
    let begun = Instant::now();
    pause(&relay, "agent-0").await;
    operator.sees("the change", &reads("agent-card .label", "Paused")).await;
    let update = begun.elapsed();
    eprintln!(
        "{AGENTS} agents, made in {made:.1?}: first paint {paint:.0} ms, the list whole at {list} \
         (ms, bytes), cards at {cards:.0} ms, {drawn} of them drawn; search {search:.1} ms, clear \
         {clear:.1} ms, status {status:.1} ms, scroll {scroll:.1} ms; a change shows after \
         {update:.1?}"
    );
}

fn search(words: &str) -> String {
    format!(
        "const s = document.querySelector('input[type=search]'); s.value = {words:?}; \
         s.dispatchEvent(new Event('input'))"
    )
}

fn by_status(status: &str) -> String {
    format!("document.querySelector('agent-toolbar [data-status={status:?}]').click()")
}
