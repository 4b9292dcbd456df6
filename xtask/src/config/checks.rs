//! Holding the parts of tasks.toml against each other: names that must exist, and what each task would run with in each environment.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::Reader;
use super::values::Wrong;
use super::{Layers, Places, fargate, suggest, values};
use crate::error::Problem;
use crate::model::{Config, EnvironmentSpec, Runner, Settings, Sourced, Span, TaskSpec};

/// ECS takes 50 tags; this leaves room for those that this tool adds.
const MOST_TAGS: usize = 40;

/// Names that are used must exist.
pub(super) fn names(config: &Config, places: &Places, reader: &mut Reader<'_>) {
    let environments: Vec<&str> = config.environments.iter().map(|it| it.name.value.as_str()).collect();
    let tasks: Vec<&str> = config.tasks.iter().map(|it| it.name.value.as_str()).collect();
    let images: Vec<&str> = config.images.iter().map(|it| it.name.as_str()).collect();
    let unread = reader.unread.clone();
    let exists = |name: &str, kind: &str, names: &[&str], place: Option<Span>, reader: &mut Reader<'_>| {
        let table = format!("{kind}s");
        if names.contains(&name) || unread.contains(&table) {
            return;
        }
        let hint = suggest::hint(name, &table, names).unwrap_or_else(|| format!("add `[{table}.{name}]`"));
        reader.problems.push(Problem::new(format!("unknown {kind} `{name}`")).at(place).hint(hint));
    };

    if let Some(it) = &config.default_environment {
        exists(&it.value, "environment", &environments, it.span(), reader);
    }
    for task in &config.tasks {
        let allowed = task.environments.as_ref();
        for (index, name) in allowed.iter().flat_map(|it| it.value.iter()).enumerate() {
            let place = reader.element(allowed.and_then(Sourced::span), index);
            exists(name, "environment", &environments, place, reader);
        }
        for environment in task.on.keys() {
            let place = places.on.get(&(task.name.value.clone(), environment.clone())).copied();
            exists(environment, "environment", &environments, place, reader);
            if let Some(allowed) = allowed
                && environments.contains(&environment.as_str())
                && !allowed.value.contains(environment)
            {
                let name = &task.name.value;
                let problem = Problem::new(format!("`{name}` never runs in `{environment}`, so this says nothing"));
                let hint = format!("add `{environment}` to its `environments`, or take the block out");
                reader.problems.push(problem.at(place).hint(hint));
            }
        }
    }
    for settings in blocks(config) {
        if let Some(needs) = &settings.needs {
            for (index, name) in needs.value.iter().enumerate() {
                exists(name, "task", &tasks, reader.element(needs.span(), index), reader);
            }
        }
        if let Some(image) = &settings.image {
            let name = image.value.as_str();
            if images.contains(&name) || name == "deployed" {
                continue;
            }
            let wrong = if values::looks_like_reference(name) {
                values::image_reference(name).err()
            } else if unread.contains("images") {
                None
            } else {
                let mut known = images.clone();
                known.push("deployed");
                let hint = match suggest::closest(name, known.iter().copied()) {
                    Some(it) => format!("did you mean `{it}`? images: {}", suggest::list(&known)),
                    None => {
                        format!("images: {}; a reference has a `/` or a tag: `{name}:latest`", suggest::list(&known))
                    }
                };
                Some(Wrong::new(format!("unknown image `{name}`")).hint(hint))
            };
            if let (Some(wrong), Some(place)) = (wrong, image.span()) {
                reader.wrong(wrong, place);
            }
        }
    }
}

/// Every table that may hold settings.
fn blocks(config: &Config) -> impl Iterator<Item = &Settings> {
    let tasks = config.tasks.iter().flat_map(|it| std::iter::once(&it.settings).chain(it.on.values()));
    let environments = config.environments.iter().map(|it| &it.settings);
    std::iter::once(&config.defaults).chain(environments).chain(tasks)
}

/// Whether the task may run there.
fn may_run(task: &TaskSpec, environment: &str) -> bool {
    task.environments.as_ref().is_none_or(|it| it.value.iter().any(|it| it == environment))
}

/// What each task would run with in each environment. A place is named once, however many tasks meet there.
pub(super) fn combinations(config: &Config, places: &Places, reader: &mut Reader<'_>) {
    let mut found = Found { told: BTreeSet::new(), problems: Vec::new(), unread: &reader.unread };
    let mut families = BTreeMap::new();
    for environment in &config.environments {
        let tasks: Vec<&TaskSpec> = config.tasks.iter().filter(|it| may_run(it, &environment.name.value)).collect();
        for task in &tasks {
            let layers = Layers::new(config, Some(environment), Some(task));
            found.anywhere(layers);
            if runner(layers) == Runner::Ecs {
                found.on_ecs(environment, Some(task), layers);
                found.image(config, places, layers);
                found.family(environment, task, &mut families);
            }
        }
        if tasks.is_empty() {
            let layers = Layers::new(config, Some(environment), None);
            found.anywhere(layers);
            if runner(layers) == Runner::Ecs {
                found.on_ecs(environment, None, layers);
            }
        }
        found.needs(config, Some(environment), reader);
    }
    if config.environments.is_empty() {
        for task in &config.tasks {
            found.anywhere(Layers::new(config, None, Some(task)));
        }
        found.needs(config, None, reader);
    }
    let problems = found.problems;
    reader.problems.extend(problems);
}

