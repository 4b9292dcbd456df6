//! Where the ECS task runs: launch type or capacity providers, platform version, network, placement and volumes. tasks.toml decides, else
//! the live service's PRIMARY deployment, else the base.

use serde_json::{Map, Value, json};

use super::{Planner, json, overrides};
use crate::error::Problem;
use crate::model::{Origin, Sourced};

/// What the ECS task runs on.
#[derive(Debug)]
pub(super) struct Capacity {
    pub kind: Sourced<CapacityKind>,
    /// Whether the service's FARGATE_SPOT became FARGATE.
    pub without_spot: bool,
    /// Whether it is known to be Fargate.
    pub fargate: bool,
    /// Fargate only.
    pub platform_version: Option<Sourced<String>>,
}

/// The two ways to say it, which exclude each other, and the one not to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum CapacityKind {
    LaunchType(String),
    /// Items of `capacityProviderStrategy`.
    Strategy(Vec<Value>),
    /// The cluster's default strategy.
    ClusterDefault,
}

impl Capacity {
    /// In one phrase, for people.
    pub fn name(&self) -> String {
        match &self.kind.value {
            CapacityKind::LaunchType(launch_type) => launch_type.clone(),
            CapacityKind::ClusterDefault => "the cluster's default capacity".to_owned(),
            CapacityKind::Strategy(items) => {
                let names: Vec<String> = items
                    .iter()
                    .map(|it| {
                        let name = json::text(it, "capacityProvider").unwrap_or("?");
                        match (items.len(), json::positive(it, "weight"), json::positive(it, "base")) {
                            (1, ..) => name.to_owned(),
                            (_, weight, None) => format!("{name} (weight {})", weight.unwrap_or(0)),
                            (_, weight, Some(base)) => format!("{name} (base {base}, weight {})", weight.unwrap_or(0)),
                        }
                    })
                    .collect();
                names.join(", ")
            }
        }
    }
}

/// The `awsvpc` network.
#[derive(Debug)]
pub(super) struct Network {
    pub subnets: Sourced<Vec<String>>,
    /// `None`: the VPC's default security group.
    pub security_groups: Option<Sourced<Vec<String>>>,
    pub assign_public_ip: Option<Sourced<bool>>,
}

/// The part of a service that says what it runs now: its PRIMARY deployment, or PRIMARY task set where CodeDeploy or an external
/// controller deploys (such a service has no deployments).
pub fn primary(service: &Value) -> Option<&Value> {
    let primary = |key| json::list(service, key).iter().find(|it| json::text(it, "status") == Some("PRIMARY"));
    primary("deployments").or_else(|| primary("taskSets"))
}

/// A field of the PRIMARY deployment, else of the service itself.
fn of_service<'a>(planner: &Planner<'a>, key: &str) -> Option<&'a Value> {
    let service = planner.facts.service.as_ref()?;
    let there = |it: &&Value| !it.is_null() && it.as_str() != Some("") && it.as_array().is_none_or(|it| !it.is_empty());
    primary(service).and_then(|it| it.get(key)).filter(there).or_else(|| service.get(key).filter(there))
}

/// Decides what it runs on.
pub(super) fn capacity(planner: &mut Planner<'_>) -> Capacity {
    let kind = kind(planner);
    let fargate = match &kind.value {
        CapacityKind::LaunchType(launch_type) => launch_type == "FARGATE",
        CapacityKind::Strategy(items) => {
            items.iter().any(|it| matches!(json::text(it, "capacityProvider"), Some("FARGATE" | "FARGATE_SPOT")))
        }
        CapacityKind::ClusterDefault => false,
    };
    let compatibilities = json::texts(planner.base(), "compatibilities");
    if fargate && !compatibilities.is_empty() && !compatibilities.iter().any(|it| it == "FARGATE") {
        let settings = &planner.task.settings;
        let span = settings
            .launch_type
            .as_ref()
            .and_then(Sourced::span)
            .or_else(|| settings.capacity_providers.as_ref().and_then(Sourced::span));
        let base_name = planner.base_name();
        planner.problem(
            Problem::new(format!(
                "the base task definition `{base_name}` cannot run on Fargate: it is compatible with {}",
                compatibilities.join(", ")
            ))
            .at(span)
            .hint("set `task-definition` to one for Fargate, or another `launch-type`"),
        );
    }
    let written = planner.task.settings.platform_version.clone();
    let from_service = of_service(planner, "platformVersion")
        .and_then(Value::as_str)
        .map(|it| Sourced::new(it.to_owned(), Origin::Service));
    if let (false, Some(version)) = (fargate, &written) {
        let origin = &version.origin;
        planner.warnings.push(format!("{origin} is not used: platform versions are for Fargate"));
    }
    let platform_version = written.or(from_service).filter(|_| fargate);
    let without_spot = match (&kind, of_service(planner, "capacityProviderStrategy").and_then(Value::as_array)) {
        (Sourced { value: CapacityKind::Strategy(items), origin: Origin::Service }, Some(theirs)) => {
            theirs.iter().any(is_spot) && !items.iter().any(is_spot)
        }
        _ => false,
    };
    Capacity { kind, without_spot, fargate, platform_version }
}

