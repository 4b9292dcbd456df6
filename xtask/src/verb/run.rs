//! `run`: from a name in tasks.toml to the task's exit code. The stages in their order; what is read, decided and written is theirs.

use std::time::Instant;

use crate::aws::trace::Trace;
use crate::aws::{Aws, AwsOptions};
use crate::console::oneoff::OneOff;
use crate::cx::{Cx, TasksFile};
use crate::error::{Error, ErrorKind, Problem, Result, exit};
use crate::event::Event;
use crate::flags::{self, Everywhere, Format};
use crate::follow::{Finish, How, Target};
use crate::model::{EcsTask, Ending, ImageChoice, Outcome, Plan, PlannedImage, ResolvedTask, Runner, Sourced, Timings};
use crate::plan;
use crate::resolve;
use crate::stage::register::TaskDefinition;
use crate::stage::{follow, launch, local, publish, register, survey};
use crate::tools::{git, signals::Signals};
use crate::ui::Ui;
use crate::verdict::{self, verdict};

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
    let run = Run { cx, flags, run_id: run_id.to_owned(), json, start: Instant::now() };
    let config = file.config()?;
    let selection = flags.selection(everywhere, variable);
    let task = resolve::resolve(&config, &selection)?;
    run.refuse_useless_flags(&task)?;
    ui.emit(Event::Resolved {
        environment: task.environment.value.clone(),
        runner: task.runner.value,
        run_id: run.run_id.clone(),
        command: words(&task),
    });
    for warning in &task.warnings {
        warn(ui, warning);
    }
    run.refuse_without_confirmation(&task)?;
    match task.runner.value {
        Runner::Host | Runner::Docker => run.on_this_machine(&task, signals).await,
        Runner::Ecs => run.on_ecs(&task, signals).await,
    }
}

