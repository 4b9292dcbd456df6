//! The image: prepared, fingerprinted, looked up by its content tag, and where the registry lacks it built and pushed. What comes out is
//! always a reference by digest.

mod build;
mod destination;
mod push;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use xshell::Shell;

use crate::aws::Aws;
use crate::aws::ecr::TagFact;
use crate::context;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::event::{BuildStep, Event};
use crate::fingerprint;
use crate::model::{ImageChoice, ImageFact, ImageSpec, PlannedImage, ResolvedTask, Sourced};
use crate::tools::docker::{self, Docker, uninterrupted};
use crate::tools::{self, Signals};
use crate::ui::Ui;

pub use destination::Destination;

/// The platforms that an ECS task can have, as docker names them.
pub const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

const READING: &str = "while the build context was read";

/// What is known of an image's build before anything is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInputs {
    /// The content tag by platform.
    pub tags: BTreeMap<String, String>,
    /// Things in the context that make the tags change without need.
    pub warnings: Vec<String>,
}

/// The image to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// By digest where it was built here.
    pub reference: String,
    /// Nothing was pushed now: it was there.
    pub reused: bool,
    /// How long `docker build` took, in seconds.
    pub build_seconds: Option<f64>,
    /// How long `docker push` took, in seconds.
    pub push_seconds: Option<f64>,
}

/// An image of this machine's docker.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltImage {
    /// `sha256:…`, what to run: a tag could move.
    pub id: String,
    /// The name that it has on this machine.
    pub tag: String,
    /// How long `docker build` took, in seconds; `None` if it was there.
    pub build_seconds: Option<f64>,
}

/// Runs `prepare`, where the image has one. Always before the context is read: what it makes is part of it.
pub async fn prepare(root: &Path, sh: &Shell, ui: &Ui, spec: &ImageSpec, signals: &mut Signals) -> Result<()> {
    let Some(prepare) = &spec.prepare else { return Ok(()) };
    let Some((program, arguments)) = prepare.value.split_first() else { return Ok(()) };
    let name = &spec.name;
    ui.emit(Event::Building { image: name.clone(), step: BuildStep::Prepare });
    ui.note(format!("running {}", prepare.value.join(" ")));
    ui.sync().await;
    let sh = sh.clone();
    sh.change_dir(root);
    let at = |error: Error| error.at(prepare.span());
    let done = tools::to_stderr(sh.cmd(program).args(arguments), signals).await.map_err(at)?;
    uninterrupted(done.signal, "while `prepare` ran")?;
    match done.ended.success() {
        true => Ok(()),
        false => {
            let what = format!("cannot prepare image `{name}`: `{}`: {}", prepare.value.join(" "), done.ended);
            Err(Problem::new(what).at(prepare.span()).failed())
        }
    }
}

/// The content tags of an image for these platforms; the context is read once. Drop the future to give up.
pub async fn fingerprint(root: &Path, spec: &ImageSpec, platforms: &[&str]) -> Result<ImageInputs> {
    check_options(spec)?;
    let cancelled = CancelOnDrop(Arc::default());
    let (root, image, flag) = (root.to_path_buf(), spec.clone(), Arc::clone(&cancelled.0));
    // On a thread of its own, so that calls to AWS go on meanwhile.
    let contents =
        tokio::task::spawn_blocking(move || context::read(&root, &image, context::cache::store().as_deref(), &flag))
            .await;
    let contents = contents.map_err(|it| Error::failed(format!("cannot read the build context: {it}")))??;
    let tag = |platform: &&str| ((*platform).to_owned(), fingerprint::tag(&contents.inputs, platform));
    Ok(ImageInputs { tags: platforms.iter().map(tag).collect(), warnings: contents.warnings })
}

/// [`prepare`], then [`fingerprint`]. A dry run does only the second, and only for an image without `prepare`: with it, the context is
/// not yet what it will be, and a fingerprint of it would be of no build at all.
pub async fn prepare_and_fingerprint(
    root: &Path,
    sh: &Shell,
    ui: &Ui,
    spec: &ImageSpec,
    platforms: &[&str],
    signals: &mut Signals,
) -> Result<ImageInputs> {
    // What is wrong in tasks.toml is told before minutes of preparing.
    check_options(spec)?;
    prepare(root, sh, ui, spec, signals).await.map_err(nothing_done)?;
    or_signal(fingerprint(root, spec, platforms), signals, READING).await.map_err(nothing_done)
}

