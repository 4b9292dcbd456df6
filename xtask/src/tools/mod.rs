//! Every child process. A command is built with xshell (no shell in between) and run by tokio, because xshell itself blocks and gives
//! the exit status only as text.
//!
//! Children get a process group of their own, so that a Ctrl-C reaches them once, when it is forwarded, and so that an end by force
//! reaches their children too. None outlives a future that is dropped: its group is killed.

pub mod aws_cli;
pub mod captured;
pub mod docker;
mod environment;
pub mod git;
pub mod pause;
pub mod random;
pub mod signals;
pub mod terminal;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use xshell::Cmd;

use crate::error::{Error, Result};
pub use signals::Signals;

/// How long a child may take after the second signal was forwarded before it is killed.
const LAST_GRACE: Duration = Duration::from_millis(500);

/// How long output is still read after a child's end while something else (a master connection of ssh, a cache daemon) holds its
/// pipes open. What the child itself wrote is in the pipe by then.
const DRAIN: Duration = Duration::from_secs(1);

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl Ended {
    /// Whether it exited with 0.
    pub fn success(self) -> bool {
        self == Ended::Exited(0)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Exited(code) => write!(f, "exit code {code}"),
            Ended::Killed(signal) => write!(f, "ended by {}", signals::name(*signal)),
        }
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Ended {
        match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exited(code),
            (None, Some(signal)) => Ended::Killed(signal),
            (None, None) => Ended::Exited(i32::from(crate::error::exit::FAILED)),
        }
    }
}

/// A child is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// How it ended.
    pub ended: Ended,
    /// The first signal that this process got meanwhile and forwarded.
    pub signal: Option<u8>,
}

/// A child is over, and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// How it ended.
    pub ended: Ended,
    /// The first signal that this process got meanwhile and forwarded.
    pub signal: Option<u8>,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
}

impl Captured {
    /// Its standard error as one line for a message, without the usage notes and warnings that some tools put around what is wrong.
    pub fn complaint(&self) -> String {
        complaint(&self.stderr)
    }
}

fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let noise = |it: &&str| ["WARNING", "Usage:", "See '", "Run '"].iter().any(|noise| it.starts_with(noise));
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !noise(it));
    let lines = lines.map(|it| it.strip_prefix("docker: ").unwrap_or(it));
    let lines = lines.map(|it| it.strip_prefix("Error response from daemon: ").unwrap_or(it)).map(without_request);
    lines.collect::<Vec<_>>().join("; ").trim_end_matches('.').to_owned()
}

/// docker names the request that it could not send, which says nothing to people: `error during connect: Get "http://…": dial …`.
fn without_request(line: &str) -> &str {
    let request = line.strip_prefix("error during connect: ").filter(|it| it.contains(" \"http"));
    request.and_then(|it| it.split_once("\": ")).map_or(line, |it| it.1)
}

/// Runs a tool whose output is for people to see while it works: both of its streams are our standard error itself, nothing is copied.
pub async fn to_stderr(cmd: Cmd<'_>, signals: &mut Signals) -> Result<Done> {
    let io = Io { stdin: Stdio::null(), stdout: our_stderr()?, stderr: our_stderr()? };
    let mut process = Process::start(cmd, io, Group::Own)?;
    process.supervise(signals).await
}

/// Runs a tool for its output, feeding it `stdin`. A tool that ends without reading all of it is judged by its exit status as any other.
pub async fn capture(cmd: Cmd<'_>, stdin: Option<Vec<u8>>, signals: &mut Signals) -> Result<Captured> {
    exchange(cmd, stdin, Some(signals)).await
}

/// Like [`capture`] for a short call that must not be cut off by a signal. Its caller waits for signals itself, and may drop it.
pub async fn capture_whole(cmd: Cmd<'_>, stdin: Option<Vec<u8>>) -> Result<Captured> {
    exchange(cmd, stdin, None).await
}

/// Starts a program that outlives this process, and that no signal for it reaches. It has no streams: a shell that reads this process's
/// output would wait for it otherwise.
pub fn in_background(program: &Path, arguments: &[std::ffi::OsString]) {
    use std::os::unix::process::CommandExt;
    #[expect(clippy::disallowed_methods, reason = "xshell cannot start what it does not wait for")]
    let mut command = std::process::Command::new(program);
    let command = command.args(arguments).process_group(0);
    // Whoever cannot start it does without.
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
}

async fn exchange(cmd: Cmd<'_>, stdin: Option<Vec<u8>>, signals: Option<&mut Signals>) -> Result<Captured> {
    let feed = if stdin.is_some() { Stdio::piped() } else { Stdio::null() };
    let io = Io { stdin: feed, stdout: Stdio::piped(), stderr: Stdio::piped() };
    let mut process = Process::start(cmd, io, Group::Own)?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let pipes = (process.stdin(), process.stdout(), process.stderr());
    let done = {
        let talk = async {
            tokio::join!(feed_all(pipes.0, stdin), read_all(pipes.1, &mut stdout), read_all(pipes.2, &mut stderr));
        };
        let wait = async {
            match signals {
                Some(signals) => process.supervise(signals).await,
                None => process.wait().await.map(|ended| Done { ended, signal: None }),
            }
        };
        tokio::pin!(talk, wait);
        let mut talked = false;
        let done = loop {
            tokio::select! {
                done = &mut wait => break done?,
                () = &mut talk, if !talked => talked = true,
            }
        };
        if !talked {
            // Too late is not an error: see DRAIN.
            let _ = tokio::time::timeout(DRAIN, talk).await;
        }
        done
    };
    Ok(Captured { ended: done.ended, signal: done.signal, stdout, stderr })
}

