//! RunTask, so that one run starts at most one ECS task and none is started without its ARN being told. A call without an answer is
//! repeated with the same client token, for which ECS gives the first call's ECS task again.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::aws::ecs::{Failure, Launched};
use crate::aws::{Aws, AwsError, Effect};
use crate::error::{Error, Problem, Result};
use crate::event::Event;
use crate::hints;
use crate::model::{EcsTask, Plan};
use crate::stage::register::TaskDefinition;
use crate::tools::signals::Signals;
use crate::ui::{Ui, console_url};

/// How long faults that pass are met with another attempt.
const PATIENCE: Duration = Duration::from_secs(180);
/// Refusals that a moment heals: how often they are tried again.
const PASSING_REFUSALS: u32 = 5;

/// An ECS task that RunTask started.
#[derive(Debug)]
pub struct RunningTask {
    /// As RunTask described it; after a repeated call little more than the ARN.
    pub task: EcsTask,
    /// A signal that came while RunTask was under way. The ECS task is there all the same, so the follower must act on it.
    pub signal: Option<u8>,
}

/// Starts the ECS task. `cluster`: as tasks.toml has it; `stop_run`: the command line that stops what this run may have started.
pub async fn launch(
    aws: &Aws,
    ui: &Ui,
    plan: &Plan,
    definition: &TaskDefinition,
    cluster: &str,
    stop_run: &str,
    signals: &mut Signals,
) -> Result<RunningTask> {
    let mut request = plan.run_task.clone();
    request["taskDefinition"] = json!(definition.arn);
    let mut launch = Launch { aws, ui, plan, cluster, stop_run, signals, signal: None, unanswered: false };
    let task = launch.run(&mut request).await?;
    // An emulator's ECS task has no page in AWS's console.
    let console_url = if aws.endpoint_url.is_none() { console_url(&task.arn) } else { None };
    ui.emit(Event::Launched { task_arn: Some(task.arn.clone()), cluster: Some(cluster.to_owned()), console_url });
    Ok(RunningTask { task, signal: launch.signal })
}

struct Launch<'a> {
    aws: &'a Aws,
    ui: &'a Ui,
    plan: &'a Plan,
    cluster: &'a str,
    stop_run: &'a str,
    signals: &'a mut Signals,
    signal: Option<u8>,
    /// Whether a RunTask with the present token may have started an ECS task that we do not know.
    unanswered: bool,
}

