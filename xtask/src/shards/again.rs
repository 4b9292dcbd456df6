//! Which shards are tried again, each with attempts of its own, and how the last attempt of those ended that wait for another.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::Event;
use crate::model::{Attempt, Ending, Retry};
use crate::retry::{Attempts, Ended};

/// The attempts of all shards of a run.
#[derive(Debug)]
pub struct Again {
    policy: Option<Retry>,
    first_pause: Duration,
    /// Of the shards that were tried again.
    attempts: BTreeMap<u32, Attempts>,
    /// The endings of those that wait.
    waiting: BTreeMap<u32, Ending>,
}

impl Again {
    /// `policy` and `first_pause`: see [`Attempts::new`].
    pub fn new(policy: Option<Retry>, first_pause: Duration) -> Again {
        Again { policy, first_pause, attempts: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// Whether another attempt of a shard would follow one that ended like this.
    pub fn goes_on(&self, shard: u32, ended: &Ended) -> bool {
        match self.attempts.get(&shard) {
            Some(attempts) => attempts.goes_on(ended),
            None => Attempts::new(self.policy, self.first_pause).goes_on(ended),
        }
    }

    /// An attempt is over. The pause before the next one, and what is told of it; or the ending back, with all attempts that led to it.
    /// `may`: whether more are wanted at all. `jitter`: from 0 to 1.
    pub fn ended(
        &mut self,
        shard: u32,
        ending: Ending,
        ended: &Ended,
        may: bool,
        jitter: f64,
    ) -> Result<(Duration, Event), Box<Ending>> {
        let goes_on = may && self.goes_on(shard, ended);
        if !goes_on && !self.attempts.contains_key(&shard) {
            return Err(Box::new(ending));
        }
        let first = Attempts::new(self.policy, self.first_pause);
        let mut attempts = self.attempts.remove(&shard).unwrap_or(first);
        let last = Attempt::of(&ending);
        let pause = attempts.ended(last.clone(), ended, jitter).filter(|_| may);
        let ending = Ending { attempts: attempts.clone().history(), ..ending };
        let Some(pause) = pause else { return Err(Box::new(ending)) };
        let event = Event::Retrying { attempt: attempts.next(), of: attempts.most(), pause: pause.as_secs_f64(), last };
        self.attempts.insert(shard, attempts);
        self.waiting.insert(shard, ending);
        Ok((pause, event))
    }

    /// The next attempt of a shard begins. The ECS tasks of those before it: they are over, and none of them is this one's.
    pub fn begins(&mut self, shard: u32) -> Vec<String> {
        self.waiting.remove(&shard);
        self.attempts.get(&shard).map(Attempts::arns).unwrap_or_default()
    }

    /// Those that wait for an attempt that is not wanted any more, and how they ended.
    pub fn left(&mut self) -> BTreeMap<u32, Ending> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Outcome, RetryOn};

    fn ending(outcome: Outcome, arn: &str) -> Ending {
        Ending { outcome, exit_code: 7, task_arn: Some(arn.to_owned()), ..Ending::default() }
    }

    #[test]
    fn each_shard_has_its_own_attempts() {
        let mut again = Again::new(Some(Retry { on: RetryOn::Any, attempts: 2 }), Duration::from_secs(4));
        let failed = Ended::over(Outcome::Failed);
        let (pause, event) =
            again.ended(3, ending(Outcome::Failed, "a"), &failed, true, 0.5).expect("there is another");
        assert_eq!(pause, Duration::from_secs(4));
        assert!(matches!(event, Event::Retrying { attempt: 2, of: 2, .. }), "{event:?}");
        assert_eq!(again.begins(3), ["a"]);
        assert!(again.begins(4).is_empty(), "another one's");
        let last = again.ended(3, ending(Outcome::Failed, "b"), &failed, true, 0.5).expect_err("it was the last");
        let arns: Vec<_> = last.attempts.iter().filter_map(|it| it.task_arn.as_deref()).collect();
        assert_eq!(arns, ["a", "b"]);
        assert!(again.left().is_empty());

        // One that ends well, or where no more are wanted, has no history that its ending does not tell.
        let good = again.ended(5, ending(Outcome::Succeeded, "c"), &Ended::over(Outcome::Succeeded), true, 0.5);
        assert!(good.expect_err("it is over").attempts.is_empty());
        assert!(again.ended(6, ending(Outcome::Failed, "d"), &failed, false, 0.5).is_err());
    }

    #[test]
    fn what_waits_in_vain_ended_as_its_last_attempt() {
        let mut again = Again::new(Some(Retry { on: RetryOn::Any, attempts: 3 }), Duration::from_secs(4));
        let _ = again.ended(1, ending(Outcome::Failed, "a"), &Ended::over(Outcome::Failed), true, 0.0);
        assert_eq!(again.left().into_keys().collect::<Vec<_>>(), [1]);
        assert!(
            Again::new(None, Duration::ZERO)
                .ended(1, ending(Outcome::Failed, "a"), &Ended::over(Outcome::Failed), true, 0.0)
                .is_err()
        );
    }
}
