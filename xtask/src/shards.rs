//! A run of many shards, as a state machine without I/O: which is launched next, what a failure or a signal does to the others, and
//! what the end is. The life of each ECS task is `follow`'s; `stage/shards` drives both.

pub mod again;
pub mod rate;
pub mod reads;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::error::exit;
use crate::model::{Outcome, ShardCounts, ShardEnd, Shards, ShardsEnd};

/// Where ECS had no room for one more, it is tried again after this long, also if none has ended.
const ROOM_AGAIN: Duration = Duration::from_secs(30);

/// Where a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// RunTask is under way.
    Launching,
    /// ECS has it; its container does not run yet.
    Starting,
    Running,
    /// ECS says that it is over; its output is still read.
    Stopped,
    Over,
}

/// Why no more are launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// One failed.
    Failed,
    /// This process got a signal, by number.
    Signal(u8),
}

/// The end of one shard as far as the run is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended {
    outcome: Outcome,
    exit_code: u8,
}

/// All shards of a run.
#[derive(Debug)]
pub struct Fleet {
    shards: Shards,
    states: BTreeMap<u32, State>,
    waiting: BTreeSet<u32>,
    /// Those that are tried again, from a time on.
    pausing: BTreeSet<(Duration, u32)>,
    /// RunTask was sent for it and ECS has not said that it is over.
    busy: u32,
    /// ECS had no room for more at a time; since when that is believed.
    room: Option<(u32, Duration)>,
    halt: Option<Halt>,
    first_failure: Option<Ended>,
    outcomes: BTreeMap<&'static str, u32>,
    failed: Vec<ShardEnd>,
    succeeded: u32,
    detached: bool,
}

impl Fleet {
    /// None is launched yet.
    pub fn new(shards: Shards) -> Fleet {
        Fleet {
            states: shards.chosen.iter().map(|it| (*it, State::Waiting)).collect(),
            waiting: shards.chosen.iter().copied().collect(),
            pausing: BTreeSet::new(),
            shards,
            busy: 0,
            room: None,
            halt: None,
            first_failure: None,
            outcomes: BTreeMap::new(),
            failed: Vec::new(),
            succeeded: 0,
            detached: false,
        }
    }

    /// The shard to launch now, which counts as launching from here on.
    pub fn next(&mut self, now: Duration) -> Option<u32> {
        while let Some((at, shard)) = self.pausing.first().copied()
            && at <= now
        {
            self.pausing.pop_first();
            self.waiting.insert(shard);
        }
        if self.halt.is_some() || self.busy >= self.allowed(now) {
            return None;
        }
        let shard = self.waiting.pop_first()?;
        self.set(shard, State::Launching);
        self.busy += 1;
        Some(shard)
    }

    fn allowed(&mut self, now: Duration) -> u32 {
        match &mut self.room {
            Some((room, since)) if now >= *since + ROOM_AGAIN => {
                (*room, *since) = (*room + 1, now);
                self.shards.parallel.min(*room)
            }
            Some((room, _)) => self.shards.parallel.min(*room),
            None => self.shards.parallel,
        }
    }

    /// When [`Fleet::next`] may give another one although nothing else has happened.
    pub fn wake_at(&self) -> Option<Duration> {
        if self.halt.is_some() {
            return None;
        }
        let room = self.room.filter(|_| !self.waiting.is_empty()).map(|(_, since)| since + ROOM_AGAIN);
        let pause = self.pausing.first().map(|it| it.0);
        room.into_iter().chain(pause).min()
    }

    /// Whether others than the one that is asked about are launching or alive: then a lack of room is a reason to wait.
    pub fn others(&self) -> bool {
        self.busy > 1
    }

    /// How many are launching or alive.
    pub fn busy(&self) -> u32 {
        self.busy
    }

    /// An ECS task that this run has started before is followed on.
    pub fn adopt(&mut self, shard: u32) {
        if self.waiting.remove(&shard) {
            self.busy += 1;
            self.set(shard, State::Starting);
        }
    }

    /// RunTask has given an ECS task.
    pub fn launched(&mut self, shard: u32) {
        self.set(shard, State::Starting);
    }

    /// ECS has no room for it at present: it waits for another's end. `true`: that is new.
    pub fn no_room(&mut self, shard: u32, now: Duration) -> bool {
        self.set(shard, State::Waiting);
        self.waiting.insert(shard);
        self.busy -= 1;
        self.room.replace((self.busy.max(1), now)).is_none()
    }

    /// It was not started after all, because no more are wanted.
    pub fn withdrawn(&mut self, shard: u32) {
        self.set(shard, State::Waiting);
        self.waiting.insert(shard);
        self.busy -= 1;
    }

