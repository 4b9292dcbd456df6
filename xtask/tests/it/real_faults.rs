//! The core rows of the fault matrix once more, with real containers: on ministack, an AWS emulator that others wrote, with the fake as a door
//! in front of it that makes the faults on the way. Each row also runs without its fault.
//!
//! ministack does not know client tokens: a RunTask that it has carried out and that is sent again starts a second ECS task there. So the rows in
//! which RunTask's answer is lost are rows of `faults/rows.rs` alone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::ecs::so_many_side_by_side;
use crate::fake::Fault::*;
use crate::fake::{Fake, Moment};
use crate::harness::Signal;
use crate::local::{Folder, Ran, Running};
use crate::real;
use crate::real_ecs::{call, command, project};

/// What runs, and what it says and ends with where nothing goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    /// Nine lines, and this code.
    Counts(u8),
    /// The same in an environment where nobody has run anything: it has to be registered.
    First,
    /// It would go on for long: the user interrupts it at its first line.
    Interrupted,
    /// Its image is not there.
    Gone,
}

use Job::{Counts, First, Gone, Interrupted};

impl Job {
    fn code(self) -> i32 {
        match self {
            Counts(code) => code.into(),
            First => 0,
            Interrupted => 130,
            Gone => 125,
        }
    }

    fn is_output(self, stdout: &str) -> bool {
        match self {
            Counts(_) | First => stdout == "1\n2\n3\n4\n5\n6\n7\n8\n9\n",
            // What it had written.
            Interrupted => stdout.starts_with("1\n") && stdout.lines().zip(1..).all(|(it, n)| *it == n.to_string()),
            Gone => stdout.is_empty(),
        }
    }
}

/// A row: the job, the fault on the way to it, and what is told of it. Exit code and output are the job's own, of one ECS task, which is over.
struct Row {
    what: &'static str,
    job: Job,
    world: fn(Fake) -> Fake,
    told: &'static str,
}

fn row(what: &'static str, job: Job, world: fn(Fake) -> Fake, told: &'static str) -> Row {
    Row { what, job, world, told }
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    vec![
        // What goes wrong, with what, the world, what is told.
        row("GetCallerIdentity: a burst of throttling", Counts(0), |it| it.fault("GetCallerIdentity", 1..=2, Throttle), ""),
        row("DescribeTaskDefinition: a burst of throttling", Counts(7), |it| it.fault("DescribeTaskDefinition", 1..=2, Throttle), ""),
        row("ListTasks: HTTP 503 twice", Counts(0), |it| it.fault("ListTasks", 1..=2, Unavailable), ""),
        row("DescribeImages: the connection is reset", Counts(0), |it| it.fault("DescribeImages", 1, DropBefore), ""),
        row("RegisterTaskDefinition: a burst of throttling, and its answer is lost", First, |it| it.fault("RegisterTaskDefinition", 1..=2, Throttle).fault("RegisterTaskDefinition", 3, DropAfter), ""),
        row("RunTask: a burst of throttling", Counts(7), |it| it.fault("RunTask", 1..=2, Throttle), "cannot start the ECS task: ThrottlingException"),
        row("RunTask: the connection is reset before the effect", Counts(7), |it| it.fault("RunTask", 1, DropBefore), "trying again"),
        row("DescribeTasks: MISSING after RunTask", Counts(7), |it| it.fault("DescribeTasks", 1..=3, Missing), ""),
        row("DescribeTasks: throttling", Counts(0), |it| it.fault("DescribeTasks", 2..=4, Throttle), "cannot ask for the ECS task's status"),
        row("DescribeTasks: HTTP 500 and half an answer", Counts(7), |it| it.fault("DescribeTasks", 3, ServerError).fault("DescribeTasks", 4, HalfBody), "cannot ask for the ECS task's status"),
        row("DescribeTasks: the credentials expire and are renewed", Counts(0), |it| it.fault("DescribeTasks", 3..=5, ExpiredToken), "renew the credentials"),
        row("GetLogEvents: throttling", Counts(0), |it| it.fault("GetLogEvents", 2..=4, Throttle), "cannot read the output"),
        row("GetLogEvents: the stream is late", Counts(7), |it| it.fault("GetLogEvents", 1..=6, Refuse("ResourceNotFoundException", "The specified log stream does not exist.")), ""),
        row("GetLogEvents: empty pages in the middle", Counts(0), |it| it.fault("GetLogEvents", 3..=9, EmptyPage).fault("GetLogEvents", 12..=20, EmptyPage), ""),
        row("GetLogEvents: the answer is lost, again and again", Counts(7), |it| it.fault("GetLogEvents", 3..=4, DropAfter).fault("GetLogEvents", 6..=7, HalfBody), "cannot read the output"),
        row("GetLogEvents: the token has expired", Counts(7), |it| it.fault("GetLogEvents", 6, Refuse("InvalidParameterException", "The specified nextToken has expired.")), "reading on from the last line"),
        row("GetLogEvents: no answer, once", Counts(0), |it| it.fault("GetLogEvents", 3, NeverAnswerAfter), ""),
        row("every call: answers take 2 s", Counts(7), |it| it.fault("*", .., Slow(2_000)), ""),
        row("every call: connection refused for a while", Counts(7), |it| {
            let core = it.core();
            it.at_call("DescribeTasks", 3, Moment::Answered, move || core.refuse_for(Duration::from_secs(5)));
            it
        }, "ECS tells the ECS task's status again"),
        row("StopTask: throttling", Interrupted, |it| it.fault("StopTask", 1..=2, Throttle), "cannot stop the ECS task"),
        row("StopTask: the connection is reset before the effect", Interrupted, |it| it.fault("StopTask", 1..=2, DropBefore), "cannot stop the ECS task"),
        row("StopTask: the answer is lost", Interrupted, |it| it.fault("StopTask", 1..=2, DropAfter), ""),
        row("DescribeTasks of what never starts: the network is gone for a while", Gone, |it| it.fault("DescribeTasks", 1..=3, DropBefore), "cannot ask for the ECS task's status"),
    ]
}

