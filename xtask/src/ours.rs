//! Which ECS tasks are this tool's, and what is known of one without having started it: its family names environment and task, its task
//! definition names the chosen container and where its output is, the variables that RunTask set say whose it is. There is no state
//! file, so this is the same in every terminal and on every machine.

use std::time::Duration;

use serde_json::Value;

use crate::model::{EcsTask, LogLocation, Overridden, Shard, Timestamp};
use crate::plan::{
    CI_JOB_TAG, COMMIT, HASH_LABEL, OURS, RUN_BY, RUN_ID, SHARD, SHARDS, TIMEOUT_TAG, without_url_password,
};

/// The family that a task's revisions are registered in.
pub fn family(environment: &str, task: &str) -> String {
    format!("xtask-{environment}-{task}")
}

/// The family of a task definition's ARN, or of `family:revision`.
pub fn family_of(definition: &str) -> &str {
    let name = definition.rsplit('/').next().unwrap_or(definition);
    name.split(':').next().unwrap_or(name)
}

/// The run that started it.
pub fn run_id(task: &EcsTask) -> Option<&str> {
    let of_started_by = || task.started_by.as_deref()?.strip_prefix("xtask/")?.split('/').nth(1);
    task.variable(RUN_ID).or_else(of_started_by).filter(|it| !it.is_empty())
}

/// Which shard of its task it is, where the task has shards.
pub fn shard(task: &EcsTask) -> Option<Shard> {
    let number = |name: &str| task.variable(name)?.parse().ok();
    Some(Shard { index: number(SHARD)?, of: number(SHARDS)? })
}

/// Who started it: the caller's ARN.
pub fn run_by(task: &EcsTask) -> Option<&str> {
    task.variable(RUN_BY).or_else(|| task.tags.get("xtask:by").map(String::as_str))
}

/// The commit that it was started from.
pub fn commit(task: &EcsTask) -> Option<&str> {
    task.variable(COMMIT).or_else(|| task.tags.get("xtask:commit").map(String::as_str))
}

/// The command that RunTask gave it, as it may be shown: without the passwords in URLs.
pub fn shown_command(task: &EcsTask) -> Option<Vec<String>> {
    let command = task.overridden.as_ref()?.command.as_ref()?;
    Some(command.iter().map(|it| without_url_password(it)).collect())
}

/// A caller's ARN as people say it: `alice`, `deploy/session`.
pub fn caller(arn: &str) -> &str {
    let name = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    ["user/", "assumed-role/", "federated-user/"].iter().find_map(|it| name.strip_prefix(it)).unwrap_or(name)
}

/// The chosen container, without its task definition: RunTask overrode that one only.
pub fn container(task: &EcsTask) -> &str {
    match (&task.overridden, task.containers.as_slice()) {
        (Some(overridden), _) => &overridden.container,
        (None, [only]) => &only.name,
        (None, _) => "",
    }
}

/// The chosen container by its task definition (`taskDefinition` of DescribeTaskDefinition): the one with our docker label. `overridden`: what
/// RunTask overrode; that is the chosen one, too.
pub fn chosen_container(definition: &Value, overridden: Option<&Overridden>) -> Option<String> {
    let containers = definition.get("containerDefinitions")?.as_array()?;
    let labelled =
        containers.iter().find(|it| it.pointer("/dockerLabels").is_some_and(|it| it.get(HASH_LABEL).is_some()));
    let labelled = labelled.and_then(|it| it.get("name")).and_then(Value::as_str).map(str::to_owned);
    labelled.or_else(|| overridden.map(|it| it.container.clone()))
}

/// The image that a container of a task definition runs.
pub fn image(definition: &Value, container: &str) -> Option<String> {
    let containers = definition.get("containerDefinitions")?.as_array()?;
    let chosen = containers.iter().find(|it| it.get("name").and_then(Value::as_str) == Some(container))?;
    chosen.get("image")?.as_str().map(str::to_owned)
}

/// Where the chosen container's output is, by its task definition. The error says what is in the way.
pub fn log_location(definition: &Value, container: &str, region: &str) -> Result<LogLocation, String> {
    let containers = definition.get("containerDefinitions").and_then(Value::as_array);
    let chosen =
        containers.and_then(|it| it.iter().find(|it| it.get("name").and_then(Value::as_str) == Some(container)));
    let logs = chosen.and_then(|it| it.get("logConfiguration"));
    let driver = logs.and_then(|it| it.get("logDriver")).and_then(Value::as_str);
    if driver != Some("awslogs") {
        let driver = driver.map_or("none".to_owned(), |it| format!("`{it}`"));
        return Err(format!("the log driver of `{container}` is {driver}"));
    }
    let option = |name: &str| {
        let value = logs.and_then(|it| it.get("options")).and_then(|it| it.get(name)).and_then(Value::as_str);
        value.filter(|it| !it.is_empty()).map(str::to_owned)
    };
    match (option("awslogs-group"), option("awslogs-stream-prefix")) {
        (Some(group), Some(prefix)) => Ok(LogLocation {
            group,
            region: option("awslogs-region").unwrap_or_else(|| region.to_owned()),
            prefix,
            container: container.to_owned(),
        }),
        (None, _) => Err(format!("the log configuration of `{container}` names no group")),
        (_, None) => Err(format!("the log configuration of `{container}` has no stream prefix")),
    }
}

