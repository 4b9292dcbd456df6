//! Whether what did not succeed is started once more, and after which pause. Facts about an ended attempt go in, a decision comes out; no
//! I/O.
//!
//! An attempt is followed by another only when nothing of it can run any more: its ECS task was seen STOPPED, or there never was one. What
//! a person ended stays ended: a signal to this process, or somebody's StopTask.

use std::time::Duration;

use crate::follow::{Finish, How};
use crate::model::{Attempt, Ending, Outcome, Retry, RetryOn};
use crate::verdict::OurDoing;

/// The first pause of ECS: capacity that was just taken away is seldom back at once.
pub const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// What an attempt's end says about another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// ECS's stop code.
    pub stop_code: Option<String>,
    /// Why this tool stopped it, if it did.
    pub ours: Option<OurDoing>,
    /// Nothing of it can run any more.
    pub is_over: bool,
}

impl Ended {
    /// Of an ECS task that was followed.
    pub fn of(ending: &Ending, finish: &Finish) -> Ended {
        Ended {
            outcome: ending.outcome,
            stop_code: ending.stop_code.clone(),
            ours: finish.ours.or_else(|| finish.task.as_ref().and_then(OurDoing::of_reason)),
            is_over: finish.how == How::Stopped && finish.task.as_ref().is_some_and(crate::model::EcsTask::is_stopped),
        }
    }

    /// Of a process that was waited for, or of an ECS task that ECS had no room for: RunTask said so, and nothing was started.
    pub fn over(outcome: Outcome) -> Ended {
        Ended { outcome, stop_code: None, ours: None, is_over: true }
    }
}

/// Whether this end is one of those that are tried again.
pub fn counts(on: RetryOn, ended: &Ended) -> bool {
    if !ended.is_over || matches!(ended.ours, Some(OurDoing::Signal(_))) {
        return false;
    }
    let capacity =
        matches!(ended.stop_code.as_deref(), Some("SpotInterruption" | "TerminationNotice" | "InfrastructureHealth"));
    match ended.outcome {
        Outcome::NeverStarted => on != RetryOn::Spot,
        Outcome::Stopped if capacity => on != RetryOn::NeverStarted,
        // Somebody meant it. What the start timeout stopped too late was us, and it did run.
        Outcome::Stopped if ended.stop_code.as_deref() == Some("UserInitiated") => {
            on == RetryOn::Any && ended.ours == Some(OurDoing::StartTimedOut)
        }
        Outcome::Stopped | Outcome::Failed | Outcome::TimedOut => on == RetryOn::Any,
        Outcome::Succeeded
        | Outcome::Interrupted
        | Outcome::Detached
        | Outcome::Refused
        | Outcome::AlreadyRunning
        | Outcome::Skipped
        | Outcome::Unknown => false,
    }
}

/// The attempts of one ECS task's work: of a task, or of one of its shards.
#[derive(Debug, Clone)]
pub struct Attempts {
    policy: Option<Retry>,
    first_pause: Duration,
    made: Vec<Attempt>,
}

impl Attempts {
    /// Before the first. `policy`: `None`, there is only one. `first_pause`: see [`FIRST_PAUSE`].
    pub fn new(policy: Option<Retry>, first_pause: Duration) -> Attempts {
        Attempts { policy, first_pause, made: Vec::new() }
    }

