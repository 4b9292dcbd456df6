//! The fault matrix: one fault at one point a row, and what must hold after it. Each row also runs without its fault, and must leave another
//! trace then. `cargo test -p xtask --test it faults -- --nocapture` prints the summary that docs/faults.md keeps.

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::ecs::{TASKS, account_on, content_tag, project, side_by_side};
use crate::fake::state::sha256;
use crate::fake::{ACCESS_KEY, Fake, Life, Moment};
use crate::harness::{Docker, Ran, Signal, Terminal, Test, has_terminal};

/// What is on stdout at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// Every line once, in order.
    Whole,
    /// Nothing: nothing was written, or nothing could be read, and the reason is told.
    Nothing,
    /// A beginning, and it is told that there may be more.
    Cut,
    /// What it had written when it was stopped, and it is told that this is all.
    Part,
    /// Nobody reads it.
    Unread,
}

/// What still runs at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing.
    Nothing,
    /// The ECS task, and the line that stops it is told.
    Told,
    /// The ECS task, and the terminal that it could be told on is closed.
    Untold,
}

/// What happens to the process from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Nothing.
    Nothing,
    /// A signal once it has printed its first line.
    Signal(Signal),
    /// The same, and again when that is told.
    Twice(Signal),
    /// A signal at a moment of the first call of an operation.
    SignalAt(&'static str, Moment, Signal),
    /// The terminal is closed once it has printed its first line.
    CloseTerminal,
    /// stdout is a pipe that nobody reads any more.
    BrokenPipe,
    /// stdout is a full disk.
    FullDisk,
}

/// A row: the fault, and what must hold after it.
struct Row {
    what: &'static str,
    world: Box<dyn Fn(Fake) -> Fake + Send + Sync>,
    code: i32,
    n_started: usize,
    output: Output,
    left: Left,
    told: &'static str,
    // What is there with and without the fault.
    cold: bool,
    exclusive: bool,
    renews: bool,
    life: fn() -> Life,
    speed: f64,
    act: Act,
    // Faults that are not AWS's.
    fault_act: Option<Act>,
    docker: fn() -> Docker,
    tasks: fn(&str) -> String,
}

impl Row {
    /// The image is not in the registry: docker builds and pushes it.
    fn cold(mut self) -> Row {
        self.cold = true;
        self
    }

    /// At most one ECS task may run at a time.
    fn exclusive(mut self) -> Row {
        self.exclusive = true;
        self
    }

    /// The credentials come from a file, which gets new ones after a while of following.
    fn renews(mut self) -> Row {
        self.renews = true;
        self
    }

    /// The life of the ECS task, with and without the fault.
    fn life(mut self, life: fn() -> Life) -> Row {
        self.life = life;
        self
    }

    /// Where answers that never come are waited for: that takes real seconds.
    fn slowly(mut self) -> Row {
        self.speed = 10.0;
        self
    }

    /// What happens from outside, with and without the fault.
    fn when(mut self, act: Act) -> Row {
        self.act = act;
        self
    }

    /// What happens from outside is the fault.
    fn fault_is(mut self, act: Act) -> Row {
        self.fault_act = Some(act);
        self
    }

    /// docker is the fault.
    fn docker(mut self, docker: fn() -> Docker) -> Row {
        self.docker = docker;
        self.cold()
    }

    /// tasks.toml is the fault.
    fn tasks(mut self, tasks: fn(&str) -> String) -> Row {
        self.tasks = tasks;
        self
    }

    /// What a run without the fault depends on.
    fn control(&self) -> Control {
        (self.life as usize, format!("{} {} {} {:?} {}", self.cold, self.exclusive, self.renews, self.act, self.speed))
    }
}

type Control = (usize, String);

fn row(
    what: &'static str,
    world: impl Fn(Fake) -> Fake + Send + Sync + 'static,
    code: i32,
    n_started: usize,
    output: Output,
    left: Left,
    told: &'static str,
) -> Row {
    Row {
        what,
        world: Box::new(world),
        code,
        n_started,
        output,
        left,
        told,
        cold: false,
        exclusive: false,
        renews: false,
        life: usual,
        speed: 60.0,
        act: Act::Nothing,
        fault_act: None,
        docker: Docker::new,
        tasks: str::to_owned,
    }
}

/// The credentials are in a file, which has new ones from this call of DescribeTasks on.
pub fn renews_at(fake: &Fake, mut test: Test, call: u64) -> Test {
    for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        test = test.without_env(variable);
    }
    let file = test.home().join(".aws/credentials");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, keys(ACCESS_KEY)).unwrap();
    fake.at_call("DescribeTasks", call, Moment::Arrived, move || std::fs::write(file, keys("AKIARENEWED")).unwrap());
    test
}

