//! What RunTask overrides: command, variables, sizes and roles, so that they do not multiply revisions; and how references in tasks.toml
//! become ECS's own.

use serde_json::{Map, Value, json};

use super::definition::Derived;
use super::sizes::Sizes;
use super::{Planner, console, places, tags};
use crate::error::Problem;
use crate::model::{Facts, Origin, Sourced};

/// ECS's limit for the JSON of all overrides.
const MOST: usize = 8192;
/// The variables that this tool sets: StopTask deletes an ECS task's tags, so the container keeps them, too.
pub const OURS: &[&str] = &[RUN_ID, RUN_BY, COMMIT, PLACE];
/// The variable with the run's id.
pub const RUN_ID: &str = "XTASK_RUN_ID";
/// The variable with the caller's ARN.
pub const RUN_BY: &str = "XTASK_RUN_BY";
/// The variable with the commit, `+dirty` behind it where the work tree differed.
pub const COMMIT: &str = "XTASK_COMMIT";
/// The variable that says which place an ECS task of an exclusive run holds, and which attempt of its run started it: `NAME/ATTEMPT`.
/// RunTask's parameters differ by it, and DescribeTasks tells it when the tags are long gone.
pub const PLACE: &str = "XTASK_PLACE";
/// The variable with the shard's number, from 0.
pub const SHARD: &str = "XTASK_SHARD";
/// The variable with the number of shards.
pub const SHARDS: &str = "XTASK_SHARDS";
/// The name of the place that all runs of a task share.
pub const EXCLUSIVE: &str = "exclusive";
/// The place of what `--once` runs once has a name of this length, known when the task definition is.
const ONCE: &str = "once-0123456789abcdef";

/// The roles by ARN.
#[derive(Debug, Default)]
pub(super) struct Roles {
    pub task: Option<Sourced<String>>,
    pub execution: Option<Sourced<String>>,
}

/// The roles that tasks.toml gives.
pub(super) fn roles(planner: &Planner<'_>) -> Roles {
    let arn = |it: &Sourced<String>| Sourced::new(role_arn(planner, &it.value), it.origin.clone());
    let settings = &planner.task.settings;
    Roles { task: settings.task_role.as_ref().map(arn), execution: settings.execution_role.as_ref().map(arn) }
}

/// `overrides` of RunTask.
pub(super) fn overrides(planner: &mut Planner<'_>, derived: &Derived, sizes: &Sizes, roles: &Roles) -> Value {
    let facts = planner.facts;
    let mut container = Map::new();
    container.insert("name".to_owned(), json!(planner.container));
    if planner.task.interactive {
        container.insert("command".to_owned(), json!(console::seconds(planner)));
    } else if let Some(command) = planner.task.command.as_ref().filter(|it| !it.value.is_empty()) {
        container.insert("command".to_owned(), json!(command.value));
    }
    let mut variables: Vec<(String, String)> =
        derived.variables.iter().map(|(name, it)| (name.clone(), it.value.clone())).collect();
    variables.push((RUN_ID.to_owned(), facts.run_id.clone()));
    variables.push((RUN_BY.to_owned(), facts.identity.arn.clone()));
    variables.extend(tags::commit(facts).map(|it| (COMMIT.to_owned(), it)));
    match (planner.task.exclusive, planner.task.once) {
        (true, _) => variables.push((PLACE.to_owned(), format!("{EXCLUSIVE}/1"))),
        // The launch puts the name in; here it takes its room.
        (false, true) => variables.push((PLACE.to_owned(), format!("{ONCE}/1"))),
        (false, false) => {}
    }
    if let Some(shards) = &planner.task.shards {
        // The longest number takes the room; each launch puts its own in.
        variables.push((SHARD.to_owned(), (shards.of - 1).to_string()));
        variables.push((SHARDS.to_owned(), shards.of.to_string()));
    }
    let environment = variables.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    container.insert("environment".to_owned(), Value::Array(environment));
    for (key, value) in [
        ("cpu", sizes.container_cpu),
        ("memory", sizes.container_memory),
        ("memoryReservation", sizes.container_memory_reservation),
    ] {
        container.extend(value.map(|it| (key.to_owned(), json!(it))));
    }

    let mut overrides = Map::new();
    overrides.insert("containerOverrides".to_owned(), json!([container]));
    overrides.extend(sizes.task_cpu.map(|it| ("cpu".to_owned(), json!(it.to_string()))));
    overrides.extend(sizes.task_memory.map(|it| ("memory".to_owned(), json!(it.to_string()))));
    let storage = sizes.task_ephemeral_storage.map(|it| json!({ "sizeInGiB": it }));
    overrides.extend(storage.map(|it| ("ephemeralStorage".to_owned(), it)));
    overrides.extend(roles.task.as_ref().map(|it| ("taskRoleArn".to_owned(), json!(it.value))));
    overrides.extend(roles.execution.as_ref().map(|it| ("executionRoleArn".to_owned(), json!(it.value))));
    let overrides = Value::Object(overrides);
    check_length(planner, &overrides, &variables);
    overrides
}

