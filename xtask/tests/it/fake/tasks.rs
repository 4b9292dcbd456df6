//! ECS tasks as ECS tells them: DescribeTasks, ListTasks, StopTask. A document is made from the timeline at the moment of the call.

use serde_json::{Map, Value, json};

use super::definitions::{list, seconds, text};
use super::life::{self, ContainerTimes, Millis, Stop, Timeline};
use super::state::{State, Task};
use super::wire::{Refusal, Reply, Request};

const HOUR: Millis = 3_600_000;

/// The whole life of an ECS task, past and future.
pub fn timeline_of(task: &Task) -> Timeline {
    life::timeline(&task.life, &task.definition.specs(), task.created, task.stop.as_ref())
}

/// The ECS task as it is now.
pub fn document(task: &Task, now: Millis, tags: bool) -> Value {
    let timeline = timeline_of(task);
    let stop = timeline.stop.as_ref().filter(|it| it.at <= now);
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    let past = |at: Option<Millis>| at.filter(|it| *it <= now).map(seconds);
    for (name, at) in [
        ("createdAt", Some(task.created)),
        ("pullStartedAt", timeline.pull_started),
        ("pullStoppedAt", timeline.pull_stopped),
        ("startedAt", timeline.started),
        ("stoppingAt", stop.map(|it| it.at)),
        ("executionStoppedAt", timeline.execution_stopped),
        ("stoppedAt", timeline.stopped),
    ] {
        past(at).map(|it| put(name, it));
    }
    if let Some(stop) = stop {
        put("stopCode", json!(stop.code));
        put("stoppedReason", json!(stop.reason));
    }
    let sizes = |member: &str| {
        let of_override = task.request.pointer("/overrides").and_then(|it| it.get(member));
        of_override.or(task.definition.document.get(member)).cloned()
    };
    for member in ["cpu", "memory"] {
        sizes(member).map(|it| put(member, it));
    }
    let containers = task.definition.containers().iter().map(|it| container(task, it, &timeline, now));
    put("containers", containers.collect());
    put("attachments", attachments(task, stop.is_some()));
    put("attributes", json!([{ "name": "ecs.cpu-architecture", "value": task.architecture }]));
    put("availabilityZone", json!("eu-west-1a"));
    put("clusterArn", json!(task.arn.replace(":task/", ":cluster/").rsplit_once('/').map(|(it, _)| it)));
    put("connectivity", json!("CONNECTED"));
    put("desiredStatus", json!(if stop.is_some() { "STOPPED" } else { "RUNNING" }));
    put("enableExecuteCommand", json!(task.request["enableExecuteCommand"] == true));
    put("group", json!(task.group));
    put("healthStatus", json!("UNKNOWN"));
    put("inferenceAccelerators", json!([]));
    put("lastStatus", json!(timeline.status(now)));
    if let Some(provider) = &task.capacity_provider {
        put("capacityProviderName", json!(provider));
    }
    put("launchType", json!(task.launch_type));
    if task.launch_type.as_deref() == Some("FARGATE") {
        put("platformVersion", json!("1.4.0"));
        put("platformFamily", json!("Linux"));
        put("ephemeralStorage", json!({ "sizeInGiB": 20 }));
    }
    put("overrides", task.request.get("overrides").cloned().unwrap_or_else(|| json!({ "containerOverrides": [] })));
    task.started_by.as_ref().map(|it| put("startedBy", json!(it)));
    // StopTask takes the tags away.
    put("tags", if tags && task.stop.is_none() { task.tags.clone() } else { json!([]) });
    put("taskArn", json!(task.arn));
    put("taskDefinitionArn", json!(task.definition.arn));
    put("version", json!(timeline.statuses.iter().filter(|(_, at)| *at <= now).count()));
    Value::Object(document)
}

