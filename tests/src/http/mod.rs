//! Clients over HTTP/1.1 and HTTP/2: they know how each answer ended, and send what no library would.

mod call;
mod client;
mod events;
pub mod frames;
pub mod framing;
mod http2;
mod response;
mod upload;
mod version;

pub use call::Call;
pub use client::{RawClient, request_bytes};
pub use events::{Event, EventParser};
pub use h2::Reason;
pub use http2::Connection;
pub use response::{Cut, Ending, Piece, RawResponse, ResponseHead};
pub use upload::Upload;
pub use version::{Version, begin, exchange, get, post, post_json, send};