impl Launch<'_> {
    async fn run(&mut self, request: &mut Value) -> Result<EcsTask> {
        let start = Instant::now();
        let mut refusals = 0;
        let mut pause = Duration::from_secs(1);
        request["clientToken"] = json!(client_token()?);
        loop {
            let answer = self.attempt(request).await?;
            let error = match answer {
                Ok(Launched::Task(task)) => return Ok(*task),
                Ok(Launched::Failures(failures)) => {
                    // A definite no: a new token, because ECS answers the old one with the same failures.
                    self.unanswered = false;
                    refusals += 1;
                    if refusals > PASSING_REFUSALS || !failures.iter().all(|it| is_passing(&it.reason)) {
                        return Err(self.refused(&failures));
                    }
                    self.warn(&format!("ECS could not place the ECS task: {}", reasons(&failures)));
                    request["clientToken"] = json!(client_token()?);
                    self.wait(&mut pause).await?;
                    continue;
                }
                Err(error) => error,
            };
            self.unanswered |= error.effect == Effect::Unknown;
            let patient = start.elapsed().mul_f64(self.aws.speed) < PATIENCE;
            if !error.is_transient() || !patient {
                return Err(self.failed(&error).await);
            }
            self.warn(&format!("cannot start the ECS task: {}; trying again", error.cause()));
            self.wait(&mut pause).await?;
        }
    }

    /// One call. A signal that comes meanwhile is kept: the call goes on, because only its answer tells the ARN to stop. A second
    /// signal gives the answer up.
    async fn attempt(&mut self, request: &Value) -> Result<Result<Launched, AwsError>> {
        let call = self.aws.run_task(request);
        tokio::pin!(call);
        loop {
            tokio::select! {
                answer = &mut call => return Ok(answer),
                signal = self.signals.next() => {
                    if self.signal.is_some() {
                        self.unanswered = true;
                        return Err(self.interrupted(signal).await);
                    }
                    self.signal = Some(signal);
                    self.warn("waiting for RunTask's answer, to stop what it starts; the same signal again gives it up");
                }
            }
        }
    }

    /// The pause before the next attempt, twice as long each time. A signal ends the run here: no call is under way.
    async fn wait(&mut self, pause: &mut Duration) -> Result<()> {
        if let Some(signal) = self.signal {
            return Err(self.interrupted(signal).await);
        }
        let jitter = f64::from(random_bytes::<1>()?[0]) / 512.0;
        let time = pause.mul_f64((0.75 + jitter) / self.aws.speed);
        *pause = (*pause * 2).min(Duration::from_secs(20));
        tokio::select! {
            () = sleep(time) => Ok(()),
            signal = self.signals.next() => Err(self.interrupted(signal).await),
        }
    }

    async fn interrupted(&mut self, signal: u8) -> Error {
        let error = Error::interrupted(signal, "the signal came before the ECS task was known");
        self.with_effect(error).await
    }

    async fn failed(&mut self, error: &AwsError) -> Error {
        let tried = format!("start `{}` in `{}`", self.plan.task, self.plan.environment);
        let error = error.problem(&tried, None).failed();
        self.with_effect(error).await
    }

    fn refused(&self, failures: &[Failure]) -> Error {
        let message =
            format!("cannot start `{}` in `{}`: {}", self.plan.task, self.plan.environment, reasons(failures));
        let mut problem = Problem::new(message);
        problem.hint = failures.iter().find_map(|it| hints::of_reason(&it.reason));
        problem.failed().done("the task definition is registered, no ECS task was started")
    }

    /// Says what may have been started. After a call without an answer ECS is asked, and what it lists is stopped.
    async fn with_effect(&mut self, error: Error) -> Error {
        if !self.unanswered {
            return error.done("the task definition is registered, no ECS task was started");
        }
        let started_by = self.plan.run_task.get("startedBy").and_then(Value::as_str).unwrap_or_default();
        let mut found = Vec::new();
        for _ in 0..5 {
            found = self.aws.tasks_started_by(self.cluster, started_by).await.unwrap_or_default();
            if !found.is_empty() {
                break;
            }
            sleep(Duration::from_secs(2).div_f64(self.aws.speed)).await;
        }
        if found.is_empty() {
            return error.done(format!(
                "RunTask was sent and not answered; ECS lists no ECS task of this run, but may still start one: `{}` stops it",
                self.stop_run
            ));
        }
        let mut told = Vec::new();
        for arn in found {
            match self.aws.stop_task(self.cluster, &arn, "xtask: RunTask's answer was lost").await {
                Ok(()) => told.push(format!("{arn} was started and is being stopped")),
                Err(stop) => told.push(format!("{arn} was started and may run on: StopTask failed: {}", stop.cause())),
            }
        }
        error.done(told.join("; "))
    }

    fn warn(&self, message: &str) {
        self.ui.emit(Event::Warning { message: message.to_owned(), hint: None });
    }
}

/// Reasons that mean "not just now". Everything else will not change by itself in a few seconds.
fn is_passing(reason: &str) -> bool {
    reason == "AGENT" || reason.contains("Capacity is unavailable") || reason == "RESOURCE:ENI"
}

fn reasons(failures: &[Failure]) -> String {
    if failures.is_empty() {
        return "RunTask answered with neither an ECS task nor a failure".to_owned();
    }
    let mut texts: Vec<String> = Vec::new();
    for failure in failures {
        let mut text = failure.reason.clone();
        if let Some(detail) = &failure.detail {
            text.push_str(&format!(" ({detail})"));
        }
        if let Some(arn) = &failure.arn {
            text.push_str(&format!(" on {arn}"));
        }
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join("; ")
}

/// 64 characters at most, of those that ECS allows.
fn client_token() -> Result<String> {
    Ok(random_bytes::<16>()?.iter().map(|it| format!("{it:02x}")).collect())
}

/// Random bytes from the operating system.
pub fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    ring::rand::generate(&ring::rand::SystemRandom::new())
        .map(ring::rand::Random::expose)
        .map_err(|_| Error::failed("the operating system gives no random numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_once_each_with_their_detail() {
        let failure = |reason: &str, detail: Option<&str>| Failure {
            arn: None,
            reason: reason.to_owned(),
            detail: detail.map(str::to_owned),
        };
        let same = failure("RESOURCE:MEMORY", None);
        assert_eq!(reasons(&[same.clone(), same]), "RESOURCE:MEMORY");
        assert_eq!(reasons(&[failure("AGENT", Some("not connected"))]), "AGENT (not connected)");
        assert_eq!(reasons(&[]), "RunTask answered with neither an ECS task nor a failure");
    }

    #[test]
    fn client_tokens_differ_and_fit() {
        let tokens: std::collections::BTreeSet<String> = (0..100).map(|_| client_token().unwrap()).collect();
        assert_eq!(tokens.len(), 100);
        assert!(tokens.iter().all(|it| it.len() == 32));
    }
}
