//! Finds the ECS tasks that this tool started, in any terminal and on any machine, by the families of the tasks in tasks.toml. ECS is the
//! state: it lists an ECS task until about an hour after its end, and CloudWatch Logs keeps the output for longer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::aws::ecs::Described;
use crate::aws::logs::LogRead;
use crate::aws::{Aws, AwsError};
use crate::error::{Error, Problem, Result};
use crate::exclusive::Desired;
use crate::model::{EcsTask, Identity, LogLocation};
use crate::ours::{self, Wanted};
use crate::plan;
use crate::resolve::{Place, PlacedTask};
use crate::stage::survey;

/// Calls of one kind that are under way at once: far below the burst that ECS allows.
const SIDE_BY_SIDE: usize = 10;
/// DescribeTasks takes so many.
const BATCH: usize = 100;
/// ECS may not know for a moment what it has just accepted: so often it is asked again.
const LOOKS: u32 = 4;

/// A place with the way to it.
#[derive(Debug)]
pub struct Ground {
    /// The clients.
    pub aws: Aws,
    /// The environment's name.
    pub environment: String,
    /// Cluster, account and tasks.
    pub place: Place,
}

impl Ground {
    /// The cluster as tasks.toml has it.
    pub fn cluster(&self) -> &str {
        &self.place.cluster.value
    }

    /// Refuses where the credentials are for another account than tasks.toml names. Without one there is no call.
    pub async fn guard(&self) -> Result<()> {
        match self.place.settings.account {
            Some(_) => self.identity().await.map(drop),
            None => Ok(()),
        }
    }

    /// Who calls, guarded like that.
    pub async fn identity(&self) -> Result<Identity> {
        let identity = self.aws.caller_identity().await;
        let identity = identity.map_err(|it| it.problem("ask AWS who calls", None).failed())?;
        plan::guard_account(&self.environment, &self.place.settings, &identity)?;
        Ok(identity)
    }

    /// The task of tasks.toml that an ECS task is an execution of.
    fn task_of(&self, task: &EcsTask) -> Option<&PlacedTask> {
        let family = ours::family_of(task.task_definition_arn.as_deref()?);
        self.place.tasks.iter().find(|it| ours::family(&self.environment, &it.name) == family)
    }

    async fn failed(&self, error: AwsError, tried: &str) -> Error {
        match survey::no_cluster(&self.aws, &self.place.cluster, &error).await {
            Some(error) => error,
            None => error.problem(tried, None).failed(),
        }
    }
}

/// An ECS task that was found.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// Where.
    pub ground: &'a Ground,
    /// The task of tasks.toml.
    pub name: String,
    /// As DescribeTasks tells it.
    pub task: EcsTask,
}

/// An ECS task that ECS has forgotten, with the output that there still is.
#[derive(Debug, Clone)]
pub struct Forgotten<'a> {
    /// Where.
    pub ground: &'a Ground,
    /// The task of tasks.toml.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Where its output is.
    pub logs: LogLocation,
}

/// What an id of the command line stands for.
#[derive(Debug)]
pub enum Sought<'a> {
    /// ECS knows it.
    Task(Box<Found<'a>>),
    /// Only its output is left.
    Forgotten(Box<Forgotten<'a>>),
}

/// What is wanted with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// To look at it: a task's name is its newest.
    Looking,
    /// To stop it: a task's name is the one that runs.
    Stopping,
}

/// Every ECS task of these places, the newest first; `only`: of this task.
pub async fn list<'a>(grounds: &'a [Ground], only: Option<&str>) -> Result<Vec<Found<'a>>> {
    let mut found = Vec::new();
    for ground in grounds {
        let names: Vec<&str> = ground
            .place
            .tasks
            .iter()
            .map(|it| it.name.as_str())
            .filter(|it| only.is_none_or(|only| only == *it))
            .collect();
        if names.is_empty() {
            continue;
        }
        let (guard, tasks) = tokio::join!(ground.guard(), of_families(ground, &names));
        // The account first: with other credentials nothing that was read counts.
        guard?;
        found.extend(tasks?);
    }
    found.sort_by_key(|it| std::cmp::Reverse(it.task.created_at));
    Ok(found)
}

