//! The relay's name for each request: of the process, and of its place among all that it took.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use http::HeaderValue;
use shared::ids::InstanceId;

/// Names requests. One for the process.
#[derive(Debug)]
pub struct RequestNames {
    process: String,
    given: AtomicU64,
}

impl RequestNames {
    /// Names for the requests of this process.
    pub fn new(process: InstanceId) -> Self {
        Self { process: process.to_string(), given: AtomicU64::new(0) }
    }

    /// The next one, such as `0ae16e553ef8256a-2`.
    pub fn next(&self) -> HeaderValue {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(self.given.fetch_add(1, Ordering::Relaxed) + 1);
        let mut name = BytesMut::with_capacity(self.process.len() + 1 + digits.len());
        name.extend_from_slice(self.process.as_bytes());
        name.extend_from_slice(b"-");
        name.extend_from_slice(digits.as_bytes());
        HeaderValue::from_maybe_shared(name.freeze())
            .unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_up_behind_that_of_the_process() {
        let names = RequestNames::new(InstanceId(255));
        assert_eq!(names.next(), "00000000000000ff-1");
        assert_eq!(names.next(), "00000000000000ff-2");
    }
}
