//! The whole command line: every verb and flag, and what each means in the words of `model`. Behaviour is in `verb/`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config::values;
use crate::model::{Origin, Selection, Sourced};
use crate::permissions;

/// What it is, how it looks in use, and then the rest.
const TEMPLATE: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  cargo xtask                                    what there is to run
  cargo xtask run db-migrate                     in the default environment
  cargo xtask run db-migrate -e staging          on ECS, with the code at hand
  cargo xtask run db-migrate -e staging --dry-run
  cargo xtask run backfill -e staging -- --since 2026-01-01";

const MORE: &str = "\
The task's output is on stdout, everything else on stderr.
Topics of `cargo xtask help`: tasks.toml, environments, exit-codes, events.";

const RUN_EXAMPLES: &str = "\
Examples:
  cargo xtask run db-migrate -e staging
  cargo xtask run db-migrate -e production --yes   where there is no terminal
  cargo xtask run db-migrate -e staging --skip db-backup
  cargo xtask run backfill -e staging --var BATCH=50 -- --since 2026-01-01
  cargo xtask run db-migrate --if-changed 'db/migrate/**' --base origin/main
  cargo xtask run db-migrate -e staging --image REGISTRY/app@sha256:...";

const RUN_MORE: &str = "\
Of a task with `needs`, these run first, in the same environment. -e, --profile, --region, --yes,
--dry-run, --rebuild, --start-another, --run-id and --if-changed are for the whole run, every other
flag for the named task alone; with --detach that one alone is left running.

Exit codes: the task's own; 2 refused, nothing was written; 124 timed out;
125 docker, AWS or this tool failed, ECS never started it or killed it,
or another one holds the exclusive place; 129, 130, 131, 143 ended by
SIGHUP, SIGINT, SIGQUIT, SIGTERM; 0 for --detach.";

const LIST_EXAMPLES: &str = "\
Examples:
  cargo xtask
  cargo xtask list --format json                 one object a line";

const INIT_EXAMPLES: &str = "\
Examples:
  cargo xtask init                               tasks.toml in this folder; never overwrites one";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(cargo xtask completions bash)         in ~/.bashrc
  source <(cargo xtask completions zsh)          in ~/.zshrc, behind compinit
  cargo xtask completions fish | source          in ~/.config/fish/config.fish";

const HELP_EXAMPLES: &str = "\
Examples:
  cargo xtask help run                           a command and its flags
  cargo xtask help tasks.toml                    every key
  cargo xtask help environments                  where a task runs, and how that is chosen
  cargo xtask help exit-codes
  cargo xtask help events                        what --format json prints
  cargo xtask help events --format json          the same as a JSON schema; tasks.toml has one too";

const CHECK_EXAMPLES: &str = "\
Examples:
  cargo xtask check -e staging                   everything that a run would need
  cargo xtask check -e staging db-migrate        of this task";

const CHECK_HELP: &str = "\
Network, roles and secrets are read by the aws CLI, with the environment's
profile, region and endpoint; where it is not on PATH they are skipped, and the
output says so.

Exit codes: 0 nothing failed; 1 something did; 2 wrong usage.";

const POLICY_EXAMPLES: &str = "\
Examples:
  cargo xtask policy -e staging                  of everything that may run there
  cargo xtask policy -e staging db-migrate > policy.json
  cargo xtask policy -e production --trust github:acme/app > trust.json
  cargo xtask policy -e staging --trust github:acme/app:ref:refs/heads/main";

const POLICY_HELP: &str = "\
What is already in AWS is read for it: the service, its task definition and
their roles.";

const CLEAN_EXAMPLES: &str = "\
Examples:
  cargo xtask clean -e staging --dry-run         what would go
  cargo xtask clean -e staging --keep 3";

const CLEAN_HELP: &str = "\
Only revisions with the tag xtask=1 in the families of tasks.toml, never one that
a service or an ECS task of any cluster in the region still uses. Images are left
to ECR's lifecycle rules.";

