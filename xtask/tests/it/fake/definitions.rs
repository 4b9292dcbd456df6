//! Task definitions: what ECS refuses to register, what it fills in, and how it describes one. What is described never equals what
//! was sent: defaults are filled in, members and variables come in another order, and ECS adds what it worked out itself.

use serde_json::{Map, Value, json};

use super::life::{ContainerSpec, Millis};
use super::shapes::{self, Mistake};
use super::state::State;
use super::wire::{Refusal, Reply, Request};

/// A revision.
#[derive(Debug, Clone)]
pub struct Definition {
    pub family: String,
    pub revision: u32,
    pub arn: String,
    pub active: bool,
    /// As it is described.
    pub document: Value,
    pub tags: Value,
}

impl Definition {
    pub fn containers(&self) -> &[Value] {
        self.document["containerDefinitions"].as_array().map_or(&[], Vec::as_slice)
    }

    /// What a timeline must know of its containers.
    pub fn specs(&self) -> Vec<ContainerSpec> {
        let containers = self.containers().iter().map(|it| ContainerSpec {
            name: text(it, "name").to_owned(),
            essential: it["essential"].as_bool().unwrap_or(true),
            stop_timeout: 1000 * it["stopTimeout"].as_i64().unwrap_or(30),
            after: list(it, "dependsOn")
                .filter(|it| ["SUCCESS", "COMPLETE"].contains(&text(it, "condition")))
                .map(|it| text(it, "containerName").to_owned())
                .collect(),
        });
        containers.collect()
    }

    /// Whether it can run there (`FARGATE`, `EC2`).
    pub fn is_compatible(&self, with: &str) -> bool {
        list(&self.document, "compatibilities").any(|it| it == with)
    }
}

/// A string member, or nothing.
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list member, or none.
pub fn list<'a>(value: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    value.get(member).and_then(Value::as_array).into_iter().flatten()
}

/// RegisterTaskDefinition.
pub fn register(state: &mut State, request: &Request, now: Millis) -> Reply {
    check_shape(state, "RegisterTaskDefinition", &request.body)?;
    check(&request.body)?;
    let definition = add(state, &request.body, now);
    Ok(json!({ "taskDefinition": definition.document, "tags": definition.tags }).to_string())
}

/// What AWS says about members of a wrong type, missing ones and values that it does not know. A member that AWS would silently
/// ignore is a mistake of the sender that a test must not pass over.
pub fn check_shape(state: &mut State, operation: &str, body: &Value) -> Result<(), Refusal> {
    let mut refusal = None;
    for mistake in shapes::mistakes(operation, body) {
        let mistaken = match mistake {
            Mistake::Unknown(path) => {
                state.problems.push(format!("AWS would ignore a member that it does not know: {path}"));
                continue;
            }
            Mistake::Type(text) => Refusal::new("SerializationException", text),
            Mistake::Missing(path) => Refusal::parameter(format!("{path} should not be null or empty.")),
            Mistake::Value(text) => Refusal::parameter(text),
        };
        refusal = refusal.or(Some(mistaken));
    }
    refusal.map_or(Ok(()), Err)
}

/// Adds a revision without checking it: fixtures may be incomplete.
pub fn add(state: &mut State, request: &Value, now: Millis) -> Definition {
    let family = text(request, "family").to_owned();
    let revision = 1 + state.definitions.iter().filter(|it| it.family == family).count() as u32;
    let arn = format!("arn:aws:ecs:{}:{}:task-definition/{family}:{revision}", state.region, state.account);
    let tags = request.get("tags").cloned().unwrap_or_else(|| json!([]));
    let mut document = request.as_object().cloned().unwrap_or_default();
    document.remove("tags");
    fill_in(&mut document);
    document.insert("taskDefinitionArn".to_owned(), json!(arn));
    document.insert("revision".to_owned(), json!(revision));
    document.insert("status".to_owned(), json!("ACTIVE"));
    document.insert("registeredAt".to_owned(), seconds(now));
    document.insert("registeredBy".to_owned(), json!(state.caller_arn()));
    let definition =
        Definition { family, revision, arn, active: true, document: reordered(&Value::Object(document)), tags };
    state.definitions.push(definition.clone());
    definition
}

