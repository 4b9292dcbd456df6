//! An interactive task: the ECS task's main process only waits, bounded, and the command runs in a session of ECS Exec. What such a
//! session needs is checked before anything is written.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::definition::Derived;
use super::launch::Capacity;
use super::overrides::Roles;
use super::{Planner, json};
use crate::error::Problem;
use crate::model::{Console, Sourced};

/// How long the main process waits unless `max-lifetime` says so: what a killed laptop leaves behind ends by itself.
const MAX_LIFETIME: Duration = Duration::from_secs(4 * 3600);

/// The session that runs the task's command. Without `command` and `entrypoint` in tasks.toml it is a shell: the base's own command is
/// a server that runs already.
pub(super) fn console(planner: &Planner<'_>, derived: &Derived) -> Option<Console> {
    let task = planner.task;
    if !task.interactive {
        return None;
    }
    let written = |it: &Option<Sourced<Vec<String>>>| it.as_ref().is_some_and(|it| !it.value.is_empty());
    let argv = if written(&task.command) || written(&task.entrypoint) {
        let parts = derived.entrypoint.iter().chain(&derived.command);
        parts.flat_map(|it| it.value.clone()).collect()
    } else {
        Vec::new()
    };
    Some(Console { argv, max_lifetime: lifetime(planner).value })
}

/// `max-lifetime`, and who said it.
pub(super) fn lifetime(planner: &Planner<'_>) -> Sourced<Duration> {
    planner.task.settings.max_lifetime.clone().unwrap_or(Sourced::default(MAX_LIFETIME))
}

/// The chosen container's main process. `sleep` by itself rather than in a shell: its seconds are the override of RunTask, so that
/// they make no revision of their own.
pub(super) fn wait(chosen: &mut Map<String, Value>) {
    chosen.insert("entryPoint".to_owned(), json!(["sleep"]));
    chosen.shift_remove("command");
    // A session leaves processes behind, and `sleep` as the first process would ignore SIGTERM: an init process sees to both.
    let parameters = chosen.entry("linuxParameters").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(parameters) = parameters {
        parameters.insert("initProcessEnabled".to_owned(), Value::Bool(true));
    }
}

/// The argument of that `sleep`.
pub(super) fn seconds(planner: &Planner<'_>) -> Vec<String> {
    vec![lifetime(planner).value.as_secs().max(1).to_string()]
}

/// What ECS Exec needs, as far as it can be known beforehand.
pub(super) fn check(planner: &mut Planner<'_>, derived: &Derived, capacity: &Capacity, roles: &Roles) {
    if !planner.task.interactive {
        return;
    }
    let span = planner.task.settings.interactive.as_ref().and_then(Sourced::span).or(planner.task.task_span);
    let base_name = planner.base_name();
    let chosen = planner.container.to_owned();
    let mut refuse = |message: String, hint: &str| {
        planner.problems.push(Problem::new(format!("a session needs {message}")).at(span).hint(hint));
    };
    let base = &planner.facts.base;
    let has_role = roles.task.is_some() || json::text(base, "taskRoleArn").is_some_and(|it| !it.is_empty());
    // Emulators know no roles.
    if !has_role && planner.task.settings.endpoint_url.is_none() {
        refuse(
            format!("a task role, and the base task definition `{base_name}` has none"),
            "set `task-role` to a role with ssmmessages:CreateControlChannel, CreateDataChannel, OpenControlChannel and OpenDataChannel",
        );
    }
    if let Some(version) = capacity.platform_version.as_ref().filter(|it| is_old(&it.value)) {
        refuse(
            format!("Fargate's platform version 1.4.0 at least, and it is {} ({})", version.value, version.origin),
            "set `platform-version = \"LATEST\"`",
        );
    }
    let container = json::container(base, &chosen);
    let is = |key: &str| container.and_then(|it| it.get(key)).and_then(Value::as_bool) == Some(true);
    if is("readonlyRootFilesystem") {
        refuse(
            format!("a writable file system, and `{chosen}` of `{base_name}` has `readonlyRootFilesystem`"),
            "set `task-definition` to one whose container can write",
        );
    }
    if json::text(base, "pidMode") == Some("task") && !derived.sidecars.is_empty() {
        refuse(
            format!("processes of its own: with `pidMode` `task` in `{base_name}` only one container gets sessions"),
            "set `sidecars = \"none\"`, if it can do without them",
        );
    }
    if json::text(base, "networkMode") == Some("none") {
        refuse(
            format!("a network, and the network mode of `{base_name}` is `none`"),
            "set `task-definition` to one with a network",
        );
    }
    let named = |name: &str| {
        let of_base = container.map(|it| json::list(it, "environment")).unwrap_or_default();
        planner.task.variables.contains_key(name) || of_base.iter().any(|it| json::text(it, "name") == Some(name))
    };
    if named("AWS_ACCESS_KEY_ID") {
        planner.warnings.push(format!(
            "`{chosen}` has a variable AWS_ACCESS_KEY_ID: the agent of ECS Exec uses it instead of the task role"
        ));
    }
}

/// Whether ECS Exec is not in a platform version. LATEST is newer.
fn is_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (1, 4),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, old) in
            [("1.3.0", true), ("1.4.0", false), ("1.10.0", false), ("LATEST", false), ("2.0.0", false)]
        {
            assert_eq!(is_old(version), old, "{version}");
        }
    }
}
