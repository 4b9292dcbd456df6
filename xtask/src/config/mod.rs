//! tasks.toml: from its text to a [`Config`] that is checked as far as the file alone can tell, or all of its problems in one error, in
//! the order of the file. What depends on AWS is the plan's to check.
//!
//! `keys` is the table of what can be said, `reader` and `values` read it, `syntax` tells errors of TOML itself, `checks` holds
//! the parts against each other, `layers` is the precedence.

mod checks;
mod fargate;
mod keys;
mod layers;
mod reader;
pub mod schema;
pub mod suggest;
mod syntax;
pub mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use fargate::{WrongSize, impossible as impossible_fargate_size};
pub use keys::{Key, Layer, Takes, keys};
pub use layers::Layers;

use keys::ReadKey;
use reader::{Entry, Reader};
use syntax::Syntax;
use values::Wrong;

use crate::error::{Error, Problem, Result};
use crate::model::{
    Config, EnvironmentSpec, ImageSpec, LogsSpec, Retry, RetryOn, Settings, Source, Sourced, Span, TaskSpec,
};

/// Reads tasks.toml. All problems are in one error.
pub fn parse(source: &Arc<Source>) -> Result<Config> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    if errors.is_empty() {
        return read(source, &source.text, &table, Syntax::default());
    }
    let mut syntax = syntax::check(&source.text);
    let text = std::mem::take(&mut syntax.text);
    read(source, &text, &DeTable::parse_recoverable(&text).0, syntax)
}

/// Reads the tree of `text`: the file's, but for the statements that `syntax` left out.
fn read(source: &Arc<Source>, text: &str, table: &Spanned<DeTable<'_>>, syntax: Syntax) -> Result<Config> {
    let mut reader = Reader::new(text);
    reader.unread.extend(syntax.unread);
    let mut places = Places::default();
    let config = read_root(&mut reader, table.get_ref(), &mut places);
    if !syntax.header_lost {
        checks::names(&config, &places, &mut reader);
    }
    checks::combinations(&config, &places, &mut reader);

    let mut problems = reader.problems;
    let meets = |a: &Problem, b: &Problem| match (a.span, b.span) {
        (Some(a), Some(b)) => a.start < b.end && b.start < a.end,
        _ => false,
    };
    for mild in syntax.mild {
        if mild.hides {
            problems.retain(|it| !meets(it, &mild.problem));
        }
        if !(mild.yields && problems.iter().any(|it| meets(it, &mild.problem))) {
            problems.push(mild.problem);
        }
    }
    problems.extend(syntax.problems);
    if problems.is_empty() {
        return Ok(config);
    }
    problems.sort_by_key(|it| it.span);
    problems.dedup();
    Err(Error::all_refused(problems).in_source(source))
}

/// Places of names that the model has no room for.
#[derive(Default)]
struct Places {
    /// `[images.X]`.
    images: BTreeMap<String, Span>,
    /// `[tasks.X.on.ENV]` by task and environment.
    on: BTreeMap<(String, String), Span>,
}

fn read_root(reader: &mut Reader<'_>, table: &DeTable<'_>, places: &mut Places) -> Config {
    let mut config = Config {
        default_environment: None,
        defaults: Settings::default(),
        images: Vec::new(),
        environments: Vec::new(),
        tasks: Vec::new(),
    };
    for entry in reader.entries(table, "") {
        let Some(key) = known(reader, &entry, Layer::Root) else { continue };
        match (&key.read, key.takes) {
            (ReadKey::Root(read), _) => {
                reading(reader, &entry, |reader| read(&mut config, &entry, reader));
            }
            (_, Takes::Tables(Layer::Image)) => {
                for inner in named_tables(reader, &entry, "image") {
                    places.images.insert(inner.name.to_owned(), inner.key);
                    let image = read_image(reader, &inner);
                    config.images.push(image);
                }
            }
            (_, Takes::Tables(Layer::Environment)) => {
                for inner in named_tables(reader, &entry, "environment") {
                    let name = declared(&inner);
                    let settings = read_settings(reader, &inner, Layer::Environment);
                    config.environments.push(EnvironmentSpec { name, settings });
                }
            }
            (_, Takes::Tables(_)) => {
                for inner in named_tables(reader, &entry, "task") {
                    let task = read_task(reader, &inner, places);
                    config.tasks.push(task);
                }
            }
            _ => config.defaults = read_settings(reader, &entry, Layer::Defaults),
        }
    }
    config
}

