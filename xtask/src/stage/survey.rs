//! Reads everything that a plan is decided from, and writes nothing. Reads go side by side in two rounds, because the second needs
//! names that the first finds: with RunTask that makes three round trips one after the other.

mod reads;

use std::time::Duration;

use serde_json::Value;

use crate::aws::clock::Stamp;
use crate::aws::ecr::TagFact;
use crate::aws::ecs::Described;
use crate::aws::{Aws, AwsError};
use crate::error::{Error, Problem, Result};
use crate::exclusive::RULES;
use crate::model::{EcsTask, Facts, Identity, ImageChoice, ImageFact, NewestRevision, Origin, ResolvedTask, Sourced};
use crate::ours;
use crate::plan::{self, HASH_LABEL, ecr_host};
use crate::stage::exclusive::Listing;
use crate::stage::publish::{Destination, ImageInputs};

pub use reads::Reads;

/// So often, once a second, an ECS task is described that ECS lists and does not know.
const LOOKS: u32 = 4;

/// What the first round found.
#[derive(Debug)]
pub struct FirstRound {
    /// The caller.
    pub identity: Identity,
    service: Option<Value>,
    base: Option<Value>,
    newest_revision: Option<NewestRevision>,
    service_tasks: Vec<String>,
    family_tasks: Vec<String>,
    /// Before the family's were listed.
    asked: Stamp,
    warnings: Vec<String>,
}

/// What both rounds found.
#[derive(Debug)]
pub struct Surveyed {
    /// What the plan is decided from.
    pub facts: Facts,
    /// The ECS tasks of the family that are not STOPPED.
    pub alive: Vec<EcsTask>,
    /// All that ECS lists of the family, where at most one may run at a time.
    pub listing: Option<Listing>,
}

/// The family that a task's revisions are registered in.
pub fn family(task: &ResolvedTask) -> String {
    ours::family(&task.environment.value, &task.task)
}

/// The first round: who calls, the service, the newest revision of the family, the base task definition where it is named.
pub async fn first(reads: &Reads<'_>, task: &ResolvedTask) -> Result<FirstRound> {
    let aws = reads.aws;
    let settings = &task.settings;
    let cluster = cluster(task)?;
    plan::guard_places(&task.environment.value, settings, &aws.region.value)?;
    let family = family(task);
    let asked = Stamp::now();
    let (identity, service, newest, base, listed, of_family) = tokio::join!(
        reads.identity(),
        async {
            match &settings.service {
                Some(service) => reads.service(&cluster.value, &service.value).await,
                None => Ok(None),
            }
        },
        aws.describe_task_definition(&family),
        async {
            match &settings.task_definition {
                Some(reference) => reads.definition(&reference.value).await,
                None => Ok(None),
            }
        },
        async {
            match &settings.service {
                Some(service) if wants_running(task) => reads.service_tasks(&cluster.value, &service.value).await,
                _ => Ok(Vec::new()),
            }
        },
        aws.family_tasks(&cluster.value, &family, RULES.lists[0]),
    );
    // Credentials that don't work fail every read; the identity says it best.
    let identity = identity.map_err(|it| unread(it.problem("ask AWS who calls", None)))?;
    plan::guard_account(&task.environment.value, settings, &identity)?;
    let service = match (service, &settings.service) {
        (Ok(Some(service)), _) => Some(service),
        (Ok(None), None) => None,
        (Ok(None), Some(name)) => return Err(no_service(aws, &cluster, name).await),
        (Err(error), name) => {
            let name = name.as_ref().map(|it| it.value.as_str()).unwrap_or_default();
            return Err(cluster_error(aws, &cluster, &error, &format!("read the service `{name}`")).await);
        }
    };
    let newest_revision = newest
        .map_err(|it| unread(it.problem(&format!("read the task definition family `{family}`"), None)))?
        .and_then(|it| newest_revision(&it));
    let base = match (base, &settings.task_definition) {
        (Ok(Some(base)), _) => Some(base),
        (Ok(None), None) => None,
        (Ok(None), Some(reference)) => {
            let message = format!("the task definition `{}` has no ACTIVE revision", reference.value);
            return Err(Problem::new(message)
                .at(reference.span())
                .hint(format!("check the family's name and the region ({})", aws.region.value))
                .refused());
        }
        (Err(error), reference) => {
            let name = reference.as_ref().map(|it| it.value.as_str()).unwrap_or_default();
            let span = reference.as_ref().and_then(Sourced::span);
            return Err(unread(error.problem(&format!("read the task definition `{name}`"), span)));
        }
    };
    let service_tasks = match listed {
        Ok(arns) => arns,
        Err(error) => return Err(cluster_error(aws, &cluster, &error, "list the service's ECS tasks").await),
    };
    let mut warnings = Vec::new();
    let family_tasks = match of_family {
        Ok(arns) => arns,
        // Who may not look can run all the same: what it looks for is rare.
        Err(error) if error.is("AccessDeniedException") && !is_single(task) => {
            warnings.push(format!("cannot look whether `{}` still runs: {}", task.task, error.cause()));
            Vec::new()
        }
        Err(error) => return Err(cluster_error(aws, &cluster, &error, "list the task's ECS tasks").await),
    };
    Ok(FirstRound { identity, service, base, newest_revision, service_tasks, family_tasks, asked, warnings })
}

