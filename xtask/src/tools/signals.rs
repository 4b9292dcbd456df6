//! The signals that end a run: SIGHUP, SIGINT and SIGTERM, as something to wait for.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};

/// SIGHUP's number.
pub const HANGUP: u8 = 1;
/// SIGINT's number.
pub const INTERRUPT: u8 = 2;
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
    terminate: Option<Signal>,
}

impl Signals {
    /// Starts to listen. A signal that was ignored when this process started (`nohup`, a script's background job) stays ignored.
    pub fn new() -> Result<Signals> {
        let ignored = ignored();
        let listen = |number: u8, kind: SignalKind| {
            if ignored & (1 << (number - 1)) != 0 {
                return Ok(None);
            }
            signal(kind).map(Some).map_err(|it| Error::failed(format!("cannot listen for signals: {it}")))
        };
        Ok(Signals {
            hangup: listen(HANGUP, SignalKind::hangup())?,
            interrupt: listen(INTERRUPT, SignalKind::interrupt())?,
            terminate: listen(TERMINATE, SignalKind::terminate())?,
        })
    }

    /// Listens to nothing.
    #[cfg(test)]
    pub(crate) fn deaf() -> Signals {
        Signals { hangup: None, interrupt: None, terminate: None }
    }

    /// The next signal's number: 1, 2 or 15. Dropping the future loses none.
    pub async fn next(&mut self) -> u8 {
        tokio::select! {
            () = received(&mut self.hangup) => HANGUP,
            () = received(&mut self.interrupt) => INTERRUPT,
            () = received(&mut self.terminate) => TERMINATE,
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

/// The signals that this process was told to ignore, a bit each, as Linux tells; none are known elsewhere.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|it| it.strip_prefix("SigIgn:"));
    mask.and_then(|it| u64::from_str_radix(it.trim(), 16).ok()).unwrap_or(0)
}
