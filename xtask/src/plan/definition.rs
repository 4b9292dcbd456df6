//! The task definition that is registered, derived from the base: the rules of the design, each with its reason. Fields that this
//! version does not know pass through as they are.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::image::Image;
use super::launch::Capacity;
use super::sidecars::{self, name_of};
use super::{HASH_LABEL, Planner, console, json, logs, overrides, tags};
use crate::error::{Error, Problem, Result};
use crate::model::{Facts, LogLocation, Origin, PlannedImage, ResolvedTask, Sourced};

/// What DescribeTaskDefinition tells and RegisterTaskDefinition does not take.
const READ_ONLY: &[&str] = &[
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
    "tags",
];

/// The derived definition and what the plan tells of it.
#[derive(Debug)]
pub(super) struct Derived {
    /// The request, the chosen container's image still empty.
    pub request: Value,
    /// Where the output will be; `None` only beside a problem.
    pub logs: Option<Sourced<LogLocation>>,
    /// What the container starts with before the command; `None`: the image's own.
    pub entrypoint: Option<Sourced<Vec<String>>>,
    /// The command that runs without an override; `None`: the image's own.
    pub command: Option<Sourced<Vec<String>>>,
    /// Secrets of the chosen container by variable name, as ECS gets them.
    pub secrets: Vec<(String, Sourced<String>)>,
    /// Variables that RunTask sets.
    pub variables: Vec<(String, Sourced<String>)>,
    /// The other containers that run, in the base's order.
    pub sidecars: Vec<String>,
    /// Those of them that must end before another starts.
    pub init_containers: Vec<String>,
    /// The containers of the base that do not run, with the reason.
    pub dropped: Vec<(String, String)>,
}

/// The container that runs the command: the named one, or the only one that can be meant. It must be certain, since the wrong one would
/// run the command with other variables and roles than the application has.
pub fn chosen_container(task: &ResolvedTask, base: &Value) -> Result<String> {
    let containers = json::list(base, "containerDefinitions");
    let names: Vec<&str> = containers.iter().filter_map(|it| json::text(it, "name")).collect();
    let base_name = json::definition_name(base);
    if let Some(wanted) = &task.settings.container {
        if names.contains(&wanted.value.as_str()) {
            return Ok(wanted.value.clone());
        }
        return Err(Problem::new(format!(
            "the base task definition `{base_name}` has no container `{}`",
            wanted.value
        ))
        .at(wanted.span())
        .hint(format!("its containers: {}", names.join(", ")))
        .refused());
    }
    if let [only] = names[..] {
        return Ok(only.to_owned());
    }
    // A log router is a helper. So is what is not essential, and with that whatever another waits to end: ECS refuses to wait for the
    // end of an essential container.
    let essential: Vec<&str> = containers
        .iter()
        .filter(|it| it.get("essential").and_then(Value::as_bool) != Some(false))
        .filter(|it| it.get("firelensConfiguration").is_none_or(Value::is_null))
        .filter_map(|it| json::text(it, "name"))
        .collect();
    match essential[..] {
        [only] => Ok(only.to_owned()),
        _ if names.is_empty() => {
            Err(Error::failed(format!("the base task definition `{base_name}` has no containers")))
        }
        _ => Err(Problem::new(format!(
            "cannot tell which container of the base task definition `{base_name}` runs `{}`: {}",
            task.task,
            names.join(", ")
        ))
        .at(task.settings.service.as_ref().or(task.settings.task_definition.as_ref()).and_then(Sourced::span))
        .hint(format!("set `container`, for example `container = \"{}\"`", essential.first().unwrap_or(&names[0])))
        .refused()),
    }
}

