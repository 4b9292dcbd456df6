//! The docker runner: the image in a container of this machine's docker engine.
//!
//! The container is created, started and looked at in three calls instead of one `docker run --rm`: only so can its own exit code 125 be told
//! from docker's, an end for want of memory be seen, and a container be removed that was created while a signal came. PID 1 of
//! a container ignores signals that it has no handler for, so none is forwarded: `docker stop` sends the image's stop signal, and SIGKILL after
//! the grace, as ECS's StopTask does. On every way out the container is removed, with its anonymous volumes, or the line to do so is told.
//! Where this process was killed there is no way out: the next run finds the container by its labels.
//!
//! docker's command line gives the output to us, not to our streams: it would die of a closed or full one, and take the container along.

mod pull;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, IsTerminal};
use std::pin::Pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Pid;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::sleep_until;
use xshell::{Shell, cmd};

use super::{Cause, Lock, Run, check, judge, launch, machine, not_started, output, place, stopping, variables};
use crate::cx::Cx;
use crate::error::{Error, Result, exit};
use crate::event::Event;
use crate::hints;
use crate::model::{Ending, Outcome, ResolvedTask};
use crate::plan;
use crate::tools::{self, Captured, Ended, Group, Io, Process, Signals, our_stdout, terminal};
use crate::ui::Stream;

pub use pull::provide;

/// How much longer than the container's own grace docker may take to stop it, and how long it may take to kill, inspect or remove it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keys that leave a container's terminal without ending it. Nobody leaves one here, and docker's own (Ctrl-P, Ctrl-Q) would hold back every
/// Ctrl-P, which is the previous line in a console.
const DETACH_KEYS: &str = "ctrl-@,ctrl-@,ctrl-@,ctrl-@";

/// Runs `image` (a reference or an id) in a container. Its exit code is the container's own.
pub async fn docker(cx: &Cx, task: &ResolvedTask, image: &str, run: &Run, signals: &mut Signals) -> Result<Ending> {
    check(task)?;
    let sh = &cx.sh;
    let terminal = Terminal::of(task, run);
    let place = place(&cx.root, task);
    let mut order = Order::new(task, image, &run.id, &place, terminal.tty, variables(task, run));
    if run.lock.is_none() {
        // An exclusive task was looked for when its place was asked for.
        for container in containers_of(sh, &place).await?.iter().filter(|it| it.is_left_behind()) {
            cx.ui.emit(Event::Warning {
                message: format!("{}; nobody follows it", container.words()),
                hint: Some(container.hint()),
            });
        }
    }

    let id = create(cx, sh, &mut order, signals).await?;
    let ending = follow(cx, sh, task, &id, run, &terminal, signals).await;
    remove(cx, sh, &id).await;
    ending.map(|it| Ending { image: Some(image.to_owned()), ..it })
}

// ---------------------------------------------------------------------------------------------------------------- labels

const RUN_ID: &str = "xtask.run-id";
/// The task in its environment and folder.
const PLACE: &str = "xtask.place";
/// Who follows the container: the machine, and the process there.
const PROCESS: &str = "xtask.process";

fn this_process() -> String {
    format!("{}:{}", machine().unwrap_or_default(), std::process::id())
}

/// A container of ours that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    name: String,
    /// docker's words: `Up 5 minutes`.
    status: String,
    run_id: String,
    /// See [`PROCESS`].
    process: String,
}

impl Container {
    /// That it runs, in words.
    pub fn words(&self) -> String {
        format!("the container `{}` of run {} still runs ({})", self.name, self.run_id, self.status)
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        let name = &self.name;
        format!("see its output with `docker logs --follow {name}`, end it with `docker rm --force --volumes {name}`")
    }

    /// Whether the process that followed it was one of this machine and is gone.
    fn is_left_behind(&self) -> bool {
        let Some((of, process)) = self.process.rsplit_once(':') else { return false };
        let process = process.parse().ok().and_then(Pid::from_raw);
        machine().is_some_and(|it| it == of)
            && process.is_some_and(|it| rustix::process::test_kill_process(it) == Err(Errno::SRCH))
    }
}

