//! How a command ends when it does not end well: a sentence and an exit code.

use std::process::ExitCode;

/// The exit codes of `relay`, besides 0 for clean and 2 for usage, which clap sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The relay said no, or the work failed.
    Failed = 1,
    /// The configuration is wrong.
    Configuration = 3,
    /// The credential was refused.
    Credentials = 4,
    /// No relay answers.
    Unreachable = 5,
    /// Stopped by SIGINT before it was done.
    Interrupted = 130,
    /// Stopped by SIGTERM before it was done.
    Terminated = 143,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// With what it ends.
    pub code: Code,
    /// What went wrong, one sentence each; may be none when all has been said.
    pub sentences: Vec<String>,
}

impl Failure {
    /// A failure with one sentence.
    pub fn new(code: Code, sentence: impl Into<String>) -> Self {
        Self { code, sentences: vec![sentence.into()] }
    }

    /// All that is wrong with the configuration.
    pub fn configuration(mistakes: Vec<String>) -> Self {
        Self { code: Code::Configuration, sentences: mistakes }
    }

    /// A signal ended the command.
    pub fn signalled(code: Code) -> Self {
        Self { code, sentences: Vec::new() }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}
