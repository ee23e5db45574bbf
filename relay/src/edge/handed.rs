//! Hands a request to the shard that owns its agent's link, and takes the answer back.
//!
//! All that touches the link runs on its shard; between the threads pass the request, whose body
//! hyper brings wherever it is asked from, and the frames of the answer.

use std::task::{Context, Poll, ready};

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
pub const FRAMES_MAX: usize = 4;

/// One frame, or none at the end, and whether nothing follows it.
pub type Piece = (Option<Result<Frame<Bytes>, Cut>>, bool);

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
    let workspace = admitted.workspace.id;
    let (tell, told) = oneshot::channel();
    let mut exchange = JoinSet::new();
    let carrying = async move {
        match exchange::run(&live, admitted, pending).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let (frames, received) = mpsc::channel(FRAMES_MAX);
                // Where the head is all, the caller's own HTTP has to know it with the head.
                let over = body.is_end_stream();
                // An error means that the caller is gone; so is what is left of the answer.
                if tell.send(Ok((head, received, over))).is_ok() {
                    pass_on(body, frames).await;
                }
            }
            Err(refused) => drop(tell.send(Err(refused))),
        }
    };
    exchange.spawn_on(carrying, home.runtime());
    match told.await {
        Ok(Ok((head, frames, over))) => {
            let handed = Handed { frames, over, _exchange: exchange };
            Ok(Response::from_parts(head, AnswerBody::handed(handed)))
        }
        Ok(Err(refused)) => Err(refused),
        // Its task died, and nobody can say how far it came.
        Err(_) => Err(Refused {
            failure: Failure::TunnelLost(workspace),
            body: None,
            prefix: None,
            record: None,
        }),
    }
}

async fn pass_on(mut body: AnswerBody, frames: mpsc::Sender<Piece>) {
    let mut last = false;
    while !last {
        let frame = body.frame().await;
        last = !matches!(frame, Some(Ok(_))) || body.is_end_stream();
        if frames.send((frame, last)).await.is_err() {
            return;
        }
    }
}

impl Handed {
    /// The frames of an answer that somebody else reads to its end, whoever takes them; `over` where
    /// its head is all.
    pub fn taken(frames: mpsc::Receiver<Piece>, over: bool) -> Self {
        Self { frames, over, _exchange: JoinSet::new() }
    }

    /// The next frame. A task that ended without having told the end has cut the answer.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let (frame, last) = ready!(self.frames.poll_recv(cx)).unwrap_or((Some(Err(Cut)), true));
        self.over = last;
        Poll::Ready(frame)
    }

    /// Whether nothing comes any more.
    pub const fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::exchange::tests::{admitted, pending, workspace};

    fn handed(received: mpsc::Receiver<Piece>) -> AnswerBody {
        AnswerBody::handed(Handed { frames: received, over: false, _exchange: JoinSet::new() })
    }

    #[tokio::test]
    async fn an_answer_is_whole_only_where_its_end_was_told() {
        let whole = AnswerBody::whole(Bytes::from_static(b"all"));
        let (frames, received) = mpsc::channel(FRAMES_MAX);
        pass_on(whole, frames).await;
        assert_eq!(handed(received).collect().await.unwrap().to_bytes(), "all");

        let (frames, received) = mpsc::channel(FRAMES_MAX);
        pass_on(AnswerBody::whole(Bytes::new()), frames).await;
        assert_eq!(handed(received).collect().await.unwrap().to_bytes(), "");

        let (frames, received) = mpsc::channel(FRAMES_MAX);
        frames.send((Some(Ok(Frame::data(Bytes::from_static(b"some")))), false)).await.unwrap();
        drop(frames);
        let mut body = handed(received);
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(body.frame().await.unwrap().err(), Some(Cut), "it broke off");
    }

    #[tokio::test]
    async fn a_cut_is_passed_on_once() {
        let (frames, received) = mpsc::channel::<Piece>(FRAMES_MAX);
        drop(frames);
        let (frames, mut passed) = mpsc::channel(FRAMES_MAX);
        pass_on(handed(received), frames).await;
        assert!(matches!(passed.recv().await, Some((Some(Err(Cut)), true))));
        assert!(passed.recv().await.is_none());
    }

    #[tokio::test]
    async fn a_request_whose_task_died_may_have_been_done() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let home = {
            let _entered = runtime.enter();
            Home::here(1)
        };
        runtime.shutdown_background();
        let (pending, _caller) = pending().await;
        let refused = run(&home, LiveLinks::default(), Box::new(admitted()), pending).await;
        let failure = refused.err().map(|refused| refused.failure);
        assert_eq!(failure, Some(Failure::TunnelLost(workspace().id)));
    }
}
