//! The session of an interactive task: waits for the ECS task that was started for it, opens the session, and stops the ECS task
//! however the session ends.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ready::{AGENT, Agent, agent};
use super::{End, Request, hint_of, plain, session};
use crate::aws::ecs::Described;
use crate::aws::{Aws, AwsError};
use crate::error::{Error, exit};
use crate::event::Event;
use crate::follow::words;
use crate::hints;
use crate::model::{Console, EcsTask, Ending, Outcome};
use crate::tools::signals::{self, Signals};
use crate::ui::Ui;
use crate::verdict::verdict;

/// How long ECS may not know an ECS task that it has just started.
const MISSING: Duration = Duration::from_secs(60);
/// How long an ECS task that is stopping is watched for its reasons.
const REASONS: Duration = Duration::from_secs(90);
/// How much shorter than `max-lifetime` a whole one may look by ECS's timestamps.
const WHOLE_SECONDS: Duration = Duration::from_secs(5);
/// How often StopTask is tried.
const STOPS: u32 = 5;
const POLL: Duration = Duration::from_secs(1);

/// What to do around the session.
#[derive(Debug)]
pub struct OneOff<'a> {
    /// The clients.
    pub aws: &'a Aws,
    /// The printer.
    pub ui: &'a Ui,
    /// The cluster.
    pub cluster: &'a str,
    /// The ECS task that was launched.
    pub task: &'a EcsTask,
    /// The chosen container.
    pub container: &'a str,
    /// What runs in the session, and for how long at most there can be one.
    pub console: &'a Console,
    /// From launch to RUNNING.
    pub start_timeout: Duration,
    /// From RUNNING on.
    pub timeout: Option<Duration>,
    /// Whether output is told as events.
    pub json: bool,
    /// Whether AWS's own plugin shows it.
    pub plugin: bool,
    /// Starts child processes.
    pub sh: &'a xshell::Shell,
    /// How a person stops the ECS task.
    pub by_hand: String,
}

/// Why there is no session.
enum NotReady {
    Stopped(Box<EcsTask>),
    StartTimedOut,
    Signal(u8),
    Never(Error),
}

