//! docker's command line: the arguments of what is called, which builder it has, what its complaints mean, and the private
//! configuration that a run logs in to.

pub mod config;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use xshell::{Cmd, Shell};

use super::{Captured, Done, Group, Io, Process, Signals, capture, our_stderr, signals};
use crate::error::{Error, Problem, Result};
use config::PrivateConfig;

/// How much of a command's complaints is kept to find out what went wrong.
const TAIL: usize = 16 * 1024;

/// What `docker build` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// The buildx plugin, which `docker build` is handed to since version 23.
    Buildx,
    /// BuildKit inside of docker's own command line, 18.09 to 20.10. (podman's `docker` answers as one of these, and takes the same
    /// arguments.)
    BuildKit,
    /// The legacy builder: no `--secret`, no `Dockerfile.dockerignore`.
    Classic,
}

/// The engine that docker's command line reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Its own platform, for example `linux/amd64`.
    pub platform: Option<String>,
    /// What builds there.
    pub builder: Builder,
}

/// An image of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// `sha256:…`: the engine's own, which no registry knows.
    pub id: String,
    /// `linux/amd64`, `linux/arm64`, …
    pub platform: String,
    /// `repository@sha256:…` of every registry that has it.
    pub repo_digests: Vec<String>,
}

/// docker's command line, called in one folder, with one configuration.
#[derive(Debug)]
pub struct Docker {
    sh: Shell,
    config: Option<PrivateConfig>,
}

impl Docker {
    /// With the user's own configuration. `root`: relative paths of build options are relative to it.
    pub fn new(sh: &Shell, root: &Path) -> Docker {
        let sh = sh.clone();
        sh.change_dir(root);
        Docker { sh, config: None }
    }

    /// With a private copy of it that `registry`'s login goes into. The copy is gone when this is.
    pub fn with_private_config(sh: &Shell, root: &Path, registry: &str) -> Result<Docker> {
        let mut docker = Docker::new(sh, root);
        docker.config = Some(PrivateConfig::create(config::users_folder(sh).as_deref(), registry)?);
        Ok(docker)
    }