/// A name with the place where it is declared.
fn declared(entry: &Entry<'_>) -> Sourced<String> {
    let origin = crate::model::Origin::File { key: entry.path.clone(), span: entry.key };
    Sourced::new(entry.name.to_owned(), origin)
}

/// The tables by name in `images`, `environments`, `tasks` and `on`, their names checked.
fn named_tables<'a>(reader: &mut Reader<'_>, entry: &Entry<'a>, kind: &str) -> Vec<Entry<'a>> {
    let Some(entries) = inner_entries(reader, entry, Takes::Tables(Layer::Root)) else {
        return Vec::new();
    };
    for inner in &entries {
        if let Err(wrong) = values::name(kind, inner.name) {
            reader.wrong(wrong, inner.key);
        } else if kind == "image" && inner.name == "deployed" {
            let wrong = Wrong::new("an image cannot have the name `deployed`");
            reader.wrong(
                wrong.hint("`image = \"deployed\"` means what the service runs now: use another name"),
                inner.key,
            );
        }
    }
    entries
}

/// The keys of a table that must be one.
fn inner_entries<'a>(reader: &mut Reader<'_>, entry: &Entry<'a>, takes: Takes) -> Option<Vec<Entry<'a>>> {
    match entry.value {
        DeValue::Table(table) => Some(reader.entries(table, &entry.path)),
        _ => {
            reader.mismatch(entry, takes);
            reader.unread.insert(entry.name.to_owned());
            None
        }
    }
}

/// Reads one key, and remembers it where that failed.
fn reading(reader: &mut Reader<'_>, entry: &Entry<'_>, read: impl FnOnce(&mut Reader<'_>)) {
    let before = reader.problems.len();
    read(reader);
    if reader.problems.len() > before {
        reader.unread.insert(entry.name.to_owned());
    }
}

/// The key of that name in the layer, else a problem that says where it belongs or what was meant.
fn known(reader: &mut Reader<'_>, entry: &Entry<'_>, layer: Layer) -> Option<&'static Key> {
    if let Some(key) = keys::find(layer, entry.name) {
        return Some(key);
    }
    let elsewhere = |name: &str| -> Vec<Layer> {
        let inner = [Layer::Logs, Layer::Retry];
        let all = keys().iter().filter(|it| it.name == name).flat_map(|it| it.layers.iter().copied());
        let mut layers: Vec<Layer> = all.filter(|it| !inner.contains(it)).collect();
        layers.dedup();
        layers
    };
    let layers = elsewhere(entry.name);
    if !layers.is_empty() {
        let layers: Vec<String> = layers.iter().map(ToString::to_string).collect();
        let message = format!("`{}` cannot stand {}", entry.name, place_of(entry, layer));
        let problem = Problem::new(message).at(entry.key).hint(format!("it belongs into {}", layers.join(" or ")));
        reader.problems.push(problem);
        reader.unread.insert(entry.name.to_owned());
        return None;
    }
    let here: Vec<&str> = keys().iter().filter(|it| it.layers.contains(&layer)).map(|it| it.name).collect();
    let meant = OTHER_WORDS.iter().find(|it| it.0.contains(&entry.name) && here.contains(&it.1)).map(|it| it.1);
    let meant = meant.or_else(|| suggest::closest(entry.name, here.iter().copied()));
    let hint = match meant {
        Some(it) => {
            reader.unread.insert(it.to_owned());
            format!("did you mean `{it}`?")
        }
        None if layer == Layer::Root && entry.value.is_table() => {
            format!("a task stands in `[tasks.{0}]`, an environment in `[environments.{0}]`", entry.name)
        }
        None => format!("keys here: {}", here.join(", ")),
    };
    let message = format!("unknown key `{}` {}", entry.name, place_of(entry, layer));
    reader.problems.push(Problem::new(message).at(entry.key).hint(hint));
    None
}

