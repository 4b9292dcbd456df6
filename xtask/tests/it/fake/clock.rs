//! The fake's clock: real time, faster; or set by hand; or tokio's, where that is paused and asked from inside its runtime.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::life::Millis;

/// A clock.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    base: Millis,
    speed: f64,
    /// Milliseconds beside those of the speed.
    moved: AtomicI64,
}

impl Clock {
    /// Starts now. At speed 0 it moves only by hand.
    pub fn new(speed: f64) -> Clock {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as Millis);
        Clock { started: Instant::now(), base: now, speed, moved: AtomicI64::new(0) }
    }

    pub fn now(&self) -> Millis {
        let elapsed = (self.started.elapsed().as_secs_f64() * self.speed * 1000.0) as Millis;
        self.base + elapsed + self.moved.load(Ordering::SeqCst)
    }

    /// Moves it on.
    pub fn advance(&self, span: Millis) {
        self.moved.fetch_add(span, Ordering::SeqCst);
    }

    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// Real time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Lets a span pass: waits for as long as it really takes, or moves the clock where it moves only by hand.
    pub fn pass(&self, span: Millis) {
        if self.speed == 0.0 {
            self.advance(span);
        } else {
            std::thread::sleep(Duration::from_millis(span.max(0) as u64).div_f64(self.speed));
        }
    }
}
