//! What the end of an ECS task means: outcome, exit code, explanation and hint. Exit code 0 of a container is success only when the
//! container ended by itself.

use crate::error::exit;
use crate::hints;
use crate::model::{EcsTask, Outcome, Timings};

/// Why this process asked ECS to stop the ECS task, or stopped following it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OurDoing {
    /// The timeout passed.
    TimedOut,
    /// It did not reach RUNNING in time.
    StartTimedOut,
    /// A signal, by number.
    Signal(u8),
    /// Another shard failed.
    OtherFailed,
}

impl OurDoing {
    /// What StopTask is told, and ECS repeats as `stoppedReason`: by it a later `attach` knows why it was stopped. `detail`: the time
    /// that passed, or the signal's name.
    pub fn reason(self, detail: &str) -> String {
        match self {
            OurDoing::TimedOut => format!("{TIMED_OUT}{detail} passed"),
            OurDoing::StartTimedOut => format!("{NOT_RUNNING}{detail}"),
            OurDoing::Signal(_) => format!("{INTERRUPTED}{detail}"),
            OurDoing::OtherFailed => OTHER_FAILED.to_owned(),
        }
    }

    /// What a process that is not there any more did, by the reason that it left.
    pub fn of_reason(task: &EcsTask) -> Option<OurDoing> {
        let reason = task.stopped_reason.as_deref().filter(|_| task.stop_code.as_deref() == Some("UserInitiated"))?;
        match reason {
            _ if reason.starts_with(TIMED_OUT) => Some(OurDoing::TimedOut),
            _ if reason.starts_with(NOT_RUNNING) => Some(OurDoing::StartTimedOut),
            OTHER_FAILED => Some(OurDoing::OtherFailed),
            _ => match reason.strip_prefix(INTERRUPTED)? {
                "SIGINT" => Some(OurDoing::Signal(2)),
                "SIGQUIT" => Some(OurDoing::Signal(3)),
                "SIGTERM" => Some(OurDoing::Signal(15)),
                _ => None,
            },
        }
    }
}

const TIMED_OUT: &str = "xtask: timeout of ";
const NOT_RUNNING: &str = "xtask: not RUNNING after ";
const OTHER_FAILED: &str = "xtask: another shard failed";
const INTERRUPTED: &str = "xtask: interrupted by ";

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// The exit code of this process.
    pub exit_code: u8,
    /// One sentence where the outcome and ECS's reasons do not say it.
    pub explanation: Option<String>,
    /// One thing to do.
    pub hint: Option<String>,
}

/// Judges a STOPPED ECS task by its stop code and its chosen container.
pub fn verdict(task: &EcsTask, container: &str, ours: Option<OurDoing>) -> Verdict {
    let chosen = task.container(container);
    let code = chosen.and_then(|it| it.exit_code);
    let reason = chosen.and_then(|it| it.reason.as_deref()).unwrap_or_default();
    let stopped_reason = task.stopped_reason.as_deref().unwrap_or_default();
    let hint = hints::of_reason(reason).or_else(|| hints::of_reason(stopped_reason));
    let make = |outcome, exit_code, explanation: Option<String>| Verdict {
        outcome,
        exit_code,
        explanation,
        hint: hint.clone(),
    };
    let code_text = match code {
        Some(code) => format!("its container's exit code {code} does not count"),
        None => "its container gave no exit code".to_owned(),
    };

    // A signal's exit code is the same whatever the ECS task did meanwhile; the explanation says what that was.
    if let Some(OurDoing::Signal(signal)) = ours {
        let explanation = match (by_itself(task), code) {
            (true, Some(code)) => format!("the container had ended by itself, with exit code {code}"),
            _ => "the ECS task was stopped".to_owned(),
        };
        return make(Outcome::Interrupted, 128 + signal, Some(explanation));
    }
    let stop_code = task.stop_code.as_deref();
    match stop_code {
        Some("EssentialContainerExited") => {}
        // Old answers and emulators leave the stop code out; ECS's sentence says the same.
        None if by_itself(task) => {}
        Some("TaskFailedToStart") => {
            return make(Outcome::NeverStarted, exit::FAILED, None);
        }
        Some("UserInitiated") if ours == Some(OurDoing::TimedOut) => {
            return make(
                Outcome::TimedOut,
                exit::TIMED_OUT,
                Some("the timeout passed and the ECS task was stopped".to_owned()),
            );
        }
        Some("UserInitiated") if ours == Some(OurDoing::StartTimedOut) && task.started_at.is_some() => {
            let explanation =
                "it was stopped for the start timeout, but had reached RUNNING before the stop took effect";
            return make(Outcome::Stopped, exit::FAILED, Some(explanation.to_owned()));
        }
        Some("UserInitiated") if ours == Some(OurDoing::StartTimedOut) => {
            return make(
                Outcome::NeverStarted,
                exit::FAILED,
                Some("it did not reach RUNNING within the start timeout and was stopped".to_owned()),
            );
        }
        None if task.started_at.is_none() && code.is_none() => {
            return make(Outcome::NeverStarted, exit::FAILED, None);
        }
        _ => {
            let cause = match stop_code {
                Some("UserInitiated") if ours == Some(OurDoing::OtherFailed) => {
                    "it was stopped because another shard failed"
                }
                Some("UserInitiated") => "somebody stopped the ECS task",
                Some("SpotInterruption" | "TerminationNotice") => "its capacity was taken away",
                Some("ServiceSchedulerInitiated") => "the service scheduler stopped the ECS task",
                Some("InfrastructureHealth") => "the host failed",
                _ => "the ECS task was stopped from outside",
            };
            return make(Outcome::Stopped, exit::FAILED, Some(format!("{cause}; {code_text}")));
        }
    }
    match code {
        Some(0) if chosen.is_some_and(|it| it.reason.as_deref().is_none_or(|it| !it.contains("OutOfMemory"))) => {
            make(Outcome::Succeeded, exit::OK, None)
        }
        Some(0) => make(
            Outcome::Failed,
            exit::FAILED,
            Some("the container ran out of memory although its exit code is 0".to_owned()),
        ),
        Some(code) => {
            let explanation = match code {
                137 if reason.contains("OutOfMemory") => {
                    Some("the container was killed because it ran out of memory".to_owned())
                }
                137 => Some("the container was killed by SIGKILL".to_owned()),
                139 => Some("the container crashed with SIGSEGV".to_owned()),
                143 => Some("the container was ended by SIGTERM".to_owned()),
                _ => None,
            };
            match u8::try_from(code) {
                Ok(exit_code) => make(Outcome::Failed, exit_code, explanation),
                // Windows containers have codes beyond a byte; a remainder of 0 would read as success.
                Err(_) => make(
                    Outcome::Failed,
                    exit::FAILED,
                    Some(format!("the container's exit code {code} is not between 0 and 255")),
                ),
            }
        }
        None => make(Outcome::Failed, exit::FAILED, Some("ECS gives no exit code of the container".to_owned())),
    }
}

