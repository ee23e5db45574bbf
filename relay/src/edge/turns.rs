//! Gives each message of the platform its turn: it runs, or it is a repeat, which waits while the first one
//! runs and then gets what came of it.
//!
//! The platform gives a message up that was refused a few times, so a repeat of one that still runs is not
//! refused. It waits as long as any call waits for its answer, and its caller may leave at any time.

use std::future::pending;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, request};
use shared::ids::WorkspaceId;
use shared::limits::ANSWER_HEAD_TIMEOUT;
use tokio::time::timeout;

use super::answer_body::AnswerBody;
use super::caller_body::CallerBody;
use super::deadline::{Deadline, patience};
use super::exchange::broken;
use super::failure::Failure;
use super::load::Place;
use super::message_id;
use super::observed::Observed;
use super::record::{Carrier, Record};
use super::remembered::{Kept, Lost, Seen, Ticket, Waiting};
use super::render::Dialect;
use super::service::Edge;

/// What is held of the body of a message that waits, bytes: it is needed only if the message runs after
/// all. Of a longer one the rest stays unread, and its caller is not seen to leave before the end.
const HELD_BYTES_MAX: usize = 128 * 1024;

/// What a message gets.
pub(super) enum Turn {
    /// It runs. The ticket tells what came of it, where it has a name to be known by.
    Runs(Option<Ticket>),
    /// The answer that there was.
    Answered(Response<AnswerBody>),
}

impl Edge {
    /// The turn of a message to the agent of `workspace`, once it is known; or why it has none.
    pub(super) async fn turn(
        &self,
        workspace: WorkspaceId,
        parts: &request::Parts,
        body: &mut CallerBody,
        request_id: &HeaderValue,
    ) -> Result<Turn, Failure> {
        // Who is refused for want of room is not read either.
        let place = self.load.enter()?;
        let Some(id) = message_id::find(body).await? else { return Ok(Turn::Runs(None)) };
        let begin = || self.continued.remembered.begin(workspace, id, std::time::Instant::now());
        let seen = match begin() {
            Seen::New(ticket) => return Ok(Turn::Runs(Some(ticket))),
            seen => seen,
        };
        let deadline = Deadline::of(&parts.headers, std::time::Instant::now)?;
        let mut record = self.repeat(workspace, parts, body, request_id, place);
        let (wait, named) = patience(deadline.as_ref(), ANSWER_HEAD_TIMEOUT);
        let ended = timeout(wait, ended(seen, begin, body)).await;
        let failure = match ended.unwrap_or(Err(Failure::Deadline(named))) {
            Ok(Seen::New(ticket)) => {
                record.told_by_another();
                return Ok(Turn::Runs(Some(ticket)));
            }
            Ok(Seen::Answered(kept)) => return Ok(Turn::Answered(repeated(kept, record))),
            Ok(Seen::Lost(why)) => Failure::Duplicate(workspace, became(why)),
            Ok(Seen::Running(_)) => Failure::Duplicate(workspace, became(Lost::Running)),
            Ok(Seen::Full) => Failure::Overloaded,
            Err(failure) => failure,
        };
        let verdict = failure.verdict();
        record.refused(&verdict);
        record.status = Dialect::Molecule.status(&verdict).as_u16();
        Err(failure)
    }

    /// The record of a repeat.
    fn repeat(
        &self,
        workspace: WorkspaceId,
        parts: &request::Parts,
        body: &CallerBody,
        request_id: &HeaderValue,
        place: Place,
    ) -> Box<Record> {
        let observed = Observed::message(&parts.headers, &body.prefix());
        let request_id = request_id.clone();
        let mut record = Record::begin(&self.metrics, request_id, workspace, observed, None, place);
        record.carrier = Carrier::Memory;
        record
    }
}