    /// A command.
    pub fn cmd<T: Into<OsString>>(&self, arguments: impl IntoIterator<Item = T>) -> Cmd<'_> {
        let cmd = self.sh.cmd("docker").args(arguments.into_iter().map(Into::into));
        match &self.config {
            Some(config) => cmd.env("DOCKER_CONFIG", config.folder()),
            None => cmd,
        }
    }

    /// Asks who is there. Everything that keeps docker from working is found here, before anything is done.
    pub async fn engine(&self, signals: &mut Signals) -> Result<Engine> {
        let version = self.ask(["version", "--format", "{{json .}}"], signals).await?;
        let answer: Value = serde_json::from_slice(&version.stdout).unwrap_or_default();
        if !version.ended.success() {
            return Err(out_of_reach(&version.complaint()));
        }
        let text = |part: &str, field: &str| answer[part][field].as_str().map(str::to_owned);
        let platform = text("Server", "Os").zip(text("Server", "Arch")).map(|(os, arch)| platform(&os, &arch));
        let asked = self.sh.var("DOCKER_BUILDKIT").ok();
        let has_buildx = match is_true(asked.as_deref()) {
            Some(false) => false,
            _ => self.ask(["buildx", "version"], signals).await?.ended.success(),
        };
        let builder = builder(asked.as_deref(), text("Client", "Version").as_deref(), has_buildx)?;
        Ok(Engine { platform, builder })
    }

    /// The platforms that buildx's builder can build for, by emulation too; empty where it does not say.
    pub async fn build_platforms(&self, signals: &mut Signals) -> Result<Vec<String>> {
        let answer = self.ask(["buildx", "inspect"], signals).await?;
        if !answer.ended.success() {
            return Ok(Vec::new());
        }
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let lines = text.lines().filter_map(|it| it.trim().strip_prefix("Platforms:"));
        // A star marks those that were set by hand.
        let names = lines.flat_map(|it| it.split(',')).map(|it| it.trim().trim_end_matches('*').to_owned());
        Ok(names.filter(|it| !it.is_empty()).collect())
    }

    /// An image of the engine, if it has that one.
    pub async fn image(&self, reference: &str, signals: &mut Signals) -> Result<Option<LocalImage>> {
        let answer = self.ask(["image", "inspect", "--format", "{{json .}}", reference], signals).await?;
        if !answer.ended.success() {
            let complaint = answer.complaint();
            // docker's words, and podman's.
            if ["no such image", "no such object", "not known", "not found"]
                .iter()
                .any(|it| complaint.to_lowercase().contains(it))
            {
                return Ok(None);
            }
            return Err(Error::failed(format!("cannot ask docker for `{reference}`: {complaint}")));
        }
        let answer: Value = serde_json::from_slice(&answer.stdout)
            .map_err(|it| Error::failed(format!("cannot read what docker says of `{reference}`: {it}")))?;
        let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
        let digests = answer["RepoDigests"].as_array().cloned().unwrap_or_default();
        Ok(Some(LocalImage {
            id: text("Id"),
            platform: platform(&text("Os"), &text("Architecture")),
            repo_digests: digests.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect(),
        }))
    }

    /// Logs in to a registry. The password goes through stdin, so no other process can read it.
    pub async fn login(&self, registry: &str, user: &str, password: &str, signals: &mut Signals) -> Result<()> {
        let cmd = self.cmd(["login", "--username", user, "--password-stdin", registry]);
        let answer = capture(cmd, Some(password.as_bytes().to_vec()), signals).await?;
        uninterrupted(answer.signal, "while docker logged in")?;
        match answer.ended.success() {
            true => Ok(()),
            false => {
                let complaints = answer.complaint();
                let cause = last_line(&complaints).unwrap_or("docker says nothing");
                Err(Error::failed(format!("cannot log in to {registry}: {cause}"))
                    .hint(format!("check `registry`, and that this machine reaches {registry}")))
            }
        }
    }

    async fn ask<const N: usize>(&self, arguments: [&str; N], signals: &mut Signals) -> Result<Captured> {
        let answer = capture(self.cmd(arguments), None, signals).await?;
        uninterrupted(answer.signal, "while docker was asked")?;
        Ok(answer)
    }
}

/// Runs a command that people watch, and keeps the end of its standard error: that is where docker says why it failed. Its standard
/// output is ours itself, so progress bars stay progress bars.
pub async fn watched(cmd: Cmd<'_>, signals: &mut Signals) -> Result<(Done, String)> {
    let io = Io { stdin: Stdio::null(), stdout: our_stderr()?, stderr: Stdio::piped() };
    let mut process = Process::start(cmd, io, Group::Own)?;
    let pipe = process.stderr();
    let mut tail = Vec::new();
    let done = {
        let copy = pass_on(pipe, &mut tail);
        let wait = process.supervise(signals);
        tokio::pin!(copy, wait);
        let mut copied = false;
        let done = loop {
            tokio::select! {
                done = &mut wait => break done?,
                () = &mut copy, if !copied => copied = true,
            }
        };
        if !copied {
            // Something that it started may hold the pipe open; what it wrote itself is in there by now.
            let _ = tokio::time::timeout(Duration::from_secs(1), copy).await;
        }
        done
    };
    Ok((done, String::from_utf8_lossy(&tail).into_owned()))
}

async fn pass_on(pipe: Option<ChildStderr>, tail: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
        // A closed stderr is no reason to stop the command.
        let _ = std::io::stderr().write_all(&buffer[..n]);
        tail.extend_from_slice(&buffer[..n]);
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
}

/// An error if a signal ended the command. It was forwarded, so the command may have ended in any way.
pub fn uninterrupted(signal: Option<u8>, when: &str) -> Result<()> {
    signal.map_or(Ok(()), |it| Err(interrupted(it, when)))
}

/// A signal ended the run.
pub fn interrupted(signal: u8, when: &str) -> Error {
    Error::interrupted(signal, format!("interrupted by {} {when}", signals::name(i32::from(signal))))
}

// --------------------------------------------------------------------------------------------------------------- arguments

