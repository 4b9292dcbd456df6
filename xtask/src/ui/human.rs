//! The printer for people: the task's output on stdout as it is, everything of ours on stderr in cargo's shape, a bold verb at the
//! right of twelve columns.

use std::collections::HashMap;
use std::time::Duration;

use anstyle::Style;

use crate::error::{Error, Problem};
use crate::event::{BuildStep, Event};
use crate::follow::words;
use crate::model::{Attempt, Ending, LogEnd, LogEvent, Outcome, PlanLine, Runner, Shard, TaskEnd};
use crate::ui::board::{self, Board};
use crate::ui::output::Output;
use crate::ui::render;
use crate::ui::status::Status;
use crate::ui::text::{self, BAD, FAINT, GOING, GOOD, Paint, WARN};
use crate::ui::{Moment, Of, Size, bars};

/// What stands below a verb's own text.
const INDENT: &str = "             ";
/// The lines of the plan that a normal run shows.
const SUMMARY: [&str; 11] = [
    "needs",
    "skipped",
    "account",
    "region",
    "cluster",
    "service",
    "container",
    "image",
    "command",
    "shards",
    "parallel",
];
/// Longer values do not push everyone's origin to the right.
const VALUE_COLUMNS: usize = 48;

/// What the terminal and the flags allow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looks {
    /// Colours on stderr.
    pub(super) paint: Paint,
    /// stderr is a terminal that can erase a line.
    pub(super) redraw: bool,
    /// stdout is a terminal: most likely the same one.
    pub(super) stdout_is_terminal: bool,
    /// `-q`
    pub(super) quiet: bool,
    /// `-v`
    pub(super) verbose: bool,
    /// `--timings`
    pub(super) timings: bool,
    /// The columns of stderr, where it is a terminal.
    pub(super) columns: Option<usize>,
}

/// The printer and what it has to remember.
#[derive(Debug)]
pub(super) struct Human {
    looks: Looks,
    status: Status,
    /// Of the last Resolved event. All tasks of a run are in one environment.
    environment: Option<String>,
    /// Runner and command of each task.
    tasks: HashMap<String, (Runner, Vec<String>)>,
    /// A question is open: the cursor stands behind it.
    question: bool,
    /// The shards that are alive.
    board: Board,
}

impl Human {
    pub(super) fn new(looks: Looks) -> Human {
        let status = Status::new(looks.redraw, looks.paint);
        Human { looks, status, environment: None, tasks: HashMap::new(), question: false, board: Board::default() }
    }

