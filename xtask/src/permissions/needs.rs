//! What one task touches in AWS, read off its plan.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{On, With};
use crate::model::{Facts, ImageChoice, ImageFact, Plan, PlannedImage, ResolvedTask};
use crate::plan::{self, ecr_host};

/// A repository of ECR.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Repository {
    region: String,
    account: String,
    name: String,
}

/// What one task touches in AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    partition: String,
    region: String,
    account: String,
    cluster_name: String,
    service_arn: Option<String>,
    family: String,
    roles: BTreeSet<String>,
    volume_roles: BTreeSet<String>,
    log_streams: String,
    /// Looked up; pushed to, where `pushes`.
    repository: Option<Repository>,
    pushes: bool,
    creates: bool,
    container: String,
    interactive: bool,
    session_key: Option<String>,
    /// Where somebody else's permissions decide, too: what has to be said beside the policy.
    pub remarks: Vec<String>,
}

/// What a task needs. `session_key`: the KMS key that the cluster encrypts ECS Exec sessions with.
pub fn needs(task: &ResolvedTask, facts: &Facts, plan: &Plan, session_key: Option<&str>) -> Needs {
    let partition = plan::partition(&facts.identity, &facts.region.value).to_owned();
    let account = facts.identity.account.clone();
    let region = facts.region.value.clone();
    let cluster_name = facts.cluster.rsplit('/').next().unwrap_or_default().to_owned();
    let role_arn = |it: &str| match it.starts_with("arn:") {
        true => it.to_owned(),
        false => format!("arn:{partition}:iam::{account}:role/{}", it.trim_start_matches('/')),
    };
    let overrides = plan.run_task.get("overrides");
    let roles = [Some(&plan.definition), overrides]
        .into_iter()
        .flatten()
        .flat_map(|it| [it.get("taskRoleArn"), it.get("executionRoleArn")])
        .filter_map(|it| it?.as_str())
        .filter(|it| !it.is_empty())
        .map(role_arn)
        .collect();
    let volumes = plan.run_task.get("volumeConfigurations").and_then(Value::as_array).into_iter().flatten();
    let volume_roles =
        volumes.filter_map(|it| it.pointer("/managedEBSVolume/roleArn")?.as_str()).map(role_arn).collect();
    let logs = &plan.logs;
    let log_streams = format!(
        "arn:{partition}:logs:{}:{account}:log-group:{}:log-stream:{}/{}/*",
        logs.region, logs.group, logs.prefix, logs.container
    );
    let mut remarks = Vec::new();
    let image = image(task, facts, plan, &mut remarks);
    if let Some(alias) = session_key.filter(|it| task.interactive && it.starts_with("alias/")) {
        remarks.push(format!(
            "the cluster names the key of its sessions by the alias `{alias}`, which no policy can: put the key's ARN in the place of `key/*`"
        ));
    }
    if let Some(foreign) = image.repository.as_ref().filter(|it| it.account != account) {
        remarks.push(format!(
            "the repository `{}` is in account {}: its own policy must allow {account}, too",
            foreign.name, foreign.account
        ));
    }
    Needs {
        service_arn: facts.service.as_ref().and_then(|it| it.get("serviceArn")?.as_str().map(str::to_owned)),
        family: facts.family.clone(),
        container: plan.container.clone(),
        interactive: task.interactive,
        session_key: session_key.map(|it| key_arn(it, &partition, &region, &account)),
        repository: image.repository,
        pushes: image.pushes,
        creates: image.creates,
        partition,
        region,
        account,
        cluster_name,
        roles,
        volume_roles,
        log_streams,
        remarks,
    }
}

#[derive(Default)]
struct Image {
    repository: Option<Repository>,
    pushes: bool,
    creates: bool,
}