fn kind(planner: &mut Planner<'_>) -> Sourced<CapacityKind> {
    let settings = &planner.task.settings;
    let spot = settings.spot.as_ref();
    let launch_type = settings.launch_type.as_ref();
    let providers = settings.capacity_providers.as_ref();
    if let (Some(launch_type), Some(providers)) = (launch_type, providers)
        && overrides::rank(&launch_type.origin) == overrides::rank(&providers.origin)
    {
        planner.problem(
            Problem::new("`launch-type` and `capacity-providers` exclude each other")
                .at(launch_type.span())
                .hint("leave one of them out"),
        );
    }
    let nearer =
        |one: &Origin, other: Option<&Origin>| other.is_none_or(|it| overrides::rank(one) >= overrides::rank(it));
    if let Some(launch_type) = launch_type.filter(|it| nearer(&it.origin, providers.map(|it| &it.origin))) {
        warn_of_useless_spot(planner, launch_type.value.as_str());
        return launch_type.clone().map(|it| CapacityKind::LaunchType(it.as_str().to_owned()));
    }
    if let Some(providers) = providers {
        let items: Vec<Value> = providers
            .value
            .iter()
            .map(|(name, weight)| json!({ "capacityProvider": name, "weight": weight }))
            .collect();
        if providers.value.iter().all(|(_, weight)| *weight == 0) {
            planner.problem(
                Problem::new("no capacity provider has a weight above 0, so ECS would place nothing")
                    .at(providers.span())
                    .hint("give one of them the weight 1"),
            );
        }
        // Written down is asked for, unless `spot = false` is written down as well.
        let items = if spot.is_some_and(|it| !it.value) { without_spot(&items) } else { items };
        return Sourced::new(CapacityKind::Strategy(items), providers.origin.clone());
    }
    if let Some(strategy) = of_service(planner, "capacityProviderStrategy").and_then(Value::as_array) {
        let strategy = json::without_nulls(&Value::Array(strategy.clone()));
        let items = strategy.as_array().cloned().unwrap_or_default();
        let has_spot = items.iter().any(is_spot);
        let items = match spot.is_some_and(|it| it.value) {
            // A base is how many of a service's ECS tasks come first; taken over, it would be met anew by each single launch, and
            // Spot never reached.
            true if has_spot => items.into_iter().map(|it| without(it, "base")).collect(),
            true => {
                warn_of_useless_spot(planner, "the service's capacity providers");
                items
            }
            false => without_spot(&items),
        };
        return Sourced::new(CapacityKind::Strategy(items), Origin::Service);
    }
    if let Some(launch_type) = of_service(planner, "launchType").and_then(Value::as_str) {
        warn_of_useless_spot(planner, launch_type);
        return Sourced::new(CapacityKind::LaunchType(launch_type.to_owned()), Origin::Service);
    }
    // The cluster's default strategy may be Spot; a base for Fargate alone leaves no doubt about the rest.
    if json::texts(planner.base(), "requiresCompatibilities") == ["FARGATE"] {
        return Sourced::new(CapacityKind::LaunchType("FARGATE".to_owned()), Origin::TaskDefinition);
    }
    planner.warnings.push(
        "nothing says on what it runs, so the cluster's default capacity providers decide, and those may be Spot: set `launch-type` or \
         `capacity-providers`"
            .to_owned(),
    );
    Sourced::default(CapacityKind::ClusterDefault)
}

fn is_spot(item: &Value) -> bool {
    json::text(item, "capacityProvider") == Some("FARGATE_SPOT")
}

fn without(mut item: Value, key: &str) -> Value {
    if let Value::Object(map) = &mut item {
        map.shift_remove(key);
    }
    item
}

