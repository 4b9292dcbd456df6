//! Stops many ECS tasks at ECS's rate and waits for their end: what `stop --run` does where a run has started more than one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::aws::ecs::Described;
use crate::aws::{Aws, AwsError};
use crate::model::EcsTask;
use crate::shards::rate::Rate;
use crate::stage::follow::{Clock, for_following};
use crate::tools::signals::Signals;

/// Calls under way.
const CALLS: usize = 32;
/// StopTask: burst and calls a second.
const STOP_RATE: (f64, f64) = (100.0, 40.0);
/// DescribeTasks: the same, well below what ECS allows.
const DESCRIBE_RATE: (f64, f64) = (5.0, 5.0);
/// DescribeTasks takes so many.
const BATCH: usize = 100;
/// Between two looks at an ECS task.
const AGAIN: Duration = Duration::from_secs(1);
/// Faults that pass are met with another attempt for so long, of each ECS task.
const PATIENCE: Duration = Duration::from_secs(180);

/// What became of them.
#[derive(Debug, Default)]
pub struct Stopped {
    /// Those that ECS says are STOPPED.
    pub over: Vec<EcsTask>,
    /// Those that are not, as far as is known, and why.
    pub left: Vec<(String, String)>,
    /// The signal that ended the waiting.
    pub signal: Option<u8>,
}

enum Answer {
    Stopped(String, Result<(), AwsError>),
    Described(Vec<String>, Result<Vec<(String, Described)>, AwsError>),
}

/// Asks ECS to stop them, and waits.
pub async fn stop(aws: &Aws, cluster: &str, arns: Vec<String>, reason: &str, signals: &mut Signals) -> Stopped {
    let aws = for_following(aws.clone(), None);
    let clock = Clock::new(aws.speed);
    let (mut stop_rate, mut describe_rate) =
        (Rate::new(STOP_RATE.0, STOP_RATE.1, 1.0), Rate::new(DESCRIBE_RATE.0, DESCRIBE_RATE.1, 0.5));
    let mut to_stop: VecDeque<String> = arns.iter().cloned().collect();
    // Asked to stop, and when to look at it.
    let mut to_look: BTreeMap<String, Duration> = BTreeMap::new();
    let mut answer = Stopped::default();
    let mut calls = JoinSet::new();
    loop {
        let now = clock.now();
        while calls.len() < CALLS && !to_stop.is_empty() && stop_rate.take(now) {
            let Some(arn) = to_stop.pop_front() else { break };
            let (aws, cluster, reason) = (aws.clone(), cluster.to_owned(), reason.to_owned());
            calls.spawn(async move {
                let stopped = Box::pin(aws.stop_task(&cluster, &arn, &reason)).await;
                Answer::Stopped(arn, stopped)
            });
        }
        let due: Vec<String> = to_look.iter().filter(|it| *it.1 <= now).map(|it| it.0.clone()).take(BATCH).collect();
        if !due.is_empty() && calls.len() < CALLS && describe_rate.take(now) {
            for arn in &due {
                to_look.remove(arn);
            }
            let (aws, cluster) = (aws.clone(), cluster.to_owned());
            calls.spawn(async move {
                let described = Box::pin(aws.describe_tasks(&cluster, &due)).await;
                Answer::Described(due, described)
            });
            continue;
        }
        if calls.is_empty() && to_stop.is_empty() && to_look.is_empty() {
            return answer;
        }
        let mut wake_at = to_look.values().min().map_or(Duration::MAX, |it| (*it).max(now + describe_rate.wait(now)));
        if !to_stop.is_empty() {
            wake_at = wake_at.min(now + stop_rate.wait(now));
        }
        let answered = tokio::select! {
            biased;
            signal = signals.next() => {
                answer.signal = Some(signal);
                let asked = to_look.into_keys().map(|it| (it, "ECS is stopping it".to_owned()));
                answer.left.extend(asked);
                let not_asked = to_stop.into_iter().map(|it| (it, "ECS has not accepted the stop".to_owned()));
                answer.left.extend(not_asked);
                return answer;
            }
            Some(answered) = calls.join_next(), if !calls.is_empty() => answered,
            () = clock.sleep_until(wake_at) => continue,
        };
        let now = clock.now();
        match answered {
            Ok(Answer::Stopped(arn, Ok(()))) => drop(to_look.insert(arn, now)),
            Ok(Answer::Stopped(arn, Err(error))) => {
                if error.effect == crate::aws::Effect::Throttled {
                    stop_rate.throttled(now, now);
                }
                // A refusal may be one of a moment: permissions take theirs to reach everywhere.
                if now < PATIENCE && error.is_transient() {
                    to_stop.push_back(arn);
                } else {
                    answer.left.push((arn, error.cause()));
                }
            }
            Ok(Answer::Described(_, Ok(described))) => {
                for (arn, described) in described {
                    match described {
                        Described::Task(task) if task.is_stopped() => answer.over.push(*task),
                        Described::Task(_) => drop(to_look.insert(arn, now + AGAIN)),
                        Described::Missing(_) if now < PATIENCE => drop(to_look.insert(arn, now + AGAIN)),
                        Described::Missing(reason) => {
                            answer.left.push((arn, format!("ECS does not know it: {reason}")));
                        }
                    }
                }
            }
            Ok(Answer::Described(arns, Err(error))) => {
                if error.effect == crate::aws::Effect::Throttled {
                    describe_rate.throttled(now, now);
                }
                for arn in arns {
                    if error.is_transient() {
                        to_look.insert(arn, now + AGAIN * 3);
                    } else {
                        answer.left.push((arn, error.cause()));
                    }
                }
            }
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}
