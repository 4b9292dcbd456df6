//! The words that every other module speaks: what tasks.toml can say, what a run resolves to, what AWS was found to hold, and what
//! will be written. Data only: no decision is made and nothing outside is touched here.

mod ecs_task;
mod ending;
mod shards;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

pub use ecs_task::{EcsContainer, EcsTask, ExecAgent, Overridden};
pub use ending::{Attempt, Ending, LogEnd, Outcome, TaskEnd, Timings};
pub use shards::{Shard, ShardCounts, ShardEnd, Shards, ShardsEnd, ranges};

// ---------------------------------------------------------------------------------------------------------------- places

/// A range of bytes in tasks.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// The text of tasks.toml and the name it is shown by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as the user would type it, for example `tasks.toml`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// Where a value came from. The plan shows it beside each value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Origin {
    /// A flag of the command line, for example `--cpu`.
    Flag(&'static str),
    /// A variable of this process's environment, for example `XTASK_ENV`.
    Variable(&'static str),
    /// tasks.toml: the full key (`environments.staging.cluster`) and the span of the value.
    File { key: String, span: Span },
    /// The live ECS service's PRIMARY deployment.
    Service,
    /// The base task definition.
    TaskDefinition,
    /// An ECS task of the service that runs now.
    RunningTask,
    /// AWS's own configuration (profile or chain), for example of the region.
    AwsConfig,
    /// This tool's default.
    Default,
}

impl Origin {
    /// The place in tasks.toml, where it came from there.
    pub fn span(&self) -> Option<Span> {
        match self {
            Origin::File { span, .. } => Some(*span),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => f.write_str(flag),
            Origin::Variable(name) => f.write_str(name),
            Origin::File { key, .. } => f.write_str(key),
            Origin::Service => f.write_str("the service"),
            Origin::TaskDefinition => f.write_str("the base task definition"),
            Origin::RunningTask => f.write_str("a running ECS task of the service"),
            Origin::AwsConfig => f.write_str("AWS configuration"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    /// A value from somewhere.
    pub fn new(value: T, origin: Origin) -> Sourced<T> {
        Sourced { value, origin }
    }

    /// A value that nobody wrote down.
    pub fn default(value: T) -> Sourced<T> {
        Sourced { value, origin: Origin::Default }
    }

    /// The place in tasks.toml, where it came from there.
    pub fn span(&self) -> Option<Span> {
        self.origin.span()
    }

    /// The same place with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced { value: f(self.value), origin: self.origin }
    }
}

// ------------------------------------------------------------------------------------------------------------ tasks.toml

/// What runs a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Runner {
    /// A plain process on this machine.
    Host,
    /// The image on this machine's docker.
    Docker,
    /// An ECS task.
    Ecs,
}

/// What the first SIGINT or SIGTERM does to a running ECS task that this process launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInterrupt {
    /// Stop it and keep following until it has stopped.
    Stop,
    /// Leave it running and say how to find it.
    Detach,
}

/// ECS's launch types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchType {
    /// AWS Fargate.
    Fargate,
    /// Container instances of the cluster.
    Ec2,
    /// ECS Anywhere.
    External,
}

impl LaunchType {
    /// ECS's own word.
    pub fn as_str(self) -> &'static str {
        match self {
            LaunchType::Fargate => "FARGATE",
            LaunchType::Ec2 => "EC2",
            LaunchType::External => "EXTERNAL",
        }
    }
}

/// `logs = { group, region, prefix }`: put awslogs on the chosen container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsSpec {
    /// `awslogs-group`.
    pub group: String,
    /// `awslogs-region`; the environment's if left out.
    pub region: Option<String>,
    /// `awslogs-stream-prefix`; `xtask` if left out.
    pub prefix: Option<String>,
}

/// Which of the base's other containers run beside the chosen one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sidecars {
    /// All of them.
    All,
    /// None of them.
    None,
    /// These by name.
    Keep(Vec<String>),
}