fn container(task: &Task, spec: &Value, timeline: &Timeline, now: Millis) -> Value {
    let name = text(spec, "name");
    let times = timeline.containers.iter().find(|it| it.name == name);
    let started = times.and_then(|it| it.started).is_some_and(|it| it <= now);
    let ended = times.and_then(|it| it.ended.as_ref()).filter(|(at, _, _)| *at <= now);
    let status = match (started, ended) {
        (_, Some(_)) => "STOPPED",
        (true, None) => "RUNNING",
        (false, None) => "PENDING",
    };
    let mut document = json!({
        "containerArn": format!("{}/{}", task.arn.replace(":task/", ":container/"), name),
        "taskArn": task.arn,
        "name": name,
        "image": spec["image"],
        "lastStatus": status,
        "networkBindings": [],
        "networkInterfaces": [],
        "healthStatus": "UNKNOWN",
        "cpu": spec["cpu"].as_i64().unwrap_or(0).to_string(),
    });
    if let Some(memory) = spec["memory"].as_i64() {
        document["memory"] = json!(memory.to_string());
    }
    if timeline.pull_stopped.is_some_and(|it| it <= now) {
        document["imageDigest"] = json!(task.digests.get(name));
    }
    if started {
        document["runtimeId"] = json!(format!("{}-{:010}", task.id, name.len()));
    }
    if let Some((_, code, reason)) = ended {
        code.iter().for_each(|it| document["exitCode"] = json!(it));
        reason.iter().for_each(|it| document["reason"] = json!(it));
    }
    if task.request["enableExecuteCommand"] == true {
        let up = times.and_then(|it| it.started).is_some_and(|it| it + task.life.agent_after <= now);
        document["managedAgents"] = match &task.life.agent_stops {
            Some(reason) if up => {
                json!([{ "name": "ExecuteCommandAgent", "lastStatus": "STOPPED", "reason": reason }])
            }
            _ => {
                let agent = if up && ended.is_none() { "RUNNING" } else { "PENDING" };
                json!([{ "name": "ExecuteCommandAgent", "lastStatus": agent }])
            }
        };
    }
    document
}

fn attachments(task: &Task, stopping: bool) -> Value {
    let subnets = task.request.pointer("/networkConfiguration/awsvpcConfiguration").map(|it| list(it, "subnets"));
    let Some(subnet) = subnets.and_then(|mut it| it.next()) else { return json!([]) };
    json!([{
        "id": format!("{}-{}-4000-8000-{}", &task.id[..8], &task.id[8..12], &task.id[12..24]),
        "type": "ElasticNetworkInterface",
        "status": if stopping { "DELETED" } else { "ATTACHED" },
        "details": [
            { "name": "subnetId", "value": subnet },
            { "name": "networkInterfaceId", "value": format!("eni-0{}", &task.id[..16]) },
            { "name": "privateIPv4Address", "value": "10.0.0.7" },
        ],
    }])
}

pub fn known_cluster(state: &State, request: &Request) -> Result<String, Refusal> {
    let cluster = state.cluster(request.str("cluster")).map(|it| it.name.clone());
    cluster.ok_or_else(|| Refusal::new("ClusterNotFoundException", "Cluster not found."))
}

/// Whether ECS still knows it: until an hour after it has stopped.
fn is_known(task: &Task, now: Millis) -> bool {
    timeline_of(task).stopped.is_none_or(|it| now < it + HOUR)
}

pub fn is_named(task: &Task, reference: &str) -> bool {
    task.arn == reference || task.id == reference
}

/// DescribeTasks.
pub fn describe(state: &mut State, request: &Request, now: Millis) -> Reply {
    let cluster = known_cluster(state, request)?;
    let references = request.strings("tasks");
    if references.is_empty() || references.len() > 100 {
        return Err(Refusal::parameter("Tasks cannot be empty, and at most 100 are allowed."));
    }
    let tags = request.strings("include").iter().any(|it| it == "TAGS");
    let (mut documents, mut failures) = (Vec::new(), Vec::new());
    for reference in references {
        let prefix = format!("arn:aws:ecs:{}:{}:task/{cluster}", state.region, state.account);
        let task = state.tasks.iter_mut().find(|it| it.cluster == cluster && is_named(it, &reference));
        match task.filter(|it| is_known(it, now)) {
            Some(task) if task.missing == 0 => documents.push(document(task, now, tags)),
            other => {
                if let Some(task) = other {
                    task.missing -= 1;
                }
                let arn = if reference.starts_with("arn:") { reference } else { format!("{prefix}/{reference}") };
                failures.push(json!({ "arn": arn, "reason": "MISSING" }));
            }
        }
    }
    Ok(json!({ "tasks": documents, "failures": failures }).to_string())
}

