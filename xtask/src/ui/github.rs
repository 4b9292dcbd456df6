//! The printer for GitHub Actions: what people get, and beside it the runner's own means: log groups, annotations, a job summary,
//! outputs.
//!
//! Workflow commands go to stderr, which the runner reads as it reads stdout. The one exception are the markers around the task's
//! output: they have to be in the same stream as what they guard. Between them the runner obeys no command of either stream, so
//! annotations wait until the end marker.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind};
use crate::event::{BuildStep, Event};
use crate::follow::words;
use crate::model::{Ending, Outcome, Runner, Timings};
use crate::ui::Moment;
use crate::ui::human::{self, Human, Looks};
use crate::ui::json::error_events;
use crate::ui::output::Output;
use crate::ui::text;

/// So many last lines of the output are in the summary of a failed run.
const TAIL: usize = 20;
/// A summary may have 1 MiB; a line of the task may be as long.
const TAIL_LINE: usize = 2_000;
/// Columns of the summary's timeline.
const TIMELINE: f64 = 30.0;

/// What the runner tells the step by its environment.
#[derive(Debug, Clone, Default)]
pub struct GithubFiles {
    /// GITHUB_STEP_SUMMARY.
    pub summary: Option<PathBuf>,
    /// GITHUB_OUTPUT.
    pub output: Option<PathBuf>,
    /// The current folder, which the paths in errors are relative to. Annotations need it where that is not the workspace.
    pub folder: Option<PathBuf>,
}

/// The printer and what it has to remember.
pub(super) struct Github {
    human: Human,
    files: GithubFiles,
    /// Makes what nobody can guess.
    token: Box<dyn FnMut() -> String + Send>,
    /// A log group is open.
    group: bool,
    /// The token that ends the task's output, while it is guarded; whether the output may lack its last line end.
    guard: Option<(String, bool)>,
    /// Commands for after the task's output.
    later: Vec<String>,
    told: Told,
    /// The last lines of the output.
    tail: VecDeque<String>,
    /// Outputs that are in the file.
    outputs: HashMap<&'static str, String>,
}

/// What the summary needs of earlier events.
#[derive(Default)]
struct Told {
    task: Option<String>,
    runner: Option<Runner>,
    run_id: Option<String>,
    command: Vec<String>,
    /// Rows of the plan: where it ran.
    places: Vec<(String, String)>,
    console_url: Option<String>,
    errors: Vec<String>,
    /// Of the last error, if no Finished event came after it.
    failure: Option<ErrorKind>,
}

impl Github {
    pub(super) fn new(looks: Looks, files: GithubFiles, token: Box<dyn FnMut() -> String + Send>) -> Github {
        Github {
            human: Human::new(Looks { redraw: false, ..looks }),
            files,
            token,
            group: false,
            guard: None,
            later: Vec::new(),
            told: Told::default(),
            tail: VecDeque::new(),
            outputs: HashMap::new(),
        }
    }