/// An image to build: `[images.X]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSpec {
    /// X.
    pub name: String,
    /// The build context, relative to tasks.toml. Default `.`.
    pub context: Sourced<String>,
    /// Relative to tasks.toml. Default: `Dockerfile` in the context.
    pub dockerfile: Option<Sourced<String>>,
    /// A build stage.
    pub target: Option<Sourced<String>>,
    /// `--build-arg` by name.
    pub build_args: BTreeMap<String, Sourced<String>>,
    /// `--secret` as docker takes it.
    pub build_secrets: Vec<Sourced<String>>,
    /// Anything else for docker build.
    pub build_options: Vec<Sourced<String>>,
    /// Runs before the context is fingerprinted, in the folder of tasks.toml.
    pub prepare: Option<Sourced<Vec<String>>>,
    /// The ECR repository's name. Needed on the ecs runner.
    pub repository: Option<Sourced<String>>,
    /// Another registry host than the environment's account and region give.
    pub registry: Option<Sourced<String>>,
    /// The profile whose credentials push there.
    pub registry_profile: Option<Sourced<String>>,
    /// Whether a missing repository is created.
    pub create_repository: bool,
}

/// What a task's `image` says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a run has one of them")]
pub enum ImageChoice {
    /// An `[images.X]`: build it, unless its content tag exists.
    Build(ImageSpec),
    /// What the service runs now.
    Deployed,
    /// A full reference; nothing is built.
    Reference(String),
}

/// A value of `secrets`: ECS's `valueFrom`, already normalised (`secretsmanager:NAME` stays as written; a bare name is SSM's).
pub type SecretReference = String;

/// The keys that may stand in `[defaults]`, `[environments.X]`, `[tasks.X]` and `[tasks.X.on.ENV]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is the key of the same name in tasks.toml; README's reference describes them"
)]
pub struct Settings {
    pub runner: Option<Sourced<Runner>>,
    pub region: Option<Sourced<String>>,
    pub profile: Option<Sourced<String>>,
    pub account: Option<Sourced<String>>,
    pub endpoint_url: Option<Sourced<String>>,
    pub registry: Option<Sourced<String>>,
    pub protected: Option<Sourced<bool>>,
    pub docker_args: Option<Sourced<Vec<String>>>,

    pub cluster: Option<Sourced<String>>,
    pub service: Option<Sourced<String>>,
    pub task_definition: Option<Sourced<String>>,
    pub container: Option<Sourced<String>>,
    pub subnets: Option<Sourced<Vec<String>>>,
    pub security_groups: Option<Sourced<Vec<String>>>,
    pub assign_public_ip: Option<Sourced<bool>>,
    pub capacity_providers: Option<Sourced<Vec<(String, u32)>>>,
    pub launch_type: Option<Sourced<LaunchType>>,
    pub platform_version: Option<Sourced<String>>,
    pub task_role: Option<Sourced<String>>,
    pub execution_role: Option<Sourced<String>>,
    pub logs: Option<Sourced<LogsSpec>>,
    pub sidecars: Option<Sourced<Sidecars>>,
    pub spot: Option<Sourced<bool>>,

    /// An image's name, `deployed` or a full reference.
    pub image: Option<Sourced<String>>,
    pub entrypoint: Option<Sourced<Vec<String>>>,
    pub command: Option<Sourced<Vec<String>>>,
    /// vCPU × 1024.
    pub cpu: Option<Sourced<u32>>,
    /// MiB.
    pub memory: Option<Sourced<u32>>,
    /// GiB.
    pub ephemeral_storage: Option<Sourced<u32>>,
    /// `linux/amd64` or `linux/arm64`.
    pub platform: Option<Sourced<String>>,
    pub interactive: Option<Sourced<bool>>,
    pub timeout: Option<Sourced<Duration>>,
    pub start_timeout: Option<Sourced<Duration>>,
    pub on_interrupt: Option<Sourced<OnInterrupt>>,

