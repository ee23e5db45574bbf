//! One exchange: a request stream of the relay, carried to the local agent and back.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use shared::codes::{AbortCode, Delivery, StreamCode};
use shared::flow::BodySender;
use shared::headers::remove_hop_by_hop;
use shared::limits::ANSWER_HEAD_TIMEOUT;
use shared::wire::{Abort, Binding, Frame, RequestHead};
use tokio::time::{Instant, sleep};
use transport::{RecvStream, SendStream};

use super::answer::AnswerWay;
use super::carrier::UnderWay;
use super::connection::{Connection, beside};
use super::exchanges::{Begun, Exchanges, Unbegun};
use super::held::{Held, Stand};
use super::pool::Local;
use super::reply::{Ending, Gathered, Reply};
use super::request_body::{RequestBody, Upload};
use super::request_stream::{Intake, RequestStream, UploadError};
use super::server::Server;
use super::{Agent, RESTART_PATIENCE, failure, further, http2, target};

/// An agent that has not answered by then is reported to have taken the request.
const ACCEPTED_AFTER: Duration = Duration::from_millis(100);
/// Between two attempts to connect to an agent that is being restarted.
const REDIAL_INTERVAL: Duration = Duration::from_millis(100);

/// What callers hear whose exchange is not begun for that.
pub(crate) const SHUTTING_DOWN: &str =
    "The agent's connector is shutting down. Try again in a moment.";

/// Carries one request of `link` to the agent and its answer back, or goes on with one that another link
/// carried.
pub(crate) async fn run(
    send: SendStream,
    recv: RecvStream,
    link: UnderWay,
    exchanges: &Arc<Exchanges>,
    agent: &Agent,
) {
    let mut reply = Reply::new(send);
    let mut stream = RequestStream::new(recv);
    let mut link = Some(link);
    let begun = match stream.frame().await {
        Ok(Frame::RequestHead(head)) => begin(head, stream, &mut link, exchanges),
        Ok(Frame::Continue { exchange, has_head, response_offset: offset }) => {
            let stand = Stand { has_head, offset };
            // Boxed, since few links are lost.
            return Box::pin(further::run(exchange, stand, stream, reply, link, exchanges)).await;
        }
        Ok(_) => Err(failure::protocol(Delivery::NotSent, "a request begins with its head")),
        Err(error) => Err(failure::upload_failed(error, Delivery::NotSent)),
    };
    match begun {
        Ok(started) => {
            let Started { begun, head, credit } = started;
            let mut given_up = pin!(reply.hold(&begun));
            let carried =
                carry(&mut reply, head, begun.held(), credit, agent, given_up.as_mut()).await;
            if let Err(ending) = carried {
                fail(&mut reply, ending).await;
            }
            begun.over(reply.into_finished());
        }
        Err(ending) => {
            fail(&mut reply, ending).await;
            if let (Some(link), Some(answer)) = (link, reply.into_finished()) {
                link.carrier().keep(answer);
            }
        }
    }
}

/// Answers a stream that is not begun with a typed no.
pub(crate) async fn refuse(send: SendStream, link: UnderWay, code: AbortCode, message: &str) {
    let mut reply = Reply::new(send);
    reply.abort(Abort { code, delivery: Delivery::NotSent, message: message.to_owned() }).await;
    if let Some(refusal) = reply.into_finished() {
        link.carrier().keep(refusal);
    }
}

async fn fail(reply: &mut Reply, ending: Ending) {
    match ending {
        Ending::Abandon(code) => {
            tracing::debug!(%code, "an exchange was abandoned");
            reply.abandon(code);
        }
        Ending::Abort(abort) => {
            tracing::info!(code = %abort.code, delivery = %abort.delivery,
                reason = %abort.message, "an exchange failed");
            reply.abort(abort).await;
        }
    }
}

/// An exchange that was begun.
struct Started {
    begun: Begun,
    head: Box<RequestHead>,
    /// Of the answer.
    credit: BodySender,
}