impl OneOff<'_> {
    /// From the launched ECS task to its stop. Fills in how it ended. `signal`: one that came during the launch.
    pub async fn run(&self, ending: &mut Ending, signal: Option<u8>, signals: &mut Signals) {
        let ready = match signal {
            Some(signal) => Err(NotReady::Signal(signal)),
            None => self.wait(signals).await,
        };
        let mut is_over = false;
        match ready {
            Ok(task) => {
                let deadline = self.timeout.map(|it| Instant::now() + it.div_f64(self.aws.speed));
                let request = Request {
                    cluster: self.cluster,
                    task: &task,
                    container: self.container,
                    argv: &self.console.argv,
                    json: self.json,
                    plugin: self.plugin,
                    deadline,
                    folder: self.sh,
                };
                match session(self.aws, self.ui, &request, signals).await {
                    Ok(end) => is_over = self.conclude(ending, end, signals).await,
                    Err(error) => self.failed(ending, &error),
                }
            }
            Err(NotReady::Stopped(task)) => {
                is_over = true;
                let task = self.until_stopped(*task, signals).await;
                self.stopped(ending, &task);
            }
            Err(NotReady::StartTimedOut) => {
                ending.outcome = Outcome::NeverStarted;
                ending.exit_code = exit::FAILED;
                let timeout = words(self.start_timeout);
                ending.explanation = Some(format!("the ECS task was not RUNNING after {timeout} and was stopped"));
            }
            Err(NotReady::Signal(signal)) => interrupted(ending, signal),
            Err(NotReady::Never(error)) => self.failed(ending, &error),
        }
        if !is_over {
            self.stop(ending, signals).await;
        }
    }

    /// Until the ECS task runs and its agent, too.
    async fn wait(&self, signals: &mut Signals) -> Result<EcsTask, NotReady> {
        let start = Instant::now();
        let mut running_since = None;
        let mut told = None;
        loop {
            let call = self.aws.describe_tasks(self.cluster, std::slice::from_ref(&self.task.arn));
            let described = tokio::select! {
                described = call => described,
                signal = signals.next() => return Err(NotReady::Signal(signal)),
            };
            let since = |it: Instant| it.elapsed().mul_f64(self.aws.speed);
            match described.map(|it| it.into_iter().next().map(|it| it.1)) {
                Ok(Some(Described::Task(task))) => {
                    let status = task.last_status.clone().unwrap_or_default();
                    if task.is_stopped() || task.desired_status.as_deref() == Some("STOPPED") {
                        return Err(NotReady::Stopped(task));
                    }
                    let running = status == "RUNNING";
                    let agent = agent(&task, self.container);
                    let (status, detail) = match &agent {
                        Agent::Pending if running => (status, Some("waiting for the agent of ECS Exec".to_owned())),
                        _ => (status, None),
                    };
                    if told.as_ref() != Some(&(status.clone(), detail.clone())) {
                        self.ui.emit(Event::Status { status: status.clone(), detail: detail.clone() });
                        told = Some((status, detail));
                    }
                    if running {
                        let since_running = since(*running_since.get_or_insert_with(Instant::now));
                        match agent {
                            Agent::Running => return Ok(*task),
                            Agent::Never(why, hint) => {
                                let message = format!("no session in the ECS task {}: {why}", task.id());
                                return Err(NotReady::Never(Error::failed(message).hint(hint)));
                            }
                            Agent::Pending if since_running >= AGENT => {
                                let message = format!(
                                    "no session in the ECS task {}: the agent of ECS Exec did not start within {}",
                                    task.id(),
                                    words(AGENT)
                                );
                                return Err(NotReady::Never(Error::failed(message).hint(
                                    "the task role needs the four ssmmessages actions, and the subnets a way to ssmmessages",
                                )));
                            }
                            Agent::Pending => {}
                        }
                    }
                }
                Ok(Some(Described::Missing(reason))) if since(start) >= MISSING => {
                    let message = format!("ECS does not know the ECS task {}: {reason}", self.task.id());
                    return Err(NotReady::Never(Error::failed(message)));
                }
                Err(error) if !passes(&error) => {
                    let tried = format!("watch the ECS task {}", self.task.id());
                    return Err(NotReady::Never(error.problem(&tried, None).failed()));
                }
                Ok(_) | Err(_) => {}
            }
            if running_since.is_none() && since(start) >= self.start_timeout {
                return Err(NotReady::StartTimedOut);
            }
            tokio::select! {
                () = sleep(POLL.div_f64(self.aws.speed)) => {}
                signal = signals.next() => return Err(NotReady::Signal(signal)),
            }
        }
    }

    /// What the session's end means. Gives whether the ECS task is over, too.
    async fn conclude(&self, ending: &mut Ending, end: End, signals: &mut Signals) -> bool {
        match end {
            End::Exited(code) => {
                ending.outcome = if code == 0 { Outcome::Succeeded } else { Outcome::Failed };
                ending.exit_code = code;
            }
            end @ (End::NoCode | End::Closed { .. }) => {
                // ECS knows best where the whole ECS task went.
                if let Some(task) = self.look_for_stop(signals).await {
                    let task = self.until_stopped(task, signals).await;
                    self.stopped(ending, &task);
                    return true;
                }
                if let End::Closed { text, idle, unseen, .. } = end {
                    ending.outcome = Outcome::Failed;
                    ending.exit_code = exit::FAILED;
                    ending.explanation = Some(closed(&text, idle, unseen));
                    ending.hint = hint_of(&text);
                } else {
                    ending.outcome = Outcome::Succeeded;
                    ending.exit_code = exit::OK;
                }
            }
            End::Lost { why, hint } => {
                ending.outcome = Outcome::Unknown;
                ending.exit_code = exit::FAILED;
                ending.explanation = Some(why);
                ending.hint = hint;
            }
            End::Escaped => {
                ending.outcome = Outcome::Interrupted;
                ending.exit_code = exit::INTERRUPTED;
                ending.explanation = Some("the session was ended with ~.".to_owned());
            }
            End::Signal(signal) => interrupted(ending, signal),
            End::Stopped(task) => {
                let task = self.until_stopped(*task, signals).await;
                self.stopped(ending, &task);
                return true;
            }
            End::TimedOut => {
                ending.outcome = Outcome::TimedOut;
                ending.exit_code = exit::TIMED_OUT;
                let timeout = words(self.timeout.unwrap_or_default());
                ending.explanation = Some(format!("the timeout of {timeout} passed and the session was ended"));
            }
            End::OutputGone => {
                ending.outcome = Outcome::Failed;
                ending.exit_code = exit::FAILED;
                ending.explanation = Some("nobody reads the session's output any more".to_owned());
            }
        }
        false
    }

    /// A session that ends without a code often ends because its ECS task does: a moment later ECS says so.
    async fn look_for_stop(&self, signals: &mut Signals) -> Option<EcsTask> {
        for _ in 0..3 {
            let task = tokio::select! {
                task = self.describe() => task,
                _ = signals.next() => return None,
            };
            if let Some(task) = task.filter(|it| it.is_stopped() || it.desired_status.as_deref() == Some("STOPPED")) {
                return Some(task);
            }
            sleep(POLL.div_f64(self.aws.speed)).await;
        }
        None
    }

    async fn describe(&self) -> Option<EcsTask> {
        let described = self.aws.describe_tasks(self.cluster, std::slice::from_ref(&self.task.arn)).await.ok()?;
        match described.into_iter().next()? {
            (_, Described::Task(task)) => Some(*task),
            (_, Described::Missing(_)) => None,
        }
    }

    /// The same ECS task once its reasons are known; as it is if that takes too long or a signal comes.
    async fn until_stopped(&self, mut task: EcsTask, signals: &mut Signals) -> EcsTask {
        let start = Instant::now();
        while !task.is_stopped() && start.elapsed().mul_f64(self.aws.speed) < REASONS {
            tokio::select! {
                () = sleep(POLL.div_f64(self.aws.speed)) => {}
                _ = signals.next() => return task,
            }
            if let Some(newer) = self.describe().await {
                task = newer;
            }
        }
        task
    }

    /// The ECS task ended, and the session with it.
    fn stopped(&self, ending: &mut Ending, task: &EcsTask) {
        let chosen = task.container(self.container);
        let reason = chosen.and_then(|it| it.reason.clone());
        ending.stop_code.clone_from(&task.stop_code);
        ending.stopped_reason.clone_from(&task.stopped_reason);
        ending.container_reason.clone_from(&reason);
        let verdict = verdict(task, self.container, None);
        let lasted = lasted(task);
        // An image's own `sleep` that does not sleep, or a start script that ends, is no time that passed.
        let too_early = lasted.is_some_and(|it| it + WHOLE_SECONDS < self.console.max_lifetime);
        let waited_out = verdict.outcome == Outcome::Succeeded && !too_early;
        ending.outcome = if waited_out { Outcome::TimedOut } else { verdict.outcome };
        // The code is the waiting process's, not the session's.
        ending.exit_code = if waited_out { exit::TIMED_OUT } else { exit::FAILED };
        ending.hint = verdict.hint;
        let not_there = |it: &str| it.contains("executable file not found") || it.contains("no such file");
        let code = chosen.and_then(|it| it.exit_code);
        ending.explanation = if waited_out {
            Some(format!("max-lifetime of {} passed", words(self.console.max_lifetime)))
        } else if reason.as_deref().is_some_and(not_there) || matches!(code, Some(126 | 127)) {
            ending.hint = Some(
                "an interactive task needs `sleep` and `sh` in its image: build a stage that has them (`target`), or open a session \
                 in the service with `cargo xtask exec --service`"
                    .to_owned(),
            );
            Some("the image has no `sleep` to wait in".to_owned())
        } else if let (Some(code), true) = (code, self.by_itself(task)) {
            ending.outcome = Outcome::Failed;
            ending.hint = Some(
                "its main process should only `sleep`: look into the image's `sleep`, or build a stage that has one (`target`)".to_owned(),
            );
            let lasted = lasted.map(|it| format!(" after {}", words(it))).unwrap_or_default();
            let reason = reason.map(|it| format!(": {it}")).unwrap_or_default();
            Some(format!("the container ended by itself{lasted}, with exit code {code}, instead of waiting{reason}"))
        } else {
            let because = task.stopped_reason.clone().or(verdict.explanation);
            Some(format!("the ECS task ended: {}", because.unwrap_or_else(|| "ECS gives no reason".to_owned())))
        };
        if ending.hint.is_none() {
            ending.hint = hints::of_reason(task.stopped_reason.as_deref().unwrap_or_default());
        }
    }

    /// Whether the waiting process ended without anybody's doing.
    fn by_itself(&self, task: &EcsTask) -> bool {
        let killed = task.container(self.container).and_then(|it| it.exit_code).is_some_and(|it| it > 128);
        task.stop_code.as_deref() == Some("EssentialContainerExited") && !killed
    }

    fn failed(&self, ending: &mut Ending, error: &Error) {
        ending.outcome = Outcome::Failed;
        ending.exit_code = exit::FAILED;
        ending.explanation = Some(error.to_string());
        ending.hint = error.problems.iter().find_map(|it| it.hint.clone());
    }

    /// StopTask until it is accepted. What fails is told with the line to do it by hand; so is what a second signal cuts short.
    async fn stop(&self, ending: &mut Ending, signals: &mut Signals) {
        let mut pause = Duration::from_millis(500);
        let mut why = String::new();
        for attempt in 1..=STOPS {
            let stop = self.aws.stop_task(self.cluster, &self.task.arn, "xtask: the session is over");
            let answer = tokio::select! {
                answer = stop => answer,
                signal = signals.next() => {
                    why = format!("{} came before StopTask's answer", signals::name(i32::from(signal)));
                    break;
                }
            };
            match answer {
                Ok(()) => {
                    self.ui.note(format!("the ECS task {} is being stopped", self.task.id()));
                    return;
                }
                Err(error) => {
                    // A refusal may pass, too: StopTask may not know yet what RunTask has just accepted.
                    why = error.cause();
                    if attempt == STOPS {
                        break;
                    }
                }
            }
            tokio::select! {
                () = sleep(pause.div_f64(self.aws.speed)) => {}
                _ = signals.next() => break,
            }
            pause *= 2;
        }
        let message =
            format!("the ECS task {} may run on until its max-lifetime: StopTask failed: {why}", self.task.arn);
        self.ui.emit(Event::Warning { message, hint: Some(self.by_hand.clone()) });
        let explanation = ending.explanation.take().map(|it| format!("{it}; ")).unwrap_or_default();
        ending.explanation = Some(format!("{explanation}the ECS task may run on; {}", self.by_hand));
    }
}