    /// What ECS says of it.
    pub fn status(&mut self, shard: u32, is_running: bool) {
        if is_running && self.states.get(&shard) == Some(&State::Starting) {
            self.set(shard, State::Running);
        }
    }

    /// ECS says that it is over, and this is how. `true`: the others are not wanted any more.
    pub fn stopped(&mut self, shard: u32, outcome: Outcome, exit_code: u8) -> bool {
        if !self.make_room(shard) || outcome == Outcome::Succeeded || outcome == Outcome::Detached {
            return false;
        }
        self.first_failure.get_or_insert(Ended { outcome, exit_code });
        let halts = !self.shards.keep_going && self.halt.is_none();
        if halts {
            self.halt = Some(Halt::Failed);
        }
        halts
    }

    /// ECS says that it is over, and another attempt follows once its output is read.
    pub fn stopped_for_now(&mut self, shard: u32) {
        self.make_room(shard);
    }

    /// Its place is free from here on; `false`: it was before.
    fn make_room(&mut self, shard: u32) -> bool {
        let has_place = matches!(self.states.get(&shard), Some(State::Launching | State::Starting | State::Running));
        if has_place {
            self.set(shard, State::Stopped);
            self.busy -= 1;
        }
        has_place
    }

    /// It is over and read, and may be launched again from this time on.
    pub fn again(&mut self, shard: u32, at: Duration) {
        self.make_room(shard);
        self.set(shard, State::Waiting);
        self.pausing.insert((at, shard));
    }

    /// It is over, its output read as far as it will be. `true`: the others are not wanted any more.
    pub fn over(&mut self, end: ShardEnd) -> bool {
        let halts = self.stopped(end.shard, end.outcome, end.exit_code);
        // One that was to be tried again, and is not any more.
        self.waiting.remove(&end.shard);
        self.pausing.retain(|it| it.1 != end.shard);
        self.set(end.shard, State::Over);
        *self.outcomes.entry(end.outcome.as_str()).or_default() += 1;
        if end.outcome == Outcome::Succeeded {
            self.succeeded += 1;
        } else {
            self.detached |= end.outcome == Outcome::Detached;
            self.failed.push(end);
        }
        halts
    }

    /// A signal: no more are launched.
    pub fn signal(&mut self, signal: u8) {
        if !matches!(self.halt, Some(Halt::Signal(_))) {
            self.halt = Some(Halt::Signal(signal));
        }
    }

    /// Why no more are launched.
    pub fn halt(&self) -> Option<Halt> {
        self.halt
    }

    /// Whether there is nothing left to wait for.
    pub fn is_over(&self) -> bool {
        let open = |state: &State| !matches!(state, State::Waiting | State::Over);
        !self.states.values().any(open) && ((self.waiting.is_empty() && self.pausing.is_empty()) || self.halt.is_some())
    }

    /// How far they are.
    pub fn counts(&self) -> ShardCounts {
        let mut counts = ShardCounts { succeeded: self.succeeded, ..ShardCounts::default() };
        for state in self.states.values() {
            match state {
                State::Waiting => counts.waiting += 1,
                State::Launching | State::Starting => counts.starting += 1,
                State::Running | State::Stopped => counts.running += 1,
                State::Over => {}
            }
        }
        counts.failed = u32::try_from(self.failed.len()).unwrap_or(u32::MAX);
        counts
    }

    /// The end of the run: outcome, exit code, and what became of each.
    pub fn end(self) -> (Outcome, u8, ShardsEnd) {
        let (outcome, exit_code) = match (self.halt, self.first_failure) {
            (Some(Halt::Signal(signal)), _) if self.detached => (Outcome::Detached, 128 + signal),
            (Some(Halt::Signal(signal)), _) => (Outcome::Interrupted, 128 + signal),
            (_, Some(first)) => (first.outcome, first.exit_code),
            _ if self.detached => (Outcome::Detached, exit::OK),
            _ => (Outcome::Succeeded, exit::OK),
        };
        let not_run: Vec<u32> = self.waiting.into_iter().collect();
        let mut outcomes = self.outcomes;
        if !not_run.is_empty() {
            outcomes.insert("not-run", u32::try_from(not_run.len()).unwrap_or(u32::MAX));
        }
        (outcome, exit_code, ShardsEnd { of: self.shards.of, outcomes, failed: self.failed, not_run })
    }

    fn set(&mut self, shard: u32, state: State) {
        self.states.insert(shard, state);
    }
}

#[cfg(test)]
mod tests;
