//! What a task's run will be, before anything is written: what tasks.toml and the flags say, what AWS was found to hold, the plan.

use crate::aws::Aws;
use crate::cx::Cx;
use crate::error::{Error, Problem, Result};
use crate::event::Event;
use crate::model::{Config, EcsTask, Facts, ImageChoice, Plan, PlanLine, ResolvedTask, Runner, Sourced};
use crate::plan;
use crate::resolve;
use crate::stage::exclusive::{self, Look};
use crate::stage::survey::{self, Surveyed};
use crate::stage::{local, publish};
use crate::tools::git;
use crate::tools::signals::Signals;
use crate::verb::conclude::or_signal;
use crate::verb::reach::{self, variable};
use crate::verb::run::Run;

/// A task of which everything is decided and nothing written.
#[derive(Debug)]
pub(super) enum Prepared {
    /// A process of this machine, or of its docker: the plan is the task itself.
    Machine(Box<ResolvedTask>),
    /// An ECS task.
    Ecs(Box<OnEcs>),
}

/// What was read for a run on ECS, and decided from it.
#[derive(Debug)]
pub(super) struct OnEcs {
    /// What tasks.toml and the flags say.
    pub task: ResolvedTask,
    /// The clients.
    pub aws: Aws,
    /// What was read.
    pub facts: Facts,
    /// What will be written.
    pub plan: Plan,
    /// The ECS tasks of the family that were not STOPPED.
    pub alive: Vec<EcsTask>,
    /// Where at most one may run at a time: who was seen in the place.
    pub look: Option<Look>,
}

impl Prepared {
    /// What tasks.toml and the flags say.
    pub fn task(&self) -> &ResolvedTask {
        match self {
            Prepared::Machine(task) => task,
            Prepared::Ecs(there) => &there.task,
        }
    }

    /// Refuses what cannot run on this machine. Not a part of preparing: a dry run shows the plan all the same.
    pub fn check(&self) -> Result<()> {
        match self {
            Prepared::Machine(task) => local::check(task),
            Prepared::Ecs(_) => Ok(()),
        }
    }

    /// What a person is shown who is asked.
    pub fn lines(&self) -> &[PlanLine] {
        match self {
            Prepared::Machine(_) => &[],
            Prepared::Ecs(there) => &there.plan.lines,
        }
    }
}

impl OnEcs {
    /// As tasks.toml has it.
    pub fn cluster(&self) -> &str {
        self.plan.run_task.get("cluster").and_then(|it| it.as_str()).unwrap_or_default()
    }
}

