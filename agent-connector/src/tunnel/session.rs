//! The life of one link: its control stream from HELLO to the end.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use certs::{Identity, PendingKey, StateDir};
use shared::codes::CloseCode;
use shared::control::{ToConnector, ToRelay, Welcome};
use shared::control_stream::{ControlEvent, ControlReader, ControlWriter};
use shared::flow::LinkFlow;
use shared::ids::InstanceId;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use transport::{Connection, Kind, RecvStream, SendStream};

use super::better::Opened;
use super::dial::{Dialed, Socket};
use super::error::LinkError;
use super::first::{self, ask, close, of_control};
use super::liveness::Vigil;
use super::route::Route;
use super::streams::Streams;
use super::uplink::{Published, Uplinks};
use super::who::Who;
use crate::forward::Agent;
use crate::forward::exchanges::{Exchanges, Linked};
use crate::forward::target::Description;

mod leaving;
mod telling;

/// Between two looks at whether the relay is still there.
const VIGIL_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at the certificate's age.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3600);
/// No relay makes a connector ping or report more often.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// What every link of this process shares.
pub(crate) struct Process {
    pub(crate) instance: InstanceId,
    pub(crate) started: Instant,
    pub(crate) agent: Arc<Agent>,
    pub(crate) state: StateDir,
    /// Over the relay's wish.
    pub(crate) heartbeat_interval: Option<Duration>,
    /// Where the agent's own calls go.
    pub(crate) uplinks: Uplinks,
    /// The relay's exchanges with the agent, whichever link carries them.
    pub(crate) exchanges: Arc<Exchanges>,
}

/// A link that takes exchanges.
pub(crate) struct Session {
    process: Arc<Process>,
    who: Who,
    connection: Connection,
    socket: Socket,
    reader: ControlReader<RecvStream>,
    writer: ControlWriter<SendStream>,
    flow: LinkFlow,
    streams: Streams,
    _linked: Linked,
    uplink: Published,
    answers: watch::Receiver<Option<bool>>,
    description: watch::Receiver<Arc<Description>>,
    vigil: Vigil,
    route: Route,
    suspected: Arc<Notify>,
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
pub(crate) enum Departure {
    /// It is gone, with everything on it.
    Lost(LinkError),
    /// What is open goes on; dial again after this time.
    Retire(Duration),
    /// There is a better link, which takes what is new; what is open goes on.
    Moved(Box<Opened>),
    /// Another connector took over; what is open goes on.
    Replaced,
    /// This process ends.
    Shutdown,
}

/// What happened besides.
#[derive(Debug)]
pub(crate) enum News {
    /// A public base changed: these are those of now.
    PublicUrls {
        /// The base by the address.
        public_url: String,
        /// The base at a host of its own.
        host_url: Option<String>,
    },
    /// The agent's calls are held back, or no longer.
    Paused(bool),
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
        who: Who,
        attempt: u64,
    ) -> Result<(Self, Welcome, String), LinkError> {
        let mut answers = process.agent.watch_answers();
        let mut description = process.agent.watch_description();
        let status = telling::status(&process, *answers.borrow_and_update(), 0);
        let known = Arc::clone(&description.borrow_and_update());
        let hello = telling::hello(&process, &who, attempt, status, &known);
        let (answer, opened) = ask(dialed, &hello).await?;
        let ToConnector::Welcome(welcome) = answer else {
            close(&opened.connection, CloseCode::Protocol);
            return Err(LinkError::Malformed("HELLO was not answered by WELCOME".into()));
        };
        let first::Opened { connection, socket, endpoint, reader, writer } = opened;
        let flow = LinkFlow::default();
        let (agent, exchanges) = (Arc::clone(&process.agent), Arc::clone(&process.exchanges));
        let linked = exchanges.welcomed_by(welcome.instance);
        let uplink = process.uplinks.over(connection.clone(), flow.clone());
        let session = Self {
            uplink: process.uplinks.publish(uplink),
            streams: Streams::accept(connection.clone(), flow.clone(), exchanges, agent),
            _linked: linked,
            ticks: Ticks::new(&welcome, process.heartbeat_interval),
            vigil: Vigil::new(std::time::Instant::now()),
            route: Route::to(connection.remote_address()),
            suspected: Arc::default(),
            acks: BytesMut::new(),
            pings: 0,
            renewal: None,
            socket,
            process,
            who,
            connection,
            reader,
            writer,
            flow,
            answers,
            description,
        };
        Ok((session, *welcome, endpoint))
    }

    /// What carries the link.
    pub(crate) const fn kind(&self) -> Kind {
        self.connection.kind()
    }

    /// Notified when its path has gone silent while somebody waits.
    pub(crate) fn suspected(&self) -> Arc<Notify> {
        Arc::clone(&self.suspected)
    }

    /// As whom it was opened.
    pub(crate) const fn who(&self) -> &Who {
        &self.who
    }

    /// Serves the link until it takes no new exchanges, or there is a `better` one. `news` is told what changes meanwhile.
    pub(crate) async fn serve<F: Future<Output = ()>, B: Future<Output = Opened>>(
        &mut self,
        mut shutdown: Pin<&mut F>,
        mut better: Pin<&mut B>,
        mut news: impl FnMut(News),
    ) -> Departure {
        loop {
            let event = tokio::select! {
                biased;
                () = shutdown.as_mut() => return Departure::Shutdown,
                opened = better.as_mut() => return Departure::Moved(Box::new(opened)),
                event = self.next() => event,
            };
            match self.handle(event, &mut news).await {
                Ok(None) => {}
                Ok(Some(departure)) => return departure,
                Err(error) => return Departure::Lost(self.end(error)),
            }
        }
    }

    /// Names the end of the link; one that we end is closed.
    fn end(&self, error: LinkError) -> LinkError {
        match self.connection.close_reason() {
            Some(reason) => LinkError::of_loss(&reason),
            None => {
                self.streams.give_up();
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
                ControlEvent::Done(counters) => self.process.exchanges.done(&counters),
            },
            Event::AcksDue => self.send_acks().await?,
            Event::Ping => {
                self.process.exchanges.age(std::time::Instant::now());
                self.ping().await?;
            }
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
            ToConnector::PublicUrl { public_url, host_url } => {
                let urls = std::iter::once(&public_url).chain(&host_url);
                self.process.agent.set_public_urls(urls.map(String::as_str));
                news(News::PublicUrls { public_url, host_url });
            }
            ToConnector::Paused { paused, message } => {
                match paused {
                    true => tracing::warn!(%message, "the agent's calls are held back"),
                    false => tracing::info!("the agent's calls come again"),
                }
                news(News::Paused(paused));
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
                tracing::debug!(%by, "another connector with this identity took over");
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
            ToConnector::Welcome(_) | ToConnector::Ready { .. } => {
                return Err(LinkError::Malformed("a second first answer came".into()));
            }
        }
        Ok(None)
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
