//! The printer for GitHub Actions: what people get, and beside it the runner's own means: log groups, annotations, a job summary,
//! outputs.
//!
//! Workflow commands go to stderr, which the runner reads as it reads stdout. The markers around the task's output have to be in the
//! same stream as what they guard. Between them the runner obeys no command of either stream, so annotations wait until the end
//! marker, and from then on stand on stdout too: of what it finds in both streams the runner takes stderr's lines first, and
//! commands there could be read before the marker and be lost. Where stdout is captured, stderr alone is the log: what a process writes there
//! by itself is guarded there, and stdout has the output and nothing else.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind};
use crate::event::{BuildStep, Event};
use crate::model::{Ending, Outcome, Runner};
use crate::ui::human::{self, Human, Looks};
use crate::ui::json::error_events;
use crate::ui::markdown::{code, fenced, prose, shards, table, timeline};
use crate::ui::output::Output;
use crate::ui::text;
use crate::ui::{Moment, Of};

/// So many last lines of the output are in the summary of a failed run.
const TAIL: usize = 20;
/// A summary may have 1 MiB; a line of the task may be as long.
const TAIL_LINE: usize = 2_000;

/// What the runner tells the step by its environment.
#[derive(Debug, Clone, Default)]
pub struct GithubFiles {
    /// GITHUB_STEP_SUMMARY.
    pub summary: Option<PathBuf>,
    /// GITHUB_OUTPUT.
    pub output: Option<PathBuf>,
    /// The current folder, which the paths in errors are relative to. Annotations need it where that is not the workspace.
    pub folder: Option<PathBuf>,
    /// stdout goes elsewhere than into the log, and must hold the task's output alone.
    pub captured: bool,
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
    /// There was an end marker on stdout.
    marked: bool,
    /// Of the task that the last event was of.
    told: Told,
    /// Of other tasks of this run.
    others: HashMap<String, Told>,
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
    /// Rows of the plan: where it ran, by whom, from which commit.
    places: Vec<(String, String)>,
    console_url: Option<String>,
    errors: Vec<String>,
    /// Of the last error, if no Finished event came after it.
    failure: Option<Error>,
    /// The last lines of the output.
    tail: VecDeque<String>,
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
            marked: false,
            told: Told::default(),
            others: HashMap::new(),
            outputs: HashMap::new(),
        }
    }

    /// Shows an event.
    pub(super) fn event(&mut self, of: &Of, event: &Event, now: Moment, out: &mut Output) {
        let task = of.task();
        self.turn_to(task);
        match event {
            Event::Log { message, .. } => {
                self.guard(false, out);
                self.remember_line(&format!("{}{message}", of.prefix()));
                self.human.event(of, event, now, out);
            }
            Event::Warning { message, hint } => {
                self.human.event(of, event, now, out);
                let command = annotation(
                    "warning",
                    &[("title", self.title(task))],
                    &format!("{}{message}", of.prefix()),
                    hint.as_deref(),
                );
                self.command(command, out);
            }
            Event::Error { .. } => {
                self.before_error(out);
                self.human.event(of, event, now, out);
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
                // Beside what it groups, which is on stderr. Where another task's output came before, the end marker is long read.
                out.stderr(&format!("::group::{verb} {}\n", escape_data(image)));
                self.group = true;
            }
            // The whole run has the summary and the outputs.
            Event::Launched { .. } if of.shard.is_some() => {
                self.end_group(out);
                self.human.event(of, event, now, out);
                let run_id = self.told.run_id.clone();
                self.output("run-id", run_id.as_deref(), out);
                self.guard(false, out);
            }
            Event::Finished(_) if of.shard.is_some() => self.human.event(of, event, now, out),
            Event::Launched { task_arn, console_url, .. } => {
                self.end_group(out);
                self.told.console_url.clone_from(console_url);
                self.human.event(of, event, now, out);
                let run_id = self.told.run_id.clone();
                self.output("run-id", run_id.as_deref(), out);
                self.output("task-arn", task_arn.as_deref(), out);
                self.guard(task_arn.is_none(), out);
            }
            Event::Attached { task_arn, console_url, .. } => {
                self.told.console_url.clone_from(console_url);
                self.human.event(of, event, now, out);
                let run_id = self.told.run_id.clone();
                self.output("run-id", run_id.as_deref(), out);
                self.output("task-arn", Some(task_arn), out);
                self.guard(false, out);
            }
            Event::Finished(ending) => {
                self.end_group(out);
                self.end_guard(out);
                self.human.event(of, event, now, out);
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
                self.summarize(task, ending, now, out);
            }
            Event::Resolved { runner, run_id, command, .. } => {
                self.told = Told {
                    task: task.map(str::to_owned),
                    runner: Some(*runner),
                    run_id: Some(run_id.clone()),
                    command: command.clone(),
                    ..Told::default()
                };
                self.human.event(of, event, now, out);
            }
            Event::Planned { lines, .. } => {
                let shown = |key: &str| {
                    ["account", "caller", "region", "cluster", "service", "commit", "CI job"].contains(&key)
                };
                self.told.places =
                    lines.iter().filter(|it| shown(&it.key)).map(|it| (it.key.clone(), it.value.clone())).collect();
                self.human.event(of, event, now, out);
            }
            Event::Pushed { .. }
            | Event::Registered { .. }
            | Event::Status { .. }
            | Event::Shards { .. }
            | Event::Turn { .. }
            | Event::Retrying { .. } => {
                self.end_group(out);
                self.human.event(of, event, now, out);
            }
        }
    }

    /// Shows what a shard wrote to its standard error, which is in the log also where stdout is not.
    pub(super) fn complaints(&mut self, of: &Of, lines: &[String], out: &mut Output) {
        self.guard(true, out);
        self.human.complaints(of, lines, out);
    }

    /// Shows an error, and annotates its places in tasks.toml.
    pub(super) fn error(&mut self, of: &Of, error: &Error, out: &mut Output) {
        let task = of.task();
        self.turn_to(task);
        self.before_error(out);
        self.human.error(error, out);
        self.told.failure = Some(error.clone());
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

    /// From here on events are of this task.
    fn turn_to(&mut self, task: Option<&str>) {
        let (Some(task), Some(before)) = (task, self.told.task.clone()) else { return };
        if task != before {
            let told = self.others.remove(task).unwrap_or_default();
            self.others.insert(before, std::mem::replace(&mut self.told, told));
            self.told.task = Some(task.to_owned());
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
        if let Some(error) = self.told.failure.take() {
            self.summarize_failure(&error, out);
        }
    }

    // -------------------------------------------------------------------------------------------------------- commands

    /// The runner takes these values out of everything that comes into the log from here on, the task's output included. It does not show
    /// the command itself.
    pub(super) fn mask(&mut self, values: &[String], out: &mut Output) {
        for value in values {
            self.command(format!("::add-mask::{}", escape_data(value)), out);
        }
    }

    /// A workflow command: now, or after the task's output.
    fn command(&mut self, command: String, out: &mut Output) {
        if self.guard.is_some() {
            self.later.push(command);
        } else if self.marked {
            out.stdout(format!("{command}\n").as_bytes());
        } else {
            out.stderr(&format!("{command}\n"));
        }
    }

    fn before_error(&mut self, out: &mut Output) {
        self.end_group(out);
        self.end_guard(out);
    }

    fn end_group(&mut self, out: &mut Output) {
        if std::mem::take(&mut self.group) {
            out.stderr("::endgroup::\n");
        }
    }

    /// From here on the task's output is in the log: no line of it may be taken for a command. `raw`: a process writes it by itself,
    /// perhaps without a last line end, and into stderr too.
    fn guard(&mut self, raw: bool, out: &mut Output) {
        if self.guard.is_none() && (raw || !self.files.captured) {
            let token = (self.token)();
            self.marker(&format!("::stop-commands::{token}\n"), out);
            self.guard = Some((token, raw));
        }
    }

    fn marker(&self, marker: &str, out: &mut Output) {
        match self.files.captured {
            true => out.stderr(marker),
            false => out.stdout(marker.as_bytes()),
        }
    }

    fn end_guard(&mut self, out: &mut Output) {
        if let Some((token, raw)) = self.guard.take() {
            // Behind an unfinished line the runner would not see the marker, and obey no command for the rest of the step.
            let fresh_line = if raw { "\n" } else { "" };
            self.marker(&format!("{fresh_line}::{token}::\n"), out);
            self.marked = !self.files.captured;
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
        if self.told.tail.len() == TAIL {
            self.told.tail.pop_front();
        }
        let end = line.floor_char_boundary(TAIL_LINE);
        self.told.tail.push_back(format!("{}{}", &line[..end], if end < line.len() { "…" } else { "" }));
    }

    fn summarize(&mut self, task: Option<&str>, ending: &Ending, now: Moment, out: &mut Output) {
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

        let attempts = ending.attempts.iter().enumerate().map(|(index, it)| {
            let arn = it.task_arn.as_ref().map(|it| format!(", {}", code(it))).unwrap_or_default();
            (format!("attempt {}", index + 1), format!("{}{arn}", prose(&human::attempt_end(it))))
        });
        let attempts: Vec<(String, String)> = attempts.collect();
        rows.extend(attempts.iter().map(|(key, value)| (key.as_str(), value.clone())));
        let mut text = format!("### {}: {}\n\n", prose(&self.human.label(task)), prose(&human::verdict(ending)));
        table(&mut text, &rows);
        if !ending.tasks.is_empty() {
            let tasks: Vec<(String, String)> =
                ending.tasks.iter().map(|it| (code(&it.task), prose(&human::task_end(it)))).collect();
            text.push_str("The tasks of this run, in their order:\n\n");
            table(&mut text, &tasks.iter().map(|it| (it.0.as_str(), it.1.clone())).collect::<Vec<_>>());
        }
        timeline(&mut text, &ending.timings, now.wall);
        if let Some(ends) = &ending.shards {
            shards(&mut text, ends);
        }
        self.errors(&mut text);
        if !good && !self.told.tail.is_empty() {
            let _ = write!(text, "The last lines of the output:\n\n");
            fenced(&mut text, self.told.tail.make_contiguous());
        }
        self.append_summary(text, out);
    }

    /// The summary of a run that ended before there was anything to follow.
    fn summarize_failure(&mut self, error: &Error, out: &mut Output) {
        let Some(task) = self.told.task.clone() else { return };
        let (outcome, exit_code) = (error.outcome(), error.exit_code());
        self.output("task-arn", error.task_arn(), out);
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

#[cfg(test)]
mod tests;