    /// Shows an event.
    pub(super) fn event(&mut self, of: &Of, event: &Event, now: Moment, out: &mut Output) {
        let task = of.task();
        if let Some(shard) = of.shard
            && self.shard_event(shard, event, now, out)
        {
            return;
        }
        match event {
            Event::Log { message, .. } => {
                if self.looks.stdout_is_terminal {
                    self.make_room(out);
                }
                if of.shard.is_some() {
                    out.stdout(of.prefix().as_bytes());
                }
                out.stdout(message.as_bytes());
                out.stdout(b"\n");
            }
            Event::Warning { message, hint } => {
                self.warning(&format!("{}{message}", of.prefix()), hint.as_deref(), out);
            }
            Event::Error { message, hint, file, line, column, done } => {
                let problem = Problem { message: message.clone(), span: None, hint: hint.clone() };
                let numbers = [line, column].into_iter().flatten().map(|it| format!(":{it}")).collect::<String>();
                let place = file.as_ref().map(|it| format!("{it}{numbers}"));
                self.end_status(out);
                out.stderr(&render::problem(&problem, place.as_deref(), done.as_deref(), self.looks.paint));
            }
            Event::Resolved { environment, runner, run_id, command } => {
                self.environment = Some(environment.clone());
                self.tasks.insert(task.unwrap_or_default().to_owned(), (*runner, command.clone()));
                let place = match runner {
                    Runner::Host => "on this machine",
                    Runner::Docker => "on this machine's docker",
                    Runner::Ecs => "on ECS",
                };
                let label = self.label(task);
                self.line("Resolved", GOOD, &format!("{label}, {place}; run {run_id}"), out);
                if *runner == Runner::Ecs {
                    self.set_status("reading from AWS", None, now);
                }
            }
            Event::Planned { dry_run, more, lines, register_task_definition, run_task, .. } => {
                let requests = [("RegisterTaskDefinition", register_task_definition), ("RunTask", run_task)];
                self.plan(task, *dry_run, lines, &requests, out);
                if *dry_run && !more {
                    self.write_line("Dry run", GOOD, "nothing was built, pushed, registered or started", out);
                }
                if self.is_on_ecs(task) && !dry_run {
                    self.set_status("preparing the image", None, now);
                } else {
                    self.end_status(out);
                }
            }
            Event::Turn { number, of } => {
                self.end_status(out);
                self.line("Task", GOOD, &format!("{} ({number} of {of})", self.label(task)), out);
            }
            Event::Retrying { attempt, of, pause, last } => {
                self.end_status(out);
                let pause = Duration::try_from_secs_f64(*pause).ok().map(in_seconds).unwrap_or_default();
                let text = format!("{}: attempt {attempt} of {of} in {pause}; {}", self.label(task), attempt_end(last));
                self.line("Retrying", WARN, &text, out);
                self.set_status("waiting for the next attempt", None, now);
            }
            Event::Building { image, step } => {
                let verb = match step {
                    BuildStep::Prepare => "Preparing",
                    BuildStep::Build => "Building",
                    BuildStep::Push => "Pushing",
                };
                // The step's own program writes to stderr from here on.
                self.end_status(out);
                self.line(verb, GOOD, image, out);
            }
            Event::Pushed { image, reused } => {
                let verb = if *reused { "Unchanged" } else { "Pushed" };
                self.line(verb, GOOD, &format!("image {image}"), out);
                if self.is_on_ecs(task) {
                    self.set_status("registering the task definition", None, now);
                }
            }
            Event::Registered { task_definition, reused } => {
                let verb = if *reused { "Unchanged" } else { "Registered" };
                let revision = task_definition.rsplit_once('/').map_or(task_definition.as_str(), |(_, it)| it);
                self.line(verb, GOOD, &format!("task definition {revision}"), out);
                self.set_status("launching", None, now);
            }
            Event::Launched { task_arn: Some(arn), console_url, .. } => {
                self.line("Launched", GOOD, arn, out);
                if let Some(url) = console_url {
                    self.below(url, out);
                }
                self.set_status("waiting for ECS", None, now);
            }
            Event::Attached { task_arn, by, since, console_url, .. } => {
                self.line("Attached", GOOD, task_arn, out);
                let since = since.map(|it| format!("since {it}"));
                let by = by.as_ref().map(|it| format!("started by {it}"));
                let told: Vec<String> = [by, since].into_iter().flatten().collect();
                if !told.is_empty() {
                    self.below(&told.join(", "), out);
                }
                if let Some(url) = console_url {
                    self.below(url, out);
                }
                self.set_status("asking ECS", None, now);
            }
            Event::Launched { task_arn: None, .. } => {
                // From here on stdout and stderr belong to the process.
                self.end_status(out);
                let command = self.tasks.get(task.unwrap_or_default()).map(|it| it.1.as_slice()).unwrap_or_default();
                let command = text::command_line(command);
                let text = if command.is_empty() { self.label(task) } else { format!("`{command}`") };
                self.line("Running", GOOD, &text, out);
            }
            Event::Status { status, detail } => {
                // On a terminal the changes are seen in the line that is redrawn.
                if !self.looks.redraw || self.looks.verbose {
                    let detail = detail.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
                    self.line("Status", GOING, &format!("{status}{detail}"), out);
                }
                self.set_status(status, detail.as_deref(), now);
            }
            Event::Shards { of, counts } => {
                self.board.count(*of, *counts);
                self.show_board(now);
            }
            Event::Finished(ending) => {
                self.end_status(out);
                self.finished(task, ending, out);
            }
        }
    }

