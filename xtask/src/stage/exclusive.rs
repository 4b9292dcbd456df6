//! Carries out what `exclusive` decides: looks who holds a place, asks for it with the chain's tokens, and says who has it. The loser
//! gets the holder; what is done with that is the verb's decision.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::aws::clock::Stamp;
use crate::aws::ecs::{Described, Launched};
use crate::aws::{Aws, AwsError, Effect};
use crate::error::{Error, Problem, Result};
use crate::exclusive::once::Same;
use crate::exclusive::{Claim, EMPTY_CONFLICT_PAUSE, Moment, PLACE_VARIABLE, Place, RULES, Seen, Step};
use crate::follow::words;
use crate::model::{EcsTask, Timestamp};
use crate::plan::EXCLUSIVE;
use crate::stage::find::side_by_side;
use crate::stage::launch::{Launch, PATIENCE, RunningTask, Settled};

/// ECS lists an ECS task and does not describe it: how often it is asked again, once a second, before that is how it stays.
const MISSING_LOOKS: u32 = 120;
/// DescribeTasks takes so many.
const BATCH: usize = 100;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Where at most one ECS task may run at a time.
    pub place: Place,
    /// With `--once`: what will run, where it is known.
    pub same: Option<Same>,
}

impl Wish {
    /// What the claim is to know of an ECS task of the family. `None`: it has nothing to do with the place.
    fn seen(&self, arn: &str, task: Option<&EcsTask>) -> Option<Seen> {
        let same = |it: &EcsTask| self.same.as_ref().is_some_and(|same| same.is(it));
        let suffices = task.is_some_and(|it| self.same.as_ref().is_some_and(|same| same.is_done_by(it)));
        let seen = Seen::new(arn, task, &self.place, suffices);
        // The place of a family is everybody's in it; that of `--once` is for the same alone.
        let counts = self.place.name == EXCLUSIVE || seen.in_chain || task.is_none_or(same);
        counts.then_some(seen)
    }

    /// Whether an ECS task runs what is to run once.
    pub fn is_same(&self, task: &EcsTask) -> bool {
        let in_chain = self.place.name != EXCLUSIVE && Seen::new(&task.arn, Some(task), &self.place, false).in_chain;
        in_chain || self.same.as_ref().is_some_and(|it| it.is(task))
    }
}

/// The ECS tasks of a family: both lists, in their order.
#[derive(Debug, Clone)]
pub struct Listing {
    /// When the first list was asked for.
    pub asked: Stamp,
    /// What is on either.
    pub arns: Vec<String>,
}

/// What is known of them.
#[derive(Debug, Clone)]
pub struct Look {
    asked: Stamp,
    /// `None`: MISSING.
    tasks: Vec<(String, Option<EcsTask>)>,
}

/// Describes what was listed.
pub async fn describe(aws: &Aws, cluster: &str, listing: Listing) -> Result<Look, AwsError> {
    let Listing { asked, mut arns } = listing;
    arns.sort_unstable();
    arns.dedup();
    let tasks = describe_all(aws, cluster, &arns).await?;
    Ok(Look { asked, tasks })
}

async fn describe_all(aws: &Aws, cluster: &str, arns: &[String]) -> Result<Vec<(String, Option<EcsTask>)>, AwsError> {
    let mut tasks = Vec::new();
    for described in side_by_side(arns.chunks(BATCH).map(|it| aws.describe_tasks(cluster, it)).collect()).await {
        tasks.extend(described?.into_iter().map(|(arn, it)| match it {
            Described::Task(task) => (arn, Some(*task)),
            Described::Missing(_) => (arn, None),
        }));
    }
    Ok(tasks)
}

/// Looks who is in a family now.
pub async fn look(aws: &Aws, cluster: &str, family: &str) -> Result<Look, AwsError> {
    let asked = Stamp::now();
    let mut arns = aws.family_tasks(cluster, family, RULES.lists[0]).await?;
    arns.extend(aws.family_tasks(cluster, family, RULES.lists[1]).await?);
    describe(aws, cluster, Listing { asked, arns }).await
}

/// What a look alone says, before anything is built. `None`: the place seems free.
pub fn early(aws: &Aws, wish: &Wish, look: &Look) -> Result<Option<Settled>> {
    let mut claim = Claim::new(wish.place.clone(), String::new(), RULES);
    let step = claim.looked(at(aws, look.asked)?, &seen(wish, look), now(aws)?);
    let known = |arns: &[String]| {
        let newest = look.tasks.iter().filter(|it| arns.contains(&it.0)).filter_map(|it| it.1.as_ref());
        newest.max_by_key(|it| it.created_at).cloned()
    };
    Ok(match step {
        Step::Held(arns) => known(&arns).map(|it| Settled::Held(Box::new(it))),
        Step::Suffices(arn) => known(&[arn]).map(|it| Settled::Suffices(Box::new(it))),
        _ => None,
    })
}

fn seen(wish: &Wish, look: &Look) -> Vec<Seen> {
    look.tasks.iter().filter_map(|(arn, task)| wish.seen(arn, task.as_ref())).collect()
}

