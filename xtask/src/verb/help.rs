//! `help TOPIC`: what a flag's line cannot say. Examples first, 100 columns at most. With `--format json` the topics that programs read
//! are their JSON schemas.

use std::fmt::Write;

use crate::config::schema;
use crate::config::{Key, Layer, keys, suggest};
use crate::error::{Error, Result, exit};
use crate::event;
use crate::flags::Cli;

/// The topics, and what each is about.
pub const TOPICS: &[(&str, &str)] = &[
    ("tasks.toml", "every key of tasks.toml"),
    ("environments", "where a task runs, and how that is chosen"),
    ("exit-codes", "what each exit code means"),
    ("events", "what --format json prints"),
];

/// The widest line.
const WIDTH: usize = 100;

/// The help of a topic or a command; without a name the tool's own.
pub fn help(topic: Option<&str>, json: bool) -> Result<String> {
    let Some(topic) = topic else { return Ok(rendered(&mut Cli::description())) };
    let text = match (topic, json) {
        ("tasks.toml", true) => schema::text(),
        ("events", true) => event::schema::text(),
        ("tasks.toml", false) => tasks_toml(),
        ("environments", false) => ENVIRONMENTS.to_owned(),
        ("exit-codes", false) => format!("{EXIT_CODE_EXAMPLES}\n{}", exit_code_table()),
        ("events", false) => format!("{EVENT_EXAMPLES}\n{}", event_table()),
        _ => return of_command(topic, json),
    };
    Ok(text)
}

fn of_command(name: &str, json: bool) -> Result<String> {
    let mut cli = Cli::description();
    // Gives each command its full name.
    cli.build();
    let shown: Vec<String> =
        cli.get_subcommands().filter(|it| !it.is_hide_set()).map(|it| it.get_name().to_owned()).collect();
    let topics = TOPICS.iter().map(|it| it.0);
    let names: Vec<&str> = topics.clone().chain(shown.iter().map(String::as_str)).collect();
    if json && names.contains(&name) {
        return Err(Error::refused(format!("`help {name}` has no JSON form")).hint("tasks.toml and events have one"));
    }
    match cli.find_subcommand_mut(name).filter(|it| !it.is_hide_set()) {
        Some(command) => Ok(rendered(command)),
        None => {
            let hint = match suggest::closest(name, names.iter().copied()) {
                Some(it) => format!("did you mean `{it}`?"),
                None => format!("topics: {}; or a command", topics.collect::<Vec<_>>().join(", ")),
            };
            Err(Error::refused(format!("there is no help on `{name}`")).hint(hint))
        }
    }
}

/// clap's text without the blanks that it leaves at the ends of lines.
fn rendered(command: &mut clap::Command) -> String {
    command.render_long_help().to_string().lines().map(|it| format!("{}\n", it.trim_end())).collect()
}

// ------------------------------------------------------------------------------------------------------------- tasks.toml

const TASKS_EXAMPLE: &str = r#"Example:

  default-environment = "local"

  [images.app]                        # built from the folder of tasks.toml
  repository = "acme/app"

  [environments.local]                # a plain process on this machine
  runner = "host"

  [environments.staging]              # an ECS task beside the service, with the code at hand
  region = "eu-west-1"
  cluster = "staging"
  service = "web"

  [tasks.db-migrate]
  description = "Apply pending database migrations"
  image = "app"
  command = ["bin/rails", "db:migrate"]
  timeout = "15m"
  on.local.variables = { VERBOSE = "1" }

`cargo xtask init` writes one. For completion and checks in an editor its first line is

  #:schema ./xtask/tasks.schema.json

Precedence, strongest first: a flag, [tasks.X.on.ENV], [tasks.X], [environments.ENV], [defaults].
Tables of names (variables, secrets, tags, build-args) merge by name, everything else replaces.
"#;

