//! Which of the base's other containers run beside the chosen one, and what of the rest refers to those that do not.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Planner, json};
use crate::error::Problem;
use crate::model::{Sidecars, Sourced};

/// The containers that do not run, and why.
pub(super) fn dropped(
    planner: &mut Planner<'_>,
    all: &[Map<String, Value>],
    logs_replaced_or_kept: bool,
) -> Vec<(String, String)> {
    let chosen = planner.container;
    let mut dropped: Vec<(String, String)> = Vec::new();
    let depends = |container: &Map<String, Value>, matches: &dyn Fn(&Value) -> bool| {
        container.get("dependsOn").and_then(Value::as_array).is_some_and(|it| it.iter().any(matches))
    };

    // What starts only after the chosen container has ended would never start: its end ends the ECS task. ECS also refuses a
    // dependency on the end of an essential container. The same holds for whatever waits for those.
    let mut never: BTreeSet<&str> = BTreeSet::new();
    loop {
        let next = all.iter().map(|it| (name_of(it), it)).find(|(name, container)| {
            !never.contains(name)
                && *name != chosen
                && depends(container, &|it| {
                    let on = json::text(it, "containerName").unwrap_or_default();
                    never.contains(on) || on == chosen && waits_for_end(it)
                })
        });
        match next {
            Some((name, _)) => never.insert(name),
            None => break,
        };
    }
    dropped
        .extend(never.iter().map(|it| ((*it).to_owned(), format!("it would start only after `{chosen}` has ended"))));

    let setting = planner.task.settings.sidecars.as_ref();
    let keep: Option<&[String]> = match setting.map(|it| &it.value) {
        None | Some(Sidecars::All) => None,
        Some(Sidecars::None) => Some(&[]),
        Some(Sidecars::Keep(names)) => Some(names),
    };
    let origin = setting.map(|it| it.origin.to_string()).unwrap_or_default();
    if let Some(keep) = keep {
        for name in keep.iter().filter(|name| !all.iter().any(|it| name_of(it) == **name)) {
            let names: Vec<&str> = all.iter().map(name_of).filter(|it| *it != chosen).collect();
            let base_name = planner.base_name();
            planner.problem(
                Problem::new(format!("`sidecars`: the base task definition `{base_name}` has no container `{name}`"))
                    .at(setting.and_then(Sourced::span))
                    .hint(format!("its other containers: {}", names.join(", "))),
            );
        }
        for container in all {
            let name = name_of(container);
            if name != chosen && !keep.iter().any(|it| it == name) && !never.contains(name) {
                dropped.push((name.to_owned(), origin.clone()));
                let waited_for = all
                    .iter()
                    .any(|it| depends(it, &|it| json::text(it, "containerName") == Some(name) && waits_for_end(it)));
                if waited_for {
                    planner.warnings.push(format!("the init container `{name}` is left out ({origin})"));
                }
            }
        }
    }

    // A log router that nobody sends logs to any more: the chosen container writes to CloudWatch Logs itself.
    let driver = |container: &Map<String, Value>| {
        container.get("logConfiguration").and_then(|it| json::text(it, "logDriver")).map(str::to_owned)
    };
    let routed = |container: &Map<String, Value>| driver(container).as_deref() == Some("awsfirelens");
    let chosen_was_routed = all.iter().any(|it| name_of(it) == chosen && routed(it));
    let still_routed = all
        .iter()
        .any(|it| name_of(it) != chosen && routed(it) && !dropped.iter().any(|(name, _)| name == name_of(it)));
    if logs_replaced_or_kept && chosen_was_routed && !still_routed {
        for container in all {
            let name = name_of(container);
            let asked_for = keep.is_some_and(|it| it.iter().any(|it| it == name));
            if name != chosen
                && container.contains_key("firelensConfiguration")
                && !asked_for
                && !dropped.iter().any(|(it, _)| it == name)
            {
                dropped.push((name.to_owned(), "no container sends it logs any more".to_owned()));
            }
        }
    }
    let order = |name: &str| all.iter().position(|it| name_of(it) == name);
    dropped.sort_by_key(|(name, _)| order(name));
    dropped
}

/// Takes out what refers to containers that are not there, and to the chosen one's health check.
pub(super) fn without_dropped(
    planner: &mut Planner<'_>,
    container: &mut Map<String, Value>,
    stays: &dyn Fn(&str) -> bool,
) {
    let name = name_of(container).to_owned();
    json::retain(container, "dependsOn", |it| json::text(it, "containerName").is_none_or(stays));
    // A link is `name` or `name:alias`.
    json::retain(container, "links", |it| it.as_str().is_none_or(|it| stays(it.split(':').next().unwrap_or(it))));
    let mut lost = Vec::new();
    json::retain(container, "volumesFrom", |it| match json::text(it, "sourceContainer") {
        Some(source) if !stays(source) => {
            lost.push(source.to_owned());
            false
        }
        _ => true,
    });
    for source in lost {
        planner.warnings.push(format!("`{name}` has no volumes from `{source}`, which is left out"));
    }
    let dependencies = container.get_mut("dependsOn").and_then(Value::as_array_mut);
    for dependency in dependencies.into_iter().flatten().filter_map(Value::as_object_mut) {
        let on_chosen = dependency.get("containerName").and_then(Value::as_str) == Some(planner.container);
        if on_chosen && dependency.get("condition").and_then(Value::as_str) == Some("HEALTHY") {
            dependency.insert("condition".to_owned(), Value::String("START".to_owned()));
        }
    }
}

/// A kept container that sends its logs to a router needs it.
pub(super) fn check_log_routers(planner: &mut Planner<'_>, containers: &[Map<String, Value>]) {
    if containers.iter().any(|it| it.contains_key("firelensConfiguration")) {
        return;
    }
    let routed = containers.iter().find(|it| {
        name_of(it) != planner.container
            && it.get("logConfiguration").and_then(|it| json::text(it, "logDriver")) == Some("awsfirelens")
    });
    let Some(routed) = routed.map(name_of) else { return };
    let router = json::list(planner.base(), "containerDefinitions")
        .iter()
        .find(|it| it.get("firelensConfiguration").is_some_and(|it| !it.is_null()))
        .and_then(|it| json::text(it, "name"))
        .unwrap_or("the log router");
    planner.problem(
        Problem::new(format!("`{routed}` sends its logs to `{router}`, which is left out"))
            .at(planner.task.settings.sidecars.as_ref().and_then(Sourced::span))
            .hint(format!("name `{router}` in `sidecars`, too")),
    );
}

pub(super) fn name_of(container: &Map<String, Value>) -> &str {
    container.get("name").and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn waits_for_end(dependency: &Value) -> bool {
    matches!(json::text(dependency, "condition"), Some("SUCCESS" | "COMPLETE"))
}