/// What a run left.
struct Trace {
    ran: Ran,
    n_faults: usize,
    problems: Vec<String>,
    story: String,
}

/// A team's folder with the image in the registry.
struct Ground {
    url: String,
    folder: Folder,
    environment: String,
}

impl Ground {
    fn new(url: &str) -> Ground {
        let folder = project(url, "faults");
        let environment = format!("faults-{}", std::process::id());
        let host = url.strip_prefix("http://").unwrap();
        let tasks = folder.read("tasks.toml");
        let start = tasks.find("[environments.").unwrap();
        let end = tasks.find("[defaults]").unwrap();
        let first = tasks[start..end].replacen(
            &format!("[environments.{environment}]"),
            &format!("[environments.{environment}-first]"),
            1,
        );
        let tasks = format!(
            "{tasks}\n{first}\n\
             [tasks.count-0]\ncommand = [\"count\", \"9\", \"400\", \"0\"]\n\
             [tasks.count-7]\ncommand = [\"count\", \"9\", \"400\", \"7\"]\n\
             [tasks.interrupted]\ncommand = [\"count\", \"60\", \"1000\", \"0\"]\n\
             [tasks.gone]\nimage = \"{host}/acme/{environment}:gone\"\ncommand = [\"count\", \"9\", \"400\", \"0\"]\n"
        );
        std::fs::write(folder.path().join("tasks.toml"), tasks).unwrap();
        let ground = Ground { url: url.to_owned(), folder, environment };
        // Built and pushed: what the rows have in common.
        let ran = ground.run(Counts(0), &Fake::before(url), "before");
        assert_eq!(ran.code, Some(0), "{}", ran.err());
        ground
    }

    /// Runs the job. `mark`: what tells this run from all others, or it would be taken for another one's twin.
    fn run(&self, job: Job, fake: &Fake, mark: &str) -> Ran {
        let (task, environment) = match job {
            Counts(0) => ("count-0", self.environment.clone()),
            First => ("count-0", format!("{}-first", self.environment)),
            Counts(_) => ("count-7", self.environment.clone()),
            Interrupted => ("interrupted", self.environment.clone()),
            Gone => ("gone", self.environment.clone()),
        };
        // Each run has a door of its own, and a tasks.toml that names it.
        let file = format!("{mark}.toml");
        let tasks = self.folder.read("tasks.toml").replace(&self.url, &fake.endpoint());
        std::fs::write(self.folder.path().join(&file), tasks).unwrap();
        let variable = format!("MARK={mark}");
        let command = command(&self.folder, &["run", task, "-e", &environment, "--var", &variable, "--file", &file]);
        let mut running = Running::start(command);
        if job == Interrupted {
            running.wait_for("1\n");
            running.signal(Signal::INT);
        }
        running.finish()
    }

