//! How a run ended: what the last event says. Data only, as everything in `model`.

use serde::Serialize;

use crate::model::ShardsEnd;

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The chosen container exited with 0 by itself.
    Succeeded,
    /// It exited with another code by itself.
    Failed,
    /// It never started.
    NeverStarted,
    /// It was killed from outside: Spot, host, StopTask by someone else.
    Stopped,
    /// The timeout passed and it was stopped.
    TimedOut,
    /// A signal to this process stopped it.
    Interrupted,
    /// It was left running.
    Detached,
    /// Nothing was started.
    Refused,
    /// Another one holds the exclusive place.
    AlreadyRunning,
    /// Nothing had to run.
    Skipped,
    /// ECS no longer knows.
    #[default]
    Unknown,
}

impl Outcome {
    /// The word of the JSON event.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::NeverStarted => "never-started",
            Outcome::Stopped => "stopped",
            Outcome::TimedOut => "timed-out",
            Outcome::Interrupted => "interrupted",
            Outcome::Detached => "detached",
            Outcome::Refused => "refused",
            Outcome::AlreadyRunning => "already-running",
            Outcome::Skipped => "skipped",
            Outcome::Unknown => "unknown",
        }
    }
}

/// How long each part took, in seconds; absent where it did not happen or ECS did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields of the event")]
pub struct Timings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
}

/// Whether the printed output is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEnd {
    /// Its end did not move for long enough after the container stopped.
    Complete,
    /// There never was a container that could write.
    NeverStarted,
    /// Lines may be missing; why.
    MayBeCut(String),
    /// It was still being written.
    Open,
}

impl LogEnd {
    /// The word of the JSON event.
    pub fn as_str(&self) -> &'static str {
        match self {
            LogEnd::Complete => "complete",
            LogEnd::NeverStarted => "never-started",
            LogEnd::MayBeCut(_) => "may-be-cut",
            LogEnd::Open => "open",
        }
    }
}

impl Serialize for LogEnd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How one of several attempts ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Its ECS task, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// What the exit code would have been.
    pub exit_code: u8,
    /// ECS's stop code, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// ECS's reason, or in a sentence what happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Attempt {
    /// Of the ending that the run would have had.
    pub fn of(ending: &Ending) -> Attempt {
        let reason = ending.container_reason.as_ref().or(ending.stopped_reason.as_ref());
        Attempt {
            task_arn: ending.task_arn.clone(),
            outcome: ending.outcome,
            exit_code: ending.exit_code,
            stop_code: ending.stop_code.clone(),
            reason: reason.or(ending.explanation.as_ref()).cloned(),
        }
    }
}

/// The end of a run: everything the last event says.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// The exit code of this process.
    pub exit_code: u8,
    /// This run.
    pub run_id: String,
    /// The run that started the ECS task, where this one only followed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followed_run_id: Option<String>,
    /// The ECS task, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// The revision that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
    /// The image that ran, by digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// ECS's stop code, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// ECS's reason, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// The chosen container's reason, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_reason: Option<String>,
    /// Whether the output is whole; absent where it was not read from CloudWatch Logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogEnd>,
    /// Of a run of many shards: how each ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<Box<ShardsEnd>>,
    /// In one sentence: what happened where the outcome alone does not say it.
    #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// One thing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Every attempt, in order, where there was more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Of the task that was asked for, where others came first: all of them in their order, itself the last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskEnd>,
    /// How long each part took.
    pub timings: Timings,
}

/// What became of one of a run's tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TaskEnd {
    /// Its name.
    pub task: String,
    /// How it ended. `None`: it did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Its exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// How long it took, from its turn on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}
