//! The canvas in a real browser: what an operator sees and does there.

mod credentials;
mod fleet;
mod policies;

use serde_json::{Value, json};
use shared::control::{ToConnector, ToRelay};
use std::{path::PathBuf, time::Duration};
use tests::connector::transport;
use tests::{
    Agent, Connector, RawIdentity, RawLink, Relay, World, browser::Browser, http::Version,
};

const SOON: Duration = Duration::from_secs(20);

/// An operator before the canvas of a relay.
struct Operator {
    browser: Browser,
    page: String,
}

/// The element with this selector whose text is exactly this, as a script.
fn reads(selector: &str, text: &str) -> String {
    format!(
        "[...document.querySelectorAll({selector:?})].findLast((e) => e.textContent === {text:?})"
    )
}

/// A script that answers the card of this agent.
fn card(name: &str) -> String {
    format!("{}?.closest('agent-card')", reads("agent-card .name", name))
}

/// Whether the badge of this agent is purple, as a script.
fn is_purple(name: &str) -> String {
    format!(
        "{}?.querySelector('.badge[data-alive=\"true\"]')?.textContent === '★ REMOTE'",
        card(name)
    )
}

/// Whether it is grey and the card says this part of why, as a script.
fn is_grey(name: &str, why: &str) -> String {
    format!(
        "((card) => card?.querySelector('.badge[data-alive=\"false\"]') && \
         card.querySelector('.note:not([hidden])')?.textContent.includes({why:?}))({})",
        card(name)
    )
}

impl Operator {
    /// Opens the page of a relay; `None` where there is no browser.
    async fn before(relay: &Relay) -> Option<Operator> {
        let browser = Browser::start().await?;
        browser.look(1280, 800, "dark").await;
        let page = format!("http://{}/", relay.admin());
        browser.open(&page).await;
        Some(Operator { browser, page })
    }

    /// As [`Operator::before`], with the admin token given.
    async fn at(relay: &Relay) -> Option<Operator> {
        let operator = Operator::before(relay).await?;
        operator.log_in(&relay.admin_token()).await;
        operator.sees("a live page", &reads("#link .word", "Live")).await;
        Some(operator)
    }

    async fn log_in(&self, token: &str) {
        self.browser.click("document.querySelector('#token')").await;
        self.browser.write(token).await;
        self.browser.press("Enter").await;
    }

    async fn sees(&self, what: &str, script: &str) {
        self.browser.until(what, script).await;
    }

    async fn clicks(&self, selector: &str, text: &str) {
        self.browser.click(&reads(selector, text)).await;
    }

    async fn reads(&self, selector: &str) -> String {
        let script = format!("document.querySelector({selector:?}).textContent");
        self.browser.eval(&script).await.as_str().expect("a text").to_owned()
    }

    /// Confirms what a button of the open panel asks.
    async fn does(&self, button: &str, verb: &str) {
        self.clicks("agent-panel .actions button", button).await;
        self.clicks("dialog[open] button", verb).await;
        self.sees("it is done", "!document.querySelector('dialog')").await;
    }
}

/// The page asks for more than each relay has, and does without; the browser notes it down.
fn is_about_a_missing_call(complaint: &str) -> bool {
    ["404", "405", "501"].iter().any(|status| complaint.contains(&format!("status of {status}")))
}

/// Pauses a workspace, as a script with the admin token would.
async fn pause(relay: &Relay, name: &str) {
    let bearer = format!("Bearer {}", relay.admin_token());
    let url = format!("http://{}/api/workspaces/{name}/pause", relay.admin());
    let answer = Version::Http1.post(&url, &[("Authorization", &bearer)], b"").await;
    assert_eq!(answer.expect("an answer").status, 200);
}

/// A link whose agent has this card and report.
async fn agent(
    join: &str,
    card: Value,
    report: impl FnOnce(&mut shared::control::Status),
) -> RawLink {
    let identity = RawIdentity::join(join).await;
    let mut hello = identity.hello();
    hello.card = card;
    report(&mut hello.status);
    let mut link = identity.connect().await;
    link.send(&ToRelay::Hello(Box::new(hello))).await;
    let answer = link.next().await;
    assert!(matches!(answer, ToConnector::Welcome(_)), "{answer:?}");
    link
}

