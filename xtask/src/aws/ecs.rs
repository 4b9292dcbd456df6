//! ECS. Services, task definitions and the two writing requests travel as AWS's own JSON: the SDK signs, sends and retries, and the
//! JSON passes through whole, so that a field which this version of the SDK does not know is neither lost nor changed.

use std::sync::{Arc, Mutex};

use aws_sdk_ecs::operation::run_task::RunTaskError;
use aws_sdk_ecs::types::{ClusterField, DesiredStatus, TaskDefinitionField, TaskField};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::DateTime;
use serde_json::Value;

use super::{Aws, AwsError};
use crate::exclusive::Desired;
use crate::model::{EcsContainer, EcsTask, ExecAgent, Overridden, Timestamp};

/// An entry of `failures[]`: the call was accepted and this part of it did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Of the resource that was asked for, where there is one.
    pub arn: Option<String>,
    /// For example `RESOURCE:MEMORY`, `AGENT`, `MISSING`.
    pub reason: String,
    /// More, where AWS says more.
    pub detail: Option<String>,
}

/// What DescribeTasks found of one ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Described {
    /// The ECS task.
    Task(Box<EcsTask>),
    /// `failures[]` has it, with this reason: right after RunTask, or more than an hour after the stop.
    Missing(String),
}

/// What RunTask answered.
#[derive(Debug, Clone)]
pub enum Launched {
    /// It runs, or will.
    Task(Box<EcsTask>),
    /// HTTP 200, and nothing started.
    Failures(Vec<Failure>),
    /// The client token is in use with other parameters, for these ECS tasks.
    Conflict(Vec<String>),
}

impl Aws {
    /// The entry of DescribeServices, verbatim. `None`: the cluster has no such service (or only a drained one).
    pub async fn describe_service(&self, cluster: &str, service: &str) -> Result<Option<Value>, AwsError> {
        let body = CapturedBody::default();
        self.ecs
            .describe_services()
            .cluster(cluster)
            .services(service)
            .customize()
            .interceptor(body.clone())
            .send()
            .await
            .map_err(|it| AwsError::new("DescribeServices", it))?;
        let mut answer = body.json("DescribeServices")?;
        let services = answer.get_mut("services").and_then(Value::as_array_mut);
        Ok(services
            .and_then(|it| it.drain(..).next())
            .filter(|it| it.get("status").and_then(Value::as_str) != Some("INACTIVE")))
    }

