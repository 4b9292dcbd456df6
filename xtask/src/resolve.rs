//! What a run will be, as far as tasks.toml and the command line say: a [`Selection`] and a [`Config`] make a [`ResolvedTask`]. Every
//! refusal that needs nothing else is made here, all of them in one error; what depends on AWS or on this process's variables is
//! left to those who know them.

mod needs;

use std::time::Duration;

use crate::config::{Layers, WrongSize, impossible_fargate_size, suggest, values};
use crate::error::{Error, Problem, Result};
use crate::model::{
    Config, EnvironmentSpec, ImageChoice, ImageSpec, OnInterrupt, Origin, ResolvedEnvironment, ResolvedTask, Runner,
    Selection, Settings, Shards, Sourced, TaskSpec,
};

pub use needs::{Order, Sequence, order, sequence, with_needs};

/// From launch to RUNNING, unless written.
const START_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Decides what runs where. The error's spans point into the file that the config was read from.
pub fn resolve(config: &Config, selection: &Selection) -> Result<ResolvedTask> {
    let (task, (environment, chosen)) = match (find_task(config, selection), choose_environment(config, selection)) {
        (Ok(task), Ok(environment)) => (task, environment),
        (task, environment) => {
            return Err(Error::all_refused([task.err(), environment.err()].into_iter().flatten().collect()));
        }
    };
    may_run_there(config, task, &chosen)?;

    let layers = Layers::new(config, Some(environment), Some(task));
    let runner = layers.get(|it| &it.runner).cloned().unwrap_or(Sourced::default(Runner::Ecs));
    let mut resolving = Resolving { config, selection, task, runner: runner.value, problems: Vec::new() };
    let mut settings = layers.merged();
    resolving.flags(&mut settings, &chosen.value);
    let shards = resolving.shards(&settings);
    resolving.sizes(&settings, layers);
    let image = resolving.image(&settings, environment);
    let command = resolving.command(&settings);
    if !resolving.problems.is_empty() {
        resolving.problems.sort_by_key(|it| it.span);
        return Err(Error::all_refused(resolving.problems));
    }

    let mut warnings = Vec::new();
    if selection.ci && selection.environment.is_none() && runner.value != Runner::Ecs {
        warnings.push(format!(
            "CI is set and no environment is given: `{}` runs on this machine, in `{}`; choose another with -e or XTASK_ENV",
            task.name.value, chosen.value
        ));
    }
    Ok(ResolvedTask {
        task: task.name.value.clone(),
        task_span: task.name.span(),
        environment: chosen,
        runner,
        image,
        entrypoint: settings.entrypoint.clone(),
        command,
        variables: settings.variables.clone(),
        secrets: settings.secrets.clone(),
        interactive: settings.interactive.as_ref().is_some_and(|it| it.value),
        timeout: settings.timeout.clone(),
        start_timeout: settings.start_timeout.clone().unwrap_or(Sourced::default(START_TIMEOUT)),
        on_interrupt: settings.on_interrupt.as_ref().map_or(OnInterrupt::Stop, |it| it.value),
        protected: settings.protected.as_ref().is_some_and(|it| it.value),
        rebuild: selection.rebuild,
        exclusive: selection.attach_if_running || settings.exclusive.as_ref().is_some_and(|it| it.value),
        once: selection.once,
        shards,
        settings,
        warnings,
    })
}

/// What the environment says alone, for what concerns no single task. Only `environment`, `profile` and `region` of the selection count.
pub fn environment_itself(config: &Config, selection: &Selection) -> Result<ResolvedEnvironment> {
    let (environment, chosen) = choose_environment(config, selection).map_err(Problem::refused)?;
    let layers = Layers::new(config, Some(environment), None);
    let runner = layers.get(|it| &it.runner).cloned().unwrap_or(Sourced::default(Runner::Ecs));
    let mut settings = layers.merged();
    lay_over(&mut settings.profile, &selection.profile);
    lay_over(&mut settings.region, &selection.region);
    let protected = settings.protected.as_ref().is_some_and(|it| it.value);
    Ok(ResolvedEnvironment { name: chosen, runner, protected, settings })
}