/// Words of other tools and of ECS's API for what a key here says.
const OTHER_WORDS: &[(&[&str], &str)] = &[
    (&["env", "environment", "environ", "env-vars", "vars"], "variables"),
    (&["cmd", "run", "script", "args", "arguments"], "command"),
    (&["entry-point", "entryPoint"], "entrypoint"),
    (&["task-role-arn", "taskRoleArn", "role"], "task-role"),
    (&["execution-role-arn", "executionRoleArn"], "execution-role"),
    (&["cpus", "vcpu", "vcpus"], "cpu"),
    (&["mem", "ram"], "memory"),
    (&["depends-on", "depends_on", "dependsOn", "requires", "deps", "after"], "needs"),
    (&["account-id", "account_id", "aws-account"], "account"),
    (&["aws-profile", "aws_profile"], "profile"),
    (&["aws-region", "aws_region"], "region"),
    (&["endpoint", "endpoint_url"], "endpoint-url"),
    (&["args", "arg", "build_args"], "build-args"),
    (&["desc", "help", "about", "summary"], "description"),
    (&["envs", "only"], "environments"),
    (&["default", "default-env", "default_env"], "default-environment"),
    (&["capacity-provider-strategy", "capacityProviderStrategy", "capacity-provider"], "capacity-providers"),
    (&["public-ip", "assignPublicIp"], "assign-public-ip"),
    (&["disk", "storage"], "ephemeral-storage"),
    (&["concurrency"], "parallel"),
    (&["path", "dir"], "context"),
    (&["stage"], "target"),
    (&["retries"], "attempts"),
    (&["log", "logging", "log-configuration", "logConfiguration"], "logs"),
];

/// The table that a key stands in, as the user wrote it.
fn place_of(entry: &Entry<'_>, layer: Layer) -> String {
    match entry.path.rsplit_once(entry.name).map(|it| it.0.trim_end_matches('.')) {
        Some(table) if !table.is_empty() => format!("in `{table}`"),
        _ => format!("at {layer}"),
    }
}

fn read_settings(reader: &mut Reader<'_>, entry: &Entry<'_>, layer: Layer) -> Settings {
    let mut settings = Settings::default();
    for inner in inner_entries(reader, entry, Takes::Table(layer)).unwrap_or_default() {
        let Some(key) = known(reader, &inner, layer) else { continue };
        if let ReadKey::Settings(read) = &key.read {
            reading(reader, &inner, |reader| read(&mut settings, &inner, reader));
        }
    }
    contradictions(reader, &settings);
    settings
}

/// What one table cannot say together.
fn contradictions(reader: &mut Reader<'_>, settings: &Settings) {
    if let (Some(launch_type), Some(providers)) = (&settings.launch_type, &settings.capacity_providers) {
        let place = launch_type.span().max(providers.span());
        let problem = Problem::new("`launch-type` and `capacity-providers` exclude each other").at(place);
        reader.problems.push(problem.hint("keep one of them"));
    }
    for (name, secret) in &settings.secrets {
        if let Some(variable) = settings.variables.get(name) {
            let problem = Problem::new(format!("`{name}` is in `variables` and in `secrets`"));
            reader.problems.push(problem.at(secret.span().max(variable.span())).hint("keep one of them"));
        }
    }
}

