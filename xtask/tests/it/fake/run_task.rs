//! RunTask: what ECS refuses, what it fails to place, what a client token does, and the ECS task that comes of it.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::definitions::{self, Definition, check_shape, check_tags, is_fargate_size, list, plain_size, text};
use super::life::Millis;
use super::state::{State, Task, TokenUse};
use super::tasks;
use super::wire::{Refusal, Reply, Request};

const HOUR: Millis = 3_600_000;

/// RunTask. An ECS task comes of it at most once for a token.
pub fn run(state: &mut State, request: &Request, now: Millis) -> Reply {
    let body = &request.body;
    check_shape(state, "RunTask", body)?;
    let cluster = state.cluster(request.str("cluster")).cloned();
    let cluster = cluster.ok_or_else(|| Refusal::new("ClusterNotFoundException", "Cluster not found."))?;
    let reference = request.str("taskDefinition").unwrap_or_default();
    let definition = definitions::find(state, reference).cloned();
    let definition = definition.ok_or_else(|| Refusal::client("TaskDefinition not found."))?;
    if !definition.active {
        return Err(Refusal::client("TaskDefinition is inactive"));
    }
    let token = request.str("clientToken").unwrap_or_default().to_owned();
    if token.len() > 64 || !token.bytes().all(|it| (33..=126).contains(&it)) {
        return Err(Refusal::parameter("clientToken is longer than 64 characters or has others than ASCII 33 to 126."));
    }
    check(body, &definition, &cluster.capacity_providers)?;
    let mut without_token = body.clone();
    if let Some(members) = without_token.as_object_mut() {
        members.remove("clientToken");
    }
    let key = (cluster.name.clone(), token);
    if let Some(used) = state.tokens.get(&key)
        && !key.1.is_empty()
        && now < token_ends(state, used)
    {
        if used.request != without_token {
            let message = "The provided client token is already in use with a different request.";
            return Err(Refusal::new("ConflictException", message).with("resourceIds", json!(used.arns)));
        }
        let known: Vec<Value> = used
            .arns
            .iter()
            .filter_map(|arn| state.tasks.iter().find(|it| it.arn == *arn))
            .map(|task| {
                let document = tasks::document(task, now, true);
                // Of one that has stopped the answer has no more than this.
                match document["lastStatus"].as_str() {
                    Some("STOPPED") => json!({
                        "taskArn": task.arn, "lastStatus": "STOPPED", "desiredStatus": "STOPPED",
                    }),
                    _ => document,
                }
            })
            .collect();
        return Ok(json!({ "tasks": known, "failures": used.failures }).to_string());
    }
    let (mut arns, mut documents, mut failures) = (Vec::new(), Vec::new(), json!([]));
    match state.next_failures.pop_front().or_else(|| no_room(state, now)) {
        Some(reasons) => {
            let instance =
                format!("arn:aws:ecs:{}:{}:container-instance/{}", state.region, state.account, cluster.name);
            let reasons = reasons.into_iter().map(|(reason, detail)| {
                let mut failure = json!({ "reason": reason });
                // Of an instance that was looked at; capacity that is nowhere has no ARN.
                if reason.starts_with("RESOURCE:") || ["AGENT", "ATTRIBUTE"].contains(&reason.as_str()) {
                    failure["arn"] = json!(format!("{instance}/{}", state.random.hex(32)));
                }
                if let Some(detail) = detail {
                    failure["detail"] = json!(detail);
                }
                failure
            });
            failures = Value::Array(reasons.collect());
        }
        None => {
            for _ in 0..body["count"].as_u64().unwrap_or(1) {
                let task = start(state, &cluster.name, &definition, body, now);
                arns.push(task.arn.clone());
                documents.push(tasks::document(&task, now, true));
                state.tasks.push(task);
            }
        }
    }
    state.tokens.insert(key, TokenUse { at: now, request: without_token, arns, failures: failures.clone() });
    Ok(json!({ "tasks": documents, "failures": failures }).to_string())
}

fn no_room(state: &State, now: Millis) -> Option<Vec<(String, Option<String>)>> {
    let (most, reason) = state.room.as_ref()?;
    let made = state.tasks.iter().filter(|it| it.service.is_none());
    let alive = made.filter(|it| !tasks::timeline_of(it).is_stopped(now)).count();
    (alive >= *most).then(|| vec![(reason.clone(), None)])
}

/// A token lives for 24 hours, or for an hour after its ECS tasks have stopped where that is sooner.
fn token_ends(state: &State, used: &TokenUse) -> Millis {
    let of_token = state.tasks.iter().filter(|it| used.arns.contains(&it.arn));
    let stopped = of_token.map(|it| tasks::timeline_of(it).stopped.unwrap_or(Millis::MAX / 2)).max();
    (used.at + 24 * HOUR).min(stopped.unwrap_or(used.at) + HOUR)
}