    /// The answer of DescribeTaskDefinition, verbatim: `taskDefinition` and `tags`. `None`: there is no ACTIVE revision.
    pub async fn describe_task_definition(&self, reference: &str) -> Result<Option<Value>, AwsError> {
        let body = CapturedBody::default();
        let answer = self
            .ecs
            .describe_task_definition()
            .task_definition(reference)
            .include(TaskDefinitionField::Tags)
            .customize()
            .interceptor(body.clone())
            .send()
            .await
            .map_err(|it| AwsError::new("DescribeTaskDefinition", it));
        match answer {
            Ok(_) => Ok(Some(body.json("DescribeTaskDefinition")?)),
            // ECS has no code of its own for it.
            Err(error)
                if error.is("ClientException") && error.message.contains("Unable to describe task definition") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Registers the request (ECS's JSON) and returns the revision's ARN.
    pub async fn register_task_definition(&self, request: &Value) -> Result<String, AwsError> {
        let text = request.to_string();
        let answer = self
            .ecs
            .register_task_definition()
            .family(request.get("family").and_then(Value::as_str).unwrap_or_default())
            .set_container_definitions(Some(Vec::new()))
            .customize()
            .mutate_request(move |http| replace_body(http, &text))
            .send()
            .await
            .map_err(|it| AwsError::new("RegisterTaskDefinition", it))?;
        answer
            .task_definition
            .and_then(|it| it.task_definition_arn)
            .ok_or_else(|| AwsError::unexpected("RegisterTaskDefinition", "the answer has no ARN"))
    }

    /// Sends the request (ECS's JSON, client token included) once: whether to send it again is the caller's decision.
    pub async fn run_task(&self, request: &Value) -> Result<Launched, AwsError> {
        let text = request.to_string();
        let once =
            aws_sdk_ecs::config::Config::builder().retry_config(aws_smithy_types::retry::RetryConfig::disabled());
        let answer = self
            .ecs
            .run_task()
            .task_definition(request.get("taskDefinition").and_then(Value::as_str).unwrap_or_default())
            .customize()
            .config_override(once)
            .mutate_request(move |http| replace_body(http, &text))
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => match error.as_service_error() {
                Some(RunTaskError::ConflictException(conflict)) => {
                    return Ok(Launched::Conflict(conflict.resource_ids().to_vec()));
                }
                _ => return Err(AwsError::new("RunTask", error)),
            },
        };
        let failures: Vec<Failure> = answer.failures.unwrap_or_default().into_iter().map(failure).collect();
        match answer.tasks.unwrap_or_default().into_iter().next() {
            Some(task) => match ecs_task(task) {
                Some(task) => Ok(Launched::Task(Box::new(task))),
                None => Err(AwsError::unexpected("RunTask", "the ECS task in the answer has no ARN")),
            },
            None => Ok(Launched::Failures(failures)),
        }
    }

    /// DescribeTasks for up to 100 ARNs, in the order asked for.
    pub async fn describe_tasks(&self, cluster: &str, arns: &[String]) -> Result<Vec<(String, Described)>, AwsError> {
        let answer = self
            .ecs
            .describe_tasks()
            .cluster(cluster)
            .set_tasks(Some(arns.to_vec()))
            .include(TaskField::Tags)
            .send()
            .await
            .map_err(|it| AwsError::new("DescribeTasks", it))?;
        let tasks: Vec<EcsTask> = answer.tasks.unwrap_or_default().into_iter().filter_map(ecs_task).collect();
        let failures: Vec<Failure> = answer.failures.unwrap_or_default().into_iter().map(failure).collect();
        Ok(arns
            .iter()
            .map(|arn| {
                let found = tasks.iter().find(|it| it.arn == *arn || it.id() == arn);
                let described = match found {
                    Some(task) => Described::Task(Box::new(task.clone())),
                    None => {
                        let failure = failures.iter().find(|it| it.arn.as_deref() == Some(arn));
                        Described::Missing(failure.map_or_else(|| "MISSING".to_owned(), |it| it.reason.clone()))
                    }
                };
                (arn.clone(), described)
            })
            .collect())
    }

    /// The newest few running ECS tasks of a service.
    pub async fn service_tasks(&self, cluster: &str, service: &str) -> Result<Vec<String>, AwsError> {
        let answer = self
            .ecs
            .list_tasks()
            .cluster(cluster)
            .service_name(service)
            .max_results(10)
            .send()
            .await
            .map_err(|it| AwsError::new("ListTasks", it))?;
        Ok(answer.task_arns.unwrap_or_default())
    }

    /// Every ECS task that this `started_by` started and that ECS still lists, running or stopping. Reads all pages.
    pub async fn tasks_started_by(&self, cluster: &str, started_by: &str) -> Result<Vec<String>, AwsError> {
        // `startedBy` must be the only filter, so the answer holds those desired RUNNING; that is what has to be found.
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let answer = self
                .ecs
                .list_tasks()
                .cluster(cluster)
                .started_by(started_by)
                .set_next_token(token)
                .send()
                .await
                .map_err(|it| AwsError::new("ListTasks", it))?;
            arns.extend(answer.task_arns.unwrap_or_default());
            token = answer.next_token;
            if token.is_none() {
                return Ok(arns);
            }
        }
    }

    /// The ECS tasks of a family with this desired status. Reads all pages.
    pub async fn family_tasks(&self, cluster: &str, family: &str, desired: Desired) -> Result<Vec<String>, AwsError> {
        let desired = match desired {
            Desired::Running => DesiredStatus::Running,
            Desired::Stopped => DesiredStatus::Stopped,
        };
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let answer = self
                .ecs
                .list_tasks()
                .cluster(cluster)
                .family(family)
                .desired_status(desired.clone())
                .set_next_token(token)
                .send()
                .await
                .map_err(|it| AwsError::new("ListTasks", it))?;
            arns.extend(answer.task_arns.unwrap_or_default());
            token = answer.next_token;
            if token.is_none() {
                return Ok(arns);
            }
        }
    }

    /// StopTask: SIGTERM, then SIGKILL after the container's stop timeout. The reason comes back as `stoppedReason`.
    pub async fn stop_task(&self, cluster: &str, arn: &str, reason: &str) -> Result<(), AwsError> {
        self.ecs
            .stop_task()
            .cluster(cluster)
            .task(arn)
            .reason(reason)
            .send()
            .await
            .map(drop)
            .map_err(|it| AwsError::new("StopTask", it))
    }

    /// The entry of DescribeClusters with its configuration and settings, verbatim. `None`: there is no such cluster.
    pub async fn describe_cluster(&self, cluster: &str) -> Result<Option<Value>, AwsError> {
        let body = CapturedBody::default();
        self.ecs
            .describe_clusters()
            .clusters(cluster)
            .include(ClusterField::Configurations)
            .include(ClusterField::Settings)
            .customize()
            .interceptor(body.clone())
            .send()
            .await
            .map_err(|it| AwsError::new("DescribeClusters", it))?;
        let mut answer = body.json("DescribeClusters")?;
        let clusters = answer.get_mut("clusters").and_then(Value::as_array_mut);
        Ok(clusters.and_then(|it| it.drain(..).next()))
    }

    /// The names of the region's clusters, for a hint: empty where they cannot be listed.
    pub async fn cluster_names(&self) -> Vec<String> {
        let Ok(answer) = self.ecs.list_clusters().send().await else { return Vec::new() };
        let arns = answer.cluster_arns.unwrap_or_default();
        arns.iter().filter_map(|arn| arn.rsplit('/').next()).map(str::to_owned).collect()
    }

