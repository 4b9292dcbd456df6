//! `check`: every precondition of a run as a tree of ok, skipped and failed, told as it goes. Never stops at the first.

use std::cell::{Cell, RefCell};

use serde::Serialize;

use crate::checks::{Finding, State};
use crate::cx::{Cx, TasksFile};
use crate::error::{Error, Result, exit};
use crate::event::{Event, VERSION};
use crate::flags::{self, Everywhere, Format};
use crate::model::{Config, ImageChoice, ResolvedEnvironment, ResolvedTask, Runner, Selection, Source};
use crate::resolve;
use crate::stage::check::Checker;
use crate::stage::local;
use crate::tools::aws_cli::AwsCli;
use crate::tools::docker::{Docker, Engine};
use crate::tools::signals::Signals;
use crate::ui::{Ui, line_and_column};
use crate::verb::reach::{connect, guard_endpoint};

/// The branch of what needs no AWS.
const HERE: &str = "this machine";

/// Checks, and gives 1 if something failed.
pub async fn check(
    file: &TasksFile,
    flags: &flags::Check,
    everywhere: &Everywhere,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<u8> {
    let cx = Cx::new(file, ui.clone())?;
    let tree = Tree::new(ui, &file.source, everywhere.format == Format::Json);
    let config = match file.config() {
        Ok(config) => config,
        Err(error) => {
            tree.tell_error(HERE, "tasks.toml", error, "correct tasks.toml");
            let docker = Docker::new(&cx.sh, &cx.root);
            let _ = engine(&docker, &tree, signals).await;
            tree.tell("account", Finding::skipped("everything in AWS", "tasks.toml could not be read"));
            return Ok(tree.end());
        }
    };
    let selection = everywhere.selection(|it| std::env::var(it).ok());
    let environment = resolve::environment_itself(&config, &selection)?;
    let tasks = tasks(&config, &selection, &environment, &flags.tasks, &tree)?;
    let guarded = match guard_endpoint(&environment.name, &environment.settings) {
        Ok(warning) => {
            if let Some(message) = warning {
                ui.emit(Event::Warning { message, hint: None });
            }
            true
        }
        Err(error) => {
            tree.tell_error("account", "endpoint", error, "unset it");
            false
        }
    };
    here(&cx, &tasks, &tree).await;
    let docker = Docker::new(&cx.sh, &cx.root);
    let builds = |it: &ResolvedTask| {
        it.runner.value == Runner::Docker
            || it.runner.value == Runner::Ecs
                && matches!(it.image.as_ref().map(|it| &it.value), Some(ImageChoice::Build(_)))
    };
    let engine = match tasks.iter().any(builds) {
        true => engine(&docker, &tree, signals).await?,
        false => {
            tree.tell(HERE, Finding::skipped("docker", "no task builds an image"));
            None
        }
    };
    let on_ecs: Vec<ResolvedTask> = tasks.into_iter().filter(|it| it.runner.value == Runner::Ecs).collect();
    if on_ecs.is_empty() || !guarded {
        return Ok(tree.end());
    }
    let platforms = match engine {
        Some(_) => docker.build_platforms(signals).await?,
        None => Vec::new(),
    };
    let settings = &environment.settings;
    let profile = settings.profile.as_ref().map(|it| it.value.as_str());
    let endpoint_url = settings.endpoint_url.as_ref().map(|it| it.value.as_str());
    let cli = AwsCli::find(&cx.sh, profile, endpoint_url);
    tree.tell(
        HERE,
        match &cli {
            Some(_) => Finding::ok("aws command line", "on PATH, for EC2, IAM, SSM and Secrets Manager"),
            None => Finding::skipped(
                "aws command line",
                "not on PATH: networks, roles, secrets and permissions are not looked at",
            ),
        },
    );
    let aws = match connect(settings, ui).await {
        Ok(aws) => aws,
        Err(error) => {
            tree.tell_error("account", "region", error, "set `region` in the environment");
            tree.tell("account", Finding::skipped("everything in AWS", "no region is known"));
            return Ok(tree.end());
        }
    };
    let checker = Checker {
        cx: &cx,
        environment: &environment,
        tasks: &on_ecs,
        aws: &aws,
        cli: cli.as_ref(),
        engine: engine.as_ref(),
        platforms: &platforms,
        tell: &|branch, finding| tree.tell(branch, finding),
    };
    tokio::select! {
        () = Box::pin(checker.run()) => Ok(tree.end()),
        signal = signals.next() => Err(Error::interrupted(signal, "the check was not finished")),
    }
}

/// The tasks that are named, else all that may run there. What is wrong with one is told, and the others go on.
fn tasks(
    config: &Config,
    selection: &Selection,
    environment: &ResolvedEnvironment,
    named: &[String],
    tree: &Tree<'_>,
) -> Result<Vec<ResolvedTask>> {
    let known = |name: &String| config.tasks.iter().any(|it| it.name.value == *name);
    if let Some(unknown) = named.iter().find(|it| !known(it)) {
        // The usual words for it, with the names that there are.
        resolve::resolve(config, &Selection { task: unknown.clone(), ..selection.clone() })?;
    }
    let allowed = config.tasks.iter().filter(|it| resolve::may_run(it, &environment.name.value));
    let names: Vec<String> = match named {
        [] => allowed.map(|it| it.name.value.clone()).collect(),
        named => resolve::with_needs(config, selection, named),
    };
    tree.tell(HERE, Finding::ok("tasks.toml", format!("{} of {} tasks", names.len(), config.tasks.len())));
    let mut tasks = Vec::new();
    for name in names {
        match resolve::resolve(config, &Selection { task: name.clone(), ..selection.clone() }) {
            Ok(task) => tasks.push(task),
            Err(error) => tree.tell_error(HERE, &format!("task {name}"), error, "correct the task in tasks.toml"),
        }
    }
    Ok(tasks)
}

/// Tasks that run on this machine.
async fn here(cx: &Cx, tasks: &[ResolvedTask], tree: &Tree<'_>) {
    for task in tasks.iter().filter(|it| it.runner.value != Runner::Ecs) {
        let name = format!("task {}", task.task);
        match local::check(task) {
            Ok(()) => tree.tell(HERE, Finding::ok(name, format!("can run in {}", cx.root.display()))),
            Err(error) => tree.tell_error(HERE, &name, error, "set what it needs"),
        }
    }
}

async fn engine(docker: &Docker, tree: &Tree<'_>, signals: &mut Signals) -> Result<Option<Engine>> {
    match docker.engine(signals).await {
        Ok(engine) => {
            let platform = engine.platform.as_deref().unwrap_or("a platform that it does not tell");
            tree.tell(HERE, Finding::ok("docker", format!("answers, on {platform}")));
            Ok(Some(engine))
        }
        Err(error) if matches!(error.kind, crate::error::ErrorKind::Interrupted(_)) => Err(error),
        Err(error) => {
            tree.tell_error(HERE, "docker", error, "start docker");
            Ok(None)
        }
    }
}

/// Prints findings under their branches as they come.
struct Tree<'a> {
    ui: &'a Ui,
    source: &'a Source,
    json: bool,
    branch: RefCell<String>,
    first: Cell<bool>,
    counts: Cell<[usize; 3]>,
}

