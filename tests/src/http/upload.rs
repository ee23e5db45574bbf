//! Sending a body piece by piece, while the same connection may already be read.

use super::{Cut, RawClient, ResponseHead, framing::take_head};
use crate::{
    Fingerprint,
    fingerprint::{Running, pattern},
};
use std::{io, os::fd::AsFd};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Bytes sent at a time.
const PIECE: usize = 64 * 1024;

/// The sending direction of a client's connection, with a body under way on it.
pub struct Upload {
    stream: TcpStream,
    chunked: bool,
    print: Running,
}

impl RawClient {
    /// A handle that sends a body behind a head that says how it is framed, while this one reads.
    ///
    /// # Errors
    /// The system's own.
    pub fn upload(&self, chunked: bool) -> io::Result<Upload> {
        let twin = std::net::TcpStream::from(self.stream.as_fd().try_clone_to_owned()?);
        let stream = TcpStream::from_std(twin)?;
        Ok(Upload { stream, chunked, print: Running::default() })
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
    /// Sends the next `length` bytes of the [`pattern`].
    ///
    /// # Errors
    /// The connection's own.
    pub async fn send(&mut self, length: u64) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let size = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
            let piece = pattern(self.print.length(), size);
            if self.chunked {
                self.stream.write_all(format!("{size:x}\r\n").as_bytes()).await?;
            }
            self.stream.write_all(&piece).await?;
            if self.chunked {
                self.stream.write_all(b"\r\n").await?;
            }
            self.print.add(&piece);
            left -= size as u64;
        }
        Ok(())
    }

    /// Ends the body and yields what was sent.
    ///
    /// # Errors
    /// The connection's own.
    pub async fn end(mut self) -> io::Result<Fingerprint> {
        if self.chunked {
            self.stream.write_all(b"0\r\n\r\n").await?;
        }
        Ok(self.print.done())
    }
}
