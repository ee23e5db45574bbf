//! The life of one link: its control stream from HELLO to the end.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use certs::{Identity, PendingKey, StateDir};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use shared::codes::CloseCode;
use shared::control::{Hello, Message, Status, ToConnector, ToRelay, Welcome};
use shared::control_stream::{ControlEvent, ControlReader, ControlWriter};
use shared::flow::LinkFlow;
use shared::ids::InstanceId;
use shared::limits::LINK_WRITE_TIMEOUT;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::dial::Dialed;
use super::enrol;
use super::error::LinkError;
use super::first::{Opened, SOFTWARE, ask, close, of_control, version};
use super::liveness::{Call, Vigil};
use super::streams::Streams;
use crate::forward::Agent;
use crate::forward::target::Description;

/// Open exchanges may finish for this long once a link takes no more.
const GRACE: Duration = Duration::from_secs(30);
/// Between two looks at whether the relay is still there.
const VIGIL_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at the certificate's age.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3600);
/// No relay makes a connector ping or report more often.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Bounds of the wait for the relay's word that it read DRAIN.
const DRAIN_ANSWER_MIN: Duration = Duration::from_millis(40);
const DRAIN_ANSWER_MAX: Duration = Duration::from_millis(500);
/// For the last packet to leave.
const LAST_PACKET: Duration = Duration::from_millis(5);

/// What every link of this process shares.
pub(crate) struct Process {
    pub(crate) instance: InstanceId,
    pub(crate) started: Instant,
    pub(crate) agent: Arc<Agent>,
    pub(crate) state: StateDir,
    /// Over the relay's wish.
    pub(crate) heartbeat_interval: Option<Duration>,
}

/// A link that takes exchanges.
pub(crate) struct Session {
    process: Arc<Process>,
    identity: Arc<Identity>,
    connection: Connection,
    _socket: Endpoint,
    reader: ControlReader<RecvStream>,
    writer: ControlWriter<SendStream>,
    flow: LinkFlow,
    streams: Streams,
    answers: watch::Receiver<Option<bool>>,
    description: watch::Receiver<Arc<Description>>,
    vigil: Vigil,
    pings: u64,
    ticks: Ticks,
    acks: BytesMut,
    renewal: Option<PendingKey>,
}

struct Ticks {
    ping: Interval,
    heartbeat: Interval,
    vigil: Interval,
    renewal: Interval,
}

/// Why a link takes no new exchanges any more.
#[derive(Debug)]
pub(crate) enum Departure {
    /// It is gone, with everything on it.
    Lost(LinkError),
    /// What is open goes on; dial again after this time.
    Retire(Duration),
    /// Another connector took over; what is open goes on.
    Replaced,
    /// This process ends.
    Shutdown,
}

/// What happened besides.
#[derive(Debug)]
pub(crate) enum News {
    /// The public base changed.
    PublicUrl(String),
    /// There is a new certificate.
    Renewed(Arc<Identity>),
}

enum Event {
    Control(Result<ControlEvent<ToConnector>, LinkError>),
    AcksDue,
    Ping,
    Heartbeat,
    Vigil,
    Renewal,
    AgentChanged,
    Described,
}

/// How the exchange of a message and its answer ended.
type Turn = Result<Option<Departure>, LinkError>;

