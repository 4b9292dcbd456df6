//! What can be told of a task without running it: its plan, and what that asks for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Checker, Seen};
use crate::aws::ecs::Described;
use crate::checks::{self, Finding};
use crate::model::{
    EcsTask, Facts, Identity, ImageChoice, ImageFact, Origin, Plan, PlannedImage, ResolvedTask, Sourced,
};
use crate::permissions;
use crate::plan;
use crate::stage::publish::Destination;
use crate::stage::survey;

/// ECS's limit for the JSON of all overrides.
const MOST_OVERRIDES: usize = 8192;

impl Checker<'_> {
    pub(super) async fn task(
        &self,
        task: &ResolvedTask,
        identity: &Identity,
        clusters: &BTreeMap<String, Value>,
        services: &BTreeMap<(String, String), Value>,
        seen: &mut Seen,
    ) {
        let branch = format!("task {}", task.task);
        let Some(cluster) = &task.settings.cluster else {
            let message = format!("`{}` has no `cluster`", task.environment.value);
            let finding = Finding::failed("cluster", message, "set `cluster` in the environment");
            self.tell(&branch, finding.at(task.environment.span()));
            return;
        };
        let name = task.settings.service.as_ref().map(|it| (cluster.value.clone(), it.value.clone()));
        let service = name.as_ref().and_then(|it| services.get(it));
        let Some(base) = self.base(&branch, task, service, name.is_some()).await else { return };
        if name.is_some() && service.is_none() {
            self.tell(&branch, Finding::skipped("plan", "the service could not be read"));
            return;
        }
        let running = match service {
            Some(_) => self.running(task, &cluster.value).await,
            None => Vec::new(),
        };
        let running_platform = running.iter().find_map(|it| it.platform.clone());
        let Some(image) = self.image_fact(&branch, task, identity, &base) else { return };
        let facts = Facts {
            identity: identity.clone(),
            region: self.aws.region.clone(),
            cluster: cluster.value.clone(),
            service: service.cloned(),
            base,
            family: survey::family(task),
            newest_revision: self.newest(&branch, task).await,
            running_platform,
            image,
            commit: None,
            // As long as a real one, for the size of the overrides.
            run_id: "checkcheckch".to_owned(),
            ci_job: None,
            warnings: Vec::new(),
        };
        match plan::plan_anyway(task, &facts) {
            Ok(plan) => self.planned(&branch, task, &facts, &plan, clusters.get(&cluster.value), seen).await,
            Err(error) => self.tell_error(&branch, "plan", error, "change tasks.toml or the base task definition"),
        }
    }

    /// The base task definition.
    async fn base(
        &self,
        branch: &str,
        task: &ResolvedTask,
        service: Option<&Value>,
        of_service: bool,
    ) -> Option<Value> {
        let written = task.settings.task_definition.as_ref();
        let reference = written.map(|it| it.value.clone()).or_else(|| survey::service_definition(service?));
        let Some(reference) = reference else {
            self.tell(
                branch,
                match of_service {
                    true => Finding::skipped("base task definition", "the service could not be read"),
                    false => {
                        let message = "neither a service nor a task definition to start from is named";
                        let hint = "set `service` or `task-definition` in the environment";
                        Finding::failed("base task definition", message, hint).at(task.environment.span())
                    }
                },
            );
            return None;
        };
        let finding = match self.aws.describe_task_definition(&reference).await {
            Ok(Some(answer)) => {
                let found = answer.get("taskDefinition").cloned().unwrap_or_default();
                let arn = found.get("taskDefinitionArn").and_then(Value::as_str).unwrap_or(&reference);
                self.tell(branch, Finding::ok("base task definition", arn));
                return Some(found);
            }
            Ok(None) => Finding::failed(
                "base task definition",
                format!("`{reference}` has no ACTIVE revision"),
                format!("check the family's name and the region ({})", self.aws.region.value),
            ),
            Err(error) => {
                let problem = error.problem(&format!("read the task definition `{reference}`"), None);
                Finding::of("base task definition", problem, "allow ecs:DescribeTaskDefinition")
            }
        };
        self.tell(branch, finding.at(written.and_then(Sourced::span)));
        None
    }

    /// The service's ECS tasks that run; none where they cannot be read, which costs only a guess at the platform.
    async fn running(&self, task: &ResolvedTask, cluster: &str) -> Vec<EcsTask> {
        let Some(service) = &task.settings.service else { return Vec::new() };
        let Ok(arns) = self.aws.service_tasks(cluster, &service.value).await else { return Vec::new() };
        if arns.is_empty() {
            return Vec::new();
        }
        let described = self.aws.describe_tasks(cluster, &arns).await.unwrap_or_default();
        let tasks = described.into_iter().filter_map(|(_, it)| match it {
            Described::Task(task) => Some(*task),
            Described::Missing(_) => None,
        });
        tasks.filter(|it| it.last_status.as_deref() == Some("RUNNING")).collect()
    }

    /// The newest revision of the task's own family.
    async fn newest(&self, branch: &str, task: &ResolvedTask) -> Option<crate::model::NewestRevision> {
        let family = survey::family(task);
        match self.aws.describe_task_definition(&family).await {
            Ok(answer) => answer.and_then(|it| survey::newest_revision(&it)),
            Err(error) => {
                let problem = error.problem(&format!("read the family `{family}`"), None);
                self.tell(branch, Finding::of("family", problem, "allow ecs:DescribeTaskDefinition"));
                None
            }
        }
    }

    /// As much of the image as a plan needs. `None`: it could not even be placed.
    fn image_fact(&self, branch: &str, task: &ResolvedTask, identity: &Identity, base: &Value) -> Option<ImageFact> {
        match task.image.as_ref().map(|it| &it.value) {
            Some(ImageChoice::Build(spec)) => match Destination::new(task, spec, identity, &self.aws.region.value) {
                Ok(it) => Some(ImageFact::Unprepared { registry: it.registry, repository: it.repository }),
                Err(error) => {
                    self.tell_error(branch, "image", error, "set `repository` and `registry` of the image");
                    None
                }
            },
            Some(ImageChoice::Deployed) => {
                let container = plan::chosen_container(task, base).unwrap_or_default();
                let image =
                    containers(base).find(|it| name_of(it) == container).and_then(|it| it.get("image")?.as_str());
                let image = image.unwrap_or_default().to_owned();
                Some(ImageFact::Deployed(Sourced::new(image, Origin::TaskDefinition)))
            }
            Some(ImageChoice::Reference(_)) | None => Some(ImageFact::Given),
        }
    }

    async fn planned(
        &self,
        branch: &str,
        task: &ResolvedTask,
        facts: &Facts,
        plan: &Plan,
        cluster: Option<&Value>,
        seen: &mut Seen,
    ) {
        self.tell(branch, Finding::ok("plan", format!("`{}` runs in the container `{}`", task.task, plan.container)));
        let overrides = plan.run_task.get("overrides").map(ToString::to_string).unwrap_or_default().chars().count();
        let message = format!("{overrides} of {MOST_OVERRIDES} characters");
        self.tell(branch, Finding::ok("overrides", message));
        self.capacity(branch, task, plan, cluster);

        let role = |key: &str| {
            let of = |it: Option<&Value>| it?.get(key)?.as_str().filter(|it| !it.is_empty()).map(str::to_owned);
            of(plan.run_task.get("overrides")).or_else(|| of(Some(&plan.definition)))
        };
        let (task_role, execution_role) = (role("taskRoleArn"), role("executionRoleArn"));
        seen.roles.extend(task_role.iter().map(|it| (it.clone(), "task role")));
        seen.roles.extend(execution_role.iter().map(|it| (it.clone(), "execution role")));
        if let Some(network) = plan.run_task.pointer("/networkConfiguration/awsvpcConfiguration") {
            seen.networks.insert((texts(network, "subnets"), texts(network, "securityGroups")));
        }
        let key = cluster.and_then(|it| it.pointer("/configuration/executeCommandConfiguration/kmsKeyId")?.as_str());
        seen.needs.push(permissions::needs(task, facts, plan, key));
        self.logs(facts, plan, execution_role.as_deref(), seen);
        self.execution_role(branch, plan, execution_role.as_deref());
        for container in containers(&plan.definition) {
            let secrets = container.get("secrets").and_then(Value::as_array).into_iter().flatten();
            let values = secrets.filter_map(|it| it.get("valueFrom")?.as_str());
            let credentials = container.pointer("/repositoryCredentials/credentialsParameter").and_then(Value::as_str);
            let values = values.chain(credentials).map(|it| (it.to_owned(), execution_role.clone()));
            seen.secrets.extend(values);
        }
        if task.interactive {
            self.console(branch, task, plan, task_role.as_deref(), key, seen);
        }
        self.image(branch, task, facts, plan, execution_role.as_deref(), seen).await;
    }

    /// Whether the cluster has what the ECS task is placed on.
    fn capacity(&self, branch: &str, task: &ResolvedTask, plan: &Plan, cluster: Option<&Value>) {
        let strategy = plan.run_task.get("capacityProviderStrategy").and_then(Value::as_array).into_iter().flatten();
        let wanted: Vec<&str> = strategy.filter_map(|it| it.get("capacityProvider")?.as_str()).collect();
        let Some(cluster) = cluster.filter(|_| !wanted.is_empty()) else { return };
        let there = texts(cluster, "capacityProviders");
        let missing: Vec<&str> = wanted.iter().filter(|it| !there.iter().any(|there| there == *it)).copied().collect();
        let finding = match missing.is_empty() {
            true => Finding::ok("capacity providers", wanted.join(", ")),
            false => Finding::failed(
                "capacity providers",
                format!("the cluster does not have {}", missing.join(", ")),
                match there.is_empty() {
                    true => "set `launch-type`, or associate capacity providers with the cluster".to_owned(),
                    false => format!("the cluster has {}", there.join(", ")),
                },
            ),
        };
        self.tell(branch, finding.at(task.settings.capacity_providers.as_ref().and_then(Sourced::span)));
    }

    fn logs(&self, facts: &Facts, plan: &Plan, execution_role: Option<&str>, seen: &mut Seen) {
        let partition = plan::partition(&facts.identity, &facts.region.value);
        for container in containers(&plan.definition) {
            let Some(options) = container.pointer("/logConfiguration/options") else { continue };
            let option = |key: &str| options.get(key).and_then(Value::as_str);
            let Some(group) = option("awslogs-group") else { continue };
            let region = option("awslogs-region").unwrap_or(&facts.region.value);
            let created = option("awslogs-create-group") == Some("true");
            *seen.groups.entry((group.to_owned(), region.to_owned())).or_insert(created) |= created;
            let Some(role) = execution_role else { continue };
            let arn =
                format!("arn:{partition}:logs:{region}:{}:log-group:{group}:log-stream:0", facts.identity.account);
            for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
                seen.execution.insert((role.to_owned(), "write logs", action, arn.clone()));
            }
        }
    }

    /// On Fargate nobody else pulls the image and writes the output.
    fn execution_role(&self, branch: &str, plan: &Plan, role: Option<&str>) {
        let fargate = texts(&plan.definition, "requiresCompatibilities").iter().any(|it| it == "FARGATE");
        if fargate && role.is_none() {
            let message = "there is none, and on Fargate awslogs and images of ECR need one";
            self.tell(branch, Finding::failed("execution role", message, "set `execution-role`"));
        }
    }

    fn console(
        &self,
        branch: &str,
        task: &ResolvedTask,
        plan: &Plan,
        role: Option<&str>,
        key: Option<&str>,
        seen: &mut Seen,
    ) {
        let container = containers(&plan.definition).find(|it| name_of(it) == plan.container);
        match container.and_then(|it| checks::exec_needs(it, role)) {
            Some((message, hint)) => {
                let span = task.settings.interactive.as_ref().and_then(Sourced::span);
                self.tell(branch, Finding::failed("ECS Exec", message, hint).at(span));
            }
            None => self.tell(branch, Finding::ok("ECS Exec", "the container can have a session")),
        }
        let Some(role) = role else { return };
        for action in [
            "ssmmessages:CreateControlChannel",
            "ssmmessages:CreateDataChannel",
            "ssmmessages:OpenControlChannel",
            "ssmmessages:OpenDataChannel",
        ] {
            seen.consoles.insert((role.to_owned(), action, "*".to_owned()));
        }
        if let Some(key) = key.filter(|it| it.starts_with("arn:")) {
            seen.consoles.insert((role.to_owned(), "kms:Decrypt", key.to_owned()));
        }
    }

    /// The platform that the image must be for.
    pub(super) fn platform(&self, facts: &Facts, plan: &Plan) -> String {
        if let PlannedImage::Build { platform, .. } | PlannedImage::Unprepared { platform, .. } = &plan.image {
            return platform.clone();
        }
        let architecture = plan.definition.pointer("/runtimePlatform/cpuArchitecture").and_then(Value::as_str);
        match (architecture, &facts.running_platform) {
            (Some("ARM64"), _) => "linux/arm64".to_owned(),
            (None, Some(running)) => running.clone(),
            _ => "linux/amd64".to_owned(),
        }
    }
}

fn containers(definition: &Value) -> impl Iterator<Item = &Value> {
    definition.get("containerDefinitions").and_then(Value::as_array).into_iter().flatten()
}

fn name_of(container: &Value) -> &str {
    container.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    let items = value.get(key).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
