//! `run`: from a name in tasks.toml to the task's exit code. The stages in their order; what is read, decided and written is theirs.

use std::time::Instant;

use crate::aws::Aws;
use crate::console::oneoff::OneOff;
use crate::cx::{Cx, TasksFile};
use crate::error::{Error, Problem, Result, exit};
use crate::event::Event;
use crate::exclusive::once::Same;
use crate::exclusive::{EXCLUSIVE, Place as ExclusivePlace};
use crate::flags::{self, Everywhere, Format};
use crate::follow::{Target, words as words_of_duration};
use crate::model::{
    EcsTask, Ending, Facts, ImageChoice, Outcome, Plan, PlannedImage, ResolvedTask, Runner, Settings, Sourced, Timings,
};
use crate::ours::{self, Kin, Starting};
use crate::plan;
use crate::resolve::{self, Place};
use crate::stage::exclusive::Wish;
use crate::stage::find::{Found, Ground};
use crate::stage::launch::{Order, Settled};
use crate::stage::local::{Holder, Locked};
use crate::stage::register::TaskDefinition;
use crate::stage::survey::Surveyed;
use crate::stage::{exclusive, follow, launch, local, publish, register, survey};
use crate::tools::{git, signals::Signals};
use crate::ui::Ui;
use crate::verb::conclude::{conclude, or_signal};
use crate::verb::reach::{self, variable};
use crate::verb::{attach, changed, logs};

/// Runs the task and returns the exit code. What goes wrong before the task's own end is an error, for the caller to show.
pub async fn run(
    file: &TasksFile,
    flags: &flags::Run,
    everywhere: &Everywhere,
    run_id: &str,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<u8> {
    let cx = Cx::new(file, ui.clone())?;
    let json = everywhere.format == Format::Json;
    let run = Run { cx, flags, everywhere, run_id: run_id.to_owned(), json, start: Instant::now() };
    let config = file.config()?;
    let selection = flags.selection(everywhere, variable);
    let task = resolve::resolve(&config, &selection)?;
    run.refuse_useless_flags(&task)?;
    ui.mask(secrets(&task));
    ui.emit(Event::Resolved {
        environment: task.environment.value.clone(),
        runner: task.runner.value,
        run_id: run.run_id.clone(),
        command: words(&task),
    });
    for warning in &task.warnings {
        warn(ui, warning);
    }
    if let Some(mut ending) = changed::skipped(&run.cx, flags, run_id, signals).await? {
        ending.timings.total = Some(run.start.elapsed().as_secs_f64());
        ui.emit(Event::Finished(Box::new(ending)));
        return Ok(exit::OK);
    }
    run.refuse_without_confirmation(&task)?;
    match task.runner.value {
        Runner::Host | Runner::Docker => run.on_this_machine(&task, signals).await,
        // On the heap: the futures of the SDK's calls are large.
        Runner::Ecs => Box::pin(run.on_ecs(&task, signals)).await,
    }
}

struct Run<'a> {
    cx: Cx,
    flags: &'a flags::Run,
    everywhere: &'a Everywhere,
    run_id: String,
    json: bool,
    start: Instant,
}

/// This run's id: the one of the flag, else a random one.
pub fn run_id(flags: &flags::Run) -> Result<String> {
    flags.run_id.clone().map_or_else(random_id, Ok)
}

