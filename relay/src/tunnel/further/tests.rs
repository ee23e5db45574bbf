//! What the relay makes of the answers to CONTINUE, and of those that never come.

use http::{HeaderMap, StatusCode};
use shared::ids::WorkspaceId;
use shared::wire::{Abort, ResponseHead};

use super::*;
use crate::tunnel::answer::Answer;
use crate::tunnel::live::Registration;
use crate::tunnel::loopback::{FarEnd, Wire, head};
use crate::tunnel::{LiveLinks, Upload};

struct Lost {
    wire: Wire,
    live: LiveLinks,
    workspace: WorkspaceId,
    upload: Upload,
    answer: Answer,
    _registration: Registration,
}

/// An exchange whose link is lost.
async fn lost() -> Lost {
    let (wire, live) = (Wire::new(), LiveLinks::default());
    let workspace = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let (link, _end) = wire.link(&live, workspace, 1, 8).await;
    let registration = live.register(&link).unwrap();
    let body = [Bytes::from_static(b"four")];
    let (upload, answer) = link.open(&mut head(), false, &body, false).await.unwrap();
    link.close_silent();
    Lost { wire, live, workspace, upload, answer, _registration: registration }
}

/// The next link, of this connector process.
async fn next(lost: &Lost, instance: u64) -> (FarEnd, Registration) {
    let (link, end) = lost.wire.link(&lost.live, lost.workspace, instance, 8).await;
    (end, lost.live.register(&link).unwrap())
}

const fn continued(request_over: bool, request_offset: u64) -> Frame {
    Frame::Continued { request_over, request_offset }
}

fn abort(code: AbortCode, delivery: Delivery) -> Frame {
    Frame::Abort(Abort { code, delivery, message: String::new() })
}

#[tokio::test]
async fn an_answer_goes_on_over_the_next_link() {
    let mut lost = lost().await;
    let (end, _registration) = next(&lost, 1).await;
    let fields = HeaderMap::new();
    let head = || {
        Frame::ResponseHead(Box::new(ResponseHead {
            status: StatusCode::OK,
            fields: fields.clone(),
        }))
    };
    let frames = [continued(true, 0), head()];
    let (frame, asked) = tokio::join!(lost.answer.frame(), end.answer_with(&frames));
    assert_eq!(frame.unwrap(), head());
    let question =
        Frame::Continue { exchange: lost.answer.exchange, has_head: false, response_offset: 0 };
    assert_eq!(asked.0, question);
    assert_eq!(lost.answer.continued(), 1);
    drop(lost.upload);
}

#[tokio::test]
async fn a_connector_that_lies_of_the_request_ends_the_exchange() {
    for (frame, offset) in [("beyond what was sent", 5), ("far beyond", u64::MAX >> 2)] {
        let mut lost = lost().await;
        let (end, _registration) = next(&lost, 1).await;
        let frames = [continued(false, offset)];
        let (cut, _asked) = tokio::join!(lost.answer.frame(), end.answer_with(&frames));
        assert!(matches!(cut, Err(AnswerCut::Protocol(_))), "{frame}: {cut:?}");
    }
    let mut lost = lost().await;
    let (end, _registration) = next(&lost, 1).await;
    let (cut, _asked) = tokio::join!(lost.answer.frame(), end.answer_with(&[Frame::Accepted]));
    assert!(matches!(cut, Err(AnswerCut::Protocol(_))), "no CONTINUED: {cut:?}");
}

#[tokio::test]
async fn what_was_never_begun_may_be_sent_again_and_nothing_else() {
    for (code, delivery, never_began) in [
        (AbortCode::UnknownExchange, Delivery::NotSent, true),
        (AbortCode::UnknownExchange, Delivery::Maybe, false),
    ] {
        let mut lost = lost().await;
        let (end, _registration) = next(&lost, 1).await;
        let frames = [abort(code, delivery)];
        let (cut, _asked) = tokio::join!(lost.answer.frame(), end.answer_with(&frames));
        assert_eq!(cut, Err(AnswerCut::LinkLost));
        assert_eq!(lost.answer.never_began(), never_began, "{delivery:?}");
    }
    let mut lost = lost().await;
    let (end, _registration) = next(&lost, 1).await;
    let frames = [abort(AbortCode::Busy, Delivery::NotSent)];
    let (frame, _asked) = tokio::join!(lost.answer.frame(), end.answer_with(&frames));
    assert_eq!(
        frame,
        Ok(abort(AbortCode::Busy, Delivery::Maybe)),
        "the first link may have begun it"
    );
}

#[tokio::test]
async fn another_connector_process_a_revocation_and_a_link_that_was_closed_end_the_wait_at_once() {
    let mut lost_one = lost().await;
    let (_end, _registration) = next(&lost_one, 2).await;
    assert_eq!(lost_one.answer.frame().await, Err(AnswerCut::LinkLost));

    let mut lost_one = lost().await;
    let (live, workspace) = (lost_one.live.clone(), lost_one.workspace);
    let revoke = async {
        tokio::task::yield_now().await;
        live.revoke(&workspace, "Removed.");
    };
    let (cut, ()) = tokio::join!(lost_one.answer.frame(), revoke);
    assert_eq!(cut, Err(AnswerCut::LinkLost));

    let (wire, live) = (Wire::new(), LiveLinks::default());
    let (link, _end) = wire.link(&live, workspace, 1, 8).await;
    let _registration = live.register(&link).unwrap();
    let (_upload, mut answer) = link.open(&mut head(), false, &[], true).await.unwrap();
    link.revoke("Removed.");
    assert_eq!(answer.frame().await, Err(AnswerCut::LinkLost));
}

#[tokio::test]
async fn a_link_that_does_not_come_in_time_ends_the_wait() {
    let mut lost = lost().await;
    tokio::time::pause();
    let began = Instant::now();
    assert_eq!(lost.answer.frame().await, Err(AnswerCut::LinkLost));
    assert_eq!(began.elapsed().as_secs(), CONTINUE_TIMEOUT.as_secs());
}
