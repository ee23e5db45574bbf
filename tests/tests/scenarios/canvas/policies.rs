//! The operator sets policies at the canvas, and they hold at once.

use super::Operator;
use serde_json::json;
use tests::{World, world::message};

impl Operator {
    /// An input of the page of policies, as a script.
    fn policy(name: &str) -> String {
        format!("document.querySelector('form[aria-label=Policies] [name={name}]')")
    }

    /// Writes into an input, in the place of what is there, and leaves it.
    async fn fills(&self, name: &str, text: &str) {
        let input = Self::policy(name);
        self.browser.eval(&format!("{input}.focus(); {input}.select()")).await;
        self.browser.write(text).await;
        self.browser.press("Enter").await;
    }
}

#[tokio::test]
async fn a_policy_that_is_set_at_the_canvas_holds_at_once() {
    let world = World::new().await;
    let (relay, id) = (&world.relay, world.workspace.workspace_id.as_str());
    let Some(operator) = Operator::at(relay).await else { return };
    operator.clicks("agent-card .name", "first").await;
    operator.clicks("agent-panel [role=tab]", "Policies").await;
    let callers = Operator::policy("callers");
    operator.sees("the policy", &format!("{callers}?.value === 'link'")).await;

    let keep_alive = Operator::policy("keep_alive");
    operator.sees("that it is on", &format!("{keep_alive}.checked")).await;
    operator.browser.click(&keep_alive).await;
    operator.sees("it is told", &format!("!{keep_alive}.checked && !{keep_alive}.disabled")).await;
    assert_eq!(relay.show_workspace(id).await["keep_alive"], false);

    operator.fills("methods", "get, send").await;
    let methods = Operator::policy("methods");
    operator.sees("it in order", &format!("{methods}.value === 'send,get'")).await;
    let refused = world.call(message("message/stream", "m-1", "x")).await;
    assert_eq!(refused.relay_error(), Some("RELAY_FORBIDDEN"), "{refused:?}");
    operator.fills("methods", "sned").await;
    let wrong = "document.querySelector('agent-panel .page > .wrong').textContent";
    operator.sees("what is wrong", &format!("{wrong}.includes('push-set')")).await;
    assert_eq!(relay.show_workspace(id).await["methods"], "send,get");

    operator.fills("rate", "0.01").await;
    let rate = Operator::policy("rate");
    operator.sees("it is taken", &format!("{wrong} === '' && !{rate}.disabled")).await;
    assert_eq!(relay.show_workspace(id).await["rate"], 0.01);
    assert_eq!(world.call(message("message/send", "m-2", "x")).await.status, 200);
    assert_eq!(world.call(message("message/send", "m-3", "x")).await.status, 429);

    // What is changed elsewhere shows as well.
    let set = ["workspace", "set", id, "--callers", "open", "--rate", "off"];
    assert_eq!(relay.cli(&set).await.code, 0);
    operator.browser.eval("document.activeElement.blur()").await;
    operator
        .sees("the change", &format!("{callers}.value === 'open' && {rate}.value === ''"))
        .await;
    assert_eq!(relay.show_workspace(id).await["rate"], json!(null));
    let complaints = operator.browser.complaints().await;
    assert!(complaints.iter().all(|line| line.contains("status of 400")), "{complaints:?}");
}