    /// The same, and what is wrong with what it left.
    fn trace(&self, job: Job, fake: &Fake, mark: &str) -> Trace {
        let ran = self.run(job, fake, mark);
        fake.settle();
        let mut problems = Vec::new();
        let mut check = |holds: bool, what: String| {
            if !holds {
                problems.push(what);
            }
        };
        let stderr = ran.err();
        check(ran.code == Some(job.code()), format!("exit code {:?} instead of {}", ran.code, job.code()));
        check(job.is_output(&ran.out()), "the output is not as it is written".to_owned());
        check(!stderr.contains("may be cut"), "the output may be cut".to_owned());
        check(!stderr.contains("panicked"), "it panicked".to_owned());
        let started = fake.started_behind();
        check(started.len() == 1, format!("{} ECS tasks were started", started.len()));
        for arn in started {
            let described =
                call(&self.url, "DescribeTasks", &json!({ "cluster": "default", "tasks": [arn] }).to_string());
            let status = &described["tasks"][0]["lastStatus"];
            check(status == "STOPPED", format!("{arn} is {status}"));
        }
        Trace { n_faults: fake.n_faults(), problems, story: fake.story(), ran }
    }
}

#[test]
fn the_core_rows_hold_with_real_containers() {
    let Some(url) = real::ministack() else { return };
    let ground = Ground::new(&url);
    let rows = rows();
    assert!(rows.len() >= 15, "{} rows", rows.len());

    // Rows of one job share the run without a fault.
    let jobs: Vec<Job> =
        rows.iter().map(|it| (it.job, ())).collect::<BTreeMap<_, _>>().into_keys().filter(|it| *it != First).collect();
    let cases: Vec<(Job, Option<&Row>)> =
        jobs.into_iter().map(|it| (it, None)).chain(rows.iter().map(|it| (it.job, Some(it)))).collect();
    let numbered: Vec<(usize, &(Job, Option<&Row>))> = cases.iter().enumerate().collect();
    let traces = so_many_side_by_side(8, &numbered, |(index, (job, row))| {
        let fake = Fake::before(&url);
        let fake = row.map_or_else(|| Fake::before(&url), |row| (row.world)(fake));
        let mark = format!("row-{index}");
        ((*job, row.map(|it| it.what)), ground.trace(*job, &fake, &mark))
    });
    let traces: BTreeMap<_, _> = traces.into_iter().collect();

    let mut broken = Vec::new();
    let mut tell = |what: &str, problems: &[String], trace: &Trace| {
        if !problems.is_empty() {
            let (out, err) = (trace.ran.out(), trace.ran.err());
            broken.push(format!(
                "## {what}: {}\n--- stdout\n{out}--- stderr\n{err}\n{}",
                problems.join("; "),
                trace.story
            ));
        }
    };
    for ((job, what), trace) in &traces {
        if what.is_none() {
            let mut problems = trace.problems.clone();
            problems.extend((trace.n_faults > 0).then(|| "there was a fault".to_owned()));
            tell(&format!("{job:?} without a fault"), &problems, trace);
        }
    }
    for row in &rows {
        let trace = &traces[&(row.job, Some(row.what))];
        let control = &traces[&(if row.job == First { Counts(0) } else { row.job }, None)];
        let mut problems = trace.problems.clone();
        let mut check = |holds: bool, what: &str| {
            if !holds {
                problems.push(what.to_owned());
            }
        };
        check(trace.n_faults > 0, "it met no fault");
        check(trace.ran.err().contains(row.told), "it was not told");
        check(row.told.is_empty() || !control.ran.err().contains(row.told), "it is told without the fault, too");
        tell(row.what, &problems, trace);
    }
    assert!(broken.is_empty(), "{} of {} rows:\n\n{}", broken.len(), rows.len(), broken.join("\n\n"));
}