/// The containers that run in this place, newest first.
pub async fn containers_of(sh: &Shell, place: &str) -> Result<Vec<Container>> {
    let filter = format!("label={PLACE}={place}");
    let format = [".Names", ".Status", &format!(".Label \"{RUN_ID}\""), &format!(".Label \"{PROCESS}\"")];
    let format = format.map(|it| format!("{{{{{it}}}}}")).join("\t");
    let call = cmd!(sh, "docker ps --no-trunc --filter {filter} --format {format}");
    let captured = within_patience(tools::capture_whole(call, None)).await?;
    if !captured.ended.success() {
        let complaint = captured.complaint();
        let error = Error::failed(format!("cannot ask docker for the containers of this task: {complaint}"));
        return Err(match hint_of(&complaint) {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    Ok(String::from_utf8_lossy(&captured.stdout).lines().filter_map(container_of).collect())
}

fn container_of(line: &str) -> Option<Container> {
    let mut words = line.split('\t').map(str::to_owned);
    Some(Container { name: words.next()?, status: words.next()?, run_id: words.next()?, process: words.next()? })
}

/// What the container gets of our terminal.
#[derive(Debug, Clone, Copy)]
struct Terminal {
    /// It reads our standard input.
    stdin: bool,
    /// docker's command line reads it from a terminal, so it must be in the terminal's foreground group: ours.
    foreground: bool,
    /// The container has a terminal of its own, connected to ours.
    tty: bool,
}

impl Terminal {
    fn of(task: &ResolvedTask, run: &Run) -> Terminal {
        let foreground = task.interactive && io::stdin().is_terminal();
        Terminal { stdin: task.interactive, foreground, tty: foreground && !run.json && io::stdout().is_terminal() }
    }
}

// ---------------------------------------------------------------------------------------------------------------- create

/// `docker create`, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    /// Between `docker create` and the image.
    options: Vec<String>,
    cpus: Option<String>,
    /// The container's.
    name: String,
    image: String,
    platform: Option<String>,
    arguments: Vec<String>,
    /// For docker's own process: values that `--env NAME` takes from there, so that they are in no list of processes.
    environment: BTreeMap<String, String>,
}

impl Order {
    fn new(
        task: &ResolvedTask,
        image: &str,
        run_id: &str,
        place: &str,
        tty: bool,
        variables: BTreeMap<String, String>,
    ) -> Order {
        let shard = variables.get(plan::SHARD).filter(|_| variables.get(plan::SHARDS).is_some_and(|it| it != "1"));
        let shard = shard.map(|it| format!("-{it}")).unwrap_or_default();
        let name = format!("xtask-{}-{run_id}{shard}", task.task);
        let mut options = vec!["--name".to_owned(), name.clone()];
        let mut option = |flag: &str, value: String| options.extend([flag.to_owned(), value]);
        option("--label", format!("xtask.task={}", task.task));
        option("--label", format!("{RUN_ID}={run_id}"));
        option("--label", format!("{PLACE}={place}"));
        option("--label", format!("{PROCESS}={}", this_process()));
        let mut environment = BTreeMap::new();
        for (variable, value) in variables {
            if is_dockers_own(&variable) {
                option("--env", format!("{variable}={value}"));
            } else {
                option("--env", variable.clone());
                environment.insert(variable, value);
            }
        }
        for secret in task.secrets.keys() {
            option("--env", secret.clone());
        }
        if let Some(memory) = &task.settings.memory {
            // The same for both: no swap, as on Fargate.
            option("--memory", format!("{}m", memory.value));
            option("--memory-swap", format!("{}m", memory.value));
        }
        let entrypoint = task.entrypoint.as_ref().map(|it| it.value.as_slice()).unwrap_or_default();
        if let Some(program) = entrypoint.first() {
            option("--entrypoint", program.clone());
        }
        if task.interactive {
            // ECS Exec's consoles have an init process too.
            options.extend(["--interactive", "--init"].map(str::to_owned));
        }
        if tty {
            options.push("--tty".to_owned());
        }
        if let Some(arguments) = &task.settings.docker_args {
            options.extend(arguments.value.iter().cloned());
        }
        let command = task.command.iter().flat_map(|it| &it.value);
        Order {
            options,
            cpus: task.settings.cpu.as_ref().map(|it| format!("{}", f64::from(it.value) / 1024.0)),
            name,
            image: image.to_owned(),
            platform: task.settings.platform.as_ref().map(|it| it.value.clone()),
            arguments: entrypoint.iter().skip(1).chain(command).cloned().collect(),
            environment,
        }
    }

    /// The arguments after `docker`. Never pulls: pulling has its own call, whose progress people see and which a signal may cut off.
    fn argv(&self) -> Vec<String> {
        let mut argv = ["create", "--pull", "never"].map(str::to_owned).to_vec();
        if let Some(cpus) = &self.cpus {
            argv.extend(["--cpus".to_owned(), cpus.clone()]);
        }
        if let Some(platform) = &self.platform {
            argv.extend(["--platform".to_owned(), platform.clone()]);
        }
        argv.extend(self.options.iter().cloned());
        argv.push(self.image.clone());
        argv.extend(self.arguments.iter().cloned());
        argv
    }
}

/// Whether docker's command line reads this variable for itself, so that the container's value must not be in its environment.
fn is_dockers_own(name: &str) -> bool {
    const PREFIXES: [&str; 7] = ["DOCKER_", "BUILDKIT_", "BUILDX_", "LD_", "DYLD_", "SSH_", "OTEL_"];
    const NAMES: [&str; 12] = [
        "PATH",
        "HOME",
        "USER",
        "TMPDIR",
        "TERM",
        "GODEBUG",
        "GOMAXPROCS",
        "GOTRACEBACK",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "XDG_CONFIG_HOME",
        "XDG_RUNTIME_DIR",
    ];
    let proxy = name.to_ascii_lowercase().ends_with("_proxy");
    proxy || NAMES.contains(&name) || PREFIXES.iter().any(|it| name.starts_with(it))
}

/// Creates the container and returns its id, after pulling the image where the engine does not have it.
async fn create(cx: &Cx, sh: &Shell, order: &mut Order, signals: &mut Signals) -> Result<String> {
    let mut pulled = false;
    loop {
        let captured = create_once(cx, sh, order, signals).await?;
        let complaint = captured.complaint();
        if captured.ended.success() {
            for line in String::from_utf8_lossy(&captured.stderr).lines().map(str::trim).filter(|it| !it.is_empty()) {
                let message = line.strip_prefix("WARNING: ").unwrap_or(line).to_owned();
                cx.ui.emit(Event::Warning { message, hint: None });
            }
            return Ok(id_of(&captured));
        }
        if !pulled && pull::is_missing(&complaint) {
            pull::pull(cx, sh, &order.image, order.platform.as_deref(), signals).await?;
            pulled = true;
        } else if let (Some(_), true) = (&order.cpus, complaint.contains("ange of CPUs")) {
            // The task's size is made for ECS; a smaller machine runs it slower.
            order.cpus = None;
            let message = "the docker engine has fewer CPUs than the task's `cpu`: it runs with all of them".to_owned();
            cx.ui.emit(Event::Warning { message, hint: None });
        } else {
            let error = Error::failed(format!("cannot create a container of `{}`: {complaint}", order.image));
            return Err(match hint_of(&complaint) {
                Some(hint) => error.hint(hint),
                None => error,
            });
        }
    }
}

/// One `docker create`. It is short, so a signal does not cut it off: else nobody knew whether there is a container. A second one does.
async fn create_once(cx: &Cx, sh: &Shell, order: &Order, signals: &mut Signals) -> Result<Captured> {
    let argv = order.argv();
    let mut first = None;
    let created = {
        let create = tools::capture_whole(cmd!(sh, "docker {argv...}").envs(&order.environment), None);
        tokio::pin!(create);
        loop {
            let signal = tokio::select! {
                biased;
                captured = &mut create => break Some(captured?),
                signal = signals.next() => signal,
            };
            if first.replace(first.unwrap_or(signal)).is_some() {
                break None;
            }
        }
    };
    match (first, created) {
        (Some(signal), created) => {
            match created {
                Some(created) if created.ended.success() => remove(cx, sh, id_of(&created).as_str()).await,
                Some(_) => {}
                // docker was cut off: only the name is known.
                None => remove(cx, sh, &order.name).await,
            }
            Err(not_started(signal))
        }
        (None, Some(created)) => Ok(created),
        (None, None) => Err(Error::failed("docker create was cut off")),
    }
}

fn id_of(created: &Captured) -> String {
    String::from_utf8_lossy(&created.stdout).trim().to_owned()
}

fn hint_of(complaint: &str) -> Option<&'static str> {
    const HINTS: [(&str, &str); 8] = [
        (
            "unable to resolve docker endpoint",
            "write DOCKER_HOST like `unix:///var/run/docker.sock` or `ssh://user@host`",
        ),
        ("no such host", "write DOCKER_HOST like `unix:///var/run/docker.sock` or `ssh://user@host`"),
        ("dial ", "start docker, or choose an engine that runs with `docker context use` or DOCKER_HOST"),
        ("daemon running", "start docker, or choose an engine that runs with `docker context use` or DOCKER_HOST"),
        ("permission denied while trying to connect", "add this user to the group `docker`, or use a rootless engine"),
        ("no command specified", "set `command` on the task: the image has none of its own"),
        ("unknown flag", "`docker-args` takes options of `docker create`"),
        ("unknown shorthand flag", "`docker-args` takes options of `docker create`"),
    ];
    let complaint = complaint.to_lowercase();
    HINTS.iter().find(|(needle, _)| complaint.contains(needle)).map(|(_, hint)| *hint)
}

// ---------------------------------------------------------------------------------------------------------------- follow

/// How far ending the container has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Running,
    Stopping,
    Killing,
}