/// ECS's time stamps: seconds since 1970 with a fraction.
pub fn seconds(at: Millis) -> Value {
    json!(at as f64 / 1000.0)
}

/// Members in the reverse order, and variables sorted: nobody may rely on either.
fn reordered(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().rev();
            Value::Object(members.map(|(name, value)| (name.clone(), reordered(value))).collect())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(reordered).collect();
            if items.iter().all(|it| it.get("name").is_some() && it.get("value").is_some()) {
                items.sort_by_key(|it| std::cmp::Reverse(text(it, "name").to_owned()));
            }
            Value::Array(items)
        }
        _ => value.clone(),
    }
}

fn fill_in(document: &mut Map<String, Value>) {
    for member in ["cpu", "memory"] {
        if let Some(Value::String(size)) = document.get_mut(member) {
            *size = plain_size(size);
        }
    }
    let network = document.get("networkMode").and_then(Value::as_str).unwrap_or("bridge").to_owned();
    let fargate_sized = document.contains_key("cpu") && document.contains_key("memory") && network == "awsvpc";
    let external = network != "awsvpc";
    let mut compatibilities = vec!["EC2"];
    compatibilities.extend(fargate_sized.then_some("FARGATE"));
    compatibilities.extend(external.then_some("EXTERNAL"));
    document.entry("volumes").or_insert_with(|| json!([]));
    document.entry("placementConstraints").or_insert_with(|| json!([]));
    document.insert("compatibilities".to_owned(), json!(compatibilities));
    if let Some(Value::Array(volumes)) = document.get_mut("volumes") {
        for volume in volumes.iter_mut().filter_map(Value::as_object_mut) {
            if volume.len() == 1 {
                volume.insert("host".to_owned(), json!({}));
            }
            if let Some(Value::Object(efs)) = volume.get_mut("efsVolumeConfiguration") {
                efs.entry("rootDirectory").or_insert_with(|| json!("/"));
            }
        }
    }
    let mut attributes = Vec::new();
    if let Some(Value::Array(containers)) = document.get_mut("containerDefinitions") {
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            fill_in_container(container, &network);
            if let Some(driver) = container.get("logConfiguration").and_then(|it| it["logDriver"].as_str()) {
                attributes.push(format!("com.amazonaws.ecs.capability.logging-driver.{driver}"));
            }
            if container.contains_key("secrets") {
                attributes.push("ecs.capability.secrets.ssm.environment-variables".to_owned());
            }
            if container.get("image").and_then(Value::as_str).is_some_and(|it| it.contains(".dkr.ecr.")) {
                attributes.push("com.amazonaws.ecs.capability.ecr-auth".to_owned());
            }
        }
    }
    attributes.push("com.amazonaws.ecs.capability.docker-remote-api.1.19".to_owned());
    if network == "awsvpc" {
        attributes.push("ecs.capability.task-eni".to_owned());
    }
    if document.contains_key("taskRoleArn") {
        attributes.push("com.amazonaws.ecs.capability.task-iam-role".to_owned());
    }
    attributes.dedup();
    let attributes: Vec<Value> = attributes.into_iter().map(|it| json!({ "name": it })).collect();
    document.insert("requiresAttributes".to_owned(), Value::Array(attributes));
}

/// "1 vCPU" and "2 GB" as CPU units and MiB.
pub fn plain_size(size: &str) -> String {
    let lower = size.to_lowercase();
    let number = lower.strip_suffix("vcpu").or(lower.strip_suffix("gb")).and_then(|it| it.trim().parse::<f64>().ok());
    number.map_or_else(|| size.to_owned(), |it| format!("{}", (it * 1024.0) as u64))
}