/// Nine lines in eight seconds, and success.
fn usual() -> Life {
    Life::counts_to(9).runs(8_000)
}

fn forever() -> Life {
    Life::counts_to(9).runs(8_000).runs_forever()
}

fn whole() -> String {
    (1..=9).map(|it| format!("{it}\n")).collect()
}

/// What a run left behind.
struct Trace {
    ran: Ran,
    stderr: String,
    marks: BTreeSet<String>,
    n_started: usize,
    n_run_task: usize,
    alive: Vec<String>,
    story: String,
}

fn run(row: &Row, faulty: bool) -> Trace {
    // Faults count requests, so the world is told of them before anything is asked.
    let fake = account_on(Fake::with_speed(row.speed)).task_life((row.life)());
    let fake = if row.cold { fake } else { fake.image("acme/app", &content_tag(), &sha256("app")) };
    let fake = if faulty { (row.world)(fake) } else { fake };
    let fake = if row.exclusive { fake.dates_by_its_clock() } else { fake };
    if row.exclusive {
        // The first minutes of a window.
        fake.advance((120_000 - fake.now()).rem_euclid(40 * 60_000));
    }
    let mut test = project(&fake);
    if faulty && row.cold {
        test = test.docker((row.docker)());
    }
    if row.renews {
        test = renews_at(&fake, test, 6);
    }
    let tasks = if faulty { (row.tasks)(TASKS) } else { TASKS.to_owned() };
    let single = if row.exclusive { "[tasks.db-migrate]\nexclusive = true" } else { "[tasks.db-migrate]" };
    test.write("tasks.toml", &tasks.replace("[tasks.db-migrate]", single));
    let act = if faulty { row.fault_act.unwrap_or(row.act) } else { row.act };
    // Of the few rows that are to tell of a broken guard, none takes long unless it hangs.
    let is_part = std::env::var_os(WANTED).is_some();
    let limit = Duration::from_secs(if is_part && row.speed >= 60.0 { 20 } else { 60 });
    let command = test.command(["run", "db-migrate", "-e", "staging"]).limit(limit);
    let ran = match act {
        Act::Nothing => command.run(),
        Act::Signal(signal) => {
            let running = command.start();
            running.wait_for_stdout("1\n");
            running.signal(signal);
            running.finish()
        }
        Act::Twice(signal) => {
            let running = command.start();
            running.wait_for_stdout("1\n");
            running.signal(signal);
            running.wait_for_stderr("the same signal again");
            // Where StopTask is refused, it has been tried again by then; else it is over.
            let deadline = Instant::now() + Duration::from_millis(500);
            while fake.count("StopTask") < 2 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            running.signal(signal);
            running.finish()
        }
        Act::SignalAt(operation, moment, signal) => {
            let child = test.child();
            fake.at_call(operation, 1, moment, move || child.signal(signal));
            command.run()
        }
        Act::CloseTerminal => {
            let running = command.terminal(Terminal::AllButStdout).start();
            running.wait_for_stdout("1\n");
            running.close_terminal();
            running.finish()
        }
        Act::BrokenPipe => {
            let (ours, its) = UnixStream::pair().unwrap();
            drop(ours);
            command.stdout(File::from(OwnedFd::from(its))).run()
        }
        Act::FullDisk => command.stdout(File::options().write(true).open("/dev/full").unwrap()).run(),
    };
    fake.settle();
    let trace = Trace {
        stderr: String::from_utf8_lossy(&ran.stderr).into_owned(),
        marks: marks(&fake, &ran),
        n_started: fake.started().len(),
        n_run_task: fake.count("RunTask"),
        alive: fake.alive(),
        story: fake.story(),
        ran,
    };
    // Some rows ask for what the fake has no script for on purpose: none may stay unseen.
    fake.verify();
    trace
}

/// The same; what the harness itself finds wrong (it hangs, it has told a secret) is told with the row's name.
fn caught(row: &Row, faulty: bool) -> Result<Trace, String> {
    catch_unwind(AssertUnwindSafe(|| run(row, faulty))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned())).unwrap_or_default()
    })
}

/// A file of credentials.
fn keys(id: &str) -> String {
    format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = planted-in-a-file\n")
}

