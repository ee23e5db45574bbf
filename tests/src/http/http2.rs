//! The HTTP/2 client: connections with prior knowledge, and the streams on them.

use super::{
    Call, Cut, Ending, RawResponse, ResponseHead, Upload,
    framing::Field,
    response::{Arriving, Part},
};
use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{net::TcpStream, sync::watch, task::AbortHandle, time::timeout};

/// How long one read may take, unless the test says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a server may send on one stream beyond what is read: the protocol's default, so that a
/// story which stops reading soon stops the sender.
const STREAM_WINDOW: u32 = 65_535;
/// The same for a connection: as many streams that nobody reads do not hold up the others.
const CONNECTION_WINDOW: u32 = 64 * STREAM_WINDOW;

/// One connection to an HTTP/2 server, for many calls at a time.
pub struct Connection(Arc<Life>);

/// What keeps a connection up: it ends with the last of its calls and handles.
pub(super) struct Life {
    requests: SendRequest<Bytes>,
    task: AbortHandle,
    /// How the connection ended, once it has.
    end: watch::Receiver<Option<Cut>>,
}

impl Life {
    async fn ended(&self) -> Cut {
        let mut end = self.end.clone();
        let ended = end.wait_for(Option::is_some).await;
        ended.ok().and_then(|cut| cut.clone()).unwrap_or(Cut::Eof(None))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// Why the server cannot be reached.
    pub async fn connect(authority: &str) -> Result<Connection, Cut> {
        let stream = TcpStream::connect(authority).await.map_err(|_| Cut::Unreachable)?;
        stream.set_nodelay(true).map_err(|_| Cut::Unreachable)?;
        let mut client = Builder::new();
        client.initial_window_size(STREAM_WINDOW);
        client.initial_connection_window_size(CONNECTION_WINDOW);
        let (requests, connection) = client.handshake(stream).await.map_err(cut)?;
        let (ended, end) = watch::channel(None);
        let task = tokio::spawn(async move {
            let end = connection.await.err().map_or(Cut::Eof(None), cut);
            ended.send_replace(Some(end));
        });
        Ok(Connection(Arc::new(Life { requests, task: task.abort_handle(), end })))
    }

    /// Connects to the server of a URL.
    pub(super) async fn to(url: &str) -> Result<Connection, Cut> {
        let url: http::Uri = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!(url.scheme_str(), Some("http"), "this client speaks plain HTTP: {url}");
        Connection::connect(url.authority().expect("an absolute URL").as_str()).await
    }

    /// Sends one request, with its length where there is a body; its answer is still to be read.
    ///
    /// # Errors
    /// Why the connection takes none.
    ///
    /// # Panics
    /// When HTTP/2 has no such request: fields of a connection are HTTP/1.1's.
    pub async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Call, Cut> {
        let length = body.map(|body| body.len() as u64);
        let request = request(method, url, headers, length);
        let (stream, mut sending) = self.open(request, body.is_none()).await?;
        if let Some(body) = body {
            // A server may answer before it has read all; the answer tells.
            let _ = sending.send_data(Bytes::copy_from_slice(body), true);
        }
        Ok(stream.into())
    }

    /// Begins a request whose body is still to be sent, of this length or of one not said before.
    ///
    /// # Errors
    /// Why the connection takes none.
    pub async fn begin(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        length: Option<u64>,
    ) -> Result<(Call, Upload), Cut> {
        let request = request(method, url, headers, length);
        let (stream, sending) = self.open(request, false).await?;
        Ok((stream.into(), Upload::on_stream(sending, self.0.clone())))
    }

    /// How many streams the server allows at a time; 100 until it has said so.
    #[must_use]
    pub fn streams_max(&self) -> usize {
        self.0.requests.current_max_send_streams()
    }

    /// Opens a stream, once there is room for one.
    async fn open(
        &self,
        request: Request<()>,
        whole: bool,
    ) -> Result<(Stream, SendStream<Bytes>), Cut> {
        let mut requests = self.0.requests.clone().ready().await.map_err(cut)?;
        let (answer, sending) = requests.send_request(request, whole).map_err(cut)?;
        let state = State::Awaited(answer);
        Ok((Stream { state, patience: PATIENCE, life: self.0.clone() }, sending))
    }
}

fn request(method: &str, url: &str, headers: &[(&str, &str)], length: Option<u64>) -> Request<()> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    request.body(()).unwrap_or_else(|e| panic!("{method} {url}: {e}"))
}

