//! The reads of `check`: everything that a run of these tasks depends on, one after the other, whatever came out before. Nothing is written.
//! ECS, ECR, CloudWatch Logs and STS are asked by the SDK, the rest by the aws command line, where there is one.

mod by_cli;
mod images;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use serde_json::Value;

use crate::aws::Aws;
use crate::checks::Finding;
use crate::cx::Cx;
use crate::error::Error;
use crate::model::{Identity, ResolvedEnvironment, ResolvedTask, Sourced};
use crate::permissions::Needs;
use crate::plan;
use crate::tools::aws_cli::AwsCli;
use crate::tools::docker::Engine;

/// What to check, and how to reach it.
#[derive(Clone, Copy)]
pub struct Checker<'a> {
    /// Where tasks.toml is.
    pub cx: &'a Cx,
    /// Where the tasks run.
    pub environment: &'a ResolvedEnvironment,
    /// What runs there.
    pub tasks: &'a [ResolvedTask],
    /// The SDK.
    pub aws: &'a Aws,
    /// The command line, where there is one.
    pub cli: Option<&'a AwsCli>,
    /// docker, where it answers.
    pub engine: Option<&'a Engine>,
    /// What its builder can build for; empty where it does not say.
    pub platforms: &'a [String],
    /// Told of each check when it is done, with the branch of the tree that it belongs to.
    pub tell: &'a dyn Fn(&str, Finding),
}

/// What the tasks' plans showed that has to be looked at, each once.
#[derive(Default)]
struct Seen {
    /// Subnets and security groups.
    networks: BTreeSet<(Vec<String>, Vec<String>)>,
    /// Roles by ARN, with what they are for.
    roles: BTreeMap<String, &'static str>,
    /// Log groups with their region; whether ECS creates them.
    groups: BTreeMap<(String, String), bool>,
    /// What the execution role must be allowed: role, what it is for, action, resource.
    execution: BTreeSet<(String, &'static str, &'static str, String)>,
    /// What the task role of a console must be allowed.
    consoles: BTreeSet<(String, &'static str, String)>,
    /// `valueFrom` with the execution role that reads it.
    secrets: BTreeSet<(String, Option<String>)>,
    /// Repositories that were looked at.
    repositories: BTreeSet<String>,
    /// What was found of them, to be told behind the tasks.
    registry: Vec<Finding>,
    needs: Vec<Needs>,
}

impl Checker<'_> {
    /// Checks everything. May be dropped at any time.
    pub async fn run(&self) {
        let identity = match self.aws.caller_identity().await {
            Ok(identity) => identity,
            Err(error) => {
                let problem = error.problem("ask AWS who calls", None);
                let hint = "set AWS_PROFILE, or `profile` in the environment";
                self.tell("account", Finding::of("credentials", problem, hint));
                self.tell("account", Finding::skipped("everything in AWS", "there are no credentials to ask with"));
                return;
            }
        };
        self.tell("account", Finding::ok("credentials", identity.arn.clone()));
        self.account(&identity);
        let (clusters, services) = self.clusters().await;
        let mut seen = Seen::default();
        for task in self.tasks {
            self.task(task, &identity, &clusters, &services, &mut seen).await;
        }
        for finding in std::mem::take(&mut seen.registry) {
            self.tell("registry", finding);
        }
        for ((group, region), created) in &seen.groups {
            self.log_group(group, region, *created).await;
        }
        match self.cli {
            Some(cli) => self.by_cli(cli, &identity, &seen).await,
            None => {
                let why = "the aws command line is not on PATH";
                for (branch, name) in [
                    ("network", "subnets and security groups"),
                    ("roles", "roles that ECS takes on"),
                    ("secrets", "secrets that the execution role reads"),
                    ("permissions", "what the caller may do"),
                ] {
                    self.tell(branch, Finding::skipped(name, why));
                }
            }
        }
    }

    fn tell(&self, branch: &str, finding: Finding) {
        (self.tell)(branch, finding);
    }

    /// Each problem of an error as a failed check.
    fn tell_error(&self, branch: &str, name: &str, error: Error, hint: &str) {
        for problem in error.problems {
            self.tell(branch, Finding::of(name, problem, hint));
        }
    }

    fn account(&self, identity: &Identity) {
        let settings = &self.environment.settings;
        let name = &self.environment.name;
        match plan::guard_account(&name.value, settings, identity) {
            Ok(()) => {
                let written =
                    if settings.account.is_some() { "" } else { "; tasks.toml names no `account` to compare" };
                self.tell("account", Finding::ok("account", format!("{}{written}", identity.account)));
            }
            Err(error) => self.tell_error("account", "account", error, "use other credentials"),
        }
        let region = &self.aws.region;
        match plan::guard_places(&name.value, settings, &region.value) {
            Ok(()) => self.tell("account", Finding::ok("region", format!("{} ({})", region.value, region.origin))),
            Err(error) => self.tell_error("account", "region", error, "name another region"),
        }
    }

