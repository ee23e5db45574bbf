//! The HTTP/1.1 client: one connection, bytes out as given, answers in with their framing.

use super::{
    Cut, Ending, RawResponse, ResponseHead,
    framing::{BodyDecoder, Decoded, take_head},
    response::{Arriving, Part},
};
use bytes::BytesMut;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, ToSocketAddrs},
    time::timeout,
};

/// How long one read may take, unless the test says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection to an HTTP/1.1 server.
pub struct RawClient {
    pub(super) stream: TcpStream,
    pub(super) buffer: BytesMut,
    patience: Duration,
    to_head: bool,
    body: Option<BodyDecoder>,
}

impl RawClient {
    /// Connects.
    ///
    /// # Errors
    /// The connection's own.
    pub async fn connect(address: impl ToSocketAddrs) -> io::Result<RawClient> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(RawClient {
            stream,
            buffer: BytesMut::new(),
            patience: PATIENCE,
            to_head: false,
            body: None,
        })
    }

    /// Connects, and sends one request; its answer is still to be read.
    ///
    /// # Errors
    /// Why the server cannot be reached.
    pub async fn request(
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<RawClient, Cut> {
        let (authority, bytes) = request_bytes(method, url, headers, body);
        let mut client = RawClient::connect(authority).await.map_err(|_| Cut::Unreachable)?;
        // A server may answer and close before it has read all; the answer tells.
        let _ = client.send(&bytes).await;
        Ok(client)
    }

    /// Sets how long one read may take before the answer counts as cut by [`Cut::Timeout`].
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> RawClient {
        self.patience = patience;
        self
    }

    /// Sends bytes as given.
    ///
    /// # Errors
    /// The connection's own. An early answer may still be there to read.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to_head = bytes.starts_with(b"HEAD ");
        self.send_more(bytes).await
    }

    /// Sends more bytes of a request that was begun.
    ///
    /// # Errors
    /// The connection's own. An early answer may still be there to read.
    pub async fn send_more(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ends the sending direction, so that the server reads the end of the connection.
    ///
    /// # Errors
    /// The connection's own.
    pub async fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Leaves with a reset instead of an orderly end.
    pub fn reset(self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Reads the head of the answer; interim answers are kept in it.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn head(&mut self) -> Result<ResponseHead, Cut> {
        let mut interims = Vec::new();
        loop {
            while let Some(head) = take_head(&mut self.buffer).map_err(Cut::NotHttp)? {
                let mut head = ResponseHead::read(head)?;
                if (100..200).contains(&head.status) && head.status != 101 {
                    interims.push(head.status);
                    continue;
                }
                self.body = Some(BodyDecoder::new(head.framing(self.to_head)));
                head.interims = interims;
                return Ok(head);
            }
            self.read_more().await?;
        }
    }

    /// Reads a whole answer, as far as it comes.
    ///
    /// # Errors
    /// Why there is no head.
    pub async fn response(&mut self) -> Result<RawResponse, Cut> {
        let head = self.head().await?;
        Ok(self.rest_of(head).await)
    }

    /// Reads the body that follows a head, as far as it comes.
    pub async fn rest_of(&mut self, head: ResponseHead) -> RawResponse {
        let mut arriving = Arriving::new(head);
        loop {
            match self.part().await {
                Ok(Part::Data { bytes, whole }) => arriving.add(&bytes, whole),
                Ok(Part::End { trailers }) => return arriving.end(trailers, Ending::Complete),
                Err(cut) => return arriving.end(Vec::new(), Ending::Cut(cut)),
            }
        }
    }

    /// True when the server has ended the connection and nothing is left to read.
    pub async fn is_closed_within(&mut self, patience: Duration) -> bool {
        let read = timeout(patience, self.stream.read_buf(&mut self.buffer)).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }

    /// The next bytes of the body, or its end.
    pub(super) async fn part(&mut self) -> Result<Part, Cut> {
        loop {
            let body = self.body.as_mut().expect("a head is read before the body");
            match body.next(&mut self.buffer).map_err(Cut::BadChunk)? {
                Decoded::Data { bytes, whole } => return Ok(Part::Data { bytes, whole }),
                Decoded::End { trailers } => return Ok(Part::End { trailers }),
                Decoded::NeedMore => {
                    let (owed, unframed) = (body.owed(), body.is_unframed());
                    self.read_more().await.map_err(|cut| match cut {
                        Cut::Eof(_) if unframed => Cut::Unframed,
                        Cut::Eof(_) => Cut::Eof(owed),
                        other => other,
                    })?;
                }
            }
        }
    }

    pub(super) async fn read_more(&mut self) -> Result<(), Cut> {
        match timeout(self.patience, self.stream.read_buf(&mut self.buffer)).await {
            Err(_) => Err(Cut::Timeout),
            Ok(Err(_)) => Err(Cut::Reset(None)),
            Ok(Ok(0)) => Err(Cut::Eof(None)),
            Ok(Ok(_)) => Ok(()),
        }
    }
}

/// A request with `Host`, and with `Content-Length` where there is a body; all else as given.
#[must_use]
pub fn request_bytes(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> (String, Vec<u8>) {
    let url: http::Uri = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
    assert_eq!(url.scheme_str(), Some("http"), "this client speaks plain HTTP: {url}");
    let authority = url.authority().expect("an absolute URL").as_str().to_owned();
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(body) = body {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    let bytes = [head.as_bytes(), b"\r\n", body.unwrap_or_default()].concat();
    (authority, bytes)
}
