//! ECS's operations by name, and its clusters and services.

use serde_json::{Map, Value, json};

use super::definitions::{self, list, seconds, text};
use super::exec;
use super::life::{Life, Millis};
use super::run_task;
use super::state::State;
use super::tasks;
use super::wire::{Refusal, Reply, Request};

/// `None`: there is no script for this operation.
pub fn handle(state: &mut State, request: &Request, now: Millis) -> Option<Reply> {
    Some(match request.operation.as_str() {
        "RunTask" => run_task::run(state, request, now),
        "DescribeTasks" => tasks::describe(state, request, now),
        "ListTasks" => tasks::list_tasks(state, request, now),
        "StopTask" => tasks::stop(state, request, now),
        "ExecuteCommand" => exec::execute(state, request, now),
        "RegisterTaskDefinition" => definitions::register(state, request, now),
        "DescribeTaskDefinition" => definitions::describe(state, request),
        "DeregisterTaskDefinition" => definitions::deregister(state, request, now),
        "DeleteTaskDefinitions" => definitions::delete(state, request, now),
        "ListTaskDefinitions" => list_definitions(state, request),
        "DescribeServices" => describe_services(state, request),
        "ListServices" => list_services(state, request),
        "DescribeClusters" => describe_clusters(state, request),
        "ListClusters" => {
            let arns: Vec<&str> = state.clusters.iter().map(|it| it.arn.as_str()).collect();
            tasks::page("clusterArns", &arns, request)
        }
        _ => return None,
    })
}

fn list_definitions(state: &State, request: &Request) -> Reply {
    let status = request.str("status").unwrap_or("ACTIVE");
    let prefix = request.str("familyPrefix");
    let mut arns: Vec<&str> = state
        .definitions
        .iter()
        .filter(|it| text(&it.document, "status") == status && prefix.is_none_or(|prefix| it.family == prefix))
        .map(|it| it.arn.as_str())
        .collect();
    if request.str("sort") == Some("DESC") {
        arns.reverse();
    }
    tasks::page("taskDefinitionArns", &arns, request)
}

