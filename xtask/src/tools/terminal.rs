//! The terminal: put back as it was after a program that may have died in raw mode, and as the two ends of a session with a remote one.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use rustix::process::Signal;
use rustix::termios::{OptionalActions, Termios};
use tokio::sync::{Notify, mpsc};

use crate::error::{Error, Result};

/// The terminal's settings, restored when this is dropped.
#[derive(Debug)]
pub struct Saved(Option<Termios>);

/// Keeps the settings of the terminal on standard input; does nothing where that is none.
pub fn save() -> Saved {
    let stdin = io::stdin();
    Saved(if stdin.is_terminal() { rustix::termios::tcgetattr(stdin.as_fd()).ok() } else { None })
}

impl Drop for Saved {
    fn drop(&mut self) {
        let stdin = io::stdin();
        let Some(settings) = &self.0 else { return };
        // From the background the call would stop this process.
        let foreground = rustix::termios::tcgetpgrp(stdin.as_fd()).is_ok_and(|it| it == rustix::process::getpgrp());
        if foreground {
            let _ = rustix::termios::tcsetattr(stdin.as_fd(), OptionalActions::Drain, settings);
        }
    }
}

/// Whether this process has a terminal at all, whatever its streams are: a child could open it by name.
pub fn exists() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// What the terminal was before raw mode, for a panic: its message must be readable, and so must what is typed after it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal on standard input in raw mode: every key is a byte for somebody else. Left when this is dropped, and at a panic.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Enters raw mode. `None`: standard input is no terminal, or it is not ours to change now.
    pub fn enter() -> Option<Raw> {
        static HOOK: Once = Once::new();
        let stdin = io::stdin();
        if !stdin.is_terminal() || !in_foreground() {
            return None;
        }
        let before = rustix::termios::tcgetattr(stdin.as_fd()).ok()?;
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore_before();
                next(panic);
            }));
        });
        if let Ok(mut kept) = BEFORE.lock() {
            *kept = Some(before.clone());
        }
        let raw = Raw { before };
        raw.apply();
        Some(raw)
    }

    /// Enters it again after [`Raw::pause`].
    pub fn apply(&self) {
        let mut raw = self.before.clone();
        raw.make_raw();
        self.set(&raw);
    }

    /// Leaves it for a while: this program is about to be suspended.
    pub fn pause(&self) {
        self.set(&self.before);
    }

    fn set(&self, settings: &Termios) {
        // From the background the call would stop this process.
        if in_foreground() {
            // Without waiting for output: a terminal that is stopped or gone would hold us up for ever.
            let _ = rustix::termios::tcsetattr(io::stdin().as_fd(), OptionalActions::Now, settings);
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.pause();
        if let Ok(mut kept) = BEFORE.lock() {
            *kept = None;
        }
    }
}

fn restore_before() {
    if let Ok(mut kept) = BEFORE.lock()
        && let Some(before) = kept.take()
        && in_foreground()
    {
        let _ = rustix::termios::tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &before);
    }
}

fn in_foreground() -> bool {
    rustix::termios::tcgetpgrp(io::stdin().as_fd()).is_ok_and(|it| it == rustix::process::getpgrp())
}

/// Whether a person sits at both ends: standard input and standard output are terminals.
pub fn both_ways() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Columns and rows of the terminal on standard output.
pub fn size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(io::stdout().as_fd()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Stops this process and those that were started with it, as Ctrl-Z does. Comes back when they go on.
pub fn suspend() {
    let _ = rustix::process::kill_current_process_group(Signal::STOP);
}

/// What is typed or piped into standard input, in pieces as they come; the end of input is the end of the channel.
///
/// A thread reads it: a terminal cannot be waited for without a change that its other users would see. It stays behind when nobody
/// takes what it reads, so the process should end soon after.
pub fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 4096];
        loop {
            match io::stdin().read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => return,
            }
        }
    });
    receiver
}

/// Standard output for bytes as they are, written by a thread: a reader that does not read holds up nothing but the output.
#[derive(Debug)]
pub struct Screen {
    bytes: std::sync::mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes that are not written yet.
    waiting: AtomicUsize,
    broken: AtomicBool,
    changed: Notify,
}

impl Screen {
    /// Takes standard output over. The printer must have written all of its own: `Ui::sync`.
    pub fn new() -> Result<Screen> {
        let out = io::stdout().as_fd().try_clone_to_owned();
        let mut out =
            File::from(out.map_err(|it| Error::failed(format!("standard output cannot be written to: {it}")))?);
        let (bytes, receiver) = std::sync::mpsc::channel::<Vec<u8>>();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for piece in receiver {
                if !of_thread.broken.load(Ordering::SeqCst) && write_all(&mut out, &piece).is_err() {
                    of_thread.broken.store(true, Ordering::SeqCst);
                }
                of_thread.waiting.fetch_sub(piece.len(), Ordering::SeqCst);
                of_thread.changed.notify_waiters();
            }
        });
        Ok(Screen { bytes, shared })
    }

    /// Puts bytes on their way.
    pub fn write(&self, bytes: Vec<u8>) {
        self.shared.waiting.fetch_add(bytes.len(), Ordering::SeqCst);
        // The thread lives as long as this does.
        let _ = self.bytes.send(bytes);
    }

    /// How many bytes are not written yet.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::SeqCst)
    }

    /// Whether nobody can read any more.
    pub fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::SeqCst)
    }

    /// Waits until at most so many bytes are unwritten, or nobody can read any more.
    pub async fn down_to(&self, most: usize) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // Listening begins before the look, so that no change falls between the two.
            changed.as_mut().enable();
            if self.waiting() <= most || self.is_broken() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until nobody can read any more.
    pub async fn broken(&self) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_broken() {
                return;
            }
            changed.await;
        }
    }
}

/// `write_all` for a stream that another process may have made non-blocking.
fn write_all(out: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