fn check_length(planner: &mut Planner<'_>, overrides: &Value, variables: &[(String, String)]) {
    let length = overrides.to_string().chars().count();
    if length <= MOST {
        return;
    }
    let size = |it: &Value| it.to_string().chars().count();
    let command = planner.task.command.as_ref();
    let mut parts: Vec<(usize, String, Option<_>)> = variables
        .iter()
        .map(|(name, value)| {
            let span = planner.task.variables.get(name).and_then(Sourced::span);
            (size(&json!({ "name": name, "value": value })), format!("the variable `{name}`"), span)
        })
        .chain(command.map(|it| (size(&json!(it.value)), "the command".to_owned(), it.span())))
        .collect();
    parts.sort_by_key(|(size, ..)| std::cmp::Reverse(*size));
    let largest: Vec<String> = parts.iter().take(3).map(|(size, name, _)| format!("{name} takes {size}")).collect();
    planner.problem(
        Problem::new(format!(
            "command, variables and sizes are {length} characters as JSON, and ECS takes {MOST}: {}",
            largest.join(", ")
        ))
        .at(parts.first().and_then(|it| it.2))
        .hint("keep large values in the image, in S3 or in `secrets`, and pass their names"),
    );
}

/// A role's ARN: tasks.toml may give its name (with its path, where it has one).
pub(super) fn role_arn(planner: &Planner<'_>, role: &str) -> String {
    if role.starts_with("arn:") {
        return role.to_owned();
    }
    let name = role.trim_start_matches('/').trim_start_matches("role/");
    format!("arn:{}:iam::{}:role/{name}", partition(planner), planner.facts.identity.account)
}

/// What ECS takes as `valueFrom`: SSM's names as they are, `secretsmanager:NAME` (or `NAME:JSON-KEY`) as an ARN, since ECS knows secrets
/// by ARN only. Secrets Manager finds a secret by an ARN without the random suffix, too.
pub(super) fn secret_arn(planner: &Planner<'_>, reference: &str) -> String {
    let Some(name) = reference.strip_prefix("secretsmanager:") else { return reference.to_owned() };
    // JSON key, version stage and version id go together: with one of them, all three colons are there.
    let colons = match name.matches(':').count() {
        0 => 0,
        n => 3_usize.saturating_sub(n),
    };
    format!(
        "arn:{}:secretsmanager:{}:{}:secret:{name}{}",
        partition(planner),
        planner.region(),
        planner.facts.identity.account,
        ":".repeat(colons)
    )
}

/// The request of RunTask for a shard.
pub fn of_shard(run_task: &Value, shard: u32) -> Value {
    let mut request = run_task.clone();
    let variables = request.pointer_mut("/overrides/containerOverrides/0/environment").and_then(Value::as_array_mut);
    for variable in variables.into_iter().flatten() {
        if variable.get("name").and_then(Value::as_str) == Some(SHARD) {
            variable["value"] = json!(shard.to_string());
        }
    }
    request
}

/// The cluster's ARN, whatever tasks.toml calls the cluster.
pub fn cluster_arn(facts: &Facts) -> String {
    if facts.cluster.starts_with("arn:") {
        return facts.cluster.clone();
    }
    let (region, account) = (&facts.region.value, &facts.identity.account);
    let partition = places::partition(&facts.identity, region);
    format!("arn:{partition}:ecs:{region}:{account}:cluster/{}", facts.cluster)
}

fn partition<'a>(planner: &Planner<'a>) -> &'a str {
    places::partition(&planner.facts.identity, &planner.facts.region.value)
}

/// How near to the run a value was written: what is nearer wins.
pub(super) fn rank(origin: &Origin) -> u8 {
    match origin {
        Origin::Flag(_) | Origin::Variable(_) => 5,
        Origin::File { key, .. } if key.starts_with("tasks.") && key.contains(".on.") => 4,
        Origin::File { key, .. } if key.starts_with("tasks.") => 3,
        Origin::File { key, .. } if key.starts_with("environments.") => 2,
        Origin::File { .. } => 1,
        _ => 0,
    }
}

/// Arguments as a shell would take them.
pub fn words(arguments: &[String]) -> String {
    let plain = |it: &str| !it.is_empty() && it.chars().all(|it| it.is_alphanumeric() || "_-./:=,@%+".contains(it));
    let quoted: Vec<String> = arguments
        .iter()
        .map(|it| if plain(it) { it.clone() } else { format!("'{}'", it.replace('\'', r"'\''")) })
        .collect();
    quoted.join(" ")
}
