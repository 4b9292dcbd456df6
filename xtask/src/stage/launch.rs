//! RunTask, so that one run starts at most one ECS task and none is started without its ARN being told. A call without an answer is
//! repeated with the same client token, for which ECS gives the first call's ECS task again.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::aws::clock::Stamp;
use crate::aws::ecs::{Failure, Launched};
use crate::aws::{Aws, AwsError, Effect};
use crate::error::{Error, Problem, Result, Started};
use crate::event::Event;
use crate::exclusive::Desired;
use crate::hints;
use crate::model::{EcsTask, Plan};
use crate::plan;
use crate::stage::exclusive::{self, Look, Wish};
use crate::stage::register::TaskDefinition;
use crate::stage::shards::gate::Gate;
use crate::stage::survey::known;
use crate::tools::random::random_bytes;
use crate::tools::signals::Signals;
use crate::ui::{Ui, console_url};

/// How long faults that pass are met with another attempt.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);
/// A call without an answer is not repeated later than this: ECS keeps its token for an hour after the ECS task's end, and then the same
/// call starts a second one. By the clock on the wall too, which goes on while a laptop sleeps.
const TOKEN_LIFE: Duration = Duration::from_secs(50 * 60);
/// How long one of many waits for new credentials where nobody is there to renew them: its turn may come hours after the first one's.
const EXPIRED: Duration = Duration::from_secs(15 * 60);
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

/// What came of it.
#[derive(Debug)]
pub enum Settled {
    /// It is started.
    Running(Box<RunningTask>),
    /// Somebody else's holds the place.
    Held(Box<EcsTask>),
    /// Nothing was started, because this one has done it.
    Suffices(Box<EcsTask>),
    /// ECS has no room for it beside the others of its run; why.
    NoRoom(String),
}

/// What to start.
#[derive(Debug)]
pub struct Order<'a> {
    /// The request, and how it is called.
    pub plan: &'a Plan,
    /// The revision.
    pub definition: &'a TaskDefinition,
    /// As tasks.toml has it.
    pub cluster: &'a str,
    /// The command line that stops what this run may have started.
    pub stop_run: &'a str,
    /// Where at most one may run at a time: what is wanted, and what was seen there.
    pub single: Option<(Wish, Look)>,
    /// The ECS tasks of this run's attempts before: they are over, and none of them is the one to start.
    pub former: Vec<String>,
    /// One of many: which, and what they share.
    pub many: Option<(u32, &'a Gate)>,
}

/// Starts the ECS task.
pub async fn launch(aws: &Aws, ui: &Ui, order: Order<'_>, signals: &mut Signals) -> Result<Settled> {
    let Order { plan, definition, cluster, stop_run, single, former, many } = order;
    let mut request = match many {
        Some((shard, _)) => plan::of_shard(&plan.run_task, shard),
        None => plan.run_task.clone(),
    };
    request["taskDefinition"] = json!(definition.arn);
    let mut launch = Launch {
        aws,
        ui,
        plan,
        cluster,
        stop_run,
        signals,
        many,
        renewed: None,
        signal: None,
        unanswered: false,
        first_sent: None,
        former,
    };
    let settled = match single {
        Some((wish, look)) => Box::pin(exclusive::claim(&mut launch, &mut request, &wish, look)).await?,
        None => launch.run(&mut request).await?,
    };
    if let Settled::Running(running) = &settled {
        let arn = &running.task.arn;
        // An emulator's ECS task has no page in AWS's console.
        let console_url = if aws.endpoint_url.is_none() { console_url(arn) } else { None };
        ui.emit(Event::Launched { task_arn: Some(arn.clone()), cluster: Some(cluster.to_owned()), console_url });
    }
    Ok(settled)
}

/// The way to RunTask's answer, whatever the token is.
pub(super) struct Launch<'a> {
    pub aws: &'a Aws,
    pub ui: &'a Ui,
    pub plan: &'a Plan,
    pub cluster: &'a str,
    pub stop_run: &'a str,
    pub signals: &'a mut Signals,
    /// One of many: which, and what they share.
    many: Option<(u32, &'a Gate)>,
    /// With new credentials, after those of `aws` have expired.
    renewed: Option<Aws>,
    /// One that came while RunTask was under way.
    pub signal: Option<u8>,
    /// Whether a RunTask with the present token may have started an ECS task that we do not know.
    pub unanswered: bool,
    /// The first RunTask of this process. What was created before is not its doing, whatever run id it has.
    first_sent: Option<Stamp>,
    /// See [`Order::former`].
    pub former: Vec<String>,
}