    pub exclusive: Option<Sourced<bool>>,
    pub needs: Option<Sourced<Vec<String>>>,
    pub max_lifetime: Option<Sourced<Duration>>,
    pub shards: Option<Sourced<u32>>,
    pub parallel: Option<Sourced<u32>>,
    pub retry: Option<Sourced<Retry>>,

    pub variables: BTreeMap<String, Sourced<String>>,
    pub secrets: BTreeMap<String, Sourced<SecretReference>>,
    pub tags: BTreeMap<String, Sourced<String>>,
    /// Over the `build-args` of the image that is built.
    pub build_args: BTreeMap<String, Sourced<String>>,
}

/// Which endings are tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RetryOn {
    /// The capacity was taken away: Spot, or the host.
    #[default]
    Spot,
    /// Nothing of it ever ran.
    NeverStarted,
    /// Every end but success and what a person ended.
    Any,
}

/// `retry = { on, attempts }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Which endings are tried again.
    pub on: RetryOn,
    /// How often at most, the first included.
    pub attempts: u32,
}

/// `[tasks.X]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// X, with the place where it is declared.
    pub name: Sourced<String>,
    /// One line for `list`.
    pub description: Option<String>,
    /// Where it may run; everywhere if `None`.
    pub environments: Option<Sourced<Vec<String>>>,
    /// The task's own keys.
    pub settings: Settings,
    /// The same keys for one environment.
    pub on: BTreeMap<String, Settings>,
}

/// `[environments.X]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentSpec {
    /// X, with the place where it is declared.
    pub name: Sourced<String>,
    /// Its keys.
    pub settings: Settings,
}

/// tasks.toml, parsed and checked, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where `run` runs without `-e` and XTASK_ENV.
    pub default_environment: Option<Sourced<String>>,
    /// `[defaults]`.
    pub defaults: Settings,
    /// `[images.X]`, in the order of the file.
    pub images: Vec<ImageSpec>,
    /// `[environments.X]`, in the order of the file.
    pub environments: Vec<EnvironmentSpec>,
    /// `[tasks.X]`, in the order of the file.
    pub tasks: Vec<TaskSpec>,
}

// ------------------------------------------------------------------------------------------------------------- selection

/// What the command line chose, apart from what belongs to a verb alone.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the flag of the same name")]
pub struct Selection {
    pub task: String,
    /// From `-e` or XTASK_ENV.
    pub environment: Option<Sourced<String>>,
    /// From `--profile` or AWS_PROFILE.
    pub profile: Option<Sourced<String>>,
    /// From `--region`.
    pub region: Option<Sourced<String>>,
    /// A full reference: no build.
    pub image: Option<Sourced<String>>,
    pub rebuild: bool,
    pub once: bool,
    pub attach_if_running: bool,
    pub variables: Vec<(String, String)>,
    pub cpu: Option<Sourced<u32>>,
    pub memory: Option<Sourced<u32>>,
    pub timeout: Option<Sourced<Duration>>,
    pub task_definition: Option<Sourced<String>>,
    /// Appended to the command, each one argument.
    pub arguments: Vec<String>,
    /// First and last of each range of `--shard`; none: all.
    pub shards: Vec<(u32, u32)>,
    pub keep_going: bool,
    /// Whether the variable CI is set and not empty, `0` or `false`.
    pub ci: bool,
}

/// An environment with everything that tasks.toml and the flags say about it, without a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedEnvironment {
    /// Its name and who chose it.
    pub name: Sourced<String>,
    /// What runs its tasks.
    pub runner: Sourced<Runner>,
    /// Whether what is written there needs its name typed, or `--yes`.
    pub protected: bool,
    /// Its keys over those of `[defaults]`, with profile and region of the command line.
    pub settings: Settings,
}

