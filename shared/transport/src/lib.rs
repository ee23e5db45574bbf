//! What carries a link: one connection with many streams, whichever transport it is.
//!
//! Both programs carry the same frames over the same operations, so there is one implementation of
//! these, used by both. It is a crate of its own, beside the protocol and not in it: the codec, its
//! fuzz targets and whoever else only reads frames stay free of sockets, clocks and runtimes.
//!
//! The transports are an enum and not a trait object: over QUIC each operation is quinn's own behind one
//! comparison.

mod connection;
mod error;
mod recv;
mod send;
pub mod tcp;

pub use connection::{Connection, Kind};
pub use error::{ConnectionEnd, ReadError, WriteError};
pub use recv::RecvStream;
pub use send::SendStream;