impl Session {
    /// Says HELLO on `dialed` and waits for WELCOME.
    pub(crate) async fn open(
        dialed: Dialed,
        process: Arc<Process>,
        identity: Arc<Identity>,
        attempt: u64,
    ) -> Result<(Self, Welcome, String), LinkError> {
        let mut answers = process.agent.watch_answers();
        let mut description = process.agent.watch_description();
        let status = status(&process, *answers.borrow_and_update(), 0);
        let known = Arc::clone(&description.borrow_and_update());
        let hello = hello(&process, &identity, attempt, status, &known);
        let (answer, opened) = ask(dialed, &hello).await?;
        let ToConnector::Welcome(welcome) = answer else {
            close(&opened.connection, CloseCode::Protocol);
            return Err(LinkError::Malformed("HELLO was not answered by WELCOME".into()));
        };
        let Opened { connection, socket, endpoint, reader, writer } = opened;
        let flow = LinkFlow::default();
        let agent = Arc::clone(&process.agent);
        let session = Self {
            streams: Streams::accept(connection.clone(), flow.clone(), agent),
            ticks: Ticks::new(&welcome, process.heartbeat_interval),
            vigil: Vigil::new(std::time::Instant::now()),
            acks: BytesMut::new(),
            pings: 0,
            renewal: None,
            _socket: socket,
            process,
            identity,
            connection,
            reader,
            writer,
            flow,
            answers,
            description,
        };
        Ok((session, *welcome, endpoint))
    }

    /// Serves the link until it takes no new exchanges. `news` is told what changes meanwhile.
    pub(crate) async fn serve<F: Future<Output = ()>>(
        &mut self,
        mut shutdown: Pin<&mut F>,
        mut news: impl FnMut(News),
    ) -> Departure {
        loop {
            let event = tokio::select! {
                biased;
                () = shutdown.as_mut() => return Departure::Shutdown,
                event = self.next() => event,
            };
            match self.handle(event, &mut news).await {
                Ok(None) => {}
                Ok(Some(departure)) => return departure,
                Err(error) => return Departure::Lost(self.end(error)),
            }
        }
    }

    /// Lets what is open finish, within bounds, and closes the link.
    pub(crate) async fn wind_down(mut self) {
        let deadline = Instant::now() + GRACE;
        loop {
            let event = tokio::select! {
                biased;
                () = self.streams.idle() => break,
                () = sleep_until(deadline) => break,
                event = self.next() => event,
            };
            if let Err(error) = self.handle(event, &mut |_| {}).await {
                self.end(error);
                return;
            }
        }
        self.close_done().await;
    }

    /// Tells the relay that this process ends, refuses what is new and lets the rest finish.
    pub(crate) async fn drain(mut self) {
        let last_exchange = self.streams.refuse_new();
        if self.send(&ToRelay::Drain { last_exchange }).await.is_err() || self.ping().await.is_err()
        {
            return;
        }
        // What the relay opened before it read DRAIN is on its way and is refused in words; closing
        // first would leave its callers in doubt.
        let patience = (2 * self.connection.rtt()).clamp(DRAIN_ANSWER_MIN, DRAIN_ANSWER_MAX);
        let deadline = Instant::now() + patience;
        loop {
            let event = tokio::select! {
                () = sleep_until(deadline) => break,
                event = self.next() => event,
            };
            let answered = matches!(
                &event,
                Event::Control(Ok(ControlEvent::Message(ToConnector::Pong { seq })))
                    if *seq == self.pings
            );
            if let Err(error) = self.handle(event, &mut |_| {}).await {
                self.end(error);
                return;
            }
            if answered {
                break;
            }
        }
        self.wind_down().await;
    }

    async fn close_done(&self) {
        close(&self.connection, CloseCode::Done);
        // quinn sends it from a task of its own.
        tokio::time::sleep(LAST_PACKET).await;
    }

    /// Names the end of the link; one that we end is closed.
    fn end(&self, error: LinkError) -> LinkError {
        match self.connection.close_reason() {
            Some(reason) => LinkError::of_loss(&reason),
            None => {
                close(&self.connection, CloseCode::Protocol);
                error
            }
        }
    }

