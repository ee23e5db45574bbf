//! Hands a request to the shard that owns its agent's link, and takes the answer back.
//!
//! All that touches the link runs on its shard; between the threads pass the request, whose body
//! hyper brings wherever it is asked from, and the frames of the answer.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::answer_body::{AnswerBody, Cut};
use super::exchange::{self, Admitted, Pending, Refused};
use super::failure::Failure;
use crate::shard::Home;
use crate::tunnel::LiveLinks;

/// Frames of an answer under way between two shards.
const FRAMES_MAX: usize = 4;

/// One frame, and whether it is the last.
type Piece = (Result<Frame<Bytes>, Cut>, bool);

/// The frames of an answer that comes from another shard. Dropping it ends the exchange there.
#[derive(Debug)]
pub struct Handed {
    frames: mpsc::Receiver<Piece>,
    over: bool,
    _exchange: JoinSet<()>,
}

/// Carries a request to its agent, on the shard `home`.
pub async fn run(
    home: &Home,
    live: LiveLinks,
    admitted: Box<Admitted>,
    pending: Pending,
) -> Result<Response<AnswerBody>, Refused> {
    let (tell, told) = oneshot::channel();
    let mut exchange = JoinSet::new();
    let carrying = async move {
        match exchange::run(&live, admitted, pending).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let (frames, received) = mpsc::channel(FRAMES_MAX);
                // An error means that the caller is gone; so is what is left of the answer.
                if tell.send(Ok((head, received))).is_ok() {
                    pass_on(body, frames).await;
                }
            }
            Err(refused) => drop(tell.send(Err(refused))),
        }
    };
    exchange.spawn_on(carrying, home.runtime());
    match told.await {
        Ok(Ok((head, frames))) => {
            let handed = Handed { frames, over: false, _exchange: exchange };
            Ok(Response::from_parts(head, AnswerBody::handed(handed)))
        }
        Ok(Err(refused)) => Err(refused),
        // A shard ends before the others only when the relay does.
        Err(_) => Err(Refused { failure: Failure::Draining, body: None, record: None }),
    }
}

async fn pass_on(mut body: AnswerBody, frames: mpsc::Sender<Piece>) {
    while let Some(frame) = body.frame().await {
        let last = body.is_end_stream();
        if frames.send((frame, last)).await.is_err() {
            return;
        }
    }
}

impl Handed {
    /// The next frame.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.frames.poll_recv(cx).map(|piece| match piece {
            Some((frame, last)) => {
                self.over = last;
                Some(frame)
            }
            None if self.over => None,
            None => {
                self.over = true;
                None
            }
        })
    }

    /// Whether nothing comes any more.
    pub const fn is_over(&self) -> bool {
        self.over
    }
}
