//! The ledger: joins what callers were told with what the agent saw, by request id.

use crate::{
    Cut, Ending, Fingerprint, RawResponse,
    agent::{BodySeen, Delivery},
    http::EventParser,
};
use std::{collections::HashMap, fmt};

/// How a call ended at the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// A head, and all of the body by its framing.
    Complete,
    /// A head, and the body broke off.
    Cut,
    /// Not even a head.
    NoAnswer,
}

/// What one caller knows of one call.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The `x-test-id` (or `messageId`) that it sent.
    pub id: String,
    /// The status, if there was a head.
    pub status: Option<u16>,
    /// The relay's `X-Relay-Delivery`, or what its last event says in a stream that broke off.
    pub delivery: Option<String>,
    /// How it ended.
    pub end: CallEnd,
    /// What it sent.
    pub sent: Option<Fingerprint>,
    /// The answer that it should get, if it knows.
    pub expected: Option<Fingerprint>,
    /// The answer that it got.
    pub received: Option<Fingerprint>,
}

impl Outcome {
    /// The outcome of a call as the raw client saw it.
    #[must_use]
    pub fn of(id: &str, answer: &Result<RawResponse, Cut>) -> Outcome {
        let answer = answer.as_ref().ok();
        Outcome {
            id: id.to_owned(),
            status: answer.map(|answer| answer.status),
            delivery: answer.and_then(delivery),
            end: match answer.map(|answer| &answer.ending) {
                Some(Ending::Complete) => CallEnd::Complete,
                Some(Ending::Cut(_)) => CallEnd::Cut,
                None => CallEnd::NoAnswer,
            },
            sent: None,
            expected: None,
            received: answer.map(RawResponse::fingerprint),
        }
    }

    /// Adds what was sent.
    #[must_use]
    pub fn sent(mut self, body: &[u8]) -> Outcome {
        self.sent = Some(Fingerprint::of(body));
        self
    }

    /// Adds what the answer should be.
    #[must_use]
    pub fn expecting(mut self, body: &[u8]) -> Outcome {
        self.expected = Some(Fingerprint::of(body));
        self
    }

    fn is_success(&self) -> bool {
        self.end == CallEnd::Complete && self.status.is_some_and(|status| status / 100 == 2)
    }
}

fn delivery(answer: &RawResponse) -> Option<String> {
    let marked = answer.delivery().map(str::to_owned);
    marked.or_else(|| {
        let mut events = EventParser::default();
        events.add(if answer.is_complete() { b"" } else { &answer.body });
        let last = std::iter::from_fn(|| events.next_event()).last()?;
        let last: serde_json::Value = serde_json::from_str(&last.data).ok()?;
        last["error"]["data"][0]["metadata"]["delivery"].as_str().map(str::to_owned)
    })
}

/// The verdicts; each entry names the id and what is wrong.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Calls that were joined.
    pub calls: usize,
    /// Calls that ended well.
    pub succeeded: usize,
    /// 2xx and complete at the caller, but the agent never had the whole request.
    pub lost: Vec<String>,
    /// More than one head at the agent for one call.
    pub doubled: Vec<String>,
    /// A body that one side takes for complete although it differs from what was sent.
    pub truncated_as_complete: Vec<String>,
    /// A delivery claim that the journal proves wrong.
    pub contradictions: Vec<String>,
}

impl Ledger {
    /// Joins outcomes and journal.
    #[must_use]
    pub fn join(outcomes: &[Outcome], journal: &[Delivery]) -> Ledger {
        let mut by_id: HashMap<&str, Vec<&Delivery>> = HashMap::new();
        for delivery in journal {
            by_id.entry(&delivery.id).or_default().push(delivery);
        }
        let mut ledger = Ledger::default();
        for outcome in outcomes {
            let deliveries = by_id.get(outcome.id.as_str()).map_or(&[][..], Vec::as_slice);
            ledger.judge(outcome, deliveries);
        }
        ledger
    }

    fn judge(&mut self, outcome: &Outcome, deliveries: &[&Delivery]) {
        self.calls += 1;
        self.succeeded += usize::from(outcome.is_success());
        let id = &outcome.id;
        let whole: Vec<_> = deliveries.iter().filter_map(|d| d.whole_body()).collect();
        if outcome.is_success() && whole.is_empty() {
            let seen: Vec<&BodySeen> = deliveries.iter().map(|delivery| &delivery.body).collect();
            self.lost.push(format!("{id}: answered {:?}, agent saw {seen:?}", outcome.status));
        }
        if deliveries.len() > 1 {
            self.doubled.push(format!("{id}: {} heads at the agent", deliveries.len()));
        }
        let differs = |a: &Option<Fingerprint>, b: &Fingerprint| a.as_ref().is_some_and(|a| a != b);
        for seen in whole.iter().filter(|seen| differs(&outcome.sent, seen)) {
            let sent = &outcome.sent;
            self.truncated_as_complete.push(format!("{id}: sent {sent:?}, agent saw {seen:?}"));
        }
        if let (true, Some(received)) = (outcome.is_success(), &outcome.received)
            && differs(&outcome.expected, received)
        {
            let expected = &outcome.expected;
            self.truncated_as_complete
                .push(format!("{id}: expected {expected:?}, got {received:?}"));
        }
        match (outcome.delivery.as_deref(), deliveries.len()) {
            (Some("not-sent"), 1..) => {
                self.contradictions
                    .push(format!("{id}: called not-sent, but the agent has its head"));
            }
            (Some("delivered"), 0) => {
                self.contradictions
                    .push(format!("{id}: called delivered, but the agent has no head"));
            }
            (Some("not-sent" | "maybe" | "delivered") | None, _) => {}
            (Some(other), _) => self.contradictions.push(format!("{id}: no delivery is {other:?}")),
        }
    }