/// A part of the reference: its title, and which keys stand there.
type Part = (&'static str, fn(&Key) -> bool);

/// The parts of the reference.
const PARTS: &[Part] = &[
    ("The top of the file", |it| it.layers == [Layer::Root]),
    ("[images.X]", |it| it.layers.contains(&Layer::Image)),
    ("[tasks.X] only", |it| it.layers == [Layer::Task]),
    ("[environments.X] and [defaults] only", |it| {
        it.layers.contains(&Layer::Environment) && !it.layers.contains(&Layer::Task)
    }),
    ("[environments.X], [tasks.X], [tasks.X.on.ENV] and [defaults]", |it| {
        it.layers.contains(&Layer::Environment) && it.layers.contains(&Layer::Task)
    }),
    ("logs = { … }", |it| it.layers.contains(&Layer::Logs)),
    ("retry = { … }", |it| it.layers.contains(&Layer::Retry)),
];

fn tasks_toml() -> String {
    let mut text = TASKS_EXAMPLE.to_owned();
    let column = keys().iter().map(|it| it.name.len()).max().unwrap_or_default() + 2;
    for (title, wanted) in PARTS {
        let _ = write!(text, "\n{title}\n");
        for key in keys().iter().filter(|it| wanted(it)) {
            row(&mut text, key.name, column, &format!("{}. Takes {}", key.about, key.takes));
        }
    }
    text
}

/// A name, and behind it what it says, wrapped.
fn row(text: &mut String, name: &str, column: usize, about: &str) {
    let mut line = format!("  {name:column$}");
    let mut empty = true;
    for word in about.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(2 + column);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

// ----------------------------------------------------------------------------------------------------------- environments

const ENVIRONMENTS: &str = r#"Examples:
  cargo xtask run db-migrate                    in `default-environment`
  cargo xtask run db-migrate -e staging         in [environments.staging]
  XTASK_ENV=staging cargo xtask run db-migrate  the same
  cargo xtask run db-migrate -e staging --dry-run
                                                where it would run, and what each value comes from

An environment is a named place to run. Its `runner` says what kind:

  host    a plain process on this machine: the task's command behind the environment's `entrypoint`
  docker  a container of the image on this machine's docker
  ecs     an ECS task; the default. Task definition, network, capacity and roles are taken from the
          live `service`, or from `task-definition` with `subnets`; each can be set by itself

Which one: -e, else XTASK_ENV, else `default-environment`. With CI set, `run` says so when it was
none of the first two: a migration that succeeded on the CI machine is worse than none.

Credentials: --profile or AWS_PROFILE, then the environment's `profile`, then the AWS SDK's own
chain: keys in the environment, SSO, web identity (OIDC), process credentials, containers and
instances. Keys in the environment beat a profile; the plan warns where they do. The region:
--region, then `region`, then the SDK's chain.

Guards: `account` is compared with the caller's before anything is written. `protected = true`
asks for the environment's name; without a terminal `run` needs --yes. A task's `environments`
says where it may run at all.

Secrets are never fetched to this machine: on host and docker the variable has to be set.
"#;

// ------------------------------------------------------------------------------------------------------------- exit codes

const EXIT_CODE_EXAMPLES: &str = r#"Examples:
  cargo xtask run db-migrate -e staging || exit       a pipeline stops where the migration failed
  cargo xtask run report -e staging; echo $?          the task's own code

Exit codes of `run` and `attach`:
"#;

/// The exit codes of `run`, and what each means.
pub fn exit_codes() -> Vec<(String, &'static str)> {
    vec![
        ("0–255".to_owned(), "the container's own (the process's, on the host), when it ended by itself"),
        (exit::OK.to_string(), "also: `--detach` started the ECS task; any other command did what it was asked"),
        (exit::PROBLEM.to_string(), "`check` found a problem"),
        (
            exit::REFUSED.to_string(),
            "usage, tasks.toml, the plan, or any refusal before the first write: wrong account, not confirmed",
        ),
        (exit::TIMED_OUT.to_string(), "the timeout passed and the ECS task was stopped"),
        (
            exit::FAILED.to_string(),
            "docker, AWS or this tool failed; or the ECS task never started, was killed from outside (Spot, host, StopTask), or another one holds the exclusive place: there is no code of the container to give",
        ),
        (
            format!("{} / {} / {} / {}", exit::HANGUP, exit::INTERRUPTED, exit::QUIT, exit::TERMINATED),
            "ended by SIGHUP / SIGINT / SIGQUIT / SIGTERM",
        ),
    ]
}

fn exit_code_table() -> String {
    let mut text = String::new();
    for (code, meaning) in exit_codes() {
        row(&mut text, &code, 23, meaning);
    }
    text
}

// ----------------------------------------------------------------------------------------------------------------- events

const EVENT_EXAMPLES: &str = r#"Examples:
  cargo xtask run db-migrate -e staging --format json | tee events.jsonl
  cargo xtask run db-migrate -e staging --format json | jq -r 'select(.event == "log").message'
  cargo xtask help events --format json > events.schema.json

One object a line on stdout. Each has `event`, `time` (RFC 3339, UTC) and `task`; the first has
`version`. `finished` is the last, whatever happened. While the version stays, fields and kinds of
events are added, never taken away or changed.
"#;

fn event_table() -> String {
    let mut text = String::new();
    for (name, about, fields) in event::schema::events() {
        let _ = writeln!(text, "{name}: {about}");
        for (name, about, always) in fields {
            let sometimes = if always { "" } else { " (may be missing)" };
            row(&mut text, name, 26, &format!("{about}{sometimes}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> Vec<String> {
        let cli = Cli::description();
        cli.get_subcommands().filter(|it| !it.is_hide_set()).map(|it| it.get_name().to_owned()).collect()
    }

    #[test]
    fn help_fits_100_columns_and_shows_examples_first() {
        let mut texts = vec![(String::new(), help(None, false).expect("it has help"))];
        let topics = TOPICS.iter().map(|it| it.0.to_owned());
        texts.extend(topics.chain(commands()).map(|it| {
            let text = help(Some(&it), false).expect("it has help");
            (it, text)
        }));
        for (name, text) in texts {
            for line in text.lines() {
                assert!(line.chars().count() <= WIDTH, "{name}: {line}");
                assert_eq!(line.trim_end(), line, "{name}");
            }
            let place = |word: &str| text.find(word).unwrap_or(usize::MAX);
            let example = place("Example");
            assert!(example < 100, "help on `{name}` begins with what it is and with examples:\n{text}");
            assert!(example < place("Usage:") && example < place("Options:"), "{name}");
            assert!(text.contains("  cargo xtask") || name == "tasks.toml", "{name}:\n{text}");
        }
    }

    #[test]
    fn every_key_is_in_the_reference_where_it_belongs() {
        let text = tasks_toml();
        for key in keys() {
            assert!(text.contains(&format!("\n  {} ", key.name)), "{}", key.name);
            let parts = PARTS.iter().filter(|it| it.1(key)).count();
            assert_eq!(parts, 1, "{} in {:?}", key.name, key.layers);
        }
        let example: String = TASKS_EXAMPLE
            .lines()
            .skip_while(|it| !it.contains("default-environment"))
            .take_while(|it| !it.starts_with('`'))
            .map(|it| format!("{}\n", it.trim_start()))
            .collect();
        let source = crate::model::Source { path: "tasks.toml".to_owned(), text: example };
        crate::config::parse(&std::sync::Arc::new(source)).expect("the example parses");
        assert!(TASKS_EXAMPLE.contains(&format!("#:schema ./{}", schema::PLACE)));
    }

    #[test]
    fn what_it_does_not_know_it_says() {
        for (topic, json, message, hint) in [
            ("tasks.tom", false, "there is no help on `tasks.tom`", "did you mean `tasks.toml`?"),
            ("rum", false, "there is no help on `rum`", "did you mean `run`?"),
            (
                "weather",
                false,
                "there is no help on `weather`",
                "topics: tasks.toml, environments, exit-codes, events; or a command",
            ),
            (
                "complete",
                false,
                "there is no help on `complete`",
                "topics: tasks.toml, environments, exit-codes, events; or a command",
            ),
            ("run", true, "`help run` has no JSON form", "tasks.toml and events have one"),
        ] {
            let error = help(Some(topic), json).expect_err(topic);
            assert_eq!((error.to_string().as_str(), error.problems[0].hint.as_deref()), (message, Some(hint)));
            assert_eq!(error.exit_code(), 2);
        }
        assert_eq!(help(Some("tasks.toml"), true).expect("it has a schema"), schema::text());
        assert_eq!(help(Some("events"), true).expect("it has a schema"), event::schema::text());
    }
}