    /// Shows lines of the task: what `event` does with each, for very many.
    pub(super) fn lines(&mut self, of: &Of, lines: &[LogEvent], out: &mut Output) {
        if self.looks.stdout_is_terminal && !lines.is_empty() {
            self.make_room(out);
        }
        out.stdout_lines(&of.prefix(), lines.iter().map(|it| it.message.as_str()));
    }

    /// Shows what a shard wrote to its standard error.
    pub(super) fn complaints(&mut self, of: &Of, lines: &[String], out: &mut Output) {
        self.make_room(out);
        let prefix = of.prefix();
        for line in lines {
            out.stderr(&format!("{prefix}{line}\n"));
        }
    }

    /// What is told of a shard in its own way; `false`: as for a single ECS task.
    fn shard_event(&mut self, shard: Shard, event: &Event, now: Moment, out: &mut Output) -> bool {
        match event {
            Event::Launched { task_arn, .. } => {
                // A process here runs at once.
                let status = if task_arn.is_some() { "PROVISIONING" } else { "RUNNING" };
                self.board.set(shard.index, status, now.elapsed);
                let text = match task_arn {
                    Some(arn) => format!("[{shard}] {arn}"),
                    None => format!("[{shard}]"),
                };
                self.line(if task_arn.is_some() { "Launched" } else { "Running" }, GOOD, &text, out);
            }
            Event::Retrying { attempt, of, pause, last } => {
                self.board.remove(shard.index);
                let pause = Duration::try_from_secs_f64(*pause).ok().map(in_seconds).unwrap_or_default();
                let text = format!("[{shard}] attempt {attempt} of {of} in {pause}; {}", attempt_end(last));
                self.line("Retrying", WARN, &text, out);
            }
            // Each change of each would be more than anybody reads.
            Event::Status { status, .. } => self.board.set(shard.index, status, now.elapsed),
            Event::Finished(ending) => {
                self.board.remove(shard.index);
                self.shard_finished(shard, ending, out);
            }
            _ => return false,
        }
        self.show_board(now);
        true
    }

    fn shard_finished(&mut self, shard: Shard, ending: &Ending, out: &mut Output) {
        let good = ending.outcome == Outcome::Succeeded && !matches!(ending.log, Some(LogEnd::MayBeCut(_)));
        // Where the line that is redrawn counts them, a success needs no line of its own.
        if good && (self.looks.quiet || (self.looks.redraw && !self.looks.verbose)) {
            return;
        }
        self.make_room(out);
        let (verb, style) = verb_of(ending.outcome);
        self.write_line(verb, style, &format!("[{shard}] {}{}", verdict(ending), how_long(ending)), out);
        // Its ARN was told when it was launched, and the end of the run tells it again.
        let ended =
            Ending { task_arn: None, log: ending.log.clone().filter(|it| *it != LogEnd::Complete), ..ending.clone() };
        for detail in details(&ended) {
            out.stderr(&format!("{INDENT}{}\n", text::hang(&detail, INDENT)));
        }
        let mut hint = String::new();
        render::hint(&mut hint, ending.hint.as_deref(), self.looks.paint);
        out.stderr(&hint);
    }

    fn show_board(&mut self, now: Moment) {
        if !self.looks.quiet {
            let what = self.board.summary();
            self.status.set_board(&what, self.board.rows(), now.elapsed);
        }
    }

    /// Shows an error of a stage or of tasks.toml.
    pub(super) fn error(&mut self, error: &Error, out: &mut Output) {
        self.end_status(out);
        out.stderr(&render::error(error, self.looks.paint));
    }

    /// A command's own result.
    pub(super) fn print(&mut self, text: &str, out: &mut Output) {
        if self.looks.stdout_is_terminal {
            self.make_room(out);
        }
        out.stdout(text.as_bytes());
    }

    /// A detail for `-v`.
    pub(super) fn note(&mut self, text: &str, out: &mut Output) {
        if self.looks.verbose {
            self.make_room(out);
            self.write_line("Note", FAINT, text, out);
        }
    }

    /// Asks; the answer is typed behind the question.
    pub(super) fn ask(&mut self, question: &str, out: &mut Output) {
        self.end_status(out);
        out.stderr(question);
        self.question = true;
    }

