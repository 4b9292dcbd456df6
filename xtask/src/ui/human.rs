//! The printer for people: the task's output on stdout as it is, everything of ours on stderr in cargo's shape, a bold verb at the
//! right of twelve columns.

use std::time::Duration;

use anstyle::Style;

use crate::error::{Error, Problem};
use crate::event::{BuildStep, Event};
use crate::follow::words;
use crate::model::{Ending, LogEnd, Outcome, PlanLine, Runner};
use crate::ui::Moment;
use crate::ui::output::Output;
use crate::ui::render;
use crate::ui::status::Status;
use crate::ui::text::{self, BAD, FAINT, GOING, GOOD, Paint, WARN};

/// What stands below a verb's own text.
const INDENT: &str = "             ";
/// The lines of the plan that a normal run shows.
const SUMMARY: [&str; 7] = ["account", "region", "cluster", "service", "container", "image", "command"];
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
}

/// The printer and what it has to remember.
#[derive(Debug)]
pub(super) struct Human {
    looks: Looks,
    status: Status,
    /// Of the last Resolved event.
    environment: Option<String>,
    runner: Option<Runner>,
    command: Vec<String>,
    /// A question is open: the cursor stands behind it.
    question: bool,
}

impl Human {
    pub(super) fn new(looks: Looks) -> Human {
        let status = Status::new(looks.redraw, looks.paint);
        Human { looks, status, environment: None, runner: None, command: Vec::new(), question: false }
    }