async fn of_families<'a>(ground: &'a Ground, names: &[&str]) -> Result<Vec<Found<'a>>> {
    // Desired STOPPED holds those that are still being stopped, too.
    let lists = names.iter().flat_map(|name| {
        let family = ours::family(&ground.environment, name);
        [Desired::Running, Desired::Stopped].map(|desired| {
            let family = family.clone();
            async move { ground.aws.family_tasks(ground.cluster(), &family, desired).await }
        })
    });
    let mut arns: Vec<String> = Vec::new();
    for listed in side_by_side(lists.collect()).await {
        match listed {
            Ok(listed) => arns.extend(listed),
            Err(error) => return Err(ground.failed(error, "list the ECS tasks").await),
        }
    }
    // One that is stopped between the two lists is in both.
    arns.sort_unstable();
    arns.dedup();
    let batches = arns.chunks(BATCH).map(|it| ground.aws.describe_tasks(ground.cluster(), it));
    let mut found = Vec::new();
    for described in side_by_side(batches.collect()).await {
        match described {
            Ok(described) => found.extend(survey::known(described).filter_map(|task| {
                let name = ground.task_of(&task)?.name.clone();
                Some(Found { ground, name, task })
            })),
            Err(error) => return Err(ground.failed(error, "read the ECS tasks").await),
        }
    }
    Ok(found)
}

/// The ECS tasks of a run that are not STOPPED; where there is none, those that are. One that was just started is looked for more than once,
/// also beside an older attempt with the same id that is over.
pub async fn of_run<'a>(grounds: &'a [Ground], run: &str) -> Result<Vec<Found<'a>>> {
    let mut look = 1;
    loop {
        let mut found = list(grounds, None).await?;
        found.retain(|it| ours::run_id(&it.task) == Some(run));
        let stopped = found.iter().all(|it| it.task.is_stopped());
        if !stopped {
            found.retain(|it| !it.task.is_stopped());
        }
        if !stopped || look == LOOKS {
            return Ok(found);
        }
        look += 1;
        pause(grounds).await;
    }
}

/// What an id of the command line stands for.
pub async fn find<'a>(grounds: &'a [Ground], text: &str, purpose: For) -> Result<Sought<'a>> {
    let names: Vec<&str> = grounds.iter().flat_map(|it| &it.place.tasks).map(|it| it.name.as_str()).collect();
    let environment = grounds.first().map(|it| it.environment.as_str()).unwrap_or_default();
    let listed = format!("`cargo xtask ps --all -e {environment}` lists what there is");
    let wanted = ours::wanted(text, &names).map_err(|it| Error::refused(it).hint(listed.clone()))?;
    let (found, nothing) = match wanted {
        Wanted::Task(name) => {
            let nothing =
                format!("ECS lists no ECS task of `{name}` in `{environment}`: it forgets one an hour after its end");
            (of_task(list(grounds, Some(&name)).await?, purpose)?, nothing)
        }
        Wanted::Start(start) => {
            let mut found = list(grounds, None).await?;
            found.retain(|it| it.task.id().starts_with(&start));
            let nothing =
                format!("ECS lists no ECS task of this tool in `{environment}` whose id begins with `{start}`");
            (only_one(found, &format!("`{start}` is the start of several ids"))?, nothing)
        }
        Wanted::Id(id) => return by_id(grounds.iter().collect(), &id, environment).await,
        Wanted::Arn { region, cluster, id } => {
            let there = |it: &&Ground| {
                let name = it.cluster().rsplit('/').next();
                it.aws.region.value == region && cluster.as_deref().is_none_or(|cluster| name == Some(cluster))
            };
            let there: Vec<&Ground> = grounds.iter().filter(there).collect();
            if there.is_empty() {
                let cluster = cluster.unwrap_or_default();
                let message = format!("`{environment}` has no tasks in the cluster `{cluster}` of {region}");
                return Err(Error::refused(message).hint("choose the environment that it was started in: -e"));
            }
            return by_id(there, &id, environment).await;
        }
    };
    match found {
        Some(found) => Ok(Sought::Task(Box::new(found))),
        None => Err(Error::refused(nothing).hint(listed)),
    }
}