impl Launch<'_> {
    pub const FIRST_PAUSE: Duration = Duration::from_secs(1);

    /// With a token of this run's own for every attempt.
    async fn run(&mut self, request: &mut Value) -> Result<Settled> {
        let start = Instant::now();
        let mut refusals = 0;
        let mut pause = Launch::FIRST_PAUSE;
        let mut expired = None;
        request["clientToken"] = json!(client_token()?);
        let mut token_since = Stamp::now();
        loop {
            let age = token_since.age().mul_f64(self.aws.speed);
            if self.unanswered && age > TOKEN_LIFE {
                let error = Error::failed(format!(
                    "cannot start `{}` in `{}`: RunTask was not answered, and it is too late to repeat it",
                    self.plan.task, self.plan.environment
                ));
                return self.found_or(error).await;
            }
            match self.attempt(request).await? {
                Ok(Launched::Task(task)) => return Ok(self.running(*task)),
                Ok(Launched::Failures(failures)) if failures.is_empty() => {
                    // Neither yes nor no: the token stays, so that asking again starts no second one.
                    self.unanswered = true;
                    refusals += 1;
                    if refusals > PASSING_REFUSALS {
                        return self.found_or(self.refused(&failures)).await;
                    }
                    self.warn(&format!("{}; trying again", reasons(&failures)));
                    self.wait(&mut pause).await?;
                    continue;
                }
                // A definite no: a new token, because ECS answers the old one with the same.
                Ok(Launched::Failures(failures)) => {
                    self.unanswered = false;
                    if let Some(why) = self.no_room(&failures) {
                        return Ok(Settled::NoRoom(why));
                    }
                    refusals += 1;
                    self.bear_failures(&failures, refusals)?;
                    request["clientToken"] = json!(client_token()?);
                    token_since = Stamp::now();
                }
                // Nobody else has this token: what holds it is what an earlier call of ours started.
                Ok(Launched::Conflict(arns)) => {
                    self.unanswered = true;
                    refusals += 1;
                    let message = format!("ECS says that the client token is in use: {}", arns.join(", "));
                    let described = self.aws.describe_tasks(self.cluster, &arns).await.unwrap_or_default();
                    if let Some(task) = known(described).find(|it| self.is_ours(it)) {
                        self.warn(&message);
                        return Ok(self.running(task));
                    }
                    if refusals > PASSING_REFUSALS {
                        return self.found_or(Error::failed(message)).await;
                    }
                    self.warn(&format!("{message}; trying again"));
                }
                Err(error) => {
                    self.unanswered |= error.effect == Effect::Unknown;
                    if !self.unanswered && is_a_limit(&error) && self.others() {
                        return Ok(Settled::NoRoom(error.cause()));
                    }
                    if !self.bears(&error, start)
                        && !self.renews(&error, *expired.get_or_insert_with(Instant::now)).await
                    {
                        return self.found_or(self.problem(&error)).await;
                    }
                }
            }
            self.wait(&mut pause).await?;
        }
    }

    /// Whether new credentials are waited for; `since`: for how long they have been. They are asked for at their source.
    async fn renews(&mut self, error: &AwsError, since: Instant) -> bool {
        let patient = self.ui.can_ask() || since.elapsed().mul_f64(self.aws.speed) < EXPIRED;
        if self.many.is_none() || !error.is_credentials() || !patient {
            return false;
        }
        if self.renewed.is_none() {
            self.warn(&format!("cannot start the ECS task: {}; waiting for new credentials", error.cause()));
        }
        if let Ok(aws) = self.aws.renewed().await {
            self.renewed = Some(aws);
        }
        true
    }

    fn running(&self, task: EcsTask) -> Settled {
        Settled::Running(Box::new(RunningTask { task, signal: self.signal }))
    }

    /// Whether others of this run are launching or alive.
    fn others(&self) -> bool {
        self.many.is_some_and(|it| it.1.others())
    }

    /// Why one of many has to wait for the end of another.
    fn no_room(&self, failures: &[Failure]) -> Option<String> {
        let scarce = |it: &Failure| is_passing(&it.reason) || it.reason.starts_with("RESOURCE:");
        (self.signal.is_none() && self.others() && failures.iter().all(scarce)).then(|| reasons(failures))
    }

    /// Goes on after failures that may pass; `refusals`: how many there were.
    pub fn bear_failures(&self, failures: &[Failure], refusals: u32) -> Result<()> {
        if refusals > PASSING_REFUSALS || !failures.iter().all(|it| is_passing(&it.reason)) {
            return Err(self.refused(failures));
        }
        self.warn(&format!("ECS could not place the ECS task: {}", reasons(failures)));
        Ok(())
    }

    /// Whether an error may pass, which is told then; `since`: when they began.
    fn bears(&self, error: &AwsError, since: Instant) -> bool {
        let throttled = error.effect == Effect::Throttled;
        // Of many all are throttled together, and as long as one gets through it is only slow.
        let since =
            self.many.filter(|_| throttled).and_then(|it| it.1.last_success()).map_or(since, |it| it.max(since));
        let patient = since.elapsed().mul_f64(self.aws.speed) < PATIENCE;
        let bears = error.is_transient() && patient;
        if bears && self.many.is_some_and(|it| throttled && it.1.is_told()) {
            return true;
        }
        if bears {
            self.warn(&format!("cannot start the ECS task: {}; trying again", error.cause()));
        }
        bears
    }

    /// Goes on after an error that may pass; `since`: when they began.
    pub async fn bear_error(&mut self, error: &AwsError, since: Instant) -> Result<()> {
        if self.bears(error, since) {
            return Ok(());
        }
        let failed = self.problem(error);
        Err(self.with_effect(failed).await)
    }

    fn problem(&self, error: &AwsError) -> Error {
        let tried = format!("start `{}` in `{}`", self.plan.task, self.plan.environment);
        error.problem(&tried, None).failed()
    }

    /// One call. A signal that comes meanwhile is kept: the call goes on, because only its answer tells the ARN to stop. A second
    /// signal gives the answer up.
    pub async fn attempt(&mut self, request: &Value) -> Result<Result<Launched, AwsError>> {
        if let Some((_, gate)) = self.many {
            self.rest(gate.wait_to_run()).await?;
        }
        self.first_sent.get_or_insert_with(Stamp::now);
        let answer = self.answer(request).await?;
        if let Some((_, gate)) = self.many {
            match &answer {
                Err(error) if error.effect == Effect::Throttled => gate.run_throttled(),
                Err(_) => {}
                Ok(_) => gate.run_answered(),
            }
        }
        Ok(answer)
    }

    async fn answer(&mut self, request: &Value) -> Result<Result<Launched, AwsError>> {
        let aws = self.renewed.clone();
        let call = aws.as_ref().unwrap_or(self.aws).run_task(request);
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
                    if self.many.is_some() {
                        continue;
                    }
                    self.warn("waiting for RunTask's answer, to stop what it starts; the same signal again gives it up");
                }
            }
        }
    }

    /// The pause before the next attempt, twice as long each time. A signal ends the run here: no call is under way.
    pub async fn wait(&mut self, pause: &mut Duration) -> Result<()> {
        let jitter = f64::from(random_bytes::<1>()?[0]) / 512.0;
        let time = pause.mul_f64((0.75 + jitter) / self.aws.speed);
        *pause = (*pause * 2).min(Duration::from_secs(20));
        self.rest(time).await
    }

    /// Waits for so long, unless a signal comes (or came).
    pub async fn rest(&mut self, time: Duration) -> Result<()> {
        if let Some(signal) = self.signal {
            return Err(self.interrupted(signal).await);
        }
        tokio::select! {
            () = sleep(time) => Ok(()),
            signal = self.signals.next() => Err(self.interrupted(signal).await),
        }
    }

    pub async fn interrupted(&mut self, signal: u8) -> Error {
        let error = Error::interrupted(signal, "the signal came before the ECS task was known");
        self.with_effect(error).await
    }

    /// After calls without an answer ECS is asked: what they started is this run's ECS task, also where it is over by now.
    async fn found_or(&mut self, error: Error) -> Result<Settled> {
        if !self.unanswered {
            return Err(error.done("the task definition is registered, no ECS task was started"));
        }
        match self.search().await {
            Search::Found(task) => {
                self.warn("RunTask's answer was lost, but ECS knows an ECS task of this run: it is followed");
                Ok(self.running(*task))
            }
            other => Err(self.nothing_found(error, &other)),
        }
    }

    fn nothing_found(&self, error: Error, search: &Search) -> Error {
        let found = match search {
            Search::Unlisted => "ECS could not be asked what it started",
            _ => "ECS lists no ECS task of this run, but may still start one",
        };
        let done = format!("RunTask was sent and not answered; {found}: `{}` stops it", self.stop_run);
        error.done(done).started(Started::Perhaps)
    }

    /// Looks for what a call without an answer has started. A signal gives it up; what to do by hand is told before.
    async fn search(&mut self) -> Search {
        self.warn(&format!(
            "RunTask was sent and not answered: looking for what it started; `{}` stops it in any case",
            self.stop_run
        ));
        let Launch { aws, plan, cluster, many, first_sent, .. } = *self;
        let former = self.former.clone();
        let sought = Sought::new(aws, plan, many, first_sent, &former);
        tokio::select! {
            found = started(&sought, cluster) => found,
            _ = self.signals.next() => Search::Unlisted,
        }
    }

    /// Whether an ECS task was started by this run, in this process.
    fn is_ours(&self, task: &EcsTask) -> bool {
        self.sought().is_ours(task)
    }

    fn sought(&self) -> Sought<'_> {
        Sought::new(self.aws, self.plan, self.many, self.first_sent, &self.former)
    }

    fn refused(&self, failures: &[Failure]) -> Error {
        let message =
            format!("cannot start `{}` in `{}`: {}", self.plan.task, self.plan.environment, reasons(failures));
        let mut problem = Problem::new(message);
        problem.hint = failures.iter().find_map(|it| hints::of_reason(&it.reason));
        let mut error = problem.failed().done("the task definition is registered, no ECS task was started");
        error.no_room = !failures.is_empty() && failures.iter().all(|it| is_passing(&it.reason));
        error
    }

    /// Says what may have been started. After a call without an answer ECS is asked, and what it lists is stopped.
    pub async fn with_effect(&mut self, error: Error) -> Error {
        if !self.unanswered {
            return error.done("the task definition is registered, no ECS task was started");
        }
        let task = match self.search().await {
            Search::Found(task) => task,
            other => return self.nothing_found(error, &other),
        };
        let error = error.started(Started::Task(task.arn.clone()));
        if task.is_stopped() {
            return error.done(format!("{} was started and is over", task.arn));
        }
        match self.aws.stop_task(self.cluster, &task.arn, "xtask: RunTask's answer was lost").await {
            Ok(()) => error.done(format!("{} was started and is being stopped", task.arn)),
            Err(stop) => error.done(format!(
                "{} was started and may run on: StopTask failed: {}; `{}` stops it",
                task.arn,
                stop.cause(),
                self.stop_run
            )),
        }
    }

    pub fn warn(&self, message: &str) {
        self.ui.emit(Event::Warning { message: message.to_owned(), hint: None });
    }
}