fn read_task(reader: &mut Reader<'_>, entry: &Entry<'_>, places: &mut Places) -> TaskSpec {
    let mut task = TaskSpec {
        name: declared(entry),
        description: None,
        environments: None,
        settings: Settings::default(),
        on: BTreeMap::new(),
    };
    for inner in inner_entries(reader, entry, Takes::Table(Layer::Task)).unwrap_or_default() {
        let Some(key) = known(reader, &inner, Layer::Task) else { continue };
        match &key.read {
            ReadKey::Task(read) => reading(reader, &inner, |reader| read(&mut task, &inner, reader)),
            ReadKey::Settings(read) => reading(reader, &inner, |reader| read(&mut task.settings, &inner, reader)),
            _ => {
                // Names of environments: whether they exist says `checks`.
                for block in inner_entries(reader, &inner, Takes::Tables(Layer::On)).unwrap_or_default() {
                    let settings = read_settings(reader, &block, Layer::On);
                    places.on.insert((entry.name.to_owned(), block.name.to_owned()), block.key);
                    task.on.insert(block.name.to_owned(), settings);
                }
            }
        }
    }
    contradictions(reader, &task.settings);
    task
}

fn read_image(reader: &mut Reader<'_>, entry: &Entry<'_>) -> ImageSpec {
    let mut image = ImageSpec {
        name: entry.name.to_owned(),
        context: Sourced::default(".".to_owned()),
        dockerfile: None,
        target: None,
        build_args: BTreeMap::new(),
        build_secrets: Vec::new(),
        build_options: Vec::new(),
        prepare: None,
        repository: None,
        registry: None,
        registry_profile: None,
        create_repository: false,
    };
    for inner in inner_entries(reader, entry, Takes::Table(Layer::Image)).unwrap_or_default() {
        let Some(key) = known(reader, &inner, Layer::Image) else { continue };
        if let ReadKey::Image(read) = &key.read {
            reading(reader, &inner, |reader| read(&mut image, &inner, reader));
        }
    }
    image
}

fn read_logs(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Sourced<LogsSpec>> {
    let mut logs = LogsSpec { group: String::new(), region: None, prefix: None };
    let found = reader.problems.len();
    let entries = inner_entries(reader, entry, Takes::Logs)?;
    for inner in &entries {
        let Some(key) = known(reader, inner, Layer::Logs) else { continue };
        if let ReadKey::Logs(read) = &key.read {
            read(&mut logs, inner, reader);
        }
    }
    finished(reader, entry, &entries, &["group"], found)?;
    Some(Sourced::new(logs, entry.origin()))
}

fn read_retry(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Sourced<Retry>> {
    let mut retry = Retry { on: RetryOn::default(), attempts: 1 };
    let found = reader.problems.len();
    let entries = inner_entries(reader, entry, Takes::Retry)?;
    for inner in &entries {
        let Some(key) = known(reader, inner, Layer::Retry) else { continue };
        if let ReadKey::Retry(read) = &key.read {
            read(&mut retry, inner, reader);
        }
    }
    finished(reader, entry, &entries, &["on", "attempts"], found)?;
    Some(Sourced::new(retry, entry.origin()))
}

/// Whether an inner table was read without a problem and has the keys that it cannot do without.
fn finished(
    reader: &mut Reader<'_>,
    entry: &Entry<'_>,
    entries: &[Entry<'_>],
    needed: &[&str],
    found: usize,
) -> Option<()> {
    if reader.problems.len() > found {
        return None;
    }
    let missing = needed.iter().find(|it| !entries.iter().any(|entry| entry.name == **it));
    let Some(missing) = missing else { return Some(()) };
    let example = if entry.name == "logs" { Takes::Logs } else { Takes::Retry };
    let problem = Problem::new(format!("`{}` has no `{missing}`", entry.name)).at(entry.span);
    reader.problems.push(problem.hint(format!("`{}` takes {example}", entry.name)));
    None
}

#[cfg(test)]
mod tests;