/// Expired credentials pass, too: the SDK asks their source again.
fn passes(error: &AwsError) -> bool {
    error.is_transient() || error.code.as_deref().is_some_and(|it| it.contains("Expired"))
}

/// How long the containers ran, as far as ECS tells it.
fn lasted(task: &EcsTask) -> Option<Duration> {
    let end = task.execution_stopped_at.or(task.stopping_at).or(task.stopped_at)?;
    Duration::try_from_secs_f64(end.seconds_since(task.started_at?)).ok()
}

fn interrupted(ending: &mut Ending, signal: u8) {
    ending.outcome = Outcome::Interrupted;
    ending.exit_code = 128 + signal;
    ending.explanation = Some(format!("ended by {}", signals::name(i32::from(signal))));
}

/// What a session's end without an exit code means.
pub fn closed(text: &str, idle: bool, unseen: bool) -> String {
    match (text.is_empty(), idle) {
        (false, _) => format!("the session ended: {}", plain(text)),
        (true, true) => "the session ended after 20 minutes without a key, which is ECS's limit".to_owned(),
        (true, false) if unseen => {
            "the session ended while the connection was lost, and the command told no exit code".to_owned()
        }
        (true, false) => "the session ended and the command told no exit code: its shell was killed".to_owned(),
    }
}