/// Starts the container, stays with it to its end and judges that.
async fn follow(
    cx: &Cx,
    sh: &Shell,
    task: &ResolvedTask,
    id: &str,
    run: &Run,
    terminal: &Terminal,
    signals: &mut Signals,
) -> Result<Ending> {
    let stdin = if terminal.stdin { Stdio::inherit() } else { Stdio::null() };
    let (stdout, stderr, both) = if terminal.tty {
        (our_stdout()?, Stdio::inherit(), None)
    } else if !run.json && tools::stdout_is_stderr() {
        // One pipe keeps the order between the two.
        let (reader, [first, second]) = tools::pipe()?;
        (first, second, Some(reader))
    } else {
        (Stdio::piped(), Stdio::piped(), None)
    };
    let interactive = terminal.stdin.then_some("--interactive");
    let start = cmd!(sh, "docker start --attach {interactive...} --detach-keys {DETACH_KEYS} {id}");
    launch(cx, run, signals).await?;
    let _saved = terminal.foreground.then(terminal::save);
    let since = Instant::now();
    let group = if terminal.foreground { Group::Ours } else { Group::Own };
    let mut attached =
        Process::start_with(start, Io { stdin, stdout, stderr }, group, run.lock.as_ref().map(Lock::file))?;

    if let (Some(lock), Some(process)) = (&run.lock, attached.id()) {
        lock.taken_along(process);
    }

    let (out_over, when_out_over) = oneshot::channel();
    let (err_over, when_err_over) = oneshot::channel();
    let mut over = Some((out_over, err_over));
    let (out, err) = (attached.stdout(), attached.stderr());
    let mut log: Option<Pin<Box<dyn Future<Output = ()> + '_>>> = Some(Box::pin(async move {
        let stdout = async {
            match (out, both) {
                (Some(out), _) if run.json => output::log(&cx.ui, "docker", out, when_out_over).await,
                (Some(out), _) => output::copy(&cx.ui, Stream::Out, out, when_out_over).await,
                (None, Some(both)) => output::copy(&cx.ui, Stream::Out, both, when_out_over).await,
                (None, None) => {}
            }
        };
        let stderr = async {
            if let Some(err) = err {
                if run.is_one_of_many() {
                    return output::complaints(&cx.ui, err, when_err_over).await;
                }
                output::copy(&cx.ui, Stream::Err, err, when_err_over).await;
            }
        };
        tokio::join!(stdout, stderr);
    }));
    // The container does not pause with us, so its time goes on.
    let mut next_step = task.timeout.as_ref().map(|it| tokio::time::Instant::now() + it.value);
    let mut step = Step::Running;
    let mut stopper: Option<Process> = None;
    let mut cause = None;
    let mut attachment = None;
    loop {
        if attachment.is_some() && log.is_none() {
            break;
        }
        let mut further = false;
        tokio::select! {
            biased;
            ended = attached.wait(), if attachment.is_none() => {
                attachment = Some(ended?);
                over.take();
                next_step = None;
            }
            signal = signals.next() => {
                cause.get_or_insert(Cause::Signal(signal));
                // With the container over, its output is only on the way to somebody who reads slowly or not at all.
                if attachment.is_some() {
                    break;
                }
                if step == Step::Running {
                    stopping(cx, signal, "container");
                }
                further = true;
            }
            () = async { if let Some(at) = next_step { sleep_until(at).await } }, if next_step.is_some() => {
                cause.get_or_insert(Cause::TimedOut);
                further = true;
            }
            ended = async { match &mut stopper { Some(it) => it.wait().await, None => std::future::pending().await } } => {
                stopper = None;
                // Where docker could not stop it, it is killed at once; where it could, docker's command line is about to end.
                let ended = ended?;
                further = !ended.success();
                if !further {
                    // Unless the stop came before the container ran, or nobody reads the end of its output.
                    next_step = Some(tokio::time::Instant::now() + PATIENCE / 2);
                }
            }
            () = async { if let Some(log) = &mut log { log.await } }, if log.is_some() => log = None,
        }
        if !further {
            continue;
        }
        let quiet = Io { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::null() };
        match step {
            Step::Running => {
                step = Step::Stopping;
                let grace = run.grace.as_secs().to_string();
                stopper = Some(Process::start(cmd!(sh, "docker stop -t {grace} {id}"), quiet, Group::Own)?);
                next_step = Some(tokio::time::Instant::now() + run.grace + PATIENCE);
            }
            Step::Stopping => {
                step = Step::Killing;
                stopper = Some(Process::start(cmd!(sh, "docker kill {id}"), quiet, Group::Own)?);
                next_step = Some(tokio::time::Instant::now() + PATIENCE);
            }
            // The engine does not answer. What can still be done and told is done by the removal.
            Step::Killing => break,
        }
    }
    drop(attached);
    if cause.is_none() && terminal.foreground {
        // A Ctrl-C of the terminal reaches docker's command line too where it shares our group, and may have ended it first.
        let signal = tokio::time::timeout(Duration::ZERO, signals.next()).await;
        cause = signal.ok().map(Cause::Signal);
    }
    let state = inspect(sh, id).await;
    verdict(task, run, state, attachment, cause, since)
}