/// What else goes into the facts; the caller knows it.
#[derive(Debug)]
pub struct Around {
    /// The image's inputs; `None` where it is not built here, or is not prepared.
    pub inputs: Option<ImageInputs>,
    /// The work tree.
    pub commit: Option<crate::model::Commit>,
    /// This run.
    pub run_id: String,
    /// Link to the CI job.
    pub ci_job: Option<String>,
    /// Worth knowing.
    pub warnings: Vec<String>,
}

/// The second round: the service's task definition, an ECS task of it that runs now, the family's that still run, and the image by its
/// content tag.
pub async fn second(reads: &Reads<'_>, task: &ResolvedTask, first: FirstRound, around: Around) -> Result<Surveyed> {
    let aws = reads.aws;
    let cluster = cluster(task)?;
    let of_service = first.service.as_ref().and_then(service_definition);
    let mut around = around;
    around.warnings.extend(first.warnings.iter().cloned());
    let newest: Vec<String> = first.family_tasks.iter().take(100).cloned().collect();
    let family = family(task);
    let (base, running, alive, stopped, image) = tokio::join!(
        async {
            match (&first.base, &of_service) {
                (Some(base), _) => Ok(Some(base.clone())),
                (None, Some(arn)) => reads.definition(arn).await,
                (None, None) => Ok(None),
            }
        },
        async {
            match first.service_tasks.as_slice() {
                [] => Ok(Vec::new()),
                arns => reads.tasks(&cluster.value, arns).await,
            }
        },
        async {
            match newest.as_slice() {
                [] => Ok(Vec::new()),
                arns => described_at_last(aws, &cluster.value, arns, is_single(task)).await,
            }
        },
        async {
            match is_single(task) {
                true => aws.family_tasks(&cluster.value, &family, RULES.lists[1]).await.map(Some),
                false => Ok(None),
            }
        },
        image_fact(reads, task, &first.identity, around.inputs.as_ref()),
    );
    let stopped = stopped.map_err(|it| unread(it.problem("list the task's ECS tasks", None)))?;
    let listing = stopped.map(|stopped| {
        let arns = first.family_tasks.iter().cloned().chain(stopped).collect();
        Listing { asked: first.asked, arns }
    });
    let answer = base
        .map_err(|it| {
            let span = task.settings.service.as_ref().and_then(Sourced::span);
            unread(it.problem("read the service's task definition", span))
        })?
        .ok_or_else(|| {
            Problem::new(format!(
                "`{}` has neither a service nor a task definition to start from",
                task.environment.value
            ))
            .at(task.environment.span())
            .hint("set `service` or `task-definition` in the environment")
            .refused()
        })?;
    let base = answer.get("taskDefinition").cloned().unwrap_or_default();
    let running = running.map_err(|it| unread(it.problem("read the service's ECS tasks", None)))?;
    let running: Vec<EcsTask> = known(running).filter(|it| it.last_status.as_deref() == Some("RUNNING")).collect();
    let image = match (image?, task.image.as_ref().map(|it| &it.value)) {
        (ImageFact::Given, Some(ImageChoice::Deployed)) => {
            ImageFact::Deployed(deployed(aws, task, &base, of_service.as_deref(), &running).await?)
        }
        (image, _) => image,
    };
    let alive = match alive {
        Ok(described) => {
            let unknown = described.iter().filter(|(_, it)| matches!(it, Described::Missing(_)) && !is_single(task));
            around.warnings.extend(unknown.map(|(arn, _)| {
                let id = arn.rsplit('/').next().unwrap_or(arn);
                format!("an ECS task of `{}` may still run: ECS lists {id} and does not describe it", task.task)
            }));
            known(described).filter(|it| !it.is_stopped()).collect()
        }
        Err(error) if error.is("AccessDeniedException") => {
            around.warnings.push(format!("cannot look whether `{}` still runs: {}", task.task, error.cause()));
            Vec::new()
        }
        Err(error) => return Err(cluster_error(aws, &cluster, &error, "read the task's ECS tasks").await),
    };
    let facts = Facts {
        identity: first.identity,
        region: aws.region.clone(),
        cluster: cluster.value,
        service: first.service,
        base,
        family,
        newest_revision: first.newest_revision,
        running_platform: running.iter().find_map(|it| it.platform.clone()),
        image,
        commit: around.commit,
        run_id: around.run_id,
        ci_job: around.ci_job,
        warnings: around.warnings,
    };
    Ok(Surveyed { facts, alive, listing })
}

