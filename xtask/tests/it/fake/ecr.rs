//! ECR: repositories, images, the login. Layers go through docker and a registry, never through here.

use serde_json::{Value, json};

use super::definitions::{list, seconds, text};
use super::life::Millis;
use super::state::{Image, Repository, State};
use super::wire::{Refusal, Reply, Request};

/// `None`: there is no script for this operation.
pub fn handle(state: &mut State, request: &Request, now: Millis) -> Option<Reply> {
    Some(match request.operation.as_str() {
        "DescribeImages" => describe_images(state, request),
        "BatchGetImage" => batch_get_image(state, request),
        "GetAuthorizationToken" => authorization_token(state, now),
        "CreateRepository" => create_repository(state, request, now),
        "GetRepositoryPolicy" => repository_policy(state, request),
        "DescribeRepositories" => describe_repositories(state, request),
        _ => return None,
    })
}

fn repository<'a>(state: &'a State, request: &Request) -> Result<&'a Repository, Refusal> {
    let name = request.str("repositoryName").unwrap_or_default();
    find(state, name, request.str("registryId"))
}

fn find<'a>(state: &'a State, name: &str, registry: Option<&str>) -> Result<&'a Repository, Refusal> {
    let registry = registry.unwrap_or(&state.account);
    let found = state.repositories.iter().find(|it| it.name == name);
    found.ok_or_else(|| {
        let message = format!("The repository with name '{name}' does not exist in the registry with id '{registry}'");
        Refusal::new("RepositoryNotFoundException", message)
    })
}

/// The image that an `imageIds` entry means.
fn image<'a>(repository: &'a Repository, id: &Value) -> Option<&'a Image> {
    let (tag, digest) = (id.get("imageTag").and_then(Value::as_str), id.get("imageDigest").and_then(Value::as_str));
    repository.images.iter().find(|it| {
        tag.is_none_or(|tag| it.tags.iter().any(|it| it == tag)) && digest.is_none_or(|digest| it.digest == digest)
    })
}

fn describe_images(state: &State, request: &Request) -> Reply {
    let repository = repository(state, request)?;
    let registry = request.str("registryId").unwrap_or(&state.account);
    let detail = |image: &Image| {
        json!({
            "registryId": registry,
            "repositoryName": repository.name,
            "imageDigest": image.digest,
            "imageTags": image.tags,
            "imageSizeInBytes": 123_456_789,
            "imagePushedAt": seconds(image.pushed),
            "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
        })
    };
    if request.body.get("imageIds").is_none() {
        return Ok(json!({ "imageDetails": repository.images.iter().map(detail).collect::<Vec<_>>() }).to_string());
    }
    let mut details = Vec::new();
    for id in list(&request.body, "imageIds") {
        let Some(image) = image(repository, id) else {
            let quoted = |member: &str| match text(id, member) {
                "" => "null".to_owned(),
                text => text.to_owned(),
            };
            let message = format!(
                "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository with name '{}' in the registry with id '{registry}'",
                quoted("imageDigest"),
                quoted("imageTag"),
                repository.name
            );
            return Err(Refusal::new("ImageNotFoundException", message));
        };
        details.push(detail(image));
    }
    Ok(json!({ "imageDetails": details }).to_string())
}

fn batch_get_image(state: &State, request: &Request) -> Reply {
    let repository = repository(state, request)?;
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in list(&request.body, "imageIds") {
        match image(repository, id) {
            Some(image) => images.push(json!({
                "registryId": state.account,
                "repositoryName": repository.name,
                "imageId": { "imageDigest": image.digest, "imageTag": id.get("imageTag") },
                "imageManifest": image.manifest.to_string(),
                "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
            })),
            None => failures.push(json!({
                "imageId": id, "failureCode": "ImageNotFound", "failureReason": "Requested image not found",
            })),
        }
    }
    Ok(json!({ "images": images, "failures": failures }).to_string())
}