    /// The names of a cluster's services, for a hint: empty where they cannot be listed.
    pub async fn service_names(&self, cluster: &str) -> Vec<String> {
        let Ok(answer) = self.ecs.list_services().cluster(cluster).max_results(100).send().await else {
            return Vec::new();
        };
        let arns = answer.service_arns.unwrap_or_default();
        arns.iter().filter_map(|arn| arn.rsplit('/').next()).map(str::to_owned).collect()
    }
}

/// Puts our own JSON in the place of the one that the SDK made from its typed input.
fn replace_body(http: &mut aws_smithy_runtime_api::client::orchestrator::HttpRequest, text: &str) {
    *http.body_mut() = SdkBody::from(text);
    http.headers_mut().insert("content-length", text.len().to_string());
}

/// Keeps the answer's bytes, which the SDK would drop after it has read the fields that it knows.
#[derive(Debug, Clone, Default)]
struct CapturedBody(Arc<Mutex<Vec<u8>>>);

impl CapturedBody {
    fn json(&self, operation: &'static str) -> Result<Value, AwsError> {
        let bytes = match self.0.lock() {
            Ok(bytes) => bytes,
            Err(poisoned) => poisoned.into_inner(),
        };
        serde_json::from_slice(&bytes)
            .map_err(|it| AwsError::unexpected(operation, &format!("the answer is not JSON: {it}")))
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for CapturedBody {
    fn name(&self) -> &'static str {
        "CapturedBody"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(bytes), Ok(mut kept)) = (context.response().body().bytes(), self.0.lock()) {
            *kept = bytes.to_vec();
        }
        Ok(())
    }
}

pub(super) fn failure(failure: aws_sdk_ecs::types::Failure) -> Failure {
    Failure {
        arn: failure.arn,
        reason: failure.reason.unwrap_or_else(|| "no reason given".to_owned()),
        detail: failure.detail,
    }
}

/// `None` where ECS sent an ECS task without an ARN.
fn ecs_task(task: aws_sdk_ecs::types::Task) -> Option<EcsTask> {
    let platform = task.attributes.unwrap_or_default().into_iter().find(|it| it.name == "ecs.cpu-architecture");
    Some(EcsTask {
        arn: task.task_arn?,
        task_definition_arn: task.task_definition_arn,
        last_status: task.last_status,
        desired_status: task.desired_status,
        started_by: task.started_by,
        stop_code: said(task.stop_code.map(|it| it.as_str().to_owned())),
        stopped_reason: said(task.stopped_reason),
        exec_enabled: task.enable_execute_command,
        containers: task
            .containers
            .unwrap_or_default()
            .into_iter()
            .map(|it| EcsContainer {
                name: it.name.unwrap_or_default(),
                last_status: it.last_status,
                exit_code: it.exit_code,
                reason: said(it.reason),
                image_digest: it.image_digest,
                runtime_id: it.runtime_id,
                exec_agent: it.managed_agents.unwrap_or_default().into_iter().find_map(exec_agent),
            })
            .collect(),
        platform: platform.and_then(|it| it.value).map(|it| match it.as_str() {
            "arm64" => "linux/arm64".to_owned(),
            _ => "linux/amd64".to_owned(),
        }),
        tags: task.tags.unwrap_or_default().into_iter().filter_map(|it| Some((it.key?, it.value?))).collect(),
        overridden: task.overrides.and_then(|it| it.container_overrides?.into_iter().find_map(overridden)),
        created_at: timestamp(task.created_at),
        pull_started_at: timestamp(task.pull_started_at),
        pull_stopped_at: timestamp(task.pull_stopped_at),
        started_at: timestamp(task.started_at),
        execution_stopped_at: timestamp(task.execution_stopped_at),
        stopping_at: timestamp(task.stopping_at),
        stopped_at: timestamp(task.stopped_at),
    })
}

fn exec_agent(agent: aws_sdk_ecs::types::ManagedAgent) -> Option<ExecAgent> {
    let is_it = agent.name.is_some_and(|it| it == aws_sdk_ecs::types::ManagedAgentName::ExecuteCommandAgent);
    let last_status = agent.last_status.unwrap_or_default();
    is_it.then_some(ExecAgent { last_status, reason: agent.reason })
}

/// An empty text says as little as none.
fn said(text: Option<String>) -> Option<String> {
    text.filter(|it| !it.trim().is_empty())
}

fn overridden(container: aws_sdk_ecs::types::ContainerOverride) -> Option<Overridden> {
    let variables = container.environment.unwrap_or_default().into_iter();
    Some(Overridden {
        container: container.name?,
        command: container.command.filter(|it| !it.is_empty()),
        variables: variables.filter_map(|it| Some((it.name?, it.value?))).collect(),
    })
}

fn timestamp(time: Option<DateTime>) -> Option<Timestamp> {
    time.and_then(|it| it.to_millis().ok()).map(Timestamp)
}
