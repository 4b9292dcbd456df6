//! How many calls a second an account allows, as far as it is known: a token bucket whose rate is cut when AWS throttles and grows
//! again while it does not. One for all that share the limit.

use std::time::Duration;

/// After a throttled call the rate is this part of what it was.
const CUT: f64 = 0.75;
/// In a second without throttling it grows by this part of what it is, and by this part of what it began with.
const GROWTH: (f64, f64) = (0.03, 0.003);

/// The rate of a kind of call.
#[derive(Debug, Clone)]
pub struct Rate {
    burst: f64,
    most: f64,
    least: f64,
    /// What is believed to be allowed now.
    per_second: f64,
    tokens: f64,
    at: Duration,
    /// When it was last cut.
    cut_at: Option<Duration>,
}

impl Rate {
    /// So many at once, then so many a second; never fewer than `least` a second.
    pub fn new(burst: f64, per_second: f64, least: f64) -> Rate {
        Rate { burst, most: per_second, least, per_second, tokens: burst, at: Duration::ZERO, cut_at: None }
    }

    /// What is believed to be allowed, a second.
    pub fn per_second(&self) -> f64 {
        self.per_second
    }

    fn pass(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + seconds * self.per_second).min(self.burst);
        let growth = GROWTH.0 * self.per_second + GROWTH.1 * self.most;
        self.per_second = (self.per_second + seconds * growth).min(self.most);
    }

    /// Takes the right to one call, if there is one now.
    pub fn take(&mut self, now: Duration) -> bool {
        self.pass(now);
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }

    /// Takes the right to one call and gives the time to wait for it.
    pub fn reserve(&mut self, now: Duration) -> Duration {
        self.pass(now);
        self.tokens -= 1.0;
        self.wait_for(0.0)
    }

    /// How long until there is the right to a call.
    pub fn wait(&mut self, now: Duration) -> Duration {
        self.pass(now);
        self.wait_for(1.0)
    }

    fn wait_for(&self, tokens: f64) -> Duration {
        let missing = (tokens - self.tokens).max(0.0);
        // A hair more, so that rounding does not wake anybody too early.
        let seconds = missing / self.per_second;
        if missing > 0.0 { Duration::from_secs_f64(seconds + 1e-6) } else { Duration::ZERO }
    }

    /// A call that left at `sent` was throttled. Of those that were under way together the first one says it for all: `true`.
    pub fn throttled(&mut self, sent: Duration, now: Duration) -> bool {
        self.pass(now);
        if self.cut_at.is_some_and(|it| sent < it) {
            return false;
        }
        self.cut_at = Some(now);
        self.per_second = (self.per_second * CUT).max(self.least);
        self.tokens = self.tokens.min(0.0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut rate = Rate::new(100.0, 20.0, 1.0);
        let sent = |rate: &mut Rate, now| (0..500).filter(|_| rate.take(now)).count();
        assert_eq!([sent(&mut rate, at(0)), sent(&mut rate, at(0)), sent(&mut rate, at(1000))], [100, 0, 20]);
        assert_eq!(rate.wait(at(1000)).as_millis(), 50);
        assert_eq!(sent(&mut rate, at(60_000)), 100);
        // Each who reserves waits for its own turn.
        let waits: Vec<u128> = (0..3).map(|_| rate.reserve(at(60_000)).as_millis()).collect();
        assert_eq!(waits, [50, 100, 150]);
    }

    #[test]
    fn throttling_is_learnt_once_for_calls_that_were_under_way_together() {
        let mut rate = Rate::new(5.0, 25.0, 1.0);
        assert!(rate.throttled(at(0), at(100)));
        assert!(!rate.throttled(at(50), at(150)));
        assert!((18.7..18.9).contains(&rate.per_second()), "{}", rate.per_second());
        assert!(!rate.take(at(150)));
        for n in 0..100 {
            rate.throttled(at(200 + n), at(200 + n));
        }
        assert!((1.0..1.1).contains(&rate.per_second()), "{}", rate.per_second());
        (1..200).for_each(|second| rate.pass(Duration::from_secs(second)));
        assert!((24.9..=25.0).contains(&rate.per_second()), "{}", rate.per_second());
    }

    /// Against a bucket of AWS that allows less than was hoped for: nearly all that it allows is used, and little is refused.
    #[test]
    fn a_limit_that_is_not_known_is_found_and_used() {
        for limit in [3.0, 10.0, 25.0, 100.0] {
            let (mut rate, mut allowed) = (Rate::new(5.0, 25.0, 1.0), Rate::new(limit, limit, limit));
            let (mut taken, mut refused) = (0.0, 0.0);
            for now in (0..300_000).map(at) {
                while rate.take(now) {
                    if allowed.take(now) {
                        taken += 1.0;
                    } else {
                        refused += 1.0;
                        rate.throttled(now, now);
                    }
                }
            }
            let most = 300.0 * f64::min(limit, 25.0);
            assert!(taken > most * 0.95, "{limit}: {taken} of {most}");
            assert!(refused < taken * 0.1, "{limit}: {refused} refused, {taken} taken");
        }
    }
}