impl Run<'_> {
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
        if self.flags.plugin && !(task.interactive && task.runner.value == Runner::Ecs) {
            let message = format!("--plugin is for interactive tasks on ECS, and `{}` is none here", task.task);
            return Err(Problem::new(message).at(task.task_span).hint("leave it out").refused());
        }
        Ok(())
    }

    /// Without a terminal a protected environment needs `--yes`; that is known before anything is asked or built.
    fn refuse_without_confirmation(&self, task: &ResolvedTask) -> Result<()> {
        if !task.protected || self.flags.yes || self.flags.dry_run || self.cx.ui.can_ask() {
            return Ok(());
        }
        let environment = &task.environment.value;
        let span = task.settings.protected.as_ref().and_then(Sourced::span);
        Err(Problem::new(format!("`{environment}` is protected, and there is no terminal to confirm the run on"))
            .at(span)
            .hint("add --yes if this run is meant")
            .refused())
    }

    async fn on_this_machine(&self, task: &ResolvedTask, signals: &mut Signals) -> Result<u8> {
        let ui = &self.cx.ui;
        ui.emit(Event::Planned {
            dry_run: self.flags.dry_run,
            lines: local::plan_lines(task),
            register_task_definition: None,
            run_task: None,
        });
        if self.flags.dry_run {
            return Ok(exit::OK);
        }
        local::check(task)?;
        self.confirm(task, None, signals).await?;
        // Held until the task has ended.
        let lock = match task.exclusive {
            true => match local::lock(&self.cx, task, &self.run_id, &logs::now().to_string()).await? {
                Locked::Ours(lock) => Some(lock),
                Locked::Held(holder) => return Ok(self.already_running(task, &holder)),
            },
            false => None,
        };
        let run = local::Run {
            id: self.run_id.clone(),
            commit: git::commit(&self.cx.sh, &self.cx.root).await,
            json: self.json,
            lock,
            grace: local::GRACE,
        };
        let mut ending = match task.runner.value {
            Runner::Docker => {
                let image = self.local_image(task, signals).await?;
                let ending = local::docker(&self.cx, task, &image.0, &run, signals).await?;
                Ending { timings: Timings { build: image.1, ..ending.timings }, ..ending }
            }
            _ => local::host(&self.cx, task, &run, signals).await?,
        };
        ending.timings.total = Some(self.start.elapsed().as_secs_f64());
        let exit_code = ending.exit_code;
        ui.emit(Event::Finished(Box::new(ending)));
        Ok(exit_code)
    }

    /// Another process or container of this machine runs it.
    fn already_running(&self, task: &ResolvedTask, holder: &Holder) -> u8 {
        let exit_code = exit::FAILED;
        self.cx.ui.emit(Event::Finished(Box::new(Ending {
            outcome: Outcome::AlreadyRunning,
            exit_code,
            run_id: self.run_id.clone(),
            explanation: Some(format!(
                "`{}` runs already in `{}`: {}",
                task.task, task.environment.value, holder.words
            )),
            hint: Some(holder.hint.clone()),
            timings: Timings { total: Some(self.start.elapsed().as_secs_f64()), ..Timings::default() },
            ..Ending::default()
        })));
        exit_code
    }

    /// What docker runs, and how long its build took, in seconds.
    async fn local_image(&self, task: &ResolvedTask, signals: &mut Signals) -> Result<(String, Option<f64>)> {
        let Cx { root, sh, ui, .. } = &self.cx;
        match task.image.as_ref().map(|it| &it.value) {
            Some(ImageChoice::Build(spec)) => {
                let platform = task.settings.platform.as_ref().map(|it| it.value.as_str());
                let built = publish::build_local(root, sh, ui, spec, platform, task.rebuild, signals).await?;
                Ok((built.id, built.build_seconds))
            }
            Some(ImageChoice::Reference(reference)) => Ok((reference.clone(), None)),
            Some(ImageChoice::Deployed) | None => {
                Err(Error::refused(format!("`{}` has no image to run on docker", task.task)))
            }
        }
    }

    async fn on_ecs(&self, task: &ResolvedTask, signals: &mut Signals) -> Result<u8> {
        let ui = &self.cx.ui;
        let guard = reach::guard_endpoint(&task.environment, &task.settings)?;
        let aws = reach::connect(&task.settings, ui).await?;
        let guard = guard.into_iter().collect();
        let (plan, surveyed) = Box::pin(self.survey_and_plan(&aws, task, guard, signals)).await?;
        let planned = Event::Planned {
            dry_run: self.flags.dry_run,
            lines: plan.lines.clone(),
            register_task_definition: Some(plan::shown(&plan.definition)),
            run_task: Some(plan::shown(&plan.run_task)),
        };
        ui.emit(planned);
        for warning in &plan.warnings {
            warn(ui, warning);
        }
        let Surveyed { facts, alive, listing } = surveyed;
        let there = There { aws: &aws, task, facts: &facts };
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
        let is_single = look.is_some();
        if let (Some(look), Some(wish)) = (&look, self.wish_of_plan(&there, &plan))
            && let Some(settled) = exclusive::early(&aws, &wish, look)?
            && let Some(exit_code) = self.not_started(&there, &plan, Some(&wish), &settled, signals).await?
        {
            return Ok(exit_code);
        }
        if !is_single && let Some(exit_code) = self.beside(&there, &plan, &alive, signals).await? {
            return Ok(exit_code);
        }
        if self.flags.dry_run {
            return Ok(exit::OK);
        }
        self.confirm(task, Some(&plan), signals).await?;

        let Cx { root, sh, .. } = &self.cx;
        let image = publish::publish(root, sh, ui, &aws, task, &plan.image, signals).await?;
        let definition = tokio::select! {
            definition = register::register(&aws, ui, &plan, &image.reference) => {
                definition.map_err(|it| it.done(done_by(&plan)))?
            }
            signal = signals.next() => {
                return Err(Error::interrupted(signal, "the task definition may be registered").done(done_by(&plan)));
            }
        };
        let cluster = plan.run_task.get("cluster").and_then(|it| it.as_str()).unwrap_or_default().to_owned();
        let stop_run = format!("stop --run {}", self.run_id);
        let stop_run = reach::again(self.everywhere, &task.environment.value, &stop_run);
        let wish = self.wish(&there, &plan, &image.reference, Some(&definition.arn));
        let order = Order {
            plan: &plan,
            definition: &definition,
            cluster: &cluster,
            stop_run: &stop_run,
            single: wish.clone().zip(look),
        };
        let running = match launch::launch(&aws, ui, order, signals).await? {
            Settled::Running(running) => running,
            settled => {
                let ended = self.not_started(&there, &plan, wish.as_ref(), &settled, signals).await?;
                return Ok(ended.unwrap_or(exit::FAILED));
            }
        };
        let by_hand = attach::by_hand(self.everywhere, &task.environment.value, &running.task);
        let mut ending = self.ending(&definition, running.task.arn.clone(), &image);
        if self.flags.detach && running.signal.is_none() {
            ending.outcome = Outcome::Detached;
            ending.explanation = Some(by_hand);
            ending.timings.total = Some(self.start.elapsed().as_secs_f64());
            ui.emit(Event::Finished(Box::new(ending)));
            return Ok(exit::OK);
        }
        if let Some(console) = &plan.console {
            let one_off = OneOff {
                aws: &aws,
                ui,
                cluster: &cluster,
                task: &running.task,
                container: &plan.container,
                console,
                start_timeout: plan.start_timeout,
                timeout: plan.timeout,
                json: self.json,
                plugin: self.flags.plugin,
                sh,
                by_hand: {
                    let stop = format!("stop {}", running.task.id());
                    let stop = reach::again(self.everywhere, &task.environment.value, &stop);
                    format!("stop it with `{stop}`")
                },
            };
            one_off.run(&mut ending, running.signal, signals).await;
            ending.timings.total = Some(self.start.elapsed().as_secs_f64());
            let exit_code = ending.exit_code;
            ui.emit(Event::Finished(Box::new(ending)));
            return Ok(exit_code);
        }
        let target = Target {
            arn: running.task.arn.clone(),
            container: plan.container.clone(),
            timeout: plan.timeout,
            start_timeout: Some(plan.start_timeout),
            on_interrupt: plan.on_interrupt,
            launched_here: true,
            attended: ui.can_ask(),
        };
        let finish = follow::follow(&aws, ui, &cluster, target, &plan.logs, signals, running.signal).await;
        conclude(&mut ending, &finish, &plan.container, &by_hand);
        ending.timings.total = Some(self.start.elapsed().as_secs_f64());
        let exit_code = ending.exit_code;
        ui.emit(Event::Finished(Box::new(ending)));
        Ok(exit_code)
    }

    /// The reads, and the decisions. A signal ends it at once: nothing is written yet.
    async fn survey_and_plan(
        &self,
        aws: &Aws,
        task: &ResolvedTask,
        mut warnings: Vec<String>,
        signals: &mut Signals,
    ) -> Result<(Plan, Surveyed)> {
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
            let (first, inputs, commit) = tokio::join!(survey::first(aws, task), fingerprint, commit);
            Ok::<_, Error>((first?, inputs?, commit))
        };
        let (first, mut inputs, commit) = or_signal(Box::pin(reads), signals).await?;
        if let Some(spec) = spec
            && prepares
            && !self.flags.dry_run
        {
            let Cx { root, sh, ui, .. } = cx;
            inputs = Some(publish::prepare_and_fingerprint(root, sh, ui, spec, platforms, signals).await?);
        }
        warnings.extend(inputs.iter().flat_map(|it| it.warnings.clone()));
        let around = survey::Around { inputs, commit, run_id: self.run_id.clone(), ci_job: ci_job(variable), warnings };
        let surveyed = or_signal(Box::pin(survey::second(aws, task, first, around)), signals).await?;
        Ok((plan::plan(task, &surveyed.facts)?, surveyed))
    }

    /// An equal ECS task that runs already: a run before this one may have died between RunTask and its answer, or later. `Some`: it was
    /// followed instead of starting another one.
    ///
    /// Where nobody can be asked, another one is refused rather than started: two migrations side by side are worse than a job that fails and
    /// says how to go on, and it fails only for as long as the ECS task runs. The same `--run-id` for the same work is the same run: that one
    /// is followed at once. For other work the id is refused.
    async fn beside(
        &self,
        there: &There<'_>,
        plan: &Plan,
        alive: &[EcsTask],
        signals: &mut Signals,
    ) -> Result<Option<u8>> {
        let There { task, facts, .. } = there;
        let starting = self.starting(facts, plan);
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
            warn(ui, &what);
            return Ok(None);
        }
        if kin == Kin::Namesake {
            return Err(self.namesake(task, &what));
        }
        if kin == Kin::ThisRun {
            warn(ui, &format!("this run has started its ECS task already and follows it on: {what}"));
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
        self.follow(there, found, signals).await.map(Some)
    }

    /// What this run is going to start, to be compared with what there is.
    fn starting<'b>(&'b self, facts: &'b Facts, plan: &'b Plan) -> Starting<'b> {
        Starting {
            run_id: &self.run_id,
            caller: &facts.identity.arn,
            ci: facts.ci_job.is_some(),
            run_task: &plan.run_task,
        }
    }

    /// The same id for other work: following it would tell the other one's end as this one's, and `stop --run` would stop both.
    fn namesake(&self, task: &ResolvedTask, what: &str) -> Error {
        let (id, environment) = (&self.run_id, &task.environment.value);
        Error::refused(format!("not started in `{environment}`: the run id {id} is taken: {what}"))
            .hint("give this run another id: --run-id")
    }

    /// Follows an ECS task that this process did not start: what `attach` does.
    async fn follow(&self, there: &There<'_>, found: &EcsTask, signals: &mut Signals) -> Result<u8> {
        let There { aws, task, facts } = there;
        let ui = &self.cx.ui;
        if self.flags.detach && !found.is_stopped() {
            let mut ending = attach::ending(found);
            (ending.outcome, ending.exit_code) = (Outcome::Detached, exit::OK);
            ending.explanation = Some(attach::by_hand(self.everywhere, &task.environment.value, found));
            ending.timings.total = Some(self.start.elapsed().as_secs_f64());
            ui.emit(Event::Finished(Box::new(ending)));
            return Ok(exit::OK);
        }
        let settings = Settings { account: None, ..task.settings.clone() };
        let cluster = Sourced::default(facts.cluster.clone());
        let place = Place { cluster, settings, tasks: Vec::new() };
        let ground = Ground { aws: (*aws).clone(), environment: task.environment.value.clone(), place };
        let found = Found { ground: &ground, name: task.task.clone(), task: found.clone() };
        attach::follow_found(&found, self.everywhere, ui, signals).await
    }

    /// What is wanted as far as the plan knows it, before anything is built.
    fn wish_of_plan(&self, there: &There<'_>, plan: &Plan) -> Option<Wish> {
        match &plan.image {
            PlannedImage::Use { reference } => {
                let (_, hash) = plan::definition_with_image(plan, reference);
                let equal = plan.newest_revision.as_ref().filter(|it| it.ours && it.hash.as_deref() == Some(&hash));
                self.wish(there, plan, reference, equal.map(|it| it.arn.as_str()))
            }
            // An image that is not built yet cannot have run.
            _ => there.task.exclusive.then(|| Wish { place: there.place(EXCLUSIVE), same: None }),
        }
    }

    /// What is wanted of the place where at most one may run at a time. `None`: any number may run.
    fn wish(&self, there: &There<'_>, plan: &Plan, image: &str, definition: Option<&str>) -> Option<Wish> {
        let same = || {
            let (_, hash) = plan::definition_with_image(plan, image);
            Same::new(&plan.container, &plan.run_task, image, &hash, definition)
        };
        let same = there.task.once.then(same);
        match (there.task.exclusive, &same) {
            (true, _) => Some(Wish { place: there.place(EXCLUSIVE), same }),
            (false, Some(it)) => Some(Wish { place: there.place(&it.place()), same }),
            (false, None) => None,
        }
    }

    /// Somebody else's ECS task runs, or has done it already. `None`: that is only said, in a dry run.
    async fn not_started(
        &self,
        there: &There<'_>,
        plan: &Plan,
        wish: Option<&Wish>,
        settled: &Settled,
        signals: &mut Signals,
    ) -> Result<Option<u8>> {
        let ui = &self.cx.ui;
        let (found, is_done) = match settled {
            Settled::Held(found) => (found, false),
            Settled::Suffices(found) => (found, true),
            Settled::Running(_) => return Ok(None),
        };
        let is_same = is_done || (self.flags.once && wish.is_some_and(|it| it.is_same(found)));
        let state = match (is_done, is_same) {
            (true, _) => "has succeeded already, with the same image, command, variables and commit",
            (false, true) => "runs already, with the same image, command, variables and commit",
            (false, false) => "runs already",
        };
        let what = described(found, there.task, state);
        if self.flags.dry_run {
            warn(ui, &what);
            return Ok(None);
        }
        // The same run id and work is the same run: its process is gone, or it was started twice.
        let kin = ours::kin(found, &self.starting(there.facts, plan));
        if is_same || kin == Kin::ThisRun || self.flags.attach_if_running {
            warn(ui, &what);
            return self.follow(there, found, signals).await.map(Some);
        }
        if kin == Kin::Namesake {
            return Err(self
                .namesake(there.task, &described(found, there.task, "runs, with another command or other variables")));
        }
        let mut ending = attach::ending(found);
        ending.outcome = Outcome::AlreadyRunning;
        ending.run_id.clone_from(&self.run_id);
        ending.explanation = Some(what);
        let line = |verb: &str| {
            reach::again(self.everywhere, &there.task.environment.value, &format!("{verb} {}", found.id()))
        };
        ending.hint = Some(format!("follow it with `{}`, or run with --attach-if-running", line("attach")));
        ending.timings.total = Some(self.start.elapsed().as_secs_f64());
        let exit_code = ending.exit_code;
        ui.emit(Event::Finished(Box::new(ending)));
        Ok(Some(exit_code))
    }

    /// Asks for the environment's name where that is protected.
    async fn confirm(&self, task: &ResolvedTask, plan: Option<&Plan>, signals: &mut Signals) -> Result<()> {
        if !task.protected || self.flags.yes {
            return Ok(());
        }
        let environment = &task.environment.value;
        let lines = plan.map(|it| it.lines.as_slice()).unwrap_or_default();
        let shown: String = lines.iter().map(|it| format!("{:>20}  {}\n", it.key, it.value)).collect();
        let question = format!("{shown}`{environment}` is protected. Type its name to run `{}`: ", task.task);
        let answer = tokio::select! {
            answer = self.cx.ui.ask(&question) => answer,
            signal = signals.next() => {
                return Err(Error::interrupted(signal, "nothing was built or written"));
            }
        };
        match answer.as_deref().map(str::trim) {
            Some(answer) if answer == environment => Ok(()),
            _ => Err(Error::refused(format!("not confirmed: nothing was run in `{environment}`"))),
        }
    }

    /// What the last event says in any case.
    fn ending(&self, definition: &TaskDefinition, arn: String, image: &publish::Published) -> Ending {
        Ending {
            outcome: Outcome::Unknown,
            // Until the end is known: what is not concluded has not succeeded.
            exit_code: exit::FAILED,
            run_id: self.run_id.clone(),
            task_arn: Some(arn),
            task_definition: Some(definition.arn.clone()),
            image: Some(definition.image.clone()),
            stop_code: None,
            stopped_reason: None,
            container_reason: None,
            explanation: None,
            hint: None,
            log: None,
            timings: Timings { build: image.build_seconds, push: image.push_seconds, ..Timings::default() },
        }
    }
}