/// docker's `State` of a container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    #[serde(rename = "OOMKilled", default)]
    oom_killed: bool,
    exit_code: i32,
    #[serde(default)]
    error: String,
    started_at: String,
}

impl State {
    /// An engine writes the year 1 for what has not happened.
    fn has_started(&self) -> bool {
        !self.started_at.starts_with("0001-")
    }
}

/// The container's state; `None` if it is gone, as with `--rm` among `docker-args`.
async fn inspect(sh: &Shell, id: &str) -> Result<Option<State>> {
    let format = "{{json .State}}";
    let captured =
        within_patience(tools::capture_whole(cmd!(sh, "docker inspect --type container --format {format} {id}"), None))
            .await?;
    if !captured.ended.success() {
        let complaint = captured.complaint();
        return match complaint.to_lowercase().contains("no such") {
            true => Ok(None),
            false => Err(Error::failed(format!("cannot inspect the container: {complaint}"))),
        };
    }
    serde_json::from_slice(&captured.stdout)
        .map(Some)
        .map_err(|it| Error::failed(format!("cannot read docker's state of the container: {it}")))
}

async fn within_patience(call: impl Future<Output = Result<Captured>>) -> Result<Captured> {
    let seconds = PATIENCE.as_secs();
    let late = || Error::failed(format!("docker gave no answer within {seconds} seconds"));
    tokio::time::timeout(PATIENCE, call).await.unwrap_or_else(|_| Err(late()))
}

