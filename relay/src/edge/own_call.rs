//! What is noted of a call that an agent makes over its own link: its access line and its counters.
//!
//! A call that is carried on to an agent is an exchange, of which its [`super::record::Record`] tells.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Response};
use shared::wire::RequestHead;

use super::push;
use super::route::{Route, route};
use crate::access_log::{self, Value};
use crate::admin::Api;
use crate::card::signing::KEYS_PATH;
use crate::metrics::{Metrics, Outcome};
use crate::tunnel::outbound::Speaker;

/// One call's note. Dropped before the answer was delivered, it says that the agent left.
#[derive(Debug)]
pub(super) struct OwnCall {
    request_id: HeaderValue,
    speaker: Arc<Speaker>,
    method: Method,
    /// What was asked, without what a path may hold.
    form: &'static str,
    status: u16,
    code: Option<String>,
    outcome: Outcome,
    answer_bytes: u64,
    started: Instant,
    metrics: Arc<Metrics>,
    teller: Teller,
}

/// Who tells of the call.
#[derive(Debug, PartialEq, Eq)]
enum Teller {
    /// This note.
    Note,
    /// The record of the exchange that it became.
    Exchange,
}

impl OwnCall {
    /// Begins a note.
    pub(super) fn begin(
        metrics: &Arc<Metrics>,
        request_id: HeaderValue,
        speaker: Arc<Speaker>,
        head: &RequestHead,
    ) -> Self {
        metrics.streams_in_flight.inc();
        Self {
            request_id,
            speaker,
            method: head.method.clone(),
            form: form(head.target.path()),
            status: 499,
            code: None,
            outcome: Outcome::CallerLeft,
            answer_bytes: 0,
            started: Instant::now(),
            metrics: Arc::clone(metrics),
            teller: Teller::Note,
        }
    }

    /// The call is about to be carried on.
    pub(super) fn becomes_exchange(&mut self) {
        if self.teller == Teller::Note {
            self.metrics.streams_in_flight.dec();
            self.teller = Teller::Exchange;
        }
    }

    /// It was refused before there was an exchange.
    pub(super) fn became_none(&mut self) {
        if self.teller == Teller::Exchange {
            self.metrics.streams_in_flight.inc();
            self.teller = Teller::Note;
        }
    }

    /// There is an answer.
    pub(super) fn answered<B>(&mut self, response: &Response<B>) {
        self.status = response.status().as_u16();
        let code = response.headers().get("x-relay-error").and_then(|code| code.to_str().ok());
        self.code = code.map(str::to_owned);
    }

    /// Body bytes went to the agent.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.answer_bytes += bytes as u64;
    }

    /// The agent has the whole answer.
    pub(super) fn complete(&mut self) {
        self.outcome = if self.code.is_some() { Outcome::Refused } else { Outcome::Complete };
    }

    /// The call or its answer was cut.
    pub(super) fn cut(&mut self) {
        self.outcome = Outcome::Cut;
    }

    fn write_line(&self, took: Duration) {
        let caller = self.speaker.workspace.map(|id| id.to_string());
        access_log::line(&[
            ("request", Value::Word(self.request_id.to_str().unwrap_or_default())),
            ("caller", caller.as_deref().into()),
            ("link", self.speaker.generation.map(|generation| generation.0).into()),
            ("verb", Value::Word(self.method.as_str())),
            ("call", Value::Word(self.form)),
            ("status", Value::Number(self.status.into())),
            ("code", self.code.as_deref().into()),
            ("outcome", Value::Word(self.outcome.name())),
            ("bytes", Value::Number(self.answer_bytes)),
            ("ms", Value::milliseconds(took)),
        ]);
    }
}

impl Drop for OwnCall {
    fn drop(&mut self) {
        if self.teller == Teller::Exchange {
            return;
        }
        let took = self.started.elapsed();
        self.metrics.streams_in_flight.dec();
        self.metrics.own_call(self.outcome, took);
        if access_log::is_on() {
            self.write_line(took);
        }
    }
}

/// What a path asks for, in words of ours: it may hold an address, and anything else.
fn form(path: &str) -> &'static str {
    if path == push::PATH {
        return push::PATH;
    }
    match route(path) {
        Route::Api => Api::form(path).unwrap_or("(nothing)"),
        Route::Health => "/healthz",
        Route::Ready => "/readyz",
        Route::CardKeys => KEYS_PATH,
        Route::Send(None) => "/a2a",
        Route::Send(Some(_)) => "/workspaces/{id}/a2a",
        Route::Agent { .. } => "/agents/{name}/",
        Route::Bridged(_) => "/molecule/{address}",
        Route::Secrets | Route::MissingSlash | Route::NoAgent | Route::Nothing => "(nothing)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_tells_nothing_of_what_stands_in_the_path() {
        for (path, expected) in [
            ("/registry/register", "/registry/register"),
            ("/workspaces/ws_x/secrets/KEY", "/workspaces/{id}/secrets/{key}"),
            ("/workspaces/ws_x/a2a", "/workspaces/{id}/a2a"),
            ("/agents/a_aaaaaaaaaaaaaaaaaaaaaaaaaa/a2a", "/agents/{name}/"),
            ("/workspaces/x/y/z\"", "(nothing)"),
            ("/\"\u{7}", "(nothing)"),
            ("/readyz", "/readyz"),
            ("/push", "/push"),
            ("/push/x", "(nothing)"),
        ] {
            assert_eq!(form(path), expected, "{path}");
        }
    }
}
