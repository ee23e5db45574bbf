//! The body that a caller sends: counted, limited, and its first bytes remembered.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Version};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::body_source::{Came, Gone, Source};
use super::envelope::Envelope;
use super::method_guard::{Doubt, MethodGuard};
use super::prefix::{PATIENCE, Prefix};
use crate::methods::A2aMethod;

/// A turn of hyper's loop brings what has arrived; a request that came in one piece is whole then.
const TURNS: usize = 3;

/// What comes next of a body.
#[derive(Debug)]
pub enum Piece {
    /// Bytes of it.
    Data(Bytes),
    /// Its end, with its trailers.
    End(HeaderMap),
}

/// Why a body cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyBroken {
    /// It is over the limit, bytes.
    #[error("the body is over the limit of {0} bytes")]
    TooLarge(u64),
    /// The caller left, or its bytes are no HTTP.
    #[error("the body was cut")]
    Cut,
    /// Nobody can tell which method it calls, where that has to be told.
    #[error("the body {0}")]
    Doubtful(Doubt),
}

/// A caller's body.
#[derive(Debug)]
pub struct CallerBody {
    source: Source,
    /// What was taken before and given back.
    again: VecDeque<Bytes>,
    prefix: Prefix,
    taken: u64,
    limit: u64,
    over: bool,
    /// What has to be told of its method, from its first byte to its last.
    guard: Option<Box<MethodGuard>>,
    /// It broke, and stays so.
    broken: Option<BodyBroken>,
    trailers: HeaderMap,
}

impl CallerBody {
    /// A body of at most `limit` bytes, of a request of this version of HTTP. Boxed, since it goes
    /// from hand to hand.
    pub fn new(incoming: Incoming, version: Version, limit: u64) -> Box<Self> {
        Self::of(Source::http(incoming, version), limit)
    }

    /// The same, from wherever it comes.
    pub fn of(source: Source, limit: u64) -> Box<Self> {
        Box::new(Self {
            over: source.is_over(),
            source,
            again: VecDeque::new(),
            prefix: Prefix::default(),
            taken: 0,
            limit,
            guard: None,
            broken: None,
            trailers: HeaderMap::new(),
        })
    }

    /// Whether every byte of it was taken.
    pub fn is_over(&self) -> bool {
        self.over && self.again.is_empty()
    }

    /// Gives back the bytes that were taken last, with the trailers if those came: they come again.
    pub fn give_back(&mut self, pieces: Vec<Bytes>, trailers: HeaderMap) {
        self.again = pieces.into_iter().chain(std::mem::take(&mut self.again)).collect();
        self.trailers.extend(trailers);
    }

    /// Whether its end was reached, and brought trailers.
    pub fn has_trailers(&self) -> bool {
        !self.trailers.is_empty()
    }

