//! All that is written before the first task starts: locks, images, task definitions. What fails here fails before anything has run.

use crate::cx::Cx;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::model::{Ending, ImageChoice, ImageSpec, Plan, PlannedImage, ResolvedTask, Runner};
use crate::stage::local::{self, Lock, Locked};
use crate::stage::publish::{self, Published};
use crate::stage::register::{self, TaskDefinition};
use crate::tools::signals::Signals;
use crate::verb::logs;
use crate::verb::run::Run;
use crate::verb::run::prepare::{OnEcs, Prepared};

/// All that a task needs to start.
#[derive(Debug)]
pub(super) enum Ready {
    /// A process or a container of this machine.
    Machine {
        /// Of an exclusive task: held until it has ended.
        lock: Option<Lock>,
        /// What docker runs.
        image: Option<Image>,
    },
    /// An ECS task.
    Ecs(OnceReady),
}

/// What docker runs.
#[derive(Debug, Clone)]
pub(super) struct Image {
    /// Its id, or the reference that tasks.toml gives.
    pub reference: String,
    /// How long its build took; `None` where it was there.
    pub build_seconds: Option<f64>,
}

/// What is the same for every ECS task of a task.
#[derive(Debug)]
pub(super) struct OnceReady {
    /// The image.
    pub image: Published,
    /// The revision.
    pub definition: TaskDefinition,
}

/// What came of it.
pub(super) enum Made {
    /// In the order of the tasks.
    Ready(Vec<Ready>),
    /// Another process holds the lock of this one of the tasks.
    Held(usize, Box<Ending>),
}

/// Makes all tasks ready: an image that two of them run is built and pushed once. The images come before the task definitions, so that a build
/// that fails leaves nothing behind.
pub(super) async fn make(tasks: &[(&Run<'_>, &Prepared)], signals: &mut Signals) -> Result<Made> {
    let mut locks = Vec::new();
    for (index, (run, prepared)) in tasks.iter().enumerate() {
        locks.push(match lock(run, prepared).await? {
            Ok(lock) => lock,
            Err(ending) => return Ok(Made::Held(index, Box::new(ending))),
        });
    }
    let (mut built, mut published) = (Local::default(), Pushed::default());
    let mut images = Vec::new();
    for (run, prepared) in tasks {
        images.push(match prepared {
            Prepared::Machine(task) if task.runner.value == Runner::Docker => {
                OneImage::Local(built.image(run, task, signals).await?)
            }
            Prepared::Machine(_) => OneImage::None,
            Prepared::Ecs(there) => OneImage::Pushed(Box::pin(published.image(run, there, signals)).await?),
        });
    }
    let is_pushed = tasks.iter().any(|it| matches!(it.1, Prepared::Ecs(there) if is_built(&there.plan)));
    let mut ready = Vec::new();
    for (((run, prepared), lock), image) in tasks.iter().zip(locks).zip(images) {
        ready.push(match (prepared, image) {
            (Prepared::Ecs(there), OneImage::Pushed(image)) => {
                let definition = register(run, there, &image, is_pushed, signals).await?;
                Ready::Ecs(OnceReady { image, definition })
            }
            (_, OneImage::Local(image)) => Ready::Machine { lock, image: Some(image) },
            _ => Ready::Machine { lock, image: None },
        });
    }
    Ok(Made::Ready(ready))
}

enum OneImage {
    None,
    Local(Image),
    Pushed(Published),
}

/// The lock of an exclusive task on this machine; the ending is that of a run which has to do without.
async fn lock(run: &Run<'_>, prepared: &Prepared) -> Result<Result<Option<Lock>, Ending>> {
    let Prepared::Machine(task) = prepared else { return Ok(Ok(None)) };
    if !task.exclusive {
        return Ok(Ok(None));
    }
    Ok(match local::lock(&run.cx, task, &run.run_id, &logs::now().to_string()).await? {
        Locked::Ours(lock) => Ok(Some(lock)),
        Locked::Held(holder) => Err(run.timed(run.held_here(task, &holder))),
    })
}

/// The images that this machine's docker has by now.
#[derive(Default)]
struct Local(Vec<(ImageSpec, Option<String>, bool, Image)>);

impl Local {
    async fn image(&mut self, run: &Run<'_>, task: &ResolvedTask, signals: &mut Signals) -> Result<Image> {
        let Cx { root, sh, ui, .. } = &run.cx;
        let spec = match task.image.as_ref().map(|it| &it.value) {
            Some(ImageChoice::Build(spec)) => spec,
            Some(ImageChoice::Reference(reference)) => {
                return Ok(Image { reference: reference.clone(), build_seconds: None });
            }
            Some(ImageChoice::Deployed) | None => {
                return Err(Error::refused(format!("`{}` has no image to run on docker", task.task)));
            }
        };
        let platform = task.settings.platform.as_ref().map(|it| it.value.clone());
        let same =
            |it: &&(ImageSpec, Option<String>, bool, Image)| it.0 == *spec && it.1 == platform && it.2 == task.rebuild;
        if let Some((.., image)) = self.0.iter().find(same) {
            return Ok(Image { build_seconds: None, ..image.clone() });
        }
        let image = publish::build_local(root, sh, ui, spec, platform.as_deref(), task.rebuild, signals).await?;
        let image = Image { reference: image.id, build_seconds: image.build_seconds };
        self.0.push((spec.clone(), platform, task.rebuild, image.clone()));
        Ok(image)
    }
}

/// The images that are in their registries by now.
#[derive(Default)]
struct Pushed(Vec<(PlannedImage, Published)>);

impl Pushed {
    async fn image(&mut self, run: &Run<'_>, there: &OnEcs, signals: &mut Signals) -> Result<Published> {
        let OnEcs { task, aws, plan, .. } = there;
        let Cx { root, sh, ui, .. } = &run.cx;
        if let Some((_, published)) = self.0.iter().find(|it| it.0 == plan.image && is_built(plan)) {
            ui.emit(Event::Pushed { image: published.reference.clone(), reused: true });
            return Ok(Published { reused: true, build_seconds: None, push_seconds: None, ..published.clone() });
        }
        let published = publish::publish(root, sh, ui, aws, task, &plan.image, signals).await?;
        self.0.push((plan.image.clone(), published.clone()));
        Ok(published)
    }
}

/// Registers the task definition. `is_pushed`: an image was, for this task or another.
async fn register(
    run: &Run<'_>,
    there: &OnEcs,
    image: &Published,
    is_pushed: bool,
    signals: &mut Signals,
) -> Result<TaskDefinition> {
    let done = match is_pushed {
        true => "the image is pushed, no ECS task was started",
        false => "no ECS task was started",
    };
    tokio::select! {
        definition = register::register(&there.aws, &run.cx.ui, &there.plan, &image.reference) => {
            definition.map_err(|it| it.done(done))
        }
        signal = signals.next() => {
            Err(Error::interrupted(signal, "the task definition may be registered").done(done))
        }
    }
}

fn is_built(plan: &Plan) -> bool {
    matches!(plan.image, PlannedImage::Build { .. })
}