    /// Waits for what happens next. Cancel safe.
    async fn next(&mut self) -> Event {
        let Self { reader, flow, acks, ticks, answers, description, .. } = self;
        tokio::select! {
            event = reader.next::<ToConnector>() => Event::Control(event.map_err(of_control)),
            () = poll_fn(|cx| flow.poll_due(cx, acks)) => Event::AcksDue,
            _ = ticks.ping.tick() => Event::Ping,
            _ = ticks.vigil.tick() => Event::Vigil,
            _ = ticks.heartbeat.tick() => Event::Heartbeat,
            _ = ticks.renewal.tick() => Event::Renewal,
            Ok(()) = answers.changed() => Event::AgentChanged,
            Ok(()) = description.changed() => Event::Described,
        }
    }

    async fn handle(&mut self, event: Event, news: &mut impl FnMut(News)) -> Turn {
        match event {
            Event::Control(event) => match event? {
                ControlEvent::Message(message) => return self.obey(message, news).await,
                ControlEvent::Unknown(what) => self.send(&ToRelay::Unsupported { what }).await?,
                ControlEvent::Acks(acks) => self
                    .flow
                    .acknowledge(&acks)
                    .map_err(|error| LinkError::Malformed(error.to_string()))?,
                // Nothing is kept for exchanges that are over.
                ControlEvent::Done(_) => {}
            },
            Event::AcksDue => self.send_acks().await?,
            Event::Ping => self.ping().await?,
            Event::Vigil => self.look().await?,
            Event::Heartbeat | Event::AgentChanged => self.report().await?,
            Event::Renewal => self.renew_if_due().await?,
            Event::Described => self.describe().await?,
        }
        Ok(None)
    }

    async fn obey(&mut self, message: ToConnector, news: &mut impl FnMut(News)) -> Turn {
        match message {
            ToConnector::Ping { seq } => self.send(&ToRelay::Pong { seq }).await?,
            ToConnector::PublicUrl { public_url } => {
                self.process.agent.set_public_url(&public_url);
                news(News::PublicUrl(public_url));
            }
            ToConnector::Drain { grace_ms } => {
                tracing::info!(grace_ms, "the relay shuts down");
                return Ok(Some(Departure::Retire(Duration::ZERO)));
            }
            ToConnector::Restarting { reconnect_in_ms } => {
                tracing::info!(reconnect_in_ms, "the relay restarts");
                let after = Duration::from_millis(reconnect_in_ms);
                return Ok(Some(Departure::Retire(after)));
            }
            ToConnector::Replaced { by } => {
                tracing::warn!(%by, "another connector with this identity took over; stop one");
                return Ok(Some(Departure::Replaced));
            }
            ToConnector::Revoked { message } => {
                return Ok(Some(Departure::Lost(LinkError::Revoked(message))));
            }
            ToConnector::Certificate { chain, .. } => self.take_renewal(&chain, news),
            ToConnector::Refusal(refusal) => {
                self.renewal = None;
                tracing::warn!(code = %refusal.code, "the certificate was not renewed; it is tried \
                    again in an hour");
            }
            ToConnector::Unsupported { what } => {
                tracing::debug!(%what, "the relay is older than this connector");
            }
            ToConnector::Pong { .. } => {}
            ToConnector::Welcome(_) => {
                return Err(LinkError::Malformed("a second WELCOME came".into()));
            }
        }
        Ok(None)
    }

    async fn ping(&mut self) -> Result<(), LinkError> {
        self.pings += 1;
        self.send(&ToRelay::Ping { seq: self.pings }).await
    }

    /// Looks whether the relay is silent while somebody waits.
    async fn look(&mut self) -> Result<(), LinkError> {
        let received = self.connection.stats().udp_rx.datagrams;
        let now = std::time::Instant::now();
        match self.vigil.look(now, received, self.streams.open() > 0) {
            Call::Nothing => Ok(()),
            Call::Ping => self.ping().await,
            Call::Suspect => {
                tracing::warn!("the relay has not answered for 2 s; the path to it is suspect");
                Ok(())
            }
        }
    }

    async fn report(&mut self) -> Result<(), LinkError> {
        let answers = *self.answers.borrow_and_update();
        let status = status(&self.process, answers, self.streams.open());
        self.send(&ToRelay::Heartbeat(Box::new(status))).await
    }