const ATTACH_EXAMPLES: &str = "\
Examples:
  cargo xtask attach db-migrate -e staging       the newest of that task
  cargo xtask attach 0123 -e staging             any unambiguous start of its id";

const LOGS_EXAMPLES: &str = "\
Examples:
  cargo xtask logs db-migrate -e staging
  cargo xtask logs 0123 -e staging --since 15m";

const PS_EXAMPLES: &str = "\
Examples:
  cargo xtask ps -e staging
  cargo xtask ps -e staging --all                also how the recent ones ended";

const STOP_EXAMPLES: &str = "\
Examples:
  cargo xtask stop 0123 -e staging
  cargo xtask stop --run \"$RUN_ID\" -e staging   whatever that run started";

const ATTACH_HELP: &str = "\
Exit codes: the task's own, as `run` would have had; 125 where ECS has forgotten how it ended (about an
hour after); 129, 130, 131, 143 for a signal, which leaves the ECS task as it is.";

const EXEC_EXAMPLES: &str = "\
Examples:
  cargo xtask exec --service -e staging          a shell in the live service
  cargo xtask exec 0123 -e staging -- bin/rails console
  cargo xtask exec --service -e staging -- cat /etc/hosts > hosts
  echo 'select 1' | cargo xtask exec --service -e staging -- psql";

const EXEC_MORE: &str = "\
With a terminal on stdin and stdout the session has it; ~. behind Enter ends it. Otherwise stdin
and stdout arrive as they are. Exit codes: the command's own; 2 refused; 125 AWS or this tool
failed, or the session told no code; 129, 130, 131, 143 ended by SIGHUP, SIGINT, SIGQUIT, SIGTERM.";

/// Runs an application's one-off jobs on AWS ECS
#[derive(Debug, Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    before_help = EXAMPLES,
    after_help = MORE,
    subcommand_help_heading = "Commands",
    arg_required_else_help = false
)]
pub struct Cli {
    /// Before or behind the verb.
    #[command(flatten)]
    pub everywhere: Everywhere,
    /// `list` if there is none.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// The flags that every verb takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Everywhere {
    /// The environment of tasks.toml; XTASK_ENV says it too
    #[arg(short, long, value_name = "ENV", global = true, value_parser = parse_filled)]
    pub env: Option<String>,
    /// The AWS profile, before AWS_PROFILE and tasks.toml's
    #[arg(long, value_name = "NAME", global = true, value_parser = parse_filled)]
    pub profile: Option<String>,
    /// The AWS region, before tasks.toml's
    #[arg(long, value_name = "REGION", global = true, value_parser = parse_filled)]
    pub region: Option<String>,
    /// How to say what happens: for people, or one JSON object a line on stdout
    #[arg(long, value_enum, default_value_t = Format::Human, value_name = "FORMAT", global = true)]
    pub format: Format,
    /// No redrawn line, no colours, no commands for GitHub Actions
    #[arg(long, global = true)]
    pub plain: bool,
    /// Only the task's output, warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Also each AWS call and each command that is run
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// The tasks file [default: tasks.toml here or in the nearest folder above]
    #[arg(long, value_name = "PATH", global = true)]
    pub file: Option<PathBuf>,
}

/// `--format`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Human,
    /// For programs
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the tasks [default]
    #[command(before_help = LIST_EXAMPLES)]
    List,
    /// Run a task
    Run(Box<Run>),
    /// Open a session in a running ECS task
    Exec(Exec),
    /// Check every precondition of a run; only reads
    Check(Check),
    /// Print the least-privilege IAM policy that tasks need
    Policy(Policy),
    /// Delete old task definition revisions that this tool made
    Clean(Clean),
    /// Follow an ECS task that is already there, from the start of its output
    Attach(Id),
    /// Print the output of an ECS task so far
    Logs(Logs),
    /// List the ECS tasks that this tool started, on whatever machine
    Ps(Ps),
    /// Stop an ECS task, wait, and say how it ended
    Stop(Stop),
    /// Write a commented tasks.toml
    #[command(before_help = INIT_EXAMPLES)]
    Init,
    /// Print the completion script of a shell
    Completions(Completions),
    /// Explain a command or a topic: tasks.toml, environments, exit-codes, events
    Help(Help),
    /// Print the candidates for the last word; what the completion scripts call
    #[command(hide = true)]
    Complete(Complete),
}

