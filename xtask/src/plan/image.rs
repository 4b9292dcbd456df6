//! Which image runs, and for which architecture it is built.

use super::{Planner, json};
use crate::error::Problem;
use crate::model::{ImageChoice, ImageFact, Origin, PlannedImage, Sourced};

/// The image and what of the base definition's own image still holds for it.
#[derive(Debug)]
pub(super) struct Image {
    pub planned: PlannedImage,
    /// Where the choice came from.
    pub origin: Origin,
    /// Whether it comes from the registry of the base's image, whose `repositoryCredentials` then still open it.
    pub keeps_credentials: bool,
}

/// The platform to build for. `runtimePlatform` says what the base needs; where it is silent, Fargate means X86_64 and EC2 whatever the
/// instances are, so what runs now is a better witness than a constant.
pub(super) fn platform(planner: &mut Planner<'_>) -> Sourced<String> {
    let of_base = planner.base().get("runtimePlatform").and_then(|it| json::text(it, "cpuArchitecture"));
    let of_base = of_base.map(|it| if it == "ARM64" { "linux/arm64" } else { "linux/amd64" });
    let running = planner.facts.running_platform.clone();
    if let Some(wanted) = &planner.task.settings.platform {
        let (there, whose) = match (of_base, &running) {
            (Some(of_base), _) => (of_base.to_owned(), format!("the base task definition `{}`", planner.base_name())),
            (None, Some(running)) => (running.clone(), "what the service runs now".to_owned()),
            (None, None) => return wanted.clone(),
        };
        if there != wanted.value {
            planner.warnings.push(format!("the platform is {}, {whose} has {there}", wanted.value));
        }
        return wanted.clone();
    }
    match (of_base, running) {
        (Some(of_base), _) => Sourced::new(of_base.to_owned(), Origin::TaskDefinition),
        (None, Some(running)) => Sourced::new(running, Origin::RunningTask),
        (None, None) => Sourced::default("linux/amd64".to_owned()),
    }
}

/// Decides what runs from what the registry was found to hold.
pub(super) fn image(planner: &mut Planner<'_>, platform: &str) -> Image {
    let task = planner.task;
    let facts = planner.facts;
    let written = task.image.as_ref();
    let base_image = json::container(planner.base(), planner.container).and_then(|it| json::text(it, "image"));
    let base_image = base_image.unwrap_or_default();
    let origin = written.map_or(Origin::TaskDefinition, |it| it.origin.clone());
    let (planned, origin) = match &facts.image {
        ImageFact::Content { registry, repository, tags, digests, repository_exists } => {
            let planned = match (digests.get(platform), tags.get(platform)) {
                (Some(digest), _) if !task.rebuild => {
                    PlannedImage::Use { reference: format!("{registry}/{repository}@{digest}") }
                }
                (_, Some(tag)) => {
                    let spec = match written.map(|it| &it.value) {
                        Some(ImageChoice::Build(spec)) => Some(spec),
                        _ => None,
                    };
                    let create = !repository_exists;
                    if create && !spec.is_some_and(|it| it.create_repository) {
                        let name = spec.map_or("the image", |it| it.name.as_str());
                        planner.problem(
                            Problem::new(format!("the repository `{repository}` does not exist in `{registry}`"))
                                .at(spec.and_then(|it| it.repository.as_ref()).and_then(Sourced::span))
                                .hint(format!("create it, or set `create-repository = true` in `[images.{name}]`")),
                        );
                    }
                    // Immutable repositories refuse a tag that they have.
                    let tag = if task.rebuild { format!("{tag}-{}", facts.run_id) } else { tag.clone() };
                    PlannedImage::Build {
                        registry: registry.clone(),
                        repository: repository.clone(),
                        tag,
                        platform: platform.to_owned(),
                        create,
                    }
                }
                (_, None) => {
                    planner.problem(
                        Problem::new(format!("cannot build an image for the platform `{platform}`"))
                            .at(task.settings.platform.as_ref().and_then(Sourced::span))
                            .hint("`linux/amd64` and `linux/arm64` can be built"),
                    );
                    PlannedImage::Use { reference: String::new() }
                }
            };
            (planned, origin)
        }
        ImageFact::Unprepared { registry, repository } => (
            PlannedImage::Unprepared {
                registry: registry.clone(),
                repository: repository.clone(),
                platform: platform.to_owned(),
            },
            origin,
        ),
        ImageFact::Deployed(deployed) => {
            if !deployed.value.contains("@sha256:") {
                planner.warnings.push(format!(
                    "the image `{}` is used by its tag, since its digest could not be found: what the tag means may have changed",
                    deployed.value
                ));
            }
            (PlannedImage::Use { reference: deployed.value.clone() }, deployed.origin.clone())
        }
        ImageFact::Given => {
            let reference = match written.map(|it| &it.value) {
                Some(ImageChoice::Reference(reference)) => reference.clone(),
                None => base_image.to_owned(),
                // Never the base's image in the place of one that was asked for.
                Some(ImageChoice::Build(_) | ImageChoice::Deployed) => String::new(),
            };
            if reference.is_empty() {
                planner
                    .problem(Problem::new("it is not known which image runs").at(task.task_span).hint("set `image`"));
            }
            (PlannedImage::Use { reference }, origin)
        }
    };
    // An image that is built here goes to ECR, which the execution role opens; ECS refuses credentials for it.
    let keeps_credentials = match (&facts.image, &planned) {
        (ImageFact::Deployed(_) | ImageFact::Given, PlannedImage::Use { reference }) => {
            registry_host(reference) == registry_host(base_image)
        }
        _ => false,
    };
    Image { planned, origin, keeps_credentials }
}

/// The registry's host as docker reads a reference: a first segment without a dot or a port is a name on Docker Hub.
fn registry_host(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::registry_host;

    #[test]
    fn a_reference_names_its_registry_or_docker_hub() {
        for (reference, host) in [
            ("nginx:1", "docker.io"),
            ("acme/app@sha256:0", "docker.io"),
            ("docker.io/acme/app", "docker.io"),
            ("ghcr.io/acme/app:2", "ghcr.io"),
            ("localhost/app", "localhost"),
            ("127.0.0.1:5000/app", "127.0.0.1:5000"),
        ] {
            assert_eq!(registry_host(reference), host);
        }
    }
}