/// Our standard error as a stream for a child.
pub fn our_stderr() -> Result<Stdio> {
    duplicate(io::stderr().as_fd(), "standard error")
}

/// Our standard output as a stream for a child.
pub fn our_stdout() -> Result<Stdio> {
    duplicate(io::stdout().as_fd(), "standard output")
}

fn duplicate(stream: BorrowedFd<'_>, name: &str) -> Result<Stdio> {
    match stream.try_clone_to_owned() {
        Ok(owned) => Ok(Stdio::from(owned)),
        Err(error) => Err(Error::failed(format!("cannot hand {name} to a child process: {error}"))),
    }
}

/// Whether our standard output and our standard error are the same terminal, pipe or file.
pub fn stdout_is_stderr() -> bool {
    let same = |it: BorrowedFd<'_>| rustix::fs::fstat(it).ok().map(|it| (it.st_dev, it.st_ino));
    let (stdout, stderr) = (same(io::stdout().as_fd()), same(io::stderr().as_fd()));
    stdout.is_some() && stdout == stderr
}

/// A pipe with two ends to write into, for both streams of a child.
pub fn pipe() -> Result<(pipe::Receiver, [Stdio; 2])> {
    let made = io::pipe().and_then(|(reader, writer)| {
        let first = Stdio::from(writer.try_clone()?);
        Ok((pipe::Receiver::from_owned_fd(reader.into())?, [first, Stdio::from(writer)]))
    });
    made.map_err(|it| Error::failed(format!("cannot make a pipe for a child process: {it}")))
}

/// The streams of a child.
#[derive(Debug)]
pub struct Io {
    /// Its standard input.
    pub stdin: Stdio,
    /// Its standard output.
    pub stdout: Stdio,
    /// Its standard error.
    pub stderr: Stdio,
}

/// The process group of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Its own: the terminal's signals do not reach it, and it cannot read from the terminal.
    Own,
    /// Ours: the terminal is its terminal. Signals that we send reach only the child itself.
    Ours,
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Group,
    /// The child's id, kept after its end: where it has a group of its own, that is the group's id too.
    id: Option<Pid>,
    name: String,
}

impl Process {
    /// Starts a command built with xshell: its program, arguments, folder and variables are kept. Cargo's variables are taken out,
    /// except where the command itself sets them.
    pub fn start(cmd: Cmd<'_>, io: Io, group: Group) -> Result<Process> {
        Process::start_with(cmd, io, group, None)
    }