/// Whether the chosen container, the only essential one, ended without anybody stopping the ECS task.
fn by_itself(task: &EcsTask) -> bool {
    match task.stop_code.as_deref() {
        Some(stop_code) => stop_code == "EssentialContainerExited",
        None => task.stopped_reason.as_deref().is_some_and(|it| it.starts_with("Essential container in task exited")),
    }
}

/// The parts of an ECS task's life by ECS's own time stamps, in seconds: `queue` from its creation to the start of the pull (or to
/// RUNNING where nothing was pulled), `pull`, `run`, and `stop` from the container's end to STOPPED.
pub fn timings(task: &EcsTask) -> Timings {
    let between = |from: Option<crate::model::Timestamp>, to: Option<crate::model::Timestamp>| match (from, to) {
        (Some(from), Some(to)) if to >= from => Some(to.seconds_since(from)),
        _ => None,
    };
    let over = task.execution_stopped_at.or(task.stopping_at).or(task.stopped_at);
    Timings {
        queue: between(task.created_at, task.pull_started_at.or(task.started_at)),
        pull: between(task.pull_started_at, task.pull_stopped_at),
        run: between(task.started_at, over),
        stop: between(over, task.stopped_at),
        ..Timings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EcsContainer, Timestamp};

    fn stopped(stop_code: Option<&str>, exit_code: Option<i32>, reason: &str) -> EcsTask {
        let chosen = EcsContainer {
            name: "app".to_owned(),
            exit_code,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            ..EcsContainer::default()
        };
        let sidecar = EcsContainer { name: "proxy".to_owned(), exit_code: Some(9), ..EcsContainer::default() };
        EcsTask {
            last_status: Some("STOPPED".to_owned()),
            stop_code: stop_code.map(str::to_owned),
            started_at: Some(Timestamp(1)),
            containers: vec![sidecar, chosen],
            ..EcsTask::default()
        }
    }

    #[test]
    fn only_the_chosen_containers_own_end_gives_its_code() {
        use OurDoing::{Signal, StartTimedOut, TimedOut};
        use Outcome::{Failed, Interrupted, NeverStarted, Stopped, Succeeded};
        let exited = Some("EssentialContainerExited");
        for (stop_code, code, reason, ours, outcome, exit_code) in [
            (exited, Some(0), "", None, Succeeded, 0),
            (exited, Some(1), "", None, Failed, 1),
            (exited, Some(255), "", None, Failed, 255),
            (exited, Some(256), "", None, Failed, 125),
            (exited, Some(-1), "", None, Failed, 125),
            (exited, Some(137), "OutOfMemoryError: Container killed due to memory usage", None, Failed, 137),
            (exited, Some(0), "OutOfMemoryError: Container killed due to memory usage", None, Failed, 125),
            (exited, None, "", None, Failed, 125),
            (Some("TaskFailedToStart"), None, "CannotPullContainerError: x", None, NeverStarted, 125),
            (Some("TaskFailedToStart"), Some(0), "", None, NeverStarted, 125),
            (Some("UserInitiated"), Some(0), "", None, Stopped, 125),
            (Some("UserInitiated"), Some(143), "", Some(TimedOut), Outcome::TimedOut, 124),
            (Some("UserInitiated"), Some(0), "", Some(TimedOut), Outcome::TimedOut, 124),
            // It did start, only too late.
            (Some("UserInitiated"), None, "", Some(StartTimedOut), Stopped, 125),
            (Some("UserInitiated"), Some(0), "", Some(StartTimedOut), Stopped, 125),
            (Some("UserInitiated"), Some(143), "", Some(Signal(2)), Interrupted, 130),
            (exited, Some(0), "", Some(Signal(15)), Interrupted, 143),
            // It ended by itself just before our stop: its own code counts.
            (exited, Some(3), "", Some(TimedOut), Failed, 3),
            (exited, Some(0), "", Some(TimedOut), Succeeded, 0),
            (Some("SpotInterruption"), Some(0), "", None, Stopped, 125),
            (Some("TerminationNotice"), Some(0), "", None, Stopped, 125),
            (Some("ServiceSchedulerInitiated"), Some(0), "", None, Stopped, 125),
            (Some("InfrastructureHealth"), None, "", None, Stopped, 125),
            (Some("SomethingNew"), Some(0), "", None, Stopped, 125),
            (None, Some(0), "", None, Stopped, 125),
        ] {
            let verdict = verdict(&stopped(stop_code, code, reason), "app", ours);
            assert_eq!(
                (verdict.outcome, verdict.exit_code),
                (outcome, exit_code),
                "{stop_code:?} {code:?} {reason} {ours:?}"
            );
        }
    }

    #[test]
    fn a_start_that_timed_out_is_none() {
        let task = EcsTask { started_at: None, ..stopped(Some("UserInitiated"), None, "") };
        let verdict = verdict(&task, "app", Some(OurDoing::StartTimedOut));
        assert_eq!((verdict.outcome, verdict.exit_code), (Outcome::NeverStarted, 125));
    }

    #[test]
    fn the_reason_tells_a_later_process_what_was_done() {
        for (ours, detail) in [
            (OurDoing::TimedOut, "15m"),
            (OurDoing::StartTimedOut, "10m"),
            (OurDoing::Signal(2), "SIGINT"),
            (OurDoing::Signal(3), "SIGQUIT"),
            (OurDoing::Signal(15), "SIGTERM"),
            (OurDoing::OtherFailed, ""),
        ] {
            let mut task = stopped(Some("UserInitiated"), Some(143), "");
            task.stopped_reason = Some(ours.reason(detail));
            assert_eq!(OurDoing::of_reason(&task), Some(ours));
            // It had ended by itself before the stop reached it: the reason is ECS's own then, but the stop code decides.
            task.stop_code = Some("EssentialContainerExited".to_owned());
            assert_eq!(OurDoing::of_reason(&task), None);
        }
        let mut task = stopped(Some("UserInitiated"), Some(143), "");
        for reason in ["xtask: stopped by arn:aws:iam::111122223333:user/alice", "deploying", "xtask: interrupted by x"]
        {
            task.stopped_reason = Some(reason.to_owned());
            assert_eq!(OurDoing::of_reason(&task), None, "{reason}");
        }
    }

    #[test]
    fn without_a_stop_code_the_sentence_counts() {
        let mut task = stopped(None, Some(7), "");
        task.stopped_reason = Some("Essential container in task exited".to_owned());
        assert_eq!(verdict(&task, "app", None).exit_code, 7);
        task.containers.clear();
        assert_eq!(verdict(&task, "app", None).exit_code, 125);
    }

    #[test]
    fn timings_leave_out_what_ecs_does_not_say() {
        let mut task = stopped(Some("EssentialContainerExited"), Some(0), "");
        task.created_at = Some(Timestamp(0));
        task.pull_started_at = Some(Timestamp(2_000));
        task.pull_stopped_at = Some(Timestamp(3_500));
        task.started_at = Some(Timestamp(4_000));
        task.execution_stopped_at = Some(Timestamp(5_000));
        task.stopped_at = Some(Timestamp(10_000));
        let timings = timings(&task);
        assert_eq!(
            (timings.queue, timings.pull, timings.run, timings.stop),
            (Some(2.0), Some(1.5), Some(1.0), Some(5.0))
        );
        assert_eq!(super::timings(&EcsTask::default()), Timings::default());
    }
}
