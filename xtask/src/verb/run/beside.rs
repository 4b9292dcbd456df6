//! ECS tasks that are there already: whether one of them is this run's, holds the place, or has done the work; and what a run does then.

use std::time::Duration;

use crate::error::{Error, Result, exit};
use crate::exclusive::once::Same;
use crate::exclusive::{EXCLUSIVE, Place as ExclusivePlace};
use crate::follow::words as words_of_duration;
use crate::model::{EcsTask, Ending, Outcome, PlannedImage, ResolvedTask, Settings, Shards, Sourced};
use crate::ours::{self, Kin, Starting};
use crate::plan;
use crate::resolve::Place;
use crate::stage::exclusive::{self, Wish};
use crate::stage::find::{Found, Ground};
use crate::stage::launch::Settled;
use crate::tools::signals::Signals;
use crate::verb::run::Run;
use crate::verb::run::prepare::OnEcs;
use crate::verb::{attach, logs, reach};

/// What becomes of a task that is not started, because of an ECS task that is there.
#[derive(Debug)]
pub(super) enum Joined {
    /// That one is followed. `is_this_run`: a process before this one has started it, for this very run.
    Follow { found: Box<EcsTask>, is_this_run: bool },
    /// Shards of this very run are there: they are followed on, and the others started.
    GoesOn,
    /// That one is in the way.
    Over(Box<Ending>),
}