    /// The same; the child and what it starts hold `kept` open too, whatever becomes of this process.
    pub fn start_with(cmd: Cmd<'_>, io: Io, group: Group, kept: Option<BorrowedFd<'_>>) -> Result<Process> {
        let mut command = std::process::Command::from(cmd);
        let explicit: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        let variables: BTreeMap<_, _> = std::env::vars_os().collect();
        for (name, value) in environment::without_cargo(&variables) {
            if !explicit.contains(&name) {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
        }
        command.stdin(io.stdin).stdout(io.stdout).stderr(io.stderr);
        let program = command.get_program().to_string_lossy().into_owned();
        let folder = command.get_current_dir().map(Path::to_path_buf);
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        if group == Group::Own {
            command.process_group(0);
        }
        let kept = kept.map(Inherited::of).transpose()?;
        let spawned = command.spawn();
        drop(kept);
        match spawned {
            Ok(child) => {
                let id = child.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
                if let (Some(id), Group::Own) = (id, group) {
                    pause::join(id);
                }
                Ok(Process { child, group, id, name: program })
            }
            Err(error) => Err(not_started(&program, folder.as_deref(), &error)),
        }
    }

    /// Its process id, which is its group's too where it has one of its own.
    pub fn id(&self) -> Option<i32> {
        self.id.map(|it| it.as_raw_nonzero().get())
    }

    /// The program as it was named.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its standard input, where that is a pipe. Can be taken once.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its standard output, where that is a pipe. Can be taken once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, where that is a pipe. Can be taken once.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Sends it a signal: to its whole group where it has one of its own. Nothing happens if it has ended.
    pub fn send(&self, signal: u8) {
        let signal = match signal {
            signals::HANGUP => Signal::HUP,
            signals::INTERRUPT => Signal::INT,
            signals::QUIT => Signal::QUIT,
            signals::KILL => Signal::KILL,
            _ => Signal::TERM,
        };
        self.send_raw(signal);
    }

    fn send_raw(&self, signal: Signal) {
        // tokio forgets the id when it has collected the status, so this is never another process's.
        let Some(id) = self.id.filter(|_| self.child.id().is_some()) else { return };
        // The only failure is that it has just ended.
        let _ = match self.group {
            Group::Own => rustix::process::kill_process_group(id, signal),
            Group::Ours => rustix::process::kill_process(id, signal),
        };
    }

    /// Goes on for a stopped child, so that it can get the signals that were sent to it.
    pub fn resume(&self) {
        self.send_raw(Signal::CONT);
    }

    /// Whether it was stopped because it wanted the terminal from a group of its own.
    pub fn wants_terminal(&self) -> bool {
        let Some(id) = self.id.filter(|_| self.child.id().is_some()) else { return false };
        // Looked at only: the status stays there for tokio.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::Pid(id), options).ok().flatten();
        let signal = status.and_then(|it| it.stopping_signal());
        signal.is_some_and(|it| it == Signal::TTIN.as_raw() || it == Signal::TTOU.as_raw())
    }

    /// After the end of a child that was told to end: waits for the rest of its group, and kills what is left after `grace`.
    pub async fn end_group(&self, grace: Duration) {
        let Some(id) = self.id.filter(|_| self.group == Group::Own) else { return };
        let end = tokio::time::Instant::now() + grace;
        // The id stays the group's as long as it has members.
        while rustix::process::test_kill_process_group(id).is_ok() {
            if tokio::time::Instant::now() >= end {
                let _ = rustix::process::kill_process_group(id, Signal::KILL);
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for its end. Dropping the future loses nothing.
    pub async fn wait(&mut self) -> Result<Ended> {
        match self.child.wait().await {
            Ok(status) => Ok(status.into()),
            Err(error) => Err(Error::failed(format!("cannot wait for `{}`: {error}", self.name))),
        }
    }

    /// Waits for its end. Our signals are forwarded; if the second does not end it at once, it is killed.
    pub async fn supervise(&mut self, signals: &mut Signals) -> Result<Done> {
        let mut first = None;
        loop {
            let signal = tokio::select! {
                ended = self.wait() => return Ok(Done { ended: ended?, signal: first }),
                signal = signals.next() => signal,
            };
            self.send(signal);
            if first.replace(first.unwrap_or(signal)).is_some() {
                if let Ok(ended) = tokio::time::timeout(LAST_GRACE, self.wait()).await {
                    return Ok(Done { ended: ended?, signal: first });
                }
                self.send(signals::KILL);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.send_raw(Signal::KILL);
        if let Some(id) = self.id {
            pause::leave(id);
        }
    }
}

/// A file that the next child inherits. Not longer than its start takes: what else is started must not hold it.
struct Inherited<'a>(BorrowedFd<'a>);

impl Inherited<'_> {
    fn of(file: BorrowedFd<'_>) -> Result<Inherited<'_>> {
        match rustix::io::fcntl_setfd(file, FdFlags::empty()) {
            Ok(()) => Ok(Inherited(file)),
            Err(error) => Err(Error::failed(format!("cannot hand a lock to a child process: {error}"))),
        }
    }
}

impl Drop for Inherited<'_> {
    fn drop(&mut self) {
        // It went one way, so it goes the other.
        let _ = rustix::io::fcntl_setfd(self.0, FdFlags::CLOEXEC);
    }
}

async fn feed_all(pipe: Option<ChildStdin>, bytes: Option<Vec<u8>>) {
    if let (Some(mut pipe), Some(bytes)) = (pipe, bytes) {
        // A reader that stops early is not our failure: its exit status says what it thinks of that.
        let _ = pipe.write_all(&bytes).await;
    }
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    if let Some(mut pipe) = pipe {
        // A pipe's only failure here would be our own misuse of it; what came before counts either way.
        let _ = pipe.read_to_end(into).await;
    }
}

fn not_started(program: &str, folder: Option<&Path>, error: &io::Error) -> Error {
    if let Some(folder) = folder.filter(|it| !it.is_dir()) {
        let cause = if folder.exists() { "is not a folder" } else { "does not exist" };
        return Error::failed(format!("cannot start `{program}`: its working folder {} {cause}", folder.display()));
    }
    let is_path = program.contains('/');
    match error.kind() {
        io::ErrorKind::NotFound if !is_path => {
            let hint = match program {
                "docker" => "install docker, or its command line alone and point DOCKER_HOST at an engine".to_owned(),
                _ => format!("install `{program}`, or put its folder into PATH"),
            };
            Error::failed(format!("cannot start `{program}`: command not found")).hint(hint)
        }
        io::ErrorKind::NotFound => {
            let path = folder.map_or_else(|| program.into(), |it| it.join(program));
            if path.exists() {
                return Error::failed(format!("cannot start `{program}`: its interpreter does not exist"))
                    .hint("check the program's first line, and that it was built for this machine");
            }
            Error::failed(format!("cannot start `{program}`: no such file"))
        }
        io::ErrorKind::PermissionDenied => Error::failed(format!("cannot start `{program}`: permission denied"))
            .hint(format!("make it executable: `chmod +x {program}`")),
        _ => Error::failed(format!("cannot start `{program}`: {error}")),
    }
}

#[cfg(test)]
mod tests;
