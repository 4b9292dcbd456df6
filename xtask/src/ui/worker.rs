//! The threads that write. One owns the printer with its state, and stderr; a second does nothing but write to stdout and say when
//! it has: so the order between the two streams is kept, and yet a stdout that nobody reads (a pager, Ctrl-S) does not keep words
//! about the run from stderr.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::Error;
use crate::event::Event;
use crate::model::LogEvent;
use crate::ui::github::Github;
use crate::ui::human::Human;
use crate::ui::json::Json;
use crate::ui::output::{Output, Piece};
use crate::ui::{Moment, Of, Size, Stream};

/// Bytes that are collected before they are written, while there are more messages.
const BATCH: usize = 256 * 1024;
/// How often a stdout that takes nothing is looked at, while nothing else happens.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A stream in non-blocking mode, as some programs leave a shared terminal, is tried again after this long.
const WOULD_BLOCK: Duration = Duration::from_millis(10);

/// What the rest of the program sends.
pub(super) enum Message {
    /// Something happened.
    Event { of: Of, event: Box<Event>, at: Moment },
    /// Lines of the task. The permit is for their size; it goes back when they are written.
    Log { of: Of, lines: Vec<Event>, at: Moment, permit: Option<OwnedSemaphorePermit> },
    /// Bytes of the task as they are, for stdout or stderr. The permit as above.
    Raw { stream: Stream, bytes: Vec<u8>, permit: Option<OwnedSemaphorePermit> },
    /// The same, as CloudWatch Logs has them.
    Lines { of: Of, container: String, lines: Vec<LogEvent>, at: Moment, permit: Option<OwnedSemaphorePermit> },
    /// Lines that a shard wrote to its standard error. The permit as above.
    Complaints { of: Of, lines: Vec<String>, permit: Option<OwnedSemaphorePermit> },
    /// Something failed.
    Error { of: Of, error: Box<Error>, at: Moment },
    /// A command's own result.
    Print(String),
    /// A detail.
    Note(String),
    /// Values that a log must not show.
    Mask(Vec<String>),
    /// A question; answered here when it can be read.
    Ask(String, oneshot::Sender<()>),
    /// A line was typed behind the question.
    Answered,
    /// Everything before this is to be written, and the terminal left alone.
    Sync(oneshot::Sender<()>),
    /// Nothing comes after this.
    Close(oneshot::Sender<()>),
}

/// The printers.
pub(super) enum Printer {
    /// For people.
    Human(Human),
    /// For programs; what is no event goes to stderr as for people.
    Json(Json, Human),
    /// For GitHub Actions.
    Github(Box<Github>),
}

impl Printer {
    fn event(&mut self, of: &Of, event: &Event, at: Moment, out: &mut Output) {
        match self {
            Printer::Human(human) => human.event(of, event, at, out),
            Printer::Json(json, _) => json.event(of, event, at, out),
            Printer::Github(github) => github.event(of, event, at, out),
        }
    }

    fn lines(&mut self, of: &Of, container: &str, lines: Vec<LogEvent>, at: Moment, out: &mut Output) {
        if let Printer::Human(human) = self {
            return human.lines(of, &lines, out);
        }
        for LogEvent { message, timestamp } in lines {
            self.event(of, &Event::Log { message, timestamp, container: container.to_owned() }, at, out);
        }
    }

    fn error(&mut self, of: &Of, error: &Error, at: Moment, out: &mut Output) {
        match self {
            Printer::Human(human) => human.error(error, out),
            Printer::Json(json, _) => json.error(of, error, at, out),
            Printer::Github(github) => github.error(of, error, out),
        }
    }

    /// The part of each that writes for people.
    fn human(&mut self) -> &mut Human {
        match self {
            Printer::Human(human) | Printer::Json(_, human) => human,
            Printer::Github(github) => github.human(),
        }
    }

    fn end(&mut self, out: &mut Output) {
        self.human().end_status(out);
        if let Printer::Github(github) = self {
            github.end(out);
        }
    }
}

