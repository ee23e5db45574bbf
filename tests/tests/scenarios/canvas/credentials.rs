//! The operator gives credentials away at the canvas and takes them back: shown once, used, revoked.

use super::{Operator, SOON, reads};
use serde_json::{Value, json};
use tests::{Relay, World, http, until, world::message};

/// A credential's text, in the dialog that shows it once.
const SHOWN: &str = "dialog[open] pre.secret";
/// Whether all that is open fits into the window.
const FITS: &str = "document.documentElement.scrollWidth <= innerWidth && \
    [...document.querySelectorAll('agent-panel, relay-panel, dialog')] \
        .every((one) => one.scrollWidth <= innerWidth)";

impl Operator {
    /// Gives the keyboard to an input of the form of this name.
    async fn focus(&self, form: &str, input: &str) {
        let script = format!("document.querySelector('form[aria-label={form:?}] {input}').focus()");
        self.browser.eval(&script).await;
    }

    /// Fills a form in and sends it off, with the keyboard alone.
    async fn makes(&self, form: &str, name: Option<&str>, choice: Option<&str>) -> String {
        let there = format!("document.querySelector('form[aria-label={form:?}]')");
        self.sees("a form", &there).await;
        if let Some(choice) = choice {
            let choose = format!("{there}.querySelector('select').value = {choice:?}");
            self.browser.eval(&choose).await;
        }
        match name {
            Some(name) => {
                self.focus(form, "input").await;
                self.browser.write(name).await;
            }
            None => self.focus(form, "button").await,
        }
        self.browser.press("Enter").await;
        self.sees("it, once", &format!("document.querySelector({SHOWN:?})")).await;
        self.sees("that all fits", FITS).await;
        let secret = self.reads(SHOWN).await;
        // Esc does not lose it.
        self.browser.press("Escape").await;
        assert_eq!(self.reads(SHOWN).await, secret);
        self.clicks("dialog[open] button", "I have saved it").await;
        self.sees("no dialog", "!document.querySelector('dialog')").await;
        self.sees("its first letters", &row(&secret)).await;
        let page = self.browser.eval("document.documentElement.outerHTML").await;
        assert!(!page.as_str().expect("a page").contains(&secret), "it is on the page still");
        secret
    }

    /// Revokes the one that begins so.
    async fn revokes(&self, secret: &str) {
        self.browser.click(&format!("{}.querySelector('button.danger')", row(secret))).await;
        self.sees("a question", &reads("dialog[open] button", "Revoke")).await;
        self.clicks("dialog[open] button", "Cancel").await;
        self.sees("no dialog", "!document.querySelector('dialog')").await;
        self.sees("it is still there", &row(secret)).await;
        self.browser.click(&format!("{}.querySelector('button.danger')", row(secret))).await;
        self.clicks("dialog[open] button", "Revoke").await;
        self.sees("no dialog", "!document.querySelector('dialog')").await;
        self.sees("it is gone", &format!("!{}", row(secret))).await;
    }

    /// Waits until the list says that one was used.
    async fn sees_use_of(&self, secret: &str, again: &str) {
        self.sees(
            "its last use",
            &format!("({again}, {}?.textContent.includes('used '))", row(secret)),
        )
        .await;
    }
}

/// The line of the credential with this text, as a script: it is listed by its first letters.
fn row(secret: &str) -> String {
    format!(
        "[...document.querySelectorAll('.rows > li')].find((line) => {{ \
         const prefix = line.firstElementChild.firstChild?.textContent.replace('…', ''); \
         return prefix?.length > 8 && {secret:?}.startsWith(prefix); }})"
    )
}

async fn status_of(relay: &Relay, token: &str, call: &str, body: Option<&Value>) -> u16 {
    relay.api(token, call, body).await.status
}