/// The newest; for stopping the one that runs, since it would be wrong to guess which.
fn of_task(found: Vec<Found<'_>>, purpose: For) -> Result<Option<Found<'_>>> {
    let alive: Vec<Found<'_>> = found.iter().filter(|it| !it.task.is_stopped()).cloned().collect();
    if purpose == For::Stopping && !alive.is_empty() {
        let name = alive[0].name.clone();
        return only_one(alive, &format!("several ECS tasks of `{name}` run"));
    }
    one_of_many_shards(&found)?;
    Ok(found.into_iter().next())
}

/// The newest of a run of many shards is any of them: which one is meant has to be said.
fn one_of_many_shards(found: &[Found<'_>]) -> Result<()> {
    let Some(newest) = found.first().filter(|it| ours::shard(&it.task).is_some_and(|it| it.of > 1)) else {
        return Ok(());
    };
    let run = ours::run_id(&newest.task);
    let mut of_run: Vec<&Found<'_>> = found.iter().filter(|it| ours::run_id(&it.task) == run).collect();
    if of_run.len() < 2 {
        return Ok(());
    }
    of_run.sort_by_key(|it| ours::shard(&it.task).map(|it| it.index));
    let name = |it: &&&Found<'_>| ours::shard(&it.task).map(|shard| format!("{} [{shard}]", it.task.id()));
    let ids: Vec<String> = of_run.iter().take(5).filter_map(|it| name(&it)).collect();
    let more = if of_run.len() > 5 { ", …" } else { "" };
    let message = format!("`{}` runs in shards: the newest run has {} ECS tasks", newest.name, of_run.len());
    Err(Error::refused(message).hint(format!("give the ID of one of them: {}{more}", ids.join(", "))))
}

fn only_one<'a>(mut found: Vec<Found<'a>>, several: &str) -> Result<Option<Found<'a>>> {
    if found.len() > 1 {
        let ids: Vec<String> = found.iter().take(5).map(|it| format!("{} ({})", it.task.id(), it.name)).collect();
        let more = if found.len() > 5 { ", …" } else { "" };
        return Err(Error::refused(several).hint(format!("give more of one of them: {}{more}", ids.join(", "))));
    }
    Ok(found.pop())
}

/// By a whole id: without a list, which may not have it yet.
async fn by_id<'a>(grounds: Vec<&'a Ground>, id: &str, environment: &str) -> Result<Sought<'a>> {
    for look in 1..=LOOKS {
        for ground in grounds.iter().copied() {
            let ids = [id.to_owned()];
            let (guard, described) = tokio::join!(ground.guard(), ground.aws.describe_tasks(ground.cluster(), &ids));
            guard?;
            let described = match described {
                Ok(described) => described,
                Err(error) => return Err(ground.failed(error, &format!("read the ECS task `{id}`")).await),
            };
            let Some((_, Described::Task(task))) = described.into_iter().next() else { continue };
            let Some(name) = ground.task_of(&task).map(|it| it.name.clone()) else {
                let definition = task.task_definition_arn.as_deref().unwrap_or("an unknown task definition");
                let message =
                    format!("`{}` is of no task of tasks.toml in `{environment}`: it runs `{definition}`", task.arn);
                return Err(Error::refused(message).hint("choose the environment that it was started in: -e"));
            };
            return Ok(Sought::Task(Box::new(Found { ground, name, task: *task })));
        }
        if look < LOOKS
            && let Some(ground) = grounds.first()
        {
            sleep(Duration::from_secs(1).div_f64(ground.aws.speed)).await;
        }
    }
    for ground in grounds.iter().copied() {
        if let Some(forgotten) = forgotten(ground, id).await? {
            return Ok(Sought::Forgotten(Box::new(forgotten)));
        }
    }
    let message = format!("neither ECS nor CloudWatch Logs knows an ECS task `{id}` of a task in `{environment}`");
    Err(Error::refused(message).hint(format!("`cargo xtask ps --all -e {environment}` lists what there is")))
}