    /// Takes down how one ended. `Some`: another one starts after this pause. `jitter`: from 0 to 1.
    pub fn ended(&mut self, attempt: Attempt, ended: &Ended, jitter: f64) -> Option<Duration> {
        let goes_on = self.goes_on(ended);
        let number = self.next();
        self.made.push(attempt);
        if !goes_on {
            return None;
        }
        let doubled = self.first_pause.saturating_mul(1 << (number - 1).min(16)).min(LONGEST_PAUSE);
        Some(doubled.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0))
    }

    /// Whether an attempt that ended like this would be followed by another one.
    pub fn goes_on(&self, ended: &Ended) -> bool {
        self.policy.as_ref().is_some_and(|it| self.next() < it.attempts && counts(it.on, ended))
    }

    /// The number of the next attempt, from 1.
    pub fn next(&self) -> u32 {
        u32::try_from(self.made.len() + 1).unwrap_or(u32::MAX)
    }

    /// How many there may be.
    pub fn most(&self) -> u32 {
        self.policy.as_ref().map_or(1, |it| it.attempts)
    }

    /// The ECS tasks of all that were made: they are over, and none of them is the next one's.
    pub fn arns(&self) -> Vec<String> {
        self.made.iter().filter_map(|it| it.task_arn.clone()).collect()
    }

    /// The one that ended last.
    pub fn last(&self) -> Option<&Attempt> {
        self.made.last()
    }

    /// All that were made.
    pub fn all(self) -> Vec<Attempt> {
        self.made
    }

    /// All that were made. Empty where there was only one: the ending itself tells of it.
    pub fn history(self) -> Vec<Attempt> {
        if self.made.len() > 1 { self.made } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(outcome: Outcome, stop_code: Option<&str>, ours: Option<OurDoing>) -> Ended {
        Ended { outcome, stop_code: stop_code.map(str::to_owned), ours, is_over: true }
    }

    #[test]
    fn what_each_policy_tries_again() {
        use OurDoing::{Signal, StartTimedOut, TimedOut};
        use RetryOn::{Any, NeverStarted, Spot};
        let user = Some("UserInitiated");
        type Row = (Outcome, Option<&'static str>, Option<OurDoing>, &'static [RetryOn]);
        let table: [Row; 20] = [
            (Outcome::Stopped, Some("SpotInterruption"), None, &[Spot, Any]),
            (Outcome::Stopped, Some("TerminationNotice"), None, &[Spot, Any]),
            (Outcome::Stopped, Some("InfrastructureHealth"), None, &[Spot, Any]),
            (Outcome::Stopped, Some("ServiceSchedulerInitiated"), None, &[Any]),
            (Outcome::Stopped, Some("SomethingNew"), None, &[Any]),
            (Outcome::Stopped, None, None, &[Any]),
            (Outcome::NeverStarted, Some("TaskFailedToStart"), None, &[NeverStarted, Any]),
            (Outcome::NeverStarted, user, Some(StartTimedOut), &[NeverStarted, Any]),
            (Outcome::NeverStarted, None, None, &[NeverStarted, Any]),
            (Outcome::Stopped, user, Some(StartTimedOut), &[Any]),
            (Outcome::TimedOut, user, Some(TimedOut), &[Any]),
            (Outcome::Failed, Some("EssentialContainerExited"), None, &[Any]),
            // A person's doing.
            (Outcome::Stopped, user, None, &[]),
            (Outcome::Interrupted, user, Some(Signal(2)), &[]),
            (Outcome::Stopped, Some("SpotInterruption"), Some(Signal(15)), &[]),
            (Outcome::Detached, None, None, &[]),
            (Outcome::Unknown, None, None, &[]),
            (Outcome::AlreadyRunning, None, None, &[]),
            (Outcome::Refused, None, None, &[]),
            (Outcome::Succeeded, Some("EssentialContainerExited"), None, &[]),
        ];
        for (outcome, stop_code, ours, tried) in table {
            let end = ended(outcome, stop_code, ours);
            let found: Vec<RetryOn> = [Spot, NeverStarted, Any].into_iter().filter(|it| counts(*it, &end)).collect();
            assert_eq!(found, tried, "{end:?}");
            let alive = Ended { is_over: false, ..end };
            assert!(![Spot, NeverStarted, Any].iter().any(|it| counts(*it, &alive)), "it may still run: {alive:?}");
        }
    }

    #[test]
    fn the_first_counts_and_the_pauses_double_with_jitter() {
        let policy = Retry { on: RetryOn::Any, attempts: 4 };
        let failed = ended(Outcome::Failed, None, None);
        let mut attempts = Attempts::new(Some(policy), FIRST_PAUSE);
        let mut pauses = Vec::new();
        for number in 1..=4 {
            assert_eq!(attempts.next(), number);
            pauses.push(attempts.ended(Attempt::default(), &failed, 0.5).map(|it| it.as_millis()));
        }
        assert_eq!(pauses, [Some(5_000), Some(10_000), Some(20_000), None]);
        assert_eq!(attempts.history().len(), 4);
        for (jitter, milliseconds) in [(0.0, 3_750), (1.0, 6_250), (7.0, 6_250)] {
            let mut attempts = Attempts::new(Some(Retry { on: RetryOn::Any, attempts: 2 }), FIRST_PAUSE);
            let pause = attempts.ended(Attempt::default(), &failed, jitter);
            assert_eq!(pause.map(|it| it.as_millis()), Some(milliseconds));
        }
    }

    #[test]
    fn no_pause_is_longer_than_two_minutes() {
        let failed = ended(Outcome::Failed, None, None);
        let mut attempts = Attempts::new(Some(Retry { on: RetryOn::Any, attempts: 10 }), FIRST_PAUSE);
        let pauses: Vec<_> = (0..10).map(|_| attempts.ended(Attempt::default(), &failed, 0.5)).collect();
        assert_eq!(pauses[8], Some(LONGEST_PAUSE));
        assert_eq!(pauses[9], None);
    }

    #[test]
    fn without_a_policy_there_is_one_and_no_history() {
        let mut attempts = Attempts::new(None, FIRST_PAUSE);
        assert_eq!((attempts.next(), attempts.most()), (1, 1));
        assert_eq!(attempts.ended(Attempt::default(), &ended(Outcome::Failed, None, None), 0.5), None);
        assert!(attempts.history().is_empty());
    }
}