impl Run<'_> {
    /// What tasks.toml and the flags say, which is told.
    pub(super) fn resolve(&self, config: &Config) -> Result<ResolvedTask> {
        let ui = &self.cx.ui;
        let task = resolve::resolve(config, &self.flags.selection(self.everywhere, variable))?;
        self.refuse_useless_flags(&task)?;
        ui.mask(secrets(&task));
        ui.emit(Event::Resolved {
            environment: task.environment.value.clone(),
            runner: task.runner.value,
            run_id: self.run_id.clone(),
            command: words(&task),
        });
        for warning in &task.warnings {
            self.warn(warning);
        }
        Ok(task)
    }

    /// A flag that means nothing on this runner would be believed otherwise.
    fn refuse_useless_flags(&self, task: &ResolvedTask) -> Result<()> {
        if self.flags.detach && task.runner.value != Runner::Ecs {
            let message = format!("--detach works on ECS only, and `{}` runs on this machine", task.environment.value);
            return Err(Problem::new(message).at(task.environment.span()).refused());
        }
        if self.flags.start_another && (task.exclusive || task.once) {
            let message = format!("--start-another: at most one ECS task of `{}` may run at a time", task.task);
            let span = task.settings.exclusive.as_ref().and_then(Sourced::span);
            return Err(Problem::new(message).at(span).hint("leave it out").refused());
        }
        if self.flags.detach && task.interactive {
            let span = task.settings.interactive.as_ref().and_then(Sourced::span);
            return Err(Problem::new(format!("--detach leaves nobody at the terminal of `{}`", task.task))
                .at(span)
                .hint("leave --detach out, or run a task that is not interactive")
                .refused());
        }
        if self.flags.detach
            && let Some(shards) = task.shards.as_ref().filter(|it| (it.parallel as usize) < it.chosen.len())
        {
            let message = format!("--detach leaves nobody to start more than the first {} shards", shards.parallel);
            let span = task.settings.parallel.as_ref().and_then(Sourced::span);
            return Err(Problem::new(message)
                .at(span)
                .hint("leave --detach out, or choose no more than that: --shard")
                .refused());
        }
        if self.flags.plugin && !(task.interactive && task.runner.value == Runner::Ecs) {
            let message = format!("--plugin is for interactive tasks on ECS, and `{}` is none here", task.task);
            return Err(Problem::new(message).at(task.task_span).hint("leave it out").refused());
        }
        Ok(())
    }

    /// Reads whatever the plan depends on, decides, and tells the plan.
    pub(super) async fn prepare(&self, task: ResolvedTask, signals: &mut Signals) -> Result<Prepared> {
        if task.runner.value != Runner::Ecs {
            self.cx.ui.emit(Event::Planned {
                dry_run: self.flags.dry_run,
                lines: local::plan_lines(&task),
                register_task_definition: None,
                run_task: None,
            });
            return Ok(Prepared::Machine(Box::new(task)));
        }
        let guard = reach::guard_endpoint(&task.environment, &task.settings)?;
        let guard = guard.into_iter().collect();
        let (aws, plan, surveyed) = Box::pin(self.survey_and_plan(&task, guard, signals)).await?;
        self.cx.ui.emit(Event::Planned {
            dry_run: self.flags.dry_run,
            lines: plan.lines.clone(),
            register_task_definition: Some(plan::shown(&plan.definition)),
            run_task: Some(plan::shown(&plan.run_task)),
        });
        for warning in &plan.warnings {
            self.warn(warning);
        }
        let Surveyed { facts, alive, listing } = surveyed;
        let look = match listing {
            Some(listing) => {
                let look = async {
                    let look = exclusive::describe(&aws, &facts.cluster, listing).await;
                    look.map_err(|it| it.problem("look who holds the place", None).failed())
                };
                Some(or_signal(look, signals).await?)
            }
            None => None,
        };
        Ok(Prepared::Ecs(Box::new(OnEcs { task, aws, facts, plan, alive, look })))
    }

    /// The reads, and the decisions. A signal ends it at once: nothing is written yet.
    async fn survey_and_plan(
        &self,
        task: &ResolvedTask,
        mut warnings: Vec<String>,
        signals: &mut Signals,
    ) -> Result<(Aws, Plan, Surveyed)> {
        let cx = &self.cx;
        let spec = match task.image.as_ref().map(|it| &it.value) {
            Some(ImageChoice::Build(spec)) => Some(spec),
            _ => None,
        };
        let platform = task.settings.platform.as_ref().map(|it| [it.value.as_str()]);
        let platforms: &[&str] = platform.as_ref().map_or(&publish::PLATFORMS, |it| it);
        let prepares = spec.is_some_and(|it| it.prepare.is_some());
        let fingerprint = async {
            match spec {
                Some(spec) if !prepares => publish::fingerprint(&cx.root, spec, platforms).await.map(Some),
                _ => Ok(None),
            }
        };
        let reads = async {
            let commit = async { git::commit(&cx.sh, &cx.root).await };
            let first = async {
                let aws = match &self.aws {
                    Some(aws) => aws.clone(),
                    None => reach::connect(&task.settings, &cx.ui).await?,
                };
                let first = Box::pin(survey::first(&aws, task)).await?;
                Ok::<_, Error>((aws, first))
            };
            // In this order they begin: the first two go on by themselves while the third keeps this thread busy.
            let (inputs, commit, first) = tokio::join!(fingerprint, commit, first);
            Ok::<_, Error>((first?, inputs?, commit))
        };
        let ((aws, first), mut inputs, commit) = or_signal(Box::pin(reads), signals).await?;
        if let Some(spec) = spec
            && prepares
            && !self.flags.dry_run
        {
            let Cx { root, sh, ui, .. } = cx;
            inputs = Some(publish::prepare_and_fingerprint(root, sh, ui, spec, platforms, signals).await?);
        }
        warnings.extend(inputs.iter().flat_map(|it| it.warnings.clone()));
        let around = survey::Around { inputs, commit, run_id: self.run_id.clone(), ci_job: ci_job(variable), warnings };
        let surveyed = or_signal(Box::pin(survey::second(&aws, task, first, around)), signals).await?;
        let plan = plan::plan(task, &surveyed.facts)?;
        Ok((aws, plan, surveyed))
    }
}

/// The process's arguments as far as tasks.toml and the command line give them.
fn words(task: &ResolvedTask) -> Vec<String> {
    let entrypoint = task.entrypoint.iter().flat_map(|it| &it.value);
    entrypoint.chain(task.command.iter().flat_map(|it| &it.value)).map(|it| plan::without_url_password(it)).collect()
}

/// What a log must not show: variables that look secret, and on this machine the secrets themselves.
fn secrets(task: &ResolvedTask) -> Vec<String> {
    let mut secrets = plan::secrets(&task.variables);
    if task.runner.value != Runner::Ecs {
        let values = task.secrets.keys().filter_map(|it| variable(it));
        secrets.extend(values.flat_map(|it| it.lines().map(|it| it.trim().to_owned()).collect::<Vec<_>>()));
        secrets.retain(|it| it.chars().count() >= 4);
    }
    secrets
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
