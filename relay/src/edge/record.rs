//! What is noted of one exchange: its access line and its counters, written when it is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use shared::codes::Delivery;
use shared::ids::{Generation, WorkspaceId};

use super::failure::Verdict;
use super::load::Place;
use super::mark::Mark;
use super::observed::Observed;
use super::trace::TraceId;
use crate::access_log::{self, Value};
use crate::metrics::{Metrics, Outcome};

/// One exchange's record. Dropped before its end, it says that the caller left.
#[derive(Debug)]
pub struct Record {
    /// The relay's name for the request.
    pub request_id: HeaderValue,
    /// Whose agent it is for.
    pub workspace: WorkspaceId,
    /// Who calls, by a credential of the relay.
    pub caller: Option<String>,
    /// What carried it.
    pub carrier: Carrier,
    /// What it is as A2A.
    pub observed: Observed,
    /// Whether the agent got it.
    pub delivery: Delivery,
    /// The status that the caller got, 499 for one that left before.
    pub status: u16,
    /// Bytes of the answer's body that went to the caller.
    pub answer_bytes: u64,
    /// How often it went on over another link.
    continued: u32,
    /// The relay's code, if it refused.
    code: Option<&'static str>,
    outcome: Outcome,
    started: Instant,
    metrics: Arc<Metrics>,
    teller: Teller,
    _place: Place,
}

/// Which record tells of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Teller {
    /// This one.
    This,
    /// One that begins where this one ends.
    Another,
}

/// What carries an exchange to its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Nothing has.
    Nothing,
    /// This link.
    Link(Generation),
    /// A connection to the agent's own URL.
    Url,
    /// Nothing: what came of the same message before is its answer.
    Memory,
}

impl Record {
    /// Begins a record. Boxed, since it goes from hand to hand.
    pub fn begin(
        metrics: &Arc<Metrics>,
        request_id: HeaderValue,
        workspace: WorkspaceId,
        observed: Observed,
        caller: Option<String>,
        place: Place,
    ) -> Box<Self> {
        metrics.streams_in_flight.inc();
        Box::new(Self {
            request_id,
            workspace,
            caller,
            carrier: Carrier::Nothing,
            observed,
            delivery: Delivery::NotSent,
            status: 499,
            answer_bytes: 0,
            continued: 0,
            code: None,
            outcome: Outcome::CallerLeft,
            started: Instant::now(),
            metrics: Arc::clone(metrics),
            teller: Teller::This,
            _place: place,
        })
    }

    /// Ends it without a word: the exchange begins anew, and so does its record.
    pub fn told_by_another(mut self: Box<Self>) {
        self.teller = Teller::Another;
    }

    /// The head of the answer came.
    pub fn answered(&mut self, status: u16) {
        self.status = status;
        self.delivery = Delivery::Delivered;
        self.metrics.answer_head(self.started.elapsed());
    }

    /// It went on over another link so often, all in all.
    pub fn continued(&mut self, times: u32) {
        self.metrics.exchanges_continued.inc_by(u64::from(times.saturating_sub(self.continued)));
        self.continued = times;
    }

    /// The answer is complete.
    pub fn complete(&mut self) {
        self.outcome = Outcome::Complete;
    }

    /// The answer was cut.
    pub fn cut(&mut self) {
        self.outcome = Outcome::Cut;
    }

    /// The relay refused.
    pub fn refused(&mut self, verdict: &Verdict) {
        self.status = verdict.status.as_u16();
        self.delivery = verdict.delivery;
        self.code = Some(verdict.code);
        self.outcome = Outcome::Refused;
    }

    /// The relay's counters, to share.
    pub fn shared_metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Body bytes went to the caller.
    pub fn passed(&mut self, bytes: usize) {
        if self.observed.first.is_none() && self.observed.events.is_none() {
            self.observed.first = Some(self.started.elapsed());
        }
        self.answer_bytes += bytes as u64;
        self.metrics.bytes_to_callers.inc_by(bytes as u64);
    }

    /// The answer is a stream of events.
    pub fn streams_events(&mut self) {
        self.observed.stream = true;
        self.observed.events = Some(0);
    }

    /// So many events of a stream have gone to the caller by now.
    pub fn passed_events(&mut self, events: u64) {
        if self.observed.first.is_none() && events > 0 {
            let first = self.started.elapsed();
            self.observed.first = Some(first);
            self.metrics.first_event(first);
        }
        let before = self.observed.events.replace(events).unwrap_or_default();
        self.metrics.events.inc_by(events.saturating_sub(before));
    }

    /// The relay's counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.metrics.streams_in_flight.dec();
        if self.teller == Teller::Another {
            return;
        }
        let Observed { binding, method, .. } = self.observed;
        self.metrics.request(binding, method, self.outcome, took);
        if access_log::is_on() {
            self.write_line(took);
        }
    }
}

impl Record {
    fn write_line(&self, took: Duration) {
        let (link, via) = match self.carrier {
            Carrier::Link(generation) => (Some(generation.0), Some("link")),
            Carrier::Url => (None, Some("url")),
            Carrier::Memory => (None, Some("memory")),
            Carrier::Nothing => (None, None),
        };
        let Observed { binding, method, task, context, trace, stream, events, first } =
            self.observed;
        access_log::line(&[
            ("request", Value::Word(self.request_id.to_str().unwrap_or_default())),
            ("caller", self.caller.as_deref().into()),
            ("workspace", Value::Name(&self.workspace)),
            ("via", via.into()),
            ("link", link.into()),
            ("binding", Value::Word(binding.name())),
            ("method", Value::Word(method.word())),
            ("task", task.as_ref().map(Mark::as_str).into()),
            ("context", context.as_ref().map(Mark::as_str).into()),
            ("trace", trace.as_ref().map(TraceId::as_str).into()),
            ("stream", Value::Flag(stream)),
            ("status", Value::Number(self.status.into())),
            ("code", self.code.into()),
            ("delivery", Value::Word(self.delivery.name())),
            ("continued", Value::Number(self.continued.into())),
            ("outcome", Value::Word(self.outcome.name())),
            ("bytes", Value::Number(self.answer_bytes)),
            ("events", events.into()),
            ("first_ms", first.map_or(Value::Nothing, Value::milliseconds)),
            ("ms", Value::milliseconds(took)),
        ]);
    }
}