/// What a run's decisions on ECS need.
struct There<'a> {
    aws: &'a Aws,
    task: &'a ResolvedTask,
    facts: &'a Facts,
}

impl There<'_> {
    /// A place of the task, by its name. The cluster is written the same by every caller.
    fn place(&self, name: &str) -> ExclusivePlace {
        ExclusivePlace {
            cluster: plan::cluster_arn(self.facts),
            family: self.facts.family.clone(),
            name: name.to_owned(),
        }
    }
}

/// An ECS task that somebody started, in a sentence that says what ECS cannot tell. `state`: what it does or did.
fn described(found: &EcsTask, of: &ResolvedTask, state: &str) -> String {
    let (task, name) = (found, &of.task);
    let now = logs::now();
    let by = ours::run_by(task).map(ours::caller).unwrap_or("somebody");
    let age = task.created_at.and_then(|it| std::time::Duration::try_from_secs_f64(now.seconds_since(it)).ok());
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

fn words_of(time: std::time::Duration) -> String {
    words_of_duration(std::time::Duration::from_secs(time.as_secs()))
}

/// What was done before RunTask.
fn done_by(plan: &Plan) -> &'static str {
    match plan.image {
        PlannedImage::Build { .. } => "the image is pushed, no ECS task was started",
        _ => "no ECS task was started",
    }
}

/// The last event of a run that failed before or beside an ECS task's own end.
pub fn ending_of(error: &Error, run_id: &str) -> Ending {
    Ending {
        outcome: error.outcome(),
        exit_code: error.exit_code(),
        run_id: run_id.to_owned(),
        task_arn: error.task_arn().map(str::to_owned),
        ..Ending::default()
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

fn warn(ui: &Ui, message: &str) {
    ui.emit(Event::Warning { message: message.to_owned(), hint: None });
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

/// Twelve letters and digits: the same id twice in a cluster is out of the question.
fn random_id() -> Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = launch::random_bytes::<12>()?;
    Ok(bytes.iter().map(|it| char::from(ALPHABET[usize::from(it % 32)])).collect())
}
