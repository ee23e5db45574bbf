//! How many exchanges a link takes.

use super::*;
use crate::tunnel::LiveLinks;
use crate::tunnel::loopback::{Wire, head};

#[tokio::test]
async fn a_link_takes_so_many_exchanges_and_only_half_of_them_event_streams() {
    let (wire, live) = (Wire::new(), LiveLinks::default());
    let workspace = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let (link, _end) = wire.link(&live, workspace, 1, IN_FLIGHT_MAX as u32 + 1).await;
    let mut open = Vec::new();
    for _ in 0..EVENT_STREAMS_MAX {
        open.push(link.open(&mut head(), true, &[], true).await.unwrap());
    }
    let busy = link.open(&mut head(), true, &[], true).await;
    assert_eq!(busy.err(), Some(OpenError::Busy));
    for _ in EVENT_STREAMS_MAX..IN_FLIGHT_MAX {
        open.push(link.open(&mut head(), false, &[], true).await.unwrap());
    }
    let busy = link.open(&mut head(), false, &[], true).await;
    assert_eq!(busy.err(), Some(OpenError::Busy));
    assert_eq!(link.in_flight(), IN_FLIGHT_MAX);
    drop(open);
    assert_eq!((link.in_flight(), link.event_streams.load(Ordering::Relaxed)), (0, 0));
}
