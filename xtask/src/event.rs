//! What a run tells while it goes on. Stages emit these; the three printers of `ui` show them. The JSON form is public: its fields
//! are the contract of `--format json`.

pub mod schema;

use serde::Serialize;

use crate::model::{Attempt, Ending, PlanLine, Runner, ShardCounts, Timestamp};

/// The version that the first event of a stream carries.
pub const VERSION: u32 = 1;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the fields of `--format json`; README describes them")]
pub enum Event {
    /// The name is resolved: what will run where. Nothing was asked or written yet.
    Resolved {
        environment: String,
        runner: Runner,
        run_id: String,
        /// The process's arguments, entrypoint included where tasks.toml gives one.
        command: Vec<String>,
    },
    /// Everything is read and decided; `dry_run`: and it ends here.
    Planned {
        dry_run: bool,
        /// The plans of other tasks of this run follow.
        #[serde(skip)]
        more: bool,
        /// The tasks that run first, in their order.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        needs: Vec<String>,
        /// Tasks that are needed and left out.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<String>,
        lines: Vec<PlanLine>,
        /// The requests that will be sent, in ECS's own JSON (ecs runner only).
        #[serde(skip_serializing_if = "Option::is_none")]
        register_task_definition: Option<serde_json::Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        run_task: Option<serde_json::Value>,
    },
    /// Of several tasks, this one begins.
    Turn {
        /// From 1.
        number: usize,
        /// How many there are.
        of: usize,
    },
    /// A long local step starts: `prepare`, `docker build`, `docker push`.
    Building { image: String, step: BuildStep },
    /// The image is in the registry, by digest. `reused`: it was there before.
    Pushed { image: String, reused: bool },
    /// The task definition to run. `reused`: an earlier revision is equal.
    Registered { task_definition: String, reused: bool },
    /// RunTask was accepted, or the local process started (then without an ARN).
    Launched {
        #[serde(skip_serializing_if = "Option::is_none")]
        task_arn: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cluster: Option<String>,
        /// Its page in AWS's console; only where AWS itself was called, see `ui::console_url`.
        #[serde(skip_serializing_if = "Option::is_none")]
        console_url: Option<String>,
    },
    /// An ECS task that another process started is followed (or stopped) from here on.
    Attached {
        task_arn: String,
        cluster: String,
        /// The ARN of the caller who started it, where it is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// When ECS accepted it.
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
        #[serde(skip_serializing_if = "Option::is_none")]
        console_url: Option<String>,
    },
    /// The ECS task's status changed, or (in plain output) still is what it was.
    Status {
        /// ECS's word: PROVISIONING, PENDING, RUNNING, …
        status: String,
        /// For people: what it waits for, the reason it stops.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// How far the shards are.
    Shards {
        /// How many the task has.
        of: u32,
        #[serde(flatten)]
        counts: ShardCounts,
    },
    /// A line of the task's output, without its newline.
    Log { message: String, timestamp: Timestamp, container: String },
    /// An attempt is over, and another one starts after a pause.
    Retrying {
        /// The number of the attempt to come, from 2.
        attempt: u32,
        /// How many there may be.
        of: u32,
        /// The pause, in seconds.
        pause: f64,
        /// The one that is over.
        last: Attempt,
    },
    /// Worth knowing; the run goes on.
    Warning {
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// The run is over.
    Finished(Box<Ending>),
    /// The run failed before or beside an ECS task's own end.
    Error {
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        column: Option<usize>,
        /// What had already been done when it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        done: Option<String>,
    },
}

/// The local steps that take long enough to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildStep {
    /// `images.X.prepare`.
    Prepare,
    /// `docker build`.
    Build,
    /// `docker push`.
    Push,
}
