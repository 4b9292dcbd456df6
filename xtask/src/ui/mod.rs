//! The only place that prints. Everything else emits events; one of three printers shows them: for people, for programs
//! (`--format json`), for GitHub Actions.
//!
//! stdout is the task's own output or the JSON, stderr is ours. The streams belong to threads of their own, reached by a channel, so
//! that a full pipe or Ctrl-S never stops what runs on the async side: signals and deadlines.

mod bars;
mod board;
mod github;
mod human;
mod json;
mod markdown;
mod output;
mod render;
#[cfg(test)]
mod samples;
mod status;
mod text;
mod worker;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::Error;
use crate::event::Event;
use crate::model::{LogEvent, Shard, Timestamp};
use github::Github;
use human::{Human, Looks};
use json::Json;
use text::Paint;
use worker::{Fate, Message, Printer, Streams, Way};

pub use github::GithubFiles;
pub use human::console_url;
pub use render::line_and_column;

/// KiB of the task's output that may wait to be written.
const UNWRITTEN: u32 = 512;
/// Lines of a page that go to the printer at once.
const PART: usize = 1000;
/// How long words on stderr wait for the output that belongs before them.
const PATIENCE: Duration = Duration::from_millis(500);
/// The size of a terminal that does not say.
const USUAL_SIZE: Size = Size { columns: 80, rows: 24 };

/// What stdout is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// The task's output.
    #[default]
    Human,
    /// Events as JSON, one a line.
    Json,
}

/// One of the two that a program writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// stdout
    Out,
    /// stderr
    Err,
}

/// How it is to be shown: flags and environment, read by the caller.
#[derive(Debug, Clone, Default)]
pub struct UiOptions {
    /// `--format`
    pub format: Format,
    /// `-q`: warnings, errors, and an end that is no success.
    pub quiet: bool,
    /// `-v`: notes, and the plan whole.
    pub verbose: bool,
    /// `--timings`: at the end how long each part took.
    pub timings: bool,
    /// `--plain`: no colours, no line that is redrawn, nothing of GitHub's.
    pub plain: bool,
    /// GITHUB_ACTIONS is `true`.
    pub github: bool,
    /// GitHub's files; without effect elsewhere.
    pub github_files: GithubFiles,
    /// stdout is all that this process is for: a `list`, a policy. Otherwise a run goes on without it.
    pub product: bool,
    /// The task that events belong to, where one is named.
    pub task: Option<String>,
}

/// The point in time of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    /// For the record.
    wall: Timestamp,
    /// For durations: since the start.
    elapsed: Duration,
}

impl Moment {
    fn now(begun: Instant) -> Moment {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Moment { wall: Timestamp(since_1970.as_millis().try_into().unwrap_or(i64::MAX)), elapsed: begun.elapsed() }
    }
}

/// The way to the user. Cheap to clone; every clone writes to the same streams.
#[derive(Debug, Clone)]
pub struct Ui {
    way: Way,
    /// Bounds the task's output that is read but not written.
    unwritten: Arc<Semaphore>,
    begun: Instant,
    of: Of,
    can_ask: bool,
    fate: Arc<Fate>,
}

/// What an event is of.
#[derive(Debug, Clone, Default)]
struct Of {
    task: Option<Arc<str>>,
    shard: Option<Shard>,
}

impl Of {
    #[cfg(test)]
    fn named(task: &str) -> Of {
        Of { task: Some(Arc::from(task)), shard: None }
    }

    fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// `[3/16] ` in front of what is said of a shard.
    fn prefix(&self) -> String {
        self.shard.map(|it| format!("[{it}] ")).unwrap_or_default()
    }
}