fn runner(layers: Layers<'_>) -> Runner {
    layers.get(|it| &it.runner).map_or(Runner::Ecs, |it| it.value)
}

struct Found<'a> {
    /// Which place has been told of which kind of problem.
    told: BTreeSet<(Option<Span>, String)>,
    problems: Vec<Problem>,
    /// Keys that were written but could not be read: they are not missing.
    unread: &'a BTreeSet<String>,
}

impl Found<'_> {
    /// Adds a problem unless this place has one of this kind.
    fn add(&mut self, kind: &str, problem: Problem) {
        if self.told.insert((problem.span, kind.to_owned())) {
            self.problems.push(problem);
        }
    }

    fn missing(&mut self, key: &str, present: bool, problem: impl FnOnce() -> Problem) {
        if !present && !self.unread.contains(key) {
            self.add(key, problem());
        }
    }

    /// What no runner can do.
    fn anywhere(&mut self, layers: Layers<'_>) {
        if let Some(shards) = layers.get(|it| &it.shards).filter(|it| it.value > 1) {
            let excluded = [
                ("exclusive", layers.is(|it| &it.exclusive), "shards are many ECS tasks at a time"),
                ("interactive", layers.is(|it| &it.interactive), "one terminal cannot be in many ECS tasks"),
            ];
            for (key, _, why) in excluded.iter().filter(|it| it.1) {
                let problem = Problem::new(format!("`shards` and `{key}` exclude each other")).at(shards.span());
                self.add("shards", problem.hint(format!("keep one of them: {why}")));
            }
        }
        if let Some(retry) = layers.get(|it| &it.retry).filter(|it| it.value.attempts > 1)
            && layers.is(|it| &it.interactive)
        {
            let problem = Problem::new("`retry` and `interactive` exclude each other").at(retry.span());
            self.add("retry", problem.hint("keep one of them: a session that has ended is not opened again"));
        }
        if layers.says_fargate() {
            let (cpu, memory) = (layers.get(|it| &it.cpu), layers.get(|it| &it.memory));
            let wrong = fargate::impossible(cpu.map(|it| it.value), memory.map(|it| it.value));
            if let Some((which, message, hint)) = wrong {
                // Of a pair the one that is closer to the task: it was written to go with the other.
                let cpu_is_closer = match (layers.rank(|it| &it.cpu), layers.rank(|it| &it.memory)) {
                    (Some(cpu), Some(memory)) => cpu < memory,
                    _ => false,
                };
                let place = if which == fargate::WrongSize::Cpu || cpu_is_closer { cpu } else { memory };
                self.add("size", Problem::new(message).at(place.and_then(Sourced::span)).hint(hint));
            }
        }
    }

    /// What the ecs runner cannot do without.
    fn on_ecs(&mut self, environment: &EnvironmentSpec, task: Option<&TaskSpec>, layers: Layers<'_>) {
        let name = &environment.name.value;
        if self.unread.contains(name) {
            return;
        }
        // Where the task itself chose ECS, the environment is not what is incomplete.
        let chosen = layers.get(|it| &it.runner).filter(|_| layers.rank(|it| &it.runner).is_some_and(|it| it < 2));
        let lacks = |what: &str| match (chosen, task) {
            (Some(runner), Some(task)) => {
                let message = format!("`{}` runs on ECS in `{name}`, which has no {what}", task.name.value);
                Problem::new(message).at(runner.span())
            }
            _ => Problem::new(format!("the environment `{name}` has no {what}")).at(environment.name.span()),
        };
        self.missing("cluster", layers.get(|it| &it.cluster).is_some(), || {
            lacks("`cluster`").hint("add `cluster = \"…\"`, or `runner = \"host\"` to run on this machine")
        });
        let has_base = layers.get(|it| &it.service).or(layers.get(|it| &it.task_definition)).is_some();
        self.missing("service", has_base || self.unread.contains("task-definition"), || {
            lacks("`service` and no `task-definition`")
                .hint("add `service = \"…\"`, or `task-definition = \"…\"` to do without a service")
        });
        if let Some(protected) = layers.get(|it| &it.protected).filter(|it| it.value) {
            let here = |key: &str| {
                let message = format!("`{name}` is protected and has no `{key}`");
                Problem::new(message)
                    .at(protected.span())
                    .hint(format!("add `{key} = \"…\"` to `[environments.{name}]`"))
            };
            let key = |key: &str| format!("{key} of {name}");
            if !self.unread.contains("account") && layers.get(|it| &it.account).is_none() {
                self.add(&key("account"), here("account"));
            }
            if !self.unread.contains("region") && layers.get(|it| &it.region).is_none() {
                self.add(&key("region"), here("region"));
            }
        }
        let tags: BTreeSet<&String> = layers.names(|it| &it.tags).map(|it| it.0).collect();
        if tags.len() > MOST_TAGS {
            let last = layers.names(|it| &it.tags).filter_map(|it| it.1.span()).max();
            let problem = Problem::new(format!("{} tags are too many", tags.len())).at(last);
            self.add("tags", problem.hint(format!("ECS takes 50, of which {MOST_TAGS} are yours")));
        }
    }

    /// An image that is built for ECS has a place to be pushed to.
    fn image(&mut self, config: &Config, places: &Places, layers: Layers<'_>) {
        let built = layers.get(|it| &it.image).and_then(|name| config.images.iter().find(|it| it.name == name.value));
        if let Some(image) = built {
            self.missing("repository", image.repository.is_some(), || {
                Problem::new(format!("the image `{}` runs on ECS and has no `repository`", image.name))
                    .at(places.images.get(&image.name).copied())
                    .hint("add `repository = \"…\"`: the ECR repository that it is pushed to")
            });
        }
    }

    /// The family is `xtask-<environment>-<task>`, and `a-b` and `c` give the same one as `a` and `b-c`.
    fn family(
        &mut self,
        environment: &EnvironmentSpec,
        task: &TaskSpec,
        families: &mut BTreeMap<String, (String, String)>,
    ) {
        let (environment, name) = (&environment.name.value, &task.name.value);
        let this = (environment.clone(), name.clone());
        let first = families.entry(format!("xtask-{environment}-{name}")).or_insert_with(|| this.clone()).clone();
        if first != this {
            let message = format!(
                "`{name}` in `{environment}` and `{}` in `{}` have the same task definition family `xtask-{environment}-{name}`",
                first.1, first.0
            );
            self.add("family", Problem::new(message).at(task.name.span()).hint("give the task another name"));
        }
    }

    /// Cycles of `needs`, and needed tasks that may not run where they are needed.
    fn needs(&mut self, config: &Config, environment: Option<&EnvironmentSpec>, reader: &Reader<'_>) {
        let index_of = |name: &str| config.tasks.iter().position(|it| it.name.value == name);
        let edges: Vec<Vec<(usize, Option<Span>)>> = config
            .tasks
            .iter()
            .map(|task| {
                let needs = Layers::new(config, environment, Some(task)).get(|it| &it.needs);
                let names = needs.iter().flat_map(|it| it.value.iter()).enumerate();
                let place = |index| reader.element(needs.and_then(Sourced::span), index);
                names.filter_map(|(index, name)| Some((index_of(name)?, place(index)))).collect()
            })
            .collect();
        for (from, task) in config.tasks.iter().enumerate() {
            if let Some(way) = way_back(from, &edges) {
                // Told at its first task alone, not once for every task on it.
                if way.iter().all(|it| from <= *it) {
                    let names: Vec<&str> = way.iter().map(|it| config.tasks[*it].name.value.as_str()).collect();
                    let place = edges[from].iter().find(|it| Some(&it.0) == way.get(1)).and_then(|it| it.1);
                    let message = format!("`needs` goes round in a circle: {}", names.join(" → "));
                    self.add("cycle", Problem::new(message).at(place).hint("take one of them out"));
                }
            }
            let Some(environment) = environment.map(|it| &it.name.value) else { continue };
            for (to, place) in edges[from].iter().filter(|_| may_run(task, environment)) {
                let needed = &config.tasks[*to];
                if !may_run(needed, environment) && !self.unread.contains("environments") {
                    let (name, needed) = (&task.name.value, &needed.name.value);
                    let problem =
                        Problem::new(format!("`{name}` needs `{needed}`, which may not run in `{environment}`"));
                    let hint =
                        format!("add `{environment}` to the `environments` of `{needed}`, or need it in an `on` block");
                    self.add("needed", problem.at(*place).hint(hint));
                }
            }
        }
    }
}

/// The shortest way from a task back to itself, both ends included.
fn way_back(from: usize, edges: &[Vec<(usize, Option<Span>)>]) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        for (next, _) in &edges[at] {
            if *next == from {
                let mut way = vec![from, at];
                while let Some(before) = way.last().filter(|it| **it != from).and_then(|it| came_from.get(it)) {
                    way.push(*before);
                }
                if at == from {
                    way.truncate(2);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(*next, at);
                queue.push_back(*next);
            }
        }
    }
    None
}