struct Run<'a> {
    cx: Cx,
    flags: &'a flags::Run,
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
        let run = local::Run {
            id: self.run_id.clone(),
            commit: git::commit(&self.cx.sh, &self.cx.root).await,
            json: self.json,
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
        let guard = self.guard_endpoint(task)?;
        let aws = Aws::connect(aws_options(task, ui)).await?;
        let plan = self.survey_and_plan(&aws, task, guard, signals).await?;
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
        let running = launch::launch(&aws, ui, &plan, &definition, &cluster, signals).await?;
        let mut ending = self.ending(&definition, running.task.arn.clone(), &image);
        if self.flags.detach && running.signal.is_none() {
            ending.outcome = Outcome::Detached;
            ending.explanation = Some(by_hand(&aws, &cluster, &running.task.arn));
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
                by_hand: by_hand(&aws, &cluster, &running.task.arn),
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
        };
        let finish = follow::follow(&aws, ui, &cluster, target, &plan.logs, signals, running.signal).await;
        conclude(&mut ending, &finish, &plan.container, &by_hand(&aws, &cluster, &running.task.arn));
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
    ) -> Result<Plan> {
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
        let (first, mut inputs, commit) = or_signal(reads, signals).await?;
        if let Some(spec) = spec
            && prepares
            && !self.flags.dry_run
        {
            let Cx { root, sh, ui, .. } = cx;
            inputs = Some(publish::prepare_and_fingerprint(root, sh, ui, spec, platforms, signals).await?);
        }
        warnings.extend(inputs.iter().flat_map(|it| it.warnings.clone()));
        let around = survey::Around { inputs, commit, run_id: self.run_id.clone(), ci_job: ci_job(variable), warnings };
        let facts = or_signal(survey::second(aws, task, first, around), signals).await?;
        plan::plan(task, &facts)
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

    /// An endpoint from outside tasks.toml would send a run somewhere else than tasks.toml says.
    fn guard_endpoint(&self, task: &ResolvedTask) -> Result<Vec<String>> {
        if task.settings.endpoint_url.is_some()
            || variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").as_deref() == Some("true")
        {
            return Ok(Vec::new());
        }
        let names: Vec<String> = std::env::vars_os()
            .filter_map(|(name, value)| name.into_string().ok().filter(|_| !value.is_empty()))
            .filter(|it| it.starts_with("AWS_ENDPOINT_URL"))
            .collect();
        let Some(name) = names.first() else { return Ok(Vec::new()) };
        let environment = &task.environment.value;
        if task.protected {
            return Err(Problem::new(format!("{name} is set, and `{environment}` is protected"))
                .at(task.environment.span())
                .hint(format!("unset {name}, or write `endpoint-url` into the environment of tasks.toml"))
                .refused());
        }
        Ok(vec![format!("{name} is set: AWS is reached there instead of at its own endpoints")])
    }

    /// What the last event says in any case.
    fn ending(&self, definition: &TaskDefinition, arn: String, image: &publish::Published) -> Ending {
        Ending {
            outcome: Outcome::Unknown,
            exit_code: exit::OK,
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

/// Fills in how following ended.
pub fn conclude(ending: &mut Ending, finish: &Finish, container: &str, by_hand: &str) {
    if let Some(task) = &finish.task {
        describe(ending, task, container);
    }
    match &finish.how {
        How::Stopped => {
            if let Some(task) = &finish.task {
                let verdict = verdict(task, container, finish.ours);
                ending.outcome = verdict.outcome;
                ending.exit_code = verdict.exit_code;
                ending.explanation = verdict.explanation;
                ending.hint = verdict.hint;
            }
        }
        How::Detached(signal) => {
            ending.outcome = Outcome::Detached;
            ending.exit_code = 128 + signal;
            ending.explanation = Some(format!("the ECS task was left as it is; {by_hand}"));
        }
        How::Lost(why) => {
            ending.outcome = Outcome::Unknown;
            ending.exit_code = exit::FAILED;
            ending.explanation = Some(format!("{why}; {by_hand}"));
        }
    }
    if let Some(cause) = &finish.stop_failed {
        let explanation = ending.explanation.take().unwrap_or_default();
        ending.explanation =
            Some(format!("{explanation}; StopTask failed, the ECS task may run on: {cause}; {by_hand}"));
    }
    ending.log = Some(finish.log.clone());
}

fn describe(ending: &mut Ending, task: &EcsTask, container: &str) {
    ending.stop_code.clone_from(&task.stop_code);
    ending.stopped_reason.clone_from(&task.stopped_reason);
    ending.container_reason = task.container(container).and_then(|it| it.reason.clone());
    let of_ecs = verdict::timings(task);
    let mine = ending.timings;
    ending.timings = Timings { build: mine.build, push: mine.push, total: mine.total, ..of_ecs };
}

/// What a person types to look at the ECS task, or to stop it.
fn by_hand(aws: &Aws, cluster: &str, arn: &str) -> String {
    format!("stop it with `aws ecs stop-task --region {} --cluster {cluster} --task {arn}`", aws.region.value)
}

/// What was done before RunTask.
fn done_by(plan: &Plan) -> &'static str {
    match plan.image {
        PlannedImage::Build { .. } => "the image is pushed, no ECS task was started",
        _ => "no ECS task was started",
    }
}

/// The stage's result, unless a signal comes first: then nothing was written.
async fn or_signal<T>(stage: impl Future<Output = Result<T>>, signals: &mut Signals) -> Result<T> {
    tokio::select! {
        result = stage => result,
        signal = signals.next() => Err(Error::interrupted(signal, "nothing was built or written")),
    }
}

/// The last event of a run that failed before or beside an ECS task's own end.
pub fn ending_of(error: &Error, run_id: &str) -> Ending {
    let outcome = match error.kind {
        ErrorKind::Refused => Outcome::Refused,
        ErrorKind::Failed => Outcome::NeverStarted,
        ErrorKind::Interrupted(_) => Outcome::Interrupted,
    };
    Ending { outcome, exit_code: error.exit_code(), run_id: run_id.to_owned(), ..Ending::default() }
}

fn aws_options(task: &ResolvedTask, ui: &Ui) -> AwsOptions {
    let ui = ui.clone();
    AwsOptions {
        trace: Some(Trace::new(move |line| ui.note(line))),
        profile: task.settings.profile.clone(),
        region: task.settings.region.clone(),
        endpoint_url: task.settings.endpoint_url.clone(),
        speed: variable("XTASK_TEST_SPEED").and_then(|it| it.parse().ok()).unwrap_or(1.0),
    }
}

/// The process's arguments as far as tasks.toml and the command line give them.
fn words(task: &ResolvedTask) -> Vec<String> {
    let entrypoint = task.entrypoint.iter().flat_map(|it| &it.value);
    entrypoint.chain(task.command.iter().flat_map(|it| &it.value)).cloned().collect()
}

fn warn(ui: &Ui, message: &str) {
    ui.emit(Event::Warning { message: message.to_owned(), hint: None });
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
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