impl Run<'_> {
    /// What was seen before anything is built. `None`: the task is to be started, or would be if this were no dry run.
    pub(super) async fn joined(&self, there: &OnEcs, signals: &mut Signals) -> Result<Option<Joined>> {
        if there.plan.shards.as_ref().is_some_and(Shards::is_many) {
            return Ok(self.shards_beside(there)?.then_some(Joined::GoesOn));
        }
        let Some(look) = &there.look else { return self.beside(there, signals).await };
        let Some(wish) = wish_of_plan(there) else { return Ok(None) };
        match exclusive::early(&there.aws, &wish, look)? {
            Some(settled) => self.not_started(there, Some(&wish), &settled),
            None => Ok(None),
        }
    }

    /// An equal ECS task that runs already: a run before this one may have died between RunTask and its answer, or later. `Some`: it is
    /// to be followed instead of starting another one.
    ///
    /// Where nobody can be asked, another one is refused rather than started: two migrations side by side are worse than a job that fails and
    /// says how to go on, and it fails only for as long as the ECS task runs. The same `--run-id` for the same work is the same run: that one
    /// is followed at once. For other work the id is refused.
    async fn beside(&self, there: &OnEcs, signals: &mut Signals) -> Result<Option<Joined>> {
        let OnEcs { task, alive, .. } = there;
        let starting = self.starting(there);
        let of_kind = |kind: Kin| alive.iter().find(|it| ours::kin(it, &starting) == kind).map(|it| (it, kind));
        let found = [Kin::ThisRun, Kin::Namesake, Kin::Twin].into_iter().find_map(of_kind);
        let Some((found, kin)) = found else { return Ok(None) };
        let ui = &self.cx.ui;
        let environment = &task.environment.value;
        let state = match kin {
            Kin::Namesake => "still runs, with another command or other variables",
            _ => "still runs, with the same command and variables",
        };
        let what = described(found, task, state);
        if self.flags.dry_run || (self.flags.start_another && kin == Kin::Twin) {
            self.warn(&what);
            return Ok(None);
        }
        if kin == Kin::Namesake {
            return Err(self.namesake(task, &what));
        }
        if kin == Kin::ThisRun {
            self.warn(&format!("this run has started its ECS task already and follows it on: {what}"));
        } else if !ui.can_ask() {
            let line = |verb: &str| reach::again(self.everywhere, environment, &format!("{verb} {}", found.id()));
            return Err(Error::refused(format!("not started a second time in `{environment}`: {what}")).hint(format!(
                "follow it with `{}`, stop it with `{}`, or start another one beside it: --start-another",
                line("attach"),
                line("stop")
            )));
        } else {
            let question = format!("{what}\nType `attach` to follow it, `start` to start another one beside it: ");
            let answer = tokio::select! {
                answer = ui.ask(&question) => answer,
                signal = signals.next() => {
                    return Err(Error::interrupted(signal, "nothing was built or written"));
                }
            };
            match answer.as_deref().map(str::trim) {
                Some("attach") => {}
                Some("start") => return Ok(None),
                _ => return Err(Error::refused(format!("nothing was started in `{environment}`"))),
            }
        }
        Ok(Some(Joined::Follow { found: Box::new(found.clone()), is_this_run: kin == Kin::ThisRun }))
    }

    /// What this run is going to start, to be compared with what there is.
    pub(super) fn starting<'b>(&'b self, there: &'b OnEcs) -> Starting<'b> {
        Starting {
            run_id: &self.run_id,
            caller: &there.facts.identity.arn,
            ci: there.facts.ci_job.is_some(),
            run_task: &there.plan.run_task,
        }
    }

    /// The same id for other work: following it would tell the other one's end as this one's, and `stop --run` would stop both.
    pub(super) fn namesake(&self, task: &ResolvedTask, what: &str) -> Error {
        let (id, environment) = (&self.run_id, &task.environment.value);
        Error::refused(format!("not started in `{environment}`: the run id {id} is taken: {what}"))
            .hint("give this run another id: --run-id")
    }

    /// Follows an ECS task that this process did not start: what `attach` does.
    pub(super) async fn follow(&self, there: &OnEcs, found: &EcsTask, signals: &mut Signals) -> Result<Ending> {
        let OnEcs { task, aws, facts, .. } = there;
        if self.flags.detach && !found.is_stopped() {
            let mut ending = attach::ending(found);
            (ending.outcome, ending.exit_code) = (Outcome::Detached, exit::OK);
            ending.explanation = Some(attach::by_hand(self.everywhere, &task.environment.value, found));
            return Ok(self.followed(self.timed(ending)));
        }
        let settings = Settings { account: None, ..task.settings.clone() };
        let cluster = Sourced::default(facts.cluster.clone());
        let place = Place { cluster, settings, tasks: Vec::new() };
        let ground = Ground { aws: aws.clone(), environment: task.environment.value.clone(), place };
        let found = Found { ground: &ground, name: task.task.clone(), task: found.clone() };
        let ending = attach::follow_found(&found, self.everywhere, &self.cx.ui, signals).await?;
        Ok(self.followed(ending))
    }

    /// Of an ECS task of another run: both ids. `stop --run` with ours must not stop theirs.
    fn followed(&self, mut ending: Ending) -> Ending {
        let started_by = std::mem::replace(&mut ending.run_id, self.run_id.clone());
        ending.followed_run_id = Some(started_by).filter(|it| !it.is_empty() && *it != self.run_id);
        ending
    }

    /// Somebody else's ECS task runs, or has done it already. `None`: that is only said, in a dry run.
    pub(super) fn not_started(&self, there: &OnEcs, wish: Option<&Wish>, settled: &Settled) -> Result<Option<Joined>> {
        let task = &there.task;
        let (found, is_done) = match settled {
            Settled::Held(found) => (found, false),
            Settled::Suffices(found) => (found, true),
            Settled::Running(_) | Settled::NoRoom(_) => return Ok(None),
        };
        let is_same = is_done || (self.flags.once && wish.is_some_and(|it| it.is_same(found)));
        let state = match (is_done, is_same) {
            (true, _) => "has succeeded already, with the same image, command, variables and commit",
            (false, true) => "runs already, with the same image, command, variables and commit",
            (false, false) => "runs already",
        };
        let what = described(found, task, state);
        if self.flags.dry_run {
            self.warn(&what);
            return Ok(None);
        }
        // The same run id and work is the same run: its process is gone, or it was started twice.
        let kin = ours::kin(found, &self.starting(there));
        if is_same || kin == Kin::ThisRun || self.flags.attach_if_running {
            self.warn(&what);
            return Ok(Some(Joined::Follow { found: found.clone(), is_this_run: kin == Kin::ThisRun }));
        }
        if kin == Kin::Namesake {
            let what = described(found, task, "runs, with another command or other variables");
            return Err(self.namesake(task, &what));
        }
        let mut ending = attach::ending(found);
        ending.outcome = Outcome::AlreadyRunning;
        ending = self.followed(ending);
        ending.explanation = Some(what);
        let line = reach::again(self.everywhere, &task.environment.value, &format!("attach {}", found.id()));
        ending.hint = Some(format!("follow it with `{line}`, or run with --attach-if-running"));
        Ok(Some(Joined::Over(Box::new(self.timed(ending)))))
    }
}