/// What is seen of a message once it does not run any more; an error is why its repeat waits no longer.
/// Whoever of several repeats asks first may then run it, and the others wait for that.
async fn ended(
    mut seen: Seen,
    again: impl Fn() -> Seen,
    body: &mut CallerBody,
) -> Result<Seen, Failure> {
    while let Seen::Running(waiting) = seen {
        over(waiting, body).await?;
        seen = again();
    }
    Ok(seen)
}

/// Waits for the end of a message that runs, or for that of its repeat's caller.
async fn over(mut waiting: Waiting, body: &mut CallerBody) -> Result<(), Failure> {
    let left = async {
        match body.gather(HELD_BYTES_MAX).await {
            // hyper ends this task with its connection.
            Ok(()) => pending().await,
            Err(why) => broken(why),
        }
    };
    tokio::select! {
        biased;
        () = waiting.over() => Ok(()),
        failure = left => Err(failure),
    }
}

/// The answer that there was.
fn repeated(kept: Kept, mut record: Box<Record>) -> Response<AnswerBody> {
    record.answered(kept.status.as_u16());
    record.passed(kept.body.len());
    record.complete();
    let mut response = Response::new(AnswerBody::whole(kept.body));
    *response.status_mut() = kept.status;
    let fields = response.headers_mut();
    if let Some(media) = kept.media {
        fields.insert(CONTENT_TYPE, media);
    }
    fields.insert("x-request-id", record.request_id.clone());
    response
}

const fn became(lost: Lost) -> &'static str {
    match lost {
        Lost::Running => {
            "it is still at work on it, and as many repeats wait for its answer as may"
        }
        Lost::Uncertain => "it may have done what was asked: nobody knows",
        Lost::Cut => "its answer broke off",
        Lost::NotKept => "its answer was too long to be kept",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http::StatusCode;

    use super::*;
    use crate::edge::arriving::Arriving;
    use crate::edge::message_id::MessageId;
    use crate::edge::remembered::Remembered;

    /// A message that runs, and what its repeats ask for.
    fn running(memory: &Remembered) -> (Ticket, impl Fn() -> Seen) {
        let workspace = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let memory = memory.clone();
        let begin = move || memory.begin(workspace, MessageId::of("m"), Instant::now());
        let Seen::New(ticket) = begin() else { panic!("it is new") };
        (ticket, begin)
    }

    #[tokio::test]
    async fn of_those_who_wait_one_runs_what_never_ran_and_the_others_get_its_answer() {
        let memory = Remembered::default();
        let (first, begin) = running(&memory);
        let repeat = async || {
            let (mut body, _caller) = Arriving::body(1000).await;
            let seen = ended(begin(), &begin, &mut body).await.unwrap();
            match seen {
                Seen::New(ticket) => {
                    tokio::task::yield_now().await;
                    let body = "done".into();
                    let kept = Kept { status: StatusCode::OK, media: None, body };
                    ticket.answered(kept, Instant::now());
                    "ran"
                }
                Seen::Answered(kept) if kept.body == "done" => "answered",
                other => panic!("{other:?}"),
            }
        };
        let refuses = async {
            while memory.waiting() < 3 {
                tokio::task::yield_now().await;
            }
            first.not_sent();
        };
        let (a, b, c, ()) = tokio::join!(repeat(), repeat(), repeat(), refuses);
        let mut ends = [a, b, c];
        ends.sort_unstable();
        assert_eq!(ends, ["answered", "answered", "ran"]);
        assert_eq!(memory.waiting(), 0);
    }

    #[tokio::test]
    async fn whose_caller_leaves_waits_no_longer() {
        let memory = Remembered::default();
        let (_first, begin) = running(&memory);
        let (mut body, caller) = Arriving::body(1000).await;
        let leaves = async {
            while memory.waiting() < 1 {
                tokio::task::yield_now().await;
            }
            caller.leave().await;
        };
        let (left, ()) = tokio::join!(ended(begin(), &begin, &mut body), leaves);
        assert!(matches!(left, Err(Failure::BadRequest(_))), "{left:?}");
        assert_eq!(memory.waiting(), 0);
    }
}