    /// The answer is there, with the line end that was typed.
    pub(super) fn answered(&mut self) {
        self.question = false;
    }

    /// A warning, also where the run itself is not the cause.
    pub(super) fn warning(&mut self, message: &str, hint: Option<&str>, out: &mut Output) {
        self.make_room(out);
        let mut text = String::new();
        render::message(&mut text, &self.looks.paint.paint(WARN, "warning"), message, self.looks.paint);
        render::hint(&mut text, hint, self.looks.paint);
        out.stderr(&text);
    }

    /// No status until the next event that sets one: somebody else gets the terminal.
    pub(super) fn end_status(&mut self, out: &mut Output) {
        self.make_room(out);
        self.status.end(out);
    }

    /// Draws what is due.
    pub(super) fn tick(&mut self, now: Moment, size: &dyn Fn() -> Size, out: &mut Output) {
        self.status.tick(now.elapsed, size, out);
    }

    /// When there is something to draw.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.status.wake_at()
    }

    /// `db-migrate in staging`, as far as it is known.
    pub(super) fn label(&self, task: Option<&str>) -> String {
        let task = task.unwrap_or("the task");
        match &self.environment {
            Some(environment) => format!("{task} in {environment}"),
            None => task.to_owned(),
        }
    }

    fn is_on_ecs(&self, task: Option<&str>) -> bool {
        self.tasks.get(task.unwrap_or_default()).is_some_and(|it| it.0 == Runner::Ecs)
    }

    fn set_status(&mut self, what: &str, detail: Option<&str>, now: Moment) {
        if !self.looks.quiet {
            self.status.set(what, detail, now.elapsed);
        }
    }

    fn make_room(&mut self, out: &mut Output) {
        if std::mem::take(&mut self.question) {
            out.stderr("\n");
        }
        self.status.clear(out);
    }

    /// A line of ours, unless `-q`.
    fn line(&mut self, verb: &str, style: Style, rest: &str, out: &mut Output) {
        if !self.looks.quiet {
            self.make_room(out);
            self.write_line(verb, style, rest, out);
        }
    }

    /// A line below the last one's text, unless `-q`.
    fn below(&mut self, rest: &str, out: &mut Output) {
        if !self.looks.quiet {
            out.stderr(&format!("{INDENT}{}\n", text::hang(rest, INDENT)));
        }
    }

    fn write_line(&self, verb: &str, style: Style, rest: &str, out: &mut Output) {
        let verb = format!("{verb:>12}");
        out.stderr(&format!("{} {}\n", self.looks.paint.paint(style, &verb), text::hang(rest, INDENT)));
    }

    /// The plan. A dry run's is its result, so `-q` does not take it away; stdout stays the task's own even so.
    fn plan(
        &mut self,
        task: Option<&str>,
        dry_run: bool,
        lines: &[PlanLine],
        requests: &[(&str, &Option<serde_json::Value>)],
        out: &mut Output,
    ) {
        if self.looks.quiet && !dry_run {
            return;
        }
        self.make_room(out);
        let whole = dry_run || self.looks.verbose;
        let lines: Vec<&PlanLine> = lines.iter().filter(|it| whole || SUMMARY.contains(&it.key.as_str())).collect();
        if !lines.is_empty() {
            self.write_line("Planned", GOOD, &self.label(task), out);
        }
        let keys = lines.iter().map(|it| text::columns(&it.key)).max().unwrap_or(0);
        let values = lines.iter().map(|it| text::columns(&it.value)).filter(|it| *it <= VALUE_COLUMNS).max();
        let origin = lines.iter().map(|it| text::columns(&it.origin)).max().unwrap_or(0);
        let aligned = INDENT.len() + keys + 2 + values.unwrap_or(0) + 2 + origin + 2;
        // A column of their own on a terminal that is too narrow would be a line of their own.
        let values = values.filter(|_| self.looks.columns.is_none_or(|it| aligned <= it));
        for line in lines {
            let value = text::hang(&line.value, INDENT);
            let mut row = format!("{INDENT}{}{}  {value}", line.key, text::pad(&line.key, keys));
            if whole && !line.origin.is_empty() {
                let origin = format!("({})", text::clean(&line.origin));
                row.push_str(&text::pad(&value, values.unwrap_or(0)));
                row.push_str("  ");
                row.push_str(&self.looks.paint.paint(FAINT, &origin));
            }
            out.stderr(row.trim_end());
            out.stderr("\n");
        }
        if !dry_run {
            return;
        }
        if self.looks.verbose {
            for (name, request) in requests {
                if let Some(request) = request {
                    self.write_line("Request", GOOD, name, out);
                    // `{:#}` of a JSON value is its indented form.
                    out.stderr(&format!("{request:#}\n"));
                }
            }
        }
    }

    fn finished(&mut self, task: Option<&str>, ending: &Ending, out: &mut Output) {
        let good = matches!(ending.outcome, Outcome::Succeeded | Outcome::Skipped);
        let log_may_be_cut = matches!(ending.log, Some(LogEnd::MayBeCut(_)));
        if good && self.looks.quiet && !log_may_be_cut && !self.looks.timings {
            return;
        }
        self.make_room(out);
        let (verb, style) = verb_of(ending.outcome);
        let mut line = format!("{}: {}", self.label(task), verdict(ending));
        if ending.outcome != Outcome::Skipped {
            line.push_str(&how_long(ending));
        }
        self.write_line(verb, style, &line, out);
        for detail in details(ending) {
            out.stderr(&format!("{INDENT}{}\n", text::hang(&detail, INDENT)));
        }
        let names = ending.tasks.iter().map(|it| text::columns(&it.task)).max().unwrap_or(0);
        for end in &ending.tasks {
            let line = format!("{}{}  {}", end.task, text::pad(&end.task, names), task_end(end));
            out.stderr(&format!("{INDENT}{}\n", text::hang(&line, INDENT)));
        }
        let mut hint = String::new();
        render::hint(&mut hint, ending.hint.as_deref(), self.looks.paint);
        out.stderr(&hint);
        if self.looks.timings {
            for line in bars::lines(&ending.timings) {
                out.stderr(&format!("{INDENT}{line}\n"));
            }
        }
    }
}