/// Whether the ECS tasks that have stopped count, too.
fn is_single(task: &ResolvedTask) -> bool {
    task.exclusive || task.once
}

/// Describes what ECS lists. It may not know for a moment what it has just accepted: that is described again. `once`: only once, where somebody
/// else waits for it.
async fn described_at_last(
    aws: &Aws,
    cluster: &str,
    arns: &[String],
    once: bool,
) -> std::result::Result<Vec<(String, Described)>, AwsError> {
    let mut described = aws.describe_tasks(cluster, arns).await?;
    for _ in 1..if once { 1 } else { LOOKS } {
        let is_missing = |it: &(String, Described)| matches!(it.1, Described::Missing(_));
        let missing: Vec<String> = described.iter().filter(|it| is_missing(it)).map(|it| it.0.clone()).collect();
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1).div_f64(aws.speed)).await;
        described.retain(|it| !is_missing(it));
        described.extend(aws.describe_tasks(cluster, &missing).await?);
    }
    Ok(described)
}

/// Those that ECS knows.
pub(super) fn known(described: Vec<(String, Described)>) -> impl Iterator<Item = EcsTask> {
    described.into_iter().filter_map(|(_, it)| match it {
        Described::Task(task) => Some(*task),
        Described::Missing(_) => None,
    })
}

async fn image_fact(
    reads: &Reads<'_>,
    task: &ResolvedTask,
    identity: &Identity,
    inputs: Option<&ImageInputs>,
) -> Result<ImageFact> {
    let Some(ImageChoice::Build(spec)) = task.image.as_ref().map(|it| &it.value) else {
        return Ok(ImageFact::Given);
    };
    let destination = Destination::new(task, spec, identity, &reads.aws.region.value)?;
    reads.image(&destination, spec, inputs).await
}

/// What the service runs now: the digest in an ECS task of it, else the definition's image resolved to a digest.
async fn deployed(
    aws: &Aws,
    task: &ResolvedTask,
    base: &Value,
    of_service: Option<&str>,
    running: &[EcsTask],
) -> Result<Sourced<String>> {
    let container = plan::chosen_container(task, base)?;
    let image = base
        .get("containerDefinitions")
        .and_then(Value::as_array)
        .and_then(|it| it.iter().find(|it| it.get("name").and_then(Value::as_str) == Some(&container)))
        .and_then(|it| it.get("image"))
        .and_then(Value::as_str)
        .ok_or_else(|| Error::refused(format!("the base task definition's container `{container}` has no image")))?;
    if image.contains('@') {
        return Ok(Sourced::new(image.to_owned(), Origin::TaskDefinition));
    }
    let name = image_name(image);
    // Only an ECS task of the definition that the service is at: during a rollout others run, too.
    let digest = running
        .iter()
        .filter(|it| of_service.is_none() || it.task_definition_arn.as_deref() == of_service)
        .filter_map(|it| it.container(&container))
        .find_map(|it| it.image_digest.clone());
    if let Some(digest) = digest {
        return Ok(Sourced::new(format!("{name}@{digest}"), Origin::RunningTask));
    }
    let Some((registry, repository)) = name.split_once('/') else {
        return Ok(Sourced::new(image.to_owned(), Origin::TaskDefinition));
    };
    let Some((account, region)) = ecr_host(registry) else {
        return Ok(Sourced::new(image.to_owned(), Origin::TaskDefinition));
    };
    let tag = image.strip_prefix(name).and_then(|it| it.strip_prefix(':')).unwrap_or("latest");
    let ecr = aws.for_registry(Some(&region), None);
    match ecr.image_digest(Some(&account), repository, tag).await {
        Ok(TagFact::Digest(digest)) => Ok(Sourced::new(format!("{name}@{digest}"), Origin::TaskDefinition)),
        Ok(TagFact::NoTag | TagFact::NoRepository) => {
            let message = format!("the deployed image `{image}` is no longer in the registry");
            Err(Error::refused(message).hint("deploy the service again, or run another image: --image"))
        }
        // Not everybody who may run it may read the repository; ECS can.
        Err(_) => Ok(Sourced::new(image.to_owned(), Origin::TaskDefinition)),
    }
}