    /// True without any finding.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        [&self.lost, &self.doubled, &self.truncated_as_complete, &self.contradictions]
            .iter()
            .all(|findings| findings.is_empty())
    }

    /// # Panics
    /// Shows all findings, if there are any, or that nothing was joined at all.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.calls > 0, "an empty ledger proves nothing");
        assert!(self.is_clean(), "{self}");
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} calls, {} succeeded", self.calls, self.succeeded)?;
        let kinds = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("truncated, taken for complete", &self.truncated_as_complete),
            ("contradiction", &self.contradictions),
        ];
        for (kind, findings) in kinds {
            for finding in findings {
                writeln!(f, "{kind}: {finding}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Journal;

    /// The journal's entry of a body that came whole, broke off, or is still coming.
    fn delivery(id: &str, body: Option<&[u8]>) -> Delivery {
        let journal = Journal::default();
        let entry = journal.head("POST", "/a2a", vec![("x-test-id".to_owned(), id.to_owned())]);
        match body {
            Some(body) => entry.complete(Fingerprint::of(body)),
            None => entry.cut(1),
        }
        journal.deliveries().remove(0)
    }

    fn outcome(status: u16, delivery: Option<&str>, end: CallEnd, received: &[u8]) -> Outcome {
        Outcome {
            id: "x".to_owned(),
            status: (end != CallEnd::NoAnswer).then_some(status),
            delivery: delivery.map(str::to_owned),
            end,
            sent: Some(Fingerprint::of(b"ask")),
            expected: Some(Fingerprint::of(b"answer")),
            received: Some(Fingerprint::of(received)),
        }
    }

    /// Counts of lost, doubled, truncated, contradictions.
    fn counts(outcome: Outcome, journal: &[Delivery]) -> [usize; 4] {
        let ledger = Ledger::join(&[outcome], journal);
        let counts = [
            ledger.lost.len(),
            ledger.doubled.len(),
            ledger.truncated_as_complete.len(),
            ledger.contradictions.len(),
        ];
        assert_eq!(ledger.is_clean(), counts == [0; 4]);
        counts
    }

    #[test]
    fn each_verdict_is_found_and_only_that() {
        use CallEnd::{Complete, Cut, NoAnswer};
        let whole = || delivery("x", Some(b"ask"));
        let ok = || outcome(200, None, Complete, b"answer");
        assert_eq!(counts(ok(), &[whole(), delivery("other", Some(b"?"))]), [0; 4]);
        assert_eq!(counts(ok(), &[]), [1, 0, 0, 0]);
        assert_eq!(counts(ok(), &[delivery("x", None)]), [1, 0, 0, 0]);
        assert_eq!(counts(ok(), &[whole(), whole()]), [0, 1, 0, 0]);
        assert_eq!(counts(outcome(200, None, Complete, b"answ"), &[whole()]), [0, 0, 1, 0]);
        assert_eq!(counts(outcome(200, None, Cut, b"answ"), &[whole()]), [0; 4]);
        assert_eq!(counts(ok(), &[delivery("x", Some(b"as"))]), [0, 0, 1, 0]);
        let refused = |delivery| outcome(503, Some(delivery), Complete, b"refused");
        assert_eq!(counts(refused("not-sent"), &[]), [0; 4]);
        assert_eq!(counts(refused("not-sent"), &[delivery("x", None)]), [0, 0, 0, 1]);
        assert_eq!(counts(refused("delivered"), &[]), [0, 0, 0, 1]);
        assert_eq!(counts(refused("delivered"), &[whole()]), [0; 4]);
        assert_eq!(counts(refused("maybe"), &[]), [0; 4]);
        assert_eq!(counts(refused("maybe"), &[whole()]), [0; 4]);
        assert_eq!(counts(refused("perhaps"), &[]), [0, 0, 0, 1]);
        assert_eq!(counts(outcome(0, None, NoAnswer, b""), &[whole()]), [0; 4]);
        assert_eq!(counts(outcome(0, None, NoAnswer, b""), &[]), [0; 4]);
    }

    #[test]
    #[should_panic(expected = "proves nothing")]
    fn an_empty_ledger_is_no_proof() {
        Ledger::join(&[], &[]).assert_clean();
    }
}