fn verb_of(outcome: Outcome) -> (&'static str, Style) {
    match outcome {
        Outcome::Succeeded => ("Finished", GOOD),
        Outcome::Skipped => ("Skipped", GOOD),
        Outcome::Interrupted => ("Interrupted", WARN),
        Outcome::Detached => ("Detached", WARN),
        Outcome::Unknown => ("Unknown", WARN),
        Outcome::Refused | Outcome::AlreadyRunning => ("Refused", BAD),
        Outcome::TimedOut => ("Timed out", BAD),
        Outcome::Stopped => ("Stopped", BAD),
        Outcome::Failed | Outcome::NeverStarted => ("Failed", BAD),
    }
}

/// How it ended, in a few words.
pub(super) fn verdict(ending: &Ending) -> String {
    if ending.outcome == Outcome::Refused && !ending.tasks.is_empty() {
        // Others of this run were started, and the code is theirs.
        return format!("it was not started; exit code {}", ending.exit_code);
    }
    outcome_in_words(ending.outcome, ending.exit_code)
}

/// What became of one of several tasks.
pub(super) fn task_end(end: &TaskEnd) -> String {
    let Some(outcome) = end.outcome else { return "did not run".to_owned() };
    let after =
        end.seconds.and_then(|it| Duration::try_from_secs_f64(it).ok()).map(|it| format!(" after {}", words(it)));
    format!("{}{}", outcome_in_words(outcome, end.exit_code.unwrap_or_default()), after.unwrap_or_default())
}

/// How one of several attempts ended.
pub(super) fn attempt_end(attempt: &Attempt) -> String {
    let mut text = outcome_in_words(attempt.outcome, attempt.exit_code);
    match (&attempt.stop_code, &attempt.reason) {
        // That it ended by itself is what success is.
        _ if attempt.outcome == Outcome::Succeeded => {}
        (Some(code), Some(reason)) => text.push_str(&format!("; {code}: {reason}")),
        (Some(one), None) | (None, Some(one)) => text.push_str(&format!("; {one}")),
        (None, None) => {}
    }
    text
}