/// The reference without its tag.
fn image_name(image: &str) -> &str {
    match image.rsplit_once(':') {
        // A colon before the last slash belongs to a port.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// Whether an ECS task of the service has to be looked at: for the image that is deployed, or for the architecture.
fn wants_running(task: &ResolvedTask) -> bool {
    let deployed = matches!(task.image.as_ref().map(|it| &it.value), Some(ImageChoice::Deployed));
    deployed || task.settings.platform.is_none()
}

/// The ARN of the task definition that the service's PRIMARY deployment is at.
pub(super) fn service_definition(service: &Value) -> Option<String> {
    let of_primary = plan::primary(service).and_then(|it| it.get("taskDefinition"));
    of_primary.or_else(|| service.get("taskDefinition")).and_then(Value::as_str).map(str::to_owned)
}

/// Whether what DescribeTaskDefinition answered has the tag of this tool.
pub(super) fn is_ours(answer: &Value) -> bool {
    let tag = |it: &Value| {
        it.get("key").and_then(Value::as_str) == Some("xtask") && it.get("value").and_then(Value::as_str) == Some("1")
    };
    answer.get("tags").and_then(Value::as_array).is_some_and(|it| it.iter().any(tag))
}

pub(super) fn newest_revision(answer: &Value) -> Option<NewestRevision> {
    let definition = answer.get("taskDefinition")?;
    let arn = definition.get("taskDefinitionArn")?.as_str()?.to_owned();
    let ours = is_ours(answer);
    let containers = definition.get("containerDefinitions").and_then(Value::as_array);
    let hash = containers
        .and_then(|it| it.iter().find_map(|it| it.get("dockerLabels")?.get(HASH_LABEL)?.as_str().map(str::to_owned)));
    Some(NewestRevision { arn, ours, hash })
}

fn cluster(task: &ResolvedTask) -> Result<Sourced<String>> {
    task.settings.cluster.clone().ok_or_else(|| {
        Problem::new(format!("the environment `{}` has no `cluster`", task.environment.value))
            .at(task.environment.span())
            .hint("set `cluster` in the environment")
            .refused()
    })
}

async fn no_service(aws: &Aws, cluster: &Sourced<String>, service: &Sourced<String>) -> Error {
    let message = format!("the cluster `{}` has no service `{}`", cluster.value, service.value);
    let mut problem = Problem::new(message).at(service.span());
    let names = aws.service_names(&cluster.value).await;
    if !names.is_empty() {
        problem = problem.hint(format!("services in {}: {}", cluster.value, names.join(", ")));
    }
    problem.refused()
}

async fn cluster_error(aws: &Aws, cluster: &Sourced<String>, error: &AwsError, tried: &str) -> Error {
    match no_cluster(aws, cluster, error).await {
        Some(error) => error,
        None => unread(error.problem(tried, None)),
    }
}

/// The refusal where a call failed because there is no such cluster.
pub(super) async fn no_cluster(aws: &Aws, cluster: &Sourced<String>, error: &AwsError) -> Option<Error> {
    if !error.is("ClusterNotFoundException") {
        return None;
    }
    let mut problem = error.problem(&format!("use the cluster `{}`", cluster.value), cluster.span());
    let names = aws.cluster_names().await;
    if !names.is_empty() {
        problem.hint = Some(format!("clusters in {}: {}", aws.region.value, names.join(", ")));
    }
    Some(problem.refused())
}

/// A read that failed: AWS's doing rather than a refusal, and nothing was written.
fn unread(problem: Problem) -> Error {
    problem.failed().done("nothing was built or written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        for (image, name) in [
            ("app", "app"),
            ("app:1", "app"),
            ("localhost:5000/app", "localhost:5000/app"),
            ("localhost:5000/app:1", "localhost:5000/app"),
        ] {
            assert_eq!(image_name(image), name);
        }
    }
}