/// What a search for a lost ECS task came to.
enum Search {
    Found(Box<EcsTask>),
    /// ECS lists none.
    None,
    /// ECS could not be asked to the end.
    Unlisted,
}

/// What a lost ECS task is known by.
struct Sought<'a> {
    aws: &'a Aws,
    plan: &'a Plan,
    /// Of one of many: they differ by it alone.
    shard: Option<String>,
    first_sent: Option<Stamp>,
    /// Those of the attempts before.
    former: &'a [String],
}

impl<'a> Sought<'a> {
    fn new(
        aws: &'a Aws,
        plan: &'a Plan,
        many: Option<(u32, &Gate)>,
        first_sent: Option<Stamp>,
        former: &'a [String],
    ) -> Sought<'a> {
        Sought { aws, plan, shard: many.map(|it| it.0.to_string()), first_sent, former }
    }

    /// Whether this run started it, in this process: a run id may be used again, and what an earlier process started under it is
    /// older than our first call.
    fn is_ours(&self, task: &EcsTask) -> bool {
        let started_by = self.plan.run_task.get("startedBy").and_then(Value::as_str);
        let since = self.first_sent.and_then(|it| self.aws.clock.at(it)).map(|it| it.earliest);
        let is_older = matches!((task.created_at, since), (Some(created), Some(since)) if created.0 < since.0 - 2_000);
        let is_shard = self.shard.as_deref().is_none_or(|it| task.variable(plan::SHARD) == Some(it));
        let is_former = self.former.contains(&task.arn);
        task.started_by.as_deref() == started_by && is_shard && !is_older && !is_former
    }
}

