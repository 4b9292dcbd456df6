//! The image of a task: its repository and who may pull from it, whether it is there, and for which platform.

use serde_json::Value;

use super::{Checker, Seen};
use crate::aws::Aws;
use crate::aws::ecr::TagFact;
use crate::checks::{self, Finding};
use crate::model::{Facts, ImageChoice, ImageSpec, Plan, PlannedImage, ResolvedTask};
use crate::plan::{self, ecr_host};
use crate::stage::publish::{self, Destination};
use crate::tools::docker::Builder;

impl Checker<'_> {
    pub(super) async fn image(
        &self,
        branch: &str,
        task: &ResolvedTask,
        facts: &Facts,
        plan: &Plan,
        execution_role: Option<&str>,
        seen: &mut Seen,
    ) {
        let platform = self.platform(facts, plan);
        match (task.image.as_ref().map(|it| &it.value), &plan.image) {
            (Some(ImageChoice::Build(spec)), _) => {
                self.built(branch, task, facts, spec, &platform, execution_role, seen).await;
            }
            (_, PlannedImage::Use { reference }) => {
                self.given(branch, facts, reference, &platform, execution_role, seen).await;
            }
            _ => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own, and nothing else holds them together")]
    async fn built(
        &self,
        branch: &str,
        task: &ResolvedTask,
        facts: &Facts,
        spec: &ImageSpec,
        platform: &str,
        execution_role: Option<&str>,
        seen: &mut Seen,
    ) {
        self.builder(branch, task, platform);
        // It was made once already for the plan.
        let Ok(destination) = Destination::new(task, spec, &facts.identity, &self.aws.region.value) else { return };
        let ecr = destination.aws(self.aws);
        let Destination { registry, repository, registry_id, span, .. } = &destination;
        let account = registry_id.as_deref();
        let exists =
            self.repository(&ecr, facts, account, registry, repository, execution_role, seen, |hint| {
                match spec.create_repository {
                    true => Finding::ok(format!("repository {repository}"), "to be created"),
                    false => Finding::failed(
                        format!("repository {repository}"),
                        format!("does not exist in {registry}"),
                        hint,
                    )
                    .at(*span),
                }
            });
        let exists = exists.await;
        let name = format!("image {}", spec.name);
        if spec.prepare.is_some() {
            self.tell(branch, Finding::skipped(name, "`prepare` makes what is in it, and has not run"));
            return;
        }
        let inputs = match publish::fingerprint(&self.cx.root, spec, &[platform]).await {
            Ok(inputs) => inputs,
            Err(error) => {
                return self.tell_error(branch, &name, error, "check `context` and `dockerfile` of the image");
            }
        };
        let Some(tag) = inputs.tags.get(platform).filter(|_| exists) else {
            self.tell(branch, Finding::ok(name, format!("to be built for {platform} and pushed")));
            return;
        };
        let finding = match ecr.image_digest(account, repository, tag).await {
            Ok(TagFact::Digest(digest)) => Finding::ok(name, format!("in the registry for {platform}: {digest}")),
            Ok(TagFact::NoTag | TagFact::NoRepository) => {
                Finding::ok(name, format!("to be built for {platform} and pushed"))
            }
            Err(error) => {
                let problem = error.problem(&format!("look the image up in {registry}/{repository}"), *span);
                Finding::of(name, problem, "allow ecr:DescribeImages on the repository")
            }
        };
        self.tell(branch, finding);
    }

    /// Whether docker here can build for the platform.
    fn builder(&self, branch: &str, task: &ResolvedTask, platform: &str) {
        let name = "build platform";
        let finding = match self.engine {
            None => Finding::skipped(name, "docker does not answer"),
            Some(engine) if engine.platform.as_deref() == Some(platform) => Finding::ok(name, platform),
            Some(engine) => {
                let own = engine.platform.as_deref().unwrap_or("another platform");
                match engine.builder {
                    Builder::Classic => Finding::failed(
                        name,
                        format!("`{}` needs {platform}, and docker here builds for {own}, without buildx", task.task),
                        "install docker's buildx plugin and emulation for that platform, or build on such a machine",
                    ),
                    _ if !self.platforms.is_empty() && !self.platforms.iter().any(|it| it == platform) => {
                        Finding::failed(
                            name,
                            format!(
                                "`{}` needs {platform}, and docker here builds for {}",
                                task.task,
                                self.platforms.join(", ")
                            ),
                            "install emulation for that platform (binfmt), or build on such a machine",
                        )
                    }
                    Builder::Buildx | Builder::BuildKit => Finding::ok(name, format!("{platform}, emulated on {own}")),
                }
            }
        };
        self.tell(branch, finding);
    }

    /// An image that is not built here.
    async fn given(
        &self,
        branch: &str,
        facts: &Facts,
        reference: &str,
        platform: &str,
        execution_role: Option<&str>,
        seen: &mut Seen,
    ) {
        let Some((registry, path)) = reference.split_once('/').filter(|(registry, _)| ecr_host(registry).is_some())
        else {
            self.tell(branch, Finding::skipped("image", format!("`{reference}` is not in ECR")));
            return;
        };
        let (account, region) = ecr_host(registry).unwrap_or_default();
        let (name, digest) = path.split_once('@').map_or((path, None), |(name, digest)| (name, Some(digest)));
        let (repository, tag) = name.rsplit_once(':').map_or((name, None), |(name, tag)| (name, Some(tag)));
        let ecr = self.aws.for_registry(Some(&region), None);
        let exists = self
            .repository(&ecr, facts, Some(&account), registry, repository, execution_role, seen, |hint| {
                Finding::failed(format!("repository {repository}"), format!("does not exist in {registry}"), hint)
            })
            .await;
        if !exists {
            self.tell(branch, Finding::skipped("image", format!("the repository `{repository}` could not be read")));
            return;
        }
        match ecr.manifest(Some(&account), repository, digest.or(tag).unwrap_or("latest")).await {
            Ok(Some((digest, manifest))) => {
                self.tell(branch, Finding::ok("image", format!("{registry}/{repository}@{digest}")));
                self.architecture(branch, facts, &digest, &manifest, platform);
            }
            Ok(None) => {
                let hint = "deploy the service again, or name another image";
                self.tell(branch, Finding::failed("image", format!("`{reference}` is not in the registry"), hint));
            }
            Err(error) => {
                let problem = error.problem(&format!("look up `{reference}`"), None);
                self.tell(branch, Finding::skipped("image", problem.message));
            }
        }
    }

    fn architecture(&self, branch: &str, facts: &Facts, digest: &str, manifest: &Value, platform: &str) {
        let name = "architecture";
        let finding = match checks::platforms(manifest) {
            Some(platforms) if platforms.iter().any(|it| it == platform) => Finding::ok(name, platform),
            Some(platforms) => Finding::failed(
                name,
                format!("the image {digest} is for {}, and it runs on {platform}", platforms.join(", ")),
                "set `platform` on the task, or build the image for that platform too",
            ),
            None if facts.running_platform.as_deref() == Some(platform) => {
                Finding::ok(name, format!("{platform}, as the service's ECS tasks that run"))
            }
            None => Finding::skipped(name, "ECR tells the platforms of multi-platform images only"),
        };
        self.tell(branch, finding);
    }

    /// Whether a repository is there and lets the execution role pull, each repository once. Gives whether it is there.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own, and nothing else holds them together")]
    async fn repository(
        &self,
        ecr: &Aws,
        facts: &Facts,
        account: Option<&str>,
        registry: &str,
        repository: &str,
        execution_role: Option<&str>,
        seen: &mut Seen,
        missing: impl FnOnce(&'static str) -> Finding,
    ) -> bool {
        let name = format!("repository {repository}");
        let (own, partition) = (&facts.identity.account, plan::partition(&facts.identity, &facts.region.value));
        let (of_account, region) = ecr_host(registry).unwrap_or_else(|| (own.clone(), facts.region.value.clone()));
        if let Some(role) = execution_role {
            let arn = format!("arn:{partition}:ecr:{region}:{of_account}:repository/{repository}");
            for action in ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"] {
                seen.execution.insert((role.to_owned(), "pull the image", action, arn.clone()));
            }
            let login = (role.to_owned(), "log in to ECR", "ecr:GetAuthorizationToken", "*".to_owned());
            seen.execution.insert(login);
        }
        let exists = match ecr.repository_exists(account, repository).await {
            Ok(exists) => exists,
            Err(error) => {
                let problem = error.problem(&format!("read the repository `{repository}`"), None);
                seen.registry.push(Finding::skipped(name, problem.message));
                // Whoever may not describe it may look an image up all the same.
                return true;
            }
        };
        if !seen.repositories.insert(format!("{registry}/{repository}")) {
            return exists;
        }
        if !exists {
            seen.registry.push(missing("create it, or set `create-repository = true` in the image"));
            return false;
        }
        seen.registry.push(Finding::ok(name, registry));
        let name = format!("policy of {repository}");
        let Some(role) = execution_role else { return true };
        let finding = match ecr.repository_policy(account, repository).await {
            Ok(policy) => match checks::pull_refused(policy.as_ref(), role, of_account == *own) {
                Some(message) => Finding::failed(
                    name,
                    message,
                    format!(
                        "allow ecr:BatchGetImage and ecr:GetDownloadUrlForLayer to {role} in the repository's policy"
                    ),
                ),
                None => Finding::ok(name, "lets the execution role pull"),
            },
            Err(error) => {
                let problem = error.problem(&format!("read the policy of `{repository}`"), None);
                Finding::skipped(name, problem.message)
            }
        };
        seen.registry.push(finding);
        true
    }
}
