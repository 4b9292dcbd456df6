//! Old task definition revisions: listing, what uses them, deregistering and deleting.

use aws_sdk_ecs::types::{SortOrder, TaskDefinitionStatus};

use super::ecs::Failure;
use super::{Aws, AwsError};

/// A service and the task definitions that its deployments and task sets are at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDefinitions {
    /// The service's name.
    pub service: String,
    /// ARNs.
    pub definitions: Vec<String>,
}

impl Aws {
    /// The ARNs of a family's revisions, newest first: the ACTIVE ones, or those that are INACTIVE. Reads all pages.
    pub async fn revisions(&self, family: &str, active: bool) -> Result<Vec<String>, AwsError> {
        let status = if active { TaskDefinitionStatus::Active } else { TaskDefinitionStatus::Inactive };
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let answer = self
                .ecs
                .list_task_definitions()
                .family_prefix(family)
                .status(status.clone())
                .sort(SortOrder::Desc)
                .set_next_token(token)
                .send()
                .await
                .map_err(|it| AwsError::new("ListTaskDefinitions", it))?;
            arns.extend(answer.task_definition_arns.unwrap_or_default());
            token = answer.next_token;
            if token.is_none() {
                return Ok(arns);
            }
        }
    }

    /// The ARNs of all clusters of the region. Reads all pages.
    pub async fn clusters(&self) -> Result<Vec<String>, AwsError> {
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let answer = self
                .ecs
                .list_clusters()
                .set_next_token(token)
                .send()
                .await
                .map_err(|it| AwsError::new("ListClusters", it))?;
            arns.extend(answer.cluster_arns.unwrap_or_default());
            token = answer.next_token;
            if token.is_none() {
                return Ok(arns);
            }
        }
    }

    /// The services of a cluster with what each of them may start. Reads all pages.
    pub async fn service_definitions(&self, cluster: &str) -> Result<Vec<ServiceDefinitions>, AwsError> {
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let answer = self
                .ecs
                .list_services()
                .cluster(cluster)
                .max_results(100)
                .set_next_token(token)
                .send()
                .await
                .map_err(|it| AwsError::new("ListServices", it))?;
            arns.extend(answer.service_arns.unwrap_or_default());
            token = answer.next_token;
            if token.is_none() {
                break;
            }
        }
        let mut found = Vec::new();
        // DescribeServices takes ten.
        for arns in arns.chunks(10) {
            let answer = self
                .ecs
                .describe_services()
                .cluster(cluster)
                .set_services(Some(arns.to_vec()))
                .send()
                .await
                .map_err(|it| AwsError::new("DescribeServices", it))?;
            for service in answer.services.unwrap_or_default() {
                let deployments = service.deployments.unwrap_or_default().into_iter().map(|it| it.task_definition);
                let sets = service.task_sets.unwrap_or_default().into_iter().map(|it| it.task_definition);
                let mut definitions: Vec<String> = deployments.chain(sets).flatten().collect();
                definitions.extend(service.task_definition);
                found.push(ServiceDefinitions { service: service.service_name.unwrap_or_default(), definitions });
            }
        }
        Ok(found)
    }

    /// Makes a revision INACTIVE: nothing new can be started from it.
    pub async fn deregister_task_definition(&self, arn: &str) -> Result<(), AwsError> {
        let call = self.ecs.deregister_task_definition().task_definition(arn).send().await;
        call.map(drop).map_err(|it| AwsError::new("DeregisterTaskDefinition", it))
    }

    /// Deletes up to ten INACTIVE revisions. Those that ECS did not take are in the answer.
    pub async fn delete_task_definitions(&self, arns: &[String]) -> Result<Vec<Failure>, AwsError> {
        let call = self.ecs.delete_task_definitions().set_task_definitions(Some(arns.to_vec())).send().await;
        let answer = call.map_err(|it| AwsError::new("DeleteTaskDefinitions", it))?;
        Ok(answer.failures.unwrap_or_default().into_iter().map(super::ecs::failure).collect())
    }
}