/// The ECS task of this run, looked for among those of the family, running and stopped: a list may lag behind.
async fn started(sought: &Sought<'_>, cluster: &str) -> Search {
    let Sought { aws, plan, .. } = sought;
    let family = plan.definition.get("family").and_then(Value::as_str).unwrap_or_default();
    let mut search = Search::Unlisted;
    for _ in 0..5 {
        let (running, stopped) = tokio::join!(
            aws.family_tasks(cluster, family, Desired::Running),
            aws.family_tasks(cluster, family, Desired::Stopped)
        );
        let mut whole = running.is_ok() && stopped.is_ok();
        let mut arns = running.unwrap_or_default();
        arns.extend(stopped.unwrap_or_default());
        for arns in arns.chunks(100) {
            let described = aws.describe_tasks(cluster, arns).await;
            whole &= described.is_ok();
            let ours = known(described.unwrap_or_default()).find(|it| sought.is_ours(it));
            if let Some(ours) = ours {
                return Search::Found(Box::new(ours));
            }
        }
        search = if whole { Search::None } else { Search::Unlisted };
        sleep(Duration::from_secs(2).div_f64(aws.speed)).await;
    }
    search
}

/// A limit of the account: the end of another ECS task makes room.
fn is_a_limit(error: &AwsError) -> bool {
    error.is("LimitExceededException") || error.message.contains("reached the limit")
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