fn fill_in_container(container: &mut Map<String, Value>, network: &str) {
    for member in ["environment", "mountPoints", "volumesFrom", "portMappings", "systemControls"] {
        container.entry(member).or_insert_with(|| json!([]));
    }
    container.entry("cpu").or_insert_with(|| json!(0));
    container.entry("essential").or_insert_with(|| json!(true));
    if let Some(Value::Array(mappings)) = container.get_mut("portMappings") {
        for mapping in mappings.iter_mut().filter_map(Value::as_object_mut) {
            mapping.entry("protocol").or_insert_with(|| json!("tcp"));
            let port = if network == "bridge" { json!(0) } else { mapping["containerPort"].clone() };
            mapping.entry("hostPort").or_insert(port);
        }
    }
    if let Some(Value::Object(check)) = container.get_mut("healthCheck") {
        for (member, value) in [("interval", 30), ("timeout", 5), ("retries", 3)] {
            check.entry(member).or_insert_with(|| json!(value));
        }
    }
    if let Some(Value::Object(log)) = container.get_mut("logConfiguration") {
        log.entry("secretOptions").or_insert_with(|| json!([]));
    }
    if let Some(Value::Array(points)) = container.get_mut("mountPoints") {
        for point in points.iter_mut().filter_map(Value::as_object_mut) {
            point.entry("readOnly").or_insert_with(|| json!(false));
        }
    }
}

/// DescribeTaskDefinition.
pub fn describe(state: &State, request: &Request) -> Reply {
    let definition = find(state, request.str("taskDefinition").unwrap_or_default())
        .ok_or_else(|| Refusal::client("Unable to describe task definition."))?;
    let mut answer = json!({ "taskDefinition": definition.document });
    if request.strings("include").iter().any(|it| it == "TAGS") {
        answer["tags"] = definition.tags.clone();
    }
    Ok(answer.to_string())
}

/// The revision of `family`, `family:revision` or an ARN; of a family the newest ACTIVE one.
pub fn find<'a>(state: &'a State, reference: &str) -> Option<&'a Definition> {
    let name = reference.rsplit("task-definition/").next()?;
    match name.split_once(':') {
        Some((family, revision)) => {
            state.definitions.iter().find(|it| it.family == family && it.revision.to_string() == revision)
        }
        None => state.definitions.iter().rev().find(|it| it.family == name && it.active),
    }
}

/// DeregisterTaskDefinition.
pub fn deregister(state: &mut State, request: &Request, now: Millis) -> Reply {
    let reference = request.str("taskDefinition").unwrap_or_default();
    if !reference.rsplit('/').next().unwrap_or_default().contains(':') {
        return Err(Refusal::parameter("Task definition must be in family:revision form."));
    }
    let missing = || Refusal::client("The specified task definition does not exist.");
    let arn = find(state, reference).ok_or_else(missing)?.arn.clone();
    let definition = state.definitions.iter_mut().find(|it| it.arn == arn).ok_or_else(missing)?;
    definition.active = false;
    definition.document["status"] = json!("INACTIVE");
    definition.document["deregisteredAt"] = seconds(now);
    Ok(json!({ "taskDefinition": definition.document }).to_string())
}

/// DeleteTaskDefinitions: only what is INACTIVE, and not all at once.
pub fn delete(state: &mut State, request: &Request, now: Millis) -> Reply {
    let references = request.strings("taskDefinitions");
    if references.is_empty() || references.len() > 10 {
        return Err(Refusal::parameter("Task definitions cannot be empty, and at most 10 are allowed."));
    }
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for reference in references {
        let arn = find(state, &reference).map(|it| it.arn.clone());
        let Some(definition) = state.definitions.iter_mut().find(|it| Some(&it.arn) == arn.as_ref()) else {
            failures.push(json!({ "arn": reference, "reason": "MISSING" }));
            continue;
        };
        if definition.active {
            let reason =
                "The specified task definition is still in ACTIVE status. Please deregister the target and try again.";
            failures.push(json!({ "arn": definition.arn, "reason": reason }));
            continue;
        }
        definition.document["status"] = json!("DELETE_IN_PROGRESS");
        definition.document["deleteRequestedAt"] = seconds(now);
        deleted.push(definition.document.clone());
    }
    Ok(json!({ "taskDefinitions": deleted, "failures": failures }).to_string())
}

