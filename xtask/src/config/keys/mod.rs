//! The one table of keys: what tasks.toml can say, where each key may stand, what it takes, and how it is read. The parser works by
//! this table alone, so README's reference and the schema for editors can be held against it.

mod special;
mod table;

use std::fmt;

use super::reader::{Entry, Reader};
use table::KEYS;

use crate::model::{Config, ImageSpec, LogsSpec, Retry, Settings, TaskSpec};

/// A kind of table in tasks.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The top of the file.
    Root,
    /// `[defaults]`.
    Defaults,
    /// `[images.X]`.
    Image,
    /// `[environments.X]`.
    Environment,
    /// `[tasks.X]`.
    Task,
    /// `[tasks.X.on.ENV]`.
    On,
    /// `logs = { … }`.
    Logs,
    /// `retry = { … }`.
    Retry,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::Root => "the top of the file",
            Layer::Defaults => "`[defaults]`",
            Layer::Image => "`[images.X]`",
            Layer::Environment => "`[environments.X]`",
            Layer::Task => "`[tasks.X]`",
            Layer::On => "`[tasks.X.on.ENV]`",
            Layer::Logs => "`logs`",
            Layer::Retry => "`retry`",
        })
    }
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Number,
    /// `"15m"`.
    Duration,
    /// A number, or a string such as `"1 vCPU"`.
    Cpu,
    /// A number, or a string such as `"2 GB"`.
    Memory,
    /// A list of strings.
    List,
    /// A list of strings that begins with a program.
    Command,
    /// A table of strings by names that the user chooses.
    Names,
    /// A table of weights by capacity provider.
    Weights,
    /// `"all"`, `"none"` or a list of containers' names.
    Sidecars,
    /// A table with the keys of [`Layer::Logs`].
    Logs,
    /// A table with the keys of [`Layer::Retry`].
    Retry,
    /// A table with the keys of that layer.
    Table(Layer),
    /// A table of such tables by names that the user chooses.
    Tables(Layer),
}

impl fmt::Display for Takes {
    /// As in "`timeout` takes a duration (`\"15m\"`)".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Takes::Text => "a string",
            Takes::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|it| format!("`\"{it}\"`")).collect();
                return f.write_str(&words.join(" or "));
            }
            Takes::Boolean => "`true` or `false`",
            Takes::Number => "a number",
            Takes::Duration => "a duration (`\"15m\"`)",
            Takes::Cpu => "a number or a string (`1024`, `\"1 vCPU\"`)",
            Takes::Memory => "a number or a string (`4096`, `\"4 GB\"`)",
            Takes::List => "a list of strings",
            Takes::Command => "a list: the program and its arguments",
            Takes::Names => "a table of names and strings",
            Takes::Weights => "a table of weights (`{ FARGATE = 1 }`)",
            Takes::Sidecars => "`\"all\"`, `\"none\"` or a list of containers",
            Takes::Logs => "a table (`{ group = \"/ecs/one-off\" }`)",
            Takes::Retry => "a table (`{ on = \"spot\", attempts = 2 }`)",
            Takes::Table(_) => "a table",
            Takes::Tables(_) => "a table of tables",
        })
    }
}

/// A key of tasks.toml.
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// Where it may stand.
    pub layers: &'static [Layer],
    /// What it takes.
    pub takes: Takes,
    /// What it does, in one line.
    pub about: &'static str,
    pub(super) read: ReadKey,
}

/// A function that reads a key's value into the part of the model that holds it.
type Into<T> = fn(&mut T, &Entry<'_>, &mut Reader<'_>);

/// Where a key's value goes.
pub(super) enum ReadKey {
    Root(Into<Config>),
    Settings(Into<Settings>),
    Image(Into<ImageSpec>),
    Task(Into<TaskSpec>),
    Logs(Into<LogsSpec>),
    Retry(Into<Retry>),
    /// The parser goes down into it itself.
    Table,
}

/// All keys, in the order of README's reference.
pub fn keys() -> &'static [Key] {
    KEYS
}

/// The key of that name in that layer.
pub(super) fn find(layer: Layer, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|it| it.name == name && it.layers.contains(&layer))
}
