//! A raw HTTP/1.1 client: sends bytes as given, and knows how each answer ended.

mod client;
mod events;
pub mod framing;
mod response;
mod upload;

pub use client::{RawClient, exchange, get, post, post_json, request_bytes, send};
pub use events::{Event, EventParser};
pub use response::{Cut, Ending, Piece, RawResponse, ResponseHead};
pub use upload::Upload;