/// Derives the request of RegisterTaskDefinition.
pub(super) fn derive(planner: &mut Planner<'_>, image: &Image, capacity: &Capacity) -> Derived {
    let base = json::without_nulls(planner.base());
    let empty = Map::new();
    let base_fields = base.as_object().unwrap_or(&empty);
    let all: Vec<Map<String, Value>> =
        json::list(&base, "containerDefinitions").iter().filter_map(Value::as_object).cloned().collect();

    let logs = logs::logs(planner, &base);
    let dropped = sidecars::dropped(planner, &all, logs.is_some());
    let stays = |name: &str| !dropped.iter().any(|(it, _)| it == name);
    let mut containers: Vec<Map<String, Value>> = all.into_iter().filter(|it| stays(name_of(it))).collect();

    let host_network = base_fields.get("networkMode").and_then(Value::as_str) == Some("host");
    for container in &mut containers {
        let is_chosen = name_of(container) == planner.container;
        // Whatever ends beside it must not end the ECS task, and its own end must.
        container.insert("essential".to_owned(), Value::Bool(is_chosen));
        without_host_ports(container, host_network);
        sidecars::without_dropped(planner, container, &stays);
        if let Some(Value::Object(labels)) = container.get_mut("dockerLabels") {
            labels.shift_remove(HASH_LABEL);
            if labels.is_empty() {
                container.shift_remove("dockerLabels");
            }
        }
    }
    let others: Vec<&Map<String, Value>> = containers.iter().filter(|it| name_of(it) != planner.container).collect();
    let sidecars: Vec<String> = others.iter().map(|it| name_of(it).to_owned()).collect();
    let waited_for: BTreeSet<String> = containers
        .iter()
        .flat_map(|it| it.get("dependsOn").and_then(Value::as_array).into_iter().flatten())
        .filter(|it| sidecars::waits_for_end(it))
        .filter_map(|it| json::text(it, "containerName").map(str::to_owned))
        .collect();
    let init_containers = sidecars.iter().filter(|it| waited_for.contains(*it)).cloned().collect();

    let mut derived = Derived {
        request: Value::Null,
        logs: None,
        entrypoint: None,
        command: None,
        secrets: Vec::new(),
        variables: Vec::new(),
        sidecars,
        init_containers,
        dropped,
    };
    if let Some(chosen) = containers.iter_mut().find(|it| name_of(it) == planner.container) {
        rewrite_chosen(planner, chosen, image, &mut derived);
        if let Some((configuration, location)) = logs {
            chosen.insert("logConfiguration".to_owned(), configuration);
            derived.logs = Some(location);
        }
    }
    sidecars::check_log_routers(planner, &containers);

    let mut request = Map::new();
    request.insert("family".to_owned(), Value::String(planner.facts.family.clone()));
    for (key, value) in base_fields {
        // Emulators say "not set" with an empty string, which ECS refuses.
        if key != "family" && !READ_ONLY.contains(&key.as_str()) && value.as_str() != Some("") {
            request.insert(key.clone(), value.clone());
        }
    }
    drop_unused_volumes(&mut request, &containers);
    // App Mesh's proxy is one of the containers.
    let proxy = request.get("proxyConfiguration").and_then(|it| json::text(it, "containerName"));
    if proxy.is_some_and(|proxy| !containers.iter().any(|it| name_of(it) == proxy)) {
        request.shift_remove("proxyConfiguration");
    }
    request
        .insert("containerDefinitions".to_owned(), Value::Array(containers.into_iter().map(Value::Object).collect()));
    if let Some(platform) = &planner.task.settings.platform {
        set_platform(&mut request, &platform.value);
    }
    set_execution_role(planner, &mut request, capacity, image, &derived);
    request.insert("tags".to_owned(), Value::Array(tags::of_definition(planner)));
    derived.request = Value::Object(request);
    derived
}

/// A fixed host port is taken by the service itself on EC2. In `awsvpc` a host port is the container port anyway; in `bridge` ECS
/// picks a free one; in `host` mode a mapping only reserves the port, so none is declared.
fn without_host_ports(container: &mut Map<String, Value>, host_network: bool) {
    if host_network {
        container.shift_remove("portMappings");
        return;
    }
    let Some(mappings) = container.get_mut("portMappings").and_then(Value::as_array_mut) else { return };
    for mapping in mappings.iter_mut().filter_map(Value::as_object_mut) {
        mapping.shift_remove("hostPort");
    }
}

fn rewrite_chosen(planner: &mut Planner<'_>, chosen: &mut Map<String, Value>, image: &Image, derived: &mut Derived) {
    let task = planner.task;
    chosen.insert("image".to_owned(), Value::String(String::new()));
    if !image.keeps_credentials {
        chosen.shift_remove("repositoryCredentials");
    }
    // A migration answers no health check, and ECS would call it UNHEALTHY.
    chosen.shift_remove("healthCheck");
    // A restart policy would run it again in place and hide its exit code.
    chosen.shift_remove("restartPolicy");
    entrypoint(planner, chosen, derived);
    if task.interactive {
        console::wait(chosen);
    }
    variables_and_secrets(planner, chosen, derived);
}

