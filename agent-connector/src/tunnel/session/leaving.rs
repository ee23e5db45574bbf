//! How a link ends in order: what is open finishes, and nothing that was sent is lost.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::time::Duration;

use shared::codes::CloseCode;
use shared::control::{ToConnector, ToRelay};
use shared::control_stream::ControlEvent;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Event, Session};
use crate::tunnel::error::LinkError;
use crate::tunnel::first::close;

/// Open exchanges may finish for this long once the process is to end.
const GRACE: Duration = Duration::from_secs(30);
/// Bounds of the wait for the relay's PONG, behind which nothing old is on its way any more.
const LAST_ROUND_MIN: Duration = Duration::from_millis(40);
const LAST_ROUND_MAX: Duration = Duration::from_millis(500);

impl Session {
    /// Lets what is open finish and closes the link: this process goes on, and so may each exchange.
    pub(crate) async fn retire(mut self) {
        // What the relay opened as it said that this link retires may come after its words, and is
        // served; closing first would lose it.
        match self.last_round().await {
            Ok(()) => self.finish_open(pin!(pending())).await,
            Err(error) => {
                self.end(error);
                self.outlive().await;
            }
        }
    }

    /// Lets what is open finish until `deadline`, and closes the link.
    async fn finish_open<F: Future<Output = ()>>(mut self, mut deadline: Pin<&mut F>) {
        let uplink = self.uplink.withdraw();
        loop {
            let (calls, streams) = (uplink.idle(), self.streams.idle());
            let idle = async {
                calls.await;
                streams.await;
            };
            let event = tokio::select! {
                biased;
                () = idle => break,
                () = deadline.as_mut() => break,
                event = self.next() => event,
            };
            if let Err(error) = self.handle(event, &mut |_| {}).await {
                self.end(error);
                return self.outlive().await;
            }
        }
        self.close_done().await;
    }

    /// Tells the relay that this process ends, refuses what is new and lets the rest finish.
    pub(crate) async fn drain(mut self) {
        let last_exchange = self.streams.refuse_new();
        if self.send(&ToRelay::Drain { last_exchange }).await.is_err() {
            return;
        }
        // What the relay opened before it read DRAIN is on its way and is refused in words; closing
        // first would leave its callers in doubt.
        match self.last_round().await {
            Ok(()) => self.finish_open(pin!(sleep(GRACE))).await,
            Err(error) => {
                self.end(error);
                self.outlive().await;
            }
        }
    }

    /// Serves the link until a PING came back, within bounds.
    async fn last_round(&mut self) -> Result<(), LinkError> {
        self.ping().await?;
        let round = self.pings;
        let patience = (2 * self.connection.rtt()).clamp(LAST_ROUND_MIN, LAST_ROUND_MAX);
        let deadline = Instant::now() + patience;
        loop {
            let event = tokio::select! {
                () = sleep_until(deadline) => return Ok(()),
                event = self.next() => event,
            };
            let answered = matches!(
                &event,
                Event::Control(Ok(ControlEvent::Message(ToConnector::Pong { seq })))
                    if *seq >= round
            );
            self.handle(event, &mut |_| {}).await?;
            if answered {
                return Ok(());
            }
        }
    }

    async fn close_done(mut self) {
        close(&self.connection, CloseCode::Done);
        self.socket.closed().await;
        self.outlive().await;
    }

    /// Lets the exchanges that began on the link, which is over, end on the links that follow.
    pub(crate) fn outlive(self) -> impl Future<Output = ()> + Send + use<> {
        self.streams.outlive()
    }
}