/// Enters an exchange, which from now on outlives its link.
fn begin(
    head: Box<RequestHead>,
    stream: RequestStream,
    link: &mut Option<UnderWay>,
    exchanges: &Arc<Exchanges>,
) -> Result<Started, Ending> {
    let name = head.exchange;
    let present = link.as_ref().filter(|link| link.carrier().may_begin(name.counter));
    let Some(flow) = present.map(|link| link.carrier().flow.clone()) else {
        return Err(Ending::abort(AbortCode::Refused, Delivery::NotSent, SHUTTING_DOWN));
    };
    let mut credit = None;
    // All that another link moves is there before the exchange can be found.
    let begun = exchanges.begin(name, || {
        credit = Some(flow.sender(name.counter, head.response_credit));
        let intake = if head.has_body {
            Intake::open(stream, flow.receiver(name.counter, head.request_credit))
        } else {
            Intake::Over
        };
        Held::new(name, intake, link.take())
    });
    match (begun, credit) {
        (Ok(begun), Some(credit)) => Ok(Started { begun, head, credit }),
        // It comes late over a link that the relay has lost.
        (Err(Unbegun::ToldNever), _) => Err(Ending::Abandon(StreamCode::Refused)),
        (Ok(_) | Err(Unbegun::Twice), _) => {
            Err(failure::protocol(Delivery::Maybe, "the relay began an exchange twice"))
        }
    }
}

async fn carry<S: Future<Output = ()>>(
    reply: &mut Reply,
    head: Box<RequestHead>,
    held: &Arc<Held>,
    credit: BodySender,
    agent: &Agent,
    given_up: Pin<&mut S>,
) -> Result<(), Ending> {
    let patience = head.head_timeout_ms.map_or(ANSWER_HEAD_TIMEOUT, Duration::from_millis);
    let patience = patience.min(ANSWER_HEAD_TIMEOUT);
    let passing = Passing { reply, held, agent, credit, patience, given_up };
    match head.binding {
        // Boxed, since few agents speak it, and the exchanges of the others need not be larger for it.
        Binding::Grpc => Box::pin(passing.carry::<http2::Shared>(head)).await,
        Binding::JsonRpc | Binding::HttpJson => passing.carry::<Local>(head).await,
    }
}

/// An exchange whose head has been read.
struct Passing<'p, S> {
    reply: &'p mut Reply,
    held: &'p Arc<Held>,
    agent: &'p Agent,
    credit: BodySender,
    patience: Duration,
    /// Resolves when the relay gives up.
    given_up: Pin<&'p mut S>,
}

impl<S: Future<Output = ()>> Passing<'_, S> {
    async fn carry<C: Connection>(self, head: Box<RequestHead>) -> Result<(), Ending> {
        let Self { reply, held, agent, credit, patience, mut given_up } = self;
        let (method, is_card) = (head.method.clone(), target::is_card(&head.target));
        let (request, also) = build_request(*head, held, agent)?;
        let site = Site { agent, server: agent.server(also), is_own: also.is_none() };
        let mut local: C = site.connect(given_up.as_mut()).await?;
        let response = ask(&mut local, request, reply, &site, patience, given_up.as_mut()).await?;
        if site.is_own {
            agent.answered();
        }
        if is_card && response.status().is_success() {
            agent.card_crossed();
        }
        let name = &site.server.name;
        let way = AnswerWay { reply, local: &mut local, credit, given_up, agent: name };
        way.send(&method, response).await?;
        local.give_back(site.server).await;
        Ok(())
    }
}

