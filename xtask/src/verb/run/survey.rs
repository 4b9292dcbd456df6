//! What is read before anything is decided: of AWS, of the build contexts, of git. All tasks of a run side by side, and what they have in common
//! once.

use std::cell::OnceCell;
use std::path::Path;

use crate::aws::Aws;
use crate::cx::Cx;
use crate::error::{Error, Result};
use crate::model::{ImageChoice, ImageSpec, ResolvedTask, Runner};
use crate::stage::find::side_by_side;
use crate::stage::publish::{self, ImageInputs};
use crate::stage::survey::{self, Surveyed};
use crate::tools::git;
use crate::tools::signals::Signals;
use crate::verb::conclude::or_signal;
use crate::verb::reach::{self, variable};
use crate::verb::run::Turn;

/// What AWS holds, for each task; `None` where it runs on this machine. In the order of the rounds of `survey`, all tasks side by side.
pub(super) async fn survey_all(turns: &[Turn<'_>], signals: &mut Signals) -> Result<Vec<Option<(Aws, Surveyed)>>> {
    let is_on_ecs = |it: &&Turn<'_>| it.task.runner.value == Runner::Ecs;
    // Profile, region and endpoint are the environment's, so all tasks go the same way to AWS.
    let Some(Turn { run, task }) = turns.iter().find(is_on_ecs) else {
        return Ok(turns.iter().map(|_| None).collect());
    };
    let guard = reach::guard_endpoint(&task.environment, &task.settings)?;
    let mut inputs = Inputs::default();
    let on_ecs: Vec<&Turn<'_>> = turns.iter().filter(is_on_ecs).collect();
    let (connected, shared) = (OnceCell::new(), OnceCell::new());
    let rounds = async {
        let commit = async { git::commit(&run.cx.sh, &run.cx.root).await };
        let firsts = async {
            let aws = match &run.aws {
                Some(aws) => aws.clone(),
                None => reach::connect(&task.settings, &run.cx.ui).await?,
            };
            let aws = connected.get_or_init(|| aws);
            let reads = shared.get_or_init(|| survey::Reads::new(aws));
            let firsts = side_by_side(on_ecs.iter().map(|it| survey::first(reads, &it.task)).collect()).await;
            Ok::<_, Error>((aws, reads, firsts.into_iter().collect::<Result<Vec<_>>>()?))
        };
        // In this order they begin: the first two go on by themselves while the third keeps this thread busy.
        let (read, commit, firsts) = tokio::join!(inputs.read(&run.cx.root, &on_ecs), commit, Box::pin(firsts));
        Ok::<_, Error>((firsts?, read, commit))
    };
    let ((aws, reads, firsts), read, commit) = or_signal(Box::pin(rounds), signals).await?;
    read?;
    if !run.flags.dry_run {
        inputs.prepare(&on_ecs, signals).await?;
    }
    let seconds = on_ecs.iter().zip(firsts).map(|(it, first)| {
        let inputs = inputs.of(&it.task);
        let mut warnings: Vec<String> = guard.iter().cloned().collect();
        warnings.extend(inputs.iter().flat_map(|it| it.warnings.clone()));
        let (run_id, commit) = (it.run.run_id.clone(), commit.clone());
        let around = survey::Around { inputs, commit, run_id, ci_job: ci_job(variable), warnings };
        survey::second(reads, &it.task, first, around)
    });
    let seconds = side_by_side(seconds.collect());
    let seconds = or_signal(Box::pin(async { Ok(seconds.await) }), signals).await?;
    let mut seconds = seconds.into_iter();
    let mut surveys = Vec::new();
    for turn in turns {
        let surveyed = match is_on_ecs(&turn) {
            true => seconds.next().transpose()?.map(|it| (aws.clone(), it)),
            false => None,
        };
        surveys.push(surveyed);
    }
    Ok(surveys)
}

/// The inputs of the images that are built, each read once, however many tasks run it.
#[derive(Default)]
struct Inputs(Vec<(ImageSpec, Vec<String>, ImageInputs)>);

impl Inputs {
    /// What a task builds, and for which platforms it may be.
    fn wanted(task: &ResolvedTask) -> Option<(&ImageSpec, Vec<&str>)> {
        let Some(ImageChoice::Build(spec)) = task.image.as_ref().map(|it| &it.value) else { return None };
        let platform = task.settings.platform.as_ref().map(|it| vec![it.value.as_str()]);
        Some((spec, platform.unwrap_or(publish::PLATFORMS.to_vec())))
    }

    fn of(&self, task: &ResolvedTask) -> Option<ImageInputs> {
        let (spec, platforms) = Inputs::wanted(task)?;
        self.0.iter().find(|it| it.0 == *spec && it.1 == platforms).map(|it| it.2.clone())
    }

    /// Those that are not read yet.
    fn unread<'b>(&self, turns: &[&'b Turn<'_>]) -> Vec<(&'b ImageSpec, Vec<&'b str>)> {
        let mut unread: Vec<(&ImageSpec, Vec<&str>)> = Vec::new();
        for turn in turns {
            if let Some(wanted) = Inputs::wanted(&turn.task)
                && self.of(&turn.task).is_none()
                && !unread.contains(&wanted)
            {
                unread.push(wanted);
            }
        }
        unread
    }

    fn keep(&mut self, spec: &ImageSpec, platforms: &[&str], inputs: ImageInputs) {
        self.0.push((spec.clone(), platforms.iter().map(|it| (*it).to_owned()).collect(), inputs));
    }

    /// Those of images without `prepare`. Drop the future to give up.
    async fn read(&mut self, root: &Path, turns: &[&Turn<'_>]) -> Result<()> {
        for (spec, platforms) in self.unread(turns).into_iter().filter(|it| it.0.prepare.is_none()) {
            let inputs = publish::fingerprint(root, spec, &platforms).await?;
            self.keep(spec, &platforms, inputs);
        }
        Ok(())
    }

    /// The others. The same `prepare` runs once.
    async fn prepare(&mut self, turns: &[&Turn<'_>], signals: &mut Signals) -> Result<()> {
        let Some(Turn { run, .. }) = turns.first() else { return Ok(()) };
        let Cx { root, sh, ui, .. } = &run.cx;
        let mut prepared: Vec<&[String]> = Vec::new();
        for (spec, platforms) in self.unread(turns) {
            let prepare = spec.prepare.as_ref().map(|it| it.value.as_slice()).unwrap_or_default();
            let inputs = match prepared.contains(&prepare) {
                true => or_signal(publish::fingerprint(root, spec, &platforms), signals).await?,
                false => publish::prepare_and_fingerprint(root, sh, ui, spec, &platforms, signals).await?,
            };
            prepared.push(prepare);
            self.keep(spec, &platforms, inputs);
        }
        Ok(())
    }
}

/// The page of the CI job that runs this, by the variables of the CI systems that have one.
fn ci_job(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let github = || {
        let (server, repository) = (variable("GITHUB_SERVER_URL")?, variable("GITHUB_REPOSITORY")?);
        Some(format!("{server}/{repository}/actions/runs/{}", variable("GITHUB_RUN_ID")?))
    };
    github()
        .or_else(|| variable("CI_JOB_URL"))
        .or_else(|| variable("CIRCLE_BUILD_URL"))
        .or_else(|| variable("BUILD_URL"))
        .filter(|it| !it.is_empty())
}