impl Ui {
    /// Takes the process's streams over.
    pub fn new(options: UiOptions) -> Ui {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let terminal = stderr.is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|it| it == "dumb");
        let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|it| it != "0");
        // Where CI is set, anstream believes in colours whatever the terminal is.
        let wanted = anstream::AutoStream::choice(&stderr) != anstream::ColorChoice::Never && (forced || !dumb);
        let colours = !options.plain && wanted;
        let looks = Looks {
            paint: Paint(colours),
            redraw: terminal && !dumb && !options.plain,
            stdout_is_terminal: stdout.is_terminal(),
            quiet: options.quiet,
            verbose: options.verbose,
            timings: options.timings,
            columns: terminal.then(|| size_of(io::stderr()).columns),
        };
        let streams = Streams {
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            size: Box::new(|| size_of(io::stderr())),
            patience: PATIENCE,
            fate: Arc::default(),
            product: options.product,
        };
        let can_ask = terminal && io::stdin().is_terminal();
        Ui::with(options, looks, streams, can_ask)
    }

    /// Writes to these instead, at once and in the caller's own thread: they have to take everything without a wait. Nobody is there to
    /// ask, and nothing is redrawn.
    pub fn to_writers(
        options: UiOptions,
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
    ) -> Ui {
        let looks = Looks {
            paint: Paint(false),
            redraw: false,
            stdout_is_terminal: false,
            quiet: options.quiet,
            verbose: options.verbose,
            timings: options.timings,
            columns: None,
        };
        let task = options.task.clone();
        let begun = Instant::now();
        let way = Way::here(Ui::printer(options, looks), Box::new(stdout), Box::new(stderr));
        Ui::on(way, task, begun, false)
    }

    fn with(options: UiOptions, looks: Looks, streams: Streams, can_ask: bool) -> Ui {
        let task = options.task.clone();
        let begun = Instant::now();
        let fate = Arc::clone(&streams.fate);
        let way = worker::start(Ui::printer(options, looks), streams, begun);
        Ui { fate, ..Ui::on(way, task, begun, can_ask) }
    }

    fn printer(options: UiOptions, looks: Looks) -> Printer {
        match options.format {
            // Only events are JSON; there is no status line between them.
            Format::Json => Printer::Json(Json::default(), Human::new(looks)),
            Format::Human if options.github && !options.plain => {
                let files = options.github_files;
                Printer::Github(Box::new(Github::new(looks, files, Box::new(github::random_token))))
            }
            Format::Human => Printer::Human(Human::new(looks)),
        }
    }

    fn on(way: Way, task: Option<String>, begun: Instant, can_ask: bool) -> Ui {
        let unwritten = Arc::new(Semaphore::new(UNWRITTEN as usize));
        Ui { way, unwritten, begun, of: Of { task: task.map(Arc::from), shard: None }, can_ask, fate: Arc::default() }
    }

    /// The same for another task: its events carry that name.
    pub fn for_task(&self, task: &str) -> Ui {
        Ui { of: Of { task: Some(Arc::from(task)), shard: None }, ..self.clone() }
    }

    /// The same for a shard of the task: its events carry the number.
    pub fn for_shard(&self, shard: Shard) -> Ui {
        Ui { of: Of { shard: Some(shard), ..self.of.clone() }, ..self.clone() }
    }

    /// Tells that something happened. Never waits. For lines of output there is [`Ui::log`].
    pub fn emit(&self, event: Event) {
        self.send(Message::Event { of: self.of.clone(), event: Box::new(event), at: self.now() });
    }

    /// Prints lines of the task, in order. Waits while too much is read and not written: a caller that stays here stops reading
    /// more. Dropped before it is ready, nothing of the lines is printed.
    pub async fn log(&self, lines: Vec<Event>) {
        let permit = self.permit(lines.iter().map(size_of_line).sum()).await;
        self.send(Message::Log { of: self.of.clone(), lines, at: self.now(), permit });
    }

    /// The same for lines of a container as CloudWatch Logs keeps them: no event is made of each where none is shown. A page of ten
    /// thousand goes in parts, so that what is written is given back soon; dropped before it is ready, the rest is not printed.
    pub async fn lines(&self, container: &str, lines: Vec<LogEvent>) {
        let mut lines = lines.into_iter();
        loop {
            let part: Vec<LogEvent> = lines.by_ref().take(PART).collect();
            if part.is_empty() {
                return;
            }
            let permit = self.permit(part.iter().map(|it| it.message.len() + 64).sum()).await;
            let (of, container) = (self.of.clone(), container.to_owned());
            self.send(Message::Lines { of, container, lines: part, at: self.now(), permit });
        }
    }

    /// Writes bytes of the task as they are, in order. Waits like [`Ui::log`].
    pub async fn raw(&self, stream: Stream, bytes: Vec<u8>) {
        let permit = self.permit(bytes.len()).await;
        self.send(Message::Raw { stream, bytes, permit });
    }

    /// Writes lines that a shard wrote to its standard error to ours, with its number. Waits like [`Ui::log`].
    pub async fn complaints(&self, lines: Vec<String>) {
        let permit = self.permit(lines.iter().map(|it| it.len() + 64).sum()).await;
        self.send(Message::Complaints { of: self.of.clone(), lines, permit });
    }

    async fn permit(&self, size: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(size / 1024 + 1).unwrap_or(UNWRITTEN).min(UNWRITTEN);
        // The semaphore is never closed.
        Arc::clone(&self.unwritten).acquire_many_owned(permits).await.ok()
    }

    /// Shows what failed.
    pub fn error(&self, error: &Error) {
        self.send(Message::Error { of: self.of.clone(), error: Box::new(error.clone()), at: self.now() });
    }

    /// Writes a command's own result to stdout as it is.
    pub fn print(&self, text: impl Into<String>) {
        self.send(Message::Print(text.into()));
    }

    /// Tells a detail, on stderr, where `-v` asks for details.
    pub fn note(&self, text: impl Into<String>) {
        self.send(Message::Note(text.into()));
    }

    /// Keeps these values out of the log, where the CI system can do that: before anything else is said of them.
    pub fn mask(&self, values: Vec<String>) {
        if !values.is_empty() {
            self.send(Message::Mask(values));
        }
    }

    /// Waits until everything so far is written and the status line is gone, which it stays until the next event that tells a
    /// status: before a child process gets the terminal. Waits for as long as stdout takes nothing, so a caller watches for signals
    /// beside it.
    pub async fn sync(&self) {
        let (reply, written) = oneshot::channel();
        self.send(Message::Sync(reply));
        // An error means that the threads are gone, and then nothing will be written.
        let _ = written.await;
    }

    /// Writes what is left and ends the threads. Waits like [`Ui::sync`]; dropped before it is ready, the process may end all the
    /// same.
    pub async fn close(self) {
        let (reply, written) = oneshot::channel();
        self.send(Message::Close(reply));
        let _ = written.await;
    }

    /// Whether stdout takes nothing more.
    pub fn stdout_is_broken(&self) -> bool {
        self.fate.broken.load(Ordering::SeqCst)
    }

    /// Whether something for stdout could not be written: not because its reader wanted no more of it. Known when all is written.
    pub fn stdout_is_lost(&self) -> bool {
        self.fate.lost.load(Ordering::SeqCst)
    }

    /// Whether there is somebody to ask: stdin and stderr are terminals.
    pub fn can_ask(&self) -> bool {
        self.can_ask
    }

    /// Asks on stderr and gives the line that is typed, without its line end; nothing at the end of input. May be dropped at a
    /// signal: the thread that reads stdin then stays behind, so the process should end soon after.
    pub async fn ask(&self, question: &str) -> Option<String> {
        let (reply, written) = oneshot::channel();
        self.send(Message::Ask(question.to_owned(), reply));
        written.await.ok()?;
        let (sender, answer) = oneshot::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = io::stdin().read_line(&mut line);
            let _ = sender.send(read.ok().and_then(|_| typed_line(&line)));
        });
        let answer = answer.await.ok().flatten();
        if answer.is_some() {
            self.send(Message::Answered);
        }
        answer
    }

    fn now(&self) -> Moment {
        Moment::now(self.begun)
    }

    fn send(&self, message: Message) {
        self.way.send(message);
    }
}

/// The line without its end, if one was typed to its end.
fn typed_line(line: &str) -> Option<String> {
    line.strip_suffix('\n').map(|it| it.strip_suffix('\r').unwrap_or(it).to_owned())
}

fn size_of_line(event: &Event) -> usize {
    match event {
        Event::Log { message, .. } => message.len() + 64,
        _ => 64,
    }
}

/// How much a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    columns: usize,
    rows: usize,
}

/// The size of the terminal that a stream is.
#[cfg(unix)]
fn size_of(stream: impl std::os::fd::AsFd) -> Size {
    let size = rustix::termios::tcgetwinsize(stream).ok();
    let or = |found: Option<u16>, usual| found.map(usize::from).filter(|it| *it > 0).unwrap_or(usual);
    Size {
        columns: or(size.map(|it| it.ws_col), USUAL_SIZE.columns),
        rows: or(size.map(|it| it.ws_row), USUAL_SIZE.rows),
    }
}

/// The size of the terminal that a stream is.
#[cfg(not(unix))]
fn size_of(_stream: impl io::Write) -> Size {
    USUAL_SIZE
}

#[cfg(test)]
mod tests;
