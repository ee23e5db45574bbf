//! Tests of keys: who gets which answer, and for how long.

use serde_json::json;
use tokio::sync::oneshot;

use super::*;

const ID: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn asked(credential: &str, key: &str, body: &str) -> Asked {
    let credential = credential.to_owned();
    Asked { credential, key: Sha256::digest(key).into(), body: Sha256::digest(body).into() }
}

/// Work that answers this number.
async fn number(number: usize) -> Outcome {
    Ok(Answer::ok(json!({ "number": number, "workspace_id": ID })))
}

fn answered(outcome: &Outcome) -> Option<u64> {
    let Ok(Answer { content: Content::Json(body), .. }) = outcome else { return None };
    body["number"].as_u64()
}

#[tokio::test]
async fn the_same_question_has_the_same_answer_for_a_while() {
    let (repeats, now) = (Repeats::default(), Instant::now());
    let first = repeats.once(asked("a", "k", "{}"), number(1), now).await;
    assert_eq!(answered(&first), Some(1));
    let soon = now + KEPT_FOR - Duration::from_millis(1);
    let again = repeats.once(asked("a", "k", "{}"), number(2), soon).await;
    assert_eq!(answered(&again), Some(1));
    let of_another = repeats.once(asked("b", "k", "{}"), number(3), soon).await;
    assert_eq!(answered(&of_another), Some(3), "keys are apart for each credential");
    let other = repeats.once(asked("a", "k", "{ }"), number(4), soon).await;
    assert!(matches!(other, Err(Problem::Duplicate(why)) if why.contains("another body")));
    let late = repeats.once(asked("a", "k", "{ }"), number(5), now + KEPT_FOR).await;
    assert_eq!(answered(&late), Some(5));
    repeats.sweep(now + 3 * KEPT_FOR);
    assert!(repeats.entries().is_empty());
}

#[tokio::test]
async fn work_goes_on_when_its_caller_leaves_and_is_done_once() {
    let repeats = Repeats::default();
    let (go, gone) = oneshot::channel::<()>();
    let work = async move {
        gone.await.ok();
        number(1).await
    };
    let ask = |work| repeats.find_or_begin(asked("a", "k", ""), work, Instant::now()).unwrap();
    // Whoever asked first is gone before there is an answer.
    drop(ask(work));
    let (second, third) =
        tokio::join!(repeats.once(asked("a", "k", ""), number(2), Instant::now()), async {
            go.send(()).unwrap();
            repeats.once(asked("a", "k", ""), number(3), Instant::now()).await
        });
    assert_eq!((answered(&second), answered(&third)), (Some(1), Some(1)));
}

#[tokio::test]
async fn what_was_refused_may_be_asked_again() {
    let (repeats, now) = (Repeats::default(), Instant::now());
    let full = async { Err(Problem::StoreUnavailable("full".into())) };
    let refused = repeats.once(asked("a", "k", ""), full, now).await;
    assert!(matches!(refused, Err(Problem::StoreUnavailable(_))), "{refused:?}");
    let again = repeats.once(asked("a", "k", ""), number(1), now).await;
    assert_eq!(answered(&again), Some(1));
}

#[tokio::test]
async fn a_revoked_answer_is_told_to_nobody_and_not_made_anew() {
    let (repeats, now) = (Repeats::default(), Instant::now());
    assert!(repeats.once(asked("a", "k", ""), number(1), now).await.is_ok());
    repeats.revoke(&"ws_01BX5ZZKBKACTAV9WEVGEMMVRZ".parse().unwrap());
    assert!(repeats.once(asked("a", "k", ""), number(2), now).await.is_ok());
    repeats.revoke(&ID.parse().unwrap());
    let refused = repeats.once(asked("a", "k", ""), number(3), now).await;
    assert!(matches!(refused, Err(Problem::Duplicate(why)) if why.contains("revoked")));
}

#[tokio::test]
async fn so_many_keys_are_known_and_nobody_takes_anothers_place() {
    let (repeats, now) = (Repeats::default(), Instant::now());
    let ask = async |credential: &str, key: usize, answer| {
        let asked = asked(credential, &key.to_string(), "");
        answered(&repeats.once(asked, number(answer), now).await)
    };
    assert_eq!(ask("operator", 0, 1).await, Some(1));
    for key in 0..KEYS_OF_ONE + 1 {
        ask("greedy", key, key).await;
    }
    assert_eq!(ask("operator", 0, 2).await, Some(1));
    assert_eq!(ask("greedy", 1, 500).await, Some(1), "the oldest alone made way");
    assert_eq!(ask("greedy", 0, 500).await, Some(500));
    for credential in 0..2 * KEYS_MAX {
        ask(&credential.to_string(), 0, 0).await;
    }
    assert_eq!(repeats.entries().len(), KEYS_MAX);
}
