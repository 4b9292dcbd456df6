//! What can go wrong, and the exit codes that say so.
//!
//! An [`Error`] carries one or more [`Problem`]s: what was tried on which named thing, the cause, one thing to do, and the place in
//! tasks.toml where that is the cause. `ui` renders it; nothing here prints.

use std::fmt;
use std::sync::Arc;

use crate::model::{Outcome, Source, Span};

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Exit codes with a meaning of their own. Every other code of `run` and `attach` is the chosen container's.
pub mod exit {
    /// The task succeeded, or the command did what it was asked.
    pub const OK: u8 = 0;
    /// `check` found a problem.
    pub const PROBLEM: u8 = 1;
    /// Usage, tasks.toml, the plan, or any refusal before the first write.
    pub const REFUSED: u8 = 2;
    /// The timeout passed and the task was stopped.
    pub const TIMED_OUT: u8 = 124;
    /// docker, AWS or this tool failed, or the container never gave a code of its own.
    pub const FAILED: u8 = 125;
    /// Ended by SIGHUP.
    pub const HANGUP: u8 = 129;
    /// Ended by SIGINT.
    pub const INTERRUPTED: u8 = 130;
    /// Ended by SIGQUIT.
    pub const QUIT: u8 = 131;
    /// Ended by SIGTERM.
    pub const TERMINATED: u8 = 143;
}

/// Which side of the first write an error is on, and so which exit code it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Bad usage, bad tasks.toml or a refusal: nothing was written.
    Refused,
    /// docker, AWS or this tool failed.
    Failed,
    /// A signal ended the run before there was an ECS task: the exit code is 128 + the signal's number.
    Interrupted(u8),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Lowercase, no full stop: what was tried, on which named thing, and after a colon the cause.
    pub message: String,
    /// The offending bytes of tasks.toml, where that is the cause.
    pub span: Option<Span>,
    /// One thing to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a place or a hint.
    pub fn new(message: impl Into<String>) -> Problem {
        Problem { message: message.into(), span: None, hint: None }
    }

    /// Points at the offending bytes of tasks.toml.
    pub fn at(mut self, span: impl Into<Option<Span>>) -> Problem {
        self.span = span.into();
        self
    }

    /// Adds the one thing to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }
}

/// A failure with everything a reader needs. Never empty.
#[derive(Debug, Clone)]
pub struct Error {
    /// Decides the exit code.
    pub kind: ErrorKind,
    /// What is wrong, in the order of the file where there is one.
    pub problems: Vec<Problem>,
    /// What had already been done when it failed, for example "the image is pushed, no ECS task was started".
    pub done: Option<String>,
    /// The file that the problems' spans point into.
    pub source: Option<Arc<Source>>,
    /// What is known of an ECS task that was or may have been started all the same.
    pub started: Option<Started>,
    /// Nothing was started because ECS had no room just then: later it may.
    pub no_room: bool,
}

/// An ECS task that a failed run has left, or may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// RunTask was sent and not answered.
    Perhaps,
    /// This one, by its ARN.
    Task(String),
}

impl Error {
    /// A refusal before the first write: exit code 2.
    pub fn refused(message: impl Into<String>) -> Error {
        Problem::new(message).refused()
    }

    /// A failure of docker, AWS or this tool: exit code 125.
    pub fn failed(message: impl Into<String>) -> Error {
        Problem::new(message).failed()
    }

    /// A signal ended the run before there was an ECS task.
    pub fn interrupted(signal: u8, message: impl Into<String>) -> Error {
        Error {
            kind: ErrorKind::Interrupted(signal),
            problems: vec![Problem::new(message)],
            done: None,
            source: None,
            started: None,
            no_room: false,
        }
    }

    /// Several refusals reported in one go.
    pub fn all_refused(problems: Vec<Problem>) -> Error {
        Error { kind: ErrorKind::Refused, problems, done: None, source: None, started: None, no_room: false }
    }

    /// Adds the one thing to do to the first problem that has none.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        if let Some(problem) = self.problems.iter_mut().find(|it| it.hint.is_none()) {
            problem.hint = Some(hint.into());
        }
        self
    }

    /// Points the first problem at a place in tasks.toml.
    pub fn at(mut self, span: impl Into<Option<Span>>) -> Error {
        if let Some(problem) = self.problems.first_mut() {
            problem.span = span.into();
        }
        self
    }

    /// Says what had already been done when it failed.
    pub fn done(mut self, done: impl Into<String>) -> Error {
        self.done = Some(done.into());
        self
    }

    /// Says that an ECS task was, or may have been, started.
    pub fn started(mut self, started: Started) -> Error {
        self.started = Some(started);
        self
    }

    /// How a run that failed like this has ended.
    pub fn outcome(&self) -> Outcome {
        match (self.kind, &self.started) {
            (ErrorKind::Interrupted(_), _) => Outcome::Interrupted,
            // "Never started" would invite to run it again.
            (_, Some(_)) => Outcome::Unknown,
            (ErrorKind::Refused, None) => Outcome::Refused,
            (ErrorKind::Failed, None) => Outcome::NeverStarted,
        }
    }

    /// The ARN of the ECS task that was started all the same.
    pub fn task_arn(&self) -> Option<&str> {
        match &self.started {
            Some(Started::Task(arn)) => Some(arn),
            Some(Started::Perhaps) | None => None,
        }
    }

    /// Names the file that the spans point into, unless it is known already.
    pub fn in_source(mut self, source: &Arc<Source>) -> Error {
        self.source.get_or_insert_with(|| Arc::clone(source));
        self
    }

    /// The exit code that this error ends the process with.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Refused => exit::REFUSED,
            ErrorKind::Failed => exit::FAILED,
            ErrorKind::Interrupted(signal) => 128 + signal,
        }
    }
}

impl Problem {
    /// The error of this one refusal.
    pub fn refused(self) -> Error {
        Error {
            kind: ErrorKind::Refused,
            problems: vec![self],
            done: None,
            source: None,
            started: None,
            no_room: false,
        }
    }

    /// The error of this one failure.
    pub fn failed(self) -> Error {
        Error { kind: ErrorKind::Failed, problems: vec![self], done: None, source: None, started: None, no_room: false }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