/// FARGATE_SPOT becomes FARGATE: a one-off job that Spot takes away half-way is worse than its price. Whether another provider's
/// instances are Spot cannot be seen from here.
fn without_spot(items: &[Value]) -> Vec<Value> {
    if !items.iter().any(is_spot) {
        return items.to_vec();
    }
    let on_fargate = |it: &Value| is_spot(it) || json::text(it, "capacityProvider") == Some("FARGATE");
    let sum = |key: &str| {
        let values = items.iter().filter(|it| on_fargate(it)).filter_map(|it| json::positive(it, key));
        values.fold(0, u32::saturating_add)
    };
    let mut fargate = Map::new();
    fargate.insert("capacityProvider".to_owned(), json!("FARGATE"));
    fargate.insert("weight".to_owned(), json!(sum("weight").clamp(1, 1000)));
    if sum("base") > 0 {
        fargate.insert("base".to_owned(), json!(sum("base")));
    }
    let mut fargate = Some(Value::Object(fargate));
    items.iter().filter_map(|it| if on_fargate(it) { fargate.take() } else { Some(it.clone()) }).collect()
}

fn warn_of_useless_spot(planner: &mut Planner<'_>, what: &str) {
    if let Some(spot) = planner.task.settings.spot.as_ref().filter(|it| it.value) {
        let origin = &spot.origin;
        planner.warnings.push(format!(
            "{origin} changes nothing on {what}: `capacity-providers = {{ FARGATE_SPOT = 1 }}` asks for Spot"
        ));
    }
}

/// The network, which `awsvpc` needs and every other mode refuses.
pub(super) fn network(planner: &mut Planner<'_>) -> Option<Network> {
    let settings = &planner.task.settings;
    let mode = json::text(planner.base(), "networkMode").unwrap_or("bridge");
    if mode != "awsvpc" {
        let origins = [
            settings.subnets.as_ref().map(|it| &it.origin),
            settings.security_groups.as_ref().map(|it| &it.origin),
            settings.assign_public_ip.as_ref().map(|it| &it.origin),
        ];
        let unused: Vec<String> = origins.into_iter().flatten().map(ToString::to_string).collect();
        if !unused.is_empty() {
            let base_name = planner.base_name();
            planner
                .warnings
                .push(format!("not used, since the network mode of `{base_name}` is `{mode}`: {}", unused.join(", ")));
        }
        return None;
    }
    let of_service = of_service(planner, "networkConfiguration").and_then(|it| it.get("awsvpcConfiguration"));
    let texts = |key: &str| {
        let values = of_service.map(|it| json::texts(it, key)).unwrap_or_default();
        (!values.is_empty()).then(|| Sourced::new(values, Origin::Service))
    };
    let public = of_service
        .and_then(|it| json::text(it, "assignPublicIp"))
        .map(|it| Sourced::new(it == "ENABLED", Origin::Service));
    let subnets = settings.subnets.clone().filter(|it| !it.value.is_empty()).or_else(|| texts("subnets"));
    // An empty list written down means the VPC's default group.
    let security_groups = settings.security_groups.clone().or_else(|| texts("securityGroups"));
    let assign_public_ip = settings.assign_public_ip.clone().or(public);
    let Some(subnets) = subnets else {
        let base_name = planner.base_name();
        planner.problem(
            Problem::new(format!("the network mode of `{base_name}` is `awsvpc`, and nothing says in which subnets"))
                .at(super::base_span(planner.task).or(planner.task.task_span))
                .hint("set `subnets`, or `service` to copy a service's network"),
        );
        return None;
    };
    Some(Network { subnets, security_groups, assign_public_ip })
}