/// `run`
#[derive(Debug, Clone, Default, Args)]
#[command(before_help = RUN_EXAMPLES, after_help = RUN_MORE)]
pub struct Run {
    /// The task's name in tasks.toml
    pub task: String,
    /// Appended to the task's command, each one argument
    #[arg(last = true, value_name = "ARGS")]
    pub arguments: Vec<String>,
    /// Read and decide everything, show it, and write nothing
    #[arg(long, conflicts_with = "detach")]
    pub dry_run: bool,
    /// Start the ECS task and leave it running
    #[arg(long)]
    pub detach: bool,
    /// Start it although an equal ECS task of the same caller still runs
    #[arg(long)]
    pub start_another: bool,
    /// Follow the ECS task of this task that runs already, instead of starting another one
    #[arg(long)]
    pub attach_if_running: bool,
    /// Join what runs the same, and do not run again what has succeeded
    #[arg(long)]
    pub once: bool,
    /// Leave out a task that this one needs, and what only that one needs (can be repeated)
    #[arg(long, value_name = "NAME")]
    pub skip: Vec<String>,
    /// Run this image, a full reference, instead of building one
    #[arg(long, value_name = "REF", conflicts_with = "rebuild")]
    pub image: Option<String>,
    /// Build the image anew although its inputs have not changed
    #[arg(long)]
    pub rebuild: bool,
    /// The base task definition, before tasks.toml's and the service's
    #[arg(long, value_name = "ARN")]
    pub task_definition: Option<String>,
    /// Set a variable of the task's process (can be repeated)
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub variables: Vec<(String, String)>,
    /// CPU units, or vCPU: 1024, "1 vCPU"
    #[arg(long, value_name = "CPU", value_parser = parse_cpu)]
    pub cpu: Option<u32>,
    /// MiB, or with a unit: 2048, "2 GB"
    #[arg(long, value_name = "MEMORY", value_parser = parse_memory)]
    pub memory: Option<u32>,
    /// Stop it when it has run for so long: 90s, 15m, 1h30m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Confirm a run in a protected environment
    #[arg(long)]
    pub yes: bool,
    /// Show an interactive task's session with AWS's session-manager-plugin, which tells no exit code
    #[arg(long)]
    pub plugin: bool,
    /// Only if a file that matches has changed since --base; `!GLOB` leaves files out
    #[arg(long, value_name = "GLOB", num_args = 1.., requires = "base", value_parser = parse_glob)]
    pub if_changed: Vec<String>,
    /// The commit or branch that --if-changed compares with, from where this one branched off
    #[arg(long, value_name = "REF", requires = "if_changed")]
    pub base: Option<String>,
    /// Only these shards of a task with `shards`: 3, or 3,7,9-12 (can be repeated)
    #[arg(long = "shard", value_name = "N", value_delimiter = ',', value_parser = parse_shards)]
    pub shards: Vec<(u32, u32)>,
    /// Run all shards, also after one has failed
    #[arg(long)]
    pub keep_going: bool,
    /// At the end draw how long each part took
    #[arg(long)]
    pub timings: bool,
    /// The id of this run, instead of a random one: letters, digits, - and _
    #[arg(long, value_name = "ID", value_parser = parse_run_id)]
    pub run_id: Option<String>,
}

/// `exec`
#[derive(Debug, Clone, Default, Args)]
#[command(before_help = EXEC_EXAMPLES, after_help = EXEC_MORE)]
pub struct Exec {
    /// An ECS task: its ARN, its id, the start of its id, or a task's name for the newest of that task
    #[arg(value_name = "ID", required_unless_present = "service")]
    pub id: Option<String>,
    /// The command, each word one argument; a shell if there is none
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
    /// In a running ECS task of the environment's service
    #[arg(long, conflicts_with = "id")]
    pub service: bool,
    /// The container, before tasks.toml's
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Use AWS's session-manager-plugin, which tells no exit code
    #[arg(long)]
    pub plugin: bool,
    /// Confirm a session in a protected environment
    #[arg(long)]
    pub yes: bool,
}