/// A finding for programs.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    branch: &'a str,
    check: &'a str,
    state: State,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

impl<'a> Tree<'a> {
    fn new(ui: &'a Ui, source: &'a Source, json: bool) -> Tree<'a> {
        let (branch, first, counts) = (RefCell::default(), Cell::new(true), Cell::default());
        Tree { ui, source, json, branch, first, counts }
    }

    fn tell(&self, branch: &str, finding: Finding) {
        let Finding { name, state, message, hint, span } = finding;
        let mut counts = self.counts.get();
        counts[state as usize] += 1;
        self.counts.set(counts);
        let place = span.map(|it| line_and_column(&self.source.text, it.start));
        if self.json {
            let line = Line {
                version: self.first.replace(false).then_some(VERSION),
                branch,
                check: &name,
                state,
                message: &message,
                hint: hint.as_deref(),
                file: place.map(|_| self.source.path.as_str()),
                line: place.map(|(line, _)| line),
                column: place.map(|(_, column)| column),
            };
            // Texts and numbers can always be written.
            self.ui.print(format!("{}\n", serde_json::to_string(&line).unwrap_or_default()));
            return;
        }
        let mut text = String::new();
        if self.branch.replace(branch.to_owned()) != branch {
            text.push_str(&format!("{branch}\n"));
        }
        let state = match state {
            State::Ok => "ok",
            State::Skipped => "skipped",
            State::Failed => "failed",
        };
        // What AWS and docker say may hold anything; a terminal must not obey it.
        let message = message.replace(char::is_control, "\u{fffd}");
        text.push_str(&format!("  {state:<8} {}: {message}\n", name));
        if let Some((line, column)) = place {
            text.push_str(&format!("           at: {}:{line}:{column}\n", self.source.path));
        }
        if let Some(hint) = &hint {
            text.push_str(&format!("           hint: {hint}\n"));
        }
        self.ui.print(text);
    }

    fn tell_error(&self, branch: &str, name: &str, error: Error, hint: &str) {
        for problem in error.problems {
            self.tell(branch, Finding::of(name, problem, hint));
        }
    }

    /// Says how many, and gives the exit code.
    fn end(&self) -> u8 {
        let [ok, skipped, failed] = self.counts.get();
        if !self.json {
            self.ui.print(format!("{failed} failed, {skipped} skipped, {ok} ok\n"));
        }
        if failed > 0 { exit::PROBLEM } else { exit::OK }
    }
}
