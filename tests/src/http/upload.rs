//! Sending a body piece by piece, while the answer may already be read.

use super::{Cut, RawClient, ResponseHead, framing::take_head, http2::Life};
use crate::{
    Fingerprint,
    fingerprint::{Running, pattern},
};
use bytes::Bytes;
use h2::SendStream;
use std::{future::poll_fn, io, os::fd::AsFd, sync::Arc};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Bytes sent at a time.
const PIECE: usize = 64 * 1024;

/// The sending direction of a call, with a body under way on it. Dropping it ends nothing: that is
/// the call's own affair.
pub struct Upload {
    way: Way,
    print: Running,
}

/// How the body is framed.
enum Way {
    Length(TcpStream),
    Chunks(TcpStream),
    Frames { stream: SendStream<Bytes>, _life: Arc<Life> },
}

impl RawClient {
    /// A handle that sends a body behind a head that says how it is framed, while this one reads.
    pub(super) fn upload(&self, chunked: bool) -> io::Result<Upload> {
        let twin = std::net::TcpStream::from(self.stream.as_fd().try_clone_to_owned()?);
        let stream = TcpStream::from_std(twin)?;
        let way = if chunked { Way::Chunks(stream) } else { Way::Length(stream) };
        Ok(Upload { way, print: Running::default() })
    }

    /// Reads the head of one interim answer, and yields its status.
    ///
    /// # Errors
    /// Why there is none. A final answer is [`Cut::NotHttp`] here, and lost.
    pub async fn interim(&mut self) -> Result<u16, Cut> {
        loop {
            if let Some(head) = take_head(&mut self.buffer).map_err(Cut::NotHttp)? {
                let head = ResponseHead::read(head)?;
                let interim = (100..200).contains(&head.status);
                return if interim {
                    Ok(head.status)
                } else {
                    Err(Cut::NotHttp(format!("{head:?}")))
                };
            }
            self.read_more().await?;
        }
    }
}

impl Upload {
    pub(super) fn on_stream(stream: SendStream<Bytes>, life: Arc<Life>) -> Upload {
        Upload { way: Way::Frames { stream, _life: life }, print: Running::default() }
    }

    /// Sends the next `length` bytes of the [`pattern`].
    ///
    /// # Errors
    /// The connection's or the stream's own.
    pub async fn send(&mut self, length: u64) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let size = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
            self.send_bytes(pattern(self.print.length(), size)).await?;
            left -= size as u64;
        }
        Ok(())
    }

    /// Sends these bytes, in one chunk where there are chunks.
    ///
    /// # Errors
    /// The connection's or the stream's own.
    pub async fn send_bytes(&mut self, bytes: impl Into<Bytes>) -> io::Result<()> {
        let bytes = bytes.into();
        self.print.add(&bytes);
        match &mut self.way {
            Way::Length(stream) => stream.write_all(&bytes).await,
            Way::Chunks(stream) => {
                stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
                stream.write_all(&bytes).await?;
                stream.write_all(b"\r\n").await
            }
            Way::Frames { stream, .. } => send_frames(stream, bytes).await,
        }
    }

    /// Ends the body and yields what was sent.
    ///
    /// # Errors
    /// The connection's or the stream's own.
    pub async fn end(mut self) -> io::Result<Fingerprint> {
        match &mut self.way {
            Way::Length(_) => {}
            Way::Chunks(stream) => stream.write_all(b"0\r\n\r\n").await?,
            Way::Frames { stream, .. } => {
                stream.send_data(Bytes::new(), true).map_err(io::Error::other)?;
            }
        }
        Ok(self.print.done())
    }
}

/// Sends as fast as the server gives room.
async fn send_frames(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        if stream.capacity() == 0 {
            let room = poll_fn(|cx| stream.poll_capacity(cx)).await;
            room.ok_or(io::ErrorKind::BrokenPipe)?.map_err(io::Error::other)?;
        }
        let room = stream.capacity().min(bytes.len());
        stream.send_data(bytes.split_to(room), false).map_err(io::Error::other)?;
    }
    Ok(())
}
