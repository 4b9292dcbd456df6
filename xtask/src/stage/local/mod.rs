//! The host and docker runners: a task as a plain process of this machine, or in a container of its docker engine.
//!
//! Both keep the task's streams apart and exact to the byte: the child has ours, nothing is copied. With `--format json` its standard
//! output becomes `log` events (container `host` or `docker`; bytes that are not UTF-8 become U+FFFD there), its standard error stays
//! as it is. Of shards, of which many run at once, both come through us by the line, with the shard's number.
//!
//! Both end a task the way ECS does: SIGTERM (docker: the image's stop signal), and SIGKILL after a grace of 30 seconds. A signal
//! to us starts that, with the same signal on the host; a second one cuts the grace short.

mod docker;
mod host;
mod lock;
mod output;
pub mod shards;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cx::Cx;
use crate::error::{Error, Problem, Result, exit};
use crate::event::Event;
use crate::model::{
    Commit, Ending, ImageChoice, Outcome, PlanLine, ResolvedTask, Runner, Shard, Sourced, Timings, ranges,
};
use crate::plan;
use crate::tools::{Ended, Signals, signals};

pub use docker::docker;
pub use host::host;
use lock::place;
pub use lock::{Holder, Lock, Locked, lock};

/// How long a task may take to end after it was asked to: ECS's own default.
pub const GRACE: Duration = Duration::from_secs(30);

/// What a local run needs to know beside its task.
#[derive(Debug)]
pub struct Run {
    /// This run's id.
    pub id: String,
    /// The work tree.
    pub commit: Option<Commit>,
    /// Whether the task's standard output becomes `log` events.
    pub json: bool,
    /// What an exclusive task holds to its end, and its process with it.
    pub lock: Option<Lock>,
    /// Where the task has shards: which.
    pub shard: Option<Shard>,
    /// See [`GRACE`].
    pub grace: Duration,
}

impl Run {
    /// Whether others of the same task run beside it: then its lines carry its number, on both streams.
    fn is_one_of_many(&self) -> bool {
        self.shard.is_some_and(|it| it.of > 1)
    }
}

/// Refuses what cannot run here, before anything is built or started: all of it in one go.
pub fn check(task: &ResolvedTask) -> Result<()> {
    check_with(task, |name| std::env::var_os(name).is_some())
}

fn check_with(task: &ResolvedTask, is_set: impl Fn(&str) -> bool) -> Result<()> {
    let runner = runner_name(task);
    let mut problems = Vec::new();
    if task.runner.value == Runner::Host && argv(task).is_empty() {
        let problem =
            Problem::new(format!("`{}` has neither `entrypoint` nor `command` to run on the host", task.task));
        problems.push(problem.at(task.task_span).hint(format!(
            "set `command` on the task, or `entrypoint` on the environment `{}`",
            task.environment.value
        )));
    }
    for (name, reference) in &task.secrets {
        if !is_set(name) {
            let message = format!("`{name}` is not set: secrets are not fetched on the {runner} runner");
            problems.push(
                Problem::new(message).at(reference.span()).hint(format!("set it in this shell: `export {name}=…`")),
            );
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::all_refused(problems)) }
}