    /// What comes next. An error comes again each time. Cancel safe.
    pub async fn next(&mut self) -> Result<Piece, BodyBroken> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Takes what has arrived, up to `bytes_max`, without waiting for more. The end is left for
    /// [`next`](Self::next) to bring.
    pub async fn at_hand(&mut self, bytes_max: usize) -> Result<Vec<Bytes>, BodyBroken> {
        let mut pieces = Vec::new();
        let mut bytes = 0;
        let mut turns = 0;
        while !self.is_over() && bytes < bytes_max && turns < TURNS {
            let polled = std::future::poll_fn(|cx| Poll::Ready(self.poll_next(cx))).await;
            match polled {
                Poll::Ready(Ok(Piece::Data(data))) => {
                    bytes += data.len();
                    pieces.push(data);
                }
                Poll::Ready(Ok(Piece::End(trailers))) => self.trailers = trailers,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    turns += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(pieces)
    }

    /// Its first bytes, which tell the `id` of the request wherever the body goes.
    pub fn prefix(&self) -> Prefix {
        self.prefix.clone()
    }

    /// Reads on until the first bytes tell the `id`, for a refusal; bounded in bytes and time.
    pub async fn find_envelope(&mut self) -> Envelope {
        let search = async {
            while !self.is_over() && !self.prefix.is_settled() {
                if self.next().await.is_err() {
                    break;
                }
            }
        };
        // Whatever was read in time is looked through.
        let _ = timeout(PATIENCE, search).await;
        self.prefix.envelope()
    }

    /// Reads on until its JSON-RPC method is known, bounded as for an id; what was read comes again.
    /// From here on the body breaks where a doubt of its method comes up behind. For a body of which
    /// nothing was taken before, or which was asked this before.
    pub async fn find_method(&mut self) -> Result<A2aMethod, BodyBroken> {
        if let Some(method) = self.guard.get_or_insert_default().method() {
            return Ok(method);
        }
        let (mut read, mut trailers) = (Vec::new(), HeaderMap::new());
        let search = async {
            let method = |body: &Self| body.guard.as_ref().and_then(|guard| guard.method());
            loop {
                match method(self) {
                    Some(method) => return Ok(method),
                    None if self.over => return Err(BodyBroken::Doubtful("names no method")),
                    None => {}
                }
                match self.next().await? {
                    Piece::Data(data) => read.push(data),
                    Piece::End(end) => trailers = end,
                }
            }
        };
        let late = Err(BodyBroken::Doubtful("did not name its method within a second"));
        let found = timeout(PATIENCE, search).await.unwrap_or(late);
        self.give_back(read, trailers);
        found
    }

    /// Reads on to its end, as long as not more than `bytes_max` are held, for a request that has to
    /// wait: only once its bytes were taken is it seen that its caller leaves. What was read comes
    /// again. Cancel safe.
    pub async fn gather(&mut self, bytes_max: usize) -> Result<(), BodyBroken> {
        let mut held: usize = self.again.iter().map(Bytes::len).sum();
        while !self.over && held < bytes_max {
            match std::future::poll_fn(|cx| self.poll_further(cx)).await? {
                Piece::Data(data) => {
                    held += data.len();
                    self.again.push_back(data);
                }
                Piece::End(trailers) => self.trailers = trailers,
            }
        }
        Ok(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, BodyBroken>> {
        match self.again.pop_front() {
            Some(data) => Poll::Ready(Ok(Piece::Data(data))),
            None => self.poll_further(cx),
        }
    }

    /// What comes behind all that was taken so far.
    fn poll_further(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, BodyBroken>> {
        loop {
            if let Some(broken) = self.broken {
                return Poll::Ready(Err(broken));
            }
            if self.over {
                return Poll::Ready(Ok(Piece::End(std::mem::take(&mut self.trailers))));
            }
            match ready!(self.source.poll(cx)) {
                Ok(Came::Data(data)) if data.is_empty() => {}
                Ok(Came::Data(data)) => {
                    self.prefix.remember(&data);
                    self.taken += data.len() as u64;
                    if self.taken > self.limit {
                        let limit = self.limit;
                        return Poll::Ready(Err(self.breaks(BodyBroken::TooLarge(limit))));
                    }
                    if let Some(guard) = &mut self.guard
                        && let Err(doubt) = guard.push(&data)
                    {
                        return Poll::Ready(Err(self.breaks(BodyBroken::Doubtful(doubt))));
                    }
                    self.over = self.source.is_over();
                    return Poll::Ready(Ok(Piece::Data(data)));
                }
                Ok(Came::End(trailers)) => {
                    self.over = true;
                    self.prefix.end();
                    return Poll::Ready(Ok(Piece::End(trailers)));
                }
                Err(Gone) => return Poll::Ready(Err(self.breaks(BodyBroken::Cut))),
            }
        }
    }

    const fn breaks(&mut self, why: BodyBroken) -> BodyBroken {
        self.broken = Some(why);
        why
    }
}

impl Drop for CallerBody {
    fn drop(&mut self) {
        self.prefix.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::arriving::Arriving;

    #[tokio::test]
    async fn a_body_that_broke_stays_broken_whatever_comes_behind() {
        let (mut body, mut caller) = Arriving::body(8).await;
        caller.chunk(b"0123456789").await;
        caller.end().await;
        for _ in 0..3 {
            assert_eq!(body.next().await.unwrap_err(), BodyBroken::TooLarge(8));
        }
        body.give_back(vec![Bytes::from_static(b"0123")], HeaderMap::new());
        let again = body.next().await.unwrap();
        assert!(matches!(&again, Piece::Data(bytes) if &bytes[..] == b"0123"), "{again:?}");
        assert_eq!(body.next().await.unwrap_err(), BodyBroken::TooLarge(8));

        let (mut body, mut caller) = Arriving::body(8).await;
        caller.chunk(b"01").await;
        assert!(matches!(body.next().await, Ok(Piece::Data(_))));
        caller.leave().await;
        for _ in 0..3 {
            assert_eq!(body.next().await.unwrap_err(), BodyBroken::Cut);
        }
    }

    #[tokio::test]
    async fn a_body_is_gathered_while_it_waits_and_comes_again() {
        let (mut body, mut caller) = Arriving::body(1000).await;
        caller.chunk(b"abc").await;
        let Ok(Piece::Data(first)) = body.next().await else { panic!("the first piece") };
        body.give_back(vec![first], HeaderMap::new());
        caller.chunk(b"def").await;
        body.gather(6).await.unwrap();
        caller.chunk(b"ghi").await;
        body.gather(6).await.unwrap();
        assert!(!body.is_over(), "no more is held than was asked for");
        caller.end().await;
        body.gather(1000).await.unwrap();
        let mut again = Vec::new();
        while let Ok(Piece::Data(data)) = body.next().await {
            again.extend_from_slice(&data);
        }
        assert_eq!((&again[..], body.is_over()), (&b"abcdefghi"[..], true));

        let (mut body, mut caller) = Arriving::body(1000).await;
        caller.chunk(b"abc").await;
        caller.leave().await;
        assert_eq!(body.gather(1000).await, Err(BodyBroken::Cut), "its caller left");
    }

    #[tokio::test]
    async fn what_was_read_for_the_method_comes_again_and_a_doubt_breaks_the_rest() {
        let (mut body, mut caller) = Arriving::body(1000).await;
        let parts = [&br#"{"id":1,"method":"ta"#[..], br#"sks/get","#, br#""params":{}"#];
        for part in parts {
            caller.chunk(part).await;
        }
        for _ in 0..2 {
            assert_eq!(body.find_method().await, Ok(A2aMethod::Get));
        }
        let mut again = Vec::new();
        while again.len() < parts.concat().len() {
            match body.next().await.unwrap() {
                Piece::Data(bytes) => again.extend_from_slice(&bytes),
                Piece::End(_) => panic!("the end"),
            }
        }
        assert_eq!(again, parts.concat());
        caller.chunk(br#","METHOD":"message/send"}"#).await;
        caller.end().await;
        assert!(matches!(body.next().await, Err(BodyBroken::Doubtful(_))));

        let (mut body, mut caller) = Arriving::body(1000).await;
        caller.chunk(br#"{"id":1}"#).await;
        caller.end().await;
        assert!(matches!(body.find_method().await, Err(BodyBroken::Doubtful(_))));
        assert_eq!(body.find_envelope().await.id, Some(b"1".to_vec()), "a refusal has it");
    }
}