/// Where it is written; in tests: anywhere.
pub(super) struct Streams {
    pub(super) stdout: Box<dyn Write + Send>,
    pub(super) stderr: Box<dyn Write + Send>,
    /// Of the terminal that stderr is.
    pub(super) size: Box<dyn Fn() -> Size + Send>,
    /// How long stderr waits for what has to stand on stdout before it.
    pub(super) patience: Duration,
    /// What became of stdout, for whoever asks.
    pub(super) fate: Arc<Fate>,
    /// stdout is what this process is for: there is nothing to go on with when it is gone.
    pub(super) product: bool,
}

/// What became of stdout.
#[derive(Debug, Default)]
pub(super) struct Fate {
    /// It takes nothing more.
    pub(super) broken: AtomicBool,
    /// Not because nobody wanted more, but because something of it could not be written.
    pub(super) lost: AtomicBool,
}

/// The way of a message to the streams.
#[derive(Clone)]
pub(super) enum Way {
    /// By the threads.
    Threads(Sender<Message>),
    /// At once: to streams that never make anybody wait.
    Here(Arc<Mutex<Here>>),
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Way::Here(_)) { "Here" } else { "Threads" })
    }
}

impl Way {
    /// The one without threads.
    pub(super) fn here(printer: Printer, stdout: Box<dyn Write + Send>, stderr: Box<dyn Write + Send>) -> Way {
        Way::Here(Arc::new(Mutex::new(Here { printer, stdout, stderr, broken: false, closed: false })))
    }

    pub(super) fn send(&self, message: Message) {
        match self {
            // The threads end after `close`; what a clone still says then has nobody to read it.
            Way::Threads(sender) => drop(sender.send(message)),
            Way::Here(here) => here.lock().unwrap_or_else(PoisonError::into_inner).take(message),
        }
    }
}

/// The printer without threads.
pub(super) struct Here {
    printer: Printer,
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    /// stdout has failed: it gets nothing any more.
    broken: bool,
    closed: bool,
}

impl Here {
    fn take(&mut self, message: Message) {
        let mut batch = Batch::default();
        if self.closed {
            return;
        }
        batch.take(message, &mut self.printer);
        if batch.last {
            self.closed = true;
            self.printer.end(&mut batch.out);
        }
        for piece in batch.out.pieces {
            match piece {
                Piece::Stdout(bytes) if self.broken => drop(bytes),
                Piece::Stdout(bytes) => {
                    if let Err(fault) = write_whole(&mut *self.stdout, &bytes) {
                        self.broken = true;
                        self.warn(&format!("cannot write to stdout: {fault}; the run goes on"));
                    }
                }
                Piece::Stderr(bytes) => drop(write_whole(&mut *self.stderr, &bytes)),
                Piece::Append(path, text) => {
                    if let Err(cause) = append(&path, &text) {
                        self.warn(&format!("cannot write to `{}`: {cause}", path.display()));
                    }
                }
            }
        }
        for reply in batch.replies {
            // Whoever asked may have gone away meanwhile.
            let _ = reply.send(());
        }
    }

    fn warn(&mut self, message: &str) {
        warn(&mut self.printer, &mut *self.stderr, message);
    }
}

/// Starts the threads. They end after [`Message::Close`], or when all senders are gone.
pub(super) fn start(printer: Printer, streams: Streams, begun: Instant) -> Way {
    let (sender, messages) = mpsc::channel();
    let (stdout, chunks) = mpsc::channel();
    let progress = Arc::new(Progress::default());
    let theirs = Arc::clone(&progress);
    thread::spawn(move || write_stdout(&chunks, streams.stdout, &theirs, &streams.fate));
    let worker = Worker {
        printer,
        messages,
        stdout,
        progress,
        stderr: streams.stderr,
        size: streams.size,
        patience: streams.patience,
        product: streams.product,
        stuck: false,
        begun,
        unwritable: HashSet::new(),
    };
    thread::spawn(move || worker.run());
    Way::Threads(sender)
}

struct Worker {
    printer: Printer,
    messages: Receiver<Message>,
    stdout: Sender<Chunk>,
    progress: Arc<Progress>,
    stderr: Box<dyn Write + Send>,
    size: Box<dyn Fn() -> Size + Send>,
    patience: Duration,
    product: bool,
    /// stdout takes nothing at present: stderr does not wait for it.
    stuck: bool,
    begun: Instant,
    /// Files that cannot be appended to, which is told once each.
    unwritable: HashSet<PathBuf>,
}