/// `volumeConfigurations` for the volumes that are configured at launch: the service's own, made for one ECS task and deleted with it.
pub(super) fn volumes(planner: &mut Planner<'_>, definition: &Value) -> Option<Value> {
    let mut configurations = Vec::new();
    for volume in json::list(definition, "volumes") {
        if volume.get("configuredAtLaunch").and_then(Value::as_bool) != Some(true) {
            continue;
        }
        let name = json::text(volume, "name").unwrap_or_default();
        let of_service = of_service(planner, "volumeConfigurations").and_then(Value::as_array).into_iter().flatten();
        let managed = of_service
            .filter(|it| json::text(it, "name") == Some(name))
            .find_map(|it| it.get("managedEBSVolume"))
            .and_then(|it| json::without_nulls(it).as_object().cloned());
        let Some(mut managed) = managed else {
            let base_name = planner.base_name();
            planner.problem(
                Problem::new(format!(
                    "the volume `{name}` of `{base_name}` is configured at launch, and no service says how"
                ))
                .at(super::base_span(planner.task).or(planner.task.task_span))
                .hint("set `service` to the one that uses it, or `sidecars` if only they mount it"),
            );
            continue;
        };
        // RunTask takes what a service takes, except that there is no service whose tags a volume could get, and that a service's volumes
        // always go with their ECS task.
        if let Some(specifications) = managed.get_mut("tagSpecifications").and_then(Value::as_array_mut) {
            for specification in specifications.iter_mut().filter_map(Value::as_object_mut) {
                if specification.get("propagateTags").and_then(Value::as_str) == Some("SERVICE") {
                    specification.shift_remove("propagateTags");
                }
            }
        }
        managed.insert("terminationPolicy".to_owned(), json!({ "deleteOnTermination": true }));
        configurations.push(json!({ "name": name, "managedEBSVolume": managed }));
    }
    (!configurations.is_empty()).then_some(Value::Array(configurations))
}

/// The request of RunTask, without `taskDefinition` and `clientToken`. The tags of the definition are not propagated: ours say more.
pub(super) fn request(
    planner: &mut Planner<'_>,
    capacity: &Capacity,
    network: Option<&Network>,
    volumes: Option<&Value>,
    overrides: Value,
    tags: &[Value],
) -> Value {
    let facts = planner.facts;
    let mut request = Map::new();
    request.insert("cluster".to_owned(), json!(facts.cluster));
    request.insert("count".to_owned(), json!(1));
    match &capacity.kind.value {
        CapacityKind::LaunchType(launch_type) => {
            request.insert("launchType".to_owned(), json!(launch_type));
        }
        CapacityKind::Strategy(items) => {
            request.insert("capacityProviderStrategy".to_owned(), json!(items));
        }
        CapacityKind::ClusterDefault => {}
    }
    if let Some(version) = &capacity.platform_version {
        request.insert("platformVersion".to_owned(), json!(version.value));
    }
    if let Some(network) = network {
        let mut awsvpc = Map::new();
        awsvpc.insert("subnets".to_owned(), json!(network.subnets.value));
        if let Some(groups) = network.security_groups.as_ref().filter(|it| !it.value.is_empty()) {
            awsvpc.insert("securityGroups".to_owned(), json!(groups.value));
        }
        if let Some(public) = &network.assign_public_ip {
            let word = if public.value { "ENABLED" } else { "DISABLED" };
            awsvpc.insert("assignPublicIp".to_owned(), json!(word));
        }
        request.insert("networkConfiguration".to_owned(), json!({ "awsvpcConfiguration": awsvpc }));
    }
    for (key, placement) in placement(planner, capacity) {
        request.insert(key.to_owned(), placement);
    }
    if let Some(volumes) = volumes {
        request.insert("volumeConfigurations".to_owned(), volumes.clone());
    }
    request.insert("enableECSManagedTags".to_owned(), json!(true));
    if planner.task.interactive {
        request.insert("enableExecuteCommand".to_owned(), json!(true));
    }
    let started_by = format!("xtask/{}/{}", planner.task.task, facts.run_id);
    if started_by.len() > 128 {
        planner.problem(
            Problem::new(format!(
                "the name `{}` is too long: ECS takes 128 characters for `{started_by}`",
                planner.task.task
            ))
            .at(planner.task.task_span)
            .hint("give the task a shorter name"),
        );
    }
    request.insert("startedBy".to_owned(), json!(started_by));
    request.insert("overrides".to_owned(), overrides);
    request.insert("tags".to_owned(), json!(tags));
    Value::Object(request)
}

/// Constraints and strategy of the service. On Fargate there are no instances to place on.
pub(super) fn placement(planner: &Planner<'_>, capacity: &Capacity) -> Vec<(&'static str, Value)> {
    let service = planner.facts.service.as_ref().filter(|_| !capacity.fargate);
    let Some(service) = service else { return Vec::new() };
    ["placementConstraints", "placementStrategy"]
        .into_iter()
        .filter_map(|key| service.get(key).map(|it| (key, json::without_nulls(it))))
        .filter(|(_, it)| it.as_array().is_some_and(|it| !it.is_empty()))
        .collect()
}
