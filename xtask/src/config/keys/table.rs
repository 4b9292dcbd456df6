//! The table itself: one row a key.

use super::Takes::{Boolean, Command, Cpu, Duration, List, Logs, Memory, Names, Number, Table, Tables, Text, Weights};
use super::special::{at_most, build_arg, log_prefix, on_interrupt, options, retry_on, runner, sidecars, weights};
use super::{Key, Layer, ReadKey as To, Takes};
use crate::config::values;
use crate::config::{read_logs, read_retry};
use crate::model::Sourced;

/// The words of `on-interrupt`.
const ON_INTERRUPT: Takes = Takes::OneOf(&["stop", "detach"]);
const RUNNERS: Takes = Takes::OneOf(&["ecs", "docker", "host"]);
const LAUNCH_TYPES: Takes = Takes::OneOf(&["FARGATE", "EC2", "EXTERNAL"]);
const PLATFORMS: Takes = Takes::OneOf(&["linux/amd64", "linux/arm64"]);
const RETRY_ON: Takes = Takes::OneOf(&["spot", "never-started", "any"]);

const ROOT: &[Layer] = &[Layer::Root];
const IMAGE: &[Layer] = &[Layer::Image];
const TASK: &[Layer] = &[Layer::Task];
/// Which account and region it is, and how careful to be there, is the place's to say: a task must not be able to weaken it.
const PLACE: &[Layer] = &[Layer::Defaults, Layer::Environment];
const ANY: &[Layer] = &[Layer::Defaults, Layer::Environment, Layer::Task, Layer::On];

const fn key(name: &'static str, layers: &'static [Layer], takes: Takes, about: &'static str, read: To) -> Key {
    Key { name, layers, takes, about, read }
}

