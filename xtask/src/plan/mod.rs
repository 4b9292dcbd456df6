//! Everything that will be written to AWS, decided from what tasks.toml says and what was read: the task definition to register, the
//! request of RunTask, the image, and the lines that a person reads before it runs. Pure: the dry run is this same value, printed.
//!
//! Of the facts it reads, in AWS's own camelCase:
//! - `base`: `taskDefinition` of DescribeTaskDefinition, whole.
//! - `service`: the entry of DescribeServices: `status`, `deployments[]` and `taskSets[]` (`status`, `rolloutState`, `launchType`,
//!   `capacityProviderStrategy`, `platformVersion`, `networkConfiguration`, `volumeConfigurations`, `serviceConnectConfiguration`), the
//!   same fields of the service itself where neither has a PRIMARY, `placementConstraints` and `placementStrategy`.
//!
//! Problems are collected and reported in one go, except where nothing after one of them would make sense.

mod console;
mod definition;
mod finish;
mod image;
mod json;
mod launch;
mod lines;
mod logs;
mod overrides;
mod places;
mod secrecy;
mod sidecars;
mod sizes;
mod tags;

#[cfg(test)]
mod tests;

pub use definition::chosen_container;
pub use finish::{HASH_LABEL, definition_to_be, definition_with_image};
pub use launch::primary;
pub use lines::duration;
pub use overrides::{COMMIT, EXCLUSIVE, OURS, PLACE, RUN_BY, RUN_ID, SHARD, SHARDS, cluster_arn, of_shard, words};
pub use places::{ecr_host, guard_places, partition, partition_of};
pub use secrecy::{covered, secrets, shown, shown_value, without_url_password};
pub use sizes::fargate_size_hint;
pub use tags::{CI_JOB_TAG, TIMEOUT_TAG};

use serde_json::Value;

use crate::error::{Error, Problem, Result};
use crate::model::{Facts, Identity, Origin, Plan, ResolvedTask, Settings};

/// What every decision here needs, and where it leaves what is not its value.
struct Planner<'a> {
    task: &'a ResolvedTask,
    facts: &'a Facts,
    /// The chosen container's name.
    container: &'a str,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl<'a> Planner<'a> {
    fn base(&self) -> &'a Value {
        &self.facts.base
    }

    /// The base task definition as people write it: `family:revision`.
    fn base_name(&self) -> String {
        json::definition_name(&self.facts.base)
    }

    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The environment's region, unless what is asked for names its own.
    fn region(&self) -> &'a str {
        &self.facts.region.value
    }
}

/// Decides everything, or says everything that is in the way.
pub fn plan(task: &ResolvedTask, facts: &Facts) -> Result<Plan> {
    guard_account(&task.environment.value, &task.settings, &facts.identity)?;
    plan_anyway(task, facts)
}

/// The same whatever account the credentials are for: to look at, never to carry out.
pub fn plan_anyway(task: &ResolvedTask, facts: &Facts) -> Result<Plan> {
    refuse_windows(task, facts)?;
    let container = chosen_container(task, &facts.base)?;
    let mut planner =
        Planner { task, facts, container: &container, problems: Vec::new(), warnings: facts.warnings.clone() };
    planner.warnings.splice(0..0, task.warnings.iter().cloned());

    guard_family(&mut planner);
    warn_of_service(&mut planner);
    let platform = image::platform(&mut planner);
    let image = image::image(&mut planner, &platform.value);
    let capacity = launch::capacity(&mut planner);
    let derived = definition::derive(&mut planner, &image, &capacity);
    let network = launch::network(&mut planner);
    let volumes = launch::volumes(&mut planner, &derived.request);
    let sizes = sizes::sizes(&mut planner, &derived.request, &capacity);
    let tags = tags::tags(&mut planner);
    let roles = overrides::roles(&planner);
    console::check(&mut planner, &derived, &capacity, &roles);
    let console = console::console(&planner, &derived);
    let overrides = overrides::overrides(&mut planner, &derived, &sizes, &roles);
    let run_task = launch::request(&mut planner, &capacity, network.as_ref(), volumes.as_ref(), overrides, &tags);
    warn_of_variables(&mut planner);

    let Planner { problems, warnings, .. } = planner;
    if !problems.is_empty() {
        return Err(Error::all_refused(problems));
    }
    let Some(logs) = derived.logs.clone() else {
        return Err(Error::failed(format!("the log configuration of `{container}` could not be read")));
    };
    let mut plan = Plan {
        task: task.task.clone(),
        environment: task.environment.value.clone(),
        image: image.planned,
        container: container.clone(),
        definition: derived.request.clone(),
        newest_revision: facts.newest_revision.clone(),
        // The dry run shows the first of them.
        run_task: match task.shards.as_ref().and_then(|it| it.chosen.first()) {
            Some(first) => of_shard(&run_task, *first),
            None => run_task,
        },
        logs: logs.value.clone(),
        timeout: task.timeout.as_ref().map(|it| it.value),
        start_timeout: task.start_timeout.value,
        on_interrupt: task.on_interrupt,
        console,
        shards: task.shards.clone(),
        lines: Vec::new(),
        warnings,
    };
    plan.lines = lines::lines(&lines::Shown {
        task,
        facts,
        plan: &plan,
        image_origin: &image.origin,
        platform: &platform,
        capacity: &capacity,
        network: network.as_ref(),
        derived: &derived,
        logs: &logs,
        sizes: &sizes,
        roles: &roles,
    });
    Ok(plan)
}

