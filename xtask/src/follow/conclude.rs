//! What the end of following means for the last event and the exit code: the same for `run`, `attach` and each shard.

use super::{Finish, How};
use crate::error::exit;
use crate::model::{EcsTask, Ending, Outcome, Timings};
use crate::verdict::{self, OurDoing, verdict};

/// Fills in how following ended.
pub fn conclude(ending: &mut Ending, finish: &Finish, container: &str, by_hand: &str) {
    if let Some(task) = &finish.task {
        describe(ending, task, container);
    }
    match &finish.how {
        How::Stopped => {
            if let Some(task) = &finish.task {
                // Where somebody else stopped it on our behalf, the reason says what for.
                let ours = finish.ours.or_else(|| OurDoing::of_reason(task));
                let verdict = verdict(task, container, ours);
                ending.outcome = verdict.outcome;
                ending.exit_code = verdict.exit_code;
                ending.explanation = verdict.explanation;
                ending.hint = verdict.hint;
            }
        }
        How::Detached(signal) => {
            ending.exit_code = 128 + signal;
            let state = if finish.stop_accepted {
                ending.outcome = Outcome::Interrupted;
                "ECS stops the ECS task, which was not waited for".to_owned()
            } else {
                ending.outcome = Outcome::Detached;
                match &finish.stop_failed {
                    Some(cause) => format!("StopTask was sent, the ECS task may run on: {cause}"),
                    None => "the ECS task was left as it is".to_owned(),
                }
            };
            ending.explanation = Some(format!("{state}; {by_hand}"));
        }
        How::Lost(why) => {
            ending.outcome = Outcome::Unknown;
            ending.exit_code = exit::FAILED;
            ending.explanation = Some(format!("{why}; {by_hand}"));
        }
    }
    if let Some(cause) = finish.stop_failed.as_ref().filter(|_| !matches!(finish.how, How::Detached(_))) {
        let before = ending.explanation.take().map(|it| format!("{it}; ")).unwrap_or_default();
        ending.explanation = Some(format!("{before}StopTask failed, the ECS task may run on: {cause}; {by_hand}"));
    }
    ending.log = Some(finish.log.clone());
}

fn describe(ending: &mut Ending, task: &EcsTask, container: &str) {
    ending.stop_code.clone_from(&task.stop_code);
    ending.stopped_reason.clone_from(&task.stopped_reason);
    ending.container_reason = task.container(container).and_then(|it| it.reason.clone());
    let of_ecs = verdict::timings(task);
    let mine = ending.timings;
    ending.timings = Timings { build: mine.build, push: mine.push, total: mine.total, ..of_ecs };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LogEnd;

    #[test]
    fn a_failed_stop_stands_behind_what_was_said_or_alone() {
        for (how, start) in [
            (How::Stopped, "StopTask failed, the ECS task may run on: denied; by hand"),
            (How::Lost("why".to_owned()), "why; by hand; StopTask failed"),
        ] {
            let stop_failed = Some("denied".to_owned());
            let finish = Finish { how, task: None, ours: None, log: LogEnd::Open, stop_failed, stop_accepted: false };
            let mut ending = Ending::default();
            conclude(&mut ending, &finish, "app", "by hand");
            let explanation = ending.explanation.unwrap();
            assert!(explanation.starts_with(start), "{explanation}");
        }
    }

    #[test]
    fn a_second_signal_says_what_became_of_the_stop_once() {
        for (stop_failed, stop_accepted, outcome, expected) in [
            (None, true, Outcome::Interrupted, "ECS stops the ECS task, which was not waited for; by hand"),
            (None, false, Outcome::Detached, "the ECS task was left as it is; by hand"),
            (Some("denied"), false, Outcome::Detached, "StopTask was sent, the ECS task may run on: denied; by hand"),
        ] {
            let stop_failed = stop_failed.map(str::to_owned);
            let how = How::Detached(2);
            let finish = Finish { how, task: None, ours: None, log: LogEnd::Open, stop_failed, stop_accepted };
            let mut ending = Ending::default();
            conclude(&mut ending, &finish, "app", "by hand");
            assert_eq!((ending.outcome, ending.exit_code), (outcome, 130));
            assert_eq!(ending.explanation.as_deref(), Some(expected));
        }
    }
}