    async fn describe(&mut self) -> Result<(), LinkError> {
        let known = Arc::clone(&self.description.borrow_and_update());
        let card = ToRelay::Card { card: known.card.clone() };
        self.send(&ToRelay::Exposure { exposure: known.exposure.clone() }).await?;
        if card.encode().is_err() {
            tracing::debug!("the agent's card is too long to be announced");
            return Ok(());
        }
        self.send(&card).await
    }

    async fn renew_if_due(&mut self) -> Result<(), LinkError> {
        if self.renewal.is_some() || !self.identity.needs_renewal(SystemTime::now()) {
            return Ok(());
        }
        match self.process.state.begin_renewal(&self.identity.workspace) {
            Ok(pending) => {
                let message = enrol::renewal(&pending)?;
                self.renewal = Some(pending);
                self.send(&message).await
            }
            Err(error) => {
                tracing::warn!(%error, "the certificate cannot be renewed now");
                Ok(())
            }
        }
    }

    fn take_renewal(&mut self, chain: &[String], news: &mut impl FnMut(News)) {
        let Some(pending) = self.renewal.take() else { return };
        match enrol::complete(pending, chain, &self.identity) {
            Ok(renewed) => {
                self.identity = Arc::new(renewed);
                news(News::Renewed(Arc::clone(&self.identity)));
            }
            Err(error) => tracing::warn!(%error, "the renewed certificate cannot be used"),
        }
    }

    async fn send(&mut self, message: &ToRelay) -> Result<(), LinkError> {
        written(timeout(LINK_WRITE_TIMEOUT, self.writer.send(message)).await)
    }

    async fn send_acks(&mut self) -> Result<(), LinkError> {
        let acks = self.acks.split();
        written(timeout(LINK_WRITE_TIMEOUT, self.writer.send_frames(&acks)).await)
    }
}

fn written<E>(
    outcome: Result<Result<(), shared::control_stream::ControlStreamError>, E>,
) -> Result<(), LinkError> {
    match outcome {
        Ok(written) => written.map_err(of_control),
        Err(_) => Err(LinkError::Lost("the relay takes no control messages".into())),
    }
}

impl Ticks {
    fn new(welcome: &Welcome, heartbeat: Option<Duration>) -> Self {
        let told = Duration::from_millis(welcome.heartbeat_interval_ms);
        Self {
            ping: every(Duration::from_millis(welcome.ping_interval_ms), None),
            heartbeat: every(heartbeat.unwrap_or(told), None),
            vigil: every(VIGIL_INTERVAL, None),
            renewal: every(RENEWAL_INTERVAL, Some(Duration::ZERO)),
        }
    }
}

fn every(period: Duration, first: Option<Duration>) -> Interval {
    let period = period.max(INTERVAL_MIN);
    let mut ticks = interval_at(Instant::now() + first.unwrap_or(period), period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn status(process: &Process, local_agent: Option<bool>, open: usize) -> Status {
    Status {
        uptime_seconds: process.started.elapsed().as_secs(),
        active_tasks: u32::try_from(open).unwrap_or(u32::MAX),
        local_agent,
        ..Status::default()
    }
}

fn hello(
    process: &Process,
    identity: &Identity,
    attempt: u64,
    status: Status,
    known: &Description,
) -> ToRelay {
    let with_card = |card| {
        ToRelay::Hello(Box::new(Hello {
            version: version(),
            software: SOFTWARE.into(),
            instance: process.instance,
            attempt,
            workspace_id: identity.workspace,
            exposure: known.exposure.clone(),
            origin: process.agent.origin().url(),
            card,
            status: status.clone(),
        }))
    };
    let hello = with_card(known.card.clone());
    // A card that makes the message too long is left out rather than the link.
    if hello.encode().is_ok() { hello } else { with_card(serde_json::Value::Null) }
}