    /// Shows an event.
    pub(super) fn event(&mut self, task: Option<&str>, event: &Event, now: Moment, out: &mut Output) {
        match event {
            Event::Log { message, .. } => {
                self.guard(false, out);
                self.remember_line(message);
                self.human.event(task, event, now, out);
            }
            Event::Warning { message, hint } => {
                self.human.event(task, event, now, out);
                let command = annotation("warning", &[("title", self.title(task))], message, hint.as_deref());
                self.command(command, out);
            }
            Event::Error { .. } => {
                self.before_error(out);
                self.human.event(task, event, now, out);
                self.annotate_error(task, event, out);
            }
            Event::Building { image, step } => {
                self.end_group(out);
                self.human.end_status(out);
                let verb = match step {
                    BuildStep::Prepare => "Prepare",
                    BuildStep::Build => "Build",
                    BuildStep::Push => "Push",
                };
                self.command(format!("::group::{verb} {}", escape_data(image)), out);
                self.group = true;
            }
            Event::Launched { task_arn, console_url, .. } => {
                self.end_group(out);
                self.told.console_url.clone_from(console_url);
                self.human.event(task, event, now, out);
                let run_id = self.told.run_id.clone();
                self.output("run-id", run_id.as_deref(), out);
                self.output("task-arn", task_arn.as_deref(), out);
                self.guard(task_arn.is_none(), out);
            }
            Event::Finished(ending) => {
                self.end_group(out);
                self.end_guard(out);
                self.human.event(task, event, now, out);
                let failed = !matches!(
                    ending.outcome,
                    Outcome::Succeeded | Outcome::Skipped | Outcome::Interrupted | Outcome::Detached
                );
                if failed {
                    let message = format!("{}: {}", self.human.label(task), human::verdict(ending));
                    let message = [vec![message], human::details(ending)].concat().join("\n");
                    let hint = ending.hint.as_deref();
                    self.command(annotation("error", &[("title", self.title(task))], &message, hint), out);
                }
                self.summarize(task, ending, out);
            }
            Event::Resolved { runner, run_id, command, .. } => {
                self.told = Told {
                    task: task.map(str::to_owned),
                    runner: Some(*runner),
                    run_id: Some(run_id.clone()),
                    command: command.clone(),
                    ..Told::default()
                };
                self.tail.clear();
                self.human.event(task, event, now, out);
            }
            Event::Planned { lines, .. } => {
                let shown = |key: &str| ["account", "region", "cluster", "service"].contains(&key);
                self.told.places =
                    lines.iter().filter(|it| shown(&it.key)).map(|it| (it.key.clone(), it.value.clone())).collect();
                self.human.event(task, event, now, out);
            }
            Event::Pushed { .. } | Event::Registered { .. } | Event::Status { .. } => {
                self.end_group(out);
                self.human.event(task, event, now, out);
            }
        }
    }

    /// Shows an error, and annotates its places in tasks.toml.
    pub(super) fn error(&mut self, task: Option<&str>, error: &Error, out: &mut Output) {
        self.before_error(out);
        self.human.error(error, out);
        self.told.failure = Some(error.kind);
        if self.told.task.is_none() {
            self.told.task = task.map(str::to_owned);
        }
        for event in error_events(error) {
            if let (Event::Error { message, .. }, ErrorKind::Interrupted(_)) = (&event, error.kind) {
                self.told.errors.push(message.clone());
            } else {
                self.annotate_error(task, &event, out);
            }
        }
    }

    /// The people's printer, for what is the same in both. It is told first of what it cannot know.
    pub(super) fn human(&mut self) -> &mut Human {
        &mut self.human
    }

    /// Nothing more will come.
    pub(super) fn end(&mut self, out: &mut Output) {
        self.end_group(out);
        self.end_guard(out);
        if let Some(kind) = self.told.failure.take() {
            self.summarize_failure(kind, out);
        }
    }

    // -------------------------------------------------------------------------------------------------------- commands

    /// A workflow command: now, or after the task's output.
    fn command(&mut self, command: String, out: &mut Output) {
        if self.guard.is_some() {
            self.later.push(command);
        } else {
            out.stderr(&command);
            out.stderr("\n");
        }
    }

    fn before_error(&mut self, out: &mut Output) {
        self.end_group(out);
        self.end_guard(out);
    }

    fn end_group(&mut self, out: &mut Output) {
        if std::mem::take(&mut self.group) {
            self.command("::endgroup::".to_owned(), out);
        }
    }

    /// From here on the task's output is on stdout: no line of it may be taken for a command. `raw`: a process writes it by itself,
    /// perhaps without a last line end.
    fn guard(&mut self, raw: bool, out: &mut Output) {
        if self.guard.is_none() {
            let token = (self.token)();
            out.stdout(format!("::stop-commands::{token}\n").as_bytes());
            self.guard = Some((token, raw));
        }
    }

    fn end_guard(&mut self, out: &mut Output) {
        if let Some((token, raw)) = self.guard.take() {
            // Behind an unfinished line the runner would not see the marker, and obey no command for the rest of the step.
            let fresh_line = if raw { "\n" } else { "" };
            out.stdout(format!("{fresh_line}::{token}::\n").as_bytes());
            for command in std::mem::take(&mut self.later) {
                self.command(command, out);
            }
        }
    }

    fn title(&self, task: Option<&str>) -> String {
        task.or(self.told.task.as_deref()).unwrap_or("xtask").to_owned()
    }