/// What can be seen of a fault in what was asked and answered, apart from how often and when.
fn marks(fake: &Fake, ran: &Ran) -> BTreeSet<String> {
    let mut marks = BTreeSet::new();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let (mut stopped_at, mut times) = (None, BTreeSet::new());
    for record in fake.records() {
        let operation = &record.request.operation;
        let answer: serde_json::Value = serde_json::from_str(&record.answer).unwrap_or_default();
        if record.answered.is_none() {
            marks.insert(format!("{operation}: no answer"));
        }
        if operation == "RunTask" {
            let image = |it: &serde_json::Value| it["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
            marks.extend(answer["tasks"].as_array().into_iter().flatten().map(image));
        }
        if record.status >= 400 {
            let code = answer["__type"].as_str().unwrap_or("refused").to_owned();
            *refused.entry(format!("{operation}: {code}")).or_default() += 1;
        }
        if record.answered.is_some_and(|it| it - record.arrived > Duration::from_millis(250)) {
            marks.insert("slow".to_owned());
        }
        for failure in answer["failures"].as_array().into_iter().flatten() {
            marks.insert(format!("{operation}: {}", failure["reason"]));
        }
        if operation == "RunTask" && answer["tasks"].as_array().is_some_and(Vec::is_empty) {
            marks.insert("RunTask: nothing".to_owned());
        }
        for task in answer["tasks"].as_array().into_iter().flatten() {
            if task["lastStatus"] == "STOPPED" {
                stopped_at = task["stoppedAt"].as_f64().map(|it| (it * 1000.0) as i64);
            }
            for container in task["containers"].as_array().into_iter().flatten() {
                if operation == "DescribeTasks" && !container["exitCode"].is_null() {
                    marks.insert(format!("{}: {}", container["name"], container["exitCode"]));
                }
            }
            let seconds = |member: &str| task[member].as_f64();
            if let (Some(from), Some(to)) = (seconds("stoppingAt"), seconds("stoppedAt"))
                && to - from > 60.0
            {
                marks.insert("a slow stop".to_owned());
            }
        }
        if operation == "GetLogEvents" && record.status == 200 {
            let stream = record.request.body["logStreamName"].as_str().unwrap_or_default();
            marks.insert(format!("output in {}", stream.split('/').next().unwrap_or_default()));
            let events = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
            times.extend(events.iter().map(|it| it["timestamp"].to_string()));
            let token = &record.request.body["nextToken"];
            if events.is_empty() && !token.is_null() && answer["nextForwardToken"] != *token {
                marks.insert("an empty page that is not the end".to_owned());
            }
            if stopped_at.is_some_and(|it| record.at > it + 2_000) && !events.is_empty() {
                marks.insert("lines long after STOPPED".to_owned());
            }
        }
    }
    // A stream that does not exist yet is usual; for long it is not.
    marks.extend(refused.into_iter().map(|(what, n)| if n >= 4 { format!("{what}, often") } else { what }));
    marks.insert(format!("lines of several times: {}", times.len() > 1));
    marks.insert(format!("exit code {:?}", ran.exit_code()));
    marks
}

/// What is wrong with what a row left.
fn problems(row: &Row, trace: &Trace) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            problems.push(what.to_owned());
        }
    };
    let Trace { ran, stderr, .. } = trace;
    let stdout = String::from_utf8_lossy(&ran.stdout);
    let terminal = String::from_utf8_lossy(&ran.terminal);
    check(ran.exit_code() == Some(row.code), &format!("exit code {:?} instead of {}", ran.exit_code(), row.code));
    check(trace.n_started == row.n_started, &format!("{} ECS tasks were started", trace.n_started));
    // Whatever the row says:
    check(trace.n_started <= 1, "there is a second ECS task");
    check(whole().starts_with(&*stdout), "a line is missing in the middle, doubled or out of order");
    check(!stderr.contains("panicked"), "it panicked");
    let told_of_lines = stderr.contains("may be cut") || stderr.contains("not read to its end");
    check(
        match row.output {
            Output::Whole => stdout == whole() && !told_of_lines,
            Output::Nothing => stdout.is_empty(),
            Output::Cut => told_of_lines,
            Output::Part => !told_of_lines && stderr.contains("the output is complete"),
            Output::Unread => true,
        },
        &format!("the output is not {:?}", row.output),
    );
    let stops = trace.alive.iter().all(|arn| {
        let id = arn.rsplit('/').next().unwrap_or_default();
        stderr.contains(&format!("cargo xtask stop {id}")) || stderr.contains("cargo xtask stop --run")
    });
    check(
        match row.left {
            Left::Nothing => trace.alive.is_empty(),
            Left::Told => trace.alive.len() == 1 && stops,
            Left::Untold => trace.alive.len() == 1,
        },
        &format!("{} ECS tasks are left", trace.alive.len()),
    );
    let told = stderr.contains(row.told) || terminal.contains(row.told);
    check(told, &format!("`{}` was not told", row.told));
    problems
}

/// What the rows are called.
pub fn names() -> BTreeSet<&'static str> {
    rows::rows().iter().map(|it| it.what).collect()
}

