//! An ECS task in the words of DescribeTasks.

use std::collections::BTreeMap;

use super::Timestamp;

/// A container of an ECS task, as DescribeTasks tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EcsContainer {
    /// Its name.
    pub name: String,
    /// PENDING, RUNNING, STOPPED, …
    pub last_status: Option<String>,
    /// Absent when it never started or was lost.
    pub exit_code: Option<i32>,
    /// Why it stopped or could not start.
    pub reason: Option<String>,
    /// `sha256:…`
    pub image_digest: Option<String>,
    /// The container's id on its host; a session is named by it.
    pub runtime_id: Option<String>,
    /// The agent of ECS Exec in this container, where the ECS task was started with it.
    pub exec_agent: Option<ExecAgent>,
}

/// The managed agent ExecuteCommandAgent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecAgent {
    /// PENDING, RUNNING or STOPPED.
    pub last_status: String,
    /// Why it is STOPPED.
    pub reason: Option<String>,
}

/// One execution of a task in a cluster, as DescribeTasks tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "ECS's own field names")]
pub struct EcsTask {
    pub arn: String,
    pub task_definition_arn: Option<String>,
    pub last_status: Option<String>,
    pub desired_status: Option<String>,
    pub started_by: Option<String>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    /// Whether it was started with ECS Exec.
    pub exec_enabled: bool,
    pub containers: Vec<EcsContainer>,
    /// `linux/amd64` or `linux/arm64`, from the attribute `ecs.cpu-architecture`.
    pub platform: Option<String>,
    /// StopTask deletes them.
    pub tags: BTreeMap<String, String>,
    /// What RunTask overrode of a container; this tool overrides the chosen one only.
    pub overridden: Option<Overridden>,
    pub created_at: Option<Timestamp>,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
    pub stopping_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
}

/// An entry of `overrides.containerOverrides`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overridden {
    /// The container's name.
    pub container: String,
    /// `None`: the task definition's own.
    pub command: Option<Vec<String>>,
    /// May hold secrets of the user: compared, never shown.
    pub variables: BTreeMap<String, String>,
}

impl EcsTask {
    /// A variable that RunTask set.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.overridden.as_ref()?.variables.get(name).map(String::as_str)
    }

    /// The id: the last segment of the ARN.
    pub fn id(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or(&self.arn)
    }

    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&EcsContainer> {
        self.containers.iter().find(|it| it.name == name)
    }

    /// Whether ECS says that it is over.
    pub fn is_stopped(&self) -> bool {
        matches!(self.last_status.as_deref(), Some("STOPPED" | "DELETED"))
    }
}