    fn annotate_error(&mut self, task: Option<&str>, event: &Event, out: &mut Output) {
        let Event::Error { message, hint, file, line, column, .. } = event else { return };
        self.told.errors.push(message.clone());
        let mut properties = Vec::new();
        if let Some(file) = file {
            // The runner makes an absolute path in its workspace relative to it; a path of our folder it would misread.
            let file = self.files.folder.as_ref().map_or_else(|| PathBuf::from(file), |it| it.join(file));
            properties.push(("file", file.display().to_string()));
        }
        properties.extend(line.map(|it| ("line", it.to_string())));
        properties.extend(column.map(|it| ("col", it.to_string())));
        properties.push(("title", self.title(task)));
        self.command(annotation("error", &properties, message, hint.as_deref()), out);
    }

    // ----------------------------------------------------------------------------------------------------------- files

    fn output(&mut self, name: &'static str, value: Option<&str>, out: &mut Output) {
        let (Some(path), Some(value)) = (&self.files.output, value) else { return };
        if self.outputs.get(name).is_some_and(|it| it == value) {
            return;
        }
        self.outputs.insert(name, value.to_owned());
        // The form with a delimiter, because a value could have a line end; nobody can guess the delimiter.
        let delimiter = (self.token)();
        out.append(path.clone(), format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"));
    }

    fn remember_line(&mut self, line: &str) {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        let end = line.floor_char_boundary(TAIL_LINE);
        self.tail.push_back(format!("{}{}", &line[..end], if end < line.len() { "…" } else { "" }));
    }

    fn summarize(&mut self, task: Option<&str>, ending: &Ending, out: &mut Output) {
        self.output("run-id", Some(&ending.run_id), out);
        self.output("task-arn", ending.task_arn.as_deref(), out);
        self.output("exit-code", Some(&ending.exit_code.to_string()), out);
        self.output("outcome", Some(ending.outcome.as_str()), out);
        self.output("image", ending.image.as_deref(), out);
        self.told.failure = None;

        let mut rows = self.rows();
        if let Some(arn) = &ending.task_arn {
            let id = code(arn);
            let link = self.told.console_url.as_ref().map(|url| format!("[{id}]({url})"));
            rows.push(("ECS task", link.unwrap_or(id)));
        }
        rows.extend(ending.task_definition.as_ref().map(|it| ("task definition", code(it))));
        rows.extend(ending.image.as_ref().map(|it| ("image", code(it))));
        rows.push(("run", code(&ending.run_id)));
        rows.push(("outcome", ending.outcome.as_str().to_owned()));
        rows.push(("exit code", ending.exit_code.to_string()));
        let good = matches!(ending.outcome, Outcome::Succeeded | Outcome::Skipped);
        if !good {
            rows.extend(ending.stop_code.as_ref().map(|it| ("stop code", code(it))));
            rows.extend(ending.stopped_reason.as_ref().map(|it| ("stopped reason", code(it))));
            rows.extend(ending.container_reason.as_ref().map(|it| ("container reason", code(it))));
        }
        rows.extend(ending.explanation.as_ref().map(|it| ("explanation", prose(it))));
        rows.extend(ending.hint.as_ref().map(|it| ("hint", prose(it))));

        let mut text = format!("### {}: {}\n\n", prose(&self.human.label(task)), prose(&human::verdict(ending)));
        table(&mut text, &rows);
        timeline(&mut text, &ending.timings);
        self.errors(&mut text);
        if !good && !self.tail.is_empty() {
            let _ = write!(text, "The last lines of the output:\n\n");
            fenced(&mut text, self.tail.make_contiguous());
        }
        self.append_summary(text, out);
    }

    /// The summary of a run that ended before there was anything to follow.
    fn summarize_failure(&mut self, kind: ErrorKind, out: &mut Output) {
        let Some(task) = self.told.task.clone() else { return };
        let (outcome, exit_code) = match kind {
            ErrorKind::Refused => (Outcome::Refused, crate::error::exit::REFUSED),
            ErrorKind::Failed => (Outcome::NeverStarted, crate::error::exit::FAILED),
            ErrorKind::Interrupted(signal) => (Outcome::Interrupted, 128 + signal),
        };
        let run_id = self.told.run_id.clone();
        self.output("run-id", run_id.as_deref(), out);
        self.output("exit-code", Some(&exit_code.to_string()), out);
        self.output("outcome", Some(outcome.as_str()), out);
        let mut rows = self.rows();
        rows.extend(run_id.map(|it| ("run", code(&it))));
        rows.push(("outcome", outcome.as_str().to_owned()));
        rows.push(("exit code", exit_code.to_string()));
        let mut text = format!("### {}: {}\n\n", prose(&self.human.label(Some(&task))), outcome.as_str());
        table(&mut text, &rows);
        self.errors(&mut text);
        self.append_summary(text, out);
    }

    /// What ran, where.
    fn rows(&self) -> Vec<(&str, String)> {
        let mut rows = Vec::new();
        if !self.told.command.is_empty() {
            rows.push(("command", code(&text::command_line(&self.told.command))));
        }
        let runner = self.told.runner.map(|it| match it {
            Runner::Host => "host",
            Runner::Docker => "docker",
            Runner::Ecs => "ecs",
        });
        rows.extend(runner.map(|it| ("runner", it.to_owned())));
        rows.extend(self.told.places.iter().map(|(key, value)| (key.as_str(), code(value))));
        rows
    }

    fn errors(&self, text: &mut String) {
        if !self.told.errors.is_empty() {
            fenced(text, &self.told.errors);
        }
    }

    fn append_summary(&self, text: String, out: &mut Output) {
        if let Some(path) = &self.files.summary {
            out.append(path.clone(), text);
        }
    }
}

/// Sixteen random bytes: what no line of the task's output can contain by intent.
pub(super) fn random_token() -> String {
    let mut bytes = [0_u8; 16];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut bytes).expect("the operating system gives random bytes");
    bytes.iter().fold("xtask-".to_owned(), |text, it| format!("{text}{it:02x}"))
}