fn repository_policy(state: &State, request: &Request) -> Reply {
    let repository = repository(state, request)?;
    if repository.policy.is_null() {
        let name = &repository.name;
        let message = format!("Repository policy does not exist for the repository with name '{name}'");
        return Err(Refusal::new("RepositoryPolicyNotFoundException", message));
    }
    let (name, policy) = (&repository.name, repository.policy.to_string());
    Ok(json!({ "registryId": state.account, "repositoryName": name, "policyText": policy }).to_string())
}

fn authorization_token(state: &State, now: Millis) -> Reply {
    let token = aws_smithy_types::base64::encode(format!("AWS:{}", state.ecr_password));
    let endpoint = format!("https://{}.dkr.ecr.{}.amazonaws.com", state.account, state.region);
    let data =
        json!({ "authorizationToken": token, "expiresAt": seconds(now + 12 * 3_600_000), "proxyEndpoint": endpoint });
    Ok(json!({ "authorizationData": [data] }).to_string())
}

fn document(state: &State, repository: &Repository) -> Value {
    let (account, region, name) = (&state.account, &state.region, &repository.name);
    json!({
        "repositoryArn": format!("arn:aws:ecr:{region}:{account}:repository/{name}"),
        "registryId": account,
        "repositoryName": name,
        "repositoryUri": format!("{account}.dkr.ecr.{region}.amazonaws.com/{name}"),
        "imageTagMutability": if repository.immutable { "IMMUTABLE" } else { "MUTABLE" },
        "imageScanningConfiguration": { "scanOnPush": true },
        "encryptionConfiguration": { "encryptionType": "AES256" },
    })
}

fn create_repository(state: &mut State, request: &Request, now: Millis) -> Reply {
    let name = request.str("repositoryName").unwrap_or_default().to_owned();
    let allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "._-/".contains(it);
    if !(2..=256).contains(&name.len()) || !name.chars().all(allowed) {
        return Err(Refusal::parameter(format!("Invalid parameter at 'repositoryName': '{name}'")));
    }
    if find(state, &name, None).is_ok() {
        let account = &state.account;
        let message = format!("The repository with name '{name}' already exists in the registry with id '{account}'");
        return Err(Refusal::new("RepositoryAlreadyExistsException", message));
    }
    let immutable = request.str("imageTagMutability") == Some("IMMUTABLE");
    let repository = Repository { name, immutable, images: Vec::new(), policy: Value::Null };
    let mut document = document(state, &repository);
    document["createdAt"] = seconds(now);
    state.repositories.push(repository);
    Ok(json!({ "repository": document }).to_string())
}

fn describe_repositories(state: &State, request: &Request) -> Reply {
    let names = request.strings("repositoryNames");
    let found: Result<Vec<Value>, Refusal> = match names.is_empty() {
        true => Ok(state.repositories.iter().map(|it| document(state, it)).collect()),
        false => names.iter().map(|it| find(state, it, None).map(|it| document(state, it))).collect(),
    };
    Ok(json!({ "repositories": found? }).to_string())
}

/// An image comes into a repository, as by a push. A mutable tag moves; the registry has refused an immutable one.
pub fn add_image(state: &mut State, name: &str, tag: &str, digest: &str, now: Millis) {
    if !state.repositories.iter().any(|it| it.name == name) {
        state.repositories.push(Repository {
            name: name.to_owned(),
            immutable: false,
            images: Vec::new(),
            policy: Value::Null,
        });
    }
    let repository = state.repositories.iter_mut().find(|it| it.name == name).expect("it was just added");
    for image in &mut repository.images {
        image.tags.retain(|it| it != tag);
    }
    match repository.images.iter_mut().find(|it| it.digest == digest) {
        Some(image) => image.tags.push(tag.to_owned()),
        None => repository.images.push(Image {
            digest: digest.to_owned(),
            tags: vec![tag.to_owned()],
            pushed: now,
            manifest: json!({ "schemaVersion": 2 }),
        }),
    }
}
