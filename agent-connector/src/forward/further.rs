//! An exchange that another link carried goes on over this one.

use std::sync::Arc;

use bytes::Bytes;
use shared::codes::{AbortCode, Delivery, StreamCode};
use shared::ids::ExchangeId;
use shared::limits::LINK_WRITE_TIMEOUT;
use shared::wire::{Abort, Frame, sent};
use tokio::time::timeout;
use transport::SendStream;

use super::carrier::{Carrier, UnderWay};
use super::exchanges::{Exchanges, Known};
use super::held::{Held, Next, NoWay, Replay, Stand};
use super::reply::Reply;
use super::request_stream::RequestStream;

/// Answers CONTINUE, which came first on this stream of `link`: what the relay lacks of the answer goes
/// out, and the exchange goes on with the stream.
pub(super) async fn run(
    name: ExchangeId,
    stand: Stand,
    stream: RequestStream,
    reply: Reply,
    link: Option<UnderWay>,
    exchanges: &Exchanges,
) {
    let Some(link) = link else { return };
    let carrier = Arc::clone(link.carrier());
    let held = match exchanges.find(name) {
        Known::Held(held) => held,
        Known::Never => return refuse(reply, &carrier, unknown(name, Delivery::NotSent)).await,
        Known::Perhaps => return refuse(reply, &carrier, unknown(name, Delivery::Maybe)).await,
    };
    let Some(send) = reply.take() else { return };
    let replay = match held.go_on(link, Box::pin(send.stopped()), stand) {
        Ok(replay) => replay,
        Err(no) => {
            let reply = Reply::new(send);
            let abort = match no {
                NoWay::Here => breach("the same link carries the exchange"),
                NoWay::Offset => breach("the relay has what was never sent"),
                NoWay::Ended => unknown(name, Delivery::Maybe),
            };
            return refuse(reply, &carrier, abort).await;
        }
    };
    tracing::debug!(exchange = %name, "an exchange goes on over another link");
    let came = held.request().go_on(stream, &carrier.flow);
    let continued = Frame::Continued { request_over: came.over, request_offset: came.bytes };
    let mut way = Way { held: &held, carrier: &carrier, send: Some(send) };
    way.replay(replay, sent::encoded(&continued)).await;
}

/// The newer stream, until the exchange has it. Dropped before, it is reset.
struct Way<'w> {
    held: &'w Held,
    carrier: &'w Carrier,
    send: Option<SendStream>,
}

impl Way<'_> {
    async fn replay(&mut self, mut replay: Replay, first: Bytes) {
        let mut chunks = std::mem::take(&mut replay.chunks);
        chunks.insert(0, first);
        loop {
            let Some(send) = &mut self.send else { return };
            let written = timeout(LINK_WRITE_TIMEOUT, send.write_all_chunks(&mut chunks)).await;
            if !matches!(written, Ok(Ok(()))) {
                // Whoever waits for the stream's fate hears of it.
                return;
            }
            match self.held.offer(&mut replay, &mut self.send) {
                Next::More(more) => chunks = more,
                Next::Given => return,
                Next::Whole(mut send) => {
                    send.finish();
                    return self.carrier.keep(send);
                }
            }
        }
    }
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        if let Some(mut send) = self.send.take() {
            send.reset(StreamCode::Cancelled);
        }
    }
}

async fn refuse(mut reply: Reply, carrier: &Carrier, abort: Abort) {
    tracing::debug!(code = %abort.code, delivery = %abort.delivery, "an exchange cannot go on");
    reply.abort(abort).await;
    if let Some(answer) = reply.into_finished() {
        carrier.keep(answer);
    }
}

fn unknown(name: ExchangeId, delivery: Delivery) -> Abort {
    let code = AbortCode::UnknownExchange;
    let message = match delivery {
        Delivery::NotSent => {
            format!("The exchange {name} never came here: its link was lost before. Send it again.")
        }
        Delivery::Maybe | Delivery::Delivered => format!(
            "This connector does not hold the exchange {name}; it was perhaps restarted. The agent may \
             have got the request: ask it before sending the request again."
        ),
    };
    Abort { code, delivery, message }
}

fn breach(what: &str) -> Abort {
    let message = format!("The exchange cannot go on: {what}. Update relay and agent-connector.");
    Abort { code: AbortCode::Protocol, delivery: Delivery::Maybe, message }
}
