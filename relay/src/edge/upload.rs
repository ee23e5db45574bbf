//! Carries a caller's body up the link while its answer is already awaited, and back where an
//! exchange surely never began.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use shared::codes::StreamCode;
use shared::headers::remove_forbidden_trailers;
use shared::limits::FIRST_CREDIT;
use shared::wire::fields::fit_in_end;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::caller_body::{BodyBroken, CallerBody, Piece};
use super::method_guard::Doubt;
use crate::metrics::Metrics;
use crate::tunnel::Upload;

/// Patience for the next bytes of a body that has begun.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How carrying a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// All of it went up.
    Whole,
    /// The connector wanted no more, or the link was lost: the answer tells which.
    Unwanted,
    /// It passed its limit, bytes.
    TooLarge(u64),
    /// The caller left in the middle of it.
    Cut,
    /// A doubt of its method came up.
    Doubtful(Doubt),
    /// The caller sent nothing for too long.
    Stalled,
}

/// A body on its way. Dropping it gives the upload up.
#[derive(Debug)]
pub enum Carrying {
    /// It went up whole, with the head.
    Whole(Box<Sent>),
    /// A task carries it, until it is told that the body is wanted back.
    Under {
        /// The task, one.
        way: JoinSet<(Carried, Sent)>,
        /// Tells the task.
        recall: oneshot::Sender<()>,
    },
    /// How it ended was told.
    Over(Box<Sent>),
    /// The body is gone.
    Gone,
}

/// A body, and what of it went up.
#[derive(Debug)]
pub struct Sent {
    body: Box<CallerBody>,
    pieces: Pieces,
    trailers: HeaderMap,
}

/// What went up of a body, as long as an exchange that never began may have to be begun again: a
/// connector that has not begun has taken nothing, so it has allowed no more than its first credit.
#[derive(Debug)]
enum Pieces {
    Kept(Vec<Bytes>, usize),
    /// They were too many, or the body broke: it must not come again as if it were whole.
    Gone,
}

impl Pieces {
    fn keep(&mut self, piece: &Bytes) {
        let Self::Kept(pieces, bytes) = self else { return };
        *bytes += piece.len();
        if *bytes > FIRST_CREDIT as usize {
            *self = Self::Gone;
        } else {
            pieces.push(piece.clone());
        }
    }
}

impl Carrying {
    /// Carries `body` from where it stands, behind what of it went up with the head. Without an
    /// upload that was all.
    pub fn begin(
        body: Box<CallerBody>,
        first: Vec<Bytes>,
        upload: Option<Upload>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let bytes = first.iter().map(Bytes::len).sum();
        let sent = Sent { body, pieces: Pieces::Kept(first, bytes), trailers: HeaderMap::new() };
        let Some(upload) = upload else { return Self::Whole(Box::new(sent)) };
        let (recall, recalled) = oneshot::channel();
        let mut way = JoinSet::new();
        way.spawn(carry(sent, upload, metrics, recalled));
        Self::Under { way, recall }
    }

    /// How it ended, if it has.
    pub fn ended_already(&mut self) -> Option<Carried> {
        let Self::Under { way, .. } = self else { return None };
        let (carried, sent) = way.try_join_next()?.ok()?;
        *self = Self::Over(Box::new(sent));
        Some(carried)
    }

    /// How it ended. Waits for ever when it was told before, or there was nothing to carry. Cancel
    /// safe.
    pub async fn ended(&mut self) -> Carried {
        let Self::Under { way, .. } = self else { return std::future::pending().await };
        match way.join_next().await {
            Some(Ok((carried, sent))) => {
                *self = Self::Over(Box::new(sent));
                carried
            }
            Some(Err(_)) | None => {
                *self = Self::Gone;
                Carried::Unwanted
            }
        }
    }

    /// The exchange was begun: what went up is not kept any more.
    pub fn for_good(self) -> Self {
        match self {
            Self::Whole(_) | Self::Over(_) => Self::Gone,
            under => under,
        }
    }

    /// Stops, and answers the body with what of it went up.
    pub async fn stop(self) -> Option<Sent> {
        match self {
            Self::Whole(sent) | Self::Over(sent) => Some(*sent),
            Self::Under { mut way, recall } => {
                // An error means that it has ended by itself.
                let _ = recall.send(());
                way.join_next().await?.ok().map(|(_, sent)| sent)
            }
            Self::Gone => None,
        }
    }
}

impl Sent {
    /// The body from where it stands: only for who does not send it again.
    pub fn into_body(self) -> Box<CallerBody> {
        self.body
    }

    /// The body as if nothing of it had gone up, and true; false where more went up than is kept, or
    /// the body broke.
    pub fn unsend(self) -> (Box<CallerBody>, bool) {
        let Self { mut body, pieces, trailers } = self;
        let Pieces::Kept(pieces, _) = pieces else { return (body, false) };
        body.give_back(pieces, trailers);
        (body, true)
    }
}

/// Carries the body to its end; what was sent comes back with it.
async fn carry(
    mut sent: Sent,
    mut upload: Upload,
    metrics: Arc<Metrics>,
    mut recalled: oneshot::Receiver<()>,
) -> (Carried, Sent) {
    let carried = loop {
        let next = tokio::select! {
            biased;
            next = timeout(IDLE_TIMEOUT, sent.body.next()) => next,
            _ = &mut recalled => break Carried::Unwanted,
        };
        let piece = match next {
            Ok(Ok(piece)) => piece,
            Ok(Err(broken)) => {
                let (code, carried) = match broken {
                    BodyBroken::TooLarge(limit) => (StreamCode::TooLarge, Carried::TooLarge(limit)),
                    BodyBroken::Cut => (StreamCode::Cancelled, Carried::Cut),
                    BodyBroken::Doubtful(doubt) => {
                        (StreamCode::Cancelled, Carried::Doubtful(doubt))
                    }
                };
                upload.reset(code);
                break carried;
            }
            Err(_) => {
                upload.reset(StreamCode::Timeout);
                break Carried::Stalled;
            }
        };
        match piece {
            Piece::Data(bytes) => {
                metrics.bytes_to_agents.inc_by(bytes.len() as u64);
                sent.pieces.keep(&bytes);
                let taken = tokio::select! {
                    biased;
                    taken = upload.data(bytes) => taken.is_ok(),
                    _ = &mut recalled => false,
                };
                if !taken {
                    break Carried::Unwanted;
                }
            }
            Piece::End(mut trailers) => {
                remove_forbidden_trailers(&mut trailers);
                if !fit_in_end(&trailers) {
                    upload.reset(StreamCode::TooLarge);
                    break Carried::Cut;
                }
                sent.trailers = trailers.clone();
                let ended = tokio::select! {
                    biased;
                    ended = upload.end(trailers) => ended.is_ok(),
                    _ = &mut recalled => false,
                };
                break if ended { Carried::Whole } else { Carried::Unwanted };
            }
        }
    };
    if !matches!(carried, Carried::Whole | Carried::Unwanted) {
        sent.pieces = Pieces::Gone;
    }
    (carried, sent)
}

#[cfg(test)]
mod tests;
