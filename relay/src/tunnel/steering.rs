//! Datagrams that reach the wrong shard are passed on to the one that owns their connection.
//!
//! The kernel spreads datagrams over the shards' sockets by their addresses, so a connection stays
//! where it began until its connector's address changes. From then on its datagrams may come to
//! another shard, which knows by their connection id whose they are.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::mpsc;

use super::connection_ids::{ID_BYTES, ShardConnectionIds};

/// Buffers that wait for a shard; what comes on top is lost, as on any crowded path.
const WAITING_MAX: usize = 1024;

/// What the kernel gave to the wrong shard: one datagram, or several of one sender in a row.
#[derive(Debug)]
struct Astray {
    meta: RecvMeta,
    bytes: Box<[u8]>,
}

/// One shard's end of the passing on.
#[derive(Debug)]
pub struct Mailbox {
    ids: ShardConnectionIds,
    shard: u8,
    shards: Arc<[mpsc::Sender<Astray>]>,
    inbox: Mutex<mpsc::Receiver<Astray>>,
}

/// The mailboxes of so many shards, whose connection ids are made with this key.
pub fn mailboxes(shards: usize, key: u64) -> Vec<Mailbox> {
    let (senders, inboxes): (Vec<_>, Vec<_>) =
        (0..shards).map(|_| mpsc::channel(WAITING_MAX)).unzip();
    let senders: Arc<[_]> = senders.into();
    let numbered = (0..=u8::MAX).zip(inboxes);
    numbered
        .map(|(shard, inbox)| Mailbox {
            ids: ShardConnectionIds::new(key, shard),
            shard,
            shards: Arc::clone(&senders),
            inbox: Mutex::new(inbox),
        })
        .collect()
}

impl Mailbox {
    /// Joins a shard's socket to the others.
    pub fn steer(self, socket: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        if self.shards.len() < 2 {
            return socket;
        }
        Arc::new(Steered { socket, mailbox: self })
    }

    /// Where a datagram belongs, if that is another shard.
    fn owner(&self, datagram: &[u8]) -> Option<&mpsc::Sender<Astray>> {
        let owner = self.ids.shard_of(destination(datagram)?)?;
        if owner == self.shard { None } else { self.shards.get(usize::from(owner)) }
    }

    /// Passes on what is not ours of the first `received` buffers, closes the gaps, and answers how
    /// many are left.
    fn keep_own(
        &self,
        received: usize,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> usize {
        let mut kept = 0;
        for at in 0..received {
            let Some(meta) = metas.get(at).copied() else { break };
            let Some(bytes) = buffers.get(at).and_then(|buffer| buffer.get(..meta.len)) else {
                continue;
            };
            // What the kernel puts into one buffer comes from one address, so from one connection.
            if let Some(owner) = self.owner(bytes) {
                let _ = owner.try_send(Astray { meta, bytes: bytes.into() });
                continue;
            }
            if kept < at {
                let bytes = bytes.to_vec();
                put(kept, &bytes, meta, buffers, metas);
            }
            kept += 1;
        }
        kept
    }

    /// Fills the buffers from `filled` on with what others passed on; answers how many are full.
    fn collect(
        &self,
        cx: &mut Context<'_>,
        mut filled: usize,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> usize {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        while filled < buffers.len().min(metas.len()) {
            let Poll::Ready(Some(Astray { meta, bytes })) = inbox.poll_recv(cx) else { break };
            if put(filled, &bytes, meta, buffers, metas) {
                filled += 1;
            }
        }
        filled
    }
}

/// Puts bytes into a buffer; false when they do not fit.
fn put(
    at: usize,
    bytes: &[u8],
    meta: RecvMeta,
    buffers: &mut [IoSliceMut<'_>],
    metas: &mut [RecvMeta],
) -> bool {
    let target = buffers.get_mut(at).and_then(|buffer| buffer.get_mut(..bytes.len()));
    let (Some(target), Some(slot)) = (target, metas.get_mut(at)) else { return false };
    target.copy_from_slice(bytes);
    *slot = meta;
    true
}

/// The destination connection id of a datagram's first packet (RFC 9000, 17.2 and 17.3).
fn destination(datagram: &[u8]) -> Option<&[u8]> {
    let (first, rest) = datagram.split_first()?;
    if first & 0x80 == 0 {
        return rest.get(..ID_BYTES);
    }
    let (length, rest) = rest.get(4..)?.split_first()?;
    rest.get(..usize::from(*length))
}

/// A shard's socket, with what other shards received for it.
struct Steered {
    socket: Arc<dyn AsyncUdpSocket>,
    mailbox: Mailbox,
}

impl fmt::Debug for Steered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steered").field("shard", &self.mailbox.shard).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for Steered {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (own, more) = match self.socket.poll_recv(cx, buffers, metas) {
            Poll::Ready(Ok(received)) => (self.mailbox.keep_own(received, buffers, metas), true),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => (0, false),
        };
        let filled = self.mailbox.collect(cx, own, buffers, metas);
        if filled > 0 {
            return Poll::Ready(Ok(filled));
        }
        if more {
            // All of it went elsewhere, and the socket will not wake us for what it still has.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use quinn::ConnectionIdGenerator;

    use super::*;

    fn short(id: &[u8], body: &[u8]) -> Vec<u8> {
        [&[0x40][..], id, body].concat()
    }

    #[test]
    fn own_datagrams_stay_and_others_reach_their_shard() {
        let mut boxes = mailboxes(2, 7);
        let (second, first) = (boxes.pop().unwrap(), boxes.pop().unwrap());
        let id = |shard| ShardConnectionIds::new(7, shard).generate_cid();
        let long = [&[0xc0, 0, 0, 0, 1, ID_BYTES as u8][..], &id(1), b"handshake"].concat();
        let packets = [
            short(&id(0), b"a"),
            short(&id(1), b"b"),
            long.clone(),
            b"stray".to_vec(),
            short(&id(0), b"c"),
        ];
        let mut stores: Vec<Vec<u8>> = packets.iter().map(|_| vec![0; 100]).collect();
        let mut buffers: Vec<IoSliceMut<'_>> =
            stores.iter_mut().map(|store| IoSliceMut::new(store)).collect();
        let mut metas = vec![RecvMeta::default(); packets.len()];
        for (at, packet) in packets.iter().enumerate() {
            let meta = RecvMeta { len: packet.len(), stride: packet.len(), ..RecvMeta::default() };
            assert!(put(at, packet, meta, &mut buffers, &mut metas));
        }
        assert_eq!(first.keep_own(packets.len(), &mut buffers, &mut metas), 3);
        for (at, own) in [0, 3, 4].into_iter().enumerate() {
            assert_eq!(buffers[at][..metas[at].len], packets[own], "buffer {at}");
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert_eq!(second.collect(&mut cx, 1, &mut buffers, &mut metas), 3);
        assert_eq!(buffers[1][..metas[1].len], packets[1]);
        assert_eq!(buffers[2][..metas[2].len], long);
        assert_eq!(first.collect(&mut cx, 0, &mut buffers, &mut metas), 0);
    }

    #[test]
    fn a_cut_header_belongs_to_nobody() {
        for cut in [&[][..], &[0x40; 12], &[0xc0, 0, 0, 0], &[0xc0, 0, 0, 0, 1, 9, 1]] {
            assert_eq!(destination(cut), None, "{cut:?}");
        }
    }
}
