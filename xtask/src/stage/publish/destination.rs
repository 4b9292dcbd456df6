//! Where an image is pushed: the registry's host, the repository, and whose credentials and region that takes.

use crate::aws::Aws;
use crate::error::{Problem, Result};
use crate::model::{Identity, ImageSpec, ResolvedTask, Sourced, Span};
use crate::plan::ecr_host;

/// A repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Host, and port where there is one.
    pub registry: String,
    /// The repository's name in it.
    pub repository: String,
    /// The account, where the host is ECR's and so tells it.
    pub registry_id: Option<String>,
    /// The region, where the host is ECR's and so tells it.
    pub region: Option<String>,
    /// Whose credentials push there; the environment's if `None`.
    pub profile: Option<Sourced<String>>,
    /// The place of the repository in tasks.toml.
    pub span: Option<Span>,
    registry_span: Option<Span>,
}

impl Destination {
    /// Where this task's image goes: the registry that it was resolved to, else ECR of the caller's account in the environment's region.
    pub fn new(task: &ResolvedTask, spec: &ImageSpec, identity: &Identity, region: &str) -> Result<Destination> {
        let Some(repository) = &spec.repository else {
            let problem = Problem::new(format!("image `{}` has no `repository` to push to", spec.name));
            let span = task.image.as_ref().and_then(Sourced::span);
            return Err(problem.at(span).hint(format!("set `repository` in [images.{}]", spec.name)).refused());
        };
        let registry = match &spec.registry {
            Some(registry) => registry.value.clone(),
            None => {
                let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                format!("{}.dkr.ecr.{region}.{suffix}", identity.account)
            }
        };
        let destination = Destination::at(spec, &registry, &repository.value);
        if registry.is_empty() || registry.contains(['/', '@']) {
            let problem = Problem::new(format!("`registry` must be a host, not `{registry}`"));
            let hint = "write only the host, and the port where there is one: the repository has a key of its own";
            return Err(problem.at(destination.registry_span).hint(hint).refused());
        }
        Ok(destination)
    }

    /// The same from a plan that names registry and repository.
    pub(super) fn at(spec: &ImageSpec, registry: &str, repository: &str) -> Destination {
        let (registry_id, region) = ecr_host(registry).unzip();
        Destination {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            registry_id,
            region,
            profile: spec.registry_profile.clone(),
            span: spec.repository.as_ref().and_then(Sourced::span),
            registry_span: spec.registry.as_ref().and_then(Sourced::span),
        }
    }

    /// AWS with the credentials and the region of this registry.
    pub fn aws(&self, aws: &Aws) -> Aws {
        aws.for_registry(self.region.as_deref(), self.profile.as_ref().map(|it| it.value.as_str()))
    }

    /// Refuses to hand ECR's password to a host that is neither ECR nor an emulator's registry.
    pub(super) fn check(&self, aws: &Aws) -> Result<()> {
        if self.registry_id.is_some() || is_emulated(aws) {
            return Ok(());
        }
        let problem = Problem::new(format!("cannot push to {}: it is not an ECR registry", self.registry));
        let hint = "name an ECR host, or set `endpoint-url` where it is an emulator's registry";
        Err(problem.at(self.registry_span).hint(hint).refused())
    }

    /// The repository is missing.
    pub(super) fn no_repository(&self) -> Problem {
        Problem::new(format!("the repository `{}` does not exist in {}", self.repository, self.registry))
            .at(self.span)
            .hint("create it, or set `create-repository = true` in the image")
    }

    /// Why a login that AWS gave may not be taken there.
    pub(super) fn login_hint(&self, aws: &Aws) -> Option<&'static str> {
        (self.registry_id.is_some() && is_emulated(aws))
            .then_some("set `registry` of the environment to the emulator's own host, for example 127.0.0.1:4566")
    }
}

/// Whether the endpoint in use is not AWS's own.
fn is_emulated(aws: &Aws) -> bool {
    aws.endpoint_url.as_deref().is_some_and(|url| {
        let host = url.split_once("://").map_or(url, |it| it.1).split('/').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        ![".amazonaws.com", ".amazonaws.com.cn", ".on.aws", ".api.aws"].iter().any(|it| host.ends_with(it))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{OnInterrupt, Runner, Settings};

    fn sourced(value: Option<&str>) -> Option<Sourced<String>> {
        value.map(|it| Sourced::default(it.to_owned()))
    }

    #[test]
    fn the_registry_is_the_images_else_the_callers_own() {
        const ECR: &str = "999988887777.dkr.ecr.eu-west-1.amazonaws.com";
        for (images, region, registry) in [
            (None, "eu-west-1", Ok("111122223333.dkr.ecr.eu-west-1.amazonaws.com")),
            (None, "cn-north-1", Ok("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn")),
            (Some(ECR), "eu-west-1", Ok(ECR)),
            (Some("https://x"), "eu-west-1", Err("`registry` must be a host, not `https://x`")),
            (Some("x/acme"), "eu-west-1", Err("`registry` must be a host, not `x/acme`")),
        ] {
            let spec = ImageSpec {
                name: "app".to_owned(),
                context: Sourced::default(".".to_owned()),
                dockerfile: None,
                target: None,
                build_args: Default::default(),
                build_secrets: Vec::new(),
                build_options: Vec::new(),
                prepare: None,
                repository: sourced(Some("acme/app")),
                registry: sourced(images),
                registry_profile: sourced(Some("shared")),
                create_repository: false,
            };
            let task = ResolvedTask {
                task: "t".to_owned(),
                task_span: None,
                environment: Sourced::default("e".to_owned()),
                runner: Sourced::default(Runner::Ecs),
                image: None,
                entrypoint: None,
                command: None,
                variables: Default::default(),
                secrets: Default::default(),
                interactive: false,
                timeout: None,
                start_timeout: Sourced::default(Duration::ZERO),
                on_interrupt: OnInterrupt::Stop,
                protected: false,
                rebuild: false,
                exclusive: false,
                once: false,
                shards: None,
                settings: Settings::default(),
                warnings: Vec::new(),
            };
            let identity = Identity { account: "111122223333".to_owned(), arn: String::new() };
            let found = Destination::new(&task, &spec, &identity, region);
            let found = found.map_err(|it| it.to_string());
            assert_eq!(found.as_ref().map(|it| it.registry.as_str()).map_err(String::as_str), registry);

            let nameless = ImageSpec { repository: None, ..spec };
            let error = Destination::new(&task, &nameless, &identity, region).unwrap_err();
            assert_eq!(error.to_string(), "image `app` has no `repository` to push to");
        }
    }
}