/// A task with everything that tasks.toml and the flags say about it in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedTask {
    /// The task's name.
    pub task: String,
    /// Where `[tasks.X]` is declared.
    pub task_span: Option<Span>,
    /// The environment's name and who chose it.
    pub environment: Sourced<String>,
    /// What runs it.
    pub runner: Sourced<Runner>,
    /// `None`: the image declares none, or the host runner, which needs none.
    pub image: Option<Sourced<ImageChoice>>,
    /// Replaces the image's.
    pub entrypoint: Option<Sourced<Vec<String>>>,
    /// With the arguments of the command line appended. `None`: the image's (or the base's) own command.
    pub command: Option<Sourced<Vec<String>>>,
    /// Process environment variables.
    pub variables: BTreeMap<String, Sourced<String>>,
    /// ECS secrets by variable name.
    pub secrets: BTreeMap<String, Sourced<SecretReference>>,
    /// Opens on the terminal.
    pub interactive: bool,
    /// From RUNNING on. `None`: no limit.
    pub timeout: Option<Sourced<Duration>>,
    /// From launch to RUNNING.
    pub start_timeout: Sourced<Duration>,
    /// What the first signal does.
    pub on_interrupt: OnInterrupt,
    /// Asks for the environment's name, or needs `--yes`.
    pub protected: bool,
    /// `--rebuild`.
    pub rebuild: bool,
    /// At most one ECS task of this task at a time, in this environment.
    pub exclusive: bool,
    /// `--once`.
    pub once: bool,
    /// Where tasks.toml says `shards`.
    pub shards: Option<Shards>,
    /// Every layered key after the merge, for what only one runner needs (`docker_args`, the ECS keys, sizes, tags).
    pub settings: Settings,
    /// Things that are worth a warning before anything runs.
    pub warnings: Vec<String>,
}

// ----------------------------------------------------------------------------------------------------------------- facts

/// Who calls AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    /// The caller's ARN.
    pub arn: String,
}

/// The state of the git work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The full id.
    pub id: String,
    /// Whether tracked or untracked files differ from it.
    pub dirty: bool,
}

/// The newest ACTIVE revision of the family that a task's definitions are registered in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestRevision {
    /// Its ARN.
    pub arn: String,
    /// Whether it has the tag `xtask=1`.
    pub ours: bool,
    /// The definition hash kept in a docker label, where there is one.
    pub hash: Option<String>,
}

/// What is known of the image before anything is written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum ImageFact {
    /// An `[images.X]` whose inputs are fingerprinted.
    Content {
        /// Host, and port where there is one.
        registry: String,
        /// The repository's name in it.
        repository: String,
        /// The content tag by platform (`linux/amd64`, `linux/arm64`): the platform is part of the fingerprint.
        tags: BTreeMap<String, String>,
        /// The digest (`sha256:…`) of each platform whose tag the registry has.
        digests: BTreeMap<String, String>,
        /// Whether the registry has the repository.
        repository_exists: bool,
    },
    /// `deployed`, resolved: `registry/repository@sha256:…` where a digest could be found.
    Deployed(Sourced<String>),
    /// `--image` or a full reference: used as it is. Also where the task names no image and the base's is kept.
    Given,
    /// `prepare` has not run, so the context is not known (dry run only).
    Unprepared { registry: String, repository: String },
}

/// Everything that was read before deciding. Service and definitions are AWS's own JSON, so that nothing of them is lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The caller.
    pub identity: Identity,
    /// The region that is used.
    pub region: Sourced<String>,
    /// The cluster's name or ARN.
    pub cluster: String,
    /// The entry of DescribeServices, verbatim.
    pub service: Option<Value>,
    /// The base task definition (`taskDefinition` of DescribeTaskDefinition), verbatim.
    pub base: Value,
    /// Family that ours are registered in, and its newest revision.
    pub family: String,
    /// See [`NewestRevision`].
    pub newest_revision: Option<NewestRevision>,
    /// `linux/amd64` or `linux/arm64`, of an ECS task of the service that runs now.
    pub running_platform: Option<String>,
    /// The image.
    pub image: ImageFact,
    /// The work tree.
    pub commit: Option<Commit>,
    /// This run's id.
    pub run_id: String,
    /// Link to the CI job, where there is one.
    pub ci_job: Option<String>,
    /// Things that are worth a warning (a rollout in progress, keys in the environment beating a profile).
    pub warnings: Vec<String>,
}

