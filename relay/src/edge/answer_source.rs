//! Where the frames of an agent's answer come from: a link, or the agent's own server.

use std::task::{Context, Poll};

use shared::wire;

use crate::tunnel::{Answer, AnswerCut};

/// Where the frames of an answer come from. Dropping it tells its sender that nobody listens.
pub trait AnswerSource {
    /// The next frame, DATA or END behind the head.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<wire::Frame, AnswerCut>>;

    /// Notes that `bytes` of the body were handed to the caller's connection.
    fn consumed(&mut self, bytes: usize);

    /// Wants no more of it, for no bad reason.
    fn release(&mut self);

    /// Scheme, host and port of each of the agent's servers, as a card of its may name them.
    fn origins(&self) -> Vec<String>;

    /// Whether it waits for a link to go on over: that silence is not the agent's.
    fn is_paused(&self) -> bool {
        false
    }

    /// How often it went on over another link.
    fn continued(&self) -> u32 {
        0
    }
}

impl AnswerSource for Answer {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<wire::Frame, AnswerCut>> {
        Self::poll_frame(self, cx)
    }

    fn consumed(&mut self, bytes: usize) {
        Self::consumed(self, bytes);
    }

    fn release(&mut self) {
        Self::release(self);
    }

    fn origins(&self) -> Vec<String> {
        self.link().announced().origins()
    }

    fn is_paused(&self) -> bool {
        Self::is_paused(self)
    }

    fn continued(&self) -> u32 {
        Self::continued(self)
    }
}