/// Which task it was of is forgotten, too: the stream is looked for where each task's newest revision writes.
async fn forgotten<'a>(ground: &'a Ground, id: &str) -> Result<Option<Forgotten<'a>>> {
    let looks = ground.place.tasks.iter().map(|task| async {
        let definition = ground.aws.describe_task_definition(&ours::family(&ground.environment, &task.name)).await?;
        let Some(definition) = definition.and_then(|it| it.get("taskDefinition").cloned()) else { return Ok(None) };
        let Some(logs) = ours::chosen_container(&definition, None)
            .and_then(|it| ours::log_location(&definition, &it, &ground.aws.region.value).ok())
        else {
            return Ok(None);
        };
        let aws = ground.aws.clone().with_logs_region(&logs.region);
        match aws.log_page(&logs.group, &logs.stream(id), None).await? {
            LogRead::Page(_) => Ok(Some(Forgotten { ground, name: task.name.clone(), id: id.to_owned(), logs })),
            LogRead::Missing(_) => Ok(None),
        }
    });
    let mut failed = None;
    for look in side_by_side(looks.collect()).await {
        match look {
            Ok(Some(forgotten)) => return Ok(Some(forgotten)),
            Ok(None) => {}
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => Err(ground.failed(error, &format!("look for the output of `{id}`")).await),
        None => Ok(None),
    }
}

/// The output of an ECS task.
#[derive(Debug, Clone)]
pub struct Output {
    /// The chosen container.
    pub container: String,
    /// Where it writes.
    pub logs: LogLocation,
    /// The image that it runs.
    pub image: Option<String>,
}

/// Where the output of an ECS task is, by its own task definition.
pub async fn output(found: &Found<'_>) -> Result<Output> {
    let Found { ground, task, .. } = found;
    let reference = task.task_definition_arn.as_deref().unwrap_or_default();
    let answer = ground.aws.describe_task_definition(reference).await;
    let answer = answer.map_err(|it| it.problem(&format!("read the task definition `{reference}`"), None).failed())?;
    let definition = answer.as_ref().and_then(|it| it.get("taskDefinition")).unwrap_or(&Value::Null);
    let unknown = |why: String| Problem::new(format!("cannot find the output of `{}`: {why}", task.arn)).failed();
    let container = ours::chosen_container(definition, task.overridden.as_ref())
        .ok_or_else(|| unknown(format!("no container of `{reference}` has the label `{}`", plan::HASH_LABEL)))?;
    let logs = ours::log_location(definition, &container, &ground.aws.region.value).map_err(unknown)?;
    Ok(Output { image: ours::image(definition, &container), container, logs })
}

async fn pause(grounds: &[Ground]) {
    let speed = grounds.first().map_or(1.0, |it| it.aws.speed);
    sleep(Duration::from_secs(2).div_f64(speed)).await;
}

/// A future and its result, once that is there.
type Call<F> = (Option<<F as Future>::Output>, Pin<Box<F>>);

/// Awaits all of them, a few at a time, and gives their results in order.
pub async fn side_by_side<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut results = Vec::with_capacity(futures.len());
    let mut futures = futures.into_iter();
    loop {
        let mut batch: Vec<Call<F>> = futures.by_ref().take(SIDE_BY_SIDE).map(|it| (None, Box::pin(it))).collect();
        if batch.is_empty() {
            return results;
        }
        poll_fn(|cx| {
            for (result, future) in &mut batch {
                if result.is_none()
                    && let Poll::Ready(ready) = future.as_mut().poll(cx)
                {
                    *result = Some(ready);
                }
            }
            if batch.iter().all(|it| it.0.is_some()) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        results.extend(batch.into_iter().filter_map(|it| it.0));
    }
}