/// Memory sizes in MiB that Fargate has for a number of CPU units.
pub fn is_fargate_size(cpu: &str, memory: &str) -> bool {
    let (Ok(cpu), Ok(memory)) = (cpu.parse::<u32>(), memory.parse::<u32>()) else { return false };
    let (least, most, step) = match cpu {
        256 => return [512, 1024, 2048].contains(&memory),
        512 => (1024, 4096, 1024),
        1024 => (2048, 8192, 1024),
        2048 => (4096, 16384, 1024),
        4096 => (8192, 30720, 1024),
        8192 => (16384, 61440, 4096),
        16384 => (32768, 122_880, 8192),
        _ => return false,
    };
    (least..=most).contains(&memory) && memory % step == 0
}

/// Tags as every ECS call takes them.
pub fn check_tags(request: &Value) -> Result<(), Refusal> {
    let mut keys: Vec<&str> = list(request, "tags").map(|it| text(it, "key")).collect();
    if keys.len() > 50 {
        return Err(Refusal::parameter("Tags: at most 50 are allowed."));
    }
    let allowed = |text: &str| text.chars().all(|it| it.is_alphanumeric() || it == ' ' || "+-=._:/@".contains(it));
    for tag in list(request, "tags") {
        let (key, value) = (text(tag, "key"), text(tag, "value"));
        let length_fits = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
        if !length_fits || !allowed(key) || !allowed(value) || key.to_lowercase().starts_with("aws:") {
            return Err(Refusal::parameter(format!("Invalid tag: `{key}` = `{value}`.")));
        }
    }
    keys.sort_unstable();
    match keys.windows(2).find(|it| it[0] == it[1]) {
        Some(twice) => Err(Refusal::parameter(format!("Duplicate tag keys found: {}.", twice[0]))),
        None => Ok(()),
    }
}

/// What ECS refuses to register. The wording is ECS's where it is known.
fn check(request: &Value) -> Result<(), Refusal> {
    let family = text(request, "family");
    if family.is_empty()
        || family.len() > 255
        || !family.chars().all(|it| it.is_ascii_alphanumeric() || "-_".contains(it))
    {
        return Err(Refusal::client("Family contains invalid characters."));
    }
    let containers: Vec<&Value> = list(request, "containerDefinitions").collect();
    let fargate = list(request, "requiresCompatibilities").any(|it| it == "FARGATE");
    let network = text(request, "networkMode");
    let (cpu, memory) = (plain_size(text(request, "cpu")), plain_size(text(request, "memory")));
    if containers.is_empty() {
        return Err(Refusal::client("Container list cannot be empty."));
    }
    if !containers.iter().any(|it| it["essential"].as_bool().unwrap_or(true)) {
        return Err(Refusal::client("A Task Definition must have at least one essential container."));
    }
    if fargate && network != "awsvpc" {
        return Err(Refusal::client("Fargate only supports network mode ‘awsvpc’."));
    }
    if fargate && !is_fargate_size(&cpu, &memory) {
        let message = format!("No Fargate configuration exists for given values: {cpu} CPU, {memory} memory.");
        return Err(Refusal::client(message));
    }
    if let Some(size) = request.pointer("/ephemeralStorage/sizeInGiB").and_then(Value::as_i64)
        && !(21..=200).contains(&size)
    {
        return Err(Refusal::client("EphemeralStorage size should be between 21 and 200 GiB."));
    }
    let mut names: Vec<&str> = Vec::new();
    for container in &containers {
        let name = text(container, "name");
        if name.is_empty() || text(container, "image").is_empty() {
            return Err(Refusal::client("Container.image should not be null or empty."));
        }
        if names.contains(&name) {
            return Err(Refusal::client(format!("Duplicate container name: {name}.")));
        }
        names.push(name);
        check_container(request, container, fargate, network, &memory)?;
    }
    for container in &containers {
        check_dependencies(container, &containers)?;
    }
    let mut open: Vec<&&Value> = containers.iter().collect();
    while !open.is_empty() {
        let before = open.len();
        let names: Vec<&str> = open.iter().map(|it| text(it, "name")).collect();
        open.retain(|it| list(it, "dependsOn").any(|it| names.contains(&text(it, "containerName"))));
        if open.len() == before {
            return Err(Refusal::client("The container dependencies contain a cycle."));
        }
    }
    check_tags(request)
}