/// A new ECS task.
pub fn start(state: &mut State, cluster: &str, definition: &Definition, body: &Value, now: Millis) -> Task {
    let id = state.random.hex(32);
    let shard = list(&body["overrides"], "containerOverrides").find_map(super::ecs::shard_of);
    let of_shard = shard.and_then(|it| it.parse().ok()).and_then(|it: u32| state.shard_lives.get(&it).cloned());
    let mut life = of_shard.or_else(|| state.next_lives.pop_front()).unwrap_or_else(|| state.life.clone());
    // The one program whose life is known: `sleep N`.
    let sleeps = definition.containers().iter().find(|it| it["entryPoint"] == json!(["sleep"]));
    if let Some(container) = sleeps {
        let of_override = super::ecs::container_override(body, text(container, "name"));
        let seconds = of_override.and_then(|it| it["command"][0].as_str()).and_then(|it| it.parse::<Millis>().ok());
        if let (Some(seconds), true) = (seconds, life.main.exit_code == Some(0) && life.main.lines.is_empty()) {
            life.main.runs = Some(seconds * 1000);
        }
    }
    let digests: HashMap<String, String> = definition
        .containers()
        .iter()
        .map(|it| (text(it, "name").to_owned(), state.digest_of(text(it, "image"))))
        .collect();
    let provider = list(body, "capacityProviderStrategy").next().map(|it| text(it, "capacityProvider").to_owned());
    // Without a word about capacity a cluster runs on EC2.
    let launch_type = match provider.as_deref() {
        Some("FARGATE" | "FARGATE_SPOT") => "FARGATE",
        Some(_) => "EC2",
        None => body["launchType"].as_str().unwrap_or("EC2"),
    };
    let architecture = definition.document.pointer("/runtimePlatform/cpuArchitecture").and_then(Value::as_str);
    let group = body["group"].as_str().map_or_else(|| format!("family:{}", definition.family), str::to_owned);
    Task {
        arn: format!("arn:aws:ecs:{}:{}:task/{cluster}/{id}", state.region, state.account),
        id,
        cluster: cluster.to_owned(),
        definition: definition.clone(),
        stream_missing: life.stream_missing,
        life,
        created: now,
        stop: None,
        request: body.clone(),
        tags: body.get("tags").cloned().unwrap_or_else(|| json!([])),
        group,
        started_by: body["startedBy"].as_str().map(str::to_owned),
        launch_type: Some(launch_type.to_owned()),
        capacity_provider: provider,
        architecture: if architecture == Some("ARM64") { "arm64" } else { "x86_64" }.to_owned(),
        digests,
        missing: state.missing_first,
        listed_from: now + state.list_lag,
        service: None,
    }
}

/// What ECS refuses. The wording is ECS's where it is known.
fn check(body: &Value, definition: &Definition, capacity_providers: &[String]) -> Result<(), Refusal> {
    if body.get("count").is_some_and(|it| !it.as_i64().is_some_and(|it| (1..=10).contains(&it))) {
        return Err(Refusal::parameter("Count must be between 1 and 10."));
    }
    // The space is in no document, but ecs-deploy's `ECS Deploy` has started ECS tasks for years.
    if let Some(started_by) = body["startedBy"].as_str()
        && (started_by.len() > 128 || !started_by.chars().all(|it| it.is_ascii_alphanumeric() || "-_/ ".contains(it)))
    {
        return Err(Refusal::parameter(format!("startedBy has characters that are not allowed: {started_by}")));
    }
    if body["propagateTags"] == "SERVICE" {
        return Err(Refusal::parameter("propagateTags: SERVICE is not valid for RunTask."));
    }
    if let Some(reference) = body["referenceId"].as_str()
        && reference.len() > 1024
    {
        return Err(Refusal::parameter("referenceId is longer than 1024 characters."));
    }
    check_tags(body)?;
    let fargate = check_capacity(body, definition, capacity_providers)?;
    check_network(body, definition, fargate)?;
    check_overrides(body, definition, fargate)?;
    let role = body.pointer("/overrides/taskRoleArn").or(definition.document.get("taskRoleArn"));
    if body["enableExecuteCommand"] == true && role.is_none() {
        return Err(Refusal::parameter(
            "The task couldn't be started because a valid taskRoleArn is not being used. Specify a valid task role.",
        ));
    }
    for volume in list(body, "volumeConfigurations") {
        let name = text(volume, "name");
        if !list(&definition.document, "volumes").any(|it| text(it, "name") == name && it["configuredAtLaunch"] == true)
        {
            return Err(Refusal::parameter(format!("The volume {name} is not configured at launch.")));
        }
    }
    let configured: Vec<&str> = list(body, "volumeConfigurations").map(|it| text(it, "name")).collect();
    let mut at_launch = list(&definition.document, "volumes").filter(|it| it["configuredAtLaunch"] == true);
    match at_launch.find(|it| !configured.contains(&text(it, "name"))) {
        Some(volume) => {
            let message = format!("The volume {} needs a volume configuration.", text(volume, "name"));
            Err(Refusal::parameter(message))
        }
        None => Ok(()),
    }
}

