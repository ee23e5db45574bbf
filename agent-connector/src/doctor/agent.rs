//! The local agent: whether its port answers, and whether its card can be used.

use serde_json::Value;

use super::get::{NoAnswer, get};
use super::{Finding, Patient, Step, Trouble};
use crate::config::Way;
use crate::forward::exposure::card_paths;

/// Adds what was seen; yields the card if it is one.
pub(super) async fn examine(patient: &Patient, steps: &mut Vec<Finding>) -> Option<Value> {
    let Some(origin) = &patient.agent else {
        steps.push(Finding::bad(
            Step::Agent,
            Trouble::Configuration,
            "nobody has said yet where the agent listens",
            "Name its port: `agent-connector doctor 8000`.",
        ));
        return None;
    };
    let url = origin.url();
    let mut answers = Vec::new();
    for path in card_paths("") {
        let place = format!("{url}{path}");
        match get(&place, &Way::default()).await {
            Ok(answer) => answers.push((path, answer)),
            Err(why) => {
                let (seen, remedy) = match why {
                    NoAnswer::Unreachable(why) => (
                        format!("nobody answers at {url} ({why})"),
                        "Start the agent, or give the connector the port where it listens.",
                    ),
                    NoAnswer::Unreadable(why) => (
                        format!("what answers at {url} speaks no HTTP/1.1 ({why})"),
                        "Give the connector the agent's HTTP port; one of gRPC is named with \
                         `--also grpc=PORT`.",
                    ),
                };
                steps.push(Finding::bad(Step::Agent, Trouble::LocalDown, seen, remedy));
                return None;
            }
        }
    }
    steps.push(Finding::well(Step::Agent, format!("{url} answers over HTTP")));
    let found = answers.iter().find(|(_, answer)| answer.status.is_success());
    let bad =
        |seen: String, remedy: &str| Finding::bad(Step::Card, Trouble::LocalDown, seen, remedy);
    let Some((path, answer)) = found else {
        let told: Vec<String> =
            answers.iter().map(|(path, answer)| format!("{path}: {}", answer.status)).collect();
        steps.push(bad(
            format!("the agent has no card ({})", told.join(", ")),
            "Let the agent serve its card at /.well-known/agent-card.json.",
        ));
        return None;
    };
    let card = match serde_json::from_slice::<Value>(&answer.body) {
        Ok(card) if card.is_object() => card,
        parsed => {
            let why = parsed.err().map_or("it is no object".into(), |error| error.to_string());
            steps.push(bad(
                format!("what the agent serves at {path} is no card in JSON ({why})"),
                "Let the agent serve one JSON object there.",
            ));
            return None;
        }
    };
    let listed =
        ["supportedInterfaces", "additionalInterfaces"].map(|key| card.get(key)?.as_array());
    let listed = listed.into_iter().flatten().flatten().filter_map(|one| text(one, "url"));
    let urls = text(&card, "url").into_iter().chain(listed).count();
    if urls == 0 {
        steps.push(bad(
            format!("the card at {path} names no URL"),
            "Let the card say where the agent takes messages (`url`, or `supportedInterfaces`).",
        ));
        return None;
    }
    let name = text(&card, "name").unwrap_or("without a name");
    let name: String = name.chars().filter(|letter| !letter.is_control()).take(80).collect();
    steps.push(Finding::well(Step::Card, format!("{path} is the card of {name}")));
    Some(card)
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}
