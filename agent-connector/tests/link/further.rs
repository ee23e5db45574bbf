//! Links are lost under exchanges, and these go on over the next one, or are known not to.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method};
use shared::codes::{AbortCode, CloseCode, Delivery, StreamCode};
use shared::ids::{ExchangeId, InstanceId};
use shared::wire::{Frame, Target};

use crate::tiny_agent::{Call, TinyAgent};
use crate::tiny_relay::{Exchange, Link, TinyRelay, head};
use crate::{Connector, linked};

const NAME: ExchangeId = ExchangeId { instance: InstanceId(1), counter: 1 };

fn end(total: u64) -> Frame {
    Frame::End { total, trailers: HeaderMap::new() }
}

const fn data(bytes: &'static str) -> Frame {
    Frame::Data(Bytes::from_static(bytes.as_bytes()))
}

/// A connector whose agent has a request of one exchange.
async fn asked() -> (TinyRelay, TinyAgent, Connector, Link, Exchange, Call) {
    let (relay, mut agent, connector, link) = linked().await;
    let mut exchange = link.open().await;
    let get = head(NAME.counter, Target::Endpoint, Method::GET, HeaderMap::new());
    exchange.send(&[get, end(0)]).await;
    let mut call = agent.call().await;
    call.read_until("\r\n\r\n").await;
    assert_eq!(exchange.frame().await, Some(Frame::Accepted));
    (relay, agent, connector, link, exchange, call)
}

/// Loses the link; answers the next one.
async fn lose(link: &Link, relay: &TinyRelay) -> Link {
    link.close(CloseCode::Timeout);
    relay.link().await
}

const CONTINUED: Frame = Frame::Continued { request_over: true, request_offset: 0 };

#[tokio::test]
async fn an_answer_goes_on_over_each_link_that_follows_and_comes_once() {
    let (relay, _agent, _connector, link, mut exchange, mut call) = asked().await;
    let link = lose(&link, &relay).await;
    // What the relay may have missed comes again.
    assert_eq!(exchange.go_on(&link, NAME).await, CONTINUED);
    assert_eq!(exchange.frame().await, Some(Frame::Accepted));
    call.write("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nfour").await;
    assert!(matches!(exchange.frame().await, Some(Frame::ResponseHead(_))));
    assert_eq!(exchange.frame().await, Some(data("four")));
    link.close(CloseCode::Timeout);
    // The agent goes on while there is no link.
    call.write("more").await;
    let link = relay.link().await;
    assert_eq!(exchange.go_on(&link, NAME).await, CONTINUED);
    assert_eq!(exchange.frame().await, Some(data("more")));
    let link = lose(&link, &relay).await;
    assert_eq!(exchange.go_on(&link, NAME).await, CONTINUED);
    call.write("last").await;
    assert_eq!(exchange.frames().await, [data("last"), end(12)]);
    assert!(!call.has_ended().await, "the agent saw nothing of it");
}

#[tokio::test]
async fn an_answer_that_was_out_when_its_link_was_lost_is_sent_again() {
    let (relay, _agent, _connector, link, _exchange, mut call) = asked().await;
    call.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour").await;
    let link = lose(&link, &relay).await;
    for (has_head, offset, last) in [
        (false, 0, &[data("four"), end(4)][..]),
        (true, 1, &[data("our"), end(4)]),
        (true, 4, &[end(4)]),
    ] {
        let mut again = link.go_on(NAME, has_head, offset).await;
        assert_eq!(again.frame().await, Some(CONTINUED));
        let mut frames = Vec::new();
        while let Some(frame) = again.bare_frame().await {
            frames.push(frame);
        }
        assert!(frames.ends_with(last), "{frames:?}");
        let heads = frames.iter().filter(|frame| matches!(frame, Frame::ResponseHead(_)));
        assert_eq!(heads.count() == 1, !has_head, "{frames:?}");
    }
    link.done(&[NAME.counter]);
    let unknown = async || {
        let abort = link.go_on(NAME, false, 0).await.abort().await;
        (abort.code == AbortCode::UnknownExchange && abort.delivery == Delivery::Maybe)
            .then_some(())
    };
    while unknown().await.is_none() {}
}

