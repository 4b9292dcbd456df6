//! Faults of the calls that following makes: what kinds there are, how long to pause, and when to say so.

use std::time::Duration;

/// The longest pause after faults.
const MAX_BACKOFF: Duration = Duration::from_secs(15);

/// What kind of fault a call met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Of the network or of AWS: the same call may succeed later.
    Passing,
    /// Too many calls in this account.
    Throttled,
    /// The credentials are expired or cannot be had.
    Credentials,
    /// AWS refuses, and will refuse again.
    Refused,
}

impl Trouble {
    /// Whether waiting alone helps.
    pub(super) fn passes(self) -> bool {
        matches!(self, Trouble::Passing | Trouble::Throttled)
    }
}

/// Pauses that double after each fault in a row, and what is told of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    /// In a row.
    pub(super) n: u32,
    /// When the row began.
    pub(super) since: Duration,
    /// The last one's kind.
    pub(super) last: Option<Trouble>,
    told: bool,
}

impl Faults {
    /// The pause after one more. Followers of several ECS tasks that fail together do not come back together: `seed` differs.
    pub(super) fn next(&mut self, trouble: Trouble, seed: u32, now: Duration) -> Duration {
        if self.n == 0 {
            self.since = now;
        }
        self.n += 1;
        self.last = Some(trouble);
        let seconds = 2_u64.saturating_pow(self.n.min(5) - 1);
        let pause = Duration::from_secs(seconds).min(MAX_BACKOFF);
        let random = (seed ^ self.n.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b) >> 24;
        pause.mul_f64(0.75 + f64::from(random) / 512.0)
    }

    /// Whether this fault is worth a word: the first that does not pass by itself, the second in a row of others, and then some.
    pub(super) fn to_tell(&mut self) -> bool {
        let first = if self.last.is_some_and(Trouble::passes) { 2 } else { 1 };
        let tell = (self.n >= first && !self.told) || self.n.is_multiple_of(20);
        self.told |= tell;
        tell
    }

    /// It works again. Gives since when it did not, where that was told.
    pub(super) fn end(&mut self) -> Option<Duration> {
        let Faults { told, since, .. } = std::mem::take(self);
        told.then_some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ_between_followers() {
        let pauses = |seed| {
            let mut faults = Faults::default();
            let pauses: Vec<f64> =
                (0..8).map(|_| faults.next(Trouble::Passing, seed, Duration::ZERO).as_secs_f64()).collect();
            pauses
        };
        let usual = [1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0];
        for seed in [1, 77, 123_456_789] {
            for (pause, usual) in pauses(seed).iter().zip(usual) {
                assert!((usual * 0.75..usual * 1.25).contains(pause), "{pause} {usual}");
            }
        }
        assert_ne!(pauses(1), pauses(2));
    }

    #[test]
    fn what_passes_by_itself_is_told_when_it_comes_again() {
        for (trouble, expected) in [(Trouble::Passing, [false, true, false]), (Trouble::Refused, [true, false, false])]
        {
            let mut faults = Faults::default();
            let told = expected.map(|_| {
                faults.next(trouble, 1, Duration::from_secs(9));
                faults.to_tell()
            });
            assert_eq!(told, expected, "{trouble:?}");
            assert_eq!(faults.end(), Some(Duration::from_secs(9)));
            assert_eq!((faults.n, faults.end()), (0, None));
        }
    }
}