/// The request as the local agent gets it, and to which of its further ports it goes.
fn build_request(
    head: RequestHead,
    held: &Arc<Held>,
    agent: &Agent,
) -> Result<(Request<RequestBody>, Option<usize>), Ending> {
    let target::Mapped { path, also } =
        target::map(&head.target, head.binding, head.query.as_deref(), &agent.description())
            .map_err(|why| failure::no_target(agent.name(), why))?;
    if head.method == Method::CONNECT {
        return Err(failure::protocol(Delivery::NotSent, "CONNECT asks for no path"));
    }
    let mut fields = head.fields;
    remove_hop_by_hop(&mut fields);
    let server = agent.server(also);
    let is_grpc = head.binding == Binding::Grpc;
    let uri = if is_grpc {
        if head.method != Method::POST {
            return Err(failure::protocol(Delivery::NotSent, "a call by gRPC is a POST"));
        }
        fields.remove(HOST);
        // Without it servers take the caller for a proxy that loses trailers.
        fields.insert(TE, HeaderValue::from_static("trailers"));
        server.uri(path)
    } else {
        fields.insert(HOST, server.authority.clone());
        if agent.closes_connections() {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Uri::from(path)
    };
    let length = content_length(&fields).map_err(|()| {
        failure::protocol(Delivery::NotSent, "Content-Length is not one valid number")
    })?;
    let body = if head.has_body {
        if length.is_none() && !is_grpc {
            // Said outright, since hyper takes some methods to have no body otherwise.
            fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        RequestBody::Upload(Box::new(Upload::new(Arc::clone(held), length)))
    } else if length.unwrap_or(0) == 0 {
        RequestBody::Empty
    } else {
        let error = UploadError::Length;
        return Err(failure::upload_failed(error, Delivery::NotSent));
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = fields;
    Ok((request, also))
}

/// The one number that Content-Length may be.
fn content_length(fields: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut values = fields.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.as_bytes().iter().all(u8::is_ascii_digit);
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    match (digits, number, values.next()) {
        (true, Some(number), None) => Ok(Some(number)),
        _ => Err(()),
    }
}

/// The server of the agent that a request is for.
struct Site<'s> {
    agent: &'s Agent,
    server: &'s Server,
    /// Whether it is the one whose health is the agent's.
    is_own: bool,
}

impl Site<'_> {
    /// A connection to it: one that waits for its next request, or a new one. A server that refuses is
    /// dialled again for a while, since nothing was sent yet.
    async fn connect<C: Connection, S: Future<Output = ()>>(
        &self,
        mut given_up: Pin<&mut S>,
    ) -> Result<C, Ending> {
        if let Some(local) = C::take(self.server).await {
            return Ok(local);
        }
        // Boxed, since most requests find a connection waiting.
        let patience = Box::pin(async {
            let further_until = Instant::now() + RESTART_PATIENCE;
            loop {
                match C::connect(self.server).await {
                    Ok(local) => return Ok(local),
                    Err(error) => {
                        let until = if self.is_own { self.agent.refused() } else { further_until };
                        let may_be_back = error.kind() == io::ErrorKind::ConnectionRefused;
                        if !may_be_back || Instant::now() >= until {
                            return Err(failure::refused(&self.server.name, &error));
                        }
                    }
                }
                sleep(REDIAL_INTERVAL).await;
            }
        });
        tokio::select! {
            biased;
            local = patience => local,
            () = given_up.as_mut() => Err(Ending::Abandon(StreamCode::Cancelled)),
        }
    }
}

/// Sends the request and waits for the head of the answer. When that takes long, ACCEPTED goes up, and
/// whether the relay has given up is looked at: a quick answer costs neither.
async fn ask<C: Connection, S: Future<Output = ()>>(
    local: &mut C,
    mut request: Request<RequestBody>,
    reply: &mut Reply,
    site: &Site<'_>,
    patience: Duration,
    mut given_up: Pin<&mut S>,
) -> Result<Response<Incoming>, Ending> {
    loop {
        let mut response = pin!(local.request(request));
        let first = tokio::select! {
            biased;
            answer = beside(local, response.as_mut()) => Some(answer),
            () = sleep(ACCEPTED_AFTER) => None,
        };
        let answer = match first {
            Some(answer) => answer,
            // Boxed, since most agents answer at once.
            None => {
                Box::pin(async {
                    let mut gathered = Gathered::default();
                    gathered.frame(&Frame::Accepted);
                    beside(local, reply.flush(&mut gathered, || 0)).await?;
                    tokio::select! {
                        biased;
                        answer = beside(local, response.as_mut()) => Ok(answer),
                        () = given_up.as_mut() => Err(Ending::Abandon(StreamCode::Cancelled)),
                        () = sleep(patience) => {
                            Err(failure::silent(&site.server.name, patience, Delivery::Maybe))
                        }
                    }
                })
                .await?
            }
        };
        match answer {
            Ok(response) => return Ok(response),
            Err(mut failed) => match failed.take_message() {
                // The waiting connection had ended, and took nothing: a new one takes it all.
                Some(untouched) if local.is_reused() => {
                    request = untouched;
                    *local = site.connect(given_up.as_mut()).await?;
                }
                _ => return Err(failure::no_head(&site.server.name, failed.error())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_length_is_one_number_or_nothing() {
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&["0"][..], Ok(Some(0))),
            (&["18446744073709551615"][..], Ok(Some(u64::MAX))),
            (&["18446744073709551616"][..], Err(())),
            (&["+2"][..], Err(())),
            (&["0x2"][..], Err(())),
            (&["1, 1"][..], Err(())),
            (&["1", "1"][..], Err(())),
            (&[""][..], Err(())),
        ] {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            assert_eq!(content_length(&fields), expected, "{values:?}");
        }
    }
}