/// `attach`
#[derive(Debug, Clone, Args)]
#[command(before_help = ATTACH_EXAMPLES, after_help = ATTACH_HELP)]
pub struct Id {
    /// An ECS task: its ARN, its id, the start of its id, or a task's name for the newest of that task
    pub id: String,
}

/// `logs`
#[derive(Debug, Clone, Args)]
#[command(before_help = LOGS_EXAMPLES)]
pub struct Logs {
    /// An ECS task: its ARN, its id, the start of its id, or a task's name for the newest of that task
    pub id: String,
    /// Only what was written in the last while: 90s, 15m, 1h30m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub since: Option<Duration>,
}

/// `ps`
#[derive(Debug, Clone, Args)]
#[command(before_help = PS_EXAMPLES)]
pub struct Ps {
    /// Also those that have stopped: ECS knows them for about an hour
    #[arg(long)]
    pub all: bool,
}

/// `stop`
#[derive(Debug, Clone, Args)]
#[command(before_help = STOP_EXAMPLES)]
pub struct Stop {
    /// An ECS task: its ARN, its id, the start of its id, or a task's name if only one of that task runs
    pub id: Option<String>,
    /// Every ECS task of the run with this id
    #[arg(long, value_name = "RUN", conflicts_with = "id")]
    pub run: Option<String>,
}

/// `help`
#[derive(Debug, Clone, Args)]
#[command(before_help = HELP_EXAMPLES)]
pub struct Help {
    /// A command, or one of tasks.toml, environments, exit-codes, events
    pub topic: Option<String>,
}

/// `check`
#[derive(Debug, Clone, Default, Args)]
#[command(before_help = CHECK_EXAMPLES, after_help = CHECK_HELP)]
pub struct Check {
    /// Only these tasks [default: all that may run in the environment]
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
}

/// `policy`
#[derive(Debug, Clone, Default, Args)]
#[command(before_help = POLICY_EXAMPLES, after_help = POLICY_HELP)]
pub struct Policy {
    /// Only these tasks [default: all that may run in the environment]
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Print the role's trust policy instead: github:OWNER/REPO[:CONTEXT]
    #[arg(long, value_name = "WHO", value_parser = permissions::parse_trust, conflicts_with = "tasks")]
    pub trust: Option<permissions::Trust>,
}

/// `clean`
#[derive(Debug, Clone, Args)]
#[command(before_help = CLEAN_EXAMPLES, after_help = CLEAN_HELP)]
pub struct Clean {
    /// Only these tasks [default: all of tasks.toml]
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
    /// How many of the newest revisions of each family stay
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: u32,
    /// Show what would be deleted, and delete nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Delete without asking
    #[arg(long)]
    pub yes: bool,
}

/// `completions`
#[derive(Debug, Clone, Args)]
#[command(before_help = COMPLETIONS_EXAMPLES)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The shells that there is a completion script for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "each is the program of that name")]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// `complete`
#[derive(Debug, Clone, Args)]
pub struct Complete {
    /// Look at AWS for the ECS tasks of the environment, for the completions to come
    #[arg(long)]
    pub refresh: bool,
    /// The words behind `cargo xtask`, the one to complete last
    #[arg(last = true)]
    pub words: Vec<OsString>,
}

impl Cli {
    /// The command line's own description, for reading it, for completion and the tests of the documentation.
    pub fn description() -> clap::Command {
        // clap takes the template for the one command it is given to.
        Cli::command().help_template(TEMPLATE).mut_subcommands(|it| it.help_template(TEMPLATE))
    }

