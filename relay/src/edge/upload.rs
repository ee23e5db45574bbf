//! Carries a caller's body up the link while its answer is already awaited.

use std::sync::Arc;
use std::time::Duration;

use shared::codes::StreamCode;
use shared::headers::remove_forbidden_trailers;
use shared::wire::fields::fit_in_end;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::caller_body::{BodyBroken, CallerBody, Piece};
use crate::metrics::Metrics;
use crate::tunnel::{Upload, UploadEnd};

/// Patience for the next bytes of a body that has begun.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// The caller sent nothing for too long.
    Stalled,
}

/// A body on its way. Dropping it gives the upload up.
#[derive(Debug, Default)]
pub struct Carrying(JoinSet<Carried>);

impl Carrying {
    /// Carries `body` from where it stands.
    pub fn begin(body: CallerBody, upload: Upload, metrics: Arc<Metrics>) -> Self {
        let mut task = JoinSet::new();
        task.spawn(carry(body, upload, metrics));
        Self(task)
    }

    /// How it ended. Waits for ever when there was nothing to carry, or it was answered before.
    /// Cancel safe.
    pub async fn ended(&mut self) -> Carried {
        match self.0.join_next().await {
            Some(Ok(carried)) => carried,
            Some(Err(_)) => Carried::Unwanted,
            None => std::future::pending().await,
        }
    }
}

async fn carry(mut body: CallerBody, mut upload: Upload, metrics: Arc<Metrics>) -> Carried {
    loop {
        let piece = match timeout(IDLE_TIMEOUT, body.next()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(BodyBroken::TooLarge(limit))) => {
                upload.reset(StreamCode::TooLarge);
                return Carried::TooLarge(limit);
            }
            Ok(Err(BodyBroken::Cut)) => {
                upload.reset(StreamCode::Cancelled);
                return Carried::Cut;
            }
            Err(_) => {
                upload.reset(StreamCode::Timeout);
                return Carried::Stalled;
            }
        };
        let sent = match piece {
            Piece::Data(bytes) => {
                metrics.bytes_to_agents.inc_by(bytes.len() as u64);
                upload.data(bytes).await
            }
            Piece::End(mut trailers) => {
                remove_forbidden_trailers(&mut trailers);
                if !fit_in_end(&trailers) {
                    upload.reset(StreamCode::TooLarge);
                    return Carried::Cut;
                }
                return match upload.end(trailers).await {
                    Ok(()) => Carried::Whole,
                    Err(UploadEnd::Stopped | UploadEnd::Lost) => Carried::Unwanted,
                };
            }
        };
        if sent.is_err() {
            drop(upload);
            // A refusal may follow, and names the request by the first bytes of its body.
            let _ = body.find_envelope().await;
            return Carried::Unwanted;
        }
    }
}