fn image(task: &ResolvedTask, facts: &Facts, plan: &Plan, remarks: &mut Vec<String>) -> Image {
    let at = |registry: &str, name: &str| {
        // An emulator's registry is the caller's own ECR by another name.
        let (account, region) =
            ecr_host(registry).unwrap_or_else(|| (facts.identity.account.clone(), facts.region.value.clone()));
        Repository { region, account, name: name.to_owned() }
    };
    let built = match &plan.image {
        PlannedImage::Build { registry, repository, .. } | PlannedImage::Unprepared { registry, repository, .. } => {
            Some((registry.as_str(), repository.as_str()))
        }
        // It is there now; the policy is for the next one, too.
        PlannedImage::Use { .. } => match &facts.image {
            ImageFact::Content { registry, repository, .. } => Some((registry.as_str(), repository.as_str())),
            _ => None,
        },
    };
    if let (Some((registry, name)), Some(ImageChoice::Build(spec))) = (built, task.image.as_ref().map(|it| &it.value)) {
        if let Some(profile) = &spec.registry_profile {
            remarks.push(format!(
                "`{registry}/{name}` is pushed to with the profile `{}`: what that needs is not in this policy",
                profile.value
            ));
            return Image::default();
        }
        return Image { repository: Some(at(registry, name)), pushes: true, creates: spec.create_repository };
    }
    let deployed = matches!(task.image.as_ref().map(|it| &it.value), Some(ImageChoice::Deployed));
    let PlannedImage::Use { reference } = &plan.image else { return Image::default() };
    // Only what is deployed is looked up; a reference that is given goes to ECS as it is.
    let repository = reference.split_once('/').filter(|_| deployed).and_then(|(registry, path)| {
        ecr_host(registry)?;
        let name = path.split('@').next().unwrap_or(path);
        Some(at(registry, name.rsplit_once(':').map_or(name, |(name, _)| name)))
    });
    Image { repository, ..Image::default() }
}

/// A key as tasks and clusters name it: an ARN, an id or an alias. A policy must have an ARN, and an alias is no resource of it.
fn key_arn(key: &str, partition: &str, region: &str, account: &str) -> String {
    match key {
        _ if key.starts_with("arn:") => key.to_owned(),
        _ if key.starts_with("alias/") => format!("arn:{partition}:kms:{region}:{account}:key/*"),
        _ => format!("arn:{partition}:kms:{region}:{account}:key/{key}"),
    }
}

impl Needs {
    /// The ARN of the cluster.
    pub fn cluster_arn(&self) -> String {
        let Needs { partition, region, account, cluster_name, .. } = self;
        format!("arn:{partition}:ecs:{region}:{account}:cluster/{cluster_name}")
    }

    /// What stands for these resources; empty where this task has none of them.
    pub(super) fn resources(&self, on: On) -> BTreeSet<String> {
        let Needs { partition, region, account, cluster_name, family, .. } = self;
        let ecs = |rest: String| format!("arn:{partition}:ecs:{region}:{account}:{rest}");
        let repository = |when: bool| {
            let found = self.repository.iter().filter(|_| when);
            found.map(|it| format!("arn:{partition}:ecr:{}:{}:repository/{}", it.region, it.account, it.name)).collect()
        };
        let tasks = || ecs(format!("task/{cluster_name}/*"));
        match on {
            On::Anything => ["*".to_owned()].into(),
            On::AnythingToPush if self.pushes => ["*".to_owned()].into(),
            On::AnythingToPush => BTreeSet::new(),
            On::Service => self.service_arn.iter().cloned().collect(),
            On::Families => [ecs(format!("task-definition/{family}:*"))].into(),
            On::Tasks => [tasks()].into(),
            On::Roles => self.roles.clone(),
            On::VolumeRoles => self.volume_roles.clone(),
            On::LogStreams => [self.log_streams.clone()].into(),
            On::Repositories => repository(true),
            On::PushedRepositories => repository(self.pushes),
            On::CreatedRepositories => repository(self.creates),
            On::Sessions if self.interactive => [self.cluster_arn(), tasks()].into(),
            On::Sessions => BTreeSet::new(),
            // Their ids are ECS's; one is known only when it is open.
            On::OpenSessions if self.interactive => {
                [format!("arn:{partition}:ssm:{region}:{account}:session/ecs-execute-command-*")].into()
            }
            On::OpenSessions => BTreeSet::new(),
            On::SessionKeys => self.session_key.iter().filter(|_| self.interactive).cloned().collect(),
        }
    }

    /// Operator, key and value.
    pub(super) fn condition(&self, with: With) -> (&'static str, &'static str, String) {
        match with {
            With::Cluster => ("ArnEquals", "ecs:cluster", self.cluster_arn()),
            With::CreatedBy(operation) => ("StringEquals", "ecs:CreateAction", operation.to_owned()),
            With::PassedTo(service) => ("StringEquals", "iam:PassedToService", service.to_owned()),
            With::Container => ("StringEquals", "ecs:container-name", self.container.clone()),
        }
    }
}