#[tokio::test]
async fn an_upload_goes_on_where_it_came_to() {
    let (relay, mut agent, _connector, link) = linked().await;
    let mut exchange = link.open().await;
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_LENGTH, 12.into());
    exchange.send(&[head(1, Target::Endpoint, Method::POST, fields), data("four")]).await;
    let mut call = agent.call().await;
    call.read_until("four").await;
    let mut link = link;
    for (came, more) in [(4, "more"), (8, "last")] {
        link = lose(&link, &relay).await;
        let go_on = exchange.go_on(&link, NAME).await;
        assert_eq!(go_on, Frame::Continued { request_over: false, request_offset: came });
        exchange.send(&[data(more)]).await;
        if came == 4 {
            call.read_until(more).await;
        }
    }
    exchange.send(&[end(12)]).await;
    call.read_until("fourmorelast").await;
    call.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(exchange.frames().await.last(), Some(&end(0)));
}

#[tokio::test]
async fn a_caller_that_leaves_after_a_link_was_lost_is_heard() {
    let (relay, _agent, _connector, link, mut exchange, mut call) = asked().await;
    let link = lose(&link, &relay).await;
    assert_eq!(exchange.go_on(&link, NAME).await, CONTINUED);
    exchange.stop(StreamCode::Cancelled);
    call.read_to_end().await;
}

#[tokio::test]
async fn an_exchange_that_was_never_begun_is_not_begun_later() {
    let (_relay, _agent, _connector, link) = linked().await;
    let unknown = link.go_on(NAME, false, 0).await.abort().await;
    assert_eq!((unknown.code, unknown.delivery), (AbortCode::UnknownExchange, Delivery::NotSent));
    let mut late = link.open().await;
    let get = head(NAME.counter, Target::Endpoint, Method::GET, HeaderMap::new());
    late.send(&[get, end(0)]).await;
    assert_eq!(late.reset_by().await, Some(StreamCode::Refused));
    let unknown = link.go_on(NAME, false, 0).await.abort().await;
    assert_eq!(unknown.delivery, Delivery::NotSent);
}

#[tokio::test]
async fn an_exchange_of_another_relay_process_may_have_been_delivered() {
    let (_relay, _agent, _connector, link) = linked().await;
    let of_before = ExchangeId { instance: InstanceId(7), counter: 3 };
    let unknown = link.go_on(of_before, false, 0).await.abort().await;
    assert_eq!((unknown.code, unknown.delivery), (AbortCode::UnknownExchange, Delivery::Maybe));
}

#[tokio::test]
async fn a_relay_that_lies_ends_its_exchange_and_one_that_asks_too_often_does_not() {
    let (relay, _agent, _connector, link, mut exchange, mut call) = asked().await;
    let twice = link.go_on(NAME, false, 0).await.abort().await;
    assert_eq!((twice.code, twice.delivery), (AbortCode::Protocol, Delivery::Maybe));
    let mut again = link.open().await;
    let get = head(NAME.counter, Target::Endpoint, Method::GET, HeaderMap::new());
    again.send(&[get, end(0)]).await;
    let twice = again.abort().await;
    assert_eq!((twice.code, twice.delivery), (AbortCode::Protocol, Delivery::Maybe));
    call.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour").await;
    assert!(matches!(exchange.frame().await, Some(Frame::ResponseHead(_))));
    assert_eq!(exchange.frame().await, Some(data("four")));

    let link = lose(&link, &relay).await;
    let lie = link.go_on(NAME, true, 5).await.abort().await;
    assert_eq!((lie.code, lie.delivery), (AbortCode::Protocol, Delivery::Maybe));
    call.read_to_end().await;
}

#[tokio::test]
async fn a_link_that_is_closed_for_a_reason_takes_its_exchanges_with_it() {
    for why in [CloseCode::Replaced, CloseCode::Draining, CloseCode::Protocol] {
        let (_relay, _agent, _connector, link, _exchange, mut call) = asked().await;
        link.close(why);
        call.read_to_end().await;
    }
}

#[tokio::test]
async fn a_connector_that_ends_waits_for_no_link() {
    let (_relay, _agent, mut connector, link, _exchange, mut call) = asked().await;
    link.close(CloseCode::Timeout);
    connector.until(agent_connector::State::Dialing).await;
    assert!(connector.stop().await.is_ok());
    call.read_to_end().await;
}