/// The credentials at hand must belong to the account that tasks.toml names: the last look before anything can be written.
pub fn guard_account(environment: &str, settings: &Settings, identity: &Identity) -> Result<()> {
    let account = match &settings.account {
        Some(account) if account.value != identity.account => account,
        _ => return places::guard_accounts(settings, &identity.account),
    };
    Err(Problem::new(format!(
        "`{environment}` is in account {}, but the credentials are for account {} (`{}`)",
        account.value, identity.account, identity.arn
    ))
    .at(account.span())
    .hint(format!("use credentials for {}: --profile, AWS_PROFILE or `profile`", account.value))
    .refused())
}

/// Images are built for Linux, and a command, a process's exit code and a console mean something else on Windows.
fn refuse_windows(task: &ResolvedTask, facts: &Facts) -> Result<()> {
    let family = facts.base.get("runtimePlatform").and_then(|it| json::text(it, "operatingSystemFamily"));
    match family {
        Some(family) if family.starts_with("WINDOWS") => Err(Problem::new(format!(
            "the base task definition `{}` is for Windows (`operatingSystemFamily` is `{family}`), which is not supported",
            json::definition_name(&facts.base)
        ))
        .at(base_span(task))
        .hint("set `task-definition` to one for Linux")
        .refused()),
        _ => Ok(()),
    }
}

/// A family of somebody else's must never get revisions of ours: a service that follows its newest one would deploy them.
fn guard_family(planner: &mut Planner<'_>) {
    let facts = planner.facts;
    let Some(newest) = facts.newest_revision.as_ref().filter(|it| !it.ours) else { return };
    planner.problem(
        Problem::new(format!(
            "cannot register into the family `{}`: its newest revision `{}` was not made by this tool (it has no tag `xtask=1`)",
            facts.family, newest.arn
        ))
        .at(planner.task.task_span)
        .hint("rename the task, or deregister that revision if nothing uses it"),
    );
}

/// What the service's state means for a run that copies from it.
fn warn_of_service(planner: &mut Planner<'_>) {
    let Some(service) = &planner.facts.service else { return };
    let name = json::text(service, "serviceName").unwrap_or("the service").to_owned();
    if let Some(status) = json::text(service, "status").filter(|it| *it != "ACTIVE") {
        planner.warnings.push(format!("the service `{name}` is {status}"));
    }
    let deployed = matches!(planner.facts.image, crate::model::ImageFact::Deployed(_));
    let several = json::list(service, "deployments").len() > 1 || json::list(service, "taskSets").len() > 1;
    let in_progress = launch::primary(service).is_some_and(|it| json::text(it, "rolloutState") == Some("IN_PROGRESS"));
    if deployed && (several || in_progress) {
        planner
            .warnings
            .push(format!("a rollout of the service `{name}` is in progress: more than one image may run there now"));
    }
    let connect = launch::primary(service)
        .and_then(|it| it.get("serviceConnectConfiguration"))
        .or_else(|| service.get("serviceConnectConfiguration"));
    if connect.and_then(|it| it.get("enabled")).and_then(Value::as_bool) == Some(true) {
        planner.warnings.push(format!(
            "the service `{name}` uses Service Connect, which ECS gives to services only: its short names do not resolve in this ECS task"
        ));
    }
}

/// Values of `--var` are readable in DescribeTasks and CloudTrail.
fn warn_of_variables(planner: &mut Planner<'_>) {
    for (name, value) in &planner.task.variables {
        if matches!(value.origin, Origin::Flag(_)) && secrecy::is_secret(name) {
            planner.warnings.push(format!(
                "the value of `{name}` can be read by whoever may call DescribeTasks or read CloudTrail: `secrets` in tasks.toml keeps it out of there"
            ));
        }
    }
    if planner.task.protected && planner.facts.commit.as_ref().is_some_and(|it| it.dirty) {
        let environment = &planner.task.environment.value;
        planner
            .warnings
            .push(format!("the work tree has uncommitted changes, and `{environment}` is a protected environment"));
    }
}

/// The key that decides which base task definition is used.
fn base_span(task: &ResolvedTask) -> Option<crate::model::Span> {
    let settings = &task.settings;
    settings.task_definition.as_ref().or(settings.service.as_ref()).and_then(|it| it.span())
}