/// Only the rows of these names, one a line. What breaks the sources on purpose knows which rows will tell.
const WANTED: &str = "XTASK_TEST_ROWS";

fn retain_wanted(rows: &mut Vec<Row>) -> bool {
    let Ok(wanted) = std::env::var(WANTED) else { return false };
    let names: BTreeSet<&str> = wanted.lines().collect();
    rows.retain(|it| names.contains(it.what));
    assert_eq!(rows.len(), names.len(), "{WANTED} names a row that is not there");
    true
}

fn page(rows: &[Row], controls: &BTreeMap<Control, Trace>) -> String {
    let mut text = "# What goes wrong, and what holds after it\n\n\
         Each row is one fault at one point of a run, through the built binary and a scripted AWS (`xtask/tests/it/faults/rows.rs`). The last column is \
         the exit code of the same run without the fault. This page is written by `UPDATE_EXPECT=1 cargo test -p xtask --test it faults` and held by \
         that test.\n\n\
         In every row: at most one ECS task is started, no line is doubled or out of order, nothing runs on without being told, nothing panics, no \
         secret is in any output.\n\n\
         | # | fault | exit code | ECS tasks started | output | left running | told | without the fault |\n|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (index, row) in rows.iter().enumerate() {
        let output = match row.output {
            Output::Whole => "whole",
            Output::Nothing => "none",
            Output::Cut => "may be cut, and told",
            Output::Part => "what was written until the stop",
            Output::Unread => "nobody reads it",
        };
        let left = match row.left {
            Left::Nothing => "nothing",
            Left::Told => "the ECS task, told with the line that stops it",
            Left::Untold => "the ECS task; `ps` finds it",
        };
        let told = if row.told.is_empty() { String::new() } else { format!("`{}`", row.told) };
        let control = controls[&row.control()].ran.exit_code().map_or("-".to_owned(), |it| it.to_string());
        writeln!(
            text,
            "| {} | {} | {} | {} | {output} | {left} | {told} | {control} |",
            index + 1,
            row.what,
            row.code,
            row.n_started
        )
        .unwrap();
    }
    text
}

#[test]
fn every_fault_leaves_what_its_row_says() {
    let mut rows = rows::rows();
    if !has_terminal() {
        rows.retain(|it| it.fault_act != Some(Act::CloseTerminal));
    }
    assert!(rows.len() >= 40, "{} rows", rows.len());
    let names: BTreeSet<&str> = rows.iter().map(|it| it.what).collect();
    assert_eq!(names.len(), rows.len(), "two rows have one name");
    let is_part = retain_wanted(&mut rows);

    // Rows with the same world beside their fault share the run without it.
    let mut first: BTreeMap<_, &Row> = BTreeMap::new();
    for row in &rows {
        first.entry(row.control()).or_insert(row);
    }
    let controls = Mutex::new(BTreeMap::new());
    let cases: Vec<_> = first.into_iter().collect();
    let unrun: Vec<String> = side_by_side(&cases, |(key, row)| match caught(row, false) {
        Ok(trace) => {
            controls.lock().unwrap().insert(key.clone(), trace);
            None
        }
        Err(problem) => Some(format!("## {}: without its fault: {problem}", row.what)),
    })
    .into_iter()
    .flatten()
    .collect();
    assert!(unrun.is_empty(), "{}", unrun.join("\n\n"));
    let controls = controls.into_inner().unwrap();

    let broken: Vec<String> = side_by_side(&rows, |row| {
        let trace = match caught(row, true) {
            Ok(trace) => trace,
            Err(problem) => return Some(format!("## {}: {problem}", row.what)),
        };
        let mut problems = problems(row, &trace);
        let control = &controls[&row.control()];
        if trace.marks == control.marks && trace.ran.exit_code() == control.ran.exit_code() && row.told.is_empty() {
            problems.push("nothing differs from the run without the fault".to_owned());
        }
        if !row.told.is_empty() && control.stderr.contains(row.told) {
            problems.push("it is told without the fault, too".to_owned());
        }
        let story: String = trace.story.lines().take(80).fold(String::new(), |all, it| all + it + "\n");
        (!problems.is_empty()).then(|| {
            format!(
                "## {}: {}\n{}\nRunTask: {}\n{story}",
                row.what,
                problems.join("; "),
                trace.ran.all(),
                trace.n_run_task
            )
        })
    })
    .into_iter()
    .flatten()
    .collect();
    assert!(broken.is_empty(), "{} of {} rows:\n\n{}", broken.len(), rows.len(), broken.join("\n\n"));

    if is_part {
        return;
    }
    let text = page(&rows, &controls);
    println!("{text}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/faults.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "docs/faults.md is not up to date: UPDATE_EXPECT=1 writes it");
}
