//! `docker build`, for the registry and for this machine alike.

use std::fs;
use std::path::Path;

use crate::context::{self, Located};
use crate::error::{Error, Problem, Result};
use crate::event::{BuildStep, Event};
use crate::model::{ImageSpec, Sourced};
use crate::tools::docker::{self, Build, Builder, Docker, Engine, LocalImage, uninterrupted};
use crate::tools::{self, Signals};
use crate::ui::Ui;

/// One build.
pub struct Job<'a> {
    spec: &'a ImageSpec,
    located: Located,
    builder: Builder,
    /// The name that the image gets.
    pub tag: &'a str,
    /// docker's own if `None`.
    pub platform: Option<&'a str>,
    /// Without the cache, from fresh base images.
    pub rebuild: bool,
}

impl<'a> Job<'a> {
    /// Refuses what this builder cannot do.
    pub fn new(root: &Path, spec: &'a ImageSpec, engine: &Engine) -> Result<Job<'a>> {
        let located = context::locate(root, spec)?;
        let builder = engine.builder;
        if builder == Builder::Classic {
            const HINT: &str = "install docker's buildx plugin (and leave DOCKER_BUILDKIT alone): it brings BuildKit";
            if let Some(secret) = spec.build_secrets.first() {
                let what =
                    format!("image `{}` has build secrets, which docker's classic builder does not know", spec.name);
                return Err(Problem::new(what).at(secret.span()).hint(HINT).refused());
            }
            if located.needs_buildkit {
                let file = located.ignore_file.as_deref().unwrap_or(&located.dockerfile).display();
                let what = format!("docker's classic builder does not read {file}");
                let span = spec.dockerfile.as_ref().unwrap_or(&spec.context).span();
                return Err(Problem::new(what).at(span).hint(HINT).refused());
            }
        }
        Ok(Job { spec, located, builder, tag: "", platform: None, rebuild: false })
    }

    /// Builds, and makes sure that what came out is for the platform that was asked.
    pub async fn run(&self, docker: &Docker, ui: &Ui, signals: &mut Signals) -> Result<LocalImage> {
        let name = &self.spec.name;
        ui.emit(Event::Building { image: name.clone(), step: BuildStep::Build });
        let mut build = self.arguments();
        build.no_cache = self.rebuild;
        build.pull = self.rebuild && self.can_pull(docker, ui, signals).await?;
        self.once(&build, docker, ui, signals).await?;
        let image = self.look(docker, signals).await?;
        let Some(wanted) = self.platform.filter(|it| *it != image.platform) else { return Ok(image) };
        if self.builder == Builder::Classic && !build.no_cache {
            // Its cache does not tell platforms apart where an image starts from nothing.
            build.no_cache = true;
            self.once(&build, docker, ui, signals).await?;
            let image = self.look(docker, signals).await?;
            if image.platform == wanted {
                return Ok(image);
            }
        }
        Err(Error::failed(format!("docker built image `{name}` for {}, not for {wanted}", image.platform))
            .hint("check `--platform` in the Dockerfile's FROM, and use a base image that exists for both"))
    }

    fn arguments(&self) -> Build<'_> {
        let spec = self.spec;
        Build {
            file: Some(&self.located.dockerfile),
            context: Some(&self.located.folder),
            tag: self.tag,
            platform: self.platform,
            target: spec.target.as_ref().map(|it| it.value.as_str()),
            build_args: spec.build_args.iter().map(|(name, it)| (name.as_str(), it.value.as_str())).collect(),
            secrets: values(&spec.build_secrets),
            options: values(&spec.build_options),
            no_cache: false,
            pull: false,
        }
    }

    async fn once(&self, build: &Build<'_>, docker: &Docker, ui: &Ui, signals: &mut Signals) -> Result<()> {
        let arguments = build.arguments(self.builder);
        let shown: Vec<_> = arguments.iter().map(|it| shown(&it.to_string_lossy(), build)).collect();
        ui.note(format!("running docker {}", shown.join(" ")));
        ui.sync().await;
        let cmd = docker.cmd(arguments).envs(build.variables(self.builder));
        let done = tools::to_stderr(cmd, signals).await?;
        uninterrupted(done.signal, "while the image was built")?;
        match done.ended.success() {
            true => Ok(()),
            false => {
                let what = format!("cannot build image `{}`: `docker build`: {}", self.spec.name, done.ended);
                let error = Error::failed(what);
                // docker's own words are above; this is what they do not say.
                Err(if build.pull {
                    error.hint("--rebuild pulls base images anew: they must be in a registry")
                } else {
                    error
                })
            }
        }
    }

    async fn look(&self, docker: &Docker, signals: &mut Signals) -> Result<LocalImage> {
        docker.image(self.tag, signals).await?.ok_or_else(|| {
            Error::failed(format!("docker built image `{}`, but does not have it", self.spec.name))
                .hint("check BUILDX_BUILDER and `build-options`: the image must be loaded into docker")
        })
    }

    /// `--rebuild` is for base images that changed, so they are pulled, unless one of them was built on this machine and is in no
    /// registry: docker would fail to pull that one and has no way to pull only the others.
    async fn can_pull(&self, docker: &Docker, ui: &Ui, signals: &mut Signals) -> Result<bool> {
        // It was read for the fingerprint a moment ago; if it is gone now, docker will say so.
        let dockerfile = fs::read(&self.located.dockerfile).unwrap_or_default();
        let args = self.spec.build_args.iter().map(|(name, it)| (name.as_str(), it.value.as_str())).collect();
        for base in docker::base_images(&String::from_utf8_lossy(&dockerfile), &args) {
            let local = docker.image(&base, signals).await?.is_some_and(|it| it.repo_digests.is_empty());
            if local {
                ui.emit(Event::Warning {
                    message: format!("the base image `{base}` is only on this machine, so base images are not pulled"),
                    hint: Some("push it to a registry, or pull the others yourself".to_owned()),
                });
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn values(list: &[Sourced<String>]) -> Vec<&str> {
    list.iter().map(|it| it.value.as_str()).collect()
}

/// An argument as -v shows it: without the values of build arguments.
fn shown(argument: &str, build: &Build<'_>) -> String {
    match argument.split_once('=') {
        Some((name, value)) if build.build_args.get(name) == Some(&value) => format!("{name}=…"),
        _ => argument.to_owned(),
    }
}