// ------------------------------------------------------------------------------------------------------------------ plan

/// The image of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum PlannedImage {
    /// Build and push `registry/repository:tag` for `platform`, after creating the repository where `create`.
    Build { registry: String, repository: String, tag: String, platform: String, create: bool },
    /// Run this reference; by digest where it was built here.
    Use { reference: String },
    /// `prepare` decides the tag (dry run only).
    Unprepared { registry: String, repository: String, platform: String },
}

/// Where the chosen container's output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLocation {
    /// CloudWatch Logs group.
    pub group: String,
    /// Region of the group.
    pub region: String,
    /// Stream prefix: the stream is `prefix/container/task-id`.
    pub prefix: String,
    /// The chosen container.
    pub container: String,
}

impl LogLocation {
    /// The stream of an ECS task.
    pub fn stream(&self, task: &str) -> String {
        format!("{}/{}/{}", self.prefix, self.container, task.rsplit('/').next().unwrap_or(task))
    }
}

/// One line of the plan as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanLine {
    /// ECS's word for it, for example `cluster`.
    pub key: String,
    /// The value.
    pub value: String,
    /// Where it came from; empty where that says nothing.
    pub origin: String,
}

/// The session of an interactive task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Entrypoint and command, each argument as it is to arrive; empty: a shell.
    pub argv: Vec<String>,
    /// How long the ECS task waits for it to end.
    pub max_lifetime: Duration,
}

/// Everything that will be written, decided. The dry run prints it; the other stages carry it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The task's name.
    pub task: String,
    /// The environment's name.
    pub environment: String,
    /// What runs: see [`PlannedImage`].
    pub image: PlannedImage,
    /// The chosen container's name.
    pub container: String,
    /// The request of RegisterTaskDefinition in ECS's JSON, the chosen container's image still empty.
    pub definition: Value,
    /// The newest revision of the family, used again where its hash is equal.
    pub newest_revision: Option<NewestRevision>,
    /// The request of RunTask in ECS's JSON, without `taskDefinition` and `clientToken`.
    pub run_task: Value,
    /// Where the output is.
    pub logs: LogLocation,
    /// From RUNNING on.
    pub timeout: Option<Duration>,
    /// From launch to RUNNING.
    pub start_timeout: Duration,
    /// What the first signal does.
    pub on_interrupt: OnInterrupt,
    /// Of an interactive task: the ECS task waits, and the command runs in a session.
    pub console: Option<Console>,
    /// Many ECS tasks: `run_task` is the first one's request.
    pub shards: Option<Shards>,
    /// The plan as it is shown, each value with its origin.
    pub lines: Vec<PlanLine>,
    /// Worth knowing before it runs.
    pub warnings: Vec<String>,
}

// ------------------------------------------------------------------------------------------------------------- ECS tasks

/// A point in time: milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Seconds from `earlier` to this; negative if it was later.
    pub fn seconds_since(self, earlier: Timestamp) -> f64 {
        (self.0 - earlier.0) as f64 / 1000.0
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-11-22T12:00:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(86_400_000);
        let millis = self.0.rem_euclid(86_400_000);
        let date = time::Date::from_julian_day(2_440_588 + i32::try_from(days).unwrap_or(0)).ok();
        let (year, month, day) = date.map_or((1970, 1, 1), |it| (it.year(), u8::from(it.month()), it.day()));
        let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
        let (seconds, millis) = (millis / 1000 % 60, millis % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A line of output as CloudWatch Logs keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// When the container wrote it.
    pub timestamp: Timestamp,
    /// The line, without the newline.
    pub message: String,
}