/// ListTasks, in pages of up to 100.
pub fn list_tasks(state: &State, request: &Request, now: Millis) -> Reply {
    let cluster = known_cluster(state, request)?;
    let filters = ["family", "serviceName", "desiredStatus", "containerInstance", "launchType"];
    let started_by = request.str("startedBy");
    if started_by.is_some() && filters.iter().any(|it| request.body.get(it).is_some()) {
        return Err(Refusal::parameter("startedBy must be the only filter."));
    }
    let service = request.str("serviceName").map(|it| it.rsplit('/').next().unwrap_or(it));
    let of_cluster = |it: &&Value| text(it, "clusterArn").ends_with(&format!("/{cluster}"));
    if let Some(service) = service
        && !state.services.iter().filter(of_cluster).any(|it| text(it, "serviceName") == service)
    {
        return Err(Refusal::new("ServiceNotFoundException", "Service not found."));
    }
    let desired = request.str("desiredStatus").unwrap_or("RUNNING");
    if !["RUNNING", "PENDING", "STOPPED"].contains(&desired) {
        return Err(Refusal::parameter(format!("desiredStatus: {desired}")));
    }
    let arns: Vec<&str> = state
        .tasks
        .iter()
        .rev()
        .filter(|it| it.cluster == cluster && is_known(it, now) && it.listed_from <= now)
        .filter(|it| request.str("family").is_none_or(|family| it.definition.family == family))
        .filter(|it| started_by.is_none_or(|by| it.started_by.as_deref() == Some(by)))
        .filter(|it| service.is_none_or(|service| it.service.as_deref() == Some(service)))
        .filter(|it| request.str("launchType").is_none_or(|launch| it.launch_type.as_deref() == Some(launch)))
        .filter(|it| {
            let stopping = timeline_of(it).stop.is_some_and(|stop| stop.at <= now);
            desired == if stopping { "STOPPED" } else { "RUNNING" }
        })
        .map(|it| it.arn.as_str())
        .collect();
    page("taskArns", &arns, request)
}

/// A page of a list, with ECS's kind of token.
pub fn page(member: &str, arns: &[&str], request: &Request) -> Reply {
    let most = request.body["maxResults"].as_u64().unwrap_or(100);
    if !(1..=100).contains(&most) {
        return Err(Refusal::parameter("maxResults must be between 1 and 100."));
    }
    let from = match request.str("nextToken") {
        Some(token) => {
            let place = token.strip_prefix("page-").and_then(|it| it.parse().ok());
            place.ok_or_else(|| Refusal::parameter("Invalid token"))?
        }
        None => 0,
    };
    let to = arns.len().min(from + most as usize);
    let mut answer = json!({ member: arns.get(from..to).unwrap_or_default() });
    if to < arns.len() {
        answer["nextToken"] = json!(format!("page-{to}"));
    }
    Ok(answer.to_string())
}

/// StopTask. Of one that has stopped (or is about to by itself) it changes nothing.
pub fn stop(state: &mut State, request: &Request, now: Millis) -> Reply {
    let cluster = known_cluster(state, request)?;
    let reference = request.str("task").unwrap_or_default();
    let reason = request.str("reason").unwrap_or("Task stopped by user");
    if reason.chars().count() > 1024 {
        return Err(Refusal::parameter("reason is longer than 1024 characters."));
    }
    let task = state.tasks.iter_mut().find(|it| it.cluster == cluster && is_named(it, reference));
    let task = task.filter(|it| is_known(it, now));
    let task = task.ok_or_else(|| Refusal::parameter("The referenced task was not found."))?;
    let stopping = timeline_of(task).stop.is_some_and(|it| it.at <= now);
    if !stopping {
        if let Some(gateway) = &state.gateway {
            gateway.task_stops(&task.id);
        }
        task.stop = Some(Stop { at: now, code: "UserInitiated".to_owned(), reason: reason.to_owned() });
    }
    // Documented: the tags are deleted.
    task.tags = json!([]);
    Ok(json!({ "task": document(task, now, true) }).to_string())
}

/// The part of the timeline that is one container's.
pub fn container_times(task: &Task, container: &str) -> Option<ContainerTimes> {
    timeline_of(task).containers.into_iter().find(|it| it.name == container)
}
