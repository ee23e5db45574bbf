//! What a link tells the relay: signs of life, the agent's status, its card, a growing-old certificate.

use std::sync::Arc;
use std::time::SystemTime;

use shared::control::{Hello, Message, Status, ToRelay};
use shared::control_stream::ControlStreamError;
use shared::limits::LINK_WRITE_TIMEOUT;
use tokio::time::timeout;

use super::{News, Process, Session};
use crate::forward::target::Description;
use crate::tunnel::enrol;
use crate::tunnel::error::LinkError;
use crate::tunnel::first::{SOFTWARE, of_control, version};
use crate::tunnel::liveness::Call;
use crate::tunnel::who::Who;

impl Session {
    pub(super) async fn ping(&mut self) -> Result<(), LinkError> {
        self.pings += 1;
        self.send(&ToRelay::Ping { seq: self.pings }).await
    }

    /// Looks whether this machine's address changed, and whether the relay is silent while somebody waits.
    pub(super) async fn look(&mut self) -> Result<(), LinkError> {
        let received = self.connection.heard();
        let now = std::time::Instant::now();
        if self.route.changed() {
            self.follow();
            // Not every network lets UDP through.
            self.vigil.doubt(now, received);
        }
        match self.vigil.look(now, received, self.streams.open() > 0) {
            Call::Nothing => Ok(()),
            Call::Ping => self.ping().await,
            Call::Suspect => {
                tracing::warn!("the relay has not answered for 2 s; the path to it is suspect");
                self.suspected.notify_one();
                Ok(())
            }
        }
    }

    /// Takes the link along to the address from which packets leave now, or dials another one from there.
    fn follow(&self) {
        match self.socket.rebind(self.route.destination()) {
            Some(Ok(())) => tracing::info!("this machine's address changed; the link goes along"),
            Some(Err(error)) => {
                tracing::warn!(%error, "this machine's address changed; the link could not go along");
                self.suspected.notify_one();
            }
            None => {
                tracing::info!("this machine's address changed; another link is dialled from it");
                self.suspected.notify_one();
            }
        }
    }

    pub(super) async fn report(&mut self) -> Result<(), LinkError> {
        let answers = *self.answers.borrow_and_update();
        let status = status(&self.process, answers, self.streams.open());
        self.send(&ToRelay::Heartbeat(Box::new(status))).await
    }

    pub(super) async fn describe(&mut self) -> Result<(), LinkError> {
        let known = Arc::clone(&self.description.borrow_and_update());
        let card = ToRelay::Card { card: known.card.clone() };
        self.send(&ToRelay::Exposure { exposure: known.crosses.exposure.clone() }).await?;
        if card.encode().is_err() {
            tracing::debug!("the agent's card is too long to be announced");
            return Ok(());
        }
        self.send(&card).await
    }

    pub(super) async fn renew_if_due(&mut self) -> Result<(), LinkError> {
        let Who::Certificate(identity) = &self.who else { return Ok(()) };
        if self.renewal.is_some() || !identity.needs_renewal(SystemTime::now()) {
            return Ok(());
        }
        match self.process.state.begin_renewal(&identity.workspace) {
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

    pub(super) fn take_renewal(&mut self, chain: &[String], news: &mut impl FnMut(News)) {
        let (Some(pending), Who::Certificate(identity)) = (self.renewal.take(), &self.who) else {
            return;
        };
        match enrol::complete(pending, chain, identity) {
            Ok(renewed) => {
                let renewed = Arc::new(renewed);
                self.who = Who::Certificate(Arc::clone(&renewed));
                news(News::Renewed(renewed));
            }
            Err(error) => tracing::warn!(%error, "the renewed certificate cannot be used"),
        }
    }

    pub(super) async fn send(&mut self, message: &ToRelay) -> Result<(), LinkError> {
        written(timeout(LINK_WRITE_TIMEOUT, self.writer.send(message)).await)
    }

    pub(super) async fn send_acks(&mut self) -> Result<(), LinkError> {
        let acks = self.acks.split();
        written(timeout(LINK_WRITE_TIMEOUT, self.writer.send_frames(&acks)).await)
    }
}

fn written<E>(outcome: Result<Result<(), ControlStreamError>, E>) -> Result<(), LinkError> {
    match outcome {
        Ok(written) => written.map_err(of_control),
        Err(_) => Err(LinkError::Lost("the relay takes no control messages".into())),
    }
}

pub(super) fn status(process: &Process, local_agent: Option<bool>, open: usize) -> Status {
    Status {
        uptime_seconds: process.started.elapsed().as_secs(),
        active_tasks: u32::try_from(open).unwrap_or(u32::MAX),
        local_agent,
        ..Status::default()
    }
}

pub(super) fn hello(
    process: &Process,
    who: &Who,
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
            workspace_id: who.workspace(),
            token: who.token().cloned(),
            exposure: known.crosses.exposure.clone(),
            origin: process.agent.origin().url(),
            also: process.agent.also(),
            card,
            status: status.clone(),
            beats_itself: process.agent.beats_itself(),
        }))
    };
    let hello = with_card(known.card.clone());
    // A card that makes the message too long is left out rather than the link.
    if hello.encode().is_ok() { hello } else { with_card(serde_json::Value::Null) }
}
