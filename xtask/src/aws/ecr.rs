//! ECR: content tags, the login, and creating a repository.

use aws_config::Region;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_ecr::types::{EncryptionConfiguration, ImageIdentifier, ImageScanningConfiguration, ImageTagMutability};

use serde_json::Value;

use super::{Aws, AwsError, http_client};

/// What BatchGetImage may answer with: without the indexes it would pick one image out of them.
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// A login for a registry. `Debug` leaves the password out.
#[derive(Clone)]
pub struct Login {
    /// Always `AWS`.
    pub username: String,
    /// Valid for 12 hours. Only ever goes to a child's stdin.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What a repository knows of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagFact {
    /// The digest that it points to.
    Digest(String),
    /// There is no such tag.
    NoTag,
    /// There is no such repository.
    NoRepository,
}

impl Aws {
    /// The same environment with ECR in another region, or with the credentials of another profile (`registry-profile`). A login is
    /// good for the registries of its own region only.
    ///
    /// Keys in the environment do not beat this profile, as they beat the environment's: it is named for this registry alone, and
    /// they belong to another account.
    pub fn for_registry(&self, region: Option<&str>, profile: Option<&str>) -> Aws {
        let region = Region::new(region.unwrap_or(&self.region.value).to_owned());
        let mut config = aws_sdk_ecr::config::Builder::from(&self.config).region(region.clone());
        if let Some(profile) = profile {
            let surroundings =
                ProviderConfig::without_region().with_region(Some(region)).with_http_client(http_client());
            let provider =
                ProfileFileCredentialsProvider::builder().configure(&surroundings).profile_name(profile).build();
            config = config.credentials_provider(provider);
        }
        Aws { ecr: aws_sdk_ecr::Client::from_conf(traced!(config, self.trace).build()).into(), ..self.clone() }
    }

    /// The digest that a tag points to. `registry_id`: another account's, by number.
    pub async fn image_digest(
        &self,
        registry_id: Option<&str>,
        repository: &str,
        tag: &str,
    ) -> Result<TagFact, AwsError> {
        let answer = self
            .ecr()
            .describe_images()
            .set_registry_id(registry_id.map(str::to_owned))
            .repository_name(repository)
            .image_ids(ImageIdentifier::builder().image_tag(tag).build())
            .send()
            .await
            .map_err(|it| AwsError::new("DescribeImages", it));
        match answer {
            // Some registries answer an empty list where ECR says ImageNotFoundException.
            Ok(answer) => Ok(answer
                .image_details
                .unwrap_or_default()
                .into_iter()
                .find_map(|it| it.image_digest)
                .map_or(TagFact::NoTag, TagFact::Digest)),
            Err(error) if error.is("ImageNotFoundException") => Ok(TagFact::NoTag),
            Err(error) if error.is("RepositoryNotFoundException") => Ok(TagFact::NoRepository),
            Err(error) => Err(error),
        }
    }

    /// Whether there is such a repository. `registry_id`: another account's, by number.
    pub async fn repository_exists(&self, registry_id: Option<&str>, repository: &str) -> Result<bool, AwsError> {
        let call = self.ecr().describe_repositories().set_registry_id(registry_id.map(str::to_owned));
        match call.repository_names(repository).send().await.map_err(|it| AwsError::new("DescribeRepositories", it)) {
            Ok(_) => Ok(true),
            Err(error) if error.is("RepositoryNotFoundException") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A repository's own policy, where it has one.
    pub async fn repository_policy(
        &self,
        registry_id: Option<&str>,
        repository: &str,
    ) -> Result<Option<Value>, AwsError> {
        let operation = "GetRepositoryPolicy";
        let call = self.ecr().get_repository_policy().set_registry_id(registry_id.map(str::to_owned));
        match call.repository_name(repository).send().await.map_err(|it| AwsError::new(operation, it)) {
            Ok(answer) => {
                let text = answer.policy_text.unwrap_or_default();
                let policy = serde_json::from_str(&text);
                policy.map(Some).map_err(|it| AwsError::unexpected(operation, &format!("the policy is not JSON: {it}")))
            }
            Err(error) if error.is("RepositoryPolicyNotFoundException") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The manifest of an image by its tag or digest, and its digest. `None`: there is no such image or repository.
    pub async fn manifest(
        &self,
        registry_id: Option<&str>,
        repository: &str,
        reference: &str,
    ) -> Result<Option<(String, Value)>, AwsError> {
        let id = ImageIdentifier::builder();
        let id = if reference.contains(':') { id.image_digest(reference) } else { id.image_tag(reference) };
        let answer = self
            .ecr()
            .batch_get_image()
            .set_registry_id(registry_id.map(str::to_owned))
            .repository_name(repository)
            .image_ids(id.build())
            .set_accepted_media_types(Some(MANIFESTS.iter().map(|it| (*it).to_owned()).collect()))
            .send()
            .await
            .map_err(|it| AwsError::new("BatchGetImage", it));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is("RepositoryNotFoundException") => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(image) = answer.images.unwrap_or_default().into_iter().next() else { return Ok(None) };
        let digest = image.image_id.and_then(|it| it.image_digest).unwrap_or_default();
        let manifest = serde_json::from_str(image.image_manifest.as_deref().unwrap_or_default()).unwrap_or_default();
        Ok(Some((digest, manifest)))
    }

    /// A login that works for every registry that the caller may use.
    pub async fn registry_login(&self) -> Result<Login, AwsError> {
        let operation = "GetAuthorizationToken";
        let answer = self.ecr().get_authorization_token().send().await.map_err(|it| AwsError::new(operation, it))?;
        let token = answer.authorization_data.unwrap_or_default().into_iter().find_map(|it| it.authorization_token);
        let token = token.ok_or_else(|| AwsError::unexpected(operation, "the answer has no token"))?;
        // Neither the token nor what it decodes to may stand in the error.
        let decoded = aws_smithy_types::base64::decode(token)
            .ok()
            .and_then(|it| String::from_utf8(it).ok())
            .ok_or_else(|| AwsError::unexpected(operation, "the token is not base64 text"))?;
        let (username, password) =
            decoded.split_once(':').ok_or_else(|| AwsError::unexpected(operation, "the token is not user:password"))?;
        Ok(Login { username: username.to_owned(), password: password.to_owned() })
    }

    /// Creates a repository with immutable tags that scans what is pushed. That it exists already is fine. `registry_id`: another
    /// account's, by number.
    pub async fn create_repository(&self, registry_id: Option<&str>, repository: &str) -> Result<(), AwsError> {
        let answer = self
            .ecr()
            .create_repository()
            .set_registry_id(registry_id.map(str::to_owned))
            .repository_name(repository)
            .image_tag_mutability(ImageTagMutability::Immutable)
            .image_scanning_configuration(ImageScanningConfiguration::builder().scan_on_push(true).build())
            .set_encryption_configuration(None::<EncryptionConfiguration>)
            .send()
            .await
            .map_err(|it| AwsError::new("CreateRepository", it));
        match answer {
            Ok(_) => Ok(()),
            Err(error) if error.is("RepositoryAlreadyExistsException") => Ok(()),
            Err(error) => Err(error),
        }
    }
}
