//! What the outcome of each call makes of what is known.

use std::time::Instant;

use shared::ids::WorkspaceId;

use super::Bridge;
use super::answer::CallError;
use super::board::{Board, chance};
use super::reconcile::{Making, Next, Theirs};
use super::steps::{Done, Failed, name_of};
use super::track::Track;

/// Why nothing can be made, listed or deleted.
pub(super) const OPERATOR_REFUSED: &str = "The platform refuses the operator's token; check \
    RELAY_PLATFORM_TOKEN or --platform-token-file.";

impl Bridge {
    /// Takes what came of a heartbeat.
    pub(super) fn take_beat(
        &self,
        board: &mut Board,
        id: WorkspaceId,
        version: i64,
        beaten: Result<Option<u64>, Failed>,
        now: Instant,
    ) {
        let Board { tracks, beats, condition } = board;
        let Some(track) = tracks.get_mut(&id) else { return };
        match beaten {
            Ok(Some(card)) => {
                self.count_call("heartbeat", None);
                track.note("heartbeat", "200".to_owned());
                track.accept();
                track.heard = Some(now);
                track.card_now = Some(card);
                // Before the first registration of this process nobody knows what was registered.
                track.card.get_or_insert(card);
                beats.heard(&id, now, chance());
                if condition.hear(Ok(()), now) {
                    board.resume(now);
                }
            }
            // It left; the next comparison takes it out.
            Ok(None) => beats.failed(&id, now, chance()),
            Err(Failed::Own(why)) => {
                beats.failed(&id, now, chance());
                track.trouble = Some(why);
            }
            Err(Failed::Call(error)) => {
                self.count_call("heartbeat", Some(&error));
                track.note("heartbeat", answered(&error));
                beats.failed(&id, now, chance());
                let back = condition.hear(Err(&error), now);
                match error {
                    CallError::Unauthorized(_) => self.refused(track, id, version, now),
                    CallError::RateLimited(_) => {}
                    error => track.trouble = Some(error.to_string()),
                }
                if back {
                    board.resume(now);
                }
            }
        }
    }

    /// Takes what came of a step.
    pub(super) fn take_step(
        &self,
        board: &mut Board,
        id: WorkspaceId,
        step: Next,
        version: i64,
        outcome: Result<Done, Failed>,
        now: Instant,
    ) {
        let Some(track) = board.tracks.get_mut(&id) else { return };
        track.busy = false;
        let called = !matches!(step, Next::Hold | Next::Release | Next::Bury | Next::Search);
        match outcome {
            Ok(done) => {
                let name = match done {
                    Done::Registered(_) => "register",
                    _ => name_of(step),
                };
                if called {
                    self.count_call(name, None);
                    let answer = if matches!(done, Done::Unknown) { "404" } else { "done" };
                    track.note(name, answer.to_owned());
                }
                track.done(now);
                self.finished(track, id, done, now);
                if called && board.condition.hear(Ok(()), now) {
                    board.resume(now);
                }
            }
            Err(Failed::Own(why)) => track.wait(now, why),
            Err(Failed::Call(error)) => {
                self.count_call(name_of(step), Some(&error));
                track.note(name_of(step), answered(&error));
                self.failed(track, id, step, version, &error, now);
                if board.condition.hear(Err(&error), now) {
                    board.resume(now);
                }
            }
        }
    }

    fn finished(&self, track: &mut Track, id: WorkspaceId, done: Done, now: Instant) {
        match done {
            Done::Made | Done::Minted => {
                track.theirs = Theirs::Unknown;
                track.accept();
            }
            Done::Looked(row) => {
                track.looked = Some(now);
                if let Some(bond) = self.bond(&id) {
                    track.see(&row, &self.url(&bond), now);
                }
            }
            Done::Registered(card) => {
                track.accept();
                track.registered(card, now);
                tracing::info!(workspace = %id, "registered on the platform");
            }
            Done::CardSent(card) => (track.card, track.card_now) = (Some(card), Some(card)),
            Done::Unknown => track.unknown(self.inner.pace.look, now),
            Done::Missing => track.missing(now),
            Done::Stored => {}
        }
    }

    fn failed(
        &self,
        track: &mut Track,
        id: WorkspaceId,
        step: Next,
        version: i64,
        error: &CallError,
        now: Instant,
    ) {
        if step == Next::Create {
            track.making = if error.may_be_done() { Making::Perhaps } else { Making::Unsent };
            track.blind |= matches!(error, CallError::Strange(200..=299, _));
        }
        match error {
            CallError::RateLimited(wait) => track.not_before = now + *wait,
            // A look shows no credential; what refuses one there is the registration behind it.
            CallError::Unauthorized(_)
                if matches!(step, Next::Look | Next::Register | Next::UpdateCard) =>
            {
                track.wait(now, error.to_string());
                self.refused(track, id, version, now);
            }
            CallError::Unauthorized(_) => track.wait(now, OPERATOR_REFUSED.to_owned()),
            error => track.wait(now, error.to_string()),
        }
    }

    /// A token was refused: it is read anew once, then it counts as no good.
    fn refused(&self, track: &mut Track, id: WorkspaceId, version: i64, now: Instant) {
        self.inner.tokens.remove(&id);
        if track.refuse(version, now) {
            track.trouble = Some(
                "The platform refuses the workspace's token: it was revoked or rotated there. Give \
                 the new one with relay workspace set --platform-token-file."
                    .to_owned(),
            );
        }
        // Whether it was deleted shows nowhere else than in its row.
        track.theirs = Theirs::Unauthorized;
    }

    pub(super) fn count_call(&self, call: &'static str, error: Option<&CallError>) {
        self.inner.metrics.platform.call(call, error.map_or("ok", CallError::label));
    }
}

/// What a call was answered, for people.
fn answered(error: &CallError) -> String {
    error.status().map_or_else(|| error.label().replace('_', " "), |status| status.to_string())
}
