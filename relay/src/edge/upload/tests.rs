//! What comes back of an upload that was stopped: all that went up, or nothing where the body broke.

use super::*;
use crate::edge::arriving::Arriving;
use crate::tunnel::loopback::{FarEnd, Wire, head};
use crate::tunnel::{Answer, LiveLinks};

const LIMIT: u64 = 16;

/// A body of which `first` went up with the head, and whose caller goes on as told.
struct Begun {
    carrying: Carrying,
    _link: (Wire, FarEnd, Answer),
}

impl Begun {
    async fn with(goes_on: impl AsyncFnOnce(Arriving) -> Option<Arriving>) -> (Self, impl Sized) {
        let (wire, live) = (Wire::new(), LiveLinks::default());
        let workspace = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let (link, end) = wire.link(&live, workspace, 1, 1).await;
        let (upload, answer) = link.open(&mut head(), false, &[], false).await.unwrap();
        let (mut body, mut caller) = Arriving::body(LIMIT).await;
        caller.chunk(b"first").await;
        let Ok(Piece::Data(first)) = body.next().await else { panic!("no first piece") };
        let caller = goes_on(caller).await;
        let carrying = Carrying::begin(body, vec![first], Some(upload), Arc::default());
        (Self { carrying, _link: (wire, end, answer) }, caller)
    }

    /// Stops the upload: the body, and whether it may be sent again.
    async fn unsent(self) -> (Box<CallerBody>, bool) {
        self.carrying.stop().await.unwrap().unsend()
    }
}

#[tokio::test]
async fn a_whole_body_comes_again_from_its_beginning() {
    let (mut begun, _caller) = Begun::with(async |mut caller| {
        caller.chunk(b", second").await;
        caller.end().await;
        Some(caller)
    })
    .await;
    assert_eq!(begun.carrying.ended().await, Carried::Whole);
    let (mut body, again) = begun.unsent().await;
    assert!(again);
    let mut bytes = Vec::new();
    let trailers = loop {
        match body.next().await.unwrap() {
            Piece::Data(piece) => bytes.extend_from_slice(&piece),
            Piece::End(trailers) => break trailers,
        }
    };
    assert_eq!((&bytes[..], trailers.len()), (&b"first, second"[..], 1));
}

#[tokio::test]
async fn a_body_that_was_too_large_does_not_come_again() {
    let (mut begun, _caller) = Begun::with(async |mut caller| {
        caller.chunk(&[b'x'; 2 * LIMIT as usize]).await;
        caller.end().await;
        Some(caller)
    })
    .await;
    assert_eq!(begun.carrying.ended().await, Carried::TooLarge(LIMIT));
    assert!(!begun.unsent().await.1);
}

#[tokio::test]
async fn a_body_that_was_cut_does_not_come_again_whether_that_was_told_or_not() {
    for told in [true, false] {
        let (mut begun, _caller) = Begun::with(async |caller| {
            caller.leave().await;
            None
        })
        .await;
        if told {
            assert_eq!(begun.carrying.ended().await, Carried::Cut);
        }
        assert!(!begun.unsent().await.1, "told: {told}");
    }
}
