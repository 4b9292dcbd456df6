//! Ctrl-Z: a shell's user expects the whole job to pause, and to go on with `fg`. The children have process groups of their own, which the
//! terminal's SIGTSTP does not reach; so it is passed on to them, as is the SIGCONT behind it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// The process groups of the children that run.
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
/// For how long this process has paused, in milliseconds.
static PAUSED: AtomicU64 = AtomicU64::new(0);
/// Somebody else of this process answers to SIGTSTP.
static ELSEWHERE: AtomicBool = AtomicBool::new(false);

/// Passes pauses on until it is dropped.
#[derive(Debug)]
pub struct Pauses(JoinHandle<()>);

impl Pauses {
    /// Starts to listen. From then on SIGTSTP no longer does what it does by itself.
    pub fn new() -> Result<Pauses> {
        let kind = SignalKind::from_raw(Signal::TSTP.as_raw());
        let stream = signal(kind).map_err(|it| Error::failed(format!("cannot listen for signals: {it}")))?;
        Ok(Pauses(tokio::spawn(pass_on(stream))))
    }
}

impl Drop for Pauses {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn pass_on(mut stream: Stream) {
    while stream.recv().await.is_some() {
        // A shell that can let this process go on: without one it would stop for ever, so the kernel stops nobody then either.
        if !ELSEWHERE.load(Ordering::SeqCst) && has_job_control() {
            pause();
        }
    }
}

fn pause() {
    let groups: Vec<Pid> = match GROUPS.lock() {
        Ok(groups) => groups.iter().copied().filter_map(Pid::from_raw).collect(),
        Err(_) => return,
    };
    let send = |signal| {
        for group in &groups {
            // The only failure is that it has just ended.
            let _ = rustix::process::kill_process_group(*group, signal);
        }
    };
    send(Signal::TSTP);
    let begun = Instant::now();
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
    // Here it goes on.
    let paused = begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    PAUSED.fetch_add(paused, Ordering::SeqCst);
    send(Signal::CONT);
}

/// While it lives, a session with a remote terminal answers to SIGTSTP itself.
#[derive(Debug)]
pub struct Elsewhere(());

impl Elsewhere {
    /// See there.
    pub fn from_now() -> Elsewhere {
        ELSEWHERE.store(true, Ordering::SeqCst);
        Elsewhere(())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        ELSEWHERE.store(false, Ordering::SeqCst);
    }
}

/// A child's group pauses with us from here on.
pub(super) fn join(group: Pid) {
    if let Ok(mut groups) = GROUPS.lock() {
        groups.insert(group.as_raw_nonzero().get());
    }
}

/// A child has ended.
pub(super) fn leave(group: Pid) {
    if let Ok(mut groups) = GROUPS.lock() {
        groups.remove(&group.as_raw_nonzero().get());
    }
}

/// A point in time that moves on by as much as this process pauses: what pauses with it has not had that time.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Option<tokio::time::Instant>,
    paused: u64,
}

impl Deadline {
    /// So long from now; never, without a time.
    pub fn after(time: impl Into<Option<Duration>>) -> Deadline {
        let at = time.into().map(|it| tokio::time::Instant::now() + it);
        Deadline { at, paused: PAUSED.load(Ordering::SeqCst) }
    }

    /// Waits for it. Dropping the future loses nothing.
    pub async fn passed(&mut self) {
        let Some(at) = &mut self.at else { return std::future::pending().await };
        loop {
            tokio::time::sleep_until(*at).await;
            let paused = PAUSED.load(Ordering::SeqCst);
            if paused == self.paused {
                return;
            }
            *at += Duration::from_millis(paused - self.paused);
            self.paused = paused;
        }
    }
}

/// Whether somebody of this session, outside of our process group, started us: a shell that can let us go on.
fn has_job_control() -> bool {
    let (group, session) = (rustix::process::getpgrp(), rustix::process::getsid(None).ok());
    let mut parent = rustix::process::getppid();
    while let Some(pid) = parent {
        if rustix::process::getsid(Some(pid)).ok() != session {
            return false;
        }
        if rustix::process::getpgid(Some(pid)).ok() != Some(group) {
            return true;
        }
        parent = match parent_of(pid) {
            // Where that cannot be known, as on macOS, whoever sends the signal is believed.
            None => return true,
            Some(parent) => Pid::from_raw(parent),
        };
    }
    false
}

/// By Linux's /proc: `12 (a name) S 11 …`.
pub(super) fn parent_of(pid: Pid) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deadline_moves_on_by_the_pauses_before_it() {
        let begun = Instant::now();
        let mut deadline = Deadline::after(Duration::from_millis(100));
        PAUSED.fetch_add(50, Ordering::SeqCst);
        deadline.passed().await;
        assert!(begun.elapsed() >= Duration::from_millis(150));
        let never = tokio::time::timeout(Duration::from_millis(50), async { Deadline::after(None).passed().await });
        assert!(never.await.is_err());
    }

    #[test]
    fn a_process_has_a_parent() {
        let parent = parent_of(rustix::process::getpid()).and_then(Pid::from_raw);
        assert_eq!(parent, rustix::process::getppid());
    }
}
