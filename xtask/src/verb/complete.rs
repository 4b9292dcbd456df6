//! `completions`: the script of a shell; and the candidates that the scripts ask for. The scripts call the built binary itself,
//! because cargo takes a quarter of a second to find out that it is up to date.

use clap::Command;

use crate::flags::{Cli, Shell};
use crate::model::Config;
use crate::verb::help::TOPICS;

/// A word that may stand where the cursor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The word.
    pub word: String,
    /// What it is, in one line; may be empty.
    pub help: String,
}

/// What may stand in the place of the last of `words` (those behind `cargo xtask`). `config`: `None` where tasks.toml is missing or
/// broken; then there are no names to offer.
pub fn candidates(words: &[String], config: Option<&Config>) -> Vec<Candidate> {
    let root = Cli::description();
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", words),
    };
    let line = read(&root, before);
    let mut all = match &line.wants {
        Wants::Nothing => Vec::new(),
        Wants::Value(id) => values(line.command, id, config, &line),
        Wants::Any => {
            let mut all = Vec::new();
            if last.starts_with('-') {
                all = flags(&root, line.command);
            } else if line.verb.is_none() {
                all = verbs(&root);
            } else if let Some(argument) = line.command.get_positionals().nth(line.n_positionals)
                && !argument.is_last_set()
            {
                all = values(line.command, argument.get_id().as_str(), config, &line);
            }
            all
        }
    };
    // `--env=sta`: the shells replace the whole word.
    if let Some((flag, value)) = last.split_once('=')
        && flag.starts_with("--")
        && matches!(line.wants, Wants::Any)
    {
        let id = argument(&root, line.command, flag).map(|it| it.get_id().to_string());
        all = id.map(|id| values(line.command, &id, config, &line)).unwrap_or_default();
        all.retain(|it| it.word.starts_with(value));
        for candidate in &mut all {
            candidate.word = format!("{flag}={}", candidate.word);
        }
        return all;
    }
    all.retain(|it| it.word.starts_with(last));
    all
}

/// The candidates as the scripts read them: `word<TAB>help`, one a line.
pub fn lines(candidates: &[Candidate]) -> String {
    candidates.iter().map(|it| format!("{}\t{}\n", it.word, it.help)).collect()
}

enum Wants {
    /// Behind `--`: the task's own arguments.
    Nothing,
    /// The value of the flag with this id.
    Value(String),
    /// A flag, a verb or a positional argument.
    Any,
}

struct Line<'a> {
    command: &'a Command,
    verb: Option<&'a Command>,
    n_positionals: usize,
    /// The first positional argument: `run`'s task.
    first: Option<String>,
    /// The environment that is already on the line.
    environment: Option<String>,
    wants: Wants,
}

fn read<'a>(root: &'a Command, before: &[String]) -> Line<'a> {
    let mut line =
        Line { command: root, verb: None, n_positionals: 0, first: None, environment: None, wants: Wants::Any };
    for word in before {
        if let Wants::Value(id) = &line.wants {
            if id == "env" {
                line.environment = Some(word.clone());
            }
            line.wants = Wants::Any;
        } else if word == "--" {
            line.wants = Wants::Nothing;
            return line;
        } else if word.starts_with('-') && word.len() > 1 {
            if let Some(environment) = word.strip_prefix("--env=") {
                line.environment = Some(environment.to_owned());
            } else if let Some(argument) = argument(root, line.command, word)
                && argument.get_action().takes_values()
                && !word.contains('=')
            {
                line.wants = Wants::Value(argument.get_id().to_string());
            }
        } else if line.verb.is_none() {
            if let Some(verb) = root.find_subcommand(word) {
                line.verb = Some(verb);
                line.command = verb;
            }
        } else {
            if line.n_positionals == 0 {
                line.first = Some(word.clone());
            }
            line.n_positionals += 1;
        }
    }
    line
}

/// The flag that a word names: `-e`, `--env`, `--env=x`. The root's flags are everywhere.
fn argument<'a>(root: &'a Command, command: &'a Command, word: &str) -> Option<&'a clap::Arg> {
    let name = word.split('=').next().unwrap_or(word);
    command.get_arguments().chain(root.get_arguments()).find(|it| match name.strip_prefix("--") {
        Some(long) => it.get_long() == Some(long),
        None => it.get_short().is_some_and(|short| name.strip_prefix('-') == Some(short.to_string().as_str())),
    })
}

fn flags(root: &Command, command: &Command) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    for argument in command.get_arguments().chain(root.get_arguments()).filter(|it| !it.is_hide_set()) {
        if let Some(long) = argument.get_long() {
            let word = format!("--{long}");
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            if !all.iter().any(|it| it.word == word) {
                all.push(Candidate { word, help });
            }
        }
    }
    all.push(Candidate { word: "--help".to_owned(), help: "Print help".to_owned() });
    all
}

fn verbs(root: &Command) -> Vec<Candidate> {
    root.get_subcommands()
        .filter(|it| !it.is_hide_set())
        .map(|it| Candidate {
            word: it.get_name().to_owned(),
            help: it.get_about().map(ToString::to_string).unwrap_or_default(),
        })
        .collect()
}

/// The values of an argument: names of tasks.toml, or what clap itself knows.
fn values(command: &Command, id: &str, config: Option<&Config>, line: &Line<'_>) -> Vec<Candidate> {
    match (id, config) {
        ("env", Some(config)) => {
            let task = config.tasks.iter().find(|it| Some(&it.name.value) == line.first.as_ref());
            let allowed = task.and_then(|it| it.environments.as_ref());
            config
                .environments
                .iter()
                .map(|it| it.name.value.clone())
                .filter(|it| allowed.is_none_or(|allowed| allowed.value.contains(it)))
                .map(|word| Candidate { word, help: String::new() })
                .collect()
        }
        ("task", Some(config)) => config
            .tasks
            .iter()
            .filter(|it| match (&line.environment, &it.environments) {
                (Some(environment), Some(allowed)) => allowed.value.contains(environment),
                _ => true,
            })
            .map(|it| Candidate {
                word: it.name.value.clone(),
                help: it.description.as_deref().unwrap_or_default().lines().next().unwrap_or_default().to_owned(),
            })
            .collect(),
        ("topic", _) => {
            let topics = TOPICS.iter().map(|it| Candidate { word: it.0.to_owned(), help: it.1.to_owned() });
            topics.chain(verbs(&Cli::description())).collect()
        }
        _ => {
            let root = Cli::description();
            let argument = command.get_arguments().chain(root.get_arguments()).find(|it| it.get_id() == id);
            let values = argument.map(clap::Arg::get_possible_values).unwrap_or_default();
            values
                .iter()
                .map(|it| Candidate {
                    word: it.get_name().to_owned(),
                    help: it.get_help().map(ToString::to_string).unwrap_or_default(),
                })
                .collect()
        }
    }
}

/// The script that a shell's start-up file evaluates. It completes `cargo xtask …` and leaves every other word of cargo to the
/// completion that was there before.
pub fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("complete/xtask.bash"),
        Shell::Zsh => include_str!("complete/xtask.zsh"),
        Shell::Fish => include_str!("complete/xtask.fish"),
    }
}