#[tokio::test]
async fn an_agent_shows_purple_goes_grey_and_comes_back() {
    let mut world = World::builder().lasting_ports().start().await;
    let Some(operator) = Operator::before(&world.relay).await else { return };
    operator.log_in("radm_wrong").await;
    operator
        .sees(
            "no to a wrong token",
            "document.querySelector('#message').textContent.includes('not this relay')",
        )
        .await;
    operator.browser.eval("document.querySelector('#token').value = ''").await;
    operator.log_in(&world.relay.admin_token()).await;
    operator.sees("a purple badge", &is_purple("first")).await;
    operator
        .sees(
            "its transport",
            &format!("{}.textContent.includes('{}')", card("first"), transport()),
        )
        .await;

    assert_eq!(world.connector.stop().await, 0);
    operator.sees("a grey badge and why", &is_grey("first", "link ended")).await;
    operator.sees("one that is offline", "document.querySelector('agent-toolbar [data-status=offline] .count').textContent === '1'").await;
    world.connector.start_again();
    operator.sees("a purple badge again", &is_purple("first")).await;

    // The page outlives the relay, and its session does not.
    world.relay.start_again_on_same_ports().await;
    operator.sees("the login page", "document.querySelector('#token')").await;
    operator.log_in(&world.relay.admin_token()).await;
    operator.sees("a purple badge after a restart", &is_purple("first")).await;
    operator.clicks("button", "Log out").await;
    operator.sees("the login page again", "document.querySelector('#token')").await;
}

#[tokio::test]
async fn an_agent_is_connected_from_the_dialogs_own_line_and_revoked() {
    let relay = Relay::start().await;
    let Some(operator) = Operator::at(&relay).await else { return };
    let local = Agent::start("a2a");
    operator.sees("that there is none", &reads("agent-grid h2", "No agents yet")).await;
    operator.clicks("agent-grid button", "Connect an agent").await;
    operator.browser.write("Mine").await;
    operator.browser.press("Enter").await;
    operator.sees("the line", "document.querySelector('dialog pre')").await;
    let line = operator.reads("dialog pre").await;
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..4], ["agent-connector", "http", "8000", "--join"], "{line}");
    for _ in 0..3 {
        operator.browser.press("Escape").await;
    }
    operator.clicks("dialog [role=tab]", "Fields").await;
    operator
        .sees("each field", &format!("{}.title === {:?}", reads("dialog code", words[4]), words[4]))
        .await;
    operator.clicks("dialog button", "I have saved it").await;
    operator.sees("why it is grey", &is_grey("Mine", "No connector")).await;

    let connector =
        Connector::builder(words[4], local.port()).join_by_argument().start_online().await;
    operator.sees("a purple badge", &is_purple("Mine")).await;
    chat(&operator).await;
    operator.does("Pause…", "Pause").await;
    operator.sees("it paused", &reads("agent-card .label", "Paused")).await;
    operator.does("Resume", "Resume").await;
    operator.sees("it online", &reads("agent-card .label", "Online")).await;
    operator.does("Revoke…", "Revoke").await;
    assert_eq!(connector.process().exit_code(SOON).await, 4);
    operator.sees("a grey badge", &is_grey("Mine", "link ended")).await;
    operator.does("Remove…", "Remove").await;
    operator.sees("that there is none", &reads("agent-grid h2", "No agents yet")).await;
    let complaints = operator.browser.complaints().await;
    assert!(complaints.iter().all(|line| is_about_a_missing_call(line)), "{complaints:?}");
}

/// Sends messages from the open panel, and reads an answer that streams and one that comes whole.
async fn chat(operator: &Operator) {
    operator.clicks("agent-panel [role=tab]", "Chat").await;
    operator.browser.write("stream, please").await;
    operator.browser.press("Enter").await;
    let ended = "document.querySelector('.log .faint')?.textContent === 'Task: completed'";
    operator.sees("how the task ended", ended).await;

    let done = "document.querySelector('.chat form button').textContent === 'Send'";
    operator.sees("that nothing more comes", done).await;
    let whole = "document.querySelector('.way input').click(); \
        document.querySelector('.chat textarea').focus()";
    operator.browser.eval(whole).await;
    operator.browser.write("hello from the canvas").await;
    operator.browser.press("Enter").await;
    operator.sees("an answer", "document.querySelector('.said:not(.mine)')").await;
    let answer = operator.reads(".said:not(.mine)").await;
    assert!(answer.contains("hello from the canvas"), "{answer}");
}