fn now(aws: &Aws) -> Result<Moment> {
    at(aws, Stamp::now())
}

fn at(aws: &Aws, stamp: Stamp) -> Result<Moment> {
    aws.clock.at(stamp).ok_or_else(|| {
        Error::failed("the answers of ECS have no header Date, by which exclusive runs agree on the time")
            .hint("check the proxy or the endpoint between here and AWS")
    })
}

/// Asks for the place until it is ours or somebody else's.
pub(super) async fn claim(launch: &mut Launch<'_>, request: &mut Value, wish: &Wish, look: Look) -> Result<Settled> {
    let started_by = request.get("startedBy").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut claim = Claim::new(wish.place.clone(), started_by, RULES);
    claim.before.clone_from(&launch.former);
    let claiming = Claiming {
        launch,
        wish,
        claim,
        known: BTreeMap::new(),
        refusals: 0,
        missing: 0,
        are_named: false,
        pause: Launch::FIRST_PAUSE,
        trouble: None,
    };
    // On the heap: the futures of the SDK's calls are large.
    Box::pin(claiming.run(request, look)).await
}

struct Claiming<'a, 'b> {
    launch: &'a mut Launch<'b>,
    wish: &'a Wish,
    claim: Claim,
    /// What ECS said last of each.
    known: BTreeMap<String, EcsTask>,
    refusals: u32,
    missing: u32,
    /// Whether those that are asked about were named by a conflict, rather than listed.
    are_named: bool,
    pause: Duration,
    /// Since when no call has been answered.
    trouble: Option<Instant>,
}

impl Claiming<'_, '_> {
    async fn run(mut self, request: &mut Value, look: Look) -> Result<Settled> {
        let mut step = self.looked(look)?;
        loop {
            self.launch.unanswered = self.claim.is_unanswered;
            if let Some(signal) = self.launch.signal
                && !matches!(step, Step::Won(_) | Step::Misplaced(_))
            {
                return Err(self.launch.interrupted(signal).await);
            }
            step = match step {
                Step::Look => Box::pin(self.look()).await?,
                Step::Wait(until) => {
                    self.wait(until).await?;
                    Step::Look
                }
                Step::Pause => {
                    let pause = EMPTY_CONFLICT_PAUSE.div_f64(self.launch.aws.speed);
                    self.launch.rest(pause).await?;
                    self.claim.again(self.now()?)
                }
                Step::Run(token) => self.ask(request, token).await?,
                Step::Describe(arns) => self.describe(&arns).await?,
                Step::Held(arns) => match self.holder(&arns) {
                    Some(task) => return Ok(Settled::Held(Box::new(task))),
                    None => self.look_for_missing(&arns).await?,
                },
                Step::Suffices(arn) => return Ok(Settled::Suffices(Box::new(self.task(arn)))),
                Step::Won(arn) => {
                    let task = self.task(arn);
                    return Ok(Settled::Running(Box::new(RunningTask { task, signal: self.launch.signal })));
                }
                Step::Misplaced(arn) => return Err(self.misplaced(arn).await),
            };
        }
    }

    fn now(&self) -> Result<Moment> {
        now(self.launch.aws)
    }

    fn task(&self, arn: String) -> EcsTask {
        self.known.get(&arn).cloned().unwrap_or(EcsTask { arn, ..EcsTask::default() })
    }

    /// The newest of those that are known to run.
    fn holder(&self, arns: &[String]) -> Option<EcsTask> {
        let known = arns.iter().filter_map(|it| self.known.get(it));
        known.max_by_key(|it| it.created_at).cloned()
    }

    fn looked(&mut self, look: Look) -> Result<Step> {
        let at = at(self.launch.aws, look.asked)?;
        let seen = seen(self.wish, &look);
        (self.are_named, self.trouble) = (false, None);
        self.remember(look.tasks);
        Ok(self.claim.looked(at, &seen, self.now()?))
    }

    fn remember(&mut self, tasks: Vec<(String, Option<EcsTask>)>) {
        for (arn, task) in tasks {
            match task {
                Some(task) => self.known.insert(arn, task),
                None => self.known.remove(&arn),
            };
        }
    }

    async fn look(&mut self) -> Result<Step> {
        loop {
            let Launch { aws, cluster, .. } = *self.launch;
            let family = self.wish.place.family.clone();
            match self.reading(Box::pin(look(aws, cluster, &family))).await? {
                Ok(look) => return self.looked(look),
                Err(error) => self.bear(&error, "look who holds the place").await?,
            }
        }
    }

    async fn describe(&mut self, arns: &[String]) -> Result<Step> {
        loop {
            let Launch { aws, cluster, .. } = *self.launch;
            match self.reading(describe_all(aws, cluster, arns)).await? {
                Ok(tasks) => {
                    self.trouble = None;
                    // Whoever holds our token is of this place, whatever else it is.
                    let seen: Vec<Seen> = tasks
                        .iter()
                        .map(|(arn, task)| {
                            let done = |it: &EcsTask| self.wish.same.as_ref().is_some_and(|same| same.is_done_by(it));
                            Seen::new(arn, task.as_ref(), &self.wish.place, task.as_ref().is_some_and(done))
                        })
                        .collect();
                    self.remember(tasks);
                    return Ok(self.claim.described(&seen, self.now()?));
                }
                Err(error) => self.bear(&error, "read who holds the place").await?,
            }
        }
    }

