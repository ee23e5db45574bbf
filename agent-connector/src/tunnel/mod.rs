//! The tunnel: keeps one link to the relay, for ever, unless the relay says that it is over.

mod better;
pub(crate) mod bootstrap;
pub(crate) mod call;
pub(crate) mod dial;
pub(crate) mod enrol;
pub mod error;
pub(crate) mod first;
mod known;
pub(crate) mod liveness;
mod race;
pub mod reconnect;
mod route;
pub(crate) mod session;
pub(crate) mod streams;
pub(crate) mod uplink;
pub(crate) mod who;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use certs::{Identity, JoinString};
use shared::codes::CloseCode;
use shared::ids::WorkspaceId;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::config::Way;
use crate::status::{Reporter, State};
use better::{Opened, Opener};
use dial::Relay;
use error::LinkError;
use reconnect::{End, Pace, Trouble, Verdict, judge, wait};
use session::{Departure, News, Process, Session};
use who::{Token, Who};

/// A link that lived for longer begins a new outage when it is lost, with short waits again.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// At the end of the process all links have this long: the grace of open exchanges and a little more.
const LEAVE_MAX: Duration = Duration::from_secs(32);

/// Who dials.
pub(crate) enum Credential {
    /// Somebody who has joined.
    Identity(Arc<Identity>),
    /// Somebody who is about to.
    Join(Box<JoinString>),
    /// Somebody who holds a workspace token.
    Token(Arc<Token>),
}

impl Credential {
    /// The agent's public bases, where an earlier process was told them: the one for everybody, and the
    /// one at a host of its own.
    pub(crate) fn known_urls(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Identity(identity) => (identity.public_url.clone(), identity.host_url.clone()),
            Self::Token(token) => token.profile.as_ref().map_or((None, None), |profile| {
                (profile.public_url.clone(), profile.host_url.clone())
            }),
            Self::Join(_) => (None, None),
        }
    }

    /// Whose token it is, if it is one that is kept in the state directory.
    pub(crate) fn kept_token(&self) -> Option<WorkspaceId> {
        match self {
            Self::Token(token) => token.profile.as_ref().map(|profile| profile.workspace),
            Self::Identity(_) | Self::Join(_) => None,
        }
    }
}

/// What the tunnel was told by its owner, over what it knows itself.
#[derive(Debug, Clone)]
pub(crate) struct Wishes {
    pub(crate) relay: Option<String>,
    pub(crate) relay_ca: Option<certs::CaFingerprint>,
    pub(crate) way: Way,
    pub(crate) once: bool,
    /// Beside an identity: for when that is refused for good.
    pub(crate) join: Option<Box<JoinString>>,
}

/// Why the tunnel is over, other than by wish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunnelEnd {
    #[error("{0}")]
    Final(LinkError, End),
    #[error("{0}")]
    Unreachable(LinkError),
}

/// The run loop and what it remembers.
pub(crate) struct Tunnel {
    process: Arc<Process>,
    credential: Credential,
    wishes: Wishes,
    reporter: Arc<Reporter>,
    attempts: Arc<AtomicU64>,
    failures: u32,
    welcomed: bool,
    must_renew: bool,
    /// Why the stored identity was given up for the join string beside it.
    identity_refused: Option<LinkError>,
    /// Since when there is no link, once that was logged.
    outage: Option<Instant>,
    /// Links that take nothing new and let what is open finish.
    retired: JoinSet<()>,
}

impl Tunnel {
    pub(crate) fn new(
        process: Arc<Process>,
        credential: Credential,
        wishes: Wishes,
        reporter: Arc<Reporter>,
    ) -> Self {
        Self {
            process,
            credential,
            wishes,
            reporter,
            attempts: Arc::default(),
            failures: 0,
            welcomed: false,
            must_renew: false,
            identity_refused: None,
            outage: None,
            retired: JoinSet::new(),
        }
    }

