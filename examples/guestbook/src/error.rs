//! What can go wrong, as `main` prints it after `guestbook: `. No kinds beyond what the exit code needs.

use std::fmt::{self, Display};
use std::process::ExitCode;

/// The end of a job that did not do what it was asked.
#[derive(Debug)]
pub enum Error {
    /// The command line makes no sense: exit code 2.
    Usage(String),
    /// The job itself failed: exit code 1.
    Failed(String),
}

impl Error {
    /// Wraps `cause`, saying in `what` which named thing was tried.
    pub fn failed(what: impl Display, cause: impl Display) -> Self {
        Self::Failed(format!("{what}: {cause}"))
    }

    /// The code that the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

impl Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(message) | Self::Failed(message)) = self;
        formatter.write_str(message)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::failed("the database", error)
    }
}

/// Writing the job's output is the only input or output that is not given a context of its own.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::failed("cannot write to stdout", error)
    }
}
