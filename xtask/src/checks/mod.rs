//! What `check` finds, and the decisions behind it: what was read of a role, a network, a repository or a secret, held against what ECS
//! needs of it. The reads are `stage/check`'s.

mod network;
mod registry;
mod roles;
mod secrets;

pub use network::{groups, subnets};
pub use registry::{platforms, pull_refused};
pub use roles::{Denied, assumable, denied, exec_needs, role_of_session};
pub use secrets::{Secret, secret};

use serde::Serialize;

use crate::error::Problem;
use crate::model::Span;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is as it must be.
    Ok,
    /// It could not be looked at, or needs what has failed; the message says why.
    Skipped,
    /// A run would fail, or be refused.
    Failed,
}

/// One check and how it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// How it came out.
    pub state: State,
    /// What was found.
    pub message: String,
    /// One thing to do.
    pub hint: Option<String>,
    /// The place in tasks.toml.
    pub span: Option<Span>,
}

impl Finding {
    /// As it must be.
    pub fn ok(name: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { name: name.into(), state: State::Ok, message: message.into(), hint: None, span: None }
    }

    /// Not looked at.
    pub fn skipped(name: impl Into<String>, why: impl Into<String>) -> Finding {
        Finding { state: State::Skipped, ..Finding::ok(name, why) }
    }

    /// Not as it must be. Without something to do it would be no help.
    pub fn failed(name: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding { state: State::Failed, hint: Some(hint.into()), ..Finding::ok(name, message) }
    }

    /// A problem as a failed check. `hint`: for one that has none.
    pub fn of(name: impl Into<String>, problem: Problem, hint: &str) -> Finding {
        let Problem { message, span, hint: own } = problem;
        Finding { span, ..Finding::failed(name, message, own.unwrap_or_else(|| hint.to_owned())) }
    }

    /// Points into tasks.toml.
    pub fn at(mut self, span: impl Into<Option<Span>>) -> Finding {
        self.span = span.into().or(self.span);
        self
    }
}

/// Names in a row, as a person would say them.
fn list(names: &[String]) -> String {
    names.join(", ")
}
