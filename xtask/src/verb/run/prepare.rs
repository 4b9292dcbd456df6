//! What a run will be, before anything is written: what tasks.toml and the flags say of each of its tasks, what AWS was found to hold, the
//! plans.

use crate::aws::Aws;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::event::Event;
use crate::model::{Config, EcsTask, Facts, Plan, PlanLine, ResolvedTask, Runner, Sourced};
use crate::plan;
use crate::resolve::{self, Sequence};
use crate::stage::exclusive::{self, Listing, Look};
use crate::stage::find::side_by_side;
use crate::stage::local;
use crate::stage::survey::Surveyed;
use crate::tools::signals::Signals;
use crate::verb::conclude::or_signal;
use crate::verb::reach::variable;
use crate::verb::run::survey::survey_all;
use crate::verb::run::{Run, Turn, Whole};

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

/// What tasks.toml and the flags say of every task of the run, which is told. Also the names of those that are left out.
pub(super) fn resolve<'a>(whole: &Whole<'a>, config: &Config) -> Result<(Vec<Turn<'a>>, Vec<String>)> {
    let flags = whole.flags;
    let selection = flags.selection(whole.everywhere, variable);
    let of_need = |name: &str| flags.of_need(name).selection(whole.everywhere, variable);
    let Sequence { tasks, skipped } = resolve::sequence(config, &selection, &flags.skip, &of_need)?;
    let turns: Vec<Turn<'a>> = tasks.into_iter().map(|it| Turn { run: whole.of(&it.task), task: it }).collect();
    for turn in &turns {
        turn.run.refuse_useless_flags(&turn.task)?;
    }
    for Turn { run, task } in &turns {
        run.cx.ui.mask(secrets(task));
        run.cx.ui.emit(Event::Resolved {
            environment: task.environment.value.clone(),
            runner: task.runner.value,
            run_id: run.run_id.clone(),
            command: words(task),
        });
        for warning in &task.warnings {
            run.warn(warning);
        }
    }
    Ok((turns, skipped))
}

/// Reads whatever the plans depend on, side by side for all tasks; decides; and tells the plans, once all of them are there. A signal ends it at
/// once: nothing is written yet.
pub(super) async fn prepare<'a>(
    turns: Vec<Turn<'a>>,
    skipped: &[String],
    signals: &mut Signals,
) -> Result<Vec<(Run<'a>, Prepared)>> {
    let surveys = Box::pin(survey_all(&turns, signals)).await?;
    let (mut planned, mut problems) = (Vec::new(), Vec::new());
    for (Turn { run, task }, survey) in turns.into_iter().zip(surveys) {
        let Some((aws, surveyed)) = survey else {
            planned.push((run, Prepared::Machine(Box::new(task)), None));
            continue;
        };
        match plan::plan(&task, &surveyed.facts) {
            Ok(plan) => {
                let Surveyed { facts, alive, listing } = surveyed;
                let there = OnEcs { task, aws, facts, plan, alive, look: None };
                planned.push((run, Prepared::Ecs(Box::new(there)), listing));
            }
            Err(error) if error.kind == ErrorKind::Refused => problems.extend(error.problems),
            Err(error) => return Err(error),
        }
    }
    if !problems.is_empty() {
        let mut told: Vec<Problem> = Vec::new();
        for problem in problems {
            if !told.contains(&problem) {
                told.push(problem);
            }
        }
        return Err(Error::all_refused(told));
    }
    let names: Vec<String> = planned.iter().map(|it| it.1.task().task.clone()).collect();
    tell_plans(&planned, &names, skipped);
    let looks = planned.iter().map(|it| look(&it.1, it.2.as_ref())).collect();
    let looks = or_signal(async { Ok(side_by_side(looks).await) }, signals).await?;
    let mut prepared = Vec::new();
    for ((run, mut it, _), look) in planned.into_iter().zip(looks) {
        if let Prepared::Ecs(there) = &mut it {
            there.look = look?;
        }
        prepared.push((run, it));
    }
    Ok(prepared)
}

/// Tells the plan of each, and what is worth a warning once, however many plans say it.
fn tell_plans(planned: &[(Run<'_>, Prepared, Option<Listing>)], names: &[String], skipped: &[String]) {
    let last = planned.len() - 1;
    for (index, (run, prepared, _)) in planned.iter().enumerate() {
        let mut lines = match prepared {
            Prepared::Machine(task) => local::plan_lines(task),
            Prepared::Ecs(there) => there.plan.lines.clone(),
        };
        let (mut needs, mut left_out) = (Vec::new(), Vec::new());
        if index == last {
            (needs, left_out) = (names[..last].to_vec(), skipped.to_vec());
            let origin = prepared.task().settings.needs.as_ref().map(|it| it.origin.to_string()).unwrap_or_default();
            let line = |key: &str, names: &[String], origin: &str| PlanLine {
                key: key.to_owned(),
                value: names.join(", "),
                origin: origin.to_owned(),
            };
            let first = [("needs", &needs, origin.as_str()), ("skipped", &left_out, "--skip")];
            let first = first.into_iter().filter(|it| !it.1.is_empty());
            lines.splice(0..0, first.map(|(key, names, origin)| line(key, names, origin)));
        }
        let plan = match prepared {
            Prepared::Machine(_) => None,
            Prepared::Ecs(there) => Some(&there.plan),
        };
        run.cx.ui.emit(Event::Planned {
            dry_run: run.flags.dry_run,
            more: index < last,
            needs,
            skipped: left_out,
            lines,
            register_task_definition: plan.map(|it| plan::shown(&plan::definition_to_be(it))),
            run_task: plan.map(|it| plan::shown(&it.run_task)),
        });
    }
    let mut told: Vec<&String> = Vec::new();
    for (run, prepared, _) in planned {
        let Prepared::Ecs(there) = prepared else { continue };
        for warning in &there.plan.warnings {
            if !told.contains(&warning) {
                run.warn(warning);
                told.push(warning);
            }
        }
    }
}

/// Who is in the place where at most one may run at a time.
async fn look(prepared: &Prepared, listing: Option<&Listing>) -> Result<Option<Look>> {
    let (Prepared::Ecs(there), Some(listing)) = (prepared, listing) else { return Ok(None) };
    let look = exclusive::describe(&there.aws, &there.facts.cluster, listing.clone()).await;
    look.map(Some).map_err(|it| it.problem("look who holds the place", None).failed())
}

impl Run<'_> {
    /// A flag that means nothing on this runner would be believed otherwise.
    fn refuse_useless_flags(&self, task: &ResolvedTask) -> Result<()> {
        if self.flags.detach && task.runner.value != Runner::Ecs {
            let message = format!("--detach works on ECS only, and `{}` runs on this machine", task.environment.value);
            return Err(Problem::new(message).at(task.environment.span()).refused());
        }
        if self.flags.start_another && (task.exclusive || task.once) && !self.is_need {
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