fn annotation(kind: &str, properties: &[(&str, String)], message: &str, hint: Option<&str>) -> String {
    let properties: Vec<_> =
        properties.iter().map(|(key, value)| format!("{key}={}", escape_property(value))).collect();
    let message = match hint {
        Some(hint) => format!("{message}\nhint: {hint}"),
        None => message.to_owned(),
    };
    format!("::{kind} {}::{}", properties.join(","), escape_data(&text::clean(&message)))
}

/// A command's text as the runner takes it.
fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A command's property as the runner takes it.
fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Text of others as code in a cell of a Markdown table: without anything that could end the span, the cell or the row.
fn code(text: &str) -> String {
    let text = text::clean(text.trim()).replace(['\n', '\t'], " ").replace('`', "'").replace('|', "\\|");
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// Text of ours, which may quote others, in Markdown: what has a meaning there is escaped, backticks apart, which are meant.
fn prose(text: &str) -> String {
    let mut escaped = String::new();
    for character in text::clean(text.trim()).replace(['\n', '\t'], " ").chars() {
        if "\\*_{}[]<>()#|!".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

fn table(text: &mut String, rows: &[(&str, String)]) {
    text.push_str("| | |\n|---|---|\n");
    for (key, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "| {key} | {value} |");
    }
    text.push('\n');
}

/// How long each part took, one behind the other: a picture that needs no diagram support.
fn timeline(text: &mut String, timings: &Timings) {
    let parts = [
        ("build", timings.build),
        ("push", timings.push),
        ("queue", timings.queue),
        ("pull", timings.pull),
        ("run", timings.run),
        ("stop", timings.stop),
    ];
    let parts: Vec<(&str, f64)> = parts.into_iter().filter_map(|(name, it)| Some((name, it?.max(0.0)))).collect();
    let sum: f64 = parts.iter().map(|(_, it)| it).sum();
    if sum <= 0.0 {
        return;
    }
    text.push_str("| part | time | |\n|---|--:|---|\n");
    let mut from = 0.0;
    let column = |seconds: f64| (seconds / sum * TIMELINE).round() as usize;
    for (name, seconds) in parts {
        let (begin, end) = (column(from), column(from + seconds));
        let bar = ["·".repeat(begin), "█".repeat(end - begin), "·".repeat(TIMELINE as usize - end)].concat();
        let _ = writeln!(text, "| {name} | {} | `{bar}` |", seconds_in_words(seconds));
        from += seconds;
    }
    if let Some(total) = timings.total {
        let _ = writeln!(text, "| total | {} | |", seconds_in_words(total));
    }
    text.push('\n');
}

fn seconds_in_words(seconds: f64) -> String {
    std::time::Duration::try_from_secs_f64(seconds).map(words).unwrap_or_default()
}

/// Lines in a fence longer than any row of backticks in them, so that they cannot end it.
fn fenced(text: &mut String, lines: &[String]) {
    let longest = lines.iter().flat_map(|it| it.split(|it| it != '`')).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    let _ = writeln!(text, "{fence}text");
    for line in lines {
        let _ = writeln!(text, "{}", text::clean(line));
    }
    let _ = write!(text, "{fence}\n\n");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::error::Problem;
    use crate::model::{LogEnd, Source, Span};
    use crate::ui::samples;
    use crate::ui::text::Paint;

    fn github(folder: Option<&str>) -> Github {
        let looks =
            Looks { paint: Paint(false), redraw: true, stdout_is_terminal: false, quiet: false, verbose: false };
        let files = GithubFiles {
            summary: Some(PathBuf::from("summary")),
            output: Some(PathBuf::from("output")),
            folder: folder.map(PathBuf::from),
        };
        let mut number = 0;
        let token = move || {
            number += 1;
            format!("T{number}")
        };
        Github::new(looks, files, Box::new(token))
    }

    fn shown(events: &[Event]) -> Output {
        let mut github = github(None);
        let mut out = Output::default();
        for event in events {
            github.event(Some("db-migrate"), event, samples::now(), &mut out);
        }
        github.end(&mut out);
        out
    }

    #[test]
    fn the_log_has_groups_and_the_output_is_guarded() {
        let out = shown(&samples::run());
        // T1 and T2 delimit outputs.
        let expected = "::stop-commands::T3\n== CreateUsers: migrating\nboom\n::T3::\n";
        assert_eq!(out.on_stdout(), expected);
        let expected = "    \
    Resolved db-migrate in staging, on ECS; run r-1
     Planned db-migrate in staging
             account  111122223333
             cluster  staging
             image    111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:xtask-0123
             command  bin/rails db:migrate
::group::Build app
::endgroup::
::group::Push app
::endgroup::
      Pushed image 111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app@sha256:abcd
   Unchanged task definition xtask-staging-db-migrate:7
    Launched arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef
             https://eu-west-1.console.aws.amazon.com/ecs/v2/clusters/staging/tasks/0123456789abcdef
      Status PENDING
      Status RUNNING
warning: cannot read the output: timeout; trying again
::warning title=db-migrate::cannot read the output: timeout; trying again
      Failed db-migrate in staging: exit code 1 after 1m35s (ran 30s)
             ECS: EssentialContainerExited: Essential container in task exited
             the output is complete
             ECS task arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef
::error title=db-migrate::db-migrate in staging: exit code 1%0AECS: EssentialContainerExited: Essential container in task exited%0Athe output is complete%0AECS task arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef
";
        assert_eq!(out.on_stderr(), expected);
    }

    #[test]
    fn no_command_is_given_between_the_markers() {
        let both = shown(&samples::run()).on_both();
        let (_, rest) = both.split_once("::stop-commands::T3\n").expect("it begins");
        let (guarded, after) = rest.split_once("\n::T3::\n").expect("it ends");
        assert!(!guarded.lines().any(|it| it.starts_with("::")), "{guarded}");
        assert!(guarded.contains("boom") && guarded.contains("warning: cannot read"), "{guarded}");
        assert!(after.starts_with("::warning "), "{after}");
    }

    #[test]
    fn a_local_process_may_leave_its_last_line_open() {
        let launched = Event::Launched { task_arn: None, cluster: None, console_url: None };
        let ending = Ending { task_arn: None, log: None, ..samples::ending(Outcome::Succeeded, 0) };
        let events = [samples::resolved(Runner::Host), launched, Event::Finished(Box::new(ending))];
        assert_eq!(shown(&events).on_stdout(), "::stop-commands::T2\n\n::T2::\n");
    }

    #[test]
    fn whatever_ends_the_run_ends_guard_and_group() {
        // The end of the program.
        let out = shown(&[samples::launched(), samples::log("x")]);
        assert_eq!(out.on_stdout(), "::stop-commands::T2\nx\n::T2::\n");
        let building = Event::Building { image: "a%b\n".to_owned(), step: BuildStep::Prepare };
        assert_eq!(shown(std::slice::from_ref(&building)).on_stderr(), "::group::Prepare a%25b%0A\n::endgroup::\n");
        // An error; what comes after it is guarded anew.
        let mut github = github(None);
        let mut out = Output::default();
        github.event(None, &samples::launched(), samples::now(), &mut out);
        github.error(None, &Problem::new("no answer").failed(), &mut out);
        github.event(None, &samples::log("x"), samples::now(), &mut out);
        github.end(&mut out);
        assert_eq!(out.on_stdout(), "::stop-commands::T2\n::T2::\n::stop-commands::T3\nx\n::T3::\n");
        assert!(out.on_both().contains("::T2::\nerror: no answer\n::error title=xtask::no answer\n"));
    }

    #[test]
    fn problems_of_tasks_toml_are_annotations_at_their_place() {
        let source = Arc::new(Source { path: "tasks.toml".to_owned(), text: "a = 1\nb = \"x\"\n".to_owned() });
        let error = Error::all_refused(vec![
            Problem::new("50% of `a`,\nor: so").at(Span { start: 0, end: 1 }).hint("see, there"),
            Problem::new("bad value").at(Span { start: 10, end: 13 }),
            Problem::new("no place"),
        ])
        .in_source(&source);
        for (folder, file) in [(None, "tasks.toml"), (Some("/repo/a,b"), "/repo/a%2Cb/tasks.toml")] {
            let mut github = github(folder);
            let mut out = Output::default();
            github.error(Some("t"), &error, &mut out);
            let expected = format!(
                "::error file={file},line=1,col=1,title=t::50%25 of `a`,%0Aor: so%0Ahint: see, there\n\
                 ::error file={file},line=2,col=5,title=t::bad value\n::error title=t::no place\n"
            );
            let stderr = out.on_stderr();
            assert!(stderr.ends_with(&expected), "{stderr}");
            assert!(stderr.starts_with("error: 50% of `a`,\n  | or: so\n  --> tasks.toml:1:1\n"), "{stderr}");
        }
    }

    #[test]
    fn an_interruption_and_a_detachment_are_no_errors() {
        let mut github = github(None);
        let mut out = Output::default();
        github.error(Some("t"), &Error::interrupted(2, "no ECS task was started"), &mut out);
        github.end(&mut out);
        assert_eq!(out.on_stderr(), "interrupted: no ECS task was started\n");
        assert!(out.in_file("output").contains("outcome<<T2\ninterrupted\n"), "{}", out.in_file("output"));
        assert!(out.in_file("output").contains("exit-code<<T1\n130\n"));
        let out = shown(&[Event::Finished(Box::new(samples::ending(Outcome::Detached, 129)))]);
        assert!(!out.on_stderr().contains("::error"));
    }

    #[test]
    fn outputs_are_written_once_each_as_soon_as_known() {
        let out = shown(&samples::run());
        let expected = format!(
            "run-id<<T1\nr-1\nT1\ntask-arn<<T2\n{}\nT2\nexit-code<<T4\n1\nT4\noutcome<<T5\nfailed\nT5\nimage<<T6\n{}\nT6\n",
            samples::ARN,
            samples::IMAGE
        );
        assert_eq!(out.in_file("output"), expected);
        // A run that is killed later has told where it is.
        let out = shown(&[samples::resolved(Runner::Ecs), samples::launched()]);
        assert_eq!(out.in_file("output"), format!("run-id<<T1\nr-1\nT1\ntask-arn<<T2\n{}\nT2\n", samples::ARN));
    }

    #[test]
    fn the_summary_says_what_ran_where_and_how_it_ended() {
        let out = shown(&samples::run());
        let expected = "\
### db-migrate in staging: exit code 1

| | |
|---|---|
| command | `bin/rails db:migrate` |
| runner | ecs |
| account | `111122223333` |
| cluster | `staging` |
| ECS task | [`arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef`](https://eu-west-1.console.aws.amazon.com/ecs/v2/clusters/staging/tasks/0123456789abcdef) |
| task definition | `arn:aws:ecs:eu-west-1:111122223333:task-definition/xtask-staging-db-migrate:7` |
| image | `111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app@sha256:abcd` |
| run | `r-1` |
| outcome | failed |
| exit code | 1 |
| stop code | `EssentialContainerExited` |
| stopped reason | `Essential container in task exited` |

| part | time | |
|---|--:|---|
| build | 40s | `█████████████·················` |
| push | 8s | `·············██···············` |
| queue | 5s | `···············██·············` |
| pull | 9.5s | `·················███··········` |
| run | 30s | `····················█████████·` |
| stop | 2.5s | `·····························█` |
| total | 1m35s | |

The last lines of the output:

```text
== CreateUsers: migrating
boom
```

";
        assert_eq!(out.in_file("summary"), expected);
    }

    #[test]
    fn a_good_end_needs_no_lines_and_an_early_one_has_its_errors() {
        let events = [samples::log("x"), Event::Finished(Box::new(samples::ending(Outcome::Succeeded, 0)))];
        let summary = shown(&events).in_file("summary");
        assert!(summary.starts_with("### db-migrate: succeeded\n") && !summary.contains("```"), "{summary}");
        assert!(!summary.contains("stop code"), "{summary}");

        let mut github = github(None);
        let mut out = Output::default();
        github.event(Some("t"), &samples::resolved(Runner::Ecs), samples::now(), &mut out);
        github.error(Some("t"), &Problem::new("cannot reach `AWS`").failed(), &mut out);
        github.end(&mut out);
        let summary = out.in_file("summary");
        assert!(summary.starts_with("### t in staging: never-started\n"), "{summary}");
        assert!(summary.contains("| exit code | 125 |") && summary.contains("```text\ncannot reach `AWS`\n```"));
        // Said by Finished already: one summary.
        let mut github = self::github(None);
        let mut out = Output::default();
        github.error(Some("t"), &Problem::new("first").failed(), &mut out);
        github.event(
            Some("t"),
            &Event::Finished(Box::new(samples::ending(Outcome::Refused, 2))),
            samples::now(),
            &mut out,
        );
        github.end(&mut out);
        assert_eq!(out.in_file("summary").matches("### ").count(), 1);
    }

    #[test]
    fn nothing_in_the_output_breaks_out_of_the_summary() {
        let mut events: Vec<Event> = (0..30).map(|number| samples::log(&format!("line {number}"))).collect();
        events.push(samples::log("````"));
        events.push(samples::log("before ````` after"));
        events.push(samples::log("```\n# heading\u{1b}[31m"));
        events.push(samples::log(&"é".repeat(5000)));
        let mut ending = samples::ending(Outcome::Failed, 1);
        ending.stopped_reason = Some("a | b ` c\n# d".to_owned());
        ending.explanation = Some("see <script> | *this* [x](y)".to_owned());
        ending.log = Some(LogEnd::Complete);
        events.push(Event::Finished(Box::new(ending)));
        let summary = shown(&events).in_file("summary");
        let (_, fenced) = summary.split_once("\n``````text\n").expect("the fence is longer than any row of backticks");
        let (lines, rest) = fenced.split_once("\n``````\n").expect("the fence is closed");
        assert_eq!(rest, "\n");
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!((lines[0], lines.len()), ("line 14", 21), "20 messages, one of two lines");
        assert_eq!(lines.last().map(|it| it.chars().count()), Some(1001), "a long line is cut");
        assert!(!summary.contains('\u{1b}'));
        assert!(summary.contains("| stopped reason | `a \\| b ' c # d` |"), "{summary}");
        assert!(summary.contains("| explanation | see \\<script\\> \\| \\*this\\* \\[x\\]\\(y\\) |"), "{summary}");
    }

    #[test]
    fn tokens_cannot_be_guessed() {
        let (one, other) = (random_token(), random_token());
        assert_ne!(one, other);
        assert!(one.len() == "xtask-".len() + 32 && one[6..].chars().all(|it| it.is_ascii_hexdigit()), "{one}");
    }
}