/// By how much it has run longer than its timeout. `of_file`: the timeout that tasks.toml has now, for one that does not say. Whoever follows
/// it would have stopped it by then, so nobody does.
pub fn overdue(task: &EcsTask, of_file: Option<Duration>, now: Timestamp) -> Option<Duration> {
    if task.is_stopped() {
        return None;
    }
    let said = task.tags.get(TIMEOUT_TAG).and_then(|it| it.parse().ok()).map(Duration::from_secs);
    let timeout = said.or(of_file)?;
    let ran = Duration::try_from_secs_f64(now.seconds_since(task.started_at?)).ok()?;
    ran.checked_sub(timeout).filter(|it| *it >= Duration::from_secs(1))
}

/// How an id of the command line is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Wanted {
    /// A task's name in tasks.toml.
    Task(String),
    /// A whole ARN: region, cluster (absent in the old format) and id.
    Arn { region: String, cluster: Option<String>, id: String },
    /// A whole id.
    Id(String),
    /// The start of an id.
    Start(String),
}

/// Reads an id of the command line. A task's name wins over the start of an id.
pub fn wanted(text: &str, tasks: &[&str]) -> Result<Wanted, String> {
    if tasks.contains(&text) {
        return Ok(Wanted::Task(text.to_owned()));
    }
    if text.starts_with("arn:") {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        if let [_, _, "ecs", region, _, resource] = parts[..]
            && let Some(rest) = resource.strip_prefix("task/")
        {
            let (cluster, id) = match rest.rsplit_once('/') {
                Some((cluster, id)) => (Some(cluster.to_owned()), id),
                None => (None, rest),
            };
            return Ok(Wanted::Arn { region: region.to_owned(), cluster, id: id.to_owned() });
        }
        return Err(format!("`{text}` is not the ARN of an ECS task"));
    }
    let is_id = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
    if !is_id(text) {
        return Err(format!("`{text}` is neither a task of tasks.toml nor an ECS task's id"));
    }
    // New ids have 32 digits, those of old accounts are UUIDs.
    let whole = text.len() == 32 || text.len() == 36;
    Ok(if whole { Wanted::Id(text.to_lowercase()) } else { Wanted::Start(text.to_lowercase()) })
}

/// What a run is going to start, as far as it can be compared with what there is.
#[derive(Debug)]
pub struct Starting<'a> {
    /// This run.
    pub run_id: &'a str,
    /// The caller's ARN.
    pub caller: &'a str,
    /// Whether this is a CI job.
    pub ci: bool,
    /// The request of RunTask.
    pub run_task: &'a Value,
}

/// What an ECS task that still runs is to a run that is about to start one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kin {
    /// This very run started it: its process is gone, or it was given the same id twice.
    ThisRun,
    /// Another run with the same id: another command, or other variables. Its end says nothing of this one's work.
    Namesake,
    /// The same caller started the same command with the same variables.
    Twin,
    /// Something else.
    Stranger,
}

/// Compares. It cannot tell whether another process follows the ECS task: ECS does not know.
pub fn kin(task: &EcsTask, starting: &Starting<'_>) -> Kin {
    let ours = starting.run_task.pointer("/overrides/containerOverrides/0");
    let command = ours.and_then(|it| it.get("command")).and_then(Value::as_array).filter(|it| !it.is_empty());
    let command: Option<Vec<&str>> = command.map(|it| it.iter().filter_map(Value::as_str).collect());
    let theirs = task.overridden.as_ref().and_then(|it| it.command.as_ref());
    let same_command = command == theirs.map(|it| it.iter().map(String::as_str).collect());
    let is_mark = |name: &str| OURS.contains(&name);
    let mut variables: Vec<(&str, &str)> = ours
        .and_then(|it| it.get("environment"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|it| Some((it.get("name")?.as_str()?, it.get("value")?.as_str()?)))
        .filter(|it| !is_mark(it.0))
        .collect();
    variables.sort_unstable();
    let theirs = task.overridden.iter().flat_map(|it| &it.variables);
    let theirs: Vec<(&str, &str)> =
        theirs.map(|(name, value)| (name.as_str(), value.as_str())).filter(|it| !is_mark(it.0)).collect();
    let same_work = same_command && variables == theirs;
    if run_id(task) == Some(starting.run_id) {
        return if same_work { Kin::ThisRun } else { Kin::Namesake };
    }
    let same_caller = run_by(task).is_some_and(|it| {
        it == starting.caller
            // Many CI systems name the session after the job, so a job that is tried again is another session of the same role.
            || (starting.ci && task.tags.contains_key(CI_JOB_TAG) && role(it).is_some() && role(it) == role(starting.caller))
    });
    if same_caller && same_work { Kin::Twin } else { Kin::Stranger }
}

/// The role of an assumed role's ARN: without the session.
fn role(arn: &str) -> Option<&str> {
    arn.contains(":assumed-role/").then(|| arn.rsplit_once('/').map(|it| it.0))?
}

#[cfg(test)]
mod tests;