/// A `docker build`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the flag of the same name")]
pub struct Build<'a> {
    pub file: Option<&'a Path>,
    pub context: Option<&'a Path>,
    pub tag: &'a str,
    pub platform: Option<&'a str>,
    pub target: Option<&'a str>,
    pub build_args: BTreeMap<&'a str, &'a str>,
    pub secrets: Vec<&'a str>,
    pub options: Vec<&'a str>,
    pub no_cache: bool,
    pub pull: bool,
}

impl Build<'_> {
    /// The arguments. Values of build arguments are not among them, so that neither `ps` nor a log has them: see
    /// [`Build::variables`].
    pub fn arguments(&self, builder: Builder) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["build".into(), "--tag".into(), self.tag.into()];
        let mut flag = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        if let Some(file) = self.file {
            flag("--file", file.into());
        }
        if let Some(platform) = self.platform {
            flag("--platform", platform.into());
        }
        if let Some(target) = self.target {
            flag("--target", target.into());
        }
        for (name, value) in &self.build_args {
            // In docker's environment such a variable would change docker itself, so its value has to stand here.
            let text = if changes_docker(name) { format!("{name}={value}") } else { (*name).to_owned() };
            flag("--build-arg", text.into());
        }
        for secret in &self.secrets {
            flag("--secret", secret.into());
        }
        if builder == Builder::Buildx {
            // A builder of another kind than docker's own keeps what it built to itself.
            arguments.push("--load".into());
        }
        if self.no_cache {
            arguments.push("--no-cache".into());
        }
        if self.pull {
            arguments.push("--pull".into());
        }
        arguments.extend(self.options.iter().map(Into::into));
        arguments.extend(self.context.map(Into::into));
        arguments
    }

    /// The variables that the command needs: values of build arguments, and the builder.
    pub fn variables(&self, builder: Builder) -> Vec<(String, String)> {
        let mut variables: Vec<_> = self
            .build_args
            .iter()
            .filter(|(name, _)| !changes_docker(name))
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let switch = if builder == Builder::Classic { "0" } else { "1" };
        variables.push(("DOCKER_BUILDKIT".to_owned(), switch.to_owned()));
        if builder == Builder::Buildx {
            // Attestations would make an index of the image, with an entry for a platform `unknown/unknown` in it. `--provenance` among
            // `build-options` still gets them.
            variables.push(("BUILDX_NO_DEFAULT_ATTESTATIONS".to_owned(), "1".to_owned()));
        }
        variables
    }
}

/// Whether docker, its plugins or the credential helpers that it starts would take a variable of that name for themselves.
fn changes_docker(name: &str) -> bool {
    const PREFIXES: &[&str] =
        &["DOCKER_", "BUILDX_", "BUILDKIT_", "AWS_", "LD_", "DYLD_", "XDG_", "SSL_", "SSH_", "OTEL_"];
    const NAMES: &[&str] =
        &["PATH", "HOME", "USER", "TMPDIR", "TERM", "NO_COLOR", "GODEBUG", "GOMAXPROCS", "GOTRACEBACK"];
    let upper = name.to_uppercase();
    PREFIXES.iter().any(|it| upper.starts_with(it)) || NAMES.contains(&upper.as_str()) || upper.ends_with("_PROXY")
}