/// Whether tasks.toml lets a task run in an environment.
pub fn may_run(task: &TaskSpec, environment: &str) -> bool {
    task.environments.as_ref().is_none_or(|it| it.value.iter().any(|it| it == environment))
}

fn find_task<'a>(config: &'a Config, selection: &Selection) -> Result<&'a TaskSpec, Problem> {
    let name = selection.task.as_str();
    config.tasks.iter().find(|it| it.name.value == name).ok_or_else(|| {
        let names: Vec<&str> = config.tasks.iter().map(|it| it.name.value.as_str()).collect();
        let hint = suggest::hint(name, "tasks", &names);
        Problem::new(format!("unknown task `{name}`"))
            .hint(hint.unwrap_or_else(|| "tasks.toml has no tasks: add `[tasks.db-migrate]`".to_owned()))
    })
}

/// An environment of ECS without a task: its name and what it says by itself. The error's spans point into the file that the config
/// was read from.
pub fn environment_settings(config: &Config, selection: &Selection) -> Result<(Sourced<String>, Settings)> {
    let (environment, chosen) = choose_environment(config, selection).map_err(Problem::refused)?;
    let mut settings = Layers::new(config, Some(environment), None).merged();
    if settings.runner.as_ref().is_some_and(|it| it.value != Runner::Ecs) {
        let message = format!("`{}` is on this machine: a session is opened in an ECS task", chosen.value);
        let span = settings.runner.as_ref().and_then(Sourced::span);
        return Err(Problem::new(message).at(span).hint("choose another environment with -e").refused());
    }
    if let Some(problem) = other_region(&settings, selection, &chosen.value) {
        return Err(problem.refused());
    }
    lay_over(&mut settings.profile, &selection.profile);
    lay_over(&mut settings.region, &selection.region);
    Ok((chosen, settings))
}

/// An environment without a task: where the ECS tasks of its tasks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its name and who chose it.
    pub name: Sourced<String>,
    /// Usually one; any key may differ from task to task.
    pub places: Vec<Place>,
}

/// A cluster and the way to it, with the tasks that run there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The cluster.
    pub cluster: Sourced<String>,
    /// `region`, `profile`, `account`, `endpoint_url` and `protected`; everything else is left out.
    pub settings: Settings,
    /// In the order of tasks.toml.
    pub tasks: Vec<PlacedTask>,
}

/// A task that runs in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedTask {
    /// Its name in tasks.toml.
    pub name: String,
    /// As tasks.toml has it now.
    pub timeout: Option<Duration>,
}

/// Decides where the ECS tasks of an environment are to be found. The error's spans point into the file that the config was read from.
pub fn environment(config: &Config, selection: &Selection) -> Result<Environment> {
    let (environment, name) = choose_environment(config, selection).map_err(|it| Error::all_refused(vec![it]))?;
    let mut places: Vec<Place> = Vec::new();
    let mut without_cluster = None;
    let allowed = |it: &&TaskSpec| it.environments.as_ref().is_none_or(|it| it.value.contains(&name.value));
    for task in config.tasks.iter().filter(allowed) {
        let merged = Layers::new(config, Some(environment), Some(task)).merged();
        if merged.runner.as_ref().is_some_and(|it| it.value != Runner::Ecs) {
            continue;
        }
        let Some(cluster) = merged.cluster else {
            without_cluster.get_or_insert(task);
            continue;
        };
        let mut settings = Settings {
            region: merged.region,
            profile: merged.profile,
            account: merged.account,
            endpoint_url: merged.endpoint_url,
            protected: merged.protected,
            ..Settings::default()
        };
        if let Some(problem) = other_region(&settings, selection, &name.value) {
            return Err(problem.refused());
        }
        lay_over(&mut settings.profile, &selection.profile);
        lay_over(&mut settings.region, &selection.region);
        let placed = PlacedTask { name: task.name.value.clone(), timeout: merged.timeout.map(|it| it.value) };
        let is_there = |it: &&mut Place| it.cluster.value == cluster.value && same_way(&it.settings, &settings);
        match places.iter_mut().find(is_there) {
            Some(place) => place.tasks.push(placed),
            None => places.push(Place { cluster, settings, tasks: vec![placed] }),
        }
    }
    if !places.is_empty() {
        return Ok(Environment { name, places });
    }
    let problem = match without_cluster {
        Some(_) => Problem::new(format!("the environment `{}` has no `cluster`", name.value))
            .hint("set `cluster` in the environment"),
        None => {
            Problem::new(format!("no task runs on ECS in `{}`", name.value)).hint("choose another environment with -e")
        }
    };
    Err(problem.at(environment.name.span()).refused())
}