/// What belongs to a batch beside its bytes.
#[derive(Default)]
struct Batch {
    out: Output,
    permits: Vec<OwnedSemaphorePermit>,
    replies: Vec<oneshot::Sender<()>>,
    /// Nothing more may go into this batch.
    full: bool,
    last: bool,
}

impl Batch {
    /// Takes a message in.
    fn take(&mut self, message: Message, printer: &mut Printer) {
        let out = &mut self.out;
        match message {
            Message::Event { of, event, at } => printer.event(&of, &event, at, out),
            Message::Log { of, lines, at, permit } => {
                for line in &lines {
                    printer.event(&of, line, at, out);
                }
                self.permits.extend(permit);
            }
            Message::Lines { of, container, lines, at, permit } => {
                printer.lines(&of, &container, lines, at, out);
                self.permits.extend(permit);
            }
            Message::Raw { stream, bytes, permit } => {
                match stream {
                    Stream::Out => out.stdout(&bytes),
                    Stream::Err => out.stderr_bytes(&bytes),
                }
                self.permits.extend(permit);
            }
            Message::Complaints { of, lines, permit } => {
                printer.human().complaints(&of, &lines, out);
                self.permits.extend(permit);
            }
            Message::Error { of, error, at } => printer.error(&of, &error, at, out),
            Message::Print(text) => printer.human().print(&text, out),
            Message::Note(text) => printer.human().note(&text, out),
            Message::Mask(values) => {
                if let Printer::Github(github) = printer {
                    github.mask(&values, out);
                }
            }
            Message::Ask(question, reply) => {
                printer.human().ask(&question, out);
                self.replies.push(reply);
                self.full = true;
            }
            Message::Answered => printer.human().answered(),
            Message::Sync(reply) => {
                printer.human().end_status(out);
                self.replies.push(reply);
                self.full = true;
            }
            Message::Close(reply) => {
                self.replies.push(reply);
                self.last = true;
            }
        }
    }
}

impl Worker {
    fn run(mut self) {
        loop {
            let mut batch = Batch::default();
            self.collect(&mut batch);
            let last = batch.last;
            self.write(batch);
            if last {
                return;
            }
        }
    }

    /// Waits for a message or the time to draw, and takes in what else is there.
    fn collect(&mut self, batch: &mut Batch) {
        let now = self.begun.elapsed();
        let mut wait = self.printer.human().wake_at().map(|at| at.saturating_sub(now));
        if self.stuck {
            wait = Some(wait.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN));
        }
        let first = match wait {
            Some(wait) => self.messages.recv_timeout(wait),
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match first {
            Ok(message) => batch.take(message, &mut self.printer),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => batch.last = true,
        }
        while !batch.last && !batch.full && batch.out.bytes < BATCH {
            match self.messages.try_recv() {
                Ok(message) => batch.take(message, &mut self.printer),
                Err(TryRecvError::Empty) => {
                    self.printer.human().tick(Moment::now(self.begun), &self.size, &mut batch.out);
                    break;
                }
                Err(TryRecvError::Disconnected) => batch.last = true,
            }
        }
        if batch.last {
            self.printer.end(&mut batch.out);
        }
    }

    fn write(&mut self, batch: Batch) {
        let Batch { out, mut permits, replies, .. } = batch;
        let last_stdout = out.pieces.iter().rposition(|it| matches!(it, Piece::Stdout(_)));
        for (index, piece) in out.pieces.into_iter().enumerate() {
            match piece {
                Piece::Stdout(bytes) => {
                    let permits = if Some(index) == last_stdout { std::mem::take(&mut permits) } else { Vec::new() };
                    self.send_to_stdout(Chunk { bytes, _permits: permits, replies: Vec::new() });
                }
                // A stderr that is gone leaves nobody to tell.
                Piece::Stderr(bytes) => drop(write_whole(&mut *self.stderr, &bytes)),
                Piece::Append(path, text) => self.append(&path, &text),
            }
        }
        if !replies.is_empty() {
            self.send_to_stdout(Chunk { bytes: Vec::new(), _permits: Vec::new(), replies });
        }
        self.look_at_stdout();
    }