    /// Keeps a link until `shutdown` resolves or the relay ends it for good.
    pub(crate) async fn run<F: Future<Output = ()>>(
        mut self,
        mut shutdown: Pin<&mut F>,
    ) -> Result<(), TunnelEnd> {
        let mut moved = None;
        loop {
            let opened = match moved.take() {
                Some(session) => Ok(session),
                None => tokio::select! {
                    biased;
                    () = shutdown.as_mut() => return self.leave().await,
                    opened = self.try_open() => opened,
                },
            };
            let pause = match opened {
                Ok(mut session) => {
                    let since = Instant::now();
                    let departure = self.serve(&mut session, shutdown.as_mut()).await;
                    if since.elapsed() >= SETTLED_AFTER {
                        self.failures = 0;
                    }
                    match departure {
                        Departure::Shutdown => {
                            self.retired.spawn(session.drain());
                            return self.leave().await;
                        }
                        Departure::Moved(opened) => {
                            tracing::info!(from = %session.kind(), to = %opened.session.kind(),
                                "a better link takes what is new");
                            while self.retired.try_join_next().is_some() {}
                            self.retired.spawn(session.retire());
                            moved = Some(self.begin(*opened));
                            continue;
                        }
                        Departure::Retire(after) => {
                            self.retired.spawn(session.retire());
                            self.reporter.tell(State::Dialing, Some("RELAY_DRAINING".into()));
                            after.max(self.next_wait(Pace::Network, None))
                        }
                        Departure::Replaced => {
                            self.process.exchanges.close();
                            self.retired.spawn(session.retire());
                            self.after(LinkError::Closed(CloseCode::Replaced))?
                        }
                        Departure::Lost(error) => {
                            let pause = self.after(error)?;
                            self.retired.spawn(session.outlive());
                            pause
                        }
                    }
                }
                Err(error) if self.wishes.once && !self.welcomed && is_unreachable(&error) => {
                    return Err(TunnelEnd::Unreachable(error));
                }
                Err(error) => self.after(error)?,
            };
            tokio::select! {
                biased;
                () = shutdown.as_mut() => return self.leave().await,
                () = sleep(pause) => {}
            }
            while self.retired.try_join_next().is_some() {}
        }
    }

    /// Lets the links finish, within bounds.
    async fn leave(mut self) -> Result<(), TunnelEnd> {
        // No link comes any more that could go on with what is lost.
        self.process.exchanges.close();
        let all = async { while self.retired.join_next().await.is_some() {} };
        // What is not done by then is cut when the set is dropped.
        let _ = timeout(LEAVE_MAX, all).await;
        Ok(())
    }