/// The repository that an image has on this machine only. docker allows fewer names than tasks.toml.
pub fn local_repository(image: &str) -> String {
    let mut name = String::from("xtask-");
    for char in image.to_lowercase().chars() {
        match char {
            'a'..='z' | '0'..='9' => name.push(char),
            // Two separators in a row are not allowed.
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    name.trim_end_matches('-').to_owned()
}

/// The images that a Dockerfile's `FROM`s start from, as far as they can be told: `scratch`, other stages, and names with an unknown
/// variable in them are left out.
pub fn base_images(dockerfile: &str, build_args: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut stages: Vec<String> = Vec::new();
    let mut images: Vec<String> = Vec::new();
    let mut in_stage = false;
    for line in dockerfile.lines().map(str::trim).filter(|it| !it.starts_with('#')) {
        let mut words = line.split_whitespace();
        let instruction = words.next().unwrap_or_default();
        if instruction.eq_ignore_ascii_case("ARG") && !in_stage {
            // Only those before the first FROM can be used in one.
            for (name, default) in words.map(|it| it.split_once('=').map_or((it, None), |(name, it)| (name, Some(it))))
            {
                let value = build_args.get(name).copied().or(default);
                let Some(value) = value.and_then(|it| substitute(it.trim_matches(['"', '\'']), &variables)) else {
                    continue;
                };
                variables.insert(name.to_owned(), value);
            }
        } else if instruction.eq_ignore_ascii_case("FROM") {
            in_stage = true;
            let mut words = words.skip_while(|it| it.starts_with("--"));
            if let Some(image) = words.next().and_then(|it| substitute(it, &variables))
                && image != "scratch"
                && !stages.contains(&image.to_lowercase())
                && !images.contains(&image)
            {
                images.push(image);
            }
            if words.next().is_some_and(|it| it.eq_ignore_ascii_case("AS")) {
                stages.extend(words.next().map(str::to_lowercase));
            }
        }
    }
    images
}

/// `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME-default}`. `None`: a variable is unknown, or used in another way.
fn substitute(text: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let Some((before, rest)) = text.split_once('$') else { return Some(text.to_owned()) };
    let (value, rest) = match rest.strip_prefix('{') {
        Some(rest) => {
            let (inside, rest) = rest.split_once('}')?;
            let end = inside.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(inside.len());
            let (name, operator) = inside.split_at(end);
            let known = variables.get(name).cloned();
            let value = match operator {
                "" => known?,
                _ => match (operator.strip_prefix(":-"), operator.strip_prefix('-')) {
                    (Some(default), _) => known.filter(|it| !it.is_empty()).unwrap_or_else(|| default.to_owned()),
                    (_, Some(default)) => known.unwrap_or_else(|| default.to_owned()),
                    _ => return None,
                },
            };
            (value, rest)
        }
        None => {
            let end = rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            (variables.get(name).cloned()?, rest)
        }
    };
    Some(format!("{before}{value}{}", substitute(rest, variables)?))
}

// ----------------------------------------------------------------------------------------------------------------- answers

fn platform(os: &str, architecture: &str) -> String {
    let architecture = match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        it => it,
    };
    format!("{os}/{architecture}")
}

/// As docker reads a variable.
fn is_true(text: Option<&str>) -> Option<bool> {
    match text? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// BuildKit wherever it can be had, unless DOCKER_BUILDKIT says no.
fn builder(asked: Option<&str>, version: Option<&str>, has_buildx: bool) -> Result<Builder> {
    let asked = is_true(asked);
    let major = version.and_then(|it| it.split('.').next()).and_then(|it| it.parse::<u32>().ok()).unwrap_or(u32::MAX);
    match (asked, has_buildx) {
        (Some(false), _) => Ok(Builder::Classic),
        // These never hand `docker build` on, so buildx's own flags mean nothing to them.
        _ if major < 23 => Ok(Builder::BuildKit),
        (_, true) => Ok(Builder::Buildx),
        (Some(true), false) => {
            Err(Error::failed("cannot build with BuildKit, as DOCKER_BUILDKIT asks: docker has no buildx plugin")
                .hint("install docker's buildx plugin, or unset DOCKER_BUILDKIT"))
        }
        (None, false) => Ok(Builder::Classic),
    }
}

/// `docker version` failed: the engine isn't there for us.
fn out_of_reach(complaint: &str) -> Error {
    let lower = complaint.to_lowercase();
    let hint = if lower.contains("permission denied") {
        "add this user to the group `docker`, log in again, or use rootless docker"
    } else if lower.contains("context") && lower.contains("not found") {
        "check DOCKER_CONTEXT: `docker context ls` lists them"
    } else if lower.contains("too new") || lower.contains("too old") || lower.contains("api version") {
        "update docker, or set DOCKER_API_VERSION"
    } else {
        "start docker, or check DOCKER_HOST and `docker context ls`"
    };
    // `Is the docker daemon running?` and the URL of a refused request say nothing that the rest does not.
    let cause = complaint.split(". Is the docker daemon").next().unwrap_or(complaint);
    let cause = cause.split(": Get \"").next().unwrap_or(cause).trim_end_matches('.');
    let cause = if cause.is_empty() { "`docker version` failed without a word" } else { cause };
    Error::failed(format!("cannot use docker: {cause}")).hint(hint)
}

/// What a failed push can be followed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushFailure {
    /// Someone else pushed this tag meanwhile, and it cannot be overwritten.
    TagTaken,
    /// The login has expired, or does not reach that far: log in and push again.
    LoginExpired,
    /// The network, or the registry for a moment: push again.
    Transient,
    /// The registry has no such repository.
    NoRepository,
    /// The credentials may not push there.
    Denied,
    /// Anything else.
    Other,
}

/// What a failed push's complaints mean. The words are ECR's, the registry's and those of Go's network library.
pub fn push_failure(complaints: &str) -> PushFailure {
    const TABLE: &[(&[&str], PushFailure)] = &[
        // ECR: "tag invalid: The image tag 'x' already exists in the 'r' repository and cannot be overwritten because the tag is
        // immutable" (older: "the repository is immutable").
        (&["cannot be overwritten", "immutable"], PushFailure::TagTaken),
        // ECR: "denied: Your authorization token has expired. Reauthenticate and try again."
        (&["token has expired"], PushFailure::LoginExpired),
        (&["no basic auth credentials"], PushFailure::LoginExpired),
        // ECR: "name unknown: The repository with name 'x' does not exist in the registry with id '…'"
        (&["name unknown"], PushFailure::NoRepository),
        (&["repository", "does not exist"], PushFailure::NoRepository),
        (&["toomanyrequests"], PushFailure::Transient),
        (&["rate exceeded"], PushFailure::Transient),
        (&["connection reset"], PushFailure::Transient),
        (&["broken pipe"], PushFailure::Transient),
        (&["use of closed network connection"], PushFailure::Transient),
        (&["tls handshake timeout"], PushFailure::Transient),
        (&["i/o timeout"], PushFailure::Transient),
        (&["context deadline exceeded"], PushFailure::Transient),
        (&["client.timeout exceeded"], PushFailure::Transient),
        (&["http2: "], PushFailure::Transient),
        (&["unexpected eof"], PushFailure::Transient),
        (&[": eof"], PushFailure::Transient),
        (&["500 internal server error"], PushFailure::Transient),
        (&["502 bad gateway"], PushFailure::Transient),
        (&["503 service unavailable"], PushFailure::Transient),
        (&["504 gateway time"], PushFailure::Transient),
        (&["temporary failure in name resolution"], PushFailure::Transient),
        (&["denied"], PushFailure::Denied),
        (&["unauthorized"], PushFailure::Denied),
        (&["not authorized"], PushFailure::Denied),
        (&["403 forbidden"], PushFailure::Denied),
    ];
    let text = complaints.to_lowercase();
    let row = TABLE.iter().find(|(needles, _)| needles.iter().all(|it| text.contains(it)));
    row.map_or(PushFailure::Other, |(_, failure)| *failure)
}

/// The last line of what a command complained, as the cause in an error.
pub fn last_line(complaints: &str) -> Option<&str> {
    let line = complaints.lines().map(str::trim).rfind(|it| !it.is_empty())?;
    Some(line.strip_prefix("Error response from daemon: ").unwrap_or(line))
}

/// An option of `build-options` that decides something which is decided elsewhere.
pub fn misplaced_option(option: &str) -> Option<Problem> {
    const TABLE: &[(&[&str], &str)] = &[
        (&["--platform"], "set `platform` on the task or the environment"),
        (&["--file", "-f"], "set `dockerfile` in the image"),
        (&["--target"], "set `target` in the image"),
        (&["--output", "-o", "--push", "--load"], "take it out: the image goes where `registry` and `repository` say"),
        (&["--quiet", "-q", "--iidfile", "--metadata-file"], "take it out: nothing here would read it"),
        (&["--help", "--call", "--check", "--print"], "take it out: with it nothing is built"),
    ];
    let name = option.split('=').next().unwrap_or(option);
    let (_, hint) = TABLE.iter().find(|(names, _)| names.contains(&name))?;
    Some(Problem::new(format!("`{name}` cannot stand in `build-options`")).hint(*hint))
}

#[cfg(test)]
mod tests;
