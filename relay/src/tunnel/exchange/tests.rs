//! How many exchanges a link takes, and what becomes of one that it takes in part.

use quinn::{TransportConfig, VarInt};

use super::*;
use crate::tunnel::loopback::{Wire, head};
use crate::tunnel::{LiveLinks, UploadEnd};
use shared::codes::StreamCode;

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

#[tokio::test]
async fn an_exchange_that_is_taken_in_part_is_reset_and_nothing_is_read_behind_it() {
    let (wire, live) = (Wire::new(), LiveLinks::default());
    let workspace = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(1024));
    transport.keep_alive_interval(Some(Duration::from_secs(5)));
    let (link, end) = wire.link_with(&live, workspace, 1, transport).await;
    tokio::time::pause();
    let first = [Bytes::from_static(&[b'x'; 4096])];
    let (upload, _answer) = link.open(&mut head(), false, &first, false).await.unwrap();
    tokio::time::resume();
    let (ended, reset) = tokio::join!(upload.end(HeaderMap::new()), end.got_a_reset());
    assert_eq!((ended, reset), (Err(UploadEnd::Lost), Some(StreamCode::Timeout)));
}
