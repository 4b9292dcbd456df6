//! The signals that end a run: SIGHUP, SIGINT, SIGQUIT and SIGTERM, as something to wait for.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::{Error, Result};
use crate::tools::pause::{Elsewhere, Pauses};

/// SIGHUP's number.
pub const HANGUP: u8 = 1;
/// SIGINT's number.
pub const INTERRUPT: u8 = 2;
/// SIGQUIT's number.
pub const QUIT: u8 = 3;
/// SIGKILL's number. Never received; sent to children that do not end.
pub const KILL: u8 = 9;
/// SIGTERM's number.
pub const TERMINATE: u8 = 15;

/// Listens for the signals that end a run. Made before anything else is, so that none is lost; from then on they no longer kill this
/// process.
#[derive(Debug)]
pub struct Signals {
    hangup: Option<Signal>,
    interrupt: Option<Signal>,
    quit: Option<Signal>,
    terminate: Option<Signal>,
    /// Not waited for: it does what it has to by itself.
    _pauses: Option<Pauses>,
    relayed: Option<UnboundedReceiver<u8>>,
}

/// Passes signals on: what is sent arrives as [`Signals::next`].
pub type Relay = UnboundedSender<u8>;

impl Signals {
    /// Starts to listen. A signal that was ignored when this process started (`nohup`, a script's background job) stays ignored.
    pub fn new() -> Result<Signals> {
        let ignored = ignored();
        let listen = |number: u8, kind: SignalKind| {
            if ignored & bit(number.into()) != 0 {
                return Ok(None);
            }
            signal(kind).map(Some).map_err(|it| Error::failed(format!("cannot listen for signals: {it}")))
        };
        Ok(Signals {
            hangup: listen(HANGUP, SignalKind::hangup())?,
            interrupt: listen(INTERRUPT, SignalKind::interrupt())?,
            quit: listen(QUIT, SignalKind::quit())?,
            terminate: listen(TERMINATE, SignalKind::terminate())?,
            _pauses: if ignored & bit(rustix::process::Signal::TSTP.as_raw()) == 0 {
                Some(Pauses::new()?)
            } else {
                None
            },
            relayed: None,
        })
    }

    /// Listens to nothing but a relay: for one of many things that go on at once in this process.
    pub fn relayed() -> (Relay, Signals) {
        let (relay, relayed) = unbounded_channel();
        (
            relay,
            Signals {
                hangup: None,
                interrupt: None,
                quit: None,
                terminate: None,
                _pauses: None,
                relayed: Some(relayed),
            },
        )
    }

    /// Listens to nothing.
    #[cfg(test)]
    pub(crate) fn deaf() -> Signals {
        Signals { hangup: None, interrupt: None, quit: None, terminate: None, _pauses: None, relayed: None }
    }

    /// The next signal's number: 1, 2, 3 or 15. Dropping the future loses none.
    pub async fn next(&mut self) -> u8 {
        tokio::select! {
            () = received(&mut self.hangup) => HANGUP,
            () = received(&mut self.interrupt) => INTERRUPT,
            () = received(&mut self.quit) => QUIT,
            () = received(&mut self.terminate) => TERMINATE,
            signal = relayed(&mut self.relayed) => signal,
        }
    }
}

/// What a terminal tells a program that has it in raw mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminalSignal {
    /// SIGWINCH: its size has changed.
    Resized,
    /// SIGTSTP: somebody else wants this program to pause.
    Suspend,
    /// SIGCONT: it goes on after a pause.
    Continued,
}

/// Listens for them.
#[derive(Debug)]
pub struct TerminalSignals {
    resized: Signal,
    suspend: Signal,
    continued: Signal,
    _elsewhere: Elsewhere,
}

impl TerminalSignals {
    /// Starts to listen. From then on none of them does what it does by itself.
    pub fn new() -> Result<TerminalSignals> {
        let listen =
            |kind: SignalKind| signal(kind).map_err(|it| Error::failed(format!("cannot listen for signals: {it}")));
        let raw = |it: rustix::process::Signal| SignalKind::from_raw(it.as_raw());
        Ok(TerminalSignals {
            resized: listen(SignalKind::window_change())?,
            suspend: listen(raw(rustix::process::Signal::TSTP))?,
            continued: listen(raw(rustix::process::Signal::CONT))?,
            _elsewhere: Elsewhere::from_now(),
        })
    }

    /// The next of them. Dropping the future loses none.
    pub async fn next(&mut self) -> TerminalSignal {
        tokio::select! {
            Some(()) = self.suspend.recv() => TerminalSignal::Suspend,
            Some(()) = self.continued.recv() => TerminalSignal::Continued,
            Some(()) = self.resized.recv() => TerminalSignal::Resized,
            else => std::future::pending().await,
        }
    }
}

/// The name that people know a signal by.
pub fn name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

async fn received(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending::<()>().await;
    }
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

async fn relayed(relayed: &mut Option<UnboundedReceiver<u8>>) -> u8 {
    let signal = match relayed {
        Some(relayed) => relayed.recv().await,
        None => None,
    };
    match signal {
        Some(signal) => signal,
        None => std::future::pending().await,
    }
}

/// The signals that this process was told to ignore, a bit each, as Linux tells; none are known elsewhere.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|it| it.strip_prefix("SigIgn:"));
    mask.and_then(|it| u64::from_str_radix(it.trim(), 16).ok()).unwrap_or(0)
}
