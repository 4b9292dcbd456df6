//! The host runner: the entrypoint and command as a process in the folder of tasks.toml.
//!
//! An interactive task on a terminal shares our process group, so the terminal is its own: Ctrl-C reaches it directly and is its
//! business alone. Any other task gets a group of its own, so that a signal reaches it once, whatever it starts itself, and a timeout ends all of
//! it. Such a task cannot read from the terminal: its standard input is ours if that is a pipe or a file, else empty. One that opens the terminal
//! by name would be stopped by it for ever; it is found out and ended with a hint.

use std::future::Future;
use std::io::{self, IsTerminal};
use std::pin::Pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use xshell::cmd;

use super::{Cause, Lock, Run, argv, check, judge, launch, output, stopping, variables};
use crate::cx::Cx;
use crate::error::{Error, Result};
use crate::model::{Ending, ResolvedTask};
use crate::tools::pause::Deadline;
use crate::tools::{Group, Io, Process, Signals, our_stdout, signals, terminal};

/// How often a task without the terminal is looked at for waiting for it.
const LOOK: Duration = Duration::from_millis(500);

/// How long the rest of a process group may take after its leader was ended.
const REST: Duration = Duration::from_secs(3);

/// Runs the task as a plain process. Its exit code is its own; 128 and the signal's number if a signal ended it, as shells have it.
pub async fn host(cx: &Cx, task: &ResolvedTask, run: &Run, signals: &mut Signals) -> Result<Ending> {
    check(task)?;
    let argv = argv(task);
    let Some((program, arguments)) = argv.split_first() else {
        return Err(Error::refused(format!("`{}` has nothing to run on the host", task.task)));
    };
    let stdin_is_terminal = io::stdin().is_terminal();
    let attached = task.interactive && stdin_is_terminal;
    let sh = &cx.sh;
    let cmd = cmd!(sh, "{program} {arguments...}").envs(variables(task, run));
    let io = Io {
        // Of many, none has a better right to it than another.
        stdin: if (stdin_is_terminal && !attached) || run.is_one_of_many() { Stdio::null() } else { Stdio::inherit() },
        stdout: if run.json { Stdio::piped() } else { our_stdout()? },
        stderr: if run.is_one_of_many() { Stdio::piped() } else { Stdio::inherit() },
    };

    launch(cx, run, signals).await?;
    let _saved = attached.then(terminal::save);
    let since = Instant::now();
    let group = if attached { Group::Ours } else { Group::Own };
    let mut process = Process::start_with(cmd, io, group, run.lock.as_ref().map(Lock::file))?;
    if let (Some(lock), Some(id)) = (&run.lock, process.id()) {
        lock.taken_along(id);
    }

    let (out_over, when_out_over) = oneshot::channel();
    let (err_over, when_err_over) = oneshot::channel();
    let mut over = Some((out_over, err_over));
    let (out, err) = (process.stdout(), process.stderr());
    let mut log: Option<Pin<Box<dyn Future<Output = ()> + '_>>> = match (out, err) {
        (None, None) => None,
        (out, err) => Some(Box::pin(async move {
            let stdout = async {
                if let Some(out) = out {
                    output::log(&cx.ui, "host", out, when_out_over).await;
                }
            };
            let stderr = async {
                if let Some(err) = err {
                    output::complaints(&cx.ui, err, when_err_over).await;
                }
            };
            tokio::join!(stdout, stderr);
        })),
    };
    let watched = !attached && terminal::exists();
    let mut look = tokio::time::interval(LOOK);
    let mut next_step = Deadline::after(task.timeout.as_ref().map(|it| it.value));
    let mut cause = None;
    let mut killed = false;
    let mut ended = None;
    let ended = loop {
        if let (Some(ended), None) = (ended, &log) {
            break ended;
        }
        tokio::select! {
            biased;
            end = process.wait(), if ended.is_none() => {
                ended = Some(end?);
                over.take();
                next_step = Deadline::after(None);
            }
            signal = signals.next() => match (ended, cause) {
                // The terminal has sent it to the task as well.
                _ if attached && matches!(signal, signals::INTERRUPT | signals::QUIT) => {}
                // Only its output is still on the way to somebody who reads slowly or not at all.
                (Some(ended), _) => {
                    cause.get_or_insert(Cause::Signal(signal));
                    break ended;
                }
                (None, None) => {
                    cause = Some(Cause::Signal(signal));
                    process.send(signal);
                    if !attached {
                        stopping(cx, signal, "process");
                    }
                    next_step = Deadline::after(run.grace);
                }
                (None, Some(_)) => {
                    process.send(signals::KILL);
                    killed = true;
                }
            },
            () = next_step.passed() => {
                if cause.is_none() {
                    cause = Some(Cause::TimedOut);
                    process.send(signals::TERMINATE);
                    next_step = Deadline::after(run.grace);
                } else {
                    process.send(signals::KILL);
                    killed = true;
                    next_step = Deadline::after(None);
                }
            }
            _ = look.tick(), if watched && ended.is_none() => {
                if process.wants_terminal() {
                    if cause.is_none() {
                        cause = Some(Cause::WantsTerminal);
                        process.send(signals::TERMINATE);
                        next_step = Deadline::after(run.grace);
                    }
                    // A stopped process does not get a signal before it goes on.
                    process.resume();
                }
            }
            () = async { if let Some(log) = &mut log { log.await } }, if log.is_some() => log = None,
        }
    };
    if cause.is_some() && !killed {
        process.end_group(REST).await;
    }
    Ok(judge(task, run, "process", ended, cause, since))
}
