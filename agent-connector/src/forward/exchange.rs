//! One exchange: a request stream of the relay, carried to the local agent and back.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use shared::codes::{AbortCode, Delivery, StreamCode};
use shared::flow::{BodySender, LinkFlow};
use shared::headers::remove_hop_by_hop;
use shared::limits::ANSWER_HEAD_TIMEOUT;
use shared::wire::{Abort, Binding, Frame, RequestHead};
use tokio::time::{Instant, sleep};
use transport::{RecvStream, SendStream};

use super::answer::AnswerWay;
use super::connection::{Connection, beside};
use super::pool::Local;
use super::reply::{Ending, Gathered, Reply};
use super::request_body::{RequestBody, RequestStream, Upload, UploadError};
use super::server::Server;
use super::{Agent, RESTART_PATIENCE, failure, http2, target};

/// An agent that has not answered by then is reported to have taken the request.
const ACCEPTED_AFTER: Duration = Duration::from_millis(100);
/// Between two attempts to connect to an agent that is being restarted.
const REDIAL_INTERVAL: Duration = Duration::from_millis(100);

/// What callers hear whose exchange is not begun for that.
pub(crate) const SHUTTING_DOWN: &str =
    "The agent's connector is shutting down. Try again in a moment.";

/// Carries one request to the agent and its answer back.
///
/// `may_begin` is told the exchange's counter before anything goes to the agent; on `false` the
/// exchange is refused. Answers with the stream of an answer that is out: whether the relay has it
/// shows there.
pub async fn run(
    send: SendStream,
    recv: RecvStream,
    flow: &LinkFlow,
    agent: &Agent,
    may_begin: impl FnOnce(u64) -> bool,
) -> Option<SendStream> {
    let mut reply = Reply::new(send);
    let mut given_up = pin!(reply.given_up());
    match carry(&mut reply, recv, flow, agent, may_begin, given_up.as_mut()).await {
        Ok(()) => {}
        Err(Ending::Abandon(code)) => {
            tracing::debug!(%code, "an exchange was abandoned");
            reply.abandon(code);
        }
        Err(Ending::Abort(abort)) => {
            tracing::info!(code = %abort.code, delivery = %abort.delivery,
                reason = %abort.message, "an exchange failed");
            reply.abort(abort).await;
        }
    }
    reply.into_finished()
}

/// Answers a stream that is not begun with a typed no, as [`run`] does.
pub async fn refuse(send: SendStream, code: AbortCode, message: &str) -> Option<SendStream> {
    let mut reply = Reply::new(send);
    let abort = Abort { code, delivery: Delivery::NotSent, message: message.to_owned() };
    reply.abort(abort).await;
    reply.into_finished()
}

async fn carry<S: Future<Output = ()>>(
    reply: &mut Reply,
    recv: RecvStream,
    flow: &LinkFlow,
    agent: &Agent,
    may_begin: impl FnOnce(u64) -> bool,
    given_up: Pin<&mut S>,
) -> Result<(), Ending> {
    let mut stream = RequestStream::new(recv);
    let head = read_head(&mut stream).await?;
    if !may_begin(head.exchange.counter) {
        return Err(Ending::abort(AbortCode::Refused, Delivery::NotSent, SHUTTING_DOWN));
    }
    let credit = flow.sender(head.exchange.counter, head.response_credit);
    let patience = head.head_timeout_ms.map_or(ANSWER_HEAD_TIMEOUT, Duration::from_millis);
    let patience = patience.min(ANSWER_HEAD_TIMEOUT);
    let passing = Passing { reply, flow, agent, credit, patience, given_up };
    match head.binding {
        // Boxed, since few agents speak it, and the exchanges of the others need not be larger for it.
        Binding::Grpc => Box::pin(passing.carry::<http2::Shared>(head, stream)).await,
        Binding::JsonRpc | Binding::HttpJson => passing.carry::<Local>(head, stream).await,
    }
}

/// An exchange whose head has been read.
struct Passing<'p, S> {
    reply: &'p mut Reply,
    flow: &'p LinkFlow,
    agent: &'p Agent,
    credit: BodySender,
    patience: Duration,
    /// Resolves when the relay gives up.
    given_up: Pin<&'p mut S>,
}

impl<S: Future<Output = ()>> Passing<'_, S> {
    async fn carry<C: Connection>(
        self,
        head: Box<RequestHead>,
        stream: RequestStream,
    ) -> Result<(), Ending> {
        let Self { reply, flow, agent, credit, patience, mut given_up } = self;
        let (method, is_card) = (head.method.clone(), target::is_card(&head.target));
        let (request, also) = build_request(*head, stream, flow, agent)?;
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

async fn read_head(stream: &mut RequestStream) -> Result<Box<RequestHead>, Ending> {
    match stream.frame().await {
        Ok(Frame::RequestHead(head)) => Ok(head),
        // An earlier process of this connector may have handed it to the agent.
        Ok(Frame::Continue { exchange, .. }) => Err(Ending::abort(
            AbortCode::UnknownExchange,
            Delivery::Maybe,
            format!(
                "This connector does not hold the exchange {exchange}; it was perhaps restarted. \
                 The agent may have got the request: ask it before sending the request again."
            ),
        )),
        Ok(_) => Err(failure::protocol(Delivery::NotSent, "a request begins with its head")),
        Err(error) => Err(failure::upload_failed(error, Delivery::NotSent)),
    }
}

/// The request as the local agent gets it, and to which of its further ports it goes.
fn build_request(
    head: RequestHead,
    stream: RequestStream,
    flow: &LinkFlow,
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
        let receiver = flow.receiver(head.exchange.counter, head.request_credit);
        RequestBody::Upload(Box::new(Upload::new(stream, receiver, length)))
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
                    beside(local, reply.flush(&mut gathered)).await?;
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