#[tokio::test]
async fn what_an_agent_says_of_itself_runs_nothing() {
    let relay = Relay::start().await;
    let Some(operator) = Operator::at(&relay).await else { return };
    let evil = "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=2</script>";
    let workspace = relay.add_workspace(evil, &[]).await;
    let shown = json!({
        "name": evil, "description": evil, "version": {"a": 1}, "protocolVersion": evil,
        "skills": [{"name": evil, "description": evil, "tags": [evil, 5]}, 7, null, evil, [evil]],
    });
    let _link = agent(&workspace.join, shown, |report| {
        report.current_task = format!("{evil}{}", "x".repeat(4000));
        report.sample_error = evil.to_owned();
        report.runtime_state = evil.to_owned();
        report.error_rate = 0.9;
    })
    .await;
    let other = relay.add_workspace("odd", &[]).await;
    let _odd = agent(&other.join, json!(["no", "object"]), |report| report.active_tasks = 3).await;
    operator.sees("its name as text", &is_purple(evil)).await;
    operator
        .sees(
            "its task as text",
            &format!("{}?.querySelector('.task').textContent.startsWith({evil:?})", card(evil)),
        )
        .await;
    operator.sees("the odd one", &is_purple("odd")).await;
    operator.browser.click(&reads("agent-card .name", evil)).await;
    for page in ["Chat", "Access", "Activity", "Overview"] {
        operator.clicks("agent-panel [role=tab]", page).await;
    }
    operator.sees("its skills as text", &reads("agent-panel .rows .sub", evil)).await;
    operator.clicks("agent-panel .actions button", "Revoke…").await;
    operator.sees("a question", "document.querySelector('dialog h2')").await;
    let pwned = operator.browser.eval("String(window.pwned)").await;
    assert_eq!(pwned, "undefined");
    let made = operator
        .browser
        .eval("document.querySelectorAll('img, main script, agent-panel script').length")
        .await;
    assert_eq!(made, 0, "markup of an agent became elements");
    let complaints = operator.browser.complaints().await;
    assert!(complaints.iter().all(|line| is_about_a_missing_call(line)), "{complaints:?}");
}

#[tokio::test]
async fn the_canvas_can_be_looked_at() {
    let relay = Relay::start().await;
    let Some(operator) = Operator::at(&relay).await else { return };
    let skills: Vec<Value> = ["search", "summarise", "translate", "draft", "cite", "chart"]
        .map(|name| json!({"id": name, "name": name, "description": "Does it well.", "tags": []}))
        .into();
    let mut links = Vec::new();
    for (name, task, error_rate) in [
        ("billing", "Matching 1,204 transactions", 0.0),
        ("deploy-bot", "Rolling back", 0.7),
        ("inbox", "", 0.0),
    ] {
        let workspace = relay.add_workspace(name, &[]).await;
        let card = json!({"name": name, "description": "Does its work.", "skills": skills});
        let link = agent(&workspace.join, card, |report| {
            report.current_task = task.to_owned();
            report.error_rate = error_rate;
            report.active_tasks = 1;
        });
        links.push(link.await);
    }
    relay.add_workspace("new", &["--role", "Plans the week", "--tier", "3"]).await;
    pause(&relay, "inbox").await;
    operator.sees("four agents", "document.querySelectorAll('agent-card').length === 4").await;
    for (part, text) in [(".tier", "T3"), (".role", "Plans the week")] {
        let shown = format!("{}.querySelector({part:?}).textContent === {text:?}", card("new"));
        operator.sees(text, &shown).await;
    }
    let folder: PathBuf = tempfile::tempdir().expect("a folder").keep();
    for (width, colours) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")] {
        operator.browser.look(width, 844, colours).await;
        let fits = "document.documentElement.scrollWidth <= innerWidth";
        operator.sees("no sideways scrolling", fits).await;
        let name = if width < 500 { format!("{colours}-narrow") } else { colours.to_owned() };
        operator.browser.picture(&folder.join(format!("canvas-{name}.png"))).await;
        operator.browser.click(&reads("agent-card .name", "billing")).await;
        operator.sees("details", "!document.querySelector('agent-panel').hidden").await;
        operator.browser.picture(&folder.join(format!("details-{name}.png"))).await;
        operator.browser.press("Escape").await;
        operator.sees("no details", "document.querySelector('agent-panel').hidden").await;
    }
    eprintln!("pictures of the canvas: {}", folder.display());
    let all = operator.browser.eval("document.activeElement.closest('agent-card') !== null").await;
    assert_eq!(all, true, "the keyboard is back where it was");
    assert!(operator.page.ends_with('/'));
}