/// Whether both lead to the same account and region in the same way, wherever that is written.
fn same_way(one: &Settings, other: &Settings) -> bool {
    let value = |it: &Option<Sourced<String>>| it.as_ref().map(|it| it.value.clone());
    let way = |it: &Settings| [value(&it.region), value(&it.profile), value(&it.account), value(&it.endpoint_url)];
    way(one) == way(other)
}

/// A protected environment is in its region and nowhere else.
fn other_region(settings: &Settings, selection: &Selection, environment: &str) -> Option<Problem> {
    let (flag, region) = (selection.region.as_ref()?, settings.region.as_ref()?);
    let protected = settings.protected.as_ref().is_some_and(|it| it.value);
    if !protected || flag.value == region.value {
        return None;
    }
    let message = format!("`{environment}` is protected and is in {}, not in {}", region.value, flag.value);
    Some(Problem::new(message).at(region.span()).hint("leave --region out"))
}

/// The environment, and who chose it.
fn choose_environment<'a>(
    config: &'a Config,
    selection: &Selection,
) -> Result<(&'a EnvironmentSpec, Sourced<String>), Problem> {
    const NONE: &str =
        "tasks.toml declares none: add `[environments.local]` with `runner = \"host\"` to run on this machine";
    let chosen = match (&selection.environment, &config.default_environment, config.environments.as_slice()) {
        (Some(chosen), ..) | (None, Some(chosen), _) => chosen.clone(),
        (None, None, [only]) => Sourced::default(only.name.value.clone()),
        (None, None, []) if selection.task.is_empty() => return Err(Problem::new("no environment").hint(NONE)),
        (None, None, []) => {
            let what = if selection.task.is_empty() {
                "no environment".to_owned()
            } else {
                format!("no environment to run `{}` in", selection.task)
            };
            return Err(Problem::new(what).hint(NONE));
        }
        (None, None, several) => {
            let names: Vec<&str> = several.iter().map(|it| it.name.value.as_str()).collect();
            let whose = if selection.task.is_empty() { String::new() } else { format!(" for `{}`", selection.task) };
            return Err(Problem::new(format!("no environment is given{whose}")).hint(format!(
                "choose one with -e, or set `default-environment`; environments: {}",
                suggest::list(&names)
            )));
        }
    };
    if let Some(environment) = config.environments.iter().find(|it| it.name.value == chosen.value) {
        return Ok((environment, chosen));
    }
    let names: Vec<&str> = config.environments.iter().map(|it| it.name.value.as_str()).collect();
    let from = match chosen.origin {
        Origin::Variable(name) => format!(" (from {name})"),
        _ => String::new(),
    };
    let hint = suggest::hint(&chosen.value, "environments", &names).unwrap_or_else(|| NONE.to_owned());
    Err(Problem::new(format!("unknown environment `{}`{from}", chosen.value)).at(chosen.span()).hint(hint))
}