/// One stream of a connection, for its answer.
pub(super) struct Stream {
    state: State,
    patience: Duration,
    life: Arc<Life>,
}

enum State {
    Awaited(ResponseFuture),
    Body(RecvStream),
}

impl Stream {
    pub(super) fn patience(self, patience: Duration) -> Stream {
        Stream { patience, ..self }
    }

    /// Resets the stream as one that nobody waits for (`CANCEL`).
    pub(super) fn reset(self) {
        drop(self.state);
        // A pool would keep the connection too; without it the reset would never be sent.
        tokio::spawn(async move { self.life.ended().await });
    }

    pub(super) async fn head(&mut self) -> Result<ResponseHead, Cut> {
        let State::Awaited(answer) = &mut self.state else { panic!("the head was read before") };
        let mut interims = Vec::new();
        let answer = poll_fn(|cx| {
            while let Poll::Ready(Some(Ok(interim))) = answer.poll_informational(cx) {
                interims.push(interim.status().as_u16());
            }
            Pin::new(&mut *answer).poll(cx)
        });
        let answer = timeout(self.patience, answer).await.map_err(|_| Cut::Timeout)?;
        let (head, body) = match answer {
            Ok(answer) => answer.into_parts(),
            Err(error) => return Err(self.cut(error).await),
        };
        self.state = State::Body(body);
        Ok(ResponseHead {
            status: head.status.as_u16(),
            version: format!("{:?}", head.version),
            headers: fields(&head.headers),
            interims,
        })
    }

    /// The next DATA frame, or the end. Only what is read makes room for more.
    pub(super) async fn part(&mut self) -> Result<Part, Cut> {
        let State::Body(body) = &mut self.state else { panic!("a head is read before the body") };
        let part = async {
            if let Some(data) = body.data().await {
                let bytes = data?;
                body.flow_control().release_capacity(bytes.len())?;
                return Ok(Part::Data { bytes, whole: true });
            }
            let trailers = body.trailers().await?.unwrap_or_default();
            Ok(Part::End { trailers: fields(&trailers) })
        };
        match timeout(self.patience, part).await {
            Ok(Ok(part)) => Ok(part),
            Ok(Err(error)) => Err(self.cut(error).await),
            Err(_) => Err(Cut::Timeout),
        }
    }

    /// A stream that ends with its connection ends for the same reason.
    async fn cut(&self, error: h2::Error) -> Cut {
        match cut(error) {
            Cut::Eof(_) => self.life.ended().await,
            other => other,
        }
    }

    pub(super) async fn rest_of(&mut self, head: ResponseHead) -> RawResponse {
        let mut arriving = Arriving::new(head);
        loop {
            match self.part().await {
                Ok(Part::Data { bytes, whole }) => arriving.add(&bytes, whole),
                Ok(Part::End { trailers }) => return arriving.end(trailers, Ending::Complete),
                Err(cut) => return arriving.end(Vec::new(), Ending::Cut(cut)),
            }
        }
    }
}

fn fields(map: &HeaderMap) -> Vec<Field> {
    map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// What an error means for the answer.
///
/// # Panics
/// When the request was one that HTTP/2 has not.
fn cut(error: h2::Error) -> Cut {
    match (error.reason(), error.get_io().map(io::Error::kind)) {
        (Some(reason), _) if error.is_remote() && error.is_reset() => Cut::Reset(Some(reason)),
        (Some(Reason::NO_ERROR), _) if error.is_remote() => Cut::Eof(None),
        (Some(reason), _) if error.is_remote() => Cut::GoAway(reason),
        (Some(_), _) => Cut::NotHttp(error.to_string()),
        (None, Some(io::ErrorKind::ConnectionReset)) => Cut::Reset(None),
        (None, Some(_)) => Cut::Eof(None),
        (None, None) => panic!("this cannot be sent over HTTP/2: {error}"),
    }
}

#[cfg(test)]
mod tests;