/// The plan of a local run as it is shown, each value with its origin.
pub fn plan_lines(task: &ResolvedTask) -> Vec<PlanLine> {
    let mut lines = Vec::new();
    let mut line =
        |key: &str, value: String, origin: String| lines.push(PlanLine { key: key.to_owned(), value, origin });
    line("environment", task.environment.value.clone(), task.environment.origin.to_string());
    line("runner", runner_name(task).to_owned(), task.runner.origin.to_string());
    let docker = task.runner.value == Runner::Docker;
    if docker {
        match &task.image {
            Some(image) => {
                let value = match &image.value {
                    ImageChoice::Build(spec) => format!("{}, built here from {}", spec.name, spec.context.value),
                    ImageChoice::Reference(reference) => reference.clone(),
                    ImageChoice::Deployed => "deployed".to_owned(),
                };
                line("image", value, image.origin.to_string());
            }
            None => line("image", "none".to_owned(), String::new()),
        }
    }
    if let Some(entrypoint) = &task.entrypoint {
        line("entrypoint", words(entrypoint), entrypoint.origin.to_string());
    }
    match &task.command {
        Some(command) => line("command", words(command), command.origin.to_string()),
        None if docker => line("command", "the image's own".to_owned(), String::new()),
        None => {}
    }
    for (name, value) in &task.variables {
        line("variable", format!("{name}={}", plan::shown_value(name, &value.value)), value.origin.to_string());
    }
    for (name, reference) in &task.secrets {
        line("secret", format!("{name}, as it is set in this shell"), reference.origin.to_string());
    }
    if docker {
        let settings = &task.settings;
        if let Some(cpu) = &settings.cpu {
            line("cpu", cpu.value.to_string(), cpu.origin.to_string());
        }
        if let Some(memory) = &settings.memory {
            line("memory", memory.value.to_string(), memory.origin.to_string());
        }
        if let Some(platform) = &settings.platform {
            line("platform", platform.value.clone(), platform.origin.to_string());
        }
        if let Some(arguments) = &settings.docker_args {
            line("docker-args", words(arguments), arguments.origin.to_string());
        }
    }
    if task.interactive {
        line("interactive", "true".to_owned(), String::new());
    }
    if let Some(shards) = &task.shards {
        let settings = &task.settings;
        let origin = |it: &Option<Sourced<u32>>| it.as_ref().map(|it| it.origin.to_string()).unwrap_or_default();
        let some = if shards.is_all() { String::new() } else { format!(", of them {}", ranges(&shards.chosen)) };
        line("shards", format!("{}{some}", shards.of), origin(&settings.shards));
        line("parallel", format!("{} at a time", shards.parallel), origin(&settings.parallel));
    }
    if task.exclusive {
        let origin = task.settings.exclusive.as_ref().map(|it| it.origin.to_string()).unwrap_or_default();
        line("exclusive", "one at a time on this machine".to_owned(), origin);
    }
    if let Some(timeout) = &task.timeout {
        line("timeout", plan::duration(timeout.value), timeout.origin.to_string());
    }
    lines
}

fn runner_name(task: &ResolvedTask) -> &'static str {
    match task.runner.value {
        Runner::Host => "host",
        Runner::Docker => "docker",
        Runner::Ecs => "ecs",
    }
}

/// Entrypoint and command, one after the other.
fn argv(task: &ResolvedTask) -> Vec<String> {
    let entrypoint = task.entrypoint.iter().flat_map(|it| &it.value);
    entrypoint.chain(task.command.iter().flat_map(|it| &it.value)).cloned().collect()
}

/// The process environment variables of the task: tasks.toml's and the ones by which it can tell what it is part of.
fn variables(task: &ResolvedTask, run: &Run) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<_, _> =
        task.variables.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect();
    variables.insert("XTASK_RUN_ID".to_owned(), run.id.clone());
    variables.insert("XTASK_RUN_BY".to_owned(), who(|it| std::env::var(it).ok(), machine().as_deref()));
    if let Some(commit) = &run.commit {
        let dirty = if commit.dirty { "+dirty" } else { "" };
        variables.insert("XTASK_COMMIT".to_owned(), format!("{}{dirty}", commit.id));
    }
    if let Some(shard) = &run.shard {
        variables.insert(plan::SHARD.to_owned(), shard.index.to_string());
        variables.insert(plan::SHARDS.to_owned(), shard.of.to_string());
    }
    variables
}

fn who(variable: impl Fn(&str) -> Option<String>, machine: Option<&str>) -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|it| variable(it).filter(|it| !it.is_empty()));
    let user = user.unwrap_or_else(|| "somebody".to_owned());
    machine.map_or_else(|| user.clone(), |machine| format!("{user}@{machine}"))
}

fn machine() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    (!name.is_empty()).then_some(name)
}