    /// Shows an event.
    pub(super) fn event(&mut self, task: Option<&str>, event: &Event, now: Moment, out: &mut Output) {
        match event {
            Event::Log { message, .. } => {
                if self.looks.stdout_is_terminal {
                    self.make_room(out);
                }
                out.stdout(message.as_bytes());
                out.stdout(b"\n");
            }
            Event::Warning { message, hint } => self.warning(message, hint.as_deref(), out),
            Event::Error { message, hint, file, line, column, done } => {
                let problem = Problem { message: message.clone(), span: None, hint: hint.clone() };
                let numbers = [line, column].into_iter().flatten().map(|it| format!(":{it}")).collect::<String>();
                let place = file.as_ref().map(|it| format!("{it}{numbers}"));
                self.end_status(out);
                out.stderr(&render::problem(&problem, place.as_deref(), done.as_deref(), self.looks.paint));
            }
            Event::Resolved { environment, runner, run_id, command } => {
                self.environment = Some(environment.clone());
                self.runner = Some(*runner);
                self.command.clone_from(command);
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
            Event::Planned { dry_run, lines, register_task_definition, run_task } => {
                let requests = [("RegisterTaskDefinition", register_task_definition), ("RunTask", run_task)];
                self.plan(task, *dry_run, lines, &requests, out);
                if self.runner == Some(Runner::Ecs) && !dry_run {
                    self.set_status("preparing the image", None, now);
                } else {
                    self.end_status(out);
                }
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
                if self.runner == Some(Runner::Ecs) {
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
            Event::Launched { task_arn: None, .. } => {
                // From here on stdout and stderr belong to the process.
                self.end_status(out);
                let command = text::command_line(&self.command);
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
            Event::Finished(ending) => {
                self.end_status(out);
                self.finished(task, ending, out);
            }
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
    pub(super) fn tick(&mut self, now: Moment, width: &dyn Fn() -> usize, out: &mut Output) {
        self.status.tick(now.elapsed, width, out);
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
        self.write_line("Dry run", GOOD, "nothing was built, pushed, registered or started", out);
    }

    fn finished(&mut self, task: Option<&str>, ending: &Ending, out: &mut Output) {
        let good = matches!(ending.outcome, Outcome::Succeeded | Outcome::Skipped);
        let log_may_be_cut = matches!(ending.log, Some(LogEnd::MayBeCut(_)));
        if good && self.looks.quiet && !log_may_be_cut {
            return;
        }
        self.make_room(out);
        let (verb, style) = match ending.outcome {
            Outcome::Succeeded => ("Finished", GOOD),
            Outcome::Skipped => ("Skipped", GOOD),
            Outcome::Interrupted => ("Interrupted", WARN),
            Outcome::Detached => ("Detached", WARN),
            Outcome::Unknown => ("Unknown", WARN),
            Outcome::Refused | Outcome::AlreadyRunning => ("Refused", BAD),
            Outcome::TimedOut => ("Timed out", BAD),
            Outcome::Stopped => ("Stopped", BAD),
            Outcome::Failed | Outcome::NeverStarted => ("Failed", BAD),
        };
        let mut line = format!("{}: {}", self.label(task), verdict(ending));
        line.push_str(&how_long(ending));
        self.write_line(verb, style, &line, out);
        for detail in details(ending) {
            out.stderr(&format!("{INDENT}{}\n", text::hang(&detail, INDENT)));
        }
        let mut hint = String::new();
        render::hint(&mut hint, ending.hint.as_deref(), self.looks.paint);
        out.stderr(&hint);
    }
}

/// How it ended, in a few words.
pub(super) fn verdict(ending: &Ending) -> String {
    let code = ending.exit_code;
    match ending.outcome {
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
mod tests {
    use super::*;
    use crate::error::Problem;
    use crate::model::Timestamp;
    use crate::ui::samples;

    const PLAIN: Looks =
        Looks { paint: Paint(false), redraw: false, stdout_is_terminal: false, quiet: false, verbose: false };
    const TERMINAL: Looks = Looks { redraw: true, stdout_is_terminal: true, ..PLAIN };

    /// Shows events a second apart.
    fn shown(looks: Looks, events: &[Event]) -> Output {
        let mut human = Human::new(looks);
        let mut out = Output::default();
        for (second, event) in (0..).zip(events) {
            let now = Moment { elapsed: Duration::from_secs(second), ..samples::now() };
            human.event(Some("db-migrate"), event, now, &mut out);
            human.tick(now, &|| 80, &mut out);
        }
        out
    }

    #[test]
    fn a_run_without_a_terminal() {
        let out = shown(PLAIN, &samples::run());
        assert_eq!(out.on_stdout(), "== CreateUsers: migrating\nboom\n");
        let expected = "    \
    Resolved db-migrate in staging, on ECS; run r-1
     Planned db-migrate in staging
             account  111122223333
             cluster  staging
             image    111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:xtask-0123
             command  bin/rails db:migrate
    Building app
     Pushing app
      Pushed image 111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app@sha256:abcd
   Unchanged task definition xtask-staging-db-migrate:7
    Launched arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef
             https://eu-west-1.console.aws.amazon.com/ecs/v2/clusters/staging/tasks/0123456789abcdef
      Status PENDING
      Status RUNNING
warning: cannot read the output: timeout; trying again
      Failed db-migrate in staging: exit code 1 after 1m35s (ran 30s)
             ECS: EssentialContainerExited: Essential container in task exited
             the output is complete
             ECS task arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef
";
        assert_eq!(out.on_stderr(), expected);
    }

    #[test]
    fn quiet_keeps_warnings_and_an_end_that_is_no_success() {
        let quiet = Looks { quiet: true, ..PLAIN };
        let out = shown(quiet, &samples::run());
        assert_eq!(out.on_stdout(), "== CreateUsers: migrating\nboom\n");
        let lines: Vec<String> = out.on_stderr().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "warning: cannot read the output: timeout; trying again");
        assert!(lines[1].starts_with("      Failed db-migrate in staging: exit code 1"), "{lines:?}");
        assert_eq!(lines.len(), 5, "{lines:?}");

        let good = Event::Finished(Box::new(samples::ending(Outcome::Succeeded, 0)));
        assert_eq!(shown(quiet, &[samples::resolved(Runner::Ecs), good]).on_stderr(), "");
        let mut cut = samples::ending(Outcome::Succeeded, 0);
        cut.log = Some(LogEnd::MayBeCut("the output may be cut: timeout".to_owned()));
        let told = shown(quiet, &[Event::Finished(Box::new(cut))]).on_stderr();
        assert!(told.contains("succeeded") && told.contains("may be cut"), "{told}");
    }

    #[test]
    fn on_a_terminal_the_status_makes_room_and_comes_back() {
        let events = [samples::status("RUNNING"), samples::status("RUNNING"), samples::log("one"), samples::log("two")];
        // The first status is younger than 250 ms at its tick; the second replaces it, so the third event's tick is the first
        // to draw.
        let expected = "one\n\r\x1b[2K      Status RUNNING 1s\r\x1b[2Ktwo\n\r\x1b[2K      Status RUNNING 2s";
        assert_eq!(shown(TERMINAL, &events).on_both(), expected);
        // A file as stdout needs no room on the terminal.
        let elsewhere = shown(Looks { stdout_is_terminal: false, ..TERMINAL }, &events);
        assert_eq!(elsewhere.on_stdout(), "one\ntwo\n");
        assert_eq!(elsewhere.on_stderr(), "\r\x1b[2K      Status RUNNING 1s\r\x1b[2K      Status RUNNING 2s");
    }

    #[test]
    fn whatever_comes_the_terminal_never_keeps_a_piece_of_the_status() {
        // Everything that prints erases a status line that stands there first.
        let error = Problem::new("no").failed();
        type Print<'a> = &'a dyn Fn(&mut Human, &mut Output);
        let prints: [(&str, Print); 6] = [
            ("error", &|human, out| human.error(&error, out)),
            ("print", &|human, out| human.print("result\n", out)),
            ("note", &|human, out| human.note("detail", out)),
            ("ask", &|human, out| human.ask("Sure? ", out)),
            ("warning", &|human, out| human.warning("w", None, out)),
            ("sync", &|human, out| human.end_status(out)),
        ];
        let events = samples::run().into_iter().filter(|it| !matches!(it, Event::Status { .. }));
        let events: Vec<Event> = events.collect();
        let check = |name: &str, print: Print| {
            let mut human = Human::new(Looks { verbose: true, ..TERMINAL });
            let mut out = Output::default();
            human.event(Some("t"), &samples::status("RUNNING"), samples::now(), &mut out);
            let later = Moment { elapsed: samples::now().elapsed + Duration::from_secs(1), ..samples::now() };
            human.tick(later, &|| 80, &mut out);
            let mut out = Output::default();
            print(&mut human, &mut out);
            assert!(out.on_both().starts_with("\r\x1b[2K"), "{name}: {:?}", out.on_both());
        };
        for (name, print) in prints {
            check(name, print);
        }
        for event in &events {
            check(&format!("{event:?}"), &|human, out| human.event(Some("t"), event, samples::now(), out));
        }
    }

    #[test]
    fn a_dry_run_shows_the_plan_whole_with_its_origins() {
        let out = shown(PLAIN, &[samples::resolved(Runner::Ecs), samples::planned(true)]);
        let expected = "    \
    Resolved db-migrate in staging, on ECS; run r-1
     Planned db-migrate in staging
             account   111122223333          (environments.staging.account)
             cluster   staging               (environments.staging.cluster)
             platform  linux/amd64           (default)
             image     111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:xtask-0123  (tasks.db-migrate.image)
             command   bin/rails db:migrate
     Dry run nothing was built, pushed, registered or started
";
        assert_eq!(out.on_stderr(), expected);
        assert_eq!(out.on_stdout(), "");
        // It is the result: -q leaves it.
        let quiet = shown(Looks { quiet: true, ..PLAIN }, &[samples::planned(true)]).on_stderr();
        assert!(quiet.contains("Planned") && quiet.contains("(default)"), "{quiet}");
        let verbose = shown(Looks { verbose: true, ..PLAIN }, &[samples::planned(true)]).on_stderr();
        let request = "     Request RegisterTaskDefinition\n{\n  \"family\": \"xtask-staging-db-migrate\"\n}\n";
        assert!(verbose.contains(request), "{verbose}");
    }

    #[test]
    fn a_local_run_says_where_and_what() {
        let launched = Event::Launched { task_arn: None, cluster: None, console_url: None };
        let ending = Ending {
            task_arn: None,
            stop_code: None,
            stopped_reason: None,
            log: None,
            ..samples::ending(Outcome::Succeeded, 0)
        };
        let events = [samples::resolved(Runner::Host), launched, Event::Finished(Box::new(ending))];
        let expected = "    \
    Resolved db-migrate in staging, on this machine; run r-1
     Running `bin/rails db:migrate`
    Finished db-migrate in staging: succeeded after 1m35s (ran 30s)
";
        // On a terminal too: no status line stands between the process and its terminal.
        for looks in [PLAIN, TERMINAL] {
            assert_eq!(shown(looks, &events).on_stderr(), expected);
        }
    }

    #[test]
    fn each_end_says_what_a_reader_needs() {
        let with = |outcome, exit_code, explanation: Option<&str>, reason: &str, log| Ending {
            stop_code: Some("TaskFailedToStart".to_owned()).filter(|_| !reason.is_empty()),
            stopped_reason: Some(reason.to_owned()).filter(|_| !reason.is_empty()),
            explanation: explanation.map(str::to_owned),
            log,
            timings: crate::model::Timings { total: Some(61.2), ..Default::default() },
            task_arn: None,
            ..samples::ending(outcome, exit_code)
        };
        for (ending, expected) in [
            (
                with(Outcome::NeverStarted, 125, None, "CannotPullContainerError: x\ny", Some(LogEnd::NeverStarted)),
                "      Failed t: never started; exit code 125 after 1m1s\n             \
                 ECS: TaskFailedToStart: CannotPullContainerError: x\n             | y\n",
            ),
            (
                with(
                    Outcome::Stopped,
                    125,
                    Some("its capacity was taken away"),
                    "",
                    Some(LogEnd::MayBeCut("the output may be cut: x".to_owned())),
                ),
                "     Stopped t: stopped from outside; exit code 125 after 1m1s\n             \
                 its capacity was taken away\n             the output may be cut: x\n",
            ),
            (
                with(Outcome::TimedOut, 124, None, "", Some(LogEnd::Complete)),
                "   Timed out t: timed out; exit code 124 after 1m1s\n             the output is complete\n",
            ),
            (
                with(Outcome::Interrupted, 130, Some("the ECS task was stopped"), "", Some(LogEnd::Open)),
                " Interrupted t: interrupted; exit code 130 after 1m1s\n             the ECS task was stopped\n             \
                 the output was not read to its end\n",
            ),
            (
                with(Outcome::Detached, 129, None, "", Some(LogEnd::Open)),
                "    Detached t: goes on without this process after 1m1s\n",
            ),
            (
                with(Outcome::AlreadyRunning, 125, None, "", None),
                "     Refused t: another one is running; exit code 125 after 1m1s\n",
            ),
            (
                with(Outcome::Refused, 2, None, "", None),
                "     Refused t: nothing was started; exit code 2 after 1m1s\n",
            ),
            (with(Outcome::Skipped, 0, None, "", None), "     Skipped t: nothing had to run after 1m1s\n"),
            (
                with(Outcome::Unknown, 125, None, "", None),
                "     Unknown t: ECS cannot say how it ended; exit code 125 after 1m1s\n",
            ),
            (with(Outcome::Failed, 7, None, "", None), "      Failed t: exit code 7 after 1m1s\n"),
        ] {
            let mut out = Output::default();
            Human::new(PLAIN).event(Some("t"), &Event::Finished(Box::new(ending)), samples::now(), &mut out);
            assert_eq!(out.on_stderr(), expected);
        }
    }

    #[test]
    fn reasons_and_hints_stand_below_and_others_text_is_harmless() {
        let mut ending = samples::ending(Outcome::Failed, 137);
        ending.container_reason = Some("OutOfMemoryError: \u{1b}[2Jkilled".to_owned());
        ending.explanation = Some("the container was killed because it ran out of memory".to_owned());
        ending.hint = Some("give it more: `memory` on the task, or --memory".to_owned());
        let out = shown(PLAIN, &[Event::Finished(Box::new(ending))]);
        let expected = "      \
      Failed db-migrate: exit code 137 after 1m35s (ran 30s)
             the container was killed because it ran out of memory
             ECS: EssentialContainerExited: Essential container in task exited
             container: OutOfMemoryError: \u{fffd}[2Jkilled
             the output is complete
             ECS task arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef
  hint: give it more: `memory` on the task, or --memory
";
        assert_eq!(out.on_stderr(), expected);
    }

    #[test]
    fn the_tasks_output_is_not_touched() {
        let message = "\u{1b}[31mred\u{1b}[0m\ttab\rback\u{7}  ";
        for looks in [PLAIN, TERMINAL, Looks { paint: Paint(true), quiet: true, ..PLAIN }] {
            let event =
                Event::Log { message: message.to_owned(), timestamp: Timestamp(0), container: "web".to_owned() };
            assert_eq!(shown(looks, &[event]).on_stdout(), format!("{message}\n"));
        }
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let plain = shown(PLAIN, &samples::run()).on_stderr();
        let coloured = shown(Looks { paint: Paint(true), ..PLAIN }, &samples::run()).on_stderr();
        assert_ne!(coloured, plain);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }

    #[test]
    fn errors_by_event_have_their_place() {
        let event = Event::Error {
            message: "cannot push".to_owned(),
            hint: Some("log in".to_owned()),
            file: Some("tasks.toml".to_owned()),
            line: Some(3),
            column: Some(9),
            done: Some("the image is built".to_owned()),
        };
        let expected = "error: cannot push\n  --> tasks.toml:3:9\n  hint: log in\n  note: the image is built\n";
        assert_eq!(shown(PLAIN, &[event]).on_stderr(), expected);
    }

    #[test]
    fn an_open_question_gets_its_line_end() {
        let mut human = Human::new(PLAIN);
        let mut out = Output::default();
        human.ask("Type `production`: ", &mut out);
        human.warning("SIGINT", None, &mut out);
        human.ask("Again: ", &mut out);
        human.answered();
        human.warning("not confirmed", None, &mut out);
        let expected = "Type `production`: \nwarning: SIGINT\nAgain: warning: not confirmed\n";
        assert_eq!(out.on_stderr(), expected, "the terminal echoes the line end that was typed");
    }

    #[test]
    fn notes_are_for_v_and_long_waits_are_told() {
        let mut human = Human::new(PLAIN);
        let mut out = Output::default();
        human.note("hidden", &mut out);
        human.event(None, &samples::launched(), Moment { elapsed: Duration::ZERO, ..samples::now() }, &mut out);
        let before = out.on_stderr();
        human.tick(Moment { elapsed: Duration::from_secs(31), ..samples::now() }, &|| 80, &mut out);
        assert_eq!(out.on_stderr(), format!("{before}      Status still waiting for ECS after 31s\n"));
        let mut out = Output::default();
        Human::new(Looks { verbose: true, ..PLAIN }).note("docker version", &mut out);
        assert_eq!(out.on_stderr(), "        Note docker version\n");
    }

    #[test]
    fn the_console_has_a_page_for_each_ecs_task() {
        for (arn, expected) in [
            (
                samples::ARN,
                Some("https://eu-west-1.console.aws.amazon.com/ecs/v2/clusters/staging/tasks/0123456789abcdef"),
            ),
            (
                "arn:aws-cn:ecs:cn-north-1:111122223333:task/c/1",
                Some("https://cn-north-1.console.amazonaws.cn/ecs/v2/clusters/c/tasks/1"),
            ),
            (
                "arn:aws-us-gov:ecs:us-gov-west-1:1:task/c/1",
                Some("https://us-gov-west-1.console.amazonaws-us-gov.com/ecs/v2/clusters/c/tasks/1"),
            ),
            // The old form has no cluster.
            ("arn:aws:ecs:eu-west-1:111122223333:task/1", None),
            ("arn:aws:ecs:eu-west-1:111122223333:service/c/s", None),
            ("arn:aws-iso:ecs:us-iso-east-1:1:task/c/1", None),
            ("0123456789abcdef", None),
        ] {
            assert_eq!(console_url(arn).as_deref(), expected, "{arn}");
        }
    }
}