    /// The flags that lead to tasks.toml and AWS in a line that is still being typed.
    pub fn global_flags(words: &[String]) -> Everywhere {
        let value = |name: &str| {
            let flag = format!("--{name}=");
            let next = words.windows(2).find(|it| it[0] == format!("--{name}")).map(|it| it[1].clone());
            next.or_else(|| words.iter().find_map(|it| it.strip_prefix(&flag).map(str::to_owned)))
        };
        Everywhere {
            file: value("file").map(PathBuf::from),
            profile: value("profile"),
            region: value("region"),
            ..Everywhere::default()
        }
    }

    /// Reads the command line; an error is also help that was asked for.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        // What is typed most often, and has no flags to read: the description of all of them takes longer than the list itself.
        let verb = match arguments.get(1..).unwrap_or_default() {
            [] => None,
            [verb] if verb == "list" => Some(Verb::List),
            _ => return Cli::read_all(arguments),
        };
        Ok(Cli { everywhere: Everywhere::default(), verb })
    }

    fn read_all(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
        let names_globs = arguments.iter().any(|it| it == "--if-changed");
        let matches = Cli::description().try_get_matches_from(arguments).map_err(|error| {
            let missing = error.get(ContextKind::InvalidArg);
            match missing {
                Some(ContextValue::Strings(missing)) if names_globs && missing.iter().any(|it| it == "<TASK>") => {
                    let message = "TASK is missing: --if-changed takes every word behind it for a GLOB; \
                                   write the task first: `run TASK --if-changed 'db/**' --base main`";
                    Cli::description().error(ErrorKind::MissingRequiredArgument, message)
                }
                _ => error,
            }
        })?;
        Cli::from_arg_matches(&matches).map_err(|it| it.format(&mut Cli::description()))
    }
}

impl Everywhere {
    /// What the flags of every verb and the process environment (`variable` reads it) choose.
    pub fn selection(&self, variable: impl Fn(&str) -> Option<String>) -> Selection {
        Run::default().selection(self, variable)
    }
}

impl Run {
    /// What these flags mean for a task that the one of the command line needs. Only those that concern the run as a whole: what is said of
    /// image, variables, sizes, timeout, arguments, and of joining or leaving an ECS task, is said of the task that is named. `--rebuild`
    /// concerns every image of the run, and a need may have none to build, so its caller sees to that.
    pub fn of_need(&self, task: &str) -> Run {
        Run {
            task: task.to_owned(),
            dry_run: self.dry_run,
            start_another: self.start_another,
            yes: self.yes,
            timings: self.timings,
            run_id: self.run_id.clone(),
            ..Run::default()
        }
    }

    /// What the command line and the process environment (`variable` reads it) choose.
    pub fn selection(&self, everywhere: &Everywhere, variable: impl Fn(&str) -> Option<String>) -> Selection {
        let flag =
            |name: &'static str, value: &Option<String>| value.clone().map(|it| Sourced::new(it, Origin::Flag(name)));
        let or_variable = |flag: Option<Sourced<String>>, name: &'static str| {
            flag.or_else(|| {
                variable(name).filter(|it| !it.is_empty()).map(|it| Sourced::new(it, Origin::Variable(name)))
            })
        };
        Selection {
            task: self.task.clone(),
            environment: or_variable(flag("--env", &everywhere.env), "XTASK_ENV"),
            profile: or_variable(flag("--profile", &everywhere.profile), "AWS_PROFILE"),
            region: flag("--region", &everywhere.region),
            image: flag("--image", &self.image),
            rebuild: self.rebuild,
            once: self.once,
            attach_if_running: self.attach_if_running,
            variables: self.variables.clone(),
            cpu: self.cpu.map(|it| Sourced::new(it, Origin::Flag("--cpu"))),
            memory: self.memory.map(|it| Sourced::new(it, Origin::Flag("--memory"))),
            timeout: self.timeout.map(|it| Sourced::new(it, Origin::Flag("--timeout"))),
            task_definition: flag("--task-definition", &self.task_definition),
            arguments: self.arguments.clone(),
            shards: self.shards.clone(),
            keep_going: self.keep_going,
            ci: variable("CI").is_some_and(|it| !matches!(it.as_str(), "" | "0" | "false")),
        }
    }
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn parse_cpu(text: &str) -> Result<u32, String> {
    values::cpu(text).map_err(as_text)
}