    /// The clusters and services that the tasks name, each once. A service that could not be read is not in the answer.
    async fn clusters(&self) -> (BTreeMap<String, Value>, BTreeMap<(String, String), Value>) {
        let (mut clusters, mut services) = (BTreeMap::new(), BTreeMap::new());
        let mut looked_at = BTreeSet::new();
        for task in self.tasks {
            let Some(cluster) = &task.settings.cluster else { continue };
            if looked_at.insert((cluster.value.clone(), None))
                && let Some(found) = self.cluster(cluster).await
            {
                clusters.insert(cluster.value.clone(), found);
            }
            let Some(service) = &task.settings.service else { continue };
            if !looked_at.insert((cluster.value.clone(), Some(service.value.clone()))) {
                continue;
            }
            if !clusters.contains_key(&cluster.value) {
                let why = format!("the cluster `{}` could not be read", cluster.value);
                self.tell("cluster", Finding::skipped(format!("service {}", service.value), why));
            } else if let Some(found) = self.service(&cluster.value, service).await {
                services.insert((cluster.value.clone(), service.value.clone()), found);
            }
        }
        (clusters, services)
    }

    async fn cluster(&self, cluster: &Sourced<String>) -> Option<Value> {
        let name = format!("cluster {}", cluster.value);
        let found = match self.aws.describe_cluster(&cluster.value).await {
            Ok(found) => found,
            Err(error) => {
                let problem = error.problem(&format!("read the cluster `{}`", cluster.value), None);
                self.tell("cluster", Finding::of(name, problem, "allow ecs:DescribeClusters").at(cluster.span()));
                return None;
            }
        };
        let text = |key: &str| found.as_ref().and_then(|it| it.get(key)?.as_str()).unwrap_or_default();
        if text("status") != "ACTIVE" {
            let names = self.aws.cluster_names().await;
            let hint = match names.is_empty() {
                true => "check `cluster`, `region` and the profile".to_owned(),
                false => format!("clusters in {}: {}", self.aws.region.value, names.join(", ")),
            };
            let what = if found.is_none() { "does not exist".to_owned() } else { format!("is {}", text("status")) };
            self.tell("cluster", Finding::failed(name, what, hint).at(cluster.span()));
            return None;
        }
        self.tell("cluster", Finding::ok(name, text("clusterArn")));
        found
    }

    async fn service(&self, cluster: &str, service: &Sourced<String>) -> Option<Value> {
        let name = format!("service {}", service.value);
        let found = match self.aws.describe_service(cluster, &service.value).await {
            Ok(found) => found,
            Err(error) => {
                let problem = error.problem(&format!("read the service `{}`", service.value), None);
                self.tell("cluster", Finding::of(name, problem, "allow ecs:DescribeServices").at(service.span()));
                return None;
            }
        };
        let Some(found) = found else {
            let names = self.aws.service_names(cluster).await;
            let hint = match names.is_empty() {
                true => "check `service` and `cluster`".to_owned(),
                false => format!("services in {cluster}: {}", names.join(", ")),
            };
            self.tell("cluster", Finding::failed(name, "does not exist", hint).at(service.span()));
            return None;
        };
        let number = |key: &str| found.get(key).and_then(Value::as_u64).unwrap_or_default();
        let status = found.get("status").and_then(Value::as_str).unwrap_or_default();
        let message = format!("{status}, {} of {} ECS tasks run", number("runningCount"), number("desiredCount"));
        self.tell("cluster", Finding::ok(name, message));
        Some(found)
    }

    async fn log_group(&self, group: &str, region: &str, created: bool) {
        let name = format!("log group {group}");
        let finding = match self.aws.clone().with_logs_region(region).log_group_exists(group).await {
            Ok(true) => Finding::ok(name, format!("in {region}")),
            Ok(false) if created => Finding::ok(name, format!("to be created in {region} by ECS")),
            Ok(false) => Finding::failed(
                name,
                format!("does not exist in {region}, so that no container that writes there starts"),
                format!("create it: `aws logs create-log-group --region {region} --log-group-name {group}`"),
            ),
            Err(error) => {
                let problem = error.problem(&format!("look for the log group `{group}`"), None);
                Finding::skipped(name, problem.message)
            }
        };
        self.tell("logs", finding);
    }
}

/// Waits for all of them, side by side, and gives their results in the order that they came in.
async fn side_by_side<'a, T: Unpin>(futures: Vec<Pin<Box<dyn Future<Output = T> + 'a>>>) -> Vec<T> {
    let mut under_way: Vec<_> = futures.into_iter().map(|it| (Some(it), None)).collect();
    std::future::poll_fn(move |context| {
        for (future, result) in &mut under_way {
            if let Some(running) = future
                && let Poll::Ready(value) = running.as_mut().poll(context)
            {
                (*future, *result) = (None, Some(value));
            }
        }
        match under_way.iter().all(|(future, _)| future.is_none()) {
            true => Poll::Ready(under_way.iter_mut().filter_map(|(_, result)| result.take()).collect()),
            false => Poll::Pending,
        }
    })
    .await
}