/// A pause, which is never told as none.
fn in_seconds(time: Duration) -> String {
    words(Duration::from_secs(time.as_secs().max(1)))
}

fn outcome_in_words(outcome: Outcome, code: u8) -> String {
    match outcome {
        Outcome::Succeeded => "succeeded".to_owned(),
        Outcome::Failed => format!("exit code {code}"),
        Outcome::NeverStarted => format!("never started; exit code {code}"),
        Outcome::Stopped => format!("stopped from outside; exit code {code}"),
        Outcome::TimedOut => format!("timed out; exit code {code}"),
        Outcome::Interrupted => format!("interrupted; exit code {code}"),
        Outcome::Detached => "goes on without this process".to_owned(),
        Outcome::Refused => format!("nothing was started; exit code {code}"),
        Outcome::AlreadyRunning => format!("another one is running; exit code {code}"),
        Outcome::Skipped => "nothing had to run".to_owned(),
        Outcome::Unknown => format!("ECS cannot say how it ended; exit code {code}"),
    }
}

/// `, after 3m12s (ran 2m40s)`, as far as it is known.
fn how_long(ending: &Ending) -> String {
    let words = |seconds: f64| Duration::try_from_secs_f64(seconds).ok().map(words);
    let total = ending.timings.total.and_then(words).map(|it| format!(" after {it}"));
    let run = ending.timings.run.and_then(words);
    let run = run.filter(|_| ending.timings.run < ending.timings.total).map(|it| format!(" (ran {it})"));
    format!("{}{}", total.unwrap_or_default(), run.unwrap_or_default())
}

/// What a reader needs to know beside the verdict: nothing where all went well.
pub(super) fn details(ending: &Ending) -> Vec<String> {
    let mut details = Vec::new();
    let good = matches!(ending.outcome, Outcome::Succeeded | Outcome::Skipped);
    details.extend(ending.explanation.clone());
    for (index, attempt) in ending.attempts.iter().enumerate() {
        let arn = attempt.task_arn.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
        details.push(format!("attempt {}: {}{arn}", index + 1, attempt_end(attempt)));
    }
    if let Some(shards) = &ending.shards {
        details.extend(board::ends(shards));
    }
    if !good {
        details.extend(match (&ending.stop_code, &ending.stopped_reason) {
            (Some(code), Some(reason)) => Some(format!("ECS: {code}: {reason}")),
            (Some(text), None) | (None, Some(text)) => Some(format!("ECS: {text}")),
            (None, None) => None,
        });
        details.extend(ending.container_reason.as_ref().map(|it| format!("container: {it}")));
    }
    match &ending.log {
        // The reason says it itself: "the output may be cut: …".
        Some(LogEnd::MayBeCut(why)) => details.push(why.clone()),
        Some(LogEnd::Complete) if !good => details.push("the output is complete".to_owned()),
        Some(LogEnd::Open) if ending.outcome != Outcome::Detached && !good => {
            details.push("the output was not read to its end".to_owned());
        }
        _ => {}
    }
    // Scrolled away or silenced by -q otherwise, when somebody needs it.
    if !good {
        details.extend(ending.task_arn.as_ref().map(|it| format!("ECS task {it}")));
    }
    details
}

/// The page of an ECS task in AWS's console, from its ARN. Only where AWS itself was called: an emulator's ARNs look the same.
pub fn console_url(task_arn: &str) -> Option<String> {
    let mut parts = task_arn.splitn(6, ':');
    let ("arn", partition, "ecs", region) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?) else {
        return None;
    };
    let mut resource = parts.nth(1)?.split('/');
    let ("task", cluster, id) = (resource.next()?, resource.next()?, resource.next()?) else { return None };
    let host = match partition {
        "aws" => format!("{region}.console.aws.amazon.com"),
        "aws-cn" => format!("{region}.console.amazonaws.cn"),
        "aws-us-gov" => format!("{region}.console.amazonaws-us-gov.com"),
        _ => return None,
    };
    Some(format!("https://{host}/ecs/v2/clusters/{cluster}/tasks/{id}"))
}

#[cfg(test)]
mod tests;