fn parse_memory(text: &str) -> Result<u32, String> {
    values::memory(text).map_err(as_text)
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    values::duration(text).map_err(as_text)
}

fn as_text(wrong: values::Wrong) -> String {
    match wrong.hint {
        Some(hint) => format!("{}: {hint}", wrong.message),
        None => wrong.message,
    }
}

/// A shard, or the first and the last of some.
fn parse_shards(text: &str) -> Result<(u32, u32), String> {
    let number = |it: &str| it.trim().parse::<u32>().ok();
    let range = match text.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)),
        None => number(text).map(|it| (it, it)),
    };
    range.filter(|it| it.0 <= it.1).ok_or_else(|| "expected numbers from 0: 3, or 3,7,9-12".to_owned())
}

fn parse_glob(text: &str) -> Result<String, String> {
    // A variable of CI that is not set would skip the task with success.
    let pattern = text.strip_prefix('!').unwrap_or(text);
    if pattern.trim().is_empty() {
        return Err("expected a pattern of files, not nothing".to_owned());
    }
    if pattern.starts_with('!') {
        return Err("`!` stands once in front of a pattern".to_owned());
    }
    // git takes these for patterns that match nothing, which would skip the task with success, too.
    if !closes_its_brackets(pattern) {
        return Err("a `[` without its `]`; `[[]` matches the character itself".to_owned());
    }
    if pattern.ends_with('\\') && !pattern.ends_with("\\\\") {
        return Err("nothing behind the last `\\`".to_owned());
    }
    if pattern.starts_with('/') || pattern.split('/').any(|it| it == "..") {
        return Err("patterns are relative to the folder of tasks.toml, and stay below it".to_owned());
    }
    Ok(text.to_owned())
}

/// Whether each `[` of a pattern has its `]`: the first character in between belongs to the set, also where it is a `]`.
fn closes_its_brackets(pattern: &str) -> bool {
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => drop(chars.next()),
            '[' => {
                let mut first = chars.next();
                if matches!(first, Some('!' | '^')) {
                    first = chars.next();
                }
                if first.is_none() || !chars.by_ref().any(|it| it == ']') {
                    return false;
                }
            }
            _ => {}
        }
    }
    true
}

fn parse_filled(text: &str) -> Result<String, String> {
    // A variable of a script that is not set must not choose something else.
    if text.trim().is_empty() { Err("expected a name, not nothing".to_owned()) } else { Ok(text.to_owned()) }
}

fn parse_run_id(text: &str) -> Result<String, String> {
    // It is a part of `startedBy`, which ECS limits to 128 of these characters.
    let fits = (1..=48).contains(&text.len());
    if fits && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_') {
        return Ok(text.to_owned());
    }
    Err("expected 1 to 48 letters, digits, `-` and `_`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_as_everything_else_would_be() {
        for words in [&["xtask"][..], &["xtask", "list"]] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let (short, whole) = (Cli::read(words.clone()).unwrap(), Cli::read_all(words).unwrap());
            assert_eq!(format!("{short:?}"), format!("{whole:?}"));
        }
        let nothing = ["xtask", "run", "t", "--base", "main", "--if-changed", ""].map(OsString::from);
        assert!(Cli::read(nothing).is_err());
        for (pattern, wrong) in [
            ("[", true),
            ("db/[ab", true),
            ("db/[]", true),
            ("db/[!]", true),
            ("!!db/**", true),
            ("!", true),
            ("/etc/**", true),
            ("../db/**", true),
            ("db\\", true),
            ("db/**", false),
            ("!**/*.md", false),
            ("db/[ab]*", false),
            ("db/[]a]", false),
            ("db/[[]", false),
            ("db/\\[", false),
            ("..db/*", false),
        ] {
            assert_eq!(parse_glob(pattern).is_err(), wrong, "{pattern}");
        }
        let wrong = ["xtask", "lists"].map(OsString::from);
        assert!(Cli::read(wrong).is_err());
    }
}
