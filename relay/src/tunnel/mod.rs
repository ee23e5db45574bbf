//! Links: accepting them, admitting them, and carrying request streams on the newest one.
//!
//! Nothing in here reads HTTP. The edge sees a [`Link`], opens an exchange on it, and gets an
//! [`Upload`] and an [`Answer`]; no transport shows.

pub mod admission;
pub mod answer;
pub mod bootstrap;
pub mod connection_ids;
pub mod door;
pub mod endpoint;
pub mod enrolment;
pub mod exchange;
mod further;
mod line;
pub mod link;
pub mod listener;
pub mod live;
#[cfg(test)]
pub(crate) mod loopback;
pub mod newcomers;
pub mod outbound;
pub mod proof;
pub mod session;
mod silence;
pub mod steering;
pub mod upload;

pub use answer::{Answer, AnswerCut};
pub use exchange::OpenError;
pub use link::{Announced, Link};
pub use live::{LiveLinks, Presence};
pub use upload::{Upload, UploadEnd};