#[tokio::test]
async fn an_agents_token_and_a_callers_are_made_used_and_revoked() {
    let world = World::builder().workspace_args(&["--callers", "token"]).start().await;
    let (relay, id) = (&world.relay, &world.workspace.workspace_id);
    let Some(operator) = Operator::at(relay).await else { return };
    operator.browser.look(360, 740, "light").await;
    operator.clicks("agent-card .name", "first").await;
    operator.clicks("agent-panel [role=tab]", "Access").await;

    let token = operator.makes("New token", None, None).await;
    assert!(token.starts_with("rtok_"), "no token");
    let state = format!("GET /workspaces/{id}/state");
    assert_eq!(status_of(relay, &token, &state, None).await, 200);
    let turn = "document.querySelector('agent-panel [role=tab][aria-selected=true]').click()";
    operator.sees_use_of(&token, turn).await;
    // Lines that stay the same stay in place while others come: nobody's click is lost.
    operator.browser.eval(&format!("window.line = {}", row(&token))).await;
    let make = format!("POST /workspaces/{id}/tokens");
    let other = relay.api(&relay.admin_token(), &make, Some(&json!({}))).await.json();
    let other = other["auth_token"].as_str().expect("a token");
    operator.sees("another one", &format!("({turn}, {})", row(other))).await;
    assert_eq!(operator.browser.eval(&format!("window.line === {}", row(&token))).await, true);
    operator.revokes(&token).await;
    assert_eq!(status_of(relay, &token, &state, None).await, 401);

    let call = message("message/send", "m-1", "hello");
    let send = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let answer = http::post(&world.endpoint(), &headers, call.to_string().as_bytes()).await;
        answer.expect("an answer").status
    };
    let caller = operator.makes("New caller token", Some("Bob's tool"), Some("604800")).await;
    assert!(caller.starts_with("rcall_"), "no caller token");
    operator
        .sees("whose it is", &format!("{}?.textContent.includes(\"Bob's tool\")", row(&caller)))
        .await;
    operator.sees("its end", &format!("{}?.textContent.includes('expires ')", row(&caller))).await;
    assert_eq!(send(&caller).await, 200);
    operator.browser.look(360, 740, "dark").await;
    operator.sees("that all fits", FITS).await;
    operator.revokes(&caller).await;
    assert_eq!(send(&caller).await, 401);
    assert_eq!(operator.browser.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_key_of_the_organisation_is_made_used_and_revoked() {
    let relay = Relay::start().await;
    let Some(operator) = Operator::at(&relay).await else { return };
    operator.browser.look(360, 740, "dark").await;
    // The button is reached and pressed by the keyboard.
    operator.browser.eval("document.querySelector('#relay').focus()").await;
    operator.browser.press("Enter").await;
    operator.sees("the keys", "!document.querySelector('relay-panel').hidden").await;
    let none = reads(
        "relay-panel .faint",
        "No key was made. The admin token opens everything, and belongs to the operator alone.",
    );
    operator.sees("that there is none", &none).await;

    let key = operator.makes("New key", Some("ci"), Some("admin")).await;
    assert!(key.starts_with("okey_"), "no key");
    operator
        .sees("its scope", &format!("{}?.textContent.includes('scope admin')", row(&key)))
        .await;
    let new = json!({"name": "made with it"});
    assert_eq!(status_of(&relay, &key, "POST /workspaces", Some(&new)).await, 201);
    let reader = operator.makes("New key", Some("dashboard"), Some("read")).await;
    assert_eq!(status_of(&relay, &reader, "GET /workspaces", None).await, 200);
    assert_eq!(status_of(&relay, &reader, "POST /workspaces", Some(&new)).await, 403);
    operator.revokes(&key).await;
    assert_eq!(status_of(&relay, &key, "POST /workspaces", Some(&new)).await, 401);
    assert_eq!(status_of(&relay, &reader, "GET /workspaces", None).await, 200, "the other stays");

    operator.browser.press("Escape").await;
    operator.sees("no keys", "document.querySelector('relay-panel').hidden").await;
    let back = async || operator.browser.eval("document.activeElement.id").await == "relay";
    until("the keyboard is back where it was", SOON, back).await;
    assert_eq!(operator.browser.complaints().await, Vec::<String>::new());
}