/// Tells that the task starts. Before it does, so that nothing of ours comes between what it writes. Where standard output takes
/// nothing that may last, so a signal ends it. What one of many writes comes through us.
async fn launch(cx: &Cx, run: &Run, signals: &mut Signals) -> Result<()> {
    cx.ui.emit(Event::Launched { task_arn: None, cluster: None, console_url: None });
    let written = async {
        if !run.is_one_of_many() {
            cx.ui.sync().await;
        }
    };
    tokio::select! {
        biased;
        signal = signals.next() => Err(not_started(signal)),
        () = written => Ok(()),
    }
}

/// Says what the first signal does, since that can take a while.
fn stopping(cx: &Cx, signal: u8, thing: &str) {
    let name = signals::name(signal.into());
    let message = format!("{name}: stopping the {thing}; the same signal again kills it");
    cx.ui.emit(Event::Warning { message, hint: None });
}

fn not_started(signal: u8) -> Error {
    Error::interrupted(signal, format!("{} came before the task was started", signals::name(signal.into())))
}

fn words(arguments: &Sourced<Vec<String>>) -> String {
    plan::without_url_password(&plan::words(&arguments.value))
}

/// Why a task was asked to end before it did so by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// This process got a signal.
    Signal(u8),
    /// The timeout passed.
    TimedOut,
    /// It wanted to read from the terminal, from which only an interactive task can.
    WantsTerminal,
}

/// The ending of a process or container that ended like this; `thing` is the word for it.
fn judge(task: &ResolvedTask, run: &Run, thing: &str, ended: Ended, cause: Option<Cause>, since: Instant) -> Ending {
    let code = match ended {
        Ended::Exited(code) => u8::try_from(code).ok(),
        // As every shell does, and as a container's runtime does for its first process.
        Ended::Killed(signal) => u8::try_from(128 + signal).ok(),
    };
    let (outcome, exit_code, explanation) = match (cause, ended) {
        (Some(Cause::Signal(signal)), _) => {
            let text = match ended {
                Ended::Exited(code) => {
                    format!("the {thing} ended with exit code {code} after {}", signals::name(signal.into()))
                }
                Ended::Killed(by) => format!("the {thing} was ended by {}", signals::name(by)),
            };
            (Outcome::Interrupted, 128 + signal, Some(text))
        }
        (Some(Cause::TimedOut), _) => {
            let limit = task.timeout.as_ref().map(|it| plan::duration(it.value)).unwrap_or_default();
            let text = format!("the timeout of {limit} passed and the {thing} was stopped ({ended})");
            (Outcome::TimedOut, exit::TIMED_OUT, Some(text))
        }
        (Some(Cause::WantsTerminal), _) => {
            let text = format!("the {thing} wanted the terminal for itself and was stopped");
            (Outcome::Failed, exit::FAILED, Some(text))
        }
        (None, Ended::Exited(0)) => (Outcome::Succeeded, exit::OK, None),
        (None, Ended::Killed(2)) => {
            (Outcome::Interrupted, exit::INTERRUPTED, Some(format!("the {thing} was ended by SIGINT")))
        }
        (None, Ended::Killed(by)) => (
            Outcome::Failed,
            code.unwrap_or(exit::FAILED),
            Some(format!("the {thing} was ended by {}", signals::name(by))),
        ),
        (None, Ended::Exited(other)) => {
            let text = code.is_none().then(|| format!("the {thing}'s exit code {other} is not between 0 and 255"));
            (Outcome::Failed, code.unwrap_or(exit::FAILED), text)
        }
    };
    let hint = match cause {
        Some(Cause::WantsTerminal) => Some(format!("set `interactive = true` on `{}`", task.task)),
        Some(Cause::TimedOut) => Some("give it longer: `timeout` on the task, or --timeout".to_owned()),
        _ => None,
    };
    Ending {
        outcome,
        exit_code,
        run_id: run.id.clone(),
        explanation,
        hint,
        timings: Timings { run: Some(since.elapsed().as_secs_f64()), ..Timings::default() },
        ..Ending::default()
    }
}

#[cfg(test)]
mod tests;