/// Launch type and capacity providers. Gives whether it is Fargate.
fn check_capacity(body: &Value, definition: &Definition, capacity_providers: &[String]) -> Result<bool, Refusal> {
    let strategy: Vec<&str> = list(body, "capacityProviderStrategy").map(|it| text(it, "capacityProvider")).collect();
    let launch_type = body["launchType"].as_str();
    if body.get("capacityProviderStrategy").is_some() && strategy.is_empty() {
        return Err(Refusal::parameter("capacityProviderStrategy must not be empty."));
    }
    if launch_type.is_some() && !strategy.is_empty() {
        return Err(Refusal::parameter(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    if let Some(unknown) = strategy.iter().find(|it| !capacity_providers.iter().any(|known| known == *it)) {
        let message =
            format!("The specified capacity provider '{unknown}' was not found. Specify a valid name and try again.");
        return Err(Refusal::parameter(message));
    }
    let is_fargate = |it: &&str| it.starts_with("FARGATE");
    if strategy.iter().any(is_fargate) && !strategy.iter().all(is_fargate) {
        return Err(Refusal::parameter(
            "A strategy cannot have both Fargate and Auto Scaling group capacity providers.",
        ));
    }
    let fargate = launch_type == Some("FARGATE") || strategy.iter().any(is_fargate);
    let needed = if fargate { "FARGATE" } else { "EC2" };
    if !definition.is_compatible(needed) {
        return Err(Refusal::parameter(format!("Task definition does not support launch_type {needed}.")));
    }
    let platform = body["platformVersion"].as_str();
    if !fargate && platform.is_some() {
        return Err(Refusal::parameter("The platform version must be null when specifying an EC2 launch type."));
    }
    if platform.is_some_and(|it| !["LATEST", "1.4.0", "1.3.0"].contains(&it)) {
        return Err(Refusal::new("PlatformUnknownException", "The specified platform does not exist."));
    }
    let placed = |member: &str| list(body, member).next().is_some();
    if fargate && (placed("placementStrategy") || placed("placementConstraints")) {
        return Err(Refusal::parameter("Placement strategies are not supported with FARGATE launch type."));
    }
    Ok(fargate)
}

fn check_network(body: &Value, definition: &Definition, fargate: bool) -> Result<(), Refusal> {
    let network = body.pointer("/networkConfiguration/awsvpcConfiguration");
    let awsvpc = definition.document["networkMode"] == "awsvpc";
    match network {
        None if awsvpc => {
            let message = "Network Configuration must be provided when networkMode 'awsvpc' is specified.";
            Err(Refusal::parameter(message))
        }
        Some(_) if !awsvpc => Err(Refusal::parameter(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        )),
        Some(network) if list(network, "subnets").next().is_none() => {
            Err(Refusal::parameter("subnets can not be empty."))
        }
        Some(network) if list(network, "subnets").count() > 16 || list(network, "securityGroups").count() > 5 => {
            Err(Refusal::parameter("At most 16 subnets and 5 security groups are allowed."))
        }
        Some(network) if !fargate && network["assignPublicIp"] == "ENABLED" => {
            Err(Refusal::parameter("Assign public IP is not supported for this launch type."))
        }
        _ => Ok(()),
    }
}

fn check_overrides(body: &Value, definition: &Definition, fargate: bool) -> Result<(), Refusal> {
    let Some(overrides) = body.get("overrides") else { return Ok(()) };
    if overrides.to_string().chars().count() > 8192 {
        return Err(Refusal::parameter("Container Overrides length must be at most 8192"));
    }
    for container in list(overrides, "containerOverrides") {
        let name = text(container, "name");
        if !definition.containers().iter().any(|it| text(it, "name") == name) {
            let message = format!("Override for container named {name} is not a container in the TaskDefinition.");
            return Err(Refusal::parameter(message));
        }
        if list(container, "environment").any(|it| text(it, "name").is_empty() || it.get("value").is_none()) {
            return Err(Refusal::parameter("An environment variable needs a name and a value."));
        }
    }
    let of_task = |member: &str| overrides.get(member).or(definition.document.get(member)).and_then(Value::as_str);
    let size = |member: &str| plain_size(of_task(member).unwrap_or_default());
    let (cpu, memory) = (size("cpu"), size("memory"));
    if fargate && !is_fargate_size(&cpu, &memory) {
        let message = format!("No Fargate configuration exists for given values: {cpu} CPU, {memory} memory.");
        return Err(Refusal::parameter(message));
    }
    if fargate && !cpu.is_empty() {
        let sum = |member: &str| -> i64 {
            let containers = definition.containers().iter().map(|it| {
                let of_override = list(overrides, "containerOverrides").find(|o| o["name"] == it["name"]);
                let size = of_override.and_then(|it| it[member].as_i64());
                size.or(it[member].as_i64()).unwrap_or(0)
            });
            containers.sum()
        };
        if sum("cpu") > cpu.parse().unwrap_or(i64::MAX) || sum("memory") > memory.parse().unwrap_or(i64::MAX) {
            return Err(Refusal::parameter("The containers ask for more cpu or memory than the ECS task has."));
        }
    }
    if let Some(size) = overrides.pointer("/ephemeralStorage/sizeInGiB").and_then(Value::as_i64)
        && !(21..=200).contains(&size)
    {
        return Err(Refusal::parameter("EphemeralStorage size should be between 21 and 200 GiB."));
    }
    Ok(())
}