/// All keys.
pub(super) static KEYS: &[Key] = &[
    // ------------------------------------------------------------------------------------------------ the top of the file
    key(
        "default-environment",
        ROOT,
        Text,
        "where `run` runs without -e and XTASK_ENV",
        To::Root(|it, e, r| {
            it.default_environment = r.text(e, Text, values::filled);
        }),
    ),
    key("defaults", ROOT, Table(Layer::Defaults), "any key of a task or an environment; lowest precedence", To::Table),
    key("images", ROOT, Tables(Layer::Image), "images to build", To::Table),
    key("environments", ROOT, Tables(Layer::Environment), "named places to run", To::Table),
    key("tasks", ROOT, Tables(Layer::Task), "the one-off jobs", To::Table),
    // ------------------------------------------------------------------------------------------------------------- images
    key(
        "context",
        IMAGE,
        Text,
        "the build context, relative to tasks.toml; default `.`",
        To::Image(|it, e, r| {
            if let Some(value) = r.text(e, Text, values::path) {
                it.context = value;
            }
        }),
    ),
    key(
        "dockerfile",
        IMAGE,
        Text,
        "relative to tasks.toml; default `Dockerfile` in the context",
        To::Image(|it, e, r| {
            it.dockerfile = r.text(e, Text, values::path);
        }),
    ),
    key("target", IMAGE, Text, "a build stage", To::Image(|it, e, r| it.target = r.text(e, Text, values::word))),
    key(
        "build-secrets",
        IMAGE,
        List,
        "`docker build --secret`",
        To::Image(|it, e, r| {
            it.build_secrets = r.elements(e, List, values::build_secret).unwrap_or_default();
        }),
    ),
    key(
        "build-options",
        IMAGE,
        List,
        "anything else for docker build; part of the fingerprint",
        To::Image(|it, e, r| {
            it.build_options = options(r, e, values::build_option).unwrap_or_default();
        }),
    ),
    key(
        "prepare",
        IMAGE,
        Command,
        "runs before the context is fingerprinted, in the folder of tasks.toml",
        To::Image(|it, e, r| {
            it.prepare = r.command(e);
        }),
    ),
    key(
        "repository",
        IMAGE,
        Text,
        "the ECR repository's name; needed on the ecs runner",
        To::Image(|it, e, r| {
            it.repository = r.text(e, Text, values::repository);
        }),
    ),
    key(
        "registry",
        IMAGE,
        Text,
        "another account's or region's ECR, as a host; an environment's `registry` wins",
        To::Image(|it, e, r| {
            it.registry = r.text(e, Text, values::registry);
        }),
    ),
    key(
        "registry-profile",
        IMAGE,
        Text,
        "the AWS profile whose credentials push there",
        To::Image(|it, e, r| {
            it.registry_profile = r.text(e, Text, values::filled);
        }),
    ),
    key(
        "create-repository",
        IMAGE,
        Boolean,
        "create a missing repository: immutable tags, scan on push; default false",
        To::Image(|it, e, r| {
            it.create_repository = r.boolean(e).is_some_and(|it| it.value);
        }),
    ),
    key(
        "build-args",
        IMAGE,
        Names,
        "`docker build --build-arg` by name",
        To::Image(|it, e, r| {
            it.build_args = r.names(e, build_arg, values::variable_value);
        }),
    ),
    // -------------------------------------------------------------------------------------------------------------- tasks
    key(
        "description",
        TASK,
        Text,
        "one line for `list`",
        To::Task(|it, e, r| {
            it.description = r.text(e, Text, values::line).map(|it| it.value);
        }),
    ),
    key(
        "environments",
        TASK,
        List,
        "where it may run; all if left out",
        To::Task(|it, e, r| {
            it.environments = r.set(e, false, values::filled);
        }),
    ),
    key("on", TASK, Tables(Layer::On), "the same keys for one environment", To::Table),
    // --------------------------------------------------------------------------------------------------------- the place
    key(
        "region",
        PLACE,
        Text,
        "the AWS region; required where protected",
        To::Settings(|it, e, r| {
            it.region = r.text(e, Text, values::region);
        }),
    ),
    key(
        "profile",
        PLACE,
        Text,
        "the AWS profile; --profile and AWS_PROFILE win over it",
        To::Settings(|it, e, r| {
            it.profile = r.text(e, Text, values::filled);
        }),
    ),
    key(
        "account",
        PLACE,
        Text,
        "the AWS account, checked before anything is written; required where protected",
        To::Settings(|it, e, r| {
            it.account = r.text(e, Text, values::account);
        }),
    ),
    key(
        "protected",
        PLACE,
        Boolean,
        "ask for the environment's name before a run; --yes without a terminal",
        To::Settings(|it, e, r| {
            it.protected = r.boolean(e);
        }),
    ),
    key(
        "endpoint-url",
        PLACE,
        Text,
        "an AWS emulator instead of AWS",
        To::Settings(|it, e, r| {
            it.endpoint_url = r.text(e, Text, values::url);
        }),
    ),
    key(
        "registry",
        PLACE,
        Text,
        "the registry's host for every image pushed from here",
        To::Settings(|it, e, r| {
            it.registry = r.text(e, Text, values::registry);
        }),
    ),
    // -------------------------------------------------------------------------------------------------------- how it runs
    key(
        "runner",
        ANY,
        RUNNERS,
        "what runs it: ECS, this machine's docker, or a plain process; default `ecs`",
        To::Settings(|it, e, r| {
            it.runner = r.text(e, RUNNERS, runner);
        }),
    ),
    key(
        "docker-args",
        ANY,
        List,
        "for `docker run` (docker runner)",
        To::Settings(|it, e, r| {
            let items = options(r, e, values::run_option);
            it.docker_args = items.map(|it| Sourced::new(it.into_iter().map(|it| it.value).collect(), e.origin()));
        }),
    ),
    key(
        "cluster",
        ANY,
        Text,
        "the ECS cluster: name or ARN",
        To::Settings(|it, e, r| {
            it.cluster = r.text(e, Text, values::word);
        }),
    ),
    key(
        "service",
        ANY,
        Text,
        "the live service that base task definition, network and capacity are copied from",
        To::Settings(|it, e, r| {
            it.service = r.text(e, Text, values::word);
        }),
    ),
    key(
        "task-definition",
        ANY,
        Text,
        "the base task definition: family, family:revision or ARN; default the service's",
        To::Settings(|it, e, r| {
            it.task_definition = r.text(e, Text, values::word);
        }),
    ),
    key(
        "container",
        ANY,
        Text,
        "the chosen container; needed only if ambiguous",
        To::Settings(|it, e, r| {
            it.container = r.text(e, Text, values::container);
        }),
    ),
    key(
        "subnets",
        ANY,
        List,
        "subnets (awsvpc); default the service's",
        To::Settings(|it, e, r| {
            it.subnets =
                r.set(e, false, |it| values::with_prefix("subnet", "subnet-", it)).and_then(|it| at_most(r, e, it, 16));
        }),
    ),
    key(
        "security-groups",
        ANY,
        List,
        "security groups (awsvpc); default the service's",
        To::Settings(|it, e, r| {
            it.security_groups = r
                .set(e, true, |it| values::with_prefix("security group", "sg-", it))
                .and_then(|it| at_most(r, e, it, 5));
        }),
    ),
    key(
        "assign-public-ip",
        ANY,
        Boolean,
        "a public address (Fargate); default the service's",
        To::Settings(|it, e, r| {
            it.assign_public_ip = r.boolean(e);
        }),
    ),
    key(
        "capacity-providers",
        ANY,
        Weights,
        "capacity providers and their weights; default the service's",
        To::Settings(|it, e, r| {
            it.capacity_providers = weights(r, e);
        }),
    ),
    key(
        "launch-type",
        ANY,
        LAUNCH_TYPES,
        "instead of capacity providers",
        To::Settings(|it, e, r| {
            it.launch_type = r.text(e, LAUNCH_TYPES, values::launch_type);
        }),
    ),
    key(
        "platform-version",
        ANY,
        Text,
        "the Fargate platform version; default the service's",
        To::Settings(|it, e, r| {
            it.platform_version = r.text(e, Text, values::platform_version);
        }),
    ),
    key(
        "task-role",
        ANY,
        Text,
        "the IAM role of the code, name or ARN; default the base's",
        To::Settings(|it, e, r| {
            it.task_role = r.text(e, Text, values::word);
        }),
    ),
    key(
        "execution-role",
        ANY,
        Text,
        "the IAM role that pulls the image and writes the log, name or ARN; default the base's",
        To::Settings(|it, e, r| {
            it.execution_role = r.text(e, Text, values::word);
        }),
    ),
    key(
        "logs",
        ANY,
        Logs,
        "awslogs for the chosen container; default the base's",
        To::Settings(|it, e, r| {
            it.logs = read_logs(r, e);
        }),
    ),
    key(
        "sidecars",
        ANY,
        Takes::Sidecars,
        "which of the base's other containers run too; default all",
        To::Settings(|it, e, r| {
            it.sidecars = sidecars(r, e);
        }),
    ),
    key(
        "spot",
        ANY,
        Boolean,
        "keep FARGATE_SPOT where the service has it; default false: FARGATE instead",
        To::Settings(|it, e, r| {
            it.spot = r.boolean(e);
        }),
    ),
    // --------------------------------------------------------------------------------------------------------- what runs
    key(
        "image",
        ANY,
        Text,
        "an [images.X], `deployed` (what the service runs now), or a full reference",
        To::Settings(|it, e, r| {
            it.image = r.text(e, Text, values::filled);
        }),
    ),
    key(
        "entrypoint",
        ANY,
        Command,
        "replaces the image's, on every runner",
        To::Settings(|it, e, r| it.entrypoint = r.command(e)),
    ),
    key(
        "command",
        ANY,
        Command,
        "the program and its arguments, or the arguments of the entrypoint",
        To::Settings(|it, e, r| {
            it.command = r.command(e);
        }),
    ),
    key(
        "variables",
        ANY,
        Names,
        "environment variables of the process",
        To::Settings(|it, e, r| {
            it.variables = r.names(e, values::variable, values::variable_value);
        }),
    ),
    key(
        "secrets",
        ANY,
        Names,
        "variables from SSM (bare name), `secretsmanager:NAME` or an ARN; never fetched on this machine",
        To::Settings(|it, e, r| {
            it.secrets = r.names(e, values::variable, values::secret);
        }),
    ),
    key(
        "tags",
        ANY,
        Names,
        "tags of the ECS task",
        To::Settings(|it, e, r| it.tags = r.names(e, values::tag_key, values::tag_value)),
    ),
    key(
        "build-args",
        ANY,
        Names,
        "`docker build --build-arg` by name, over the image's own",
        To::Settings(|it, e, r| {
            it.build_args = r.names(e, build_arg, values::variable_value);
        }),
    ),
    key(
        "cpu",
        ANY,
        Cpu,
        "of the ECS task and the chosen container, in 1/1024 vCPU; default the base's",
        To::Settings(|it, e, r| {
            it.cpu = r.size(e, Cpu, values::CPU, values::cpu);
        }),
    ),
    key(
        "memory",
        ANY,
        Memory,
        "of the ECS task and the chosen container, in MiB; default the base's",
        To::Settings(|it, e, r| {
            it.memory = r.size(e, Memory, values::MEMORY, values::memory);
        }),
    ),
    key(
        "ephemeral-storage",
        ANY,
        Number,
        "GiB, 21 to 200 (Fargate); default the base's",
        To::Settings(|it, e, r| {
            it.ephemeral_storage = r.number(e, Number, values::EPHEMERAL_STORAGE);
        }),
    ),
    key(
        "platform",
        ANY,
        PLATFORMS,
        "of the image; default the base's, or what runs now",
        To::Settings(|it, e, r| {
            it.platform = r.text(e, PLATFORMS, values::platform);
        }),
    ),
    key(
        "interactive",
        ANY,
        Boolean,
        "opens on the terminal; default false",
        To::Settings(|it, e, r| it.interactive = r.boolean(e)),
    ),
    // ---------------------------------------------------------------------------------------------------------- how long
    key(
        "timeout",
        ANY,
        Duration,
        "from RUNNING on: stopped then, exit code 124; default none",
        To::Settings(|it, e, r| {
            it.timeout = r.text(e, Duration, values::duration);
        }),
    ),
    key(
        "start-timeout",
        ANY,
        Duration,
        "from launch to RUNNING; default 10m",
        To::Settings(|it, e, r| {
            it.start_timeout = r.text(e, Duration, values::duration);
        }),
    ),
    key(
        "max-lifetime",
        ANY,
        Duration,
        "of an interactive task on ECS: how long its ECS task waits at most; default `4h`",
        To::Settings(|it, e, r| it.max_lifetime = r.text(e, Duration, values::duration)),
    ),
    key(
        "on-interrupt",
        ANY,
        ON_INTERRUPT,
        "what SIGINT does to the ECS task; default `stop`",
        To::Settings(|it, e, r| {
            it.on_interrupt = r.text(e, ON_INTERRUPT, on_interrupt);
        }),
    ),
    // --------------------------------------------------------------------------------------------------------- how often
    key(
        "exclusive",
        ANY,
        Boolean,
        "single flight in an environment; default false",
        To::Settings(|it, e, r| it.exclusive = r.boolean(e)),
    ),
    key(
        "needs",
        ANY,
        List,
        "tasks to run first, in order; the first failure ends the run",
        To::Settings(|it, e, r| {
            it.needs = r.set(e, true, values::filled);
        }),
    ),
    key(
        "shards",
        ANY,
        Number,
        "so many ECS tasks, each with XTASK_SHARD (from 0) and XTASK_SHARDS",
        To::Settings(|it, e, r| {
            it.shards = r.number(e, Number, values::SHARDS);
        }),
    ),
    key(
        "parallel",
        ANY,
        Number,
        "how many shards at a time",
        To::Settings(|it, e, r| it.parallel = r.number(e, Number, values::SHARDS)),
    ),
    key(
        "retry",
        ANY,
        Takes::Retry,
        "only for a task that may run twice",
        To::Settings(|it, e, r| it.retry = read_retry(r, e)),
    ),
    // -------------------------------------------------------------------------------------------------------- inner tables
    key(
        "group",
        &[Layer::Logs],
        Text,
        "`awslogs-group`",
        To::Logs(|it, e, r| {
            it.group = r.text(e, Text, values::log_group).map(|it| it.value).unwrap_or_default();
        }),
    ),
    key(
        "region",
        &[Layer::Logs],
        Text,
        "`awslogs-region`; default the environment's",
        To::Logs(|it, e, r| {
            it.region = r.text(e, Text, values::region).map(|it| it.value);
        }),
    ),
    key(
        "prefix",
        &[Layer::Logs],
        Text,
        "`awslogs-stream-prefix`; default `xtask`",
        To::Logs(|it, e, r| {
            it.prefix = r.text(e, Text, log_prefix).map(|it| it.value);
        }),
    ),
    key(
        "on",
        &[Layer::Retry],
        RETRY_ON,
        "which endings are tried again",
        To::Retry(|it, e, r| {
            it.on = r.text(e, RETRY_ON, retry_on).map(|it| it.value).unwrap_or_default();
        }),
    ),
    key(
        "attempts",
        &[Layer::Retry],
        Number,
        "how often at most, the first included",
        To::Retry(|it, e, r| {
            it.attempts = r.number(e, Number, values::ATTEMPTS).map(|it| it.value).unwrap_or_default();
        }),
    ),
];