fn may_run_there(config: &Config, task: &TaskSpec, chosen: &Sourced<String>) -> Result<()> {
    let Some(allowed) = task.environments.as_ref().filter(|it| !it.value.contains(&chosen.value)) else {
        return Ok(());
    };
    let why = match &chosen.origin {
        Origin::Variable(name) => format!(" (from {name})"),
        Origin::File { .. } => " (the default environment)".to_owned(),
        Origin::Default if config.environments.len() == 1 => " (the only environment)".to_owned(),
        _ => String::new(),
    };
    let names: Vec<&str> = allowed.value.iter().map(String::as_str).collect();
    let problem = Problem::new(format!("`{}` may not run in `{}`{why}", task.name.value, chosen.value));
    Err(problem.at(allowed.span()).hint(format!("choose another with -e: {}", suggest::list(&names))).refused())
}

struct Resolving<'a> {
    config: &'a Config,
    selection: &'a Selection,
    task: &'a TaskSpec,
    runner: Runner,
    problems: Vec<Problem>,
}

impl Resolving<'_> {
    fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn runner_name(&self) -> &'static str {
        match self.runner {
            Runner::Host => "host",
            Runner::Docker => "docker",
            Runner::Ecs => "ecs",
        }
    }

    /// Lays the flags over the settings. A flag that would do nothing on this runner is refused.
    fn flags(&mut self, settings: &mut Settings, environment: &str) {
        let selection = self.selection;
        let given = |origin: Option<&Origin>| matches!(origin, Some(Origin::Flag(_)));
        let on_docker = self.runner == Runner::Docker;
        let only_ecs = [
            ("--task-definition", selection.task_definition.is_some()),
            // AWS_PROFILE may be there for other reasons; the flag is meant for this run.
            ("--profile", given(selection.profile.as_ref().map(|it| &it.origin))),
            ("--region", given(selection.region.as_ref().map(|it| &it.origin))),
            ("--cpu", selection.cpu.is_some() && !on_docker),
            ("--memory", selection.memory.is_some() && !on_docker),
            ("--image", selection.image.is_some() && !on_docker),
            ("--rebuild", selection.rebuild && !on_docker),
            ("--once", selection.once),
            ("--attach-if-running", selection.attach_if_running),
        ];
        if self.runner != Runner::Ecs {
            for (flag, _) in only_ecs.iter().filter(|it| it.1) {
                let message = format!("{flag} does nothing on the {} runner of `{environment}`", self.runner_name());
                self.refuse(Problem::new(message).hint("leave it out, or choose another environment with -e"));
            }
            // Sizes in the file are those of ECS's machines. What is asked for on the command line docker can do.
            settings.cpu = None;
            settings.memory = None;
        }
        if self.runner == Runner::Ecs {
            if let Some(problem) = other_region(settings, selection, environment) {
                self.refuse(problem);
            }
            lay_over(&mut settings.profile, &selection.profile);
            lay_over(&mut settings.region, &selection.region);
            lay_over(&mut settings.task_definition, &selection.task_definition);
        }
        lay_over(&mut settings.cpu, &selection.cpu);
        lay_over(&mut settings.memory, &selection.memory);
        lay_over(&mut settings.timeout, &selection.timeout);
        lay_over(&mut settings.image, &selection.image);
        for (name, value) in &selection.variables {
            if let Err(wrong) = values::variable(name).and_then(|()| values::variable_value(value)) {
                let problem = Problem::new(format!("--var {name}: {}", wrong.message));
                self.refuse(Problem { hint: wrong.hint, ..problem });
            }
            // A variable of the command line stands in for the secret of that name, as a stronger layer's would.
            settings.secrets.remove(name);
            settings.variables.insert(name.clone(), Sourced::new(value.clone(), Origin::Flag("--var")));
        }
        let shapes = [
            ("--task-definition", selection.task_definition.as_ref().map(|it| values::word(&it.value))),
            ("--region", selection.region.as_ref().map(|it| values::region(&it.value))),
        ];
        for (flag, wrong) in shapes.into_iter().filter_map(|it| Some((it.0, it.1?.err()?))) {
            self.refuse(Problem { hint: wrong.hint, ..Problem::new(format!("{flag}: {}", wrong.message)) });
        }
    }

    /// Which shards run. That `exclusive` and `interactive` exclude them was said when the file was read.
    fn shards(&mut self, settings: &Settings) -> Option<Shards> {
        let (selection, task) = (self.selection, &self.task.name.value);
        let Some(shards) = &settings.shards else {
            for (flag, given) in [("--shard", !selection.shards.is_empty()), ("--keep-going", selection.keep_going)] {
                if given {
                    let problem = Problem::new(format!("{flag} is for a task with `shards`, and `{task}` has none"));
                    self.refuse(problem.at(self.task.name.span()).hint("leave it out, or set `shards` on the task"));
                }
            }
            return None;
        };
        let of = shards.value;
        for (flag, given) in [("--once", selection.once), ("--attach-if-running", selection.attach_if_running)] {
            if given && of > 1 {
                let message = format!("{flag} is for one ECS task, and `{task}` has `shards`");
                self.refuse(Problem::new(message).at(shards.span()).hint("leave it out"));
            }
        }
        if let Some((_, beyond)) = selection.shards.iter().find(|it| it.1 >= of) {
            let problem = Problem::new(format!("--shard {beyond}: `{task}` has {of} shards")).at(shards.span());
            self.refuse(problem.hint(format!("they are numbered from 0 to {}", of - 1)));
            return None;
        }
        let is_chosen = |shard: &u32| selection.shards.iter().any(|it| (it.0..=it.1).contains(shard));
        let chosen = (0..of).filter(|it| selection.shards.is_empty() || is_chosen(it)).collect();
        // On this machine they share what it has: several at a time have to be asked for.
        let unsaid = if self.runner == Runner::Ecs { of } else { 1 };
        let parallel = settings.parallel.as_ref().map_or(unsaid, |it| it.value).min(of);
        Some(Shards { of, chosen, parallel, keep_going: selection.keep_going })
    }

    /// Sizes of the command line on Fargate, where the file says that it is Fargate. The file's own were checked when it was read.
    fn sizes(&mut self, settings: &Settings, layers: Layers<'_>) {
        if self.runner != Runner::Ecs || !layers.says_fargate() {
            return;
        }
        if self.selection.cpu.is_none() && self.selection.memory.is_none() {
            return;
        }
        let (cpu, memory) = (settings.cpu.as_ref(), settings.memory.as_ref());
        let wrong = impossible_fargate_size(cpu.map(|it| it.value), memory.map(|it| it.value));
        if let Some((which, message, hint)) = wrong {
            let span = if which == WrongSize::Cpu { cpu } else { memory }.and_then(Sourced::span);
            self.refuse(Problem::new(message).at(span).hint(hint));
        }
    }

    fn image(&mut self, settings: &Settings, environment: &EnvironmentSpec) -> Option<Sourced<ImageChoice>> {
        let from_flag = self.selection.image.is_some();
        let Some(image) = &settings.image else {
            if self.runner == Runner::Docker {
                let message = format!("`{}` has no image to run on docker", self.task.name.value);
                self.refuse(
                    Problem::new(message).at(self.task.name.span()).hint("add `image = \"…\"`, or give --image"),
                );
            } else if self.selection.rebuild && self.runner == Runner::Ecs {
                self.nothing_to_rebuild(None);
            }
            return None;
        };
        let name = image.value.as_str();
        let built = self.config.images.iter().find(|it| it.name == name);
        let choice = match built {
            _ if name == "deployed" && self.runner == Runner::Ecs => ImageChoice::Deployed,
            _ if name == "deployed" => {
                let (task, environment) = (&self.task.name.value, &environment.name.value);
                let message =
                    format!("`deployed` means nothing on the {} runner of `{environment}`", self.runner_name());
                let other = self.config.images.first().map_or("…", |it| it.name.as_str());
                self.refuse(match from_flag {
                    true => Problem::new(message).hint("give --image a full reference"),
                    false => Problem::new(message)
                        .at(image.span())
                        .hint(format!("add `on.{environment}.image = \"{other}\"` to `[tasks.{task}]`")),
                });
                return None;
            }
            Some(_) if from_flag => {
                let message = format!("--image takes a full reference, and `{name}` is an image to build");
                self.refuse(Problem::new(message).hint("leave --image out, or use --rebuild to build it anew"));
                return None;
            }
            Some(spec) => ImageChoice::Build(self.build(spec, environment)),
            None if from_flag => {
                let bare = !values::looks_like_reference(name);
                let problem = Problem::new(format!("--image takes a full reference, not `{name}`"));
                match values::image_reference(name) {
                    Err(wrong) => self.refuse(Problem { hint: wrong.hint, ..problem }),
                    Ok(()) if bare => self.refuse(problem.hint(format!("write it with a tag: `{name}:latest`"))),
                    Ok(()) => {}
                }
                ImageChoice::Reference(name.to_owned())
            }
            None => ImageChoice::Reference(name.to_owned()),
        };
        let is_built = matches!(choice, ImageChoice::Build(_));
        if self.selection.rebuild && !is_built && self.runner != Runner::Host {
            self.nothing_to_rebuild(Some(image));
        }
        // A plain process has no image, whatever the task says for other places.
        (self.runner != Runner::Host).then(|| Sourced::new(choice, image.origin.clone()))
    }

    fn nothing_to_rebuild(&mut self, image: Option<&Sourced<String>>) {
        let task = &self.task.name.value;
        let problem = match (image, self.selection.image.is_some()) {
            (_, true) => Problem::new("--rebuild and --image exclude each other").hint("leave one of them out"),
            (Some(image), _) => {
                Problem::new(format!("--rebuild: `{task}` runs `{}`, which is not built here", image.value))
                    .at(image.span())
                    .hint("leave it out")
            }
            (None, _) => Problem::new(format!("--rebuild: `{task}` has no image to build")).hint("leave it out"),
        };
        self.refuse(problem);
    }

    /// The image with what the layers say about it: `defaults` below its own table, everything else above.
    fn build(&self, spec: &ImageSpec, environment: &EnvironmentSpec) -> ImageSpec {
        let mut spec = spec.clone();
        let mut build_args = self.config.defaults.build_args.clone();
        build_args.append(&mut spec.build_args);
        let above = [Some(&environment.settings), Some(&self.task.settings), self.task.on.get(&environment.name.value)];
        for settings in above.into_iter().flatten() {
            build_args.extend(settings.build_args.clone());
        }
        spec.build_args = build_args;
        if let Some(registry) = &environment.settings.registry {
            // The profile of the image belongs to the registry of the image.
            if spec.registry.as_ref().is_none_or(|it| it.value != registry.value) {
                spec.registry_profile = None;
            }
            spec.registry = Some(registry.clone());
        } else if spec.registry.is_none() {
            spec.registry.clone_from(&self.config.defaults.registry);
        }
        spec
    }

    /// The command with the arguments of the command line behind it.
    fn command(&mut self, settings: &Settings) -> Option<Sourced<Vec<String>>> {
        let arguments = &self.selection.arguments;
        if self.runner == Runner::Host && settings.command.is_none() && settings.entrypoint.is_none() {
            let message = format!("`{}` has no command to run on this machine", self.task.name.value);
            let place = self.task.name.span();
            self.refuse(
                Problem::new(message)
                    .at(place)
                    .hint("add `command = […]` to the task, or `entrypoint = […]` to the environment"),
            );
        }
        let mut command = settings.command.clone();
        match &mut command {
            _ if arguments.is_empty() => {}
            Some(command) => command.value.extend(arguments.iter().cloned()),
            // Without a command they are the arguments of the entrypoint, the image's own included.
            None => command = Some(Sourced::new(arguments.clone(), Origin::Flag("--"))),
        }
        command
    }
}

/// A flag wins.
fn lay_over<T: Clone>(setting: &mut Option<Sourced<T>>, flag: &Option<Sourced<T>>) {
    if flag.is_some() {
        setting.clone_from(flag);
    }
}

#[cfg(test)]
mod tests;