/// RunTask can override the command, not the entrypoint.
fn entrypoint(planner: &mut Planner<'_>, chosen: &mut Map<String, Value>, derived: &mut Derived) {
    let task = planner.task;
    let texts =
        |key: &str| chosen.get(key).map(|_| json::texts(&Value::Object(chosen.clone()), key)).unwrap_or_default();
    let (base_entrypoint, base_command) = (texts("entryPoint"), texts("command"));
    let of_base = |it: Vec<String>| (!it.is_empty()).then(|| Sourced::new(it, Origin::TaskDefinition));
    match &task.entrypoint {
        Some(entrypoint) => {
            chosen.shift_remove("entryPoint");
            // An empty list is ECS's word for the image's own entrypoint, so it is left out.
            if !entrypoint.value.is_empty() {
                chosen.insert("entryPoint".to_owned(), json!(entrypoint.value));
                // As with `docker run --entrypoint`: another entrypoint does not get the arguments of the old one.
                chosen.shift_remove("command");
                derived.command = None;
            } else {
                derived.command = of_base(base_command);
            }
            derived.entrypoint = Some(entrypoint.clone()).filter(|it| !it.value.is_empty());
        }
        None => {
            derived.entrypoint = of_base(base_entrypoint);
            derived.command = of_base(base_command);
        }
    }
    if let Some(command) = task.command.clone().filter(|it| !it.value.is_empty()) {
        derived.command = Some(command);
    }
    let (Some(entrypoint), Some(command)) = (&derived.entrypoint, &derived.command) else { return };
    // `sh -c` takes one argument as its script and the others as $0, $1, …: the command would be cut to its first word.
    if command.origin != Origin::TaskDefinition && command.value.len() > 1 && ends_in_shell_script(&entrypoint.value) {
        let origin = &entrypoint.origin;
        let (first, entrypoint_words) = (command.value[0].clone(), overrides::words(&entrypoint.value));
        planner.problem(
            Problem::new(format!(
                "the entrypoint `{entrypoint_words}` (from {origin}) would run only `{first}`, the first word of the command"
            ))
            .at(command.span().or(task.task_span))
            .hint(format!(
                "set `entrypoint = [\"{first}\"]` and leave it out of `command`, or write the command as one string"
            )),
        );
    }
}

/// Whether a shell's `-c` (also as `-ec`, `-lc`, …) waits for its script.
fn ends_in_shell_script(entrypoint: &[String]) -> bool {
    entrypoint.len() > 1
        && entrypoint
            .last()
            .and_then(|it| it.strip_prefix('-'))
            .is_some_and(|flags| flags.ends_with('c') && flags.chars().all(|it| it.is_ascii_alphabetic()))
}

/// A name can be a variable or a secret of a container, not both (ECS refuses it): what tasks.toml says wins over the base, and between
/// its own two tables the higher place.
fn variables_and_secrets(planner: &mut Planner<'_>, chosen: &mut Map<String, Value>, derived: &mut Derived) {
    let task = planner.task;
    let mut variables = task.variables.clone();
    for name in overrides::OURS {
        if let Some(variable) = variables.remove(*name) {
            planner.warnings.push(format!("{} is not used: this tool sets `{name}` itself", variable.origin));
        }
    }
    let mut secrets = task.secrets.clone();
    let both: Vec<String> = secrets.keys().filter(|it| variables.contains_key(*it)).cloned().collect();
    for name in both {
        let (variable, secret) = (&variables[&name], &secrets[&name]);
        match overrides::rank(&variable.origin).cmp(&overrides::rank(&secret.origin)) {
            std::cmp::Ordering::Greater => drop(secrets.remove(&name)),
            std::cmp::Ordering::Less => drop(variables.remove(&name)),
            std::cmp::Ordering::Equal => {
                let span = variable.span();
                planner.problem(
                    Problem::new(format!("`{name}` is both a variable and a secret"))
                        .at(span)
                        .hint(format!("leave `{name}` out of one of them")),
                );
            }
        }
    }
    let named = |it: &Value| json::text(it, "name").unwrap_or_default().to_owned();
    json::retain(chosen, "environment", |it| !secrets.contains_key(&named(it)));
    json::retain(chosen, "secrets", |it| {
        let name = named(it);
        !secrets.contains_key(&name) && !variables.contains_key(&name) && !overrides::OURS.contains(&name.as_str())
    });
    let kept = chosen.get("secrets").and_then(Value::as_array).cloned().unwrap_or_default();
    derived.secrets = kept
        .iter()
        .map(|it| {
            (
                named(it),
                Sourced::new(json::text(it, "valueFrom").unwrap_or_default().to_owned(), Origin::TaskDefinition),
            )
        })
        .collect();
    for (name, secret) in secrets {
        let reference = overrides::secret_arn(planner, &secret.value);
        derived.secrets.push((name, Sourced::new(reference, secret.origin)));
    }
    if !derived.secrets.is_empty() {
        let list = derived.secrets.iter().map(|(name, it)| json!({ "name": name, "valueFrom": it.value })).collect();
        chosen.insert("secrets".to_owned(), Value::Array(list));
    }
    derived.variables = variables.into_iter().collect();
}