    /// A read; a signal ends the run.
    async fn reading<T>(&mut self, read: impl Future<Output = T>) -> Result<T> {
        let launch = &mut *self.launch;
        let signal = tokio::select! {
            read = read => return Ok(read),
            signal = launch.signals.next() => signal,
        };
        Err(launch.interrupted(signal).await)
    }

    /// Waits after a fault that may pass; fails for one that doesn't.
    async fn bear(&mut self, error: &AwsError, tried: &str) -> Result<()> {
        let since = *self.trouble.get_or_insert_with(Instant::now);
        if !error.is_transient() || since.elapsed().mul_f64(self.launch.aws.speed) >= PATIENCE {
            let failed = error.problem(tried, None).failed();
            return Err(self.launch.with_effect(failed).await);
        }
        self.launch.warn(&format!("cannot {tried}: {}; trying again", error.cause()));
        self.launch.wait(&mut self.pause).await
    }

    /// RunTask, and what its answer means.
    async fn ask(&mut self, request: &mut Value, token: String) -> Result<Step> {
        request["clientToken"] = json!(token);
        set_place(request, &self.wish.place.variable(self.claim.attempt));
        let error = match self.launch.attempt(request).await? {
            Ok(Launched::Task(task)) => {
                self.trouble = None;
                let seen = Seen::new(&task.arn, Some(&task), &self.wish.place, false);
                self.known.insert(task.arn.clone(), *task);
                return Ok(self.claim.started(&seen, self.now()?));
            }
            Ok(Launched::Conflict(arns)) => {
                (self.are_named, self.trouble) = (true, None);
                return Ok(self.claim.conflict(arns, self.now()?));
            }
            Ok(Launched::Failures(failures)) => {
                self.trouble = None;
                self.claim.failures();
                self.launch.unanswered = false;
                self.refusals += 1;
                self.launch.bear_failures(&failures, self.refusals)?;
                self.launch.wait(&mut self.pause).await?;
                return Ok(self.claim.again(self.now()?));
            }
            Err(error) => error,
        };
        if error.effect == Effect::Unknown {
            self.claim.unanswered();
            self.launch.unanswered = true;
        }
        let since = *self.trouble.get_or_insert_with(Instant::now);
        self.launch.bear_error(&error, since).await?;
        self.launch.wait(&mut self.pause).await?;
        Ok(self.claim.again(self.now()?))
    }

    async fn wait(&mut self, until: Timestamp) -> Result<()> {
        let millis = u64::try_from(until.0 - self.now()?.earliest.0).unwrap_or(0);
        let time = Duration::from_millis(millis);
        self.launch.warn(&format!(
            "waiting for {}: exclusive runs start in windows of {}, and this one is about to close",
            words(Duration::from_secs(time.as_secs() + 1)),
            words(Duration::from_millis(RULES.window.unsigned_abs())),
        ));
        self.launch.rest(time.div_f64(self.launch.aws.speed)).await
    }

    /// ECS lists (or names) ECS tasks that it does not describe: mostly because they are so new.
    async fn look_for_missing(&mut self, arns: &[String]) -> Result<Step> {
        self.missing += 1;
        if self.missing > MISSING_LOOKS {
            let message = format!(
                "cannot start `{}` in `{}`: ECS lists {} and does not say whether it runs",
                self.launch.plan.task,
                self.launch.plan.environment,
                arns.join(", ")
            );
            return Err(self.launch.with_effect(Problem::new(message).hint("try again in a minute").failed()).await);
        }
        self.launch.rest(Duration::from_secs(1).div_f64(self.launch.aws.speed)).await?;
        // What a conflict names the lists may not have yet; what was listed may have been forgotten since.
        Ok(if self.are_named { Step::Describe(arns.to_vec()) } else { Step::Look })
    }

    /// It came about so late that a caller of the next window may not see it.
    async fn misplaced(&mut self, arn: String) -> Error {
        let stopped = self.launch.aws.stop_task(self.launch.cluster, &arn, "xtask: started outside its window").await;
        let what = match stopped {
            Ok(()) => format!("{arn} is being stopped"),
            Err(error) => format!("{arn} may run on: StopTask failed: {}", error.cause()),
        };
        let message = format!(
            "cannot run `{}` in `{}`: its ECS task came about so late that others may not see it",
            self.launch.plan.task, self.launch.plan.environment
        );
        Problem::new(message).hint("run it again").failed().done(what)
    }
}

/// Puts the place among the variables of the request.
fn set_place(request: &mut Value, value: &str) {
    let variables = request.pointer_mut("/overrides/containerOverrides/0/environment").and_then(Value::as_array_mut);
    let Some(variables) = variables else { return };
    let is_place = |it: &Value| it.get("name").and_then(Value::as_str) == Some(PLACE_VARIABLE);
    variables.retain(|it| !is_place(it));
    variables.push(json!({ "name": PLACE_VARIABLE, "value": value }));
}
