//! A link that is lost before it took anything: the request goes to a newer one, once, or nowhere;
//! and one that takes nothing keeps nobody longer than they wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method};
use shared::codes::{CloseCode, Delivery};

use super::{Admitted, Pending, Way, open, run};
use crate::edge::arriving::Arriving;
use crate::edge::called::Called;
use crate::edge::card_request::{CardAsked, Cards, Document};
use crate::edge::deadline::Deadline;
use crate::edge::failure::Failure;
use crate::edge::load::Load;
use crate::edge::observed::Observed;
use crate::edge::record::Record;
use crate::edge::render::Dialect;
use crate::edge::route::AgentName;
use crate::methods::Methods;
use crate::registry::Workspace;
use crate::tunnel::LiveLinks;
use crate::tunnel::loopback::{Wire, head};

pub(in crate::edge) fn workspace() -> Workspace {
    Workspace::sample()
}

/// A request to the agent by its address, for this document.
pub(in crate::edge) fn asked(document: Document, method: &Method) -> CardAsked {
    let public = "https://relay.example".parse().unwrap();
    let cards = Arc::new(Cards { public, drop_foreign: false, signer: None });
    CardAsked::new(document, method, &cards, &AgentName::Address(workspace().address), None)
}

pub(in crate::edge) fn admitted() -> Admitted {
    Admitted {
        workspace: Arc::new(workspace()),
        head: head(),
        dialect: Dialect::JsonRpc,
        called: Called::InBody,
        allowed: Methods::ALL,
        asked: asked(Document::None, &Method::POST),
        keep: None,
        deadline: None,
        wait: None,
        validity: None,
        streams: false,
        keep_alive: true,
        way: Way::Here,
    }
}

/// A request whose body has not come yet, and its caller.
pub(in crate::edge) async fn pending() -> (Pending, Arriving) {
    let (body, caller) = Arriving::body(1).await;
    let name = HeaderValue::from_static("r-1");
    let observed = Observed::head(Called::InBody, &head());
    let place = Load::new(1).enter().unwrap();
    let record = Record::begin(&Arc::default(), name, workspace().id, observed, None, place);
    (Pending { body, record }, caller)
}

#[tokio::test]
async fn a_caller_that_says_how_long_it_waits_waits_no_longer_for_a_place_on_the_link() {
    let (wire, live) = (Wire::new(), LiveLinks::default());
    let (link, _end) = wire.link(&live, workspace().id, 1, 0).await;
    let _seat = live.register(&link).unwrap();
    let total = Duration::from_millis(50);
    let deadline = Some(Deadline { total, at: Instant::now() + total });
    let (pending, _caller) = pending().await;
    let refused = run(&live, Box::new(Admitted { deadline, ..admitted() }), pending).await;
    assert_eq!(refused.err().map(|refused| refused.failure), Some(Failure::Deadline(total)));
}

#[tokio::test]
async fn a_request_whose_link_is_lost_before_it_was_opened_goes_to_the_newer_link() {
    let (wire, live, mut admitted) = (Wire::new(), LiveLinks::default(), admitted());
    // The first connector allows no stream, so the request waits on its link.
    let (first, _first_end) = wire.link(&live, workspace().id, 1, 0).await;
    let _first_seat = live.register(&first).unwrap();
    let (second, second_end) = wire.link(&live, workspace().id, 2, 8).await;
    let mut passed = None;
    let opening = open(&live, &mut admitted, &[], true, &mut passed);
    let losing = async {
        tokio::task::yield_now().await;
        let seat = live.register(&second).unwrap();
        first.close(CloseCode::Done, "lost");
        seat
    };
    let (opened, _second_seat) = tokio::join!(opening, losing);
    let (_upload, answer) = opened.expect("the newer link takes it");
    assert_eq!(answer.link().generation, second.generation);
    assert!(second_end.got_a_stream().await, "it is there");
}

#[tokio::test]
async fn a_request_whose_link_is_lost_before_it_was_opened_was_not_sent() {
    let (wire, live, mut admitted) = (Wire::new(), LiveLinks::default(), admitted());
    let (link, _end) = wire.link(&live, workspace().id, 1, 0).await;
    let _seat = live.register(&link).unwrap();
    let losing = async {
        tokio::task::yield_now().await;
        link.close(CloseCode::Done, "lost");
    };
    let mut passed = None;
    let (opened, ()) = tokio::join!(open(&live, &mut admitted, &[], true, &mut passed), losing);
    let failure = opened.expect_err("nobody is there");
    assert!(matches!(failure, Failure::LinkLost(_)), "{failure:?}");
    let verdict = failure.verdict();
    assert_eq!((verdict.code, verdict.delivery), ("RELAY_AGENT_OFFLINE", Delivery::NotSent));
    assert_eq!(verdict.retry_after, Some(1));
}