/// A volume that ECS makes at launch costs money and time, and needs a configuration: not for containers that are not there.
fn drop_unused_volumes(request: &mut Map<String, Value>, containers: &[Map<String, Value>]) {
    let used: BTreeSet<String> = containers
        .iter()
        .flat_map(|it| it.get("mountPoints").and_then(Value::as_array).into_iter().flatten())
        .filter_map(|it| json::text(it, "sourceVolume").map(str::to_owned))
        .collect();
    json::retain(request, "volumes", |it| {
        it.get("configuredAtLaunch").and_then(Value::as_bool) != Some(true)
            || json::text(it, "name").is_some_and(|it| used.contains(it))
    });
}

fn set_platform(request: &mut Map<String, Value>, platform: &str) {
    let architecture = if platform == "linux/arm64" { "ARM64" } else { "X86_64" };
    let entry = request.entry("runtimePlatform").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(runtime) = entry {
        runtime.insert("cpuArchitecture".to_owned(), Value::String(architecture.to_owned()));
        // Fargate takes an architecture only together with the system.
        runtime.entry("operatingSystemFamily").or_insert_with(|| Value::String("LINUX".to_owned()));
    }
}

/// The execution role is an override of RunTask, but ECS refuses to register some definitions that have none at all.
fn set_execution_role(
    planner: &mut Planner<'_>,
    request: &mut Map<String, Value>,
    capacity: &Capacity,
    image: &Image,
    derived: &Derived,
) {
    if request.get("executionRoleArn").and_then(Value::as_str).is_some_and(|it| !it.is_empty()) {
        return;
    }
    if let Some(role) = &planner.task.settings.execution_role {
        let arn = overrides::role_arn(planner, &role.value);
        request.insert("executionRoleArn".to_owned(), Value::String(arn));
        return;
    }
    let for_fargate = capacity.fargate
        || request
            .get("requiresCompatibilities")
            .and_then(Value::as_array)
            .is_some_and(|it| it.iter().any(|it| it == "FARGATE"));
    let reason = if !derived.secrets.is_empty() {
        Some("to read the secrets")
    } else if for_fargate && derived.logs.is_some() {
        Some("to write to CloudWatch Logs")
    } else if for_fargate
        && !matches!(&image.planned, PlannedImage::Use { reference } if !reference.contains(".dkr.ecr."))
    {
        Some("to pull the image")
    } else {
        None
    };
    // Emulators know no roles.
    let Some(reason) = reason.filter(|_| planner.task.settings.endpoint_url.is_none()) else { return };
    let base_name = planner.base_name();
    planner.problem(
        Problem::new(format!(
            "ECS needs an execution role {reason}, and the base task definition `{base_name}` has none"
        ))
        .at(planner.task.task_span)
        .hint("set `execution-role` to the name of a role that ecs-tasks.amazonaws.com may assume"),
    );
}

/// Where the definition comes from, for the plan.
pub(super) fn origin_of_base(task: &ResolvedTask, facts: &Facts) -> String {
    match &task.settings.task_definition {
        Some(definition) => definition.origin.to_string(),
        None if facts.service.is_some() => Origin::Service.to_string(),
        None => Origin::Default.to_string(),
    }
}