    fn send_to_stdout(&mut self, chunk: Chunk) {
        self.progress.lock().unwritten += 1;
        // The thread on the other side ends only after this sender.
        let _ = self.stdout.send(chunk);
        self.look_at_stdout();
    }

    /// Waits until stdout has taken everything, but not for long; tells what went wrong with it, once.
    fn look_at_stdout(&mut self) {
        let mut progress = self.progress.lock();
        if !self.stuck && progress.unwritten > 0 {
            let wait = self.progress.changed.wait_timeout_while(progress, self.patience, |it| it.unwritten > 0);
            progress = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.stuck = progress.unwritten > 0;
        let fault = progress.fault.take();
        drop(progress);
        match fault {
            // `| head` has what it wanted.
            Some(fault) if self.product && fault.kind() == ErrorKind::BrokenPipe => {}
            Some(fault) if self.product => {
                let mut out = Output::default();
                self.printer.human().error(&Error::failed(format!("cannot write to stdout: {fault}")), &mut out);
                write_stderr(&mut *self.stderr, out);
            }
            Some(fault) if fault.kind() == ErrorKind::BrokenPipe => self.warn("stdout is closed; the run goes on"),
            Some(fault) => self.warn(&format!("cannot write to stdout: {fault}; the run goes on")),
            None => {}
        }
    }

    fn append(&mut self, path: &Path, text: &str) {
        if let Err(cause) = append(path, text)
            && self.unwritable.insert(path.to_owned())
        {
            self.warn(&format!("cannot write to `{}`: {cause}", path.display()));
        }
    }

    fn warn(&mut self, message: &str) {
        warn(&mut self.printer, &mut *self.stderr, message);
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

fn warn(printer: &mut Printer, stderr: &mut dyn Write, message: &str) {
    let mut out = Output::default();
    printer.human().warning(message, None, &mut out);
    write_stderr(stderr, out);
}

fn write_stderr(stderr: &mut dyn Write, out: Output) {
    for piece in out.pieces {
        if let Piece::Stderr(bytes) = piece {
            drop(write_whole(stderr, &bytes));
        }
    }
}

/// Something for stdout. The permits and the replies go back when it is written.
struct Chunk {
    bytes: Vec<u8>,
    _permits: Vec<OwnedSemaphorePermit>,
    replies: Vec<oneshot::Sender<()>>,
}

/// How far the thread of stdout is.
#[derive(Default)]
struct Progress {
    state: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    /// Chunks that are sent and not written.
    unwritten: usize,
    /// Why stdout takes nothing any more, until it is told.
    fault: Option<io::Error>,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes chunks until the sender is gone. After the first fault it takes them without writing: the run goes on for the task's sake.
fn write_stdout(chunks: &Receiver<Chunk>, mut stdout: Box<dyn Write + Send>, progress: &Progress, fate: &Fate) {
    let mut broken = false;
    for chunk in chunks {
        let fault = if broken { None } else { write_whole(&mut *stdout, &chunk.bytes).err() };
        if let Some(fault) = &fault {
            broken = true;
            fate.lost.store(fault.kind() != ErrorKind::BrokenPipe, Ordering::SeqCst);
            fate.broken.store(true, Ordering::SeqCst);
        }
        let mut state = progress.lock();
        state.unwritten -= 1;
        state.fault = fault.or(state.fault.take());
        drop(state);
        progress.changed.notify_all();
        for reply in chunk.replies {
            // Whoever asked may have gone away meanwhile.
            let _ = reply.send(());
        }
    }
}

fn write_whole(stream: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(fault) => wait_or(fault)?,
        }
    }
    while let Err(fault) = stream.flush() {
        wait_or(fault)?;
    }
    Ok(())
}

/// Faults that pass are waited for.
fn wait_or(fault: io::Error) -> io::Result<()> {
    match fault.kind() {
        ErrorKind::Interrupted => Ok(()),
        ErrorKind::WouldBlock => {
            thread::sleep(WOULD_BLOCK);
            Ok(())
        }
        _ => Err(fault),
    }
}
