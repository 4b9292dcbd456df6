//! What the launches and stops of one run share: the rates that ECS allows, and whether others are alive.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::shards::rate::Rate;
use crate::stage::follow::Clock;

/// RunTask by itself: burst and calls a second, on Fargate.
const RUN: (f64, f64) = (100.0, 20.0);
/// RunTask and StopTask together.
const MODIFY: (f64, f64) = (100.0, 40.0);

/// The rates, and who is there.
#[derive(Debug)]
pub struct Gate {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    run: Rate,
    modify: Rate,
    others: bool,
    last_success: Option<Instant>,
    told: bool,
}

impl Gate {
    /// Nothing was sent yet.
    pub fn new(clock: Clock) -> Gate {
        let state = State {
            run: Rate::new(RUN.0, RUN.1, 0.5),
            modify: Rate::new(MODIFY.0, MODIFY.1, 1.0),
            others: false,
            last_success: None,
            told: false,
        };
        Gate { clock, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether more than one is launching or alive.
    pub fn set_others(&self, others: bool) {
        self.lock().others = others;
    }

    /// Whether others than the one that asks are launching or alive.
    pub fn others(&self) -> bool {
        self.lock().others
    }

    /// Takes the right to a RunTask and gives how long to wait for it, in real time.
    pub fn wait_to_run(&self) -> Duration {
        let now = self.clock.now();
        let mut state = self.lock();
        let wait = state.run.reserve(now).max(state.modify.reserve(now));
        self.clock.real(wait)
    }

    /// Takes the right to a StopTask, if there is one now.
    pub fn may_stop(&self) -> bool {
        self.lock().modify.take(self.clock.now())
    }

    /// How long until there is one, by the clock of following.
    pub fn wait_to_stop(&self) -> Duration {
        self.lock().modify.wait(self.clock.now())
    }

    /// RunTask was throttled.
    pub fn run_throttled(&self) {
        let now = self.clock.now();
        self.lock().run.throttled(now, now);
    }

    /// StopTask was throttled.
    pub fn stop_throttled(&self) {
        let now = self.clock.now();
        self.lock().modify.throttled(now, now);
    }

    /// RunTask was answered.
    pub fn run_answered(&self) {
        self.lock().last_success = Some(Instant::now());
    }

    /// When RunTask was last answered.
    pub fn last_success(&self) -> Option<Instant> {
        self.lock().last_success
    }

    /// Whether throttling has been told: it is for all.
    pub fn is_told(&self) -> bool {
        std::mem::replace(&mut self.lock().told, true)
    }
}