fn describe_clusters(state: &State, request: &Request) -> Reply {
    let mut references = request.strings("clusters");
    if references.is_empty() {
        references.push("default".to_owned());
    }
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for reference in references {
        match state.cluster(Some(&reference)) {
            Some(cluster) => clusters.push(json!({
                "clusterArn": cluster.arn,
                "clusterName": cluster.name,
                "status": "ACTIVE",
                "capacityProviders": cluster.capacity_providers,
                "defaultCapacityProviderStrategy": [],
                "settings": [],
                "tags": [],
                "configuration": cluster.configuration,
            })),
            None => failures.push(json!({ "arn": reference, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "clusters": clusters, "failures": failures }).to_string())
}

fn of_cluster<'a>(state: &'a State, request: &Request) -> Result<(String, Vec<&'a Value>), Refusal> {
    let cluster = state.cluster(request.str("cluster"));
    let cluster = cluster.ok_or_else(|| Refusal::new("ClusterNotFoundException", "Cluster not found."))?;
    let services = state.services.iter().filter(|it| text(it, "clusterArn") == cluster.arn);
    Ok((cluster.name.clone(), services.collect()))
}

fn describe_services(state: &State, request: &Request) -> Reply {
    let (cluster, services) = of_cluster(state, request)?;
    let references = request.strings("services");
    if references.is_empty() || references.len() > 10 {
        return Err(Refusal::parameter("Services cannot be empty, and at most 10 are allowed."));
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for reference in references {
        match services.iter().find(|it| text(it, "serviceName") == reference || text(it, "serviceArn") == reference) {
            Some(service) => found.push((*service).clone()),
            None => {
                let arn = format!("arn:aws:ecs:{}:{}:service/{cluster}/{reference}", state.region, state.account);
                let arn = if reference.starts_with("arn:") { reference } else { arn };
                failures.push(json!({ "arn": arn, "reason": "MISSING" }));
            }
        }
    }
    Ok(json!({ "services": found, "failures": failures }).to_string())
}

fn list_services(state: &State, request: &Request) -> Reply {
    let (_, services) = of_cluster(state, request)?;
    let arns: Vec<&str> = services.iter().map(|it| text(it, "serviceArn")).collect();
    tasks::page("serviceArns", &arns, request)
}

/// A service that has been there for a day, with ECS tasks that run (as many as desired). `members` are ECS's own, `serviceName`
/// and `taskDefinition` needed; what is left out is what a Fargate service has.
pub fn add_service(state: &mut State, cluster: &str, members: &Value, now: Millis) {
    let cluster = state.cluster(Some(cluster)).expect("the service's cluster exists").clone();
    let name = text(members, "serviceName").to_owned();
    let definition =
        definitions::find(state, text(members, "taskDefinition")).expect("the service's definition exists");
    let definition = definition.clone();
    let created = now - 86_400_000;
    let awsvpc = definition.document["networkMode"] == "awsvpc";
    let fargate = definition.is_compatible("FARGATE");
    let mut service = Map::new();
    let mut put = |name: &str, value: Value| service.insert(name.to_owned(), value);
    put("serviceArn", json!(format!("arn:aws:ecs:{}:{}:service/{}/{name}", state.region, state.account, cluster.name)));
    put("clusterArn", json!(cluster.arn));
    put("status", json!("ACTIVE"));
    put("desiredCount", json!(1));
    if members.get("capacityProviderStrategy").is_none() {
        put("launchType", json!(if fargate { "FARGATE" } else { "EC2" }));
    }
    let strategy = members.get("capacityProviderStrategy").and_then(|it| it[0]["capacityProvider"].as_str());
    let fargate = strategy.map_or(fargate, |it| it.starts_with("FARGATE"));
    if fargate {
        put("platformVersion", json!("LATEST"));
        put("platformFamily", json!("Linux"));
    }
    if awsvpc {
        put(
            "networkConfiguration",
            json!({ "awsvpcConfiguration": {
                "subnets": ["subnet-0a", "subnet-0b"], "securityGroups": ["sg-0c"], "assignPublicIp": "DISABLED",
            }}),
        );
    }
    for member in ["loadBalancers", "serviceRegistries", "events", "placementConstraints", "placementStrategy"] {
        put(member, json!([]));
    }
    put("deploymentConfiguration", json!({ "maximumPercent": 200, "minimumHealthyPercent": 100 }));
    put("schedulingStrategy", json!("REPLICA"));
    put("deploymentController", json!({ "type": "ECS" }));
    put("createdAt", seconds(created));
    put("createdBy", json!(format!("arn:aws:iam::{}:role/deployer", state.account)));
    put("enableECSManagedTags", json!(true));
    put("propagateTags", json!("NONE"));
    put("enableExecuteCommand", json!(false));
    put(
        "roleArn",
        json!(format!("arn:aws:iam::{}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS", state.account)),
    );
    for (name, value) in members.as_object().into_iter().flatten() {
        put(name, value.clone());
    }
    put("taskDefinition", json!(definition.arn));
    let desired = service["desiredCount"].as_u64().unwrap_or(1);
    service.entry("runningCount").or_insert(json!(desired));
    service.entry("pendingCount").or_insert(json!(0));
    let deployment = format!("ecs-svc/{:019}", state.random.below(u64::MAX / 2));
    if !service.contains_key("deployments") {
        let mut primary = Map::new();
        for name in [
            "taskDefinition",
            "desiredCount",
            "runningCount",
            "pendingCount",
            "launchType",
            "capacityProviderStrategy",
            "platformFamily",
            "networkConfiguration",
            "createdAt",
        ] {
            service.get(name).map(|it| primary.insert(name.to_owned(), it.clone()));
        }
        primary.insert("id".to_owned(), json!(deployment));
        primary.insert("status".to_owned(), json!("PRIMARY"));
        primary.insert("rolloutState".to_owned(), json!("COMPLETED"));
        primary.insert("failedTasks".to_owned(), json!(0));
        primary.insert("updatedAt".to_owned(), seconds(created));
        if let Some(version) = service.get("platformVersion").and_then(Value::as_str) {
            let version = if version == "LATEST" { "1.4.0" } else { version };
            primary.insert("platformVersion".to_owned(), json!(version));
        }
        service.insert("deployments".to_owned(), json!([primary]));
    }
    let service = Value::Object(service);
    // Its ECS tasks run for ever and take no life from the script.
    let lives = std::mem::take(&mut state.next_lives);
    for _ in 0..desired {
        let mut body = json!({
            "startedBy": deployment, "group": format!("service:{name}"),
            "networkConfiguration": service["networkConfiguration"],
            "enableExecuteCommand": service["enableExecuteCommand"],
        });
        for member in ["launchType", "capacityProviderStrategy"] {
            service.get(member).iter().for_each(|it| body[member] = (*it).clone());
        }
        state.next_lives.push_back(Life::new().runs_forever());
        let mut task = run_task::start(state, &cluster.name, &definition, &body, created);
        (task.missing, task.listed_from, task.service) = (0, created, Some(name.clone()));
        state.tasks.push(task);
    }
    state.next_lives = lives;
    state.services.push(service);
}

/// The variable XTASK_SHARD of a container override.
pub fn shard_of(container: &Value) -> Option<&str> {
    list(container, "environment").find(|it| text(it, "name") == "XTASK_SHARD").map(|it| text(it, "value"))
}

/// The arguments and variables that an ECS task was started with, of the container of that name.
pub fn container_override<'a>(request: &'a Value, container: &str) -> Option<&'a Value> {
    list(request.get("overrides")?, "containerOverrides").find(|it| text(it, "name") == container)
}