/// What the registry knows of the image. `inputs`: `None` in a dry run of an image with `prepare`. `aws`: [`Destination::aws`].
///
/// Fails where the repository is missing and would not be created: nobody should wait for a build to learn that.
pub async fn image_fact(
    aws: &Aws,
    destination: &Destination,
    spec: &ImageSpec,
    inputs: Option<&ImageInputs>,
) -> Result<ImageFact> {
    let Destination { registry, repository, registry_id, .. } = destination;
    let Some(inputs) = inputs else {
        return Ok(ImageFact::Unprepared { registry: registry.clone(), repository: repository.clone() });
    };
    // One call for several tags answers nothing at all when one of them is missing.
    let look_up = |tag: Option<&String>| {
        let tag = tag.cloned();
        async move {
            match tag {
                Some(tag) => Some(aws.image_digest(registry_id.as_deref(), repository, &tag).await),
                None => None,
            }
        }
    };
    let [first, second] = PLATFORMS;
    let answers = tokio::join!(look_up(inputs.tags.get(first)), look_up(inputs.tags.get(second)));
    let mut digests = BTreeMap::new();
    let mut repository_exists = true;
    for (platform, answer) in [(first, answers.0), (second, answers.1)] {
        match answer {
            Some(Ok(TagFact::Digest(digest))) => {
                digests.insert(platform.to_owned(), digest);
            }
            Some(Ok(TagFact::NoRepository)) => repository_exists = false,
            Some(Ok(TagFact::NoTag)) | None => {}
            Some(Err(error)) => {
                let tried = format!("look image `{}` up in {registry}/{repository}", spec.name);
                return Err(error.problem(&tried, destination.span).failed());
            }
        }
    }
    if !repository_exists && !spec.create_repository {
        return Err(destination.no_repository().refused());
    }
    let (registry, repository, tags) = (registry.clone(), repository.clone(), inputs.tags.clone());
    Ok(ImageFact::Content { registry, repository, tags, digests, repository_exists })
}

/// Carries out what the plan says of the image. Where the registry has it already, no process is started and no call made.
pub async fn publish(
    root: &Path,
    sh: &Shell,
    ui: &Ui,
    aws: &Aws,
    task: &ResolvedTask,
    image: &PlannedImage,
    signals: &mut Signals,
) -> Result<Published> {
    let spec = match task.image.as_ref().map(|it| &it.value) {
        Some(ImageChoice::Build(spec)) => Some(spec),
        _ => None,
    };
    match (image, spec) {
        (PlannedImage::Use { reference }, _) => {
            if spec.is_some() {
                ui.emit(Event::Pushed { image: reference.clone(), reused: true });
            }
            Ok(Published { reference: reference.clone(), reused: true, build_seconds: None, push_seconds: None })
        }
        (PlannedImage::Build { registry, repository, tag, platform, create }, Some(spec)) => {
            let destination = Destination::at(spec, registry, repository);
            let job = Job { root, sh, ui, spec, destination, tag, platform, create: *create, rebuild: task.rebuild };
            job.run(aws, signals).await
        }
        (PlannedImage::Build { .. } | PlannedImage::Unprepared { .. }, _) => {
            Err(Error::failed("the plan has no image that could be built"))
        }
    }
}

/// One image to build and push.
struct Job<'a> {
    root: &'a Path,
    sh: &'a Shell,
    ui: &'a Ui,
    spec: &'a ImageSpec,
    destination: Destination,
    tag: &'a str,
    platform: &'a str,
    create: bool,
    rebuild: bool,
}