    /// One attempt: an identity, a certificate that is still good, a link.
    async fn try_open(&mut self) -> Result<Session, LinkError> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::debug!(attempt, "dialling the relay");
        let who = self.who().await?;
        let opener = self.opener(who);
        // In a box, as the one below: they are large, and seldom polled.
        let opening = opener.race(self.wishes.way.transport, attempt);
        let opened = Box::pin(opening).await?;
        Ok(self.begin(opened))
    }

    fn opener(&self, who: Who) -> Opener {
        let worked = who.profile().and_then(|profile| profile.worked);
        let relay = Relay { worked, ..self.relay(who.endpoints(), who.ca()) };
        let (process, attempts) = (Arc::clone(&self.process), Arc::clone(&self.attempts));
        Opener { process, who, relay, way: self.wishes.way.clone(), attempts }
    }

    fn begin(&mut self, opened: Opened) -> Session {
        let Opened { session, welcome, endpoint } = opened;
        self.note_welcome(&session.who().clone(), &welcome, &endpoint, session.kind());
        session
    }

    /// Who to dial as: with a certificate that is joined for, or renewed, if need be.
    async fn who(&mut self) -> Result<Who, LinkError> {
        let (state, way) = (&self.process.state, &self.wishes.way);
        let identity = match &self.credential {
            Credential::Join(join) => {
                let relay = self.relay(&join.endpoints, join.ca);
                Arc::new(enrol::join(state, join, &relay, way).await?)
            }
            Credential::Identity(old) if self.must_renew || old.is_expired(SystemTime::now()) => {
                let relay = self.relay(&old.endpoints, old.ca);
                Arc::new(enrol::renew(state, old, &relay, way).await?)
            }
            Credential::Identity(identity) => return Ok(Who::Certificate(Arc::clone(identity))),
            Credential::Token(token) => return Ok(Who::Token(Arc::clone(token))),
        };
        self.must_renew = false;
        self.credential = Credential::Identity(Arc::clone(&identity));
        Ok(Who::Certificate(identity))
    }

    fn relay(&self, endpoints: &[String], ca: certs::CaFingerprint) -> Relay {
        let endpoints =
            self.wishes.relay.clone().map_or_else(|| endpoints.to_vec(), |own| vec![own]);
        self.reporter.dials(&endpoints);
        Relay { endpoints, ca: self.wishes.relay_ca.unwrap_or(ca), worked: None }
    }

    async fn serve<F: Future<Output = ()>>(
        &mut self,
        session: &mut Session,
        shutdown: Pin<&mut F>,
    ) -> Departure {
        let mut heard = Vec::new();
        let reporter = Arc::clone(&self.reporter);
        let opener = self.opener(session.who().clone());
        let mut better = Box::pin(opener.better_than(session.kind(), session.suspected()));
        let departure = session
            .serve(shutdown, better.as_mut(), |news| {
                match &news {
                    News::PublicUrls { public_url, host_url } => {
                        reporter.public_urls(public_url, host_url.as_deref());
                    }
                    News::Paused(paused) => return reporter.paused(*paused),
                    News::Renewed(_) => {}
                }
                heard.push(news);
            })
            .await;
        for news in heard {
            self.take_news(news);
        }
        departure
    }

    /// What a failure calls for: a pause before the next attempt, or the end.
    fn after(&mut self, error: LinkError) -> Result<Duration, TunnelEnd> {
        let trouble = error.trouble();
        let told = match &error {
            LinkError::Refused(refusal) => refusal.retry_after_ms.map(Duration::from_millis),
            _ => None,
        };
        let verdict = judge(&trouble, self.welcomed);
        if verdict == Verdict::End(End::Credentials)
            && !self.welcomed
            && let Some(join) = self.wishes.join.take()
        {
            tracing::warn!(%error, "the identity is refused; the join string is tried instead");
            self.credential = Credential::Join(join);
            self.identity_refused = Some(error);
            return Ok(Duration::ZERO);
        }
        let pace = match verdict {
            Verdict::End(end) => {
                // A join string that was used up long ago says less than why the identity is bad.
                let error = self.identity_refused.take().unwrap_or(error);
                self.reporter.tell(State::Refused, Some(error.reason()));
                return Err(TunnelEnd::Final(error, end));
            }
            Verdict::Renew => {
                self.must_renew = true;
                Pace::Network
            }
            Verdict::Again(pace) => pace,
        };
        let state = match pace {
            Pace::Network => State::Dialing,
            Pace::Refusal | Pace::Replaced => State::Waiting,
        };
        self.reporter.tell(state, Some(error.reason()));
        let pause = self.next_wait(pace, told);
        if self.outage.is_none() {
            self.outage = Some(Instant::now());
            let what = if self.welcomed { "link lost, reconnecting" } else { "no link yet" };
            tracing::warn!(%error, "{what}");
        } else {
            tracing::debug!(%error, pause_ms = pause.as_millis() as u64, "no link");
        }
        Ok(pause)
    }

    fn next_wait(&mut self, pace: Pace, told: Option<Duration>) -> Duration {
        let pause = wait(pace, self.failures, random_fraction(), told);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

fn is_unreachable(error: &LinkError) -> bool {
    error.trouble() == Trouble::Network && !error.reached_somebody()
}

/// A random number from 0 up to 1.
fn random_fraction() -> f64 {
    // Without a random source every wait has half its length, and reconnecting goes on.
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}
