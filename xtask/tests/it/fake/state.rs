//! Everything that the fake knows and has been told to do: a plain struct behind one lock, without sockets and without a clock.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::definitions::Definition;
use super::life::{Life, Millis, Stop};
use super::random::Random;

/// A cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub name: String,
    pub arn: String,
    pub capacity_providers: Vec<String>,
    /// `configuration`: of ECS Exec, for one.
    pub configuration: Value,
}

/// An ECS task.
#[derive(Debug, Clone)]
pub struct Task {
    pub arn: String,
    pub id: String,
    pub cluster: String,
    pub definition: Definition,
    pub life: Life,
    pub created: Millis,
    /// StopTask.
    pub stop: Option<Stop>,
    /// The request of RunTask.
    pub request: Value,
    pub tags: Value,
    pub group: String,
    pub started_by: Option<String>,
    pub launch_type: Option<String>,
    pub capacity_provider: Option<String>,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// Image digests by container.
    pub digests: HashMap<String, String>,
    /// How often DescribeTasks still has to say that it is missing.
    pub missing: u32,
    /// From when ListTasks knows it.
    pub listed_from: Millis,
    /// How often GetLogEvents still has to say that its stream is missing.
    pub stream_missing: u32,
    /// Of a service, not of RunTask.
    pub service: Option<String>,
}

/// An image in a repository.
#[derive(Debug, Clone)]
pub struct Image {
    pub digest: String,
    pub tags: Vec<String>,
    pub pushed: Millis,
    /// As BatchGetImage tells it.
    pub manifest: Value,
}

/// A repository.
#[derive(Debug, Clone)]
pub struct Repository {
    pub name: String,
    pub immutable: bool,
    pub images: Vec<Image>,
    /// Its own policy; null: it has none.
    pub policy: Value,
}

/// What a client token was used for.
#[derive(Debug, Clone)]
pub struct TokenUse {
    pub at: Millis,
    /// The request without its token.
    pub request: Value,
    /// The ECS tasks' ARNs; empty where nothing was started.
    pub arns: Vec<String>,
    pub failures: Value,
}

/// How GetLogEvents cuts a stream into pages.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    pub seed: u64,
    /// The most events of a page; 10,000 on AWS.
    pub most: u64,
    /// Whether every page has `most` events, or as many as the seed says.
    pub random: bool,
    /// Up to so many empty pages with a new token at any place.
    pub empty: u64,
}

/// The state.
#[derive(Debug)]
pub struct State {
    pub account: String,
    pub region: String,
    pub random: Random,
    pub clusters: Vec<Cluster>,
    pub services: Vec<Value>,
    pub definitions: Vec<Definition>,
    pub tasks: Vec<Task>,
    pub tokens: HashMap<(String, String), TokenUse>,
    pub repositories: Vec<Repository>,
    /// Log groups; a stream belongs to its ECS task.
    pub groups: Vec<String>,
    /// Lives of the next ECS tasks, in order; then `life`.
    pub next_lives: VecDeque<Life>,
    pub life: Life,
    /// Lives of shards by their number, the variable XTASK_SHARD; before all others.
    pub shard_lives: HashMap<u32, Life>,
    /// So many of RunTask's ECS tasks there is room for; the reason of a failure beyond.
    pub room: Option<(usize, String)>,
    /// What the next RunTasks fail with: reason and detail of each failure. An empty list: neither task nor failure.
    pub next_failures: VecDeque<Vec<(String, Option<String>)>>,
    /// How often DescribeTasks says of a new ECS task that it is missing.
    pub missing_first: u32,
    /// How long ListTasks does not know a new ECS task.
    pub list_lag: Millis,
    pub paging: Paging,
    /// How long a forward token can be used.
    pub token_life: Millis,
    pub ecr_password: String,
    /// When the keys in use expire, and when their source has new ones. Only the door in memory has such a source.
    pub keys: Vec<(Millis, Millis)>,
    /// Where sessions of ECS Exec go.
    pub gateway: Option<std::sync::Arc<crate::gateway::Shared>>,
    /// How often ExecuteCommand says that the agent is not connected.
    pub not_connected: u32,
    /// What a test must fail for: calls without a script, members that AWS would ignore.
    pub problems: Vec<String>,
}

impl State {
    pub fn caller_arn(&self) -> String {
        format!("arn:aws:sts::{}:assumed-role/deployer/somebody", self.account)
    }

    /// The cluster of a name or an ARN; `default` where a request has none.
    pub fn cluster(&self, reference: Option<&str>) -> Option<&Cluster> {
        let reference = reference.unwrap_or("default");
        self.clusters.iter().find(|it| it.name == reference || it.arn == reference)
    }

    /// The digest of an image reference: its own, the registry's, or one made from the text.
    pub fn digest_of(&self, reference: &str) -> String {
        if let Some((_, digest)) = reference.split_once('@') {
            return digest.to_owned();
        }
        let path = reference.split_once('/').map_or(reference, |(_, path)| path);
        let (name, tag) = path.split_once(':').unwrap_or((path, "latest"));
        let repository = self.repositories.iter().find(|it| it.name == name);
        let image = repository.and_then(|it| it.images.iter().find(|it| it.tags.iter().any(|it| it == tag)));
        image.map_or_else(|| sha256(reference), |it| it.digest.clone())
    }
}

/// `sha256:…` of a text.
pub fn sha256(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hex: String = digest.as_ref().iter().map(|it| format!("{it:02x}")).collect();
    format!("sha256:{hex}")
}