fn check_container(
    request: &Value,
    container: &Value,
    fargate: bool,
    network: &str,
    memory: &str,
) -> Result<(), Refusal> {
    let name = text(container, "name");
    let without_role = text(request, "executionRoleArn").is_empty();
    if memory.is_empty() && container.get("memory").is_none() && container.get("memoryReservation").is_none() {
        let message = format!(
            "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must be specified."
        );
        return Err(Refusal::client(message));
    }
    if without_role && list(container, "secrets").next().is_some() {
        return Err(Refusal::client(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        ));
    }
    if fargate && without_role && text(container, "image").contains(".dkr.ecr.") {
        let message = "Fargate requires task definition to have execution role ARN to support ECR images.";
        return Err(Refusal::client(message));
    }
    let driver = container.pointer("/logConfiguration/logDriver").and_then(Value::as_str);
    let option = |name: &str| container.pointer("/logConfiguration/options").is_some_and(|it| it.get(name).is_some());
    if driver == Some("awslogs") {
        if fargate && without_role {
            let message = "Fargate requires task definition to have execution role ARN to support log driver awslogs.";
            return Err(Refusal::client(message));
        }
        for needed in ["awslogs-group", "awslogs-region"] {
            if !option(needed) {
                return Err(Refusal::client(format!("Log driver awslogs requires options: {needed}")));
            }
        }
        if fargate && !option("awslogs-stream-prefix") {
            return Err(Refusal::client("Log driver awslogs requires options: awslogs-stream-prefix"));
        }
        if option("awslogs-multiline-pattern") && option("awslogs-datetime-format") {
            return Err(Refusal::client("awslogs-multiline-pattern and awslogs-datetime-format exclude each other."));
        }
    }
    if driver == Some("awsfirelens")
        && !list(request, "containerDefinitions").any(|it| it.get("firelensConfiguration").is_some())
    {
        return Err(Refusal::client("A container with the log driver awsfirelens needs a FireLens container."));
    }
    for mapping in list(container, "portMappings") {
        let (port, host) = (mapping.get("containerPort"), mapping.get("hostPort"));
        if ["awsvpc", "host"].contains(&network) && host.is_some_and(|it| *it != 0 && Some(it) != port) {
            return Err(Refusal::client(
                "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
            ));
        }
    }
    for point in list(container, "mountPoints") {
        let volume = text(point, "sourceVolume");
        if !list(request, "volumes").any(|it| text(it, "name") == volume) {
            return Err(Refusal::client(format!("Unknown volume '{volume}'.")));
        }
    }
    if fargate && container["stopTimeout"].as_i64().is_some_and(|it| !(0..=120).contains(&it)) {
        return Err(Refusal::client("stopTimeout on Fargate is at most 120 seconds."));
    }
    Ok(())
}

fn check_dependencies(container: &Value, containers: &[&Value]) -> Result<(), Refusal> {
    for dependency in list(container, "dependsOn") {
        let (on, condition) = (text(dependency, "containerName"), text(dependency, "condition"));
        let Some(other) = containers.iter().find(|it| text(it, "name") == on) else {
            return Err(Refusal::client(format!("Unknown container '{on}' in dependsOn.")));
        };
        if condition == "HEALTHY" && other.get("healthCheck").is_none() {
            let message = format!("Container '{on}' needs a health check for the condition HEALTHY.");
            return Err(Refusal::client(message));
        }
        if ["SUCCESS", "COMPLETE"].contains(&condition) && other["essential"].as_bool().unwrap_or(true) {
            let message =
                format!("An essential container cannot be waited for with the condition {condition}: '{on}'.");
            return Err(Refusal::client(message));
        }
    }
    for link in list(container, "links").filter_map(Value::as_str) {
        let target = link.split(':').next().unwrap_or(link);
        if !containers.iter().any(|it| text(it, "name") == target) {
            return Err(Refusal::client(format!("Unknown container '{target}' in links.")));
        }
    }
    for from in list(container, "volumesFrom") {
        let source = text(from, "sourceContainer");
        if !containers.iter().any(|it| text(it, "name") == source) {
            return Err(Refusal::client(format!("Unknown container '{source}' in volumesFrom.")));
        }
    }
    Ok(())
}