/// What is wanted as far as the plan knows it, before anything is built.
fn wish_of_plan(there: &OnEcs) -> Option<Wish> {
    let plan = &there.plan;
    match &plan.image {
        PlannedImage::Use { reference } => {
            let (_, hash) = plan::definition_with_image(plan, reference);
            let equal = plan.newest_revision.as_ref().filter(|it| it.ours && it.hash.as_deref() == Some(&hash));
            wish(there, reference, equal.map(|it| it.arn.as_str()))
        }
        // An image that is not built yet cannot have run.
        _ => there.task.exclusive.then(|| Wish { place: place(there, EXCLUSIVE), same: None }),
    }
}

/// What is wanted of the place where at most one may run at a time. `None`: any number may run.
pub(super) fn wish(there: &OnEcs, image: &str, definition: Option<&str>) -> Option<Wish> {
    let OnEcs { task, plan, .. } = there;
    let same = || {
        let (_, hash) = plan::definition_with_image(plan, image);
        Same::new(&plan.container, &plan.run_task, image, &hash, definition)
    };
    let same = task.once.then(same);
    match (task.exclusive, &same) {
        (true, _) => Some(Wish { place: place(there, EXCLUSIVE), same }),
        (false, Some(it)) => Some(Wish { place: place(there, &it.place()), same }),
        (false, None) => None,
    }
}

/// A place of the task, by its name. The cluster is written the same by every caller.
fn place(there: &OnEcs, name: &str) -> ExclusivePlace {
    let facts = &there.facts;
    ExclusivePlace { cluster: plan::cluster_arn(facts), family: facts.family.clone(), name: name.to_owned() }
}

/// An ECS task that somebody started, in a sentence that says what ECS cannot tell. `state`: what it does or did.
pub(super) fn described(found: &EcsTask, of: &ResolvedTask, state: &str) -> String {
    let (task, name) = (found, &of.task);
    let now = logs::now();
    let by = ours::run_by(task).map(ours::caller).unwrap_or("somebody");
    let age = task.created_at.and_then(|it| Duration::try_from_secs_f64(now.seconds_since(it)).ok());
    let ago = age.map(|it| format!(" {} ago", words_of(it))).unwrap_or_default();
    let run = ours::run_id(task).map(|it| format!(", run {it}")).unwrap_or_default();
    let commit = ours::commit(task).map(|it| format!(", commit {it}")).unwrap_or_default();
    let followed = match ours::overdue(task, of.timeout.as_ref().map(|it| it.value), now) {
        Some(overdue) => format!("; nobody follows it: it is over its timeout by {}", words_of(overdue)),
        None if task.is_stopped() => String::new(),
        None => "; whether a process follows it, ECS does not know".to_owned(),
    };
    format!("`{name}` {state}: ECS task {}, started by {by}{ago}{run}{commit}{followed}", task.id())
}

fn words_of(time: Duration) -> String {
    words_of_duration(Duration::from_secs(time.as_secs()))
}