fn verdict(
    task: &ResolvedTask,
    run: &Run,
    state: Result<Option<State>>,
    attachment: Option<Ended>,
    cause: Option<Cause>,
    since: Instant,
) -> Result<Ending> {
    let end = |ended| judge(task, run, "container", ended, cause, since);
    let state = match (state, cause) {
        (Ok(Some(state)), _) => state,
        (Ok(None), _) => match attachment {
            Some(ended) => return Ok(end(ended)),
            None => return Err(Error::failed("the container was removed while it ran")),
        },
        // A signal's and a timeout's exit code is the same whatever the container did; the removal tells what it could not do.
        (Err(error), Some(_)) => {
            let ending = end(Ended::Exited(exit::FAILED.into()));
            return Ok(Ending { explanation: Some(error.to_string()), ..ending });
        }
        (Err(error), None) => return Err(error),
    };
    if !state.has_started() {
        let mut ending = end(Ended::Exited(exit::FAILED.into()));
        if cause.is_none() {
            ending.outcome = Outcome::NeverStarted;
            ending.explanation = Some("docker could not start the container".to_owned());
            ending.hint = hints::of_reason(&format!("CannotStartContainerError: {}", state.error));
        } else {
            ending.explanation = Some("the container was not started".to_owned());
        }
        ending.container_reason = Some(state.error).filter(|it| !it.is_empty());
        return Ok(ending);
    }
    if state.running {
        let mut ending = end(attachment.unwrap_or(Ended::Exited(exit::FAILED.into())));
        if cause.is_none() {
            (ending.outcome, ending.exit_code) = (Outcome::Stopped, exit::FAILED);
        }
        ending.explanation = Some("docker lost the container while it ran; it is removed by force".to_owned());
        return Ok(ending);
    }
    let mut ending = end(Ended::Exited(state.exit_code));
    if state.oom_killed {
        let reason = "OutOfMemoryError: the container was killed because it ran out of memory";
        ending.container_reason = Some(reason.to_owned());
        ending.hint = hints::of_reason(reason);
        if cause.is_none() {
            ending.explanation = Some("the container ran out of memory".to_owned());
            if state.exit_code == 0 {
                // The verdict over an ECS task is the same: something in it was killed, whatever its first process made of that.
                (ending.outcome, ending.exit_code) = (Outcome::Failed, exit::FAILED);
                ending.explanation = Some("the container ran out of memory although its exit code is 0".to_owned());
            }
        }
    } else if cause.is_none() && ending.explanation.is_none() {
        ending.explanation = match state.exit_code {
            137 => Some("the container was killed by SIGKILL".to_owned()),
            139 => Some("the container crashed with SIGSEGV".to_owned()),
            143 => Some("the container was ended by SIGTERM".to_owned()),
            _ => None,
        };
    }
    Ok(ending)
}

/// Removes the container, running or not. Where that fails, the line to do it by hand is told.
async fn remove(cx: &Cx, sh: &Shell, container: &str) {
    let removed =
        within_patience(tools::capture_whole(cmd!(sh, "docker rm --force --volumes {container}"), None)).await;
    let failure = match removed {
        Ok(captured) if captured.ended.success() => return,
        Ok(captured) => captured.complaint(),
        Err(error) => error.to_string(),
    };
    let failure_in = failure.to_lowercase();
    if !failure_in.contains("no such container") && !failure_in.contains("already in progress") {
        cx.ui.emit(Event::Warning {
            message: format!("the container `{container}` may be left: {failure}"),
            hint: Some(format!("remove it: `docker rm --force --volumes {container}`")),
        });
    }
}

#[cfg(test)]
mod tests;