impl Job<'_> {
    async fn run(self, aws: &Aws, signals: &mut Signals) -> Result<Published> {
        let mut created = false;
        let mut pushed = false;
        self.steps(aws, signals, &mut created, &mut pushed).await.map_err(|error| {
            if error.kind == ErrorKind::Refused || error.done.is_some() {
                return error;
            }
            let repository = match created {
                true => format!("the repository `{}` was created, ", self.destination.repository),
                false => String::new(),
            };
            let image = if pushed { "the image is pushed" } else { "nothing was pushed" };
            error.done(format!("{repository}{image}, no ECS task was started"))
        })
    }

    async fn steps(
        &self,
        aws: &Aws,
        signals: &mut Signals,
        created: &mut bool,
        pushed: &mut bool,
    ) -> Result<Published> {
        let Job { root, sh, ui, spec, ref destination, platform, .. } = *self;
        let Destination { registry, repository, registry_id, .. } = destination;
        destination.check(aws)?;
        check_options(spec)?;
        let docker = Docker::with_private_config(sh, root, registry)?;
        let engine = docker.engine(signals).await?;
        let mut build = build::Job::new(root, spec, &engine)?;
        let aws = &destination.aws(aws);
        if self.create {
            // Before the build: whoever may not create it should not wait for that first.
            let call = async {
                let tried = format!("create the repository `{repository}` in {registry}");
                let answer = aws.create_repository(registry_id.as_deref(), repository).await;
                answer.map_err(|it| it.problem(&tried, destination.span).failed())
            };
            or_signal(call, signals, "while the repository was created").await?;
            *created = true;
        }
        // Before the build as well: its base images may be in the same registry.
        push::login(&docker, aws, destination, signals).await?;

        let reference = format!("{registry}/{repository}:{}", self.tag);
        build.tag = &reference;
        build.platform = Some(platform);
        build.rebuild = self.rebuild;
        let started = Instant::now();
        build.run(&docker, ui, signals).await?;
        let build_seconds = Some(started.elapsed().as_secs_f64());

        ui.emit(Event::Building { image: spec.name.clone(), step: BuildStep::Push });
        ui.sync().await;
        let started = Instant::now();
        let end = push::push(&docker, aws, ui, destination, self.tag, signals).await?;
        let push_seconds = Some(started.elapsed().as_secs_f64());
        let (digest, reused) = match end {
            push::End::TagTaken(digest) => (digest, true),
            push::End::Pushed => {
                *pushed = true;
                (push::digest(&docker, aws, destination, self.tag, signals).await?, false)
            }
        };
        let reference = format!("{registry}/{repository}@{digest}");
        ui.emit(Event::Pushed { image: reference.clone(), reused });
        Ok(Published { reference, reused, build_seconds, push_seconds })
    }
}

/// The image for this machine's docker: prepared, fingerprinted, and built unless docker has it. Nothing is pushed.
///
/// `platform`: the task's; docker's own if it names none.
pub async fn build_local(
    root: &Path,
    sh: &Shell,
    ui: &Ui,
    spec: &ImageSpec,
    platform: Option<&str>,
    rebuild: bool,
    signals: &mut Signals,
) -> Result<BuiltImage> {
    check_options(spec)?;
    let docker = Docker::new(sh, root);
    // Before `prepare`, which may take minutes that are lost without docker.
    let engine = docker.engine(signals).await?;
    let hashed_for = platform.or(engine.platform.as_deref()).unwrap_or(PLATFORMS[0]);
    prepare(root, sh, ui, spec, signals).await?;
    let inputs = or_signal(fingerprint(root, spec, &[hashed_for]), signals, READING).await?;
    for message in inputs.warnings {
        ui.emit(Event::Warning { message, hint: None });
    }
    let tag = inputs.tags.get(hashed_for).map(String::as_str).unwrap_or_default();
    let tag = format!("{}:{tag}", docker::local_repository(&spec.name));
    if !rebuild && let Some(image) = docker.image(&tag, signals).await? {
        return Ok(BuiltImage { id: image.id, tag, build_seconds: None });
    }
    let mut build = build::Job::new(root, spec, &engine)?;
    build.tag = &tag;
    build.platform = platform;
    build.rebuild = rebuild;
    let started = Instant::now();
    let image = build.run(&docker, ui, signals).await?;
    let build_seconds = Some(started.elapsed().as_secs_f64());
    Ok(BuiltImage { id: image.id, tag, build_seconds })
}

/// `build-options` that would fight with what tasks.toml says elsewhere.
fn check_options(spec: &ImageSpec) -> Result<()> {
    let misplaced = |it: &Sourced<String>| docker::misplaced_option(&it.value).map(|problem| problem.at(it.span()));
    let problems: Vec<Problem> = spec.build_options.iter().filter_map(misplaced).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::all_refused(problems)) }
}

/// Waits for a future or a signal, whichever comes first.
async fn or_signal<T>(future: impl Future<Output = Result<T>>, signals: &mut Signals, when: &str) -> Result<T> {
    tokio::select! {
        answer = future => answer,
        signal = signals.next() => Err(docker::interrupted(signal, when)),
    }
}

fn nothing_done(error: Error) -> Error {
    match error.kind {
        ErrorKind::Refused => error,
        _ if error.done.is_some() => error,
        _ => error.done("nothing was pushed, no ECS task was started"),
    }
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
